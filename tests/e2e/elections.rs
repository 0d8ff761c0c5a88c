//! Three brokers, of which the one that has all records dies, and one that has not becomes leader.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::json_payload;

use crate::support::{CHECKPOINTS, Job, Place, Process, Program, Settings, unique};

const LIMIT: Duration = Duration::from_secs(60);

async fn produce(servers: &str, topic: &str, ids: std::ops::Range<u64>) -> Result<()> {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", servers).set("acks", "all").create()?;
    for id in ids {
        let mut payload = Vec::new();
        json_payload(id, &mut payload);
        let record = BaseRecord::<(), _>::to(topic).partition(0).payload(&payload);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(tokio::task::spawn_blocking(move || producer.flush(LIMIT)).await??)
}

/// It must end with exit code 3 within a minute, say why, and have written nothing more.
async fn assert_refused(job: &Job, mut process: Process) -> Result<()> {
    let status = process.wait(LIMIT).await?;
    let said = process.log()?;
    ensure!(status.code() == Some(3), "{status}: {said}");
    for word in ["lost records", "--rollback", "--forget-topic"] {
        ensure!(said.contains(word), "{word}: {said}");
    }
    let rows = job.visible().await?.len();
    ensure!(rows == 10, "{rows} rows: {said}");
    Ok(())
}

/// What stands in the place of the lost records lies below the position, and would be skipped.
#[tokio::test(flavor = "multi_thread")]
async fn records_lost_by_an_unclean_election_stop_a_job_that_runs_and_one_that_did_not() -> Result<()> {
    let kafka = Kafka::start_three().await?;
    let (servers, topic) = (kafka.bootstrap_servers(), unique("election"));
    let settings = [("min.insync.replicas", "1"), ("unclean.leader.election.enable", "true")];
    kafka.create_topic_on(&[0, 1], &topic, &settings).await?;
    let settings = || Settings {
        bootstrap_servers: servers,
        topic: &topic,
        place: Place::Folder,
        more: CHECKPOINTS,
        sink: "",
        endpoint: None,
    };
    let (running, down) = (Job::new(settings()).await?, Job::new(settings()).await?);
    produce(servers, &topic, 0..5).await?;
    // While all brokers are there: by the first group that there is, they make the topic of groups.
    down.run(&["run", "--until-end"]).await?;
    kafka.wait_led_by(&topic, 0, 2).await?;
    // The second broker does not get what comes now.
    kafka.freeze(1).await?;
    kafka.wait_led_by(&topic, 0, 1).await?;
    produce(servers, &topic, 5..10).await?;
    down.run(&["run", "--until-end"]).await?;
    let process = running.start(Program::Plain, &["run"], None, None)?;
    let give_up = Instant::now() + LIMIT;
    while running.visible().await.map_or(0, |rows| rows.len()) < 10 {
        ensure!(Instant::now() < give_up, "not read: {}", process.log()?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kafka.kill(0).await?;
    kafka.thaw(1).await?;
    kafka.wait_led_by(&topic, 1, 1).await?;
    // The log is longer than the position again.
    produce(servers, &topic, 20..28).await?;
    assert_refused(&running, process).await?;
    for arguments in [&["run"][..], &["run", "--until-end"]] {
        assert_refused(&down, down.start(Program::Plain, arguments, None, None)?).await?;
    }
    // One of the ways on: the output is what the log has now.
    down.run(&["run", "--until-end", "--from-checkpoint", "1", "--rollback"]).await?;
    down.assert_exact(servers, &topic).await
}
