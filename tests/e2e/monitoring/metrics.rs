//! Every metric is recorded, and says what is so.

use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidegate::metrics;
use tidegate_testcontainers::Kafka;

use super::dashboard::promtool;
use super::scrape::{LIMIT, Running, Scrape, job, now, produce};
use crate::support::{CHECKPOINTS, Place};

const RECORDS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_recorded_and_says_what_is_so() -> Result<()> {
    let (job, topic) = job(3, Place::Folder, CHECKPOINTS, None).await?;
    let started = now();
    produce(&topic, 3, 1, RECORDS).await?;
    let running = Running::start(&job).await?;
    let lag = |partition| {
        format!("tidegate_partition_lag_records{{topic=\"{topic}\",partition=\"{partition}\",to=\"hw\"}}")
    };
    let all_visible = |scrape: &Scrape| {
        scrape.get("tidegate_record_latency_seconds_count") >= RECORDS as f64
            && (0..3).all(|partition| scrape.get(&lag(partition)) == 0.0)
            && scrape.get("tidegate_complete_through_timestamp_seconds") > started + 1.0
    };
    let scrape = running.wait("all records are visible", all_visible).await?;

    // There is a series for each reason, and no reason here.
    for name in metrics::names().filter(|name| *name != "tidegate_unready") {
        let sample_of = |series: &String| {
            let shown = series.split('{').next().unwrap_or(series);
            shown == name
                || shown.strip_prefix(name).is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end))
        };
        ensure!(
            scrape.samples.keys().any(sample_of),
            "{name} is described and not recorded:\n{}",
            scrape.text
        );
    }
    for (series, value) in &scrape.samples {
        ensure!(value.is_finite() && *value >= 0.0, "{series} is {value}");
    }
    for series in [
        "tidegate_records_read_total",
        "tidegate_records_written_total",
        "tidegate_record_latency_seconds_count",
    ] {
        ensure!(scrape.get(series) == RECORDS as f64, "{series} is {}", scrape.get(series));
    }
    for series in [
        "tidegate_errors_total",
        "tidegate_fenced_total",
        "tidegate_records_rejected_total",
        "tidegate_reject_ratio",
    ] {
        ensure!(scrape.get(series) == 0.0, "{series} is {}", scrape.get(series));
    }
    let latency = scrape.get("tidegate_record_latency_seconds_sum") / RECORDS as f64;
    ensure!(latency > 0.0 && latency < now() - started, "a latency of {latency} s");
    let (through, newest) = (
        scrape.get("tidegate_complete_through_timestamp_seconds"),
        scrape.get("tidegate_last_checkpoint_timestamp_seconds"),
    );
    ensure!(through <= now() && newest > started - 60.0 && newest <= now(), "{through} {newest}");
    let checkpoints = scrape.get("tidegate_checkpoint_duration_seconds_count");
    ensure!(checkpoints >= 1.0 && scrape.get("tidegate_files_written_total") >= 1.0);
    for phase in ["seal", "stage", "commit", "publish"] {
        let series = format!("tidegate_checkpoint_phase_seconds_count{{phase=\"{phase}\"}}");
        ensure!(scrape.get(&series) == checkpoints, "{series} is {}", scrape.get(&series));
    }
    ensure!(scrape.get("tidegate_partitions") == 3.0);
    let positions = (0..3).map(|partition| {
        scrape.get(&format!("tidegate_partition_position{{topic=\"{topic}\",partition=\"{partition}\"}}"))
    });
    ensure!(positions.sum::<f64>() >= RECORDS as f64, "{}", scrape.text);
    let said = promtool(&["check", "metrics"], &scrape.text)?;
    ensure!(said.trim().is_empty(), "{said}\n{}", scrape.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_stalls_what_is_complete_and_its_end_is_seen() -> Result<()> {
    let (job, topic) = job(2, Place::Folder, CHECKPOINTS, None).await?;
    let running = Running::start(&job).await?;
    let through = "tidegate_complete_through_timestamp_seconds";
    running.wait("an empty topic is complete", |scrape| scrape.get(through) > 0.0).await?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", Kafka::shared().await?.bootstrap_servers())
        .set("transactional.id", &topic)
        .create()?;
    let open = topic.clone();
    let producer = tokio::task::spawn_blocking(move || {
        producer.init_transactions(LIMIT)?;
        producer.begin_transaction()?;
        for id in 0..3_u64 {
            let mut payload = Vec::new();
            tidegate_testcontainers::transactions::json_payload(id, &mut payload);
            let record = BaseRecord::<[u8], [u8]>::to(&open).partition(0).payload(&payload);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(LIMIT)?;
        anyhow::Ok(producer)
    })
    .await??;
    let stalled = |scrape: &Scrape| scrape.get("tidegate_lso_stall_seconds") >= 5.0;
    let first = running.wait("the stall", stalled).await?;
    ensure!(
        first.get("tidegate_lag_records{to=\"hw\"}") >= 3.0
            && first.get("tidegate_lag_records{to=\"lso\"}") == 0.0
    );
    let lag = format!("tidegate_partition_lag_records{{topic=\"{topic}\",partition=\"0\",to=\"hw\"}}");
    ensure!(first.get(&lag) >= 3.0, "{}", first.text);
    let later = running.wait("it lasts", |scrape| scrape.get("tidegate_lso_stall_seconds") >= 7.0).await?;
    ensure!(
        first.get(through) == later.get(through),
        "{} moved to {}",
        first.get(through),
        later.get(through)
    );

    tokio::task::spawn_blocking(move || producer.commit_transaction(Duration::from_secs(30))).await??;
    let committed = now();
    let ended = |scrape: &Scrape| {
        scrape.get("tidegate_lso_stall_seconds") == 0.0
            && scrape.get("tidegate_records_written_total") == 3.0
            && scrape.get(through) > committed
    };
    running.wait("the end of the stall", ended).await?;
    Ok(())
}
