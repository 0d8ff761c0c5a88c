//! Brokers, folders and stores that are not what the job needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};

use tokio::net::{TcpListener, TcpStream};

use super::scene::{LIMIT, Scene, Sections};
use crate::support::Process;

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// A tmpfs of its own; gone when dropped.
struct Mount {
    path: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Mount {
    /// `None` where the user may not mount, with the reason printed.
    fn new(options: &str) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        Self::at(folder.path().to_owned(), Some(folder), options)
    }

    fn at(path: PathBuf, folder: Option<tempfile::TempDir>, options: &str) -> Result<Option<Self>> {
        let mount = Self { path, _folder: folder };
        if mount.mount(options)? {
            return Ok(Some(mount));
        }
        eprintln!("skipped: mounting a tmpfs takes root");
        Ok(None)
    }

    fn mount(&self, options: &str) -> Result<bool> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.path());
        Ok(command.output().context("mount")?.status.success())
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn url(&self) -> String {
        format!("file://{}/lake", self.path().display())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Never mounted when that was refused.
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

/// A folder that cannot be written to, also not by root, and what keeps it so.
fn read_only() -> Result<(PathBuf, Box<dyn std::any::Any>)> {
    // SAFETY: it only asks.
    if unsafe { libc::geteuid() } == 0
        && let Some(mount) = Mount::new("ro,size=64k")?
    {
        return Ok((mount.path().to_owned(), Box::new(mount)));
    }
    let folder = tempfile::tempdir()?;
    let mut permissions = std::fs::metadata(folder.path())?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(folder.path(), permissions)?;
    Ok((folder.path().to_owned(), Box::new(folder)))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_ends_the_job_in_time() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    let impatient = Sections { more: "timeouts: {broker: 2s}\n", ..Default::default() };
    scene.write_at(&scene.job.url, NOWHERE, impatient)?;
    let started = Instant::now();
    let said = scene.ends_with(1, &["run"]).await?;
    ensure!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    ensure!(said.contains(NOWHERE), "{said}");
    ensure!(!scene.folder().exists(), "nothing may be written");
    Ok(())
}

/// It takes what comes to the address on to the broker's own, where the client goes on by itself.
async fn forward(from: std::net::SocketAddr, to: &'static str) -> Result<()> {
    let listener = TcpListener::bind(from).await?;
    loop {
        let (mut client, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut broker = TcpStream::connect(to).await?;
            tokio::io::copy_bidirectional(&mut client, &mut broker).await
        });
    }
}

