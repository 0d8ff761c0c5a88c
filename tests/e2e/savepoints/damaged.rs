//! Damaged savepoints: every one is refused, with exit code 3, the file's name and
//! a remedy, and the sink untouched.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::damages::{self, Damage};
use super::scene::{Scene, path, text};
use crate::support::{JOB_FILE, Place};

const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn damaged_savepoints_are_refused_and_the_sink_is_untouched() -> Result<()> {
    let scene = Arc::new(Scene::new(Place::Folder, "").await?);
    scene.run_to_end().await?;
    let savepoint = scene.create().await?;
    let sound = Arc::new(path(text(&savepoint, "uri")?)?);
    ensure!(savepoint["commits"].as_u64() >= Some(2), "{savepoint}");
    let sink = scene.sink().await?;
    let damages = damages::all();
    ensure!(damages.len() >= 50, "{} damages", damages.len());
    let (permits, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for (number, damage) in damages.into_iter().enumerate() {
        let (scene, sound, permits) = (scene.clone(), sound.clone(), permits.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            is_refused(&scene, &sound, number, &damage).await.with_context(|| damage.name)
        });
    }
    let mut failures = Vec::new();
    while let Some(done) = tasks.join_next().await {
        failures.extend(done?.err().map(|error| format!("{error:#}")));
    }
    ensure!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
    ensure!(scene.sink().await? == sink, "the sink was touched");
    // The one that all were copied from is as good as ever.
    scene
        .ends_with(0, &["savepoint", "verify", text(&savepoint, "uri")?, "--against-sink", JOB_FILE])
        .await?;
    Ok(())
}

async fn is_refused(scene: &Scene, sound: &Path, number: usize, damage: &Damage) -> Result<()> {
    let folder = scene.outside.path().join(format!("damaged/{number}/savepoint"));
    fs::create_dir_all(&folder)?;
    for file in fs::read_dir(sound)? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    (damage.act)(&folder)?;
    let uri = format!("file://{}", folder.display());
    let sound = format!("file://{}", sound.display());
    let commands: [&[&str]; 4] = [
        &["run", JOB_FILE, "--from-savepoint", &uri, "--rollback"],
        &["savepoint", "verify", &uri, "--against-sink", JOB_FILE],
        &["savepoint", "show", &uri],
        &["savepoint", "diff", &sound, &uri],
    ];
    for command in commands {
        let said = scene.ends_with(3, command).await?;
        ensure!(said.err.contains(damage.file), "{} is not named: {said:?}", damage.file);
        let remedies = ["use another", "upgrade it", "name the folder of one"];
        ensure!(remedies.iter().any(|remedy| said.err.contains(remedy)), "no remedy: {said:?}");
        ensure!(said.out.is_empty() && said.err.len() < 2_000, "{said:?}");
    }
    Ok(())
}
