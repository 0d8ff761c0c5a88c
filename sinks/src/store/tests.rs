use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::*;

/// One of each kind, empty, with the folder that the local one lies in.
fn stores() -> (tempfile::TempDir, Vec<Arc<dyn Store>>) {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Arc::new(InMemory::new());
    let stores: Vec<Arc<dyn Store>> = vec![
        Arc::new(Local::new(folder.path().join("a/b"))),
        Arc::new(Object::new(bucket.clone(), "memory://", "")),
        Arc::new(Object::new(bucket, "memory://x", "deep/er")),
    ];
    (folder, stores)
}

#[tokio::test]
async fn what_is_written_is_read_listed_and_deleted() {
    let (_folder, stores) = stores();
    for store in stores {
        assert_eq!(store.get("t/x").await.unwrap(), None);
        assert_eq!(store.head("t/x").await.unwrap(), None);
        assert_eq!(store.list("").await.unwrap(), []);
        store.put("t/x", Bytes::from_static(b"1")).await.unwrap();
        store.put("t/x", Bytes::from_static(b"22")).await.unwrap();
        store.put("t/country=D%2FE/y", Bytes::from_static(b"333")).await.unwrap();
        store.put("tt/z", Bytes::new()).await.unwrap();
        assert_eq!(store.get("t/x").await.unwrap().unwrap(), "22");
        assert_eq!(store.head("t/x").await.unwrap(), Some(2));
        assert_eq!(store.get_range("t/country=D%2FE/y", 1..3).await.unwrap().unwrap(), "33");
        assert_eq!(store.get_range("t/none", 0..1).await.unwrap(), None);
        let entry = |path: &str, size| Entry { path: path.to_owned(), size };
        assert_eq!(store.list("t").await.unwrap(), [entry("t/country=D%2FE/y", 3), entry("t/x", 2)]);
        assert_eq!(store.list("").await.unwrap().len(), 3);
        assert_eq!(store.list_folders("").await.unwrap(), ["t", "tt"]);
        assert_eq!(store.list_folders("t").await.unwrap(), ["country=D%2FE"]);
        store.delete("t/x").await.unwrap();
        store.delete("t/x").await.unwrap();
        assert_eq!(store.get("t/x").await.unwrap(), None);
    }
}

#[tokio::test]
async fn of_many_creates_exactly_one_succeeds() {
    let (_folder, stores) = stores();
    for store in stores {
        let racers = (0..16u8).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { (n, store.create("c/1", Bytes::from(vec![n])).await.unwrap()) })
        });
        let answers = futures::future::join_all(racers).await;
        let winners: Vec<u8> = answers
            .into_iter()
            .map(Result::unwrap)
            .filter_map(|(n, created)| (created == Created::Created).then_some(n))
            .collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(store.get("c/1").await.unwrap().unwrap(), winners);
    }
}

#[tokio::test]
async fn a_move_happens_once() {
    let (_folder, stores) = stores();
    for store in stores {
        store.put("s/1/a.staged", Bytes::from_static(b"rows")).await.unwrap();
        let publish = async || store.move_to_final("s/1/a.staged", "t/day=1/a.parquet", 4).await.unwrap();
        assert_eq!(publish().await, Moved::Moved);
        assert_eq!(publish().await, Moved::SourceMissing);
        assert_eq!(store.get("t/day=1/a.parquet").await.unwrap().unwrap(), "rows");
        store.remove_folder("s/1").await;
        store.remove_folder("t/day=1").await;
        assert_eq!(store.list("").await.unwrap().len(), 1);
        assert!(!store.list_folders("").await.unwrap().contains(&"s/1".to_owned()));
    }
}

#[tokio::test]
async fn an_upload_appears_whole_or_not_at_all() {
    let (_folder, stores) = stores();
    for store in stores {
        for size in [0, 100_000, 8 << 20, (17 << 20) + 7] {
            let bytes: Bytes = (0..size).map(|n: usize| (n % 251) as u8).collect();
            let mut upload = store.upload("s/u.staged").await.unwrap();
            for piece in bytes.chunks(3_000_000) {
                upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
                assert_eq!(store.list("s").await.unwrap(), []);
            }
            let done = upload.finish().await.unwrap();
            assert_eq!(done.bytes, size as u64);
            let sha256 = hex(Sha256::new_with_prefix(&bytes));
            assert_eq!(done.sha256, sha256);
            assert_eq!(store.get("s/u.staged").await.unwrap().unwrap(), bytes);
            store.delete("s/u.staged").await.unwrap();
        }
        let mut dropped = store.upload("s/u.staged").await.unwrap();
        dropped.write(Bytes::from(vec![0; 9 << 20])).await.unwrap();
        drop(dropped);
        tokio::task::yield_now().await;
        assert_eq!(store.list("s").await.unwrap(), []);
    }
}

