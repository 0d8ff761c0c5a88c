//! Killed, as by kill -9, at each step of making and of removing a savepoint: what
//! is left is refused, or whole.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_sinks::failpoints::SAVEPOINT_NAMES;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::scene::{LIMIT, SECRET, Scene, path, text};
use crate::support::{JOB_FILE, Place, Program};

const AT_ONCE: usize = 4;
/// More often than any point is met by one command.
const HITS_MAX: u32 = 50;

/// How often each point killed.
type Kills = BTreeMap<&'static str, u32>;

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_savepoint_is_made_or_removed() -> Result<()> {
    let scene = Arc::new(Scene::new(Place::Folder, "").await?);
    scene.run_to_end().await?;
    let sink = scene.sink().await?;
    let (permits, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for &point in SAVEPOINT_NAMES {
        let (scene, permits) = (scene.clone(), permits.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let mut kills = 0;
            for hits in 1..=HITS_MAX {
                let kill_at = format!("{point}:{hits}");
                let to = format!("{}/{point}-{hits}", scene.to());
                let made = survives_create(&scene, &to, &kill_at)
                    .await
                    .with_context(|| format!("create, {kill_at}"))?;
                let removed = survives_dispose(&scene, &to, &kill_at)
                    .await
                    .with_context(|| format!("dispose, {kill_at}"))?;
                kills += u32::from(made) + u32::from(removed);
                if !made && !removed {
                    break;
                }
            }
            anyhow::Ok((point, kills))
        });
    }
    let mut kills = Kills::new();
    while let Some(done) = tasks.join_next().await {
        let (point, count) = done??;
        kills.insert(point, count);
    }
    ensure!(kills.values().all(|count| *count > 0), "never met: {kills:?}");
    // Each of five files is created, and removed, step by step.
    ensure!(kills["savepoint.create.linked"] == 5 && kills["savepoint.delete.unlinked"] == 5, "{kills:?}");
    ensure!(scene.sink().await? == sink, "the sink was touched");
    scene.job.run(&["audit"]).await?;
    Ok(())
}

async fn dies(scene: &Scene, arguments: &[&str], kill_at: &str) -> Result<bool> {
    let mut process = scene.job.start(Program::Failpoints, arguments, Some(SECRET), Some(kill_at))?;
    let status = process.wait(LIMIT).await?;
    if status.signal() == Some(libc::SIGKILL) {
        return Ok(true);
    }
    ensure!(status.success(), "{arguments:?} ended with {status}: {}", process.log()?);
    Ok(false)
}

/// Whether the point was met; if so, what it left is whole or refused, and the next one is made all the same.
async fn survives_create(scene: &Scene, to: &str, kill_at: &str) -> Result<bool> {
    let create = ["savepoint", "create", JOB_FILE, "--to", to];
    let died = dies(scene, &create, kill_at).await?;
    let left = listed(scene, to).await?;
    ensure!(left.len() <= 1, "{left:?}");
    for found in &left {
        let code = if found["problem"].is_null() { 0 } else { 3 };
        let said = scene.ends_with(code, &["savepoint", "verify", text(found, "uri")?]).await?;
        ensure!(code == 0 || said.err.contains("manifest.sha256 is missing"), "{said:?}");
    }
    let again = scene.json(&create).await?;
    scene.ends_with(0, &["savepoint", "verify", text(&again, "uri")?, "--against-sink", JOB_FILE]).await?;
    // What was cut short can be removed.
    for found in left.iter().filter(|found| !found["problem"].is_null()) {
        scene.ends_with(0, &["savepoint", "dispose", text(found, "uri")?]).await?;
        ensure!(!path(text(found, "uri")?)?.exists());
    }
    Ok(died)
}

/// Whether the point was met; if so, what it left is whole or refused, and can be removed again.
async fn survives_dispose(scene: &Scene, to: &str, kill_at: &str) -> Result<bool> {
    let savepoint = scene.json(&["savepoint", "create", JOB_FILE, "--to", to]).await?;
    let uri = text(&savepoint, "uri")?;
    let died = dies(scene, &["savepoint", "dispose", uri], kill_at).await?;
    if path(uri)?.join("manifest.sha256").exists() {
        ensure!(died);
        scene.ends_with(0, &["savepoint", "verify", uri]).await?;
    } else {
        scene.ends_with(3, &["savepoint", "verify", uri]).await?;
    }
    // Its last file may have gone, and its folder not.
    let is_left = path(uri)?.read_dir().is_ok_and(|mut files| files.next().is_some());
    scene.ends_with(if is_left { 0 } else { 3 }, &["savepoint", "dispose", uri]).await?;
    let left = listed(scene, to).await?;
    ensure!(left.iter().all(|found| found["uri"] != uri), "{left:?}");
    Ok(died)
}

async fn listed(scene: &Scene, to: &str) -> Result<Vec<Value>> {
    let listed = scene.json(&["savepoint", "list", JOB_FILE, "--to", to]).await?;
    Ok(listed.as_array().context("a list")?.clone())
}
