//! Savepoints of a job that runs, and its stop with one.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::scene::{LIMIT, Scene, text};
use crate::support::{JOB_FILE, Place, Program};

// Nothing is committed within the test but by what is asked for.
const MORE: &str = "checkpoint: {interval: 1h}\ncontrol: {poll: 200ms}\n";

#[tokio::test(flavor = "multi_thread")]
async fn replicas_make_a_savepoint_of_what_they_have_read_and_stop_with_one() -> Result<()> {
    let scene = Scene::new(Place::Folder, MORE).await?;
    let start = || scene.job.start(Program::Plain, &["run"], Some("running"), None);
    let mut replicas = [start()?, start()?];
    let deadline = Instant::now() + LIMIT;
    let rows = |summary: &serde_json::Value| summary["rows"].as_u64().unwrap_or_default();
    let running = loop {
        ensure!(Instant::now() < deadline, "{}", replicas[0].log()?);
        // Before the first replica has begun the chain there is nothing to save.
        let create = ["savepoint", "create", JOB_FILE, "--output", "json"];
        let mut process = scene.job.start(Program::Plain, &create, None, None)?;
        if process.wait(LIMIT).await?.success() {
            let summary: serde_json::Value = serde_json::from_str(&process.output()?)?;
            if rows(&summary) > 0 {
                break summary;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    ensure!(running["by_replicas"] == true && running["stopped"] == false, "{running}");
    scene.produce().await?;
    let stopped = scene.json(&["savepoint", "create", JOB_FILE, "--stop"]).await?;
    ensure!(stopped["by_replicas"] == true && stopped["stopped"] == true, "{stopped}");
    for replica in &mut replicas {
        ensure!(replica.wait(LIMIT).await?.success(), "{}", replica.log()?);
    }
    // It is the last word: nothing has been committed after it, and all of it is visible.
    let arguments = ["savepoint", "verify", text(&stopped, "uri")?, "--against-sink", JOB_FILE, "--deep"];
    let verified = scene.json(&arguments).await?;
    ensure!(verified["against_sink"]["pending"].as_array().is_some_and(Vec::is_empty), "{verified}");
    let again = scene.json(&["savepoint", "create", JOB_FILE, "--stop"]).await?;
    ensure!(again["by_replicas"] == false && again["stopped"] == false, "{again}");
    ensure!(
        rows(&again) == rows(&stopped) && rows(&stopped) >= rows(&running),
        "{again} {stopped} {running}"
    );
    scene.ends_with(0, &["resume", JOB_FILE]).await?;
    scene.run_to_end().await?;
    scene.job.run(&["audit", "--deep"]).await?;
    Ok(())
}
