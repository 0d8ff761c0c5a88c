//! The program kills itself, as by kill -9, at each failpoint in turn; after a restart the output is exact.
//! So it is when the start that is killed rolls back.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tidegate_sinks::failpoints::NAMES;
use tidegate_testcontainers::transactions::read_committed_dump;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{Job, Place, Program, Rows, Settings, orders};

/// Jobs that run at the same time.
const AT_ONCE: usize = 4;
const LIMIT: Duration = Duration::from_secs(90);

/// Several small commits, so that every verb is met in the middle of the work too.
const MORE: &str =
    "checkpoint: {interval: 100ms, max_records: 700, retained: 2, retained_for: 0s, copy_grace: 1s}\n";

/// What a job has been through before the process that is to die starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Killed at this point, so that the next process has something to make good.
    Killed(&'static str),
    /// The table holds a file of others, which `mode: overwrite` clears away.
    Overwrite,
    /// A table a topic, so that tables have to be found.
    ByTopic,
}

/// Tried in this order until one leads to the point.
const STORIES: [Before; 7] = [
    Before::Nothing,
    // Staged, never committed: the collector's.
    Before::Killed("checkpoint.create.before"),
    // Committed, nothing published.
    Before::Killed("checkpoint.create.after"),
    Before::Killed("final.move.after"),
    // Published, not all removed.
    Before::Killed("manifest.delete.after"),
    Before::Overwrite,
    Before::ByTopic,
];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_on_a_folder() -> Result<()> {
    every_point(Place::Folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_on_s3() -> Result<()> {
    every_point(Place::S3).await
}

async fn every_point(place: Place) -> Result<()> {
    let (servers, topic) = orders().await?;
    let dump = read_committed_dump(servers, topic).await?;
    let expected: Arc<Rows> = Arc::new(dump.into_iter().map(|(p, o, payload)| ((p, o), payload)).collect());
    let (permits, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let met =
        NAMES.iter().filter(|name| (place == Place::Folder || !is_local(name)) && !is_of_restores(name));
    for &point in met {
        let (permits, expected) = (permits.clone(), expected.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            // Publishing is met in the first run as well as in a recovery: both must survive.
            let publishes = point.starts_with("final.move") || point.starts_with("manifest");
            let mut met = 0;
            for before in STORIES {
                let died = survives(place, point, before, servers, topic, &expected).await;
                met += u32::from(
                    died.with_context(|| format!("killed at {point} after {before:?}, {place:?}"))?,
                );
                if met > u32::from(publishes) {
                    return Ok(());
                }
            }
            ensure!(met > 0, "{point} was never met, {place:?}");
            anyhow::Ok(())
        });
    }
    all_survive(tasks).await
}

/// Steps inside a verb that only a local folder has.
fn is_local(point: &str) -> bool {
    !point.ends_with(".before") && !point.ends_with(".after")
}

/// Steps that only going back to a kept state takes.
fn is_of_restores(point: &str) -> bool {
    ["commit.delete.", "rollback.", "staged.head."].iter().any(|start| point.starts_with(start))
}

/// Verbs of which a rollback, and erasing what it took back, make use.
const OF_ROLLBACKS: [&str; 17] = [
    "begin.delete.",
    "checkpoint.create.",
    "checkpoint.get.",
    "checkpoint.list.",
    "commit.delete.",
    "commit.get.",
    "commit.list.",
    "erase.",
    "final.delete.",
    "final.head.",
    "manifest.delete.",
    "manifest.get.",
    "rollback.",
    "staged.delete.",
    "staged.finish.",
    "staged.head.",
    "staged.list.",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_killed_at_every_point_on_a_folder() -> Result<()> {
    every_point_of_a_rollback(Place::Folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_killed_at_every_point_on_s3() -> Result<()> {
    every_point_of_a_rollback(Place::S3).await
}

async fn every_point_of_a_rollback(place: Place) -> Result<()> {
    let (servers, topic) = orders().await?;
    let dump = read_committed_dump(servers, topic).await?;
    let expected: Arc<Rows> = Arc::new(dump.into_iter().map(|(p, o, payload)| ((p, o), payload)).collect());
    let (permits, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let is_met = |name: &&&str| {
        OF_ROLLBACKS.iter().any(|verb| name.starts_with(verb)) && (place == Place::Folder || !is_local(name))
    };
    for &point in NAMES.iter().filter(is_met) {
        let (permits, expected) = (permits.clone(), expected.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let met = rolls_back(place, point, servers, topic, &expected).await;
            ensure!(
                met.with_context(|| format!("killed at {point}, {place:?}"))?,
                "{point} was never met, {place:?}"
            );
            // Where nothing is left of the first time; a point that is met once only is seen by then.
            let again = format!("{point}:3");
            rolls_back(place, &again, servers, topic, &expected).await.context(again)?;
            anyhow::Ok(())
        });
    }
    all_survive(tasks).await
}

/// So that each of several checkpoints has records.
const SLOW: &str = "speed: {bytes_per_second: 20kB}\n";

/// Whether the start that rolls back met the point; it does so once, and the same start again makes it exact.
async fn rolls_back(place: Place, point: &str, servers: &str, topic: &str, expected: &Rows) -> Result<bool> {
    let more = format!("{SLOW}{}", MORE.replace("retained: 2", "retained: 64"));
    let settings =
        Settings { bootstrap_servers: servers, topic, place, more: &more, sink: "", endpoint: None };
    let job = Job::new(settings).await?;
    // The last of several commits is in force, and nothing of it is published.
    ensure!(
        dies_by(&job, &["run", "--until-end"], "checkpoint.create.after:4").await?,
        "too few checkpoints"
    );
    std::fs::write(job.file(), std::fs::read_to_string(job.file())?.replace(SLOW, ""))?;
    let rollback = ["run", "--until-end", "--from-checkpoint", "2", "--rollback"];
    let died = dies_by(&job, &rollback, point).await?;
    job.run(&rollback).await?;
    job.assert_equals(expected).await?;
    ensure!(job.incarnation().await? == 2, "it was rolled back more than once, or never");
    Ok(died)
}

async fn all_survive(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    let mut failures = Vec::new();
    while let Some(done) = tasks.join_next().await {
        failures.extend(done?.err().map(|error| format!("{error:#}")));
    }
    ensure!(failures.is_empty(), "{} points:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Whether the point was met in this story; if so, the output is exact after a restart.
async fn survives(
    place: Place,
    point: &str,
    before: Before,
    servers: &str,
    topic: &str,
    expected: &Rows,
) -> Result<bool> {
    let sink = if before == Before::Overwrite { "  mode: overwrite\n" } else { "" };
    let settings = Settings { bootstrap_servers: servers, topic, place, more: MORE, sink, endpoint: None };
    let mut job = Job::new(settings).await?;
    match before {
        Before::Nothing => {}
        Before::ByTopic => job.by_topic(topic)?,
        Before::Killed(earlier) => ensure!(dies_at(&job, earlier).await?, "{earlier} was not met"),
        Before::Overwrite => job.store()?.put("orders/old.parquet", "of others".into()).await?,
    }
    if !dies_at(&job, point).await? {
        return Ok(false);
    }
    job.run(&["run", "--until-end"]).await?;
    job.assert_equals(expected).await?;
    Ok(true)
}

/// Whether some command of the job meets the point; it dies there.
async fn dies_at(job: &Job, point: &str) -> Result<bool> {
    let commands: [&[&str]; 4] = [&["run", "--until-end"], &["collect"], &["validate"], &["audit"]];
    for command in commands {
        if dies_by(job, command, point).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a command meets the point; if it does not, it ends well.
async fn dies_by(job: &Job, command: &[&str], point: &str) -> Result<bool> {
    let mut process = job.start(Program::Failpoints, command, None, Some(point))?;
    let status = process.wait(LIMIT).await?;
    if status.signal() == Some(libc::SIGKILL) {
        return Ok(true);
    }
    ensure!(status.success(), "{command:?} ended with {status}: {}", process.log()?);
    Ok(false)
}
