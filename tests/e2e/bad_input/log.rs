//! Logs that change under the job: records deleted before they were read, topics that grow or are made anew.

use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use tidegate_testcontainers::Kafka;

use super::scene::{LIMIT, Scene, Sections, admin, raw};

/// Deletes the records below `offset`, as retention does.
async fn delete_below(scene: &Scene, offset: i64) -> Result<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&scene.topic, 0, Offset::Offset(offset))?;
    let deleted = admin(scene.servers)?.delete_records(&list, &AdminOptions::new()).await?;
    for element in deleted.elements() {
        element.error()?;
    }
    Ok(())
}

/// A job that has read 2 of the 6 records of which 4 are deleted then.
async fn lost() -> Result<Scene> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.produce(0, &[Some(b"0"), Some(b"1")]).await?;
    scene.run_to_end().await?;
    scene.produce(0, &[Some(b"2"), Some(b"3"), Some(b"4"), Some(b"5")]).await?;
    delete_below(&scene, 4).await?;
    Ok(scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_before_they_were_read_stop_the_job() -> Result<()> {
    let scene = lost().await?;
    let said = scene.ends_with(3, &["run", "--until-end"]).await?;
    ensure!(said.contains(&scene.topic) && said.contains("on_data_loss"), "{said}");
    let said = scene.ends_with(2, &["validate"]).await?;
    ensure!(said.contains("on_data_loss"), "{said}");
    let expected = vec![raw(&scene.topic, 0, 0, b"0"), raw(&scene.topic, 0, 1, b"1")];
    scene.assert_rows("t", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_recorded_when_the_job_says_so() -> Result<()> {
    let scene = lost().await?;
    scene.write(Sections { kafka: "  on_data_loss: record\n", ..Default::default() })?;
    scene.run_to_end().await?;
    let rows = [(0, b"0"), (1, b"1"), (4, b"4"), (5, b"5")];
    let expected = rows.map(|(offset, payload)| raw(&scene.topic, 0, offset, payload));
    scene.assert_rows("t", expected.to_vec()).await?;
    let newest: Value = serde_json::from_slice(&std::fs::read(scene.newest_checkpoint()?)?)?;
    let gaps = newest["gaps"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(gaps.len() == 1 && gaps[0].to_string().contains(&scene.topic), "{newest}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_all_of_whose_records_are_deleted_stops_the_job_too() -> Result<()> {
    let scene = lost().await?;
    delete_below(&scene, 6).await?;
    let said = scene.ends_with(3, &["run", "--until-end"]).await?;
    ensure!(said.contains("on_data_loss"), "{said}");
    scene.write(Sections { kafka: "  on_data_loss: record\n", ..Default::default() })?;
    scene.run_to_end().await?;
    scene.produce(0, &[Some(b"6")]).await?;
    scene.run_to_end().await?;
    let rows = [(0, b"0"), (1, b"1"), (6, b"6")];
    scene.assert_rows("t", rows.map(|(offset, payload)| raw(&scene.topic, 0, offset, payload)).to_vec()).await
}

/// Deletes a topic, and makes it anew with so many records.
async fn recreate(scene: &Scene, topic: &str, records: usize) -> Result<()> {
    let kafka = Kafka::shared().await?;
    kafka.delete_topic(topic).await?;
    kafka.create_topic(topic, 1).await?;
    scene.produce_to(topic, &vec![Some(&b"of the second"[..]); records]).await
}

/// It ends below the job's position, or beyond it: then its first records would be skipped.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_recreated_while_the_job_is_down_stops_it() -> Result<()> {
    for records in [1, 3, 7] {
        let scene = Scene::new(1, Sections::default()).await?;
        scene.produce(0, &[Some(b"0"), Some(b"1"), Some(b"2")]).await?;
        scene.run_to_end().await?;
        recreate(&scene, &scene.topic, records).await?;
        let said = scene.ends_with(2, &["validate"]).await?;
        ensure!(said.contains("recreated"), "{said}");
        let (running, bounded) =
            tokio::join!(scene.ends_with(3, &["run"]), scene.ends_with(3, &["run", "--until-end"]));
        for said in [running?, bounded?] {
            ensure!(said.contains(&scene.topic) && said.contains("recreated"), "{said}");
            ensure!(said.contains("--forget-topic"), "{said}");
        }
        ensure!(scene.rows("t").await?.len() == 3, "nothing may be written");
    }
    Ok(())
}

/// The client goes on in the new topic where it was in the old one, and hands out what lies there.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_recreated_while_the_job_runs_stops_it_and_nothing_of_it_is_written() -> Result<()> {
    // To be noticed by the commit; and, where none is due, by the look now and then.
    let often = (7, "checkpoint: {interval: 500ms}\n");
    let seldom = (5, "checkpoint: {interval: 10m, max_records: 3}\n");
    for (records, more) in [often, seldom] {
        let scene = Scene::new(1, Sections { more, ..Default::default() }).await?;
        scene.produce(0, &[Some(b"0"), Some(b"1"), Some(b"2")]).await?;
        let mut process = scene.start(&["run"])?;
        scene.wait_for_rows(3, &mut process).await?;
        recreate(&scene, &scene.topic, records).await?;
        let status = process.wait(Duration::from_secs(60)).await?;
        let said = process.log()?;
        ensure!(status.code() == Some(3) && said.contains("recreated"), "{status}: {said}");
        ensure!(scene.rows("t").await?.len() == 3, "nothing may be written: {said}");
    }
    Ok(())
}

/// What the others bring goes on, the chain tells of the one that does not, and it is never read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_many_topics_gives_one_up_and_goes_on() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let scene = Scene::new(1, Sections::default()).await?;
    let (lost, other) = (scene.topic.clone(), format!("{}.other", scene.topic));
    kafka.create_topic(&other, 1).await?;
    let sections = format!("  topics_regex: \"{lost}([.].*)?\"\n");
    scene.write(Sections { kafka: &sections, ..Default::default() })?;
    scene.produce(0, &[Some(b"0"), Some(b"1")]).await?;
    scene.produce_to(&other, &[Some(b"0")]).await?;
    scene.run_to_end().await?;
    recreate(&scene, &lost, 5).await?;
    scene.produce_to(&other, &[Some(b"1")]).await?;
    let said = scene.ends_with(3, &["run", "--until-end"]).await?;
    ensure!(said.contains(&format!("--forget-topic {lost}")), "{said}");
    let said = scene.ends_with(2, &["run", "--until-end", "--forget-topic", "another"]).await?;
    ensure!(said.contains(&other), "it names what there is: {said}");
    scene.job.run(&["run", "--until-end", "--forget-topic", &lost]).await?;
    scene.produce_to(&other, &[Some(b"2")]).await?;
    scene.run_to_end().await?;
    let row = |topic: &str, offset: i64, payload| raw(topic, 0, offset, payload);
    let mut expected = vec![row(&lost, 0, b"0"), row(&lost, 1, b"1")];
    expected.extend([row(&other, 0, b"0"), row(&other, 1, b"1"), row(&other, 2, b"2")]);
    scene.assert_rows("t", expected).await?;
    for command in [&["audit"][..], &["audit", "--deep"], &["position"], &["validate"]] {
        let said = scene.ends_with(0, command).await?;
        ensure!(said.contains("given up"), "{command:?}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_a_topic_gets_while_the_job_runs_are_read() -> Result<()> {
    let more = "checkpoint: {interval: 500ms}\n";
    let scene = Scene::new(1, Sections { more, ..Default::default() }).await?;
    scene.produce(0, &[Some(b"0")]).await?;
    let mut process = scene.start(&["run"])?;
    scene.wait_for_rows(1, &mut process).await?;
    Kafka::shared().await?.add_partitions(&scene.topic, 3).await?;
    scene.produce(2, &[Some(b"in a new one"), Some(b"and one more")]).await?;
    scene.wait_for_rows(3, &mut process).await?;
    process.signal(libc::SIGTERM);
    ensure!(process.wait(LIMIT).await?.success(), "{}", process.log()?);
    scene.assert_raw().await
}
