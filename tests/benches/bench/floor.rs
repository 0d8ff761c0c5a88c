//! What the hardware allows: one thread that consumes, decodes and encodes to a local file. No group, no
//! offsets, no checkpoint, no handling of errors; any connector does this much and more.
//!
//! Decoder and Parquet settings are the product's own, so that the ratio shows what the product adds to them.

use std::fs::File;
use std::ptr;
use std::slice;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidegate::flow::decode;
use tidegate::flow::event::Record;
use tidegate_sinks::TopicPartition;

use super::job::Job;

const BATCH_ROWS: usize = 8_192;
const MESSAGES: usize = 4_096;
/// A topic that stays quiet for so many waits of 50 ms is not going to give the records that are missing.
const PATIENCE: usize = 600;
const PATIENCE_FOR_TOPIC: Duration = Duration::from_secs(10);

/// Copies all records to one Parquet file.
pub(crate) fn run(job: &Job, records: u64) -> Result<()> {
    let columns = job.columns();
    let mut decoder = decode::decoder(&job.config.format, columns)?;
    let folder = job.table_folder()?;
    std::fs::create_dir_all(&folder)?;
    let file = File::create(folder.join("floor.parquet"))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(job.config.sink.file.row_group_rows))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .build();
    let mut writer = ArrowWriter::try_new(file, decoder.schema().clone(), Some(properties))?;
    let partition = TopicPartition::new(job.topic()?, 0);
    consume(job, records, |offset, payload| {
        decoder.append(&Record::of(&partition, offset, Some(payload)))?;
        if decoder.rows() == BATCH_ROWS {
            writer.write(&decoder.finish())?;
        }
        Ok(())
    })?;
    writer.write(&decoder.finish())?;
    writer.into_inner()?.sync_all().context("making the file durable")
}

/// Hands out the topic's records, in batches from the client as the cheapest way to get them.
fn consume(job: &Job, records: u64, mut take: impl FnMut(i64, &[u8]) -> Result<()>) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &job.config.kafka.bootstrap_servers)
        .set("group.id", "bench-floor")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", "65536")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    let topic = job.topic()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE_FOR_TOPIC)?;
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        partitions.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let (mut taken, mut quiet) = (0, 0);
    let mut messages = vec![ptr::null_mut(); MESSAGES];
    // SAFETY: the client is alive until the end of this function, and the queue is destroyed before.
    let queue = unsafe { native::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    let mut result = Ok(());
    while taken < records && result.is_ok() {
        // SAFETY: the array has room for as many pointers as it is said to have.
        let count =
            unsafe { native::rd_kafka_consume_batch_queue(queue, 50, messages.as_mut_ptr(), messages.len()) };
        let count = usize::try_from(count).unwrap_or(0);
        quiet = if count == 0 { quiet + 1 } else { 0 };
        if quiet > PATIENCE {
            result = Err(anyhow::anyhow!("only {taken} of {records} records came"));
        }
        for &message in &messages[..count] {
            // SAFETY: the client filled in `count` valid messages; each is read, then destroyed once.
            unsafe {
                let fields = &*message;
                if fields.err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && result.is_ok() {
                    result = take(fields.offset, slice::from_raw_parts(fields.payload.cast(), fields.len));
                    taken += 1;
                }
                native::rd_kafka_message_destroy(message);
            }
        }
    }
    // SAFETY: it is ours, and not used again.
    unsafe { native::rd_kafka_queue_destroy(queue) };
    result?;
    ensure!(taken == records, "{taken} records came instead of {records}");
    Ok(())
}
