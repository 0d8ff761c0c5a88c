//! The standard workload with one setting changed at a time.

use anyhow::Result;

use crate::bench::Bench;
use crate::conditions;
use crate::job::Settings;
use crate::measure::Cost;
use crate::report::{COSTS, Line, Table, columns};
use crate::workload::Shape;

/// What is changed: a name, a section of the job file and an entry of it. The first is the reference.
const CHANGES: [(&str, &str, &str); 15] = [
    ("checkpoint.interval: 10s, all else default", "log", "level: info"),
    ("checkpoint.interval: 1s", "checkpoint", "interval: 1s"),
    ("checkpoint.interval: 60s", "checkpoint", "interval: 60s"),
    ("speed.channels: 1", "speed", "channels: 1"),
    ("compression: none", "sink", "file: {compression: none}"),
    ("compression: lz4", "sink", "file: {compression: lz4}"),
    ("compression: snappy", "sink", "file: {compression: snappy}"),
    ("compression: zstd(3)", "sink", "file: {compression: zstd(3)}"),
    ("row_group_rows: 131072", "sink", "file: {row_group_rows: 131072}"),
    ("target_size: 16MiB", "sink", "file: {target_size: 16MiB}"),
    ("partition_by: [event_type], 20 folders", "sink", "partition_by: [event_type]"),
    ("partition_by: [\"bucket(50, user_id)\"]", "sink", "partition_by: [\"bucket(50, user_id)\"]"),
    ("memory.limit: 64MiB", "memory", "limit: 64MiB"),
    ("memory.limit: 128MiB", "memory", "limit: 128MiB"),
    ("memory.limit: 1GiB", "memory", "limit: 1GiB"),
];

pub(crate) async fn tuning(bench: &mut Bench) -> Result<Table> {
    let topic = bench.topic(&Shape::events(bench.records)).await?;
    let mut costs: Vec<Vec<Cost>> = CHANGES.iter().map(|_| Vec::new()).collect();
    let mut output = vec![(0, 0); CHANGES.len()];
    for _ in 0..bench.rounds {
        for (place, (name, section, entry)) in CHANGES.iter().enumerate() {
            let mut settings = Settings::new(bench.name("tuning"), &topic.shape);
            settings = match (*section, entry.strip_prefix("interval: ")) {
                ("checkpoint", Some(interval)) => settings.interval(interval),
                _ => settings.with(section, *entry),
            };
            let (cost, found) = bench.run(&settings, &topic).await?;
            eprintln!("{name}: {cost:?}");
            costs[place].push(cost);
            output[place] = (found.files, found.bytes);
        }
    }
    let line = |(place, (name, ..)): (usize, &(&str, &str, &str))| {
        Line::of_costs(format!("`{name}`"), topic.totals.rows, topic.bytes, &costs[place], &costs[0])
            .with("files", output[place].0 as f64)
            .with("mb", output[place].1 as f64 / 1e6)
    };
    let mut all = COSTS.to_vec();
    all.extend([("files", "files", 0), ("mb", "MB written", 1)]);
    Ok(Table {
        conditions: conditions(bench.rounds, topic.totals.rows),
        columns: columns(&all),
        lines: CHANGES.iter().enumerate().map(line).collect(),
    })
}
