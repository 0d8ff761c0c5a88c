//! Many records in transactions, some aborted, over skewed partitions: the output
//! equals a committed reader's.

use std::time::Duration;

use anyhow::{Result, ensure};
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::{Transactions, read_committed_dump};
use tokio::sync::OnceCell;

use crate::support::{Job, Place, Program, Rows, Settings, unique};

struct Million {
    topic: String,
    records: Rows,
}

/// Written once, read by each test: records in transactions of 1 to 5,000, a tenth
/// aborted, ending in aborted ones.
async fn million() -> Result<&'static Million> {
    static MILLION: OnceCell<Million> = OnceCell::const_new();
    let fill = || async {
        let kafka = Kafka::shared().await?;
        let topic = unique("million");
        kafka.create_topic(&topic, 6).await?;
        let plan =
            Transactions { records: 1_000_000, partitions: 6, max_transaction: 5_000, ..Default::default() };
        let produced = plan.produce(kafka.bootstrap_servers(), &topic).await?;
        let dump = read_committed_dump(kafka.bootstrap_servers(), &topic).await?;
        ensure!(dump.len() as u64 == produced.committed, "the dump misses records");
        Ok(Million { topic, records: dump.into_iter().map(|(p, o, payload)| ((p, o), payload)).collect() })
    };
    MILLION.get_or_try_init(fill).await
}

async fn copies_exactly(place: Place, sink: &str) -> Result<()> {
    let (kafka, million) = (Kafka::shared().await?, million().await?);
    let job = Job::new(Settings {
        bootstrap_servers: kafka.bootstrap_servers(),
        topic: &million.topic,
        place,
        more: "checkpoint: {interval: 2s, copy_grace: 1s}\n",
        sink,
        endpoint: None,
    })
    .await?;
    let mut process = job.start(Program::Plain, &["run", "--until-end"], None, None)?;
    let status = process.wait(Duration::from_secs(300)).await?;
    ensure!(status.success(), "{status}: {}", process.log()?);
    job.assert_equals(&million.records).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "each place and each layout is proven by the other two: ./x soak"]
async fn a_million_records_to_a_folder() -> Result<()> {
    copies_exactly(Place::Folder, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_records_to_s3() -> Result<()> {
    copies_exactly(Place::S3, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_records_to_a_partitioned_folder() -> Result<()> {
    copies_exactly(Place::Folder, "  partition_by: [\"day(ts)\", country]\n").await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "each place and each layout is proven by the other two: ./x soak"]
async fn a_million_records_to_a_partitioned_table_in_s3() -> Result<()> {
    copies_exactly(Place::S3, "  partition_by: [country]\n").await
}
