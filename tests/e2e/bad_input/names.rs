//! Names and values from outside that cannot be a table's or a folder's.

use anyhow::{Result, ensure};
use tidegate_testcontainers::Kafka;

use super::scene::{Scene, Sections, address, metric, produce};
use crate::support::unique;

const RAW: &str = "{type: raw}";

/// Topics of one prefix: a good one, and those of which no table can be called.
async fn topics() -> Result<(String, Vec<String>)> {
    let prefix = unique("names");
    let long = format!("{prefix}.{}", "a".repeat(240 - prefix.len()));
    let topics = vec![format!("{prefix}.good"), format!(".{prefix}.dot"), format!("_{prefix}.line"), long];
    let kafka = Kafka::shared().await?;
    for topic in &topics {
        kafka.create_topic(topic, 1).await?;
        produce(kafka.bootstrap_servers(), topic, 0, &[Some(b"one")], None).await?;
    }
    Ok((prefix, topics))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_no_table_can_be_called_after_is_left_out_and_told() -> Result<()> {
    let (prefix, topics) = topics().await?;
    let kafka = format!("  topics_regex: \"[._]?{prefix}[.].*\"\n");
    let sections = Sections {
        kafka: &kafka,
        format: RAW,
        sink: "  table: \"{topic}_of_the_day\"\n",
        more: "checkpoint: {interval: 200ms}\n",
    };
    let scene = Scene::new(1, sections).await?;
    let validated = scene.ends_with(0, &["validate"]).await?;
    let said = scene.ends_with(0, &["run", "--until-end"]).await?;
    for topic in &topics[1..] {
        ensure!(validated.contains(topic), "validate does not name {topic}: {validated}");
        ensure!(said.contains(&format!("\"topic\":\"{topic}\"")), "the run does not name {topic}: {said}");
    }
    ensure!(!validated.contains(&format!("{} is left out", topics[0])), "{validated}");
    let good = format!("{}_of_the_day", topics[0]);
    ensure!(scene.rows(&good).await?.len() == 1, "the good topic is written");
    let tables = scene.job.store()?.list_folders("").await?;
    ensure!(tables.iter().all(|table| *table == good || table == "_tidegate"), "{tables:?}");
    scene.ends_with(0, &["audit", "--deep"]).await?;

    // One that appears while the job runs takes it down no more than those that were there.
    let mut process = scene.start(&["run"])?;
    let address = address(&process).await?;
    let server = Kafka::shared().await?;
    let late = format!(".{prefix}.late");
    server.create_topic(&late, 1).await?;
    produce(server.bootstrap_servers(), &late, 0, &[Some(b"late")], None).await?;
    produce(server.bootstrap_servers(), &topics[0], 0, &[Some(b"two")], None).await?;
    let deadline = tokio::time::Instant::now() + super::scene::LIMIT;
    while metric(&address, "tidegate_topics_left_out").await.unwrap_or_default() < 4.0
        || scene.rows(&good).await.map_or(0, |rows| rows.len()) < 2
    {
        ensure!(process.is_running()? && tokio::time::Instant::now() < deadline, "{}", process.log()?);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let overview = reqwest::get(format!("http://{address}/api/v1/overview")).await?.text().await?;
    ensure!(overview.contains(&late), "{overview}");
    // Leaving the group takes away what was never taken over.
    process.signal(libc::SIGTERM);
    let status = process.wait(super::scene::LIMIT).await?;
    ensure!(status.code() == Some(0), "{status}: {}", process.log()?);
    let log = process.log()?;
    ensure!(!log.contains("does not answer") && !log.contains("can't be unassigned"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_it_is_refused_before_anything_is_read() -> Result<()> {
    for topic in [".x", "_x", &"x".repeat(249)] {
        let kafka = format!("  topics: [\"{topic}\"]\n");
        let sink = "  table: \"{topic}_events\"\n";
        let scene =
            Scene::new(1, Sections { kafka: &kafka, format: RAW, sink, ..Default::default() }).await?;
        for command in [&["validate", "--offline"][..], &["run", "--until-end"]] {
            // A suffix makes a good name of none of them.
            let said = scene.ends_with(2, command).await?;
            ensure!(said.contains("sink.table"), "{said}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_no_folder_can_be_named_by_is_a_reject_with_its_column() -> Result<()> {
    let format = "{type: json, metadata: [offset, timestamp], columns: [{name: c, type: string}, {name: d, type: date}, \
                  {name: t, type: \"timestamp(ms, UTC)\"}]}";
    let sections = Sections {
        format,
        sink: "  partition_by: [c, d, t, \"day(_timestamp)\"]\n",
        more: "error_limit: {records: 4}\n",
        ..Default::default()
    };
    let scene = Scene::new(1, sections).await?;
    let long = format!("{{\"c\":\"{}\"}}", "x".repeat(300));
    // Three bytes each, once escaped.
    let signs = format!("{{\"c\":\"{}\"}}", "/".repeat(90));
    let payloads: [&[u8]; 7] = [
        b"{\"c\":\"a\",\"d\":\"2026-01-31\",\"t\":0}",
        long.as_bytes(),
        signs.as_bytes(),
        b"{\"d\":1700000000}",
        b"{\"t\":1700000000000000000}",
        b"{\"c\":\"\"}",
        b"{}",
    ];
    scene.produce(0, &payloads.map(Some)).await?;
    scene.run_to_end().await?;
    let rejects = scene.rejects().await?;
    let found: Vec<_> = rejects.iter().map(|row| (row["offset"].as_str(), row["column"].as_str())).collect();
    let mut found = found;
    found.sort_unstable();
    ensure!(found == [("1", "c"), ("2", "c"), ("3", "d"), ("4", "t")], "{found:?}");
    ensure!(rejects.iter().all(|row| !row["error"].contains("xxx")), "an error holds a value");
    ensure!(scene.rows("t").await?.len() == 3);
    scene.ends_with(0, &["audit", "--deep"]).await?;
    // They wait, as any other rejects do.
    let replay = scene.ends_with(0, &["rejects", crate::support::JOB_FILE, "replay", "--dry-run"]).await?;
    ensure!(replay.contains('4'), "{replay}");
    Ok(())
}
