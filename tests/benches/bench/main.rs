//! What Tidegate costs: by stage, end to end, beside the floor below which no
//! connector gets, and beside what one would use instead.
//!
//! Everything measured is a process of its own, this program again or the product's release build, so that
//! each is counted whole and the same way. What is compared runs in turn, because a machine's speed changes
//! with the hour; whatever was written is read back and must add up to exactly what was produced.
//!
//! `./x bench [--write] [NAME..]`; see [`main`] for the names. `TIDEGATE_BENCH_RECORDS` (1,000,000) and
//! `TIDEGATE_BENCH_ROUNDS` (3) set its size. Without a broker: `cargo bench -p tidegate-benches -- decode`
//! times decoding and encoding, and `./x bench instructions` counts what they take.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures go to stdout, progress to stderr")]

mod bench;
mod cases;
mod chart;
mod commit;
mod docker;
mod floor;
mod goals;
mod instructions;
mod job;
mod measure;
mod replica;
mod report;
mod stages;
mod verify;
mod visible;
mod workload;

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use bench::Bench;
use job::Job;
use report::{Results, Table};

/// Their names, in the order in which they run.
const BENCHES: [&str; 9] =
    ["stages", "standard", "stall", "latency", "start", "scaling", "memory", "tuning", "objects"];

#[tokio::main]
async fn main() -> Result<()> {
    // As the product does; parts inherit it, so that the floor is the lowest there is.
    // SAFETY: sets a flag of this process, and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1_u64, 0_u64, 0_u64, 0_u64) };
    // Cargo adds one of its own.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["part", name, job, argument] => part(name, &Job::read(Path::new(job))?, argument).await,
        ["render"] => write(&Results::default()),
        ["decode"] => tokio::task::block_in_place(stages::quick),
        ["instructions"] => instructions::check(),
        ["instructions", "--update"] => instructions::update(),
        ["instructions", "run"] => instructions::run().await,
        ["--write", ref names @ ..] => write(&benches(names).await?),
        ref names => benches(names).await.map(|_| ()),
    }
}

/// Does one part's work, and prints what the parent process cannot measure itself.
async fn part(name: &str, job: &Job, argument: &str) -> Result<()> {
    let servers = &job.config.kafka.bootstrap_servers;
    let answer = match name {
        "write" => serde_json::to_value(workload::write(servers, &serde_json::from_str(argument)?)?)?,
        "consume" => serde_json::to_value(stages::consume(job, argument.parse()?, drop).await?)?,
        "stages" => serde_json::to_value(stages::consumed(job, argument.parse()?).await?)?,
        "commit" => serde_json::to_value(commit::run(job, serde_json::from_str(argument)?).await?)?,
        "floor" => serde_json::to_value(floor::run(job, argument.parse()?)?)?,
        "verify" => {
            serde_json::to_value(verify::read(&job.table_folder()?, serde_json::from_str(argument)?)?)?
        }
        _ => bail!("no part is called {name}"),
    };
    println!("{answer}");
    Ok(())
}

/// Runs the benches that are named, or all.
async fn benches(names: &[&str]) -> Result<Results> {
    if let Some(unknown) = names.iter().find(|name| !BENCHES.contains(name)) {
        bail!("no bench is called {unknown}; there are {}", BENCHES.join(", "));
    }
    let records = setting("TIDEGATE_BENCH_RECORDS", 1_000_000)?;
    let rounds = setting("TIDEGATE_BENCH_ROUNDS", 3)?.max(1);
    let mut bench = Bench::start(records, rounds).await?;
    let mut results = Results::default();
    for name in BENCHES.into_iter().filter(|name| names.is_empty() || names.contains(name)) {
        let table: Table = match name {
            "stages" => cases::standard::stages(&mut bench).await,
            "standard" => cases::standard::standard(&mut bench).await,
            "stall" => cases::stall::stall(&mut bench).await,
            "latency" => cases::latency::latency(&mut bench).await,
            "start" => cases::start::start(&mut bench).await,
            "scaling" => cases::scaling::scaling(&mut bench).await,
            "memory" => cases::memory::memory(&mut bench).await,
            "tuning" => cases::tuning::tuning(&mut bench).await,
            _ => cases::objects::objects(&mut bench).await,
        }
        .with_context(|| format!("bench {name}"))?;
        println!("## {name}\n\n{}", table.markdown());
        results.0.insert(name.into(), table);
    }
    println!("{}", serde_json::to_string(&results)?);
    Ok(results)
}

fn setting(name: &str, default: u64) -> Result<u64> {
    match env::var(name) {
        Ok(value) => value.replace('_', "").parse().with_context(|| format!("{name} is not a number")),
        Err(_) => Ok(default),
    }
}

/// Puts new figures among those of earlier runs, and makes the pages and the chart of all of them.
fn write(new: &Results) -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let (figures, page) = (docs.join("benchmarks.json"), docs.join("benchmarks.md"));
    let mut results = Results::read(&figures)?;
    results.0.extend(new.0.clone());
    results.write(&figures)?;
    for page in [page, docs.join("tuning.md"), docs.join("../README.md")] {
        let text = std::fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
        std::fs::write(&page, results.put_into(&text))?;
    }
    if let Some(standard) = results.0.get("standard") {
        std::fs::write(docs.join("benchmarks.svg"), chart::svg(standard)?)?;
    }
    Ok(())
}

/// When, on what, and beside what it was measured.
fn conditions(rounds: u64, records: u64) -> String {
    let first = |text: String, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.rsplit_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit =
        commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!(
        "{}, commit {commit}; {cores} cores ({}), load at the end {load}; {rounds} rounds, {records} records.",
        jiff::Zoned::now().strftime("%d %B %Y %H:%M"),
        first(read("/proc/cpuinfo"), "model name"),
    )
}
