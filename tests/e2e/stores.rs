//! The suite that every sink runs, against servers: MinIO, Azurite, and the
//! stand-in for Google Cloud Storage.
//!
//! What Azurite and the stand-in prove is that requests are well formed and answers
//! are understood, not that the real clouds behave the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tidegate_sinks::SinkSettings;
use tidegate_sinks::conformance::{self, ChainPlace, Options, Place};
use tidegate_sinks::store::{self, Created, Moved, Retries};
use tidegate_testcontainers::{Azurite, Gcs};

use crate::support::{minio, unique};

type Settings = BTreeMap<String, String>;

fn options(given: &[(&str, &str)]) -> Settings {
    given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn retries() -> Retries {
    Retries { request_timeout: Duration::from_secs(10), retry_timeout: Duration::from_secs(30) }
}

/// Every verb of a store, then every promise of a sink. Names hold what hive folders escape.
pub(crate) async fn keeps_every_promise(url: &str, options: &Settings) -> Result<()> {
    let root = format!("{url}/{}", unique("suite"));
    verbs(&format!("{root}/verbs"), options).await.context("verbs")?;
    conformance::run(|case| {
        let mut settings = SinkSettings::new("job", format!("{root}/{case}"));
        settings.options = options.clone();
        settings.retries = retries();
        settings.copy_grace = Duration::ZERO;
        let place = ChainPlace::open(settings).expect("the options fit");
        async move {
            let proved = place.chain(Options::default()).probe().await;
            let proof = proved.expect("the store can do all that a sink asks of it");
            assert!(proof.lists_tags, "its own checkpoints are watched by their ETags");
            Arc::new(place) as Arc<dyn Place>
        }
    })
    .await;
    Ok(())
}

async fn verbs(url: &str, options: &Settings) -> Result<()> {
    let store = store::open(url, options, retries())?;
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    let path = "t/day=2026-01-31/country=a%2Fb/é x+y.json";
    ensure!(store.get(path).await?.is_none() && store.head(path).await?.is_none());
    ensure!(store.create(path, one.clone()).await? == Created::Created);
    ensure!(store.create(path, two.clone()).await? == Created::Exists);
    ensure!(store.get(path).await? == Some(one));
    store.put(path, two.clone()).await?;
    ensure!(store.get(path).await? == Some(two) && store.head(path).await? == Some(3));
    ensure!(store.get_range(path, 1..3).await? == Some(Bytes::from_static(b"wo")));
    let entries = store.list("t").await?;
    ensure!(entries.len() == 1 && entries[0].path == path && entries[0].size == 3, "{entries:?}");
    ensure!(store.list_folders("").await? == ["t"] && store.list_folders("t").await? == ["day=2026-01-31"]);
    ensure!(store.list("t/day").await?.is_empty(), "a folder is more than a prefix");
    ensure!(store.move_to_final(path, "t/moved.json", 3).await? == Moved::Moved);
    ensure!(store.move_to_final(path, "t/again.json", 3).await? == Moved::SourceMissing);
    ensure!(store.head("t/again.json").await?.is_none());
    store.delete("t/moved.json").await?;
    store.delete("t/moved.json").await?;
    // Several parts, and a last one that is small.
    let mut upload = store.upload("u/large.staged").await?;
    let part = Bytes::from((0..1 << 20).map(|n: u32| n as u8).collect::<Vec<_>>());
    for _ in 0..18 {
        upload.write(part.clone()).await?;
    }
    let uploaded = upload.finish().await?;
    ensure!(uploaded.bytes == 18 << 20 && store.head("u/large.staged").await? == Some(18 << 20));
    let tail = store.get_range("u/large.staged", (18 << 20) - 4..18 << 20).await?;
    ensure!(tail == Some(part.slice(part.len() - 4..)));
    drop(store.upload("u/dropped.staged").await?);
    ensure!(store.list("u").await?.len() == 1, "an upload that was dropped is seen");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn minio_keeps_every_promise() -> Result<()> {
    let options = options(&[
        ("endpoint", minio().await?.endpoint()),
        ("region", "us-east-1"),
        ("path_style", "true"),
        ("allow_http", "true"),
        ("access_key_id", "minioadmin"),
        ("secret_access_key", "minioadmin"),
    ]);
    keeps_every_promise("s3://lake", &options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_keeps_every_promise() -> Result<()> {
    let azurite = Azurite::start().await?;
    azurite.create_container("lake").await?;
    let options = options(&[
        ("endpoint", azurite.endpoint()),
        ("account_name", Azurite::ACCOUNT),
        ("account_key", Azurite::KEY),
        ("allow_http", "true"),
    ]);
    keeps_every_promise("az://lake", &options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gcs_stand_in_keeps_every_promise() -> Result<()> {
    let gcs = Gcs::start(&["lake"]).await?;
    let key = gcs.service_account_key();
    keeps_every_promise("gs://lake", &options(&[("service_account_key", &key), ("allow_http", "true")])).await
}

/// A container or bucket that is not there is a mistake in the job file, not an outage to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_a_mistake() -> Result<()> {
    let gcs = Gcs::start(&["lake"]).await?;
    let key = gcs.service_account_key();
    let options = options(&[("service_account_key", &key), ("allow_http", "true")]);
    let store = store::open("gs://no-such-lake/x", &options, retries())?;
    let refused = store.create("a.json", Bytes::new()).await.expect_err("there is no such bucket");
    ensure!(refused.kind == tidegate_sinks::Kind::Config, "{refused:?}");
    Ok(())
}
