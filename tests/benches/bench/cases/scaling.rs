//! More replicas and more records: what they cost, and for how long a rebalance
//! keeps records from being seen.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::standard::table;
use crate::bench::{Bench, Topic};
use crate::conditions;
use crate::job::Settings;
use crate::measure::{Cost, percentile};
use crate::replica::Replica;
use crate::report::{COSTS, Line, Table, columns};
use crate::visible::{Seen, Watcher};
use crate::workload::{Kind, Shape, trickle};

/// How many times the records of the smaller run.
const MORE: u64 = 5;
const PARTITIONS: i32 = 12;
const RECORDS_PER_SECOND: u64 = 2_000;
/// Age up to which a record may not have been seen without anything having happened.
const UNSEEN_MILLISECONDS: i64 = 1_500;

pub(crate) async fn scaling(bench: &mut Bench) -> Result<Table> {
    let topic = bench.topic(&Shape::events(bench.records)).await?;
    let more = bench.topic(&Shape::events(bench.records * MORE)).await?;
    let mut costs: [Vec<Cost>; 4] = Default::default();
    for _ in 0..bench.rounds {
        let small = Settings::new(bench.name("scaling"), &topic.shape);
        costs[0].push(bench.run(&small, &topic).await?.0);
        for (place, replicas) in [(1, 1), (2, 2), (3, 4)] {
            costs[place].push(together(bench, &more, replicas).await?);
        }
    }
    let [small, one, two, four] = &costs;
    let each = |costs: &[Cost], rows: u64| -> Vec<Cost> {
        let part = |cost: &Cost| Cost { cpu_seconds: cost.cpu_seconds / rows as f64, ..*cost };
        costs.iter().map(part).collect()
    };
    let per_row = each(small, topic.totals.rows);
    let line = |name: &str, topic: &Topic, costs: &[Cost]| {
        let to_small = Line::of_costs("", 1, 0, &each(costs, topic.totals.rows), &per_row).of("to_reference");
        Line::of_costs(name, topic.totals.rows, topic.bytes, costs, &[]).with("to_reference", to_small)
    };
    let mut lines = vec![
        line(&format!("{} records, 1 replica", topic.totals.rows), &topic, small),
        line(&format!("{} records, 1 replica", more.totals.rows), &more, one),
        line("the same, 2 replicas", &more, two),
        line("the same, 4 replicas", &more, four),
    ];
    lines.extend(rebalances(bench).await?);
    let mut all = COSTS.to_vec();
    all.extend([("normal", "latency p99 s", 2), ("longest", "longest s", 2)]);
    Ok(Table { conditions: conditions(bench.rounds, topic.totals.rows), columns: columns(&all), lines })
}

/// Several replicas, started at once, read a topic to its end. Memory is that of the largest.
async fn together(bench: &mut Bench, topic: &Topic, replicas: usize) -> Result<Cost> {
    let settings = Settings::new(bench.name("scaling"), &topic.shape);
    let job = bench.job(&settings)?;
    let running: Result<Vec<Replica>> =
        (0..replicas).map(|_| Replica::start(bench, &job, &["--until-end"])).collect();
    let mut all = Cost::default();
    for replica in running? {
        let log = replica.log();
        let cost = replica.running.wait().context(log)?;
        all.wall_seconds = all.wall_seconds.max(cost.wall_seconds);
        all.cpu_seconds += cost.cpu_seconds;
        all.peak_rss_mib = Some(all.peak_rss_mib.unwrap_or(0.0).max(cost.peak_rss_mib.unwrap_or(0.0)));
    }
    bench.verify(&settings.name, &job, topic)?;
    Ok(all)
}

/// A replica joins, leaves, joins and is killed, while records come at a steady
/// rate; a checkpoint every second.
async fn rebalances(bench: &mut Bench) -> Result<Vec<Line>> {
    let name = bench.name("rebalance");
    let shape = Shape { kind: Kind::Small, topic: name.clone(), partitions: PARTITIONS, ..Shape::events(0) };
    bench.topic(&shape).await?;
    let settings = Settings::new(&name, &shape).interval("1s").with("format", "metadata: [timestamp]");
    let job = bench.job(&settings)?;
    let first = Replica::start(bench, &job, &[])?;
    first.until("tidegate_partitions", 0.0).await?;
    let watcher = Watcher::start(&table(bench, &name));
    let (calm, servers) = (Duration::from_secs(12), bench.servers().to_owned());
    let records = RECORDS_PER_SECOND * 80;
    let writing = tokio::task::spawn_blocking(move || {
        trickle(&servers, &name, PARTITIONS, 0..records, RECORDS_PER_SECOND)
    });
    let mut moments = vec![("calm", Timestamp::now())];
    tokio::time::sleep(calm).await;
    moments.push(("a replica joins", Timestamp::now()));
    let second = Replica::start(bench, &job, &[])?;
    tokio::time::sleep(calm).await;
    moments.push(("a replica is stopped", Timestamp::now()));
    tokio::task::spawn_blocking(move || second.stop()).await??;
    tokio::time::sleep(calm).await;
    moments.push(("it joins again", Timestamp::now()));
    let third = Replica::start(bench, &job, &[])?;
    tokio::time::sleep(calm).await;
    moments.push(("a replica is killed", Timestamp::now()));
    third.kill()?;
    writing.await??;
    let seen = all_seen(watcher, &first, records).await?;
    first.stop()?;
    let seen = seen?;
    let normal = percentile(during(&seen, &moments, 0), 0.99);
    let line = |place: usize| {
        Line::new(moments[place].0)
            .with("normal", normal)
            .with("longest", percentile(during(&seen, &moments, place), 1.0))
    };
    Ok((1..moments.len()).map(line).collect())
}

/// Waits until all is committed by anybody, which the first replica is told by the checkpoints.
async fn all_seen(watcher: Watcher, first: &Replica, records: u64) -> Result<Result<Vec<Seen>>> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while first.metric("tidegate_partition_position").await.is_none_or(|sum| sum < records as f64) {
        ensure!(Instant::now() < deadline, "not all is committed after a minute: {}", first.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(watcher.end().and_then(|seen| {
        let ids: std::collections::BTreeSet<i64> = seen.iter().map(|seen| seen.id).collect();
        ensure!(ids.len() == seen.len(), "records are visible twice");
        ensure!(ids.len() as u64 == records, "{} records are visible instead of {records}", ids.len());
        Ok(seen)
    }))
}

/// Latencies of the records from a moment to the next. What was made just before a
/// moment is not seen yet when it comes, and so belongs to it.
fn during<'a>(
    seen: &'a [Seen],
    moments: &[(&str, Timestamp)],
    place: usize,
) -> impl Iterator<Item = f64> + 'a {
    let unseen_since = |moment: &Timestamp| moment.as_millisecond() - UNSEEN_MILLISECONDS;
    let from = unseen_since(&moments[place].1);
    let to = moments.get(place + 1).map_or(i64::MAX, |(_, moment)| unseen_since(moment));
    seen.iter().filter(move |seen| (from..to).contains(&seen.made)).map(Seen::latency_seconds)
}
