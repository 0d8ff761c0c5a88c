//! What is written is read back, alone or by several, in one go or in several, here or elsewhere.

mod care;
mod contended;
pub(crate) mod scene;

use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::folder::{CHECKPOINT, COMMITS, HASH, JOB, MANIFEST, hash_line};
use super::*;
use crate::config::{self, Config};
use scene::{Scene, path, read_at};

#[tokio::test]
async fn a_savepoint_is_the_newest_state_with_its_commits() {
    let scene = Scene::with_commits(2).await;
    scene.publish().await;
    let last = scene.commit().await;
    let state = scene.newest().await;
    let uri = scene.create("one").await.unwrap();
    scene.commit().await;
    let savepoint = read_at(&uri).await.unwrap();
    assert_eq!(savepoint.checkpoint, *state);
    assert_eq!(savepoint.commits.len(), 3);
    assert_eq!(savepoint.checkpoint.unpublished.last(), Some(&last));
    assert_eq!(savepoint.commits, scene.sink.commits(&state).await.unwrap());
    let Manifest { format, id, job, checkpoint, incarnation, cluster_id, sink, tool, .. } =
        savepoint.manifest;
    assert_eq!((format, id.as_str(), job.as_str(), checkpoint, incarnation), (1, "one", "orders", 4, 1));
    assert_eq!((cluster_id, sink), (Some("cluster".into()), scene.config.sink.url.clone()));
    assert_eq!(tool, env!("CARGO_PKG_VERSION"));
    assert_eq!(savepoint.job, scene.config.redacted());
}

#[tokio::test]
async fn a_copied_folder_reads_the_same() {
    let scene = Scene::with_commits(1).await;
    let uri = scene.create("one").await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(path(&uri)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), elsewhere.path().join(entry.file_name())).unwrap();
    }
    let copied = read_at(&format!("file://{}", elsewhere.path().display())).await.unwrap();
    assert_eq!(copied, read_at(&uri).await.unwrap());
}