#[tokio::test]
async fn paths_that_leave_the_root_or_hide_are_refused() {
    let (_folder, stores) = stores();
    for store in stores {
        for path in ["../x", "/etc/passwd", "a//b", "a/../../b", "", "a/.hidden", "a\\b", "."] {
            assert_eq!(store.get(path).await.unwrap_err().kind, Kind::Corrupt);
            assert_eq!(store.put(path, Bytes::new()).await.unwrap_err().kind, Kind::Corrupt);
            assert_eq!(store.move_to_final("a", path, 0).await.unwrap_err().kind, Kind::Corrupt);
        }
    }
}

#[tokio::test]
async fn what_a_dot_hides_is_listed_and_read_where_it_is_asked_for() {
    let (folder, stores) = stores();
    let hidden = folder.path().join("t/.old");
    std::fs::create_dir_all(&hidden).unwrap();
    std::fs::write(hidden.join("x.parquet"), b"rows").unwrap();
    std::fs::write(folder.path().join("t/.tidegate-tmp-1"), b"torn").unwrap();
    let local = Local::new(folder.path());
    assert_eq!(local.list("t").await.unwrap(), []);
    let listed = local.list_with_hidden("t").await.unwrap();
    assert_eq!(listed, [Entry { path: "t/.old/x.parquet".to_owned(), size: 4 }]);
    assert_eq!(local.get_range("t/.old/x.parquet", 1..3).await.unwrap().unwrap(), "ow");
    for store in stores {
        for path in ["t/../x", "t/./x", "/etc/passwd", "t//x"] {
            assert_eq!(store.get_range(path, 0..1).await.unwrap_err().kind, Kind::Corrupt, "{path}");
        }
    }
    let bucket = Arc::new(InMemory::new());
    bucket.put(&"lake/t/.old/x.parquet".into(), "rows".into()).await.unwrap();
    let bucket = Object::new(bucket, "memory://", "lake");
    assert_eq!(bucket.list("t").await.unwrap(), []);
    assert_eq!(bucket.list_with_hidden("t").await.unwrap(), listed);
    assert_eq!(bucket.get_range("t/.old/x.parquet", 1..3).await.unwrap().unwrap(), "ow");
}

#[tokio::test]
async fn folders_may_come_and_go_under_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Local::new(folder.path()));
    let remover = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..50 {
                store.remove_folder("f").await;
            }
        }
    });
    for n in 0..100 {
        let path = format!("f/{n}");
        assert_eq!(store.create(&path, Bytes::from_static(b"x")).await.unwrap(), Created::Created);
        assert_eq!(store.get(&path).await.unwrap().unwrap(), "x");
        store.delete(&path).await.unwrap();
    }
    remover.await.unwrap();
}

#[test]
fn unknown_options_and_urls_are_refused_by_name() {
    let none = BTreeMap::new();
    for url in ["file:///tmp/x", "s3://bucket/p", "gs://bucket", "az://container/p", "memory://"] {
        let mut options = BTreeMap::from([("enpoint".to_owned(), "secret-looking".to_owned())]);
        let refused = open(url, &options, Retries::default()).unwrap_err();
        assert_eq!(refused.kind, Kind::Config);
        assert!(refused.context.contains("enpoint") && !refused.context.contains("secret"), "{refused}");
        options.clear();
    }
    for url in ["/tmp/x", "file://relative", "ftp://x/y", "s3://", "s3:///p"] {
        assert_eq!(open(url, &none, Retries::default()).unwrap_err().kind, Kind::Config, "{url}");
    }
}

