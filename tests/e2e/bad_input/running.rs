//! Stopping, speed, leftovers, and what must never be told.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::scene::{LIMIT, Scene, Sections, address, metric};
use crate::support::Place;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_makes_a_last_checkpoint() -> Result<()> {
    // No checkpoint is due within the test but the last.
    let scene =
        Scene::new(1, Sections { more: "checkpoint: {interval: 1h}\n", ..Default::default() }).await?;
    for (signal, count) in [(libc::SIGTERM, 3), (libc::SIGINT, 6)] {
        scene.produce(0, &[Some(b"0"), Some(b"1"), Some(b"2")]).await?;
        let mut process = scene.start(&["run"])?;
        let address = address(&process).await?;
        let deadline = Instant::now() + LIMIT;
        while metric(&address, "tidegate_records_read_total").await? < 3.0 {
            ensure!(Instant::now() < deadline, "nothing is read: {}", process.log()?);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ensure!(scene.rows("t").await?.len() == count - 3, "a checkpoint came before the last");
        process.signal(signal);
        let status = process.wait(LIMIT).await?;
        ensure!(status.code() == Some(0), "{status}: {}", process.log()?);
        scene.assert_raw().await?;
        ensure!(scene.rows("t").await?.len() == count);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_byte_limit_holds_over_ten_seconds() -> Result<()> {
    const LIMIT_BYTES: f64 = 400_000.0;
    let scene = Scene::new(2, Sections::default()).await?;
    scene.write(Sections { more: "speed: {bytes_per_second: 400000}\n", ..Default::default() })?;
    let payload = vec![b'x'; 997];
    let payloads = vec![Some(payload.as_slice()); 3_000];
    scene.produce(0, &payloads).await?;
    scene.produce(1, &payloads).await?;
    let process = scene.start(&["run"])?;
    let address = address(&process).await?;
    while metric(&address, "tidegate_bytes_read_total").await? < LIMIT_BYTES {
        ensure!(scene.folder().parent().is_some_and(std::path::Path::exists));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (before, started) = (metric(&address, "tidegate_bytes_read_total").await?, Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (after, passed) = (metric(&address, "tidegate_bytes_read_total").await?, started.elapsed());
    let rate = (after - before) / passed.as_secs_f64();
    let off = (rate / LIMIT_BYTES - 1.0) * 100.0;
    eprintln!("throttle: {rate:.0} B/s at a limit of {LIMIT_BYTES} B/s, {off:+.2} %");
    // The promise is 2 %; a machine that does other work at the same time gets as much again.
    ensure!(off.abs() <= 4.0, "{off:+.2} % off");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_removes_what_a_killed_process_left() -> Result<()> {
    let scene =
        Scene::new(1, Sections { more: "checkpoint: {interval: 1h}\n", ..Default::default() }).await?;
    scene.produce(0, &[Some(b"0"), Some(b"1")]).await?;
    let staging = format!("_tidegate/{}/staging", scene.job.name);
    let store = scene.job.store()?;
    let process = scene.start(&["run"])?;
    let deadline = Instant::now() + LIMIT;
    while store.list(&staging).await?.is_empty() {
        ensure!(Instant::now() < deadline, "nothing is staged: {}", process.log()?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.signal(libc::SIGKILL);
    drop(process);
    ensure!(scene.rows("t").await?.is_empty(), "nothing was committed");
    ensure!(!store.list(&staging).await?.is_empty(), "nothing is left");
    // It might still commit until another one has moved the position.
    scene.ends_with(0, &["collect"]).await?;
    ensure!(!store.list(&staging).await?.is_empty(), "what may commit was collected");
    scene.run_to_end().await?;
    let planned = scene.ends_with(0, &["collect", "--dry-run"]).await?;
    ensure!(planned.contains("1 staged attempts would be removed"), "{planned}");
    scene.ends_with(0, &["collect"]).await?;
    let left = store.list(&staging).await?;
    ensure!(left.is_empty(), "{left:?}");
    scene.assert_raw().await
}

const MARKER: &str = "s3cr3t-m4rk3r";

#[tokio::test(flavor = "multi_thread")]
async fn no_content_and_no_secret_is_ever_told() -> Result<()> {
    let format = "{type: json, metadata: [offset, key], columns: [{name: text, type: string}, {name: n, type: int64}]}";
    let scene = Scene::at(Place::S3, 1, Sections { format, ..Default::default() }).await?;
    let good = format!("{{\"text\":\"{MARKER}\",\"n\":1}}");
    let bad = [
        format!("{{\"n\":\"{MARKER}\"}}"),
        format!("{{\"text\":{MARKER}}}"),
        MARKER.to_owned(),
        // Names of members may be told, values never.
        format!("{{\"other\":\"{MARKER}\",\"n\":1,\"n\":\"{MARKER}\"}}"),
        format!("{{\"text\":\"{MARKER}\\x\"}}"),
    ];
    let mut payloads = vec![Some(good.as_bytes())];
    payloads.extend(bad.iter().map(|payload| Some(payload.as_bytes())));
    scene.produce(0, &payloads).await?;

    let commands: [&[&str]; 6] = [
        &["run", "--until-end", "--log-level", "trace"],
        &["validate", "--log-level", "trace"],
        &["audit", "--deep", "--log-level", "trace"],
        &["position", "--log-level", "trace"],
        &["collect", "--log-level", "trace"],
        &["schema", "--log-level", "trace"],
    ];
    let tell = async |code: Option<i32>, command: &[&str]| -> Result<()> {
        let mut process = scene.start(command)?;
        let status = process.wait(LIMIT).await?;
        let said = process.output()? + process.log()?.as_str();
        ensure!(
            code.is_none_or(|code| status.code() == Some(code)),
            "{command:?} ended with {status}: {said}"
        );
        ensure!(!said.is_empty(), "{command:?} says nothing");
        let told = said.lines().find(|line| line.contains(MARKER));
        ensure!(told.is_none(), "{command:?} tells: {}", told.unwrap_or_default());
        Ok(())
    };
    tell(Some(2), commands[0]).await?;
    scene.write(Sections { format, more: "error_limit: {records: 9}\n", ..Default::default() })?;
    for command in commands {
        tell(Some(0), command).await?;
    }
    ensure!(
        scene.rejects().await?.iter().all(|row| !row["error"].contains(MARKER)),
        "an error repeats a value"
    );
    ensure!(scene.rows("t").await?.iter().any(|row| row["text"] == MARKER), "the marker came through");

    // A secret that the store refuses, from a file as it would be mounted; and one in the job file itself.
    let secret = scene.job.file().with_file_name("secret");
    std::fs::write(&secret, MARKER)?;
    for written in [format!("${{file:{}}}", secret.display()), MARKER.to_owned()] {
        let endpoint = scene.job.options.get("endpoint").context("an endpoint")?;
        let sink = format!(
            "  store: {{endpoint: \"{endpoint}\", region: us-east-1, path_style: true, allow_http: true, \
             access_key_id: minioadmin, secret_access_key: \"{written}\"}}\n"
        );
        let more = "timeouts: {store_request: 1s, store_retry: 2s}\n";
        scene.write(Sections { format, sink: &sink, more, ..Default::default() })?;
        tell(Some(2), commands[0]).await?;
        tell(Some(2), commands[1]).await?;
        // A mistake in the same file must not show it either.
        scene.write(Sections {
            format,
            sink: &sink,
            more: "timeouts: {store_retry: soon}\n",
            ..Default::default()
        })?;
        tell(Some(2), commands[0]).await?;
    }
    Ok(())
}