#[tokio::test]
async fn nothing_is_saved_of_a_job_that_has_written_nothing() {
    let scene = Scene::empty();
    let error = scene.create("one").await.unwrap_err();
    assert!(error.exit_code() == 1 && error.to_string().contains("run the job first"), "{error}");
    assert!(!path(&scene.to()).exists());
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_refused_and_finished_by_the_next() {
    let scene = Scene::with_commits(2).await;
    let whole = read_at(&scene.create("whole").await.unwrap()).await.unwrap();
    for kept in [
        &[CHECKPOINT][..],
        &[CHECKPOINT, COMMITS],
        &[CHECKPOINT, COMMITS, JOB],
        &[CHECKPOINT, COMMITS, JOB, MANIFEST],
    ] {
        let id = format!("cut-{}", kept.len());
        let folder = path(&uri(&scene.to(), &id));
        fs::create_dir_all(&folder).unwrap();
        for name in kept {
            fs::copy(path(&uri(&scene.to(), "whole")).join(name), folder.join(name)).unwrap();
        }
        let error = read_at(&uri(&scene.to(), &id)).await.unwrap_err();
        assert!(error.exit_code() == 3 && error.to_string().contains(HASH), "{error}");
        // The sink has moved on; the savepoint stays that of its checkpoint.
        scene.commit().await;
        let finished = read_at(&scene.create(&id).await.unwrap()).await.unwrap();
        assert_eq!((&finished.checkpoint, &finished.commits), (&whole.checkpoint, &whole.commits));
        // Once more is nothing.
        scene.create(&id).await.unwrap();
        assert_eq!(read_at(&uri(&scene.to(), &id)).await.unwrap(), finished);
    }
}

#[tokio::test]
async fn what_another_job_has_begun_is_not_finished() {
    let scene = Scene::with_commits(1).await;
    let uri = scene.create("one").await.unwrap();
    fs::remove_file(path(&uri).join(HASH)).unwrap();
    let checkpoint = fs::read_to_string(path(&uri).join(CHECKPOINT)).unwrap();
    fs::write(path(&uri).join(CHECKPOINT), checkpoint.replace("\"orders\"", "\"others\"")).unwrap();
    let error = scene.create("one").await.unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("\"others\""), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_the_same_time_make_one_savepoint_together() {
    let scene = Scene::with_commits(3).await;
    let committing = async {
        for _ in 0..5 {
            scene.commit().await;
        }
    };
    let ((), one, two, three) =
        tokio::join!(committing, scene.create("one"), scene.create("one"), scene.create("one"));
    let uris = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert!(uris.iter().all(|uri| *uri == uris[0]));
    let savepoint = read_at(&uris[0]).await.unwrap();
    let state = scene.sink.read_checkpoint(savepoint.manifest.checkpoint).await.unwrap().unwrap();
    assert_eq!(savepoint.checkpoint, state);
}

#[tokio::test]
async fn an_id_is_a_plain_name() {
    let scene = Scene::with_commits(1).await;
    for id in ["", "..", ".hidden", "a/b", "../a", "a b", "a\\b", "-a", &"a".repeat(201)] {
        let error = scene.create(id).await.unwrap_err();
        assert_eq!(error.exit_code(), 2, "{id:?}: {error}");
    }
    assert!(check_id(&new_id()).is_ok());
}

#[test]
fn savepoints_lie_beside_the_checkpoints_unless_told_otherwise() {
    let scene = Scene::empty();
    assert_eq!(default_to(&scene.config), format!("{}/_tidegate/orders/savepoints", scene.config.sink.url));
    let mut job = scene.config.redacted();
    job["savepoints"]["to"] = json!("s3://backup/x/");
    let config = Config::parse(&job.to_string(), &config::Origin("j".into())).unwrap();
    assert_eq!(default_to(&config), "s3://backup/x");
    assert!(store_options(&config, "s3://backup/x").is_empty());
}

fn a_manifest() -> impl Strategy<Value = Manifest> {
    let entry = (any::<u64>(), "[0-9a-f]{64}").prop_map(|(bytes, sha256)| FileEntry { bytes, sha256 });
    let files = prop::collection::btree_map("[a-z.]{1,12}", entry, 0..16);
    let names = ("\\PC*", "\\PC*", "\\PC*", prop::option::of("\\PC*"));
    (names, any::<(u32, u64)>(), 0..4_000_000_000_i64, files).prop_map(
        |((id, job, sink, cluster_id), (incarnation, checkpoint), created, files)| Manifest {
            format: FORMAT,
            id,
            job,
            created: Timestamp::from_millisecond(created).unwrap(),
            checkpoint,
            incarnation,
            cluster_id,
            sink,
            tool: "1".into(),
            files,
        },
    )
}

proptest! {
    #[test]
    fn a_manifest_reads_back_as_it_was_written(manifest in a_manifest()) {
        let bytes = serde_json::to_vec(&manifest).unwrap();
        prop_assert_eq!(contents::manifest(&bytes).unwrap(), manifest);
    }

    #[test]
    fn fields_of_a_later_version_do_no_harm(manifest in a_manifest(), name in "[a-z]{1,8}_later") {
        let mut value = serde_json::to_value(&manifest).unwrap();
        value[&name] = json!({"deep": [1, {"er": null}]});
        prop_assert_eq!(contents::manifest(&serde_json::to_vec(&value).unwrap()).unwrap(), manifest);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = contents::manifest(&bytes);
        let _ = contents::checkpoint(&bytes);
        let _ = contents::commits(&bytes);
        let _ = contents::job(&bytes);
    }
}

#[test]
fn a_name_that_comes_twice_is_no_manifest() {
    let manifest = json!({
        "format": 1, "id": "a", "job": "j", "created": "2026-01-31T00:00:00Z", "checkpoint": 1, "incarnation": 1,
        "cluster_id": null, "sink": "file:///a", "tool": "1", "files": {},
    });
    let entry = r#"{"bytes": 1, "sha256": ""}"#;
    let twice =
        manifest.to_string().replace("\"files\":{}", &format!("\"files\":{{\"a\":{entry},\"a\":{entry}}}"));
    let (_, problem) = contents::manifest(twice.as_bytes()).unwrap_err();
    assert!(problem.contains("names a file twice"), "{problem}");
    assert!(contents::manifest(manifest.to_string().as_bytes()).is_ok());
}

#[test]
fn the_hash_is_what_sha256sum_writes() {
    let line = hash_line(b"abc");
    assert_eq!(line, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  manifest.json\n");
}
