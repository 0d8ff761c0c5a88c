//! Stores that do not keep their promises, by a stand-in for S3 that can break each of them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tidegate_testcontainers::S3;

use crate::support::{Job, Place, Process, Program, Settings, orders};

const LIMIT: Duration = Duration::from_secs(90);

struct Scene {
    s3: S3,
    job: Job,
    servers: &'static str,
    topic: &'static str,
}

impl Scene {
    /// `more` goes at the end of the job file.
    async fn new(more: &str) -> Result<Self> {
        let ((servers, topic), s3) = (orders().await?, S3::start().await?);
        let settings = Settings {
            bootstrap_servers: servers,
            topic,
            place: Place::Folder,
            more,
            sink: "",
            endpoint: None,
        };
        let mut job = Job::new(settings).await?;
        let url = format!("s3://lake/{}", job.name);
        let options = [
            ("endpoint", s3.endpoint()),
            ("region", "us-east-1"),
            ("path_style", "true"),
            ("allow_http", "true"),
            ("access_key_id", "key"),
            ("secret_access_key", "planted-secret"),
            ("session_token", "planted-token"),
        ];
        let lines = options.map(|(key, value)| format!("\n    {key}: \"{value}\"")).concat();
        let text = std::fs::read_to_string(job.file())?;
        let text = text.replace("  store: {}", &format!("  store:{lines}")).replace(&job.url, &url);
        std::fs::write(job.file(), text)?;
        job.options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        job.url = url;
        Ok(Self { s3, job, servers, topic })
    }

    async fn ended(&self, process: &mut Process, code: i32) -> Result<String> {
        let status = process.wait(LIMIT).await?;
        let said = process.output()? + process.log()?.as_str();
        ensure!(status.code() == Some(code), "ended with {status}, not {code}: {said}");
        Ok(said)
    }

    async fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let mut process = self.job.start(Program::Plain, arguments, None, None)?;
        self.ended(&mut process, code).await
    }

    /// The paths of all that lies in a folder of the job's.
    async fn paths(&self, folder: &str) -> Result<Vec<String>> {
        let entries = self.job.store()?.list(&format!("_tidegate/{}{folder}", self.job.name)).await?;
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }
}

/// They would overwrite each other's checkpoints, and each go on from its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_never_run_on_a_store_that_lets_both_create_one_checkpoint() -> Result<()> {
    let scene = Scene::new("checkpoint: {interval: 400ms}\n").await?;
    for create in ["toctou", "ignore"] {
        scene.s3.set(&[("create", create)]).await?;
        let said = scene.ends_with(2, &["validate"]).await?;
        ensure!(said.contains("is not atomic") && said.contains("would not start"), "{create}: {said}");
        let group = format!("{}-{create}", scene.job.name);
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(scene.job.start(Program::Plain, &["run"], Some(&group), None)?);
        }
        for replica in &mut replicas {
            let said = scene.ended(replica, 3).await?;
            ensure!(said.contains("is not atomic"), "{create}: {said}");
        }
        ensure!(scene.paths("").await?.is_empty(), "{create}: {:?}", scene.paths("").await?);
    }
    scene.s3.set(&[("create", "atomic")]).await?;
    let said = scene.ends_with(0, &["validate"]).await?;
    ensure!(said.contains("create-if-absent holds"), "{said}");
    scene.job.run(&["run", "--until-end"]).await?;
    scene.job.assert_exact(scene.servers, scene.topic).await
}

/// As when a gateway that does not know the others comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_was_overwritten_stops_who_has_created_it() -> Result<()> {
    for tags in ["true", "false"] {
        let more = "checkpoint: {interval: 300ms}\nspeed: {bytes_per_second: 20KB}\n";
        let scene = Scene::new(more).await?;
        scene.s3.set(&[("tags", tags)]).await?;
        let mut replica = scene.job.start(Program::Plain, &["run"], None, None)?;
        let begun = Instant::now();
        let newest = loop {
            match scene.paths("/checkpoints").await?.pop() {
                Some(newest) if !newest.ends_with("0001.json") => break newest,
                _ => ensure!(begun.elapsed() < LIMIT && replica.is_running()?, "{}", replica.log()?),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let store = scene.job.store()?;
        let body = store.get(&newest).await?.unwrap_or_default();
        store.put(&newest, [&body[..], b"\n"].concat().into()).await?;
        let said = scene.ended(&mut replica, 3).await?;
        ensure!(said.contains("this store is not atomic") && said.contains(&newest), "tags {tags}: {said}");
    }
    Ok(())
}

/// S3 repeats the token of a request in some of its answers, and all of its headers in others.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_repeats_the_session_token_is_told_without_it() -> Result<()> {
    let scene = Scene::new("timeouts: {store_request: 2s, store_retry: 5s}\n").await?;
    for echo in ["PUT .*/checkpoints/", "PUT ", "GET ", ""] {
        // All requests last.
        let echo = if echo.is_empty() { "." } else { echo };
        scene.s3.set(&[("echo", echo)]).await?;
        for command in [&["validate"][..], &["position"], &["run", "--until-end"]] {
            let arguments = [command, &["--log-level", "trace"]].concat();
            let mut process = scene.job.start(Program::Plain, &arguments, None, None)?;
            let status = process.wait(LIMIT).await?;
            let said = process.output()? + process.log()?.as_str();
            let told = said.lines().find(|line| line.contains("planted"));
            ensure!(told.is_none(), "{echo}, {command:?}: {}", told.unwrap_or_default());
            let is_met = match command[0] {
                "position" => !echo.starts_with("PUT"),
                "validate" => !echo.contains("checkpoints"),
                _ => true,
            };
            if is_met {
                let why = "InvalidToken: The provided token is malformed or otherwise invalid.";
                ensure!(said.contains(why), "{echo}, {command:?} does not say why: {said}");
                ensure!(status.code() == Some(2), "{echo}, {command:?} ended with {status}: {said}");
            }
        }
    }
    Ok(())
}

/// A copy by the server that takes longer than a request may is one copy all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_copy_is_waited_for_and_not_repeated() -> Result<()> {
    let more = "checkpoint: {interval: 1s, timeout: 30s}\ntimeouts: {store_request: 1s, store_retry: 4s}\n";
    let scene = Scene::new(more).await?;
    scene.s3.set(&[("copy", "2.5")]).await?;
    let mut process = scene.job.start(Program::Plain, &["run", "--until-end"], None, None)?;
    let said = scene.ended(&mut process, 0).await?;
    ensure!(!said.contains("publishing failed"), "{said}");
    let copies = scene.s3.copies().await?;
    ensure!(!copies.is_empty() && copies.values().all(|count| *count == 1), "{copies:?}");
    scene.job.assert_exact(scene.servers, scene.topic).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_keeps_all_versions_is_told_by_validate() -> Result<()> {
    let scene = Scene::new("").await?;
    let said = scene.ends_with(0, &["validate"]).await?;
    ensure!(!said.contains("noncurrent"), "{said}");
    scene.s3.set(&[("versions", "true")]).await?;
    let said = scene.ends_with(0, &["validate"]).await?;
    ensure!(said.contains("warning") && said.contains("noncurrent versions"), "{said}");
    Ok(())
}
