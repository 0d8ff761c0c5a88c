//! Pause and resume, checkpoints on request, and what happens to a damaged control object.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::scene::{LIMIT, SESSION_TIMEOUT, Scene, all_are, held, terminate};

#[tokio::test(flavor = "multi_thread")]
async fn paused_replicas_keep_their_partitions_and_commit_nothing() -> Result<()> {
    let scene = Scene::new(4).await?;
    let writer = scene.write(4);
    let processes = [scene.start(&[])?, scene.start(&[])?];
    scene.until_running(2, 4).await?;
    scene.until_progress().await?;
    let asked = scene.ask(&["pause"]).await?["n"].as_u64().context("no number")?;
    let paused = scene
        .until("paused", |replicas| {
            all_are(replicas, "paused")
                && replicas.iter().all(|replica| replica["control"].as_u64() >= Some(asked))
        })
        .await?;
    let before = scene.position().await?;
    // Longer than the group waits for a member that does not poll.
    tokio::time::sleep(SESSION_TIMEOUT + Duration::from_secs(2)).await;
    writer.rounds(2).await?;
    ensure!(scene.position().await? == before, "committed while paused");
    let still = scene.until("paused", |replicas| all_are(replicas, "paused")).await?;
    let partitions = |replicas: &[serde_json::Value]| -> Vec<_> {
        replicas.iter().map(|replica| (replica["id"].clone(), replica["partitions"].clone())).collect()
    };
    ensure!(partitions(&still) == partitions(&paused), "partitions were lost: {still:?}");
    let position = scene.ask(&["position"]).await?;
    ensure!(
        position.to_string().contains("\"lag\":") && !all_lags(&position).is_empty(),
        "no lag: {position}"
    );
    ensure!(all_lags(&position).iter().all(|lag| *lag > 0), "the lag does not grow: {position}");

    scene.ask(&["resume"]).await?;
    scene.until_progress().await?;
    ensure!(
        scene.checkpoint().await?["control"].as_u64() > Some(asked),
        "the checkpoint knows what was asked"
    );
    writer.end().await?;
    for process in processes {
        terminate(process).await?;
    }
    ensure!(scene.replicas().await?.is_empty(), "replicas that ended clean are forgotten");
    scene.assert_exact().await
}

fn all_lags(position: &serde_json::Value) -> Vec<u64> {
    let rows = position["partitions"].as_array().or(position.as_array());
    rows.into_iter().flatten().filter_map(|row| row["lag"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_on_request_is_made_by_every_replica_at_once() -> Result<()> {
    let scene = Scene::with(4, "checkpoint: {interval: 1h}\ncontrol: {poll: 300ms}\n").await?;
    let processes = [scene.start(&[])?, scene.start(&[])?];
    scene.until_running(2, 4).await?;
    let writer = scene.write(4);
    writer.rounds(3).await?;
    let deadline = Instant::now() + LIMIT;
    while scene.replicas().await?.iter().any(|replica| replica["records_per_second"] == 0.0) {
        ensure!(Instant::now() < deadline, "nothing is read");
    }
    let before = scene.position().await?;
    let answer = scene.ask(&["checkpoint"]).await?;
    ensure!(answer["waited"]["acknowledged"].as_array().is_some_and(|ids| ids.len() == 2), "{answer}");
    let after = scene.position().await?;
    ensure!(before.iter().all(|(partition, next)| after[partition] > *next), "from {before:?} to {after:?}");
    writer.end().await?;
    for process in processes {
        terminate(process).await?;
    }
    scene.assert_exact().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_control_object_is_passed_over_until_the_next_is_asked() -> Result<()> {
    let scene = Scene::new(2).await?;
    let writer = scene.write(2);
    let process = scene.start(&[])?;
    scene.until_running(1, 2).await?;
    let asked = scene.ask(&["speed", "1GB"]).await?["n"].as_u64().context("no number")?;
    scene.until("limited", |replicas| replicas[0]["limit_bytes_per_second"] == 1_000_000_000).await?;
    let damaged = format!("_tidegate/{}/control/{:020}.json", scene.job.name, asked + 1);
    scene.job.store()?.put(&damaged, "{\"format\": 1, \"n\": 2, \"stopp".into()).await?;
    let deadline = Instant::now() + LIMIT;
    while !process.log()?.contains("damaged") {
        ensure!(Instant::now() < deadline, "not told: {}", process.log()?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let error = process.log()?.lines().find(|line| line.contains("damaged")).unwrap_or_default().to_owned();
    ensure!(error.contains(&damaged) && error.contains("ask again"), "no place or remedy: {error}");
    scene.until_progress().await?;
    ensure!(scene.replicas().await?[0]["limit_bytes_per_second"] == 1_000_000_000, "the last good one holds");

    scene.ask(&["pause"]).await?;
    scene.until("paused", |replicas| all_are(replicas, "paused") && held(replicas).len() == 2).await?;
    scene.ask(&["resume"]).await?;
    scene.until_progress().await?;
    writer.end().await?;
    terminate(process).await?;
    scene.assert_exact().await
}
