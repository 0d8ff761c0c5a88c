//! create, list, show, verify, diff, dispose: on a local folder and on S3.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_sinks::store;

use super::scene::{SECRET, Scene, text};
use crate::support::{JOB_FILE, Place};

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_are_looked_after_on_a_folder() -> Result<()> {
    look_after(Place::Folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_are_looked_after_on_s3() -> Result<()> {
    look_after(Place::S3).await
}

async fn look_after(place: Place) -> Result<()> {
    let scene = Scene::new(place, "").await?;
    let said = scene.ends_with(1, &["savepoint", "create", JOB_FILE]).await?;
    ensure!(said.err.contains("run the job first"), "{said:?}");
    scene.run_to_end().await?;
    let first = scene.json(&["savepoint", "create", JOB_FILE]).await?;
    scene.produce().await?;
    scene.run_to_end().await?;
    let second = scene.json(&["savepoint", "create", JOB_FILE]).await?;
    ensure!(
        first["rows"].as_u64() < second["rows"].as_u64() && first["rows"].as_u64() > Some(0),
        "{first} {second}"
    );
    let folder = format!("{}/_tidegate/{}/savepoints", scene.job.url, scene.job.name);
    let (a, b) = (text(&first, "uri")?, text(&second, "uri")?);
    ensure!(a == format!("{folder}/{}", text(&first, "id")?), "{a} is not in {folder}");

    let listed = scene.json(&["savepoint", "list", JOB_FILE]).await?;
    let uris: Vec<_> =
        listed.as_array().into_iter().flatten().filter_map(|found| found["uri"].as_str()).collect();
    ensure!(uris == [a, b], "{listed}");
    let shown = scene.json(&["savepoint", "show", a, "--job", JOB_FILE]).await?;
    ensure!(
        shown["checkpoint"] == first["checkpoint"]
            && shown["partitions"].as_array().is_some_and(|p| p.len() == 3)
    );
    ensure!(shown["job_file"]["kafka"]["group_id"] == "${GROUP}", "{shown}");
    verify_all(&scene, a, b).await?;
    differ(&scene, a, b).await?;
    no_secret(&scene, a).await?;
    relocate(&scene, a).await?;
    dispose(&scene, a, b).await
}

async fn verify_all(scene: &Scene, a: &str, b: &str) -> Result<()> {
    for uri in [a, b] {
        let arguments = ["savepoint", "verify", uri, "--against-sink", JOB_FILE, "--deep"];
        let verified = scene.json(&arguments).await?;
        let compared = &verified["against_sink"];
        ensure!(
            verified["sound"] == true && compared["problems"].as_array().is_some_and(Vec::is_empty),
            "{verified}"
        );
        ensure!(
            compared["files"].as_u64() > Some(0) && compared["pending"].as_array().is_some_and(Vec::is_empty)
        );
    }
    // A file of the inventory is lost.
    let store = scene.job.store()?;
    let file = store.list("orders").await?.pop().context("a file")?.path;
    let bytes = store.get(&file).await?.context("its bytes")?;
    store.delete(&file).await?;
    let said = scene.ends_with(1, &["savepoint", "verify", b, "--against-sink", JOB_FILE]).await?;
    ensure!(said.out.contains(&file) && said.out.contains("is missing"), "{said:?}");
    store.put(&file, bytes).await?;
    Ok(())
}

async fn differ(scene: &Scene, a: &str, b: &str) -> Result<()> {
    let diff = scene.json(&["savepoint", "diff", a, b, "--job", JOB_FILE]).await?;
    let rows: i64 =
        diff["partitions"].as_array().into_iter().flatten().filter_map(|p| p["rows"].as_i64()).sum();
    let added: i64 =
        diff["files_added"].as_array().into_iter().flatten().filter_map(|f| f["rows"].as_i64()).sum();
    ensure!(rows > 0 && rows == added, "{diff}");
    for key in ["files_removed", "schema", "settings"] {
        ensure!(diff[key].as_array().is_some_and(Vec::is_empty), "{key}: {diff}");
    }
    let back = scene.json(&["savepoint", "diff", b, a, "--job", JOB_FILE]).await?;
    ensure!(back["files_removed"] == diff["files_added"], "{back}");
    let same = scene.json(&["savepoint", "diff", a, a, "--job", JOB_FILE]).await?;
    ensure!(
        same.as_object()
            .is_some_and(|all| all.values().all(|list| list.as_array().is_some_and(Vec::is_empty)))
    );
    Ok(())
}

async fn files(scene: &Scene, uri: &str) -> Result<Vec<(String, bytes::Bytes)>> {
    let inside = uri.strip_prefix(&scene.job.url).context("in the sink")?.trim_start_matches('/');
    let store = scene.job.store()?;
    let mut files = Vec::new();
    for entry in store.list(inside).await? {
        let bytes = store.get(&entry.path).await?.context("a file")?;
        files.push((entry.path.rsplit('/').next().context("a name")?.to_owned(), bytes));
    }
    ensure!(files.len() == 5, "{files:?}");
    Ok(files)
}

/// What came by substitution, and the store's keys, which stand in the job file itself.
async fn no_secret(scene: &Scene, uri: &str) -> Result<()> {
    for (name, bytes) in files(scene, uri).await? {
        let text = std::str::from_utf8(&bytes)?;
        for secret in [SECRET, "minioadmin"] {
            ensure!(!text.contains(secret), "{name} holds a secret: {text}");
        }
    }
    Ok(())
}

async fn relocate(scene: &Scene, uri: &str) -> Result<()> {
    let copy = format!("file://{}/elsewhere/copy", scene.outside.path().display());
    let to = store::open(&copy, &Default::default(), Default::default())?;
    for (name, bytes) in files(scene, uri).await? {
        to.put(&name, bytes).await?;
    }
    let copied = scene.json(&["savepoint", "verify", &copy, "--against-sink", JOB_FILE]).await?;
    let original = scene.json(&["savepoint", "verify", uri, "--against-sink", JOB_FILE]).await?;
    let without_uri = |mut value: Value| {
        value["uri"].take();
        value
    };
    ensure!(without_uri(copied) == without_uri(original));
    // And one made in another kind of store than the sink's.
    let other = scene.create().await?;
    scene.ends_with(0, &["savepoint", "verify", text(&other, "uri")?]).await?;
    Ok(())
}

async fn dispose(scene: &Scene, a: &str, b: &str) -> Result<()> {
    for no_savepoint in [scene.job.url.as_str(), &format!("{}/_tidegate/{}", scene.job.url, scene.job.name)] {
        scene.ends_with(3, &["savepoint", "dispose", no_savepoint, "--job", JOB_FILE]).await?;
    }
    scene.ends_with(0, &["savepoint", "dispose", a, "--job", JOB_FILE]).await?;
    for command in ["show", "verify", "dispose"] {
        let said = scene.ends_with(3, &["savepoint", command, a, "--job", JOB_FILE]).await?;
        ensure!(said.err.contains("holds no savepoint"), "{said:?}");
    }
    let listed = scene.json(&["savepoint", "list", JOB_FILE]).await?;
    ensure!(listed.as_array().is_some_and(|list| list.len() == 1 && list[0]["uri"] == b), "{listed}");
    scene.job.run(&["audit", "--deep"]).await?;
    scene.ends_with(0, &["collect", JOB_FILE]).await?;
    scene.ends_with(0, &["savepoint", "verify", b, "--job", JOB_FILE]).await?;
    Ok(())
}
