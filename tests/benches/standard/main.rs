//! What the standard workload costs: by stage, end to end, and beside the floor below which no connector gets.
//!
//! Everything measured is a process of its own, this program again or the product's release build, so that each is
//! counted whole and the same way. Floor and product run in turn, because a machine's speed changes with the hour;
//! whatever they wrote is read back and must add up to exactly what was produced.
//!
//! `./x bench`, with `TIDEGATE_BENCH_RECORDS` (1,000,000) committed records and `TIDEGATE_BENCH_ROUNDS` (3).

#![allow(clippy::print_stdout, reason = "figures and the answers of parts go there")]

mod floor;
mod job;
mod measure;
mod stages;
mod verify;
mod workload;

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tidegate_testcontainers::Kafka;

use job::Job;
use measure::{Cost, Line};
use verify::Found;
use workload::{PARTITIONS, TOPIC, Totals};

// The product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<()> {
    // As the product does; parts inherit it, so that the floor is the lowest there is.
    // SAFETY: sets a flag of this process, and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1_u64, 0_u64, 0_u64, 0_u64) };
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["part", name, job, records] => part(name, &Job::read(Path::new(job))?, records.parse()?).await,
        _ => bench().await,
    }
}

/// Does one part's work, and prints what the parent process cannot measure itself.
async fn part(name: &str, job: &Job, records: u64) -> Result<()> {
    let answer = match name {
        "write" => serde_json::to_value(workload::write(&job.config.kafka.bootstrap_servers, records)?)?,
        "consume" => serde_json::to_value(stages::consume(job, records, drop).await?)?,
        "stages" => serde_json::to_value(stages::decode_and_encode(job, records).await?)?,
        "floor" => serde_json::to_value(floor::run(job, records)?)?,
        "verify" => serde_json::to_value(verify::read(&job.table_folder()?)?)?,
        _ => anyhow::bail!("no part is called {name}"),
    };
    println!("{answer}");
    Ok(())
}

async fn bench() -> Result<()> {
    let records = setting("TIDEGATE_BENCH_RECORDS", 1_000_000)?;
    let rounds = setting("TIDEGATE_BENCH_ROUNDS", 3)?.max(1);
    let product = env::var_os("TIDEGATE_BIN").context("TIDEGATE_BIN is not set; run this by ./x bench")?;
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, PARTITIONS).await?;
    let bench = Bench {
        dir: tempfile::tempdir()?,
        servers: kafka.bootstrap_servers().to_owned(),
        product: product.into(),
        records,
    };
    let (_, (totals, bytes)) = bench.part::<(Totals, u64)>("write", "write")?;
    println!("{records} records, {} bytes of JSON each, on {PARTITIONS} partitions", bytes / records.max(1));
    let lines = bench.measure(rounds, &totals, bytes)?;
    for line in &lines {
        println!("{}", serde_json::to_string(line)?);
    }
    println!("{}", measure::table(&lines));
    Ok(())
}

fn setting(name: &str, default: u64) -> Result<u64> {
    match env::var(name) {
        Ok(value) => value.replace('_', "").parse().with_context(|| format!("{name} is not a number")),
        Err(_) => Ok(default),
    }
}

struct Bench {
    dir: TempDir,
    servers: String,
    product: PathBuf,
    records: u64,
}

impl Bench {
    fn measure(&self, rounds: u64, totals: &Totals, bytes: u64) -> Result<Vec<Line>> {
        let mut costs: [Vec<Cost>; 5] = Default::default();
        let mut held = 0;
        for round in 1..=rounds {
            let name = |part: &str| format!("{part}-{round}");
            let (consume, ()) = self.part("consume", &name("consume"))?;
            let (_, (rows, decode, encode)) = self.part::<(u64, Cost, Cost)>("stages", &name("stages"))?;
            held = rows;
            let (floor, ()) = self.part("floor", &name("floor"))?;
            self.verify("floor", &name("floor"), totals)?;
            let product = self.product(&name("product"))?;
            self.verify("product", &name("product"), totals)?;
            for (costs, cost) in costs.iter_mut().zip([consume, decode, encode, floor, product]) {
                costs.push(cost);
            }
        }
        let [consume, decode, encode, floor, product] = &costs;
        let (records, held_bytes) = (self.records, (bytes as f64 / self.records as f64 * held as f64) as u64);
        Ok(vec![
            Line::new("consume only", records, bytes, consume, None),
            Line::new("decode only", held, held_bytes, decode, None),
            Line::new("encode only", held, held_bytes, encode, None),
            Line::new("floor: one thread, no protocol", records, bytes, floor, Some(floor)),
            Line::new("tidegate run --until-end", records, bytes, product, Some(floor)),
        ])
    }

    /// Runs this program for a part, and returns its answer.
    fn part<T: DeserializeOwned>(&self, part: &str, name: &str) -> Result<(Cost, T)> {
        let (job, answer) = (self.job(name)?, self.dir.path().join(format!("{name}.json")));
        let mut command = Command::new(env::current_exe()?);
        command.args(["part", part]).arg(job).arg(self.records.to_string());
        let cost = measure::process(command.stdout(File::create(&answer)?))?;
        let answer = std::fs::read_to_string(&answer)?;
        Ok((cost, serde_json::from_str(&answer).with_context(|| format!("{part} answered {answer}"))?))
    }

    fn product(&self, name: &str) -> Result<Cost> {
        let log = self.dir.path().join(format!("{name}.log"));
        let mut command = Command::new(&self.product);
        command.arg("run").arg(self.job(name)?).arg("--until-end");
        command
            .stdout(File::create(self.dir.path().join(format!("{name}.out")))?)
            .stderr(File::create(&log)?);
        measure::process(&mut command).with_context(|| std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// Checks what a part has written, and removes it.
    fn verify(&self, part: &str, name: &str, totals: &Totals) -> Result<()> {
        let (_, found) = self.part::<Found>("verify", name)?;
        ensure!(found.totals == *totals, "{part} wrote {:?} instead of {totals:?}", found.totals);
        println!("{name}: exact, {} files, {:.1} MB of Parquet", found.files, found.bytes as f64 / 1e6);
        std::fs::remove_dir_all(self.folder(name))?;
        Ok(())
    }

    fn job(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(format!("{name}.yaml"));
        job::write(&path, &self.servers, name, &self.folder(name))?;
        Ok(path)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
