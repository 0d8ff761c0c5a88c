//! Each server really starts, does what the other tests rely on, and goes away.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, path::Path,
};
use tidegate_testcontainers::{Azurite, Gcs, Kafka, MinIO, Toxiproxy, Transactions, read_committed_dump};

#[tokio::test]
async fn the_dump_is_what_was_committed() {
    let kafka = Kafka::shared().await.unwrap();
    kafka.create_topic("dumped", 3).await.unwrap();
    let plan = Transactions { records: 5_000, ..Transactions::default() };
    let produced = plan.produce(kafka.bootstrap_servers(), "dumped").await.unwrap();
    assert_eq!(produced.committed + produced.aborted, 5_003);
    assert!(produced.aborted > 3, "an aborted transaction besides the last");

    let dump = read_committed_dump(kafka.bootstrap_servers(), "dumped").await.unwrap();
    let mut read: Vec<_> = dump.into_iter().map(|(partition, _, payload)| (partition, payload)).collect();
    let mut written: Vec<_> = plan.committed().collect();
    read.sort();
    written.sort();
    assert_eq!(written.len() as u64, produced.committed);
    assert!(read == written, "{} read, {} written", read.len(), written.len());
}

#[tokio::test]
async fn a_broker_comes_back_with_its_address_and_data() {
    let kafka = Kafka::start().await.unwrap();
    kafka.create_topic("kept", 1).await.unwrap();
    let plan = Transactions { records: 100, partitions: 1, ..Transactions::default() };
    let produced = plan.produce(kafka.bootstrap_servers(), "kept").await.unwrap();
    kafka.restart().await.unwrap();
    kafka.add_partitions("kept", 2).await.unwrap();
    kafka.pause().await.unwrap();
    kafka.unpause().await.unwrap();
    let dump = read_committed_dump(kafka.bootstrap_servers(), "kept").await.unwrap();
    assert_eq!(dump.len() as u64, produced.committed);
}

#[tokio::test]
async fn three_brokers_go_on_with_two() {
    let kafka = Kafka::start_three().await.unwrap();
    kafka.create_topic("replicated", 3).await.unwrap();
    kafka.kill(0).await.unwrap();
    let plan = Transactions { records: 1_000, ..Transactions::default() };
    let produced = plan.produce(kafka.bootstrap_servers(), "replicated").await.unwrap();
    kafka.start_again(0).await.unwrap();
    kafka.wait_ready().await.unwrap();
    let dump = read_committed_dump(kafka.bootstrap_servers(), "replicated").await.unwrap();
    assert_eq!(dump.len() as u64, produced.committed);
}

/// What the protocol stands on: the second of two creations is refused.
async fn creates_once(store: Arc<dyn ObjectStore>) {
    let path = Path::from("a/b");
    store.put_opts(&path, "1".into(), PutMode::Create.into()).await.expect("the first creation");
    let second = store.put_opts(&path, "2".into(), PutMode::Create.into()).await;
    assert!(matches!(second, Err(object_store::Error::AlreadyExists { .. })), "{second:?}");
    let kept = store.get(&path).await.expect("it exists").bytes().await.expect("it can be read");
    assert_eq!(kept, "1");
}

fn s3(endpoint: String) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_region(MinIO::REGION)
        .with_bucket_name("bucket")
        .with_access_key_id(MinIO::ACCESS_KEY)
        .with_secret_access_key(MinIO::SECRET_KEY)
}

#[tokio::test]
async fn minio_creates_once_also_through_a_proxy_that_is_cut() {
    let minio = MinIO::start().await.unwrap();
    minio.create_bucket("bucket").await.unwrap();
    creates_once(Arc::new(s3(minio.endpoint().to_owned()).build().unwrap())).await;

    let proxy = Toxiproxy::start(minio.address()).await.unwrap();
    let quick = object_store::RetryConfig { max_retries: 0, ..Default::default() };
    let store = s3(format!("http://{}", proxy.address())).with_retry(quick).build().unwrap();
    let path = Path::from("a/b");
    proxy.cut().await.unwrap();
    store.get(&path).await.unwrap_err();
    proxy.restore().await.unwrap();
    store.get(&path).await.unwrap();
    proxy.latency(Duration::from_millis(300)).await.unwrap();
    let asked = Instant::now();
    store.get(&path).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(300));
    proxy.restore().await.unwrap();

    proxy.lose_answers().await.unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(1), store.put(&Path::from("c"), "3".into())).await;
    assert!(lost.is_err(), "no answer within a second");
    proxy.restore().await.unwrap();
    store.get(&Path::from("c")).await.expect("the request arrived, only its answer was lost");
}

#[tokio::test]
async fn azurite_creates_once() {
    let azurite = Azurite::start().await.unwrap();
    azurite.create_container("container").await.unwrap();
    azurite.create_container("container").await.expect_err("it exists");
    let store = MicrosoftAzureBuilder::new()
        .with_endpoint(azurite.endpoint().to_owned())
        .with_allow_http(true)
        .with_account(Azurite::ACCOUNT)
        .with_access_key(Azurite::KEY)
        .with_container_name("container");
    creates_once(Arc::new(store.build().unwrap())).await;
}

#[tokio::test]
async fn the_gcs_stand_in_creates_once_and_fails_on_demand() {
    let gcs = Gcs::start(&["bucket"]).await.unwrap();
    let quick = object_store::RetryConfig { max_retries: 0, ..Default::default() };
    let store = GoogleCloudStorageBuilder::new()
        .with_service_account_key(gcs.service_account_key())
        .with_bucket_name("bucket")
        .with_client_options(object_store::ClientOptions::new().with_allow_http(true))
        .with_retry(quick)
        .build()
        .unwrap();
    let store = Arc::new(store);
    creates_once(store.clone()).await;
    gcs.fail(503, 1, "^GET .*/a").await.unwrap();
    store.get(&Path::from("a/b")).await.unwrap_err();
    store.get(&Path::from("a/b")).await.unwrap();
}

const HOLDER: &str = "TIDEGATE_TEST_HOLDER";

/// Run by the next test as a process of its own; else it does nothing.
#[tokio::test]
async fn holds_a_container() {
    if std::env::var_os(HOLDER).is_some() {
        let _proxy = Toxiproxy::start("127.0.0.1:1").await.unwrap();
        println!("started");
        std::future::pending::<()>().await;
    }
}

#[test]
fn a_killed_process_leaves_no_container() {
    use std::io::{BufRead, BufReader};
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_container", "--nocapture"])
        .env(HOLDER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let owner = format!("tidegate-{}-", holder.id());
    let containers = || {
        let format = "--format={{.Label \"tidegate.owner\"}}";
        let out = Command::new("docker").args(["ps", "-a", format]).output().unwrap();
        let labels = String::from_utf8(out.stdout).unwrap();
        labels.lines().filter(|label| label.starts_with(&owner)).count()
    };
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let started = lines.map(Result::unwrap).any(|line| line.contains("started"));
    assert!(started);
    assert_eq!(containers(), 1);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let give_up = Instant::now() + Duration::from_secs(30);
    while containers() > 0 {
        assert!(Instant::now() < give_up, "a container of {owner} is still there");
        std::thread::sleep(Duration::from_millis(100));
    }
}
