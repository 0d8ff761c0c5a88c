//! Where reading begins, and what `mode: overwrite` does.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::scene::{LIMIT, Scene, Sections, produce, raw};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_topic_is_read_to_its_end() -> Result<()> {
    let scene = Scene::new(2, Sections::default()).await?;
    scene.run_to_end().await?;
    scene.assert_raw().await?;
    scene.produce(1, &[Some(b"late")]).await?;
    scene.run_to_end().await?;
    scene.assert_raw().await
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_is_resolved_once_at_the_first_start() -> Result<()> {
    let scene = Scene::new(1, Sections { kafka: "  start: latest\n", ..Default::default() }).await?;
    scene.produce(0, &[Some(b"before")]).await?;
    scene.run_to_end().await?;
    scene.produce(0, &[Some(b"after"), Some(b"after too")]).await?;
    scene.run_to_end().await?;
    let expected = vec![raw(&scene.topic, 0, 1, b"after"), raw(&scene.topic, 0, 2, b"after too")];
    scene.assert_rows("t", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_by_timestamp_skips_what_is_older() -> Result<()> {
    let kafka = "  start: {timestamp: 2026-01-31T00:00:00.002Z}\n";
    let scene = Scene::new(1, Sections { kafka, ..Default::default() }).await?;
    let payloads: [Option<&[u8]>; 4] = [Some(b"0"), Some(b"1"), Some(b"2"), Some(b"3")];
    produce(scene.servers, &scene.topic, 0, &payloads, Some(1_769_817_600_000)).await?;
    scene.run_to_end().await?;
    let expected = vec![raw(&scene.topic, 0, 2, b"2"), raw(&scene.topic, 0, 3, b"3")];
    scene.assert_rows("t", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_by_offsets_holds_for_the_partitions_it_names() -> Result<()> {
    let scene = Scene::new(2, Sections::default()).await?;
    let kafka = format!("  start: {{offsets: {{{}: {{0: 2}}}}}}\n", scene.topic);
    scene.write(Sections { kafka: &kafka, ..Default::default() })?;
    scene.produce(0, &[Some(b"0"), Some(b"1"), Some(b"2")]).await?;
    scene.produce(1, &[Some(b"other")]).await?;
    scene.run_to_end().await?;
    let expected = vec![raw(&scene.topic, 0, 2, b"2"), raw(&scene.topic, 1, 0, b"other")];
    scene.assert_rows("t", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn overwriting_clears_the_table_once() -> Result<()> {
    let scene = Scene::new(1, Sections { sink: "  mode: overwrite\n", ..Default::default() }).await?;
    std::fs::create_dir_all(scene.folder().join("t"))?;
    std::fs::create_dir_all(scene.folder().join("neighbour"))?;
    std::fs::write(scene.folder().join("t/old.parquet"), b"from before")?;
    std::fs::write(scene.folder().join("neighbour/old.parquet"), b"another table")?;
    scene.produce(0, &[Some(b"first")]).await?;
    scene.run_to_end().await?;
    scene.assert_raw().await?;
    scene.produce(0, &[Some(b"second")]).await?;
    scene.run_to_end().await?;
    scene.assert_raw().await?;
    ensure!(scene.folder().join("neighbour/old.parquet").exists(), "another table was cleared");
    Ok(())
}

/// Its name is most likely mistyped, and a job that waits for it would never say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_listed_topic_that_does_not_exist_is_named_with_the_remedy() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    let missing = format!("{}-typo", scene.topic);
    let kafka = format!("  topics: [{}, {missing}]\n", scene.topic);
    scene.write(Sections { kafka: &kafka, ..Default::default() })?;
    for arguments in [&["validate"][..], &["run"], &["run", "--until-end"]] {
        let said = scene.ends_with(2, arguments).await?;
        for word in [missing.as_str(), "correct its name", "create it first"] {
            ensure!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_matches_no_topic_is_told() -> Result<()> {
    let kafka = "  topics_regex: \"no-topic-is-called-so\"\n";
    let scene = Scene::new(1, Sections { kafka, ..Default::default() }).await?;
    for (arguments, words) in [
        (&["validate"][..], "no topic matches yet"),
        (&["run", "--until-end"], "no topic matches kafka.topics_regex"),
    ] {
        let said = scene.ends_with(0, arguments).await?;
        ensure!(said.contains(words), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_of_topics_makes_a_table_of_each() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    let kafka = tidegate_testcontainers::Kafka::shared().await?;
    let (one, two, late) =
        (format!("{}-one", scene.topic), format!("{}-two", scene.topic), format!("{}-late", scene.topic));
    for topic in [&one, &two] {
        kafka.create_topic(topic, 1).await?;
        produce(scene.servers, topic, 0, &[Some(topic.as_bytes())], None).await?;
    }
    scene.produce(0, &[Some(b"not matched")]).await?;
    let pattern = format!("  topics_regex: \"{}-.*\"\n", scene.topic);
    scene.write(Sections {
        kafka: &pattern,
        sink: "  table: \"copy_{topic}\"\n",
        more: "checkpoint: {interval: 500ms}\n",
        ..Default::default()
    })?;
    let mut process = scene.start(&["run"])?;
    let there = async |topic: &str| {
        let (folder, deadline) = (format!("copy_{topic}"), std::time::Instant::now() + LIMIT);
        while scene.rows(&folder).await.map_or(0, |rows| rows.len()) == 0 {
            ensure!(std::time::Instant::now() < deadline, "nothing of {topic}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(())
    };
    there(&one).await?;
    // A topic that appears while the job runs.
    kafka.create_topic(&late, 1).await?;
    produce(scene.servers, &late, 0, &[Some(late.as_bytes())], None).await?;
    there(&late).await?;
    process.signal(libc::SIGTERM);
    ensure!(process.wait(LIMIT).await?.success(), "{}", process.log()?);
    for topic in [&one, &two, &late] {
        scene.assert_rows(&format!("copy_{topic}"), vec![raw(topic, 0, 0, topic.as_bytes())]).await?;
    }
    let report: Value = serde_json::from_str(&scene.job.run(&["audit", "--output", "json"]).await?)?;
    ensure!(report["rows"] == 3, "{report}");
    // What its files have in common is known of a topic that has come late, too.
    scene.write(Sections {
        kafka: &pattern,
        sink: "  table: \"copy_{topic}\"\n",
        format: "{columns: [{name: value, type: string}], metadata: [topic, partition, offset]}",
        ..Default::default()
    })?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    ensure!(said.contains(&format!("table copy_{late}: format.type was raw, is now json")), "{said}");
    Ok(())
}

/// Nothing is begun, and both commands say the same.
async fn refuses(scene: &Scene, code: i32, words: &[&str]) -> Result<()> {
    for (code, command) in [(2, &["validate"][..]), (code, &["run", "--until-end"])] {
        let begun = std::time::Instant::now();
        let said = scene.ends_with(code, command).await?;
        ensure!(words.iter().all(|word| said.contains(word)), "{command:?} does not say {words:?}: {said}");
        ensure!(begun.elapsed() < std::time::Duration::from_secs(20), "{command:?} took its time");
    }
    ensure!(scene.newest_checkpoint().is_err(), "a chain has begun");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_no_partition_has_is_refused_at_once() -> Result<()> {
    let scene = Scene::new(2, Sections::default()).await?;
    scene.produce(0, &[Some(b"0"), Some(b"1")]).await?;
    let topic = scene.topic.clone();
    let start = |kafka: &str| scene.write(Sections { kafka, ..Default::default() });
    start(&format!("  start: {{offsets: {{{topic}: {{0: 100}}}}}}\n"))?;
    refuses(&scene, 2, &[&format!("{topic}/0"), "ends at 2", "98 offsets beyond the end"]).await?;
    start(&format!("  start: {{offsets: {{{topic}: {{7: 0}}}}}}\n"))?;
    refuses(&scene, 2, &["partition 7", &topic, "2 partitions"]).await?;
    start("  start: {offsets: {elsewhere: {0: 0}}}\n")?;
    refuses(&scene, 2, &["elsewhere", "not among the job's topics"]).await?;
    start("  start: {timestamp: 2099-01-01T00:00:00Z}\n")?;
    refuses(&scene, 2, &["future"]).await?;
    // The end itself is a place to begin at.
    start(&format!("  start: {{offsets: {{{topic}: {{0: 2}}}}}}\n"))?;
    scene.run_to_end().await?;
    // From now on there is a position.
    start(&format!("  start: {{offsets: {{{topic}: {{0: 1}}}}}}\n"))?;
    for command in [&["validate"][..], &["run", "--until-end"]] {
        let said = scene.ends_with(0, command).await?;
        ensure!(said.contains("kafka.start does not apply") && said.contains("began at 2"), "{said}");
    }
    scene.assert_rows("t", Vec::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_before_the_log_is_a_loss() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.produce(0, &[Some(b"0"), Some(b"1"), Some(b"2")]).await?;
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&scene.topic, 0, rdkafka::Offset::Offset(2))?;
    super::scene::admin(scene.servers)?.delete_records(&list, &rdkafka::admin::AdminOptions::new()).await?;
    let start = format!("  start: {{offsets: {{{}: {{0: 1}}}}}}\n", scene.topic);
    scene.write(Sections { kafka: &start, ..Default::default() })?;
    refuses(&scene, 3, &["begins at 2", "on_data_loss"]).await?;
    let kafka = format!("{start}  on_data_loss: record\n");
    scene.write(Sections { kafka: &kafka, ..Default::default() })?;
    let said = scene.ends_with(0, &["validate"]).await?;
    ensure!(said.contains("recorded as a gap"), "{said}");
    scene.run_to_end().await?;
    scene.assert_rows("t", vec![raw(&scene.topic, 0, 2, b"2")]).await
}

/// Another group is asked for where the sink is not, as a job that was emptied by
/// mistake reads by the same one.
#[tokio::test(flavor = "multi_thread")]
async fn overwriting_never_erases_what_the_job_has_committed() -> Result<()> {
    let scene = Scene::new(1, Sections { sink: "  mode: overwrite\n", ..Default::default() }).await?;
    scene.produce(0, &[Some(b"first")]).await?;
    let group = Some(scene.job.name.as_str());
    scene.ends_with_in_group(0, &["run", "--until-end"], group).await?;
    let checkpoints = scene.newest_checkpoint()?;
    let checkpoints = checkpoints.parent().expect("a checkpoint lies in a folder").to_owned();
    std::fs::remove_dir_all(&checkpoints)?;
    for (code, command) in [(3, &["run", "--until-end"][..]), (2, &["validate"])] {
        let said = scene.ends_with_in_group(code, command, group).await?;
        ensure!(said.contains("--new-incarnation"), "{said}");
    }
    ensure!(scene.rows("t").await? == [raw(&scene.topic, 0, 0, b"first")], "what was committed is erased");
    // Neither its files nor its commits are left: the group alone says that it has read.
    std::fs::remove_dir_all(scene.folder())?;
    let said = scene.ends_with_in_group(3, &["run", "--until-end"], group).await?;
    ensure!(said.contains("clear the table") && said.contains("--new-incarnation"), "{said}");
    scene.ends_with_in_group(0, &["run", "--until-end", "--new-incarnation"], group).await?;
    scene.assert_raw().await
}
