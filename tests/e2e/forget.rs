//! Old commits are forgotten: users may compact or delete their files, and the audit still adds up.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::Transactions;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{Job, Place, Program, Settings, orders, unique};

/// Many small commits.
const SMALL: &str = "checkpoint: {interval: 100ms, copy_grace: 1s}\nspeed: {bytes_per_second: 100KB}\n";
/// Jobs that run at the same time.
const AT_ONCE: usize = 4;
const LIMIT: Duration = Duration::from_secs(60);
/// Each step of a `forget` that changes something, and some that only look.
const POINTS: [&str; 11] = [
    "commit.list.after",
    "commit.get.before",
    "checkpoint.create.before",
    "checkpoint.create.synced",
    "checkpoint.create.linked",
    "checkpoint.create.after",
    "checkpoint.list.after:2",
    "commit.delete.before",
    "commit.delete.unlinked:2",
    "commit.delete.after",
    "commit.delete.after:3",
];

/// A job that has read the orders in many commits, and when the commit in the middle was made.
async fn committed(place: Place) -> Result<(Job, String)> {
    let (servers, topic) = orders().await?;
    let settings =
        Settings { bootstrap_servers: servers, topic, place, more: SMALL, sink: "", endpoint: None };
    let job = Job::new(settings).await?;
    job.run(&["run", "--until-end"]).await?;
    let store = job.store()?;
    let mut made = Vec::new();
    for entry in store.list(&format!("_tidegate/{}/commits", job.name)).await? {
        let commit: Value = serde_json::from_slice(&store.get(&entry.path).await?.context("a commit")?)?;
        made.push(commit["created"].as_str().context("created")?.to_owned());
    }
    made.sort();
    ensure!(made.len() >= 16, "{} commits are too few", made.len());
    Ok((job, made[made.len() / 2].clone()))
}

async fn json(job: &Job, arguments: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&job.run(&[arguments, &["--output", "json"]].concat()).await?)?)
}

fn paths(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|path| path.as_str().map(str::to_owned)).collect()
}

/// How the audit ends when it finds something missing.
async fn audit_fails(job: &Job) -> Result<bool> {
    let mut audit = job.start(Program::Plain, &["audit"], None, None)?;
    let status = audit.wait(LIMIT).await?;
    Ok(status.code() == Some(4) && audit.output()?.contains("missing file"))
}

async fn forgets_and_still_adds_up(place: Place) -> Result<()> {
    let (job, before) = committed(place).await?;
    let would = json(&job, &["forget", "--before", &before, "--dry-run"]).await?;
    let done = json(&job, &["forget", "--before", &before]).await?;
    let files = paths(&done["files"]);
    ensure!(!files.is_empty() && paths(&would["files"]) == files, "{would} {done}");
    ensure!(done["usable_from"].is_null() == (place == Place::Folder), "{done}");
    let again = json(&job, &["forget", "--before", &before]).await?;
    ensure!(paths(&again["commits"]).is_empty() && again["base"] == done["base"], "{again}");
    let report = json(&job, &["audit", "--deep"]).await?;
    ensure!(paths(&report["forgotten"]) == files, "{report}");

    // Compacted: its rows are in a file of the user's; the others are deleted.
    let store = job.store()?;
    let bytes = store.get(&files[0]).await?.context("the file has gone")?;
    store.put("orders/compacted.bin", bytes).await?;
    for path in &files {
        store.delete(path).await?;
    }
    let report = json(&job, &["audit", "--deep"]).await?;
    // By its footer it is what a forgotten commit left, whatever it is called.
    ensure!(report["exact"] == true && paths(&report["forgotten"]) == ["orders/compacted.bin"], "{report}");

    let left = store.list("orders").await?;
    let ours = left.iter().find(|entry| entry.path.ends_with(".parquet")).context("all is forgotten")?;
    store.delete(&ours.path).await?;
    ensure!(audit_fails(&job).await?, "a file that was not forgotten is missing, and the audit is content");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_files_may_go_and_others_may_not_on_a_folder() -> Result<()> {
    forgets_and_still_adds_up(Place::Folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_files_may_go_and_others_may_not_on_s3() -> Result<()> {
    forgets_and_still_adds_up(Place::S3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_forgetting_it_still_adds_up() -> Result<()> {
    let (permits, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for point in POINTS {
        let permits = permits.clone();
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            killed_at(point).await.with_context(|| format!("killed at {point}"))
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

async fn killed_at(point: &str) -> Result<()> {
    let (job, before) = committed(Place::Folder).await?;
    let arguments = ["forget", "--before", before.as_str()];
    let mut killed = job.start(Program::Failpoints, &arguments, None, Some(point))?;
    let status = killed.wait(LIMIT).await?;
    ensure!(status.signal() == Some(libc::SIGKILL), "was not met: {status} {}", killed.log()?);
    job.run(&["audit", "--deep"]).await?;
    job.run(&arguments).await?;
    let report = json(&job, &["audit", "--deep"]).await?;
    let forgotten = paths(&report["forgotten"]);
    ensure!(!forgotten.is_empty(), "{report}");
    for path in forgotten {
        job.store()?.delete(&path).await?;
    }
    job.run(&["audit", "--deep"]).await.context("the files are deleted").map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_beside_running_replicas_and_another_forget() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let topic = unique("forgotten");
    kafka.create_topic(&topic, 4).await?;
    let servers = kafka.bootstrap_servers();
    let job = Job::new(Settings {
        bootstrap_servers: servers,
        topic: &topic,
        place: Place::Folder,
        more: SMALL,
        sink: "",
        endpoint: None,
    })
    .await?;
    let group = unique("group");
    let start = || job.start(Program::Plain, &["run"], Some(&group), None);
    let mut replicas = [start()?, start()?];
    let begun = Instant::now();
    while job.store()?.list(&format!("_tidegate/{}/checkpoints", job.name)).await?.is_empty() {
        ensure!(begun.elapsed() < LIMIT, "no chain: {}", replicas[0].log()?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut forgotten = 0;
    for _ in 0..6 {
        let plan = Transactions { records: 2_000, ..Default::default() };
        plan.produce(servers, &topic).await?;
        let arguments = ["forget", "--before", "0s", "--output", "json"];
        let (first, second, _) =
            tokio::try_join!(job.run(&arguments), job.run(&arguments), job.run(&["audit"]))?;
        for output in [first, second] {
            let shown: Value = serde_json::from_str(&output)?;
            forgotten = forgotten.max(shown["base"]["commits"].as_u64().unwrap_or(0));
        }
    }
    for replica in &mut replicas {
        replica.signal(libc::SIGTERM);
        let status = replica.wait(LIMIT).await?;
        ensure!(status.success(), "{status}: {}", replica.log()?);
    }
    job.run(&["run", "--until-end"]).await?;
    ensure!(forgotten > 10, "only {forgotten} commits were forgotten");
    job.assert_exact(servers, &topic).await
}
