//! What nobody needs any more goes by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::scene::{LIMIT, Scene, terminate};

/// Checkpoints from one collection to the next; a few come while it works.
const BETWEEN: usize = 50 + 15;

#[tokio::test(flavor = "multi_thread")]
async fn a_running_replica_removes_old_checkpoints_and_attempts_that_can_never_commit() -> Result<()> {
    let often = "checkpoint: {interval: 20ms, retained: 5, retained_for: 0s}\ncontrol: {poll: 300ms}\n";
    let scene = Scene::with(2, often).await?;
    let writer = scene.write(2);
    let mut killed = scene.start(&[])?;
    scene.until_running(1, 2).await?;
    scene.until_progress().await?;
    // While it reads, so that it leaves an attempt behind.
    killed.signal(libc::SIGKILL);
    killed.wait(LIMIT).await?;
    let process = scene.start(&[])?;
    let newest = async || scene.checkpoint().await?["n"].as_u64().context("no number");
    let enough = newest().await? + 100;
    let deadline = Instant::now() + 2 * LIMIT;
    while newest().await? < enough {
        ensure!(Instant::now() < deadline, "{} of {enough} checkpoints in time", newest().await?);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    writer.end().await?;
    let stored = scene.job.store()?.list(&format!("_tidegate/{}/checkpoints", scene.job.name)).await?.len();
    terminate(process).await?;
    ensure!(stored <= 5 + BETWEEN, "{stored} checkpoints are stored");
    let left = scene.ask(&["collect", "--dry-run"]).await?;
    ensure!(left["attempts"].as_array().is_some_and(Vec::is_empty), "{left}");
    scene.assert_exact().await
}
