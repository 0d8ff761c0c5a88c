//! A broker with an authorizer: the rights that the documentation lists suffice,
//! and one that is missing is named.

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::scene::{LIMIT, POOR, Scene, reading};
use crate::monitoring::scrape::Running;
use crate::support::{Program, unique};

/// A topic whose name nobody has rights to yet.
async fn scene(more: &str) -> Result<Scene> {
    let scene = Scene::with_topic(&unique("restricted"), more).await?;
    scene.comes_as(POOR)?;
    Ok(scene)
}

impl Scene {
    async fn allow(&self, rights: &[&str]) -> Result<()> {
        self.broker.allow(&[POOR.0], rights).await
    }

    async fn assert_says(&self, code: i32, arguments: &[&str], group: &str, words: &[&str]) -> Result<()> {
        let said = self.ends_in_group(code, arguments, group).await?;
        for word in words {
            ensure!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_to_read_is_named() -> Result<()> {
    let scene = scene("").await?;
    let group = unique("restricted-group");
    let topic = scene.topic.clone();
    let words = ["Read on the topic", topic.as_str()];
    scene.assert_says(2, &["validate"], &group, &words).await?;
    scene.assert_says(2, &["run", "--until-end"], &group, &words).await?;

    scene.allow(&["--operation", "Describe", "--topic", &topic]).await?;
    scene.allow(&["--operation", "Describe", "--group", &group]).await?;
    scene.assert_says(2, &["validate"], &group, &["read rights", "Read on the topic"]).await?;
    // A run that waited for it would never come to its end.
    let other = unique("restricted-group");
    scene.allow(&["--operation", "Read", "--group", &other]).await?;
    scene.assert_says(2, &["run", "--until-end"], &other, &["Read on the topic"]).await?;

    scene.allow(&["--operation", "Read", "--topic", &topic]).await?;
    // Whether a group may be joined shows when it is.
    scene.assert_says(2, &["run", "--until-end"], &group, &["Read on the group"]).await?;
    scene.allow(&["--operation", "Read", "--group", &group]).await?;
    scene.ends_in_group(0, &["run", "--until-end"], &group).await?;
    scene.job.assert_equals(&rows(&scene).await?).await
}

/// Whether or not the user may still see the topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_read_that_is_taken_away_is_told_until_it_is_back() -> Result<()> {
    let scene = scene("").await?;
    let group = unique("restricted-group");
    let topic = ["--resource-pattern-type", "prefixed", "--topic", scene.topic.as_str()];
    let right = |operation| [&["--operation", operation][..], &topic].concat();
    scene.allow(&reading(&scene.topic, &group)).await?;
    let running = Running::of(scene.job.start(Program::Plain, &["run"], Some(&group), None)?).await?;
    running.until_ready().await?;
    for may_see in [false, true] {
        if may_see {
            scene.allow(&right("Describe")).await?;
        }
        scene.broker.take_away(&[POOR.0], &right("Read")).await?;
        running.assert_unready("not_allowed", &scene.topic).await?;
        scene.allow(&right("Read")).await?;
        running.until_ready().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_to_send_rejects_is_named() -> Result<()> {
    let dead = unique("rejects");
    let more = format!("error_limit: {{ratio: 1}}\nrejects: {{to: {{topic: {dead}}}}}\n");
    let scene = scene(&more).await?;
    scene.broker.open().create_topic(&dead, 1).await?;
    let group = unique("restricted-group");
    let transactions = format!("{}-rejects-", scene.job.name);
    scene.allow(&reading(&scene.topic, &group)).await?;
    scene.assert_says(2, &["validate"], &group, &["rejects.to.topic", dead.as_str()]).await?;

    scene.allow(&["--operation", "Read", "--topic", &dead]).await?;
    scene.assert_says(2, &["validate"], &group, &["transactional ids", "-rejects-"]).await?;

    let prefixed = ["--resource-pattern-type", "prefixed"];
    let rights =
        [&["--operation", "Write", "--transactional-id", transactions.as_str()][..], &prefixed].concat();
    scene.allow(&rights).await?;
    scene.assert_says(2, &["validate"], &group, &["Read on groups", "-rejects-"]).await?;

    scene
        .allow(&[&["--operation", "Read", "--group", transactions.as_str()][..], &prefixed].concat())
        .await?;
    scene.assert_says(0, &["validate"], &group, &["a run would start"]).await?;

    // That the topic may be written to shows when it is.
    let expected = rows(&scene).await?;
    produce_garbage(&scene).await?;
    scene.assert_says(2, &["run", "--until-end"], &group, &["Write on the topic", dead.as_str()]).await?;
    scene.allow(&["--operation", "Write", "--topic", &dead]).await?;
    scene.ends_in_group(0, &["run", "--until-end"], &group).await?;
    scene.job.assert_equals(&expected).await?;
    let sent =
        tidegate_testcontainers::read_committed_dump(scene.broker.open().bootstrap_servers(), &dead).await?;
    ensure!(sent.len() == 1 && sent[0].2 == b"garbage", "{} rejects were sent", sent.len());
    Ok(())
}

async fn rows(scene: &Scene) -> Result<crate::support::Rows> {
    let servers = scene.broker.open().bootstrap_servers();
    let dump = tidegate_testcontainers::read_committed_dump(servers, &scene.topic).await?;
    Ok(dump.into_iter().map(|(partition, offset, payload)| ((partition, offset), payload)).collect())
}

async fn produce_garbage(scene: &Scene) -> Result<()> {
    let servers = scene.broker.open().bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers).create()?;
    let record = BaseRecord::<[u8], [u8]>::to(&scene.topic).payload(b"garbage");
    producer.send(record).map_err(|(error, _)| error)?;
    Ok(tokio::task::spawn_blocking(move || producer.flush(LIMIT)).await??)
}