#[test]
fn a_store_shows_no_secret() {
    let options = [
        ("access_key_id", "AKIASECRET"),
        ("secret_access_key", "hunter2"),
        ("session_token", "hunter3"),
        ("region", "eu-central-1"),
        ("endpoint", "http://localhost:9000"),
        ("path_style", "true"),
        ("allow_http", "true"),
    ];
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let store = open("s3://bucket/prefix", &options, Retries::default()).unwrap();
    let shown = format!("{store} {store:?}");
    assert!(shown.contains("s3://bucket/prefix"), "{shown}");
    assert!(!shown.contains("hunter") && !shown.contains("AKIA"), "{shown}");
}

/// Whoever may write to a folder could make a reader wait for ever, or read for ever.
#[tokio::test]
async fn only_regular_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("endless")).unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
    let store = Local::new(folder.path());
    assert_eq!(store.get("pipe").await.unwrap_err().kind, Kind::Config);
    assert_eq!(store.get_range("pipe", 0..1).await.unwrap_err().kind, Kind::Config);
    for link in ["endless", "link"] {
        assert_eq!(store.get(link).await.unwrap(), None, "{link}");
        assert_eq!(store.get_range(link, 0..1).await.unwrap(), None, "{link}");
        assert_eq!(store.head(link).await.unwrap(), None, "{link}");
    }
}

/// A root that is a link itself is the user's choice; what lies below it is not followed.
#[tokio::test]
async fn nothing_behind_a_link_is_seen_written_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let [elsewhere, warehouse, root] =
        ["elsewhere", "warehouse", "root"].map(|name| folder.path().join(name));
    std::fs::create_dir_all(elsewhere.join("day=1")).unwrap();
    std::fs::write(elsewhere.join("precious.txt"), "theirs").unwrap();
    std::fs::create_dir_all(warehouse.join("t")).unwrap();
    let link = |to: &std::path::Path, at: &str| std::os::unix::fs::symlink(to, warehouse.join(at)).unwrap();
    link(&elsewhere, "t/link");
    link(std::path::Path::new("."), "t/loop");
    link(std::path::Path::new("nowhere"), "t/dangling");
    std::os::unix::fs::symlink(&warehouse, &root).unwrap();
    let store = Local::new(&root);
    store.put("t/ours", Bytes::from_static(b"ours")).await.unwrap();
    let listed: Vec<_> = store.list("").await.unwrap().into_iter().map(|entry| entry.path).collect();
    assert_eq!(listed, ["t/dangling", "t/link", "t/loop", "t/ours"]);
    assert_eq!(store.list_folders("t").await.unwrap(), [""; 0]);

    let (path, bytes) = ("t/link/new", Bytes::from_static(b"x"));
    let followed = [
        store.list("t/link").await.map(drop),
        store.get("t/link/precious.txt").await.map(drop),
        store.head("t/loop/ours").await.map(drop),
        store.put(path, bytes.clone()).await,
        store.create(path, bytes).await.map(drop),
        store.upload(path).await.map(drop),
        store.move_to_final("t/ours", path, 4).await.map(drop),
        store.prove_moves("s", vec!["t/link".to_owned()]).await,
    ];
    for refused in followed {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, Kind::Config);
        assert!(refused.source.unwrap().to_string().contains("is a symbolic link"));
    }
    // What an earlier version has listed as to be erased.
    store.delete("t/link/precious.txt").await.unwrap();
    store.remove_folder("t/link").await;
    store.remove_folder("t/link/day=1").await;
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 2);
    for path in listed {
        store.delete(&path).await.unwrap();
    }
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(std::fs::read(elsewhere.join("precious.txt")).unwrap(), b"theirs");
}

#[tokio::test]
async fn what_is_in_the_way_of_a_final_is_found_before_it_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    let store = Local::new(folder.path());
    let folders = || vec!["t".to_owned(), "t/day=1".to_owned()];
    store.prove_moves("s", folders()).await.unwrap();
    assert_eq!(store.list_folders("").await.unwrap(), [""; 0], "nothing is left behind");
    std::fs::create_dir_all(folder.path().join("t")).unwrap();
    store.prove_moves("s", folders()).await.unwrap();
    std::fs::write(folder.path().join("t/day=1"), "in the way").unwrap();
    let refused = store.prove_moves("s", folders()).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Config);
    assert!(refused.source.unwrap().to_string().contains("not a folder"));
}
