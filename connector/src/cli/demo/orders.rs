//! The orders that the demo writes, the same ones each time.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use crate::kafka::TIMEOUT;

pub(super) const TOPIC: &str = "orders";
const COUNTRIES: [(&str, &str); 6] =
    [("DE", "EUR"), ("FR", "EUR"), ("US", "USD"), ("GB", "GBP"), ("JP", "JPY"), ("BR", "BRL")];
const STATUSES: [&str; 4] = ["placed", "paid", "shipped", "returned"];
/// 2026-01-29T00:00:00Z; three days of orders from there.
const FIRST: i64 = 1_769_644_800;
const DAYS: i64 = 3;

pub(super) fn job_file(servers: &str, warehouse: &Path) -> String {
    // A path may hold what YAML reads as syntax; JSON's string is YAML's too.
    let url = json!(format!("file://{}", warehouse.display()));
    format!(
        "# Written by `tidegate demo`. The broker was embedded in that process and is gone.
job: demo
kafka:
  bootstrap_servers: {servers}
  topics: [{TOPIC}]
format:
  type: json
  columns:
    - {{name: order_id, type: string}}
    - {{name: ts, type: \"timestamp(ms, UTC)\"}}
    - {{name: customer_id, type: int64}}
    - {{name: country, type: string}}
    - {{name: currency, type: string}}
    - {{name: amount, type: \"decimal(18,2)\"}}
    - {{name: status, type: string}}
    - {{name: items, type: \"list<struct<sku: string, quantity: int32, price: decimal(18,2)>>\"}}
    - {{name: coupon, type: string}}
  metadata: [partition, offset, timestamp]
sink:
  type: files
  url: {url}
  table: orders
  partition_by: [\"day(ts)\"]
checkpoint:
  interval: 2s
http:
  listen: 127.0.0.1:0
"
    )
}

/// Sends `records` orders over all partitions.
pub(super) fn produce(servers: &str, partitions: i32, records: u64) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("compression.type", "zstd")
        .set("linger.ms", "20")
        .create()
        .context("making a producer")?;
    let mut random = StdRng::seed_from_u64(42);
    for number in 0..records {
        let (key, payload) = order(&mut random, number, records);
        let partition = random.random_range(0..partitions);
        let mut record = BaseRecord::to(TOPIC).partition(partition).key(&key).payload(&payload);
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("producing orders");
            }
            producer.poll(std::time::Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(TIMEOUT * 6).map_err(|error| anyhow!(error).context("producing orders"))
}

fn order(random: &mut StdRng, number: u64, records: u64) -> (String, Vec<u8>) {
    let (country, currency) = COUNTRIES[random.random_range(0..COUNTRIES.len())];
    let customer = random.random_range(1..=20_000_u32);
    // In the order of their time, give or take a minute, as orders come.
    let progress =
        i64::try_from(i128::from(number) * i128::from(DAYS * 86_400_000 - 60_000) / i128::from(records));
    let milliseconds = progress.unwrap_or_default() + random.random_range(0..60_000);
    let placed =
        Timestamp::from_second(FIRST).unwrap_or_default() + SignedDuration::from_millis(milliseconds);
    let mut cents = 0;
    let items: Vec<_> = (0..random.random_range(1..=4))
        .map(|_| {
            let (quantity, price) = (random.random_range(1..=3_u64), random.random_range(199..=19_999_u64));
            cents += quantity * price;
            let sku = format!("SKU-{:05}", random.random_range(0..5_000));
            json!({"sku": sku, "quantity": quantity, "price": money(price)})
        })
        .collect();
    let coupon = random.random_bool(0.1).then_some("WELCOME10");
    let order = json!({
        "order_id": format!("o-{number:09}"), "ts": placed, "customer_id": customer, "country": country,
        "currency": currency, "amount": money(cents), "status": STATUSES[random.random_range(0..STATUSES.len())],
        "items": items, "coupon": coupon,
    });
    (format!("c-{customer}"), order.to_string().into_bytes())
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
