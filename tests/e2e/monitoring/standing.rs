//! A replica that does not do all of its work is not ready, and says why on every way there is.

use anyhow::{Context, Result, ensure};
use tidegate_testcontainers::Kafka;

use super::scrape::{LIMIT, Running, job, produce};
use crate::support::{CHECKPOINTS, Place, Program, unique};

/// The other topic goes on, so nothing but the look at the brokers shows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_while_the_job_runs_is_named_until_it_is_there() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let (job, topic) = job(1, Place::Folder, CHECKPOINTS, None).await?;
    let other = unique("deleted");
    kafka.create_topic(&other, 1).await?;
    let text = std::fs::read_to_string(job.file())?;
    let both = text.replace(&format!("topics: [{topic}]"), &format!("topics: [{topic}, {other}]"));
    ensure!(both != text, "{text}");
    std::fs::write(job.file(), both)?;
    produce(&topic, 1, 1, 10).await?;
    let running = Running::start(&job).await?;
    running.wait("the records", |scrape| scrape.get("tidegate_records_written_total") == 10.0).await?;
    running.until_ready().await?;

    kafka.delete_topic(&other).await?;
    running.assert_unready("topic_missing", &other).await?;
    ensure!(running.process.log()?.contains("not ready: topic"), "{}", running.process.log()?);
    produce(&topic, 1, 2, 10).await?;
    running.wait("the rest", |scrape| scrape.get("tidegate_records_written_total") == 20.0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_that_fails_again_and_again_is_told_with_its_reason() -> Result<()> {
    let (job, topic) = job(1, Place::Folder, CHECKPOINTS, None).await?;
    produce(&topic, 1, 1, 10).await?;
    let failing = [("TIDEGATE_FAIL_AT", "final.move.before")];
    let running = Running::of(job.start_in(&failing, Program::Failpoints, &["run"], None, None)?).await?;
    let said = running.assert_unready("not_published", "").await?;
    ensure!(said.contains("final.move.before"), "{said}");
    Ok(())
}

/// Release builds unwind, so a task that panics would be gone and the process would live on.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_any_task_ends_the_process_and_names_the_task() -> Result<()> {
    let tasks = [
        "load",
        "seal",
        "commit",
        "publish",
        "look",
        "encode",
        "channel-0",
        "source",
        "agent",
        "reload",
        "signals",
        "http-upkeep",
        "http-server",
        "http-stop",
    ];
    let (job, topic) = job(1, Place::Folder, CHECKPOINTS, None).await?;
    for task in tasks {
        produce(&topic, 1, 1, 10).await?;
        let point = format!("task.{task}");
        let panics = [("TIDEGATE_PANIC_AT", point.as_str())];
        let mut process = job.start_in(&panics, Program::Failpoints, &["run"], None, None)?;
        let status = process.wait(LIMIT).await.with_context(|| format!("{task} panics"))?;
        let log = process.log()?;
        ensure!(status.code() == Some(1), "{task}: {status}: {log}");
        let told = log.matches("has ended by a panic").count();
        ensure!(
            told == 1 && log.contains(&format!("the task \\\"{task}\\\"")),
            "{task}, told {told} times: {log}"
        );
    }
    Ok(())
}
