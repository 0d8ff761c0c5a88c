//! Stops that were asked for, and what starts the job again.

use anyhow::{Context, Result, ensure};
use tidegate::config::{Config, Origin};
use tidegate::replica::control::Board;
use tidegate::replica::control::savepoints::{self, SavepointState, Wish};

use super::scene::{Scene, all_are, ended_clean, held, ready, terminate};

#[tokio::test(flavor = "multi_thread")]
async fn a_held_job_is_unready_and_out_of_the_group_until_it_is_resumed() -> Result<()> {
    let scene = Scene::new(4).await?;
    let writer = scene.write(4);
    let hold = ["--on-stop", "hold"];
    let mut processes = vec![scene.start(&hold)?, scene.start(&hold)?];
    scene.until_running(2, 4).await?;
    scene.until_progress().await?;
    scene.ask(&["stop"]).await?;
    let holding = |replicas: &[serde_json::Value]| {
        replicas.len() == 2 && all_are(replicas, "holding") && held(replicas).is_empty()
    };
    let replicas = scene.until("holding", holding).await?;
    for replica in &replicas {
        ensure!(ready(replica).await?.0 == 503, "ready while it holds");
    }
    let before = scene.position().await?;
    writer.rounds(2).await?;
    // A platform that restarts a process must not start the job.
    let restarted = processes.remove(0);
    terminate(restarted).await?;
    processes.push(scene.start(&hold)?);
    scene.until("holding", holding).await?;
    ensure!(scene.position().await? == before, "committed while stopped");

    scene.ask(&["resume"]).await?;
    for replica in scene.until_running(2, 4).await? {
        ensure!(ready(&replica).await?.0 == 200, "not ready after it was resumed");
    }
    scene.until_progress().await?;
    writer.end().await?;
    for process in processes {
        terminate(process).await?;
    }
    scene.assert_exact().await
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_end_on_a_stop_are_resumed_by_their_next_start() -> Result<()> {
    let scene = Scene::new(4).await?;
    let writer = scene.write(4);
    let mut processes = [scene.start(&[])?, scene.start(&[])?];
    scene.until_running(2, 4).await?;
    scene.until_progress().await?;
    scene.ask(&["stop"]).await?;
    for process in &mut processes {
        ended_clean(process).await?;
    }
    writer.rounds(1).await?;
    let processes = [scene.start(&[])?, scene.start(&[])?];
    scene.until_running(2, 4).await?;
    scene.until_progress().await?;
    // Nobody has asked: a restart of all goes on where they were.
    for process in processes {
        terminate(process).await?;
    }
    writer.end().await?;
    scene.assert_exact().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_with_a_stop_is_made_when_all_replicas_have_stopped() -> Result<()> {
    let scene = Scene::new(4).await?;
    let writer = scene.write(4);
    let mut processes = [scene.start(&[])?, scene.start(&[])?];
    scene.until_running(2, 4).await?;
    scene.until_progress().await?;
    let to = format!("{}-savepoints", scene.job.url);
    let text = std::fs::read_to_string(scene.job.file())?.replace("${GROUP}", "any");
    let config = Config::parse(&text, &Origin(scene.job.file()))?;
    let board = Board::of(&tidegate::cli::open_sink(&config, false)?, &config);
    let wish = Wish { to: Some(to.clone()), stop: true, ..Wish::default() };
    let (id, uri) = savepoints::start(&board, &config, wish).await?;
    for process in &mut processes {
        ended_clean(process).await?;
    }
    writer.end().await?;
    let state = savepoints::state(&board, &config, &id).await?;
    ensure!(state == Some(SavepointState::Completed { uri }), "{state:?}");
    let folder = to.strip_prefix("file://").context("not a folder")?;
    let saved = std::fs::read_to_string(format!("{folder}/{id}/checkpoint.json"))?;
    let saved: serde_json::Value = serde_json::from_str(&saved)?;
    let newest = scene.checkpoint().await?;
    ensure!(saved["partitions"] == newest["partitions"], "the savepoint is behind the sink");
    ensure!(std::fs::exists(format!("{folder}/{id}/manifest.sha256"))?, "not complete");
    scene.assert_exact().await
}
