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
    Ok(())
}
