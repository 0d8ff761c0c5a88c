//! A job that runs for long under an even load holds no more at its end than in its middle.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tidegate_sinks::{Sink, SinkSettings};
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::Transactions;

use crate::support::{Held, Job, Place, Process, Program, Settings, unique};

const RECORDS_PER_SECOND: u64 = 20_000;

/// Parts of the time whose medians are compared.
const WINDOWS: usize = 6;

/// Whether memory grows by 3 % even without its largest step from one window to the
/// next. When the machine is busy with something else, records pile up once, and an
/// allocator keeps what that took: no leak. Twice as much is too much in any case.
fn leaks(windows: &[u64]) -> bool {
    let (first, last) = (windows[0], windows[windows.len() - 1]);
    let largest = windows.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0);
    last > first * 2 || last.saturating_sub(first + largest) * 100 > first * 3
}

#[test]
fn a_leak_is_told_from_a_step() {
    // 10 KB/s for 20 minutes, as a leak that was found had it.
    assert!(leaks(&[80_000, 82_000, 84_000, 86_000, 88_000, 90_000]));
    assert!(leaks(&[80_000, 81_900, 81_900, 86_000, 85_900, 90_000]));
    assert!(!leaks(&[65_000, 66_000, 66_500, 76_000, 76_200, 76_100]), "a step");
    assert!(!leaks(&[66_000, 64_000, 67_000, 65_000, 68_000, 66_000]), "level");
    assert!(leaks(&[60_000, 60_000, 60_000, 60_000, 60_000, 130_000]));
}

/// Seconds of load.
fn seconds() -> u64 {
    std::env::var("TIDEGATE_STEADY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_800)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half an hour: ./x soak"]
async fn memory_handles_and_threads_stay_level_under_an_even_load() -> Result<()> {
    let kafka = Kafka::start().await?;
    let topic = unique("steady");
    kafka.create_topic(&topic, 4).await?;
    let job = Job::new(Settings {
        bootstrap_servers: kafka.bootstrap_servers(),
        topic: &topic,
        place: Place::Folder,
        more: "checkpoint: {interval: 2s, retained_for: 1m}\n",
        sink: "",
        endpoint: None,
    })
    .await?;
    let mut process = job.start(Program::Plain, &["run"], None, None)?;
    let committed = load(&kafka, &topic, &process).await?;
    process.signal(libc::SIGTERM);
    ensure!(process.wait(Duration::from_secs(60)).await?.success(), "{}", process.log()?);
    job.run(&["run", "--until-end"]).await?;
    job.run(&["audit", "--deep"]).await?;
    let settings = SinkSettings::new(job.name.clone(), job.url.clone());
    let newest = tidegate_sinks::open(settings)?.load().await?.context("a chain")?;
    let rows: u64 = newest.partitions.values().map(|at| at.rows).sum();
    ensure!(rows == committed, "{rows} rows of {committed} committed records");
    eprintln!("{rows} rows in {} checkpoints", newest.n);
    Ok(())
}

/// Produces at an even rate and looks at the process every second. Returns the records committed.
async fn load(kafka: &Kafka, topic: &str, process: &Process) -> Result<u64> {
    let (begun, mut committed, mut seen) = (Instant::now(), 0, Vec::new());
    for second in 0..seconds() {
        let due = begun + Duration::from_secs(second);
        tokio::time::sleep_until(due.into()).await;
        let plan = Transactions {
            seed: second,
            records: RECORDS_PER_SECOND,
            partitions: 4,
            max_transaction: 10_000,
            aborted: 0.05,
            ends_aborted: false,
            ..Default::default()
        };
        committed += plan.produce(kafka.bootstrap_servers(), topic).await?.committed;
        let held = process.held()?;
        if second % 60 == 0 {
            eprintln!("minute {}: {held:?}", second / 60);
        }
        seen.push(held);
    }
    let late = begun.elapsed().as_secs_f64() / seconds() as f64;
    ensure!(
        late < 1.1,
        "this machine is too slow to produce {RECORDS_PER_SECOND} records a second: {late:.2}"
    );
    // The first third is for caches to fill.
    let level = &seen[seen.len() / 3..];
    let windows: Vec<Held> = level.chunks(level.len().div_ceil(WINDOWS)).map(median).collect();
    eprintln!("{windows:?}\npeak: {:?} KiB", process.peak_kibibytes());
    ensure!(
        !leaks(&windows.iter().map(|held| held.kibibytes).collect::<Vec<_>>()),
        "memory grows: {windows:?}"
    );
    let (first, last) = (&windows[0], &windows[windows.len() - 1]);
    ensure!(last.handles <= first.handles + 2, "handles grow: {windows:?}");
    ensure!(last.threads <= first.threads + 1, "threads grow: {windows:?}");
    Ok(committed)
}

fn median(seen: &[Held]) -> Held {
    let middle = |mut all: Vec<u64>| {
        all.sort_unstable();
        all[all.len() / 2]
    };
    Held {
        kibibytes: middle(seen.iter().map(|held| held.kibibytes).collect()),
        handles: middle(seen.iter().map(|held| held.handles).collect()),
        threads: middle(seen.iter().map(|held| held.threads).collect()),
    }
}
