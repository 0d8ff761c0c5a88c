//! Listing, comparing and removing savepoints.

use std::fs;

use serde_json::json;
use tidegate_sinks::store::Retries;

use super::super::folder::{CHECKPOINT, COMMITS, HASH, JOB, MANIFEST};
use super::super::*;
use super::scene::{Scene, path, read_at};
use crate::config::{self, Config};
use crate::error::RunError;

async fn dispose_of(uri: &str) -> Result<(), RunError> {
    dispose(uri, &StoreOptions::new(), Retries::default()).await
}

#[tokio::test]
async fn a_folder_is_listed_with_what_is_wrong_in_it() {
    let scene = Scene::with_commits(1).await;
    for id in ["one", "two", "three"] {
        scene.create(id).await.unwrap();
    }
    fs::remove_file(path(&uri(&scene.to(), "two")).join(HASH)).unwrap();
    fs::write(path(&uri(&scene.to(), "three")).join(MANIFEST), b"{}").unwrap();
    fs::create_dir(path(&scene.to()).join("other")).unwrap();
    fs::write(path(&scene.to()).join("other/notes.txt"), b"mine").unwrap();
    let listed = list(&scene.to(), &StoreOptions::new(), Retries::default()).await.unwrap();
    let names: Vec<_> = listed.iter().map(|found| (found.name.as_str(), found.problem.is_none())).collect();
    assert_eq!(names, [("one", true), ("three", false), ("two", false)]);
    assert_eq!(listed[0].manifest.as_ref().unwrap().checkpoint, 2);
    assert_eq!(listed[0].uri, uri(&scene.to(), "one"));
}

#[tokio::test]
async fn a_disposal_that_was_cut_short_is_refused_and_done_again() {
    let scene = Scene::with_commits(1).await;
    let order = [HASH, COMMITS, JOB, CHECKPOINT, MANIFEST];
    for gone in 0..order.len() {
        let uri = scene.create("one").await.unwrap();
        for file in &order[..gone] {
            fs::remove_file(path(&uri).join(file)).unwrap();
        }
        if gone > 0 {
            let error = read_at(&uri).await.unwrap_err();
            assert!(error.exit_code() == 3 && error.to_string().contains("dispose"), "{gone}: {error}");
        }
        dispose_of(&uri).await.unwrap();
        assert!(!path(&uri).exists());
        let error = dispose_of(&uri).await.unwrap_err();
        assert!(error.exit_code() == 3 && error.to_string().contains("holds no savepoint"), "{error}");
    }
}

#[tokio::test]
async fn only_what_is_plainly_a_savepoint_is_removed() {
    let scene = Scene::with_commits(1).await;
    let uri = scene.create("one").await.unwrap();
    fs::write(path(&uri).join("notes.txt"), b"mine").unwrap();
    let error = dispose_of(&uri).await.unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("notes.txt"), "{error}");
    read_at(&uri).await.unwrap();
    // The tables, the state, and a folder with a manifest of somebody else.
    let other = scene.folder.path().join("site");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(MANIFEST), br#"{"name": "a web page"}"#).unwrap();
    let state = format!("{}/_tidegate/orders", scene.config.sink.url);
    for place in [scene.config.sink.url.clone(), state, format!("file://{}", other.display())] {
        let error = dispose_of(&place).await.unwrap_err();
        assert_eq!(error.exit_code(), 3, "{place}: {error}");
    }
    assert!(other.join(MANIFEST).exists());
    scene.newest().await;
    // One whose files were damaged is still known as one.
    let uri = scene.create("two").await.unwrap();
    fs::write(path(&uri).join(MANIFEST), b"").unwrap();
    dispose_of(&uri).await.unwrap();
    assert!(!path(&uri).exists());
}

