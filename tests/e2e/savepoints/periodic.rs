//! Savepoints by the clock, of two replicas that run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::scene::{LIMIT, Scene, text};
use crate::support::{JOB_FILE, Place, Program};

const MORE: &str = "checkpoint: {interval: 100ms}\nsavepoints: {every: 1s, retained: 2}\n";

async fn listed(scene: &Scene) -> Result<Vec<Value>> {
    Ok(scene.json(&["savepoint", "list", JOB_FILE]).await?.as_array().context("a list")?.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_make_them_and_keep_the_newest_and_those_of_people() -> Result<()> {
    let scene = Scene::new(Place::Folder, MORE).await?;
    scene.run_to_end().await?;
    let mine = scene.json(&["savepoint", "create", JOB_FILE]).await?;
    let start = || scene.job.start(Program::Plain, &["run"], Some("periodic"), None);
    let mut replicas = [start()?, start()?];
    let mut seen = std::collections::BTreeSet::new();
    let deadline = Instant::now() + LIMIT;
    while seen.len() < 4 {
        ensure!(Instant::now() < deadline, "{seen:?}: {}", replicas[0].log()?);
        scene.produce().await?;
        let listed = listed(&scene).await?;
        let names: Vec<_> = listed.iter().filter_map(|found| found["name"].as_str()).collect();
        ensure!(names.contains(&text(&mine, "id")?), "{names:?}");
        let periodic = names.iter().filter(|name| name.starts_with("savepoint-periodic-"));
        seen.extend(periodic.map(|name| (*name).to_owned()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for replica in &mut replicas {
        replica.signal(libc::SIGTERM);
        ensure!(replica.wait(LIMIT).await?.success(), "{}", replica.log()?);
        ensure!(!replica.log()?.contains("periodic savepoint;"), "{}", replica.log()?);
    }
    let listed = listed(&scene).await?;
    let whole: Vec<_> = listed.iter().filter(|found| found["problem"].is_null()).collect();
    // Two and the person's, and one more where the last was cut short before the oldest was removed.
    ensure!((3..=4).contains(&whole.len()), "{listed:?}");
    for found in whole {
        scene.ends_with(0, &["savepoint", "verify", text(found, "uri")?, "--against-sink", JOB_FILE]).await?;
    }
    scene.job.run(&["audit"]).await?;
    Ok(())
}
