//! The program kills itself, as by kill -9, at each failpoint in turn; after a restart the output is exact.

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

/// Where the process dies: in its first run, or only while it makes good what an earlier one left.
#[derive(Clone, Copy, Debug)]
enum When {
    Running,
    Recovering,
}

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
    let met = NAMES.iter().filter(|name| place == Place::Folder || !is_local(name));
    for &point in met {
        let (permits, expected) = (permits.clone(), expected.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let whens: &[When] = if point.starts_with("final") || point.starts_with("manifest") {
                &[When::Running, When::Recovering]
            } else {
                &[When::Running]
            };
            for &when in whens {
                survives(place, point, when, servers, topic, &expected)
                    .await
                    .with_context(|| format!("killed at {point}, {when:?}, {place:?}"))?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Steps inside a verb that only a local folder has.
fn is_local(point: &str) -> bool {
    !point.ends_with(".before") && !point.ends_with(".after")
}

async fn survives(
    place: Place,
    point: &str,
    when: When,
    servers: &str,
    topic: &str,
    expected: &Rows,
) -> Result<()> {
    let job =
        Job::new(Settings { bootstrap_servers: servers, topic, place, more: MORE, sink: "", endpoint: None })
            .await?;
    if matches!(when, When::Recovering) {
        dies_at(&job, "checkpoint.create.after").await?;
    }
    dies_at(&job, point).await?;
    job.run(&["run", "--until-end"]).await?;
    job.assert_equals(expected).await
}

/// Some command of the job meets the point, and dies there.
async fn dies_at(job: &Job, point: &str) -> Result<()> {
    let commands: [&[&str]; 3] = [&["run", "--until-end"], &["collect"], &["validate"]];
    for command in commands {
        let mut process = job.start(Program::Failpoints, command, None, Some(point))?;
        let status = process.wait(LIMIT).await?;
        if status.signal() == Some(libc::SIGKILL) {
            return Ok(());
        }
        ensure!(status.success(), "{command:?} ended with {status}: {}", process.log()?);
    }
    anyhow::bail!("the point {point} was never met")
}