#[tokio::test]
async fn what_lies_between_two_is_told() {
    let mut scene = Scene::with_commits(1).await;
    let a = read_at(&scene.create("a").await.unwrap()).await.unwrap();
    scene.commit().await;
    let mut job = scene.config.redacted();
    job["checkpoint"]["max_records"] = json!(7);
    job["format"]["columns"] = json!([{"name": "a", "type": "int64"}]);
    scene.config = Config::parse(&job.to_string(), &config::Origin("j".into())).unwrap();
    let b = read_at(&scene.create("b").await.unwrap()).await.unwrap();
    let found = diff(&a, &b);
    let moved: Vec<_> = found.partitions.iter().map(|p| (p.partition.partition, p.offsets, p.rows)).collect();
    assert_eq!(moved, [(0, 3, 3), (1, 3, 3)]);
    assert_eq!((found.files_added.len(), found.files_removed.len()), (1, 0));
    assert_eq!(found.files_added[0].path, b.commits[1].files[0].path);
    assert_eq!(found.settings.len(), 1, "{:?}", found.settings);
    assert_eq!(found.settings[0].key, "checkpoint.max_records");
    assert_eq!(found.schema[0].key, "a");
    assert_eq!((&found.schema[0].a["type"], &found.schema[0].b["type"]), (&"string".into(), &"int64".into()));
    let none = diff(&a, &a);
    assert!(none.identity.is_empty() && none.partitions.is_empty() && none.files_added.is_empty());
    assert!(none.files_removed.is_empty() && none.schema.is_empty() && none.settings.is_empty());
}

#[tokio::test]
async fn files_are_looked_for_in_the_sink() {
    let scene = Scene::with_commits(2).await;
    scene.publish().await;
    scene.commit().await;
    let savepoint = read_at(&scene.create("one").await.unwrap()).await.unwrap();
    let look = async |deep| compare(&savepoint, &scene.sink, "orders", deep).await.unwrap();
    let found = look(true).await;
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    assert_eq!((found.files, found.pending.len()), (3, 1));
    scene.publish().await;
    assert_eq!(look(false).await.pending.len(), 0);
    let file = |n: usize| path(&scene.config.sink.url).join(&savepoint.commits[n].files[0].path);
    let sound = fs::read(file(0)).unwrap();
    let mut flipped = sound.clone();
    flipped[3] ^= 1;
    fs::write(file(0), &flipped).unwrap();
    assert!(look(false).await.problems.is_empty());
    assert!(look(true).await.problems[0].problem.contains("SHA-256"));
    fs::write(file(0), &sound[1..]).unwrap();
    fs::remove_file(file(1)).unwrap();
    let problems: Vec<_> = look(false).await.problems.into_iter().map(|found| found.problem).collect();
    assert!(
        problems.len() == 2 && problems[0].contains("bytes") && problems[1].contains("missing"),
        "{problems:?}"
    );
    let other = compare(&savepoint, &scene.sink, "others", false).await.unwrap_err();
    assert_eq!(other.exit_code(), 3);
}

/// A pipe has nothing to read for ever, a device never ends; both say that they
/// have no bytes. Neither is a link followed.
#[tokio::test]
async fn only_regular_files_are_read() {
    let scene = Scene::with_commits(1).await;
    for (n, name) in [CHECKPOINT, COMMITS, JOB, MANIFEST, HASH].into_iter().enumerate() {
        for (kind, make) in [("pipe", ["mkfifo"].as_slice()), ("device", &["ln", "-s", "/dev/zero"])] {
            let uri = scene.create(&format!("{kind}-{n}")).await.unwrap();
            let file = path(&uri).join(name);
            fs::remove_file(&file).unwrap();
            assert!(
                std::process::Command::new(make[0]).args(&make[1..]).arg(&file).status().unwrap().success()
            );
            let error = read_at(&uri).await.unwrap_err();
            let said = error.to_string();
            let says_why = said.contains("damaged") || (kind == "device" && said.contains("is missing"));
            assert!(error.exit_code() == 3 && says_why, "{kind} {name}: {error}");
        }
    }
}