/// Until a start has found that no broker answers.
async fn until_waiting(process: &Process) -> Result<()> {
    let started = Instant::now();
    while !process.log()?.contains("asking again") {
        ensure!(started.elapsed() < LIMIT, "{}", process.log()?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_a_broker_that_is_away() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.produce(0, &[Some(b"0")]).await?;
    // Free now, and nobody's until the broker comes.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    scene.write_at(&scene.job.url, &address.to_string(), Sections::default())?;
    let mut process = scene.start(&["run", "--until-end"])?;
    until_waiting(&process).await?;
    let broker = tokio::spawn(forward(address, scene.servers));
    let status = process.wait(LIMIT).await?;
    broker.abort();
    ensure!(status.success(), "{status}: {}", process.log()?);
    ensure!(scene.rows("t").await?.len() == 1, "the record is not there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_for_a_broker_is_stopped_at_once() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.write_at(&scene.job.url, NOWHERE, Sections::default())?;
    let mut process = scene.start(&["run"])?;
    until_waiting(&process).await?;
    process.signal(libc::SIGTERM);
    let status = process.wait(Duration::from_secs(10)).await?;
    ensure!(status.success(), "{status}: {}", process.log()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    let kafka = format!("  topics: [{}, no-such-topic]\n", scene.topic);
    scene.write(Sections { kafka: &kafka, sink: "  table: t\n", ..Default::default() })?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    ensure!(said.contains("no-such-topic"), "{said}");
    let said = scene.ends_with(2, &["validate"]).await?;
    ensure!(said.contains("no-such-topic"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_to_is_named() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.produce(0, &[Some(b"0")]).await?;
    let (folder, _keep) = read_only()?;
    let url = format!("file://{}/lake", folder.display());
    scene.write_at(&url, scene.servers, Sections::default())?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    ensure!(said.contains(&folder.display().to_string()), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_tells_all_failures_at_once() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    let (folder, _keep) = read_only()?;
    scene.write_at(&format!("file://{}/lake", folder.display()), NOWHERE, Sections::default())?;
    let said = scene.ends_with(2, &["validate"]).await?;
    ensure!(said.contains(NOWHERE) && said.contains(&folder.display().to_string()), "{said}");
    ensure!(said.contains("2 checks failed"), "{said}");

    scene.write(Sections::default())?;
    let said = scene.ends_with(0, &["validate"]).await?;
    ensure!(said.contains("create-if-absent holds"), "{said}");
    let left = scene.job.store()?.list("").await?;
    ensure!(left.is_empty(), "validate has left {left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_job_and_loses_nothing() -> Result<()> {
    let Some(mount) = Mount::new("size=1m")? else { return Ok(()) };
    let more = "timeouts: {store_request: 1s, store_retry: 2s}\ncheckpoint: {timeout: 10s}\n";
    let mut scene = Scene::new(1, Sections::default()).await?;
    scene.job.url = mount.url();
    scene.write(Sections { more, ..Default::default() })?;
    // Noise, so that no codec makes it fit.
    let noise: Vec<Vec<u8>> = (0..40).map(|_| (0..65_536).map(|_| rand::random()).collect()).collect();
    let payloads: Vec<_> = noise.iter().map(|payload| Some(payload.as_slice())).collect();
    scene.produce(0, &payloads).await?;
    for _ in 0..3 {
        let said = scene.ends_with(1, &["run", "--until-end"]).await?;
        ensure!(said.contains("No space left") && said.contains("no room left"), "{said}");
        // Otherwise each start would take what the one before has left of the room.
        let store = scene.job.store()?;
        let staged = store.list(&format!("_tidegate/{}/staging", scene.job.name)).await?;
        ensure!(staged.is_empty(), "what was never sent is left: {staged:?}");
    }
    // Little more than what one attempt takes.
    ensure!(mount.mount("remount,size=3500k")?, "the disk does not grow");
    scene.run_to_end().await?;
    scene.assert_raw().await
}

/// The chain may lie on another file system than the tables; what is staged may not.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_on_another_file_system_is_refused_before_anything_is_in_force() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.produce(0, &[Some(b"0")]).await?;
    let table = scene.folder().join("t");
    std::fs::create_dir_all(&table)?;
    let Some(mount) = Mount::at(table.clone(), None, "size=1m")? else { return Ok(()) };
    for command in [&["validate"][..], &["run", "--until-end"]] {
        let said = scene.ends_with(2, command).await?;
        ensure!(said.contains("another file system") && said.contains(&*table.to_string_lossy()), "{said}");
    }
    let store = scene.job.store()?;
    let left = store.list(&format!("_tidegate/{}", scene.job.name)).await?;
    ensure!(left.iter().all(|entry| entry.path.contains("/checkpoints/")), "{left:?}");
    drop(mount);
    scene.run_to_end().await?;
    scene.assert_raw().await
}

/// What it points to is not in the warehouse, so it is neither read nor cleared away.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_a_link_is_never_touched() -> Result<()> {
    let elsewhere = tempfile::tempdir()?;
    let precious = elsewhere.path().join("precious.txt");
    std::fs::write(&precious, "theirs")?;
    let scene = Scene::new(1, Sections { sink: "  mode: overwrite\n", ..Default::default() }).await?;
    scene.produce(0, &[Some(b"0")]).await?;
    let table = scene.folder().join("t");
    std::fs::create_dir_all(&table)?;
    let link = std::os::unix::fs::symlink::<&Path, PathBuf>;
    link(elsewhere.path(), table.join("link"))?;
    link(Path::new("."), table.join("loop"))?;
    scene.run_to_end().await?;
    ensure!(std::fs::read(&precious)? == b"theirs", "what is behind a link was cleared away");
    ensure!(!table.join("link").is_symlink(), "overwrite clears the link itself away");
    link(Path::new("."), table.join("loop"))?;
    let said = scene.ends_with(0, &["audit"]).await?;
    ensure!(said.contains("not this job's") && said.contains("t/loop"), "readers follow it: {said}");
    std::fs::remove_file(table.join("loop"))?;
    scene.assert_raw().await?;

    let linked = Scene::new(1, Sections::default()).await?;
    linked.produce(0, &[Some(b"0")]).await?;
    std::fs::create_dir_all(linked.folder())?;
    link(elsewhere.path(), linked.folder().join("t"))?;
    for command in [&["validate"][..], &["run", "--until-end"]] {
        let said = linked.ends_with(2, command).await?;
        ensure!(said.contains("is a symbolic link"), "{said}");
    }
    ensure!(std::fs::read_dir(elsewhere.path())?.count() == 1, "something was written behind the link");
    Ok(())
}

/// What S3 looks like when it ignores `If-None-Match: *`, as old servers do.
async fn careless_store() -> Result<String> {
    type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;
    async fn answer(
        State(objects): State<Objects>,
        method: Method,
        uri: Uri,
        body: Bytes,
    ) -> (StatusCode, Bytes) {
        let mut objects = objects.lock().expect("no handler panics");
        let key = uri.path().to_owned();
        match method {
            Method::PUT => {
                objects.insert(key, body);
                (StatusCode::OK, Bytes::new())
            }
            Method::GET => match objects.get(&key) {
                Some(bytes) => (StatusCode::OK, bytes.clone()),
                None => (StatusCode::NOT_FOUND, Bytes::new()),
            },
            Method::POST => (StatusCode::OK, Bytes::from_static(b"<DeleteResult></DeleteResult>")),
            _ => (StatusCode::NO_CONTENT, Bytes::new()),
        }
    }
    async fn tagged(
        state: State<Objects>,
        method: Method,
        uri: Uri,
        body: Bytes,
    ) -> impl axum::response::IntoResponse {
        let (status, bytes) = answer(state, method, uri, body).await;
        (status, [("etag", "\"1\""), ("last-modified", "Sat, 31 Jan 2026 00:00:00 GMT")], bytes)
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(tagged).with_state(Objects::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(endpoint)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_the_condition_is_found_out() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    let sink = format!(
        "  store: {{endpoint: \"{}\", region: us-east-1, path_style: true, allow_http: true, access_key_id: a, \
         secret_access_key: b}}\n",
        careless_store().await?
    );
    let more = "timeouts: {store_request: 2s, store_retry: 5s}\n";
    scene.write_at(
        "s3://lake/careless",
        scene.servers,
        Sections { sink: &sink, more, ..Default::default() },
    )?;
    let said = scene.ends_with(2, &["validate"]).await?;
    ensure!(said.contains("not atomic"), "{said}");
    Ok(())
}
