//! The standard workload: stage by stage, and end to end beside the floor, a script and Flink.

use std::fs::File;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::{Bench, Topic};
use crate::commit::Each;
use crate::conditions;
use crate::job::{Settings, TABLE};
use crate::measure::{self, Cost};
use crate::report::{COSTS, Line, Table, columns};
use crate::workload::Shape;

pub(crate) const FLOOR: &str = "floor: one thread, no protocol";
pub(crate) const PRODUCT: &str = "Tidegate";
pub(crate) const SCRIPT: &str = "Python script with pyarrow";
pub(crate) const FLINK: &str = "Flink 2.2.1 SQL";
pub(crate) const FLINK_ALONE: &str = "Flink 2.2.1 SQL, without its start";

/// Records that a stage is measured with; more show nothing more.
pub(crate) const ENOUGH: u64 = 1_000_000;
/// Commits, files of each and bytes of a file, to measure a commit by itself.
const COMMITS: &str = "[200, 1, 65536]";

/// Consuming, decoding, encoding and committing, each alone.
pub(crate) async fn stages(bench: &mut Bench) -> Result<Table> {
    let topic = bench.topic(&Shape::events(bench.records.min(ENOUGH))).await?;
    let mut costs: [Vec<Cost>; 3] = Default::default();
    let (mut held, mut commits) = (0, Vec::new());
    for _ in 0..bench.rounds {
        let settings = Settings::new(bench.name("stages"), &topic.shape);
        let job = bench.job(&settings)?;
        let records = topic.totals.rows.to_string();
        let (consume, ()) = bench.part("consume", &job, &records)?;
        let (_, (rows, decode, encode)) = bench.part::<(u64, Cost, Cost)>("stages", &job, &records)?;
        let (_, commit) = bench.part::<Each>("commit", &job, COMMITS)?;
        held = rows;
        commits.push(commit);
        for (costs, cost) in costs.iter_mut().zip([consume, decode, encode]) {
            costs.push(cost);
        }
    }
    let held_bytes = (topic.bytes as f64 / topic.totals.rows as f64 * held as f64) as u64;
    let [consume, decode, encode] = &costs;
    let commit = Line::new("commit of one file to a folder")
        .with("wall_ms", measure::median(commits.iter().map(|commit| commit.wall_seconds * 1e3)))
        .with("cpu_ms", measure::median(commits.iter().map(|commit| commit.cpu_seconds * 1e3)));
    let mut all = COSTS.to_vec();
    all.extend([("wall_ms", "ms", 1), ("cpu_ms", "CPU ms", 1)]);
    Ok(Table {
        conditions: conditions(bench.rounds, topic.totals.rows),
        columns: columns(&all),
        lines: vec![
            Line::of_costs("consume", topic.totals.rows, topic.bytes, consume, &[]),
            Line::of_costs("decode", held, held_bytes, decode, &[]),
            Line::of_costs("encode", held, held_bytes, encode, &[]),
            commit,
        ],
    })
}

/// What ran, what it cost in each round, and its output of the last.
#[derive(Debug)]
struct Contender {
    name: &'static str,
    costs: Vec<Cost>,
    files: u64,
    bytes: u64,
}

/// End to end, each in turn.
pub(crate) async fn standard(bench: &mut Bench) -> Result<Table> {
    let topic = bench.topic(&Shape::events(bench.records)).await?;
    let mut names = vec![FLOOR, PRODUCT];
    if bench.has("script") && bench.has("reader") {
        names.push(SCRIPT);
    }
    if bench.has("flink") && bench.has("reader") {
        names.push(FLINK);
    }
    let contender = |name| Contender { name, costs: Vec::new(), files: 0, bytes: 0 };
    let mut contenders: Vec<_> = names.into_iter().map(contender).collect();
    for _ in 0..bench.rounds {
        for contender in &mut contenders {
            let (cost, files, bytes) = run(bench, contender.name, &topic).await?;
            contender.costs.push(cost);
            (contender.files, contender.bytes) = (files, bytes);
        }
    }
    let floor = contenders[0].costs.clone();
    let mut lines: Vec<Line> = contenders
        .iter()
        .map(|contender| {
            Line::of_costs(contender.name, topic.totals.rows, topic.bytes, &contender.costs, &floor)
                .with("files", contender.files as f64)
                .with("mb", contender.bytes as f64 / 1e6)
        })
        .collect();
    if let Some(flink) = contenders.iter().find(|contender| contender.name == FLINK) {
        lines.push(without_start(bench, flink, &topic, &floor).await?);
    }
    let mut all = COSTS.to_vec();
    all.extend([("files", "files", 0), ("mb", "MB written", 1)]);
    Ok(Table { conditions: conditions(bench.rounds, topic.totals.rows), columns: columns(&all), lines })
}

async fn run(bench: &mut Bench, contender: &str, topic: &Topic) -> Result<(Cost, u64, u64)> {
    let name = bench.name("standard");
    let settings = Settings::new(&name, &topic.shape);
    let rows = topic.totals.rows.to_string();
    match contender {
        PRODUCT => {
            let (cost, found) = bench.run(&settings, topic).await?;
            Ok((cost, found.files, found.bytes))
        }
        FLOOR => {
            let job = bench.job(&settings)?;
            let (cost, ()) = bench.part("floor", &job, &rows)?;
            let found = bench.verify(&name, &job, topic)?;
            Ok((cost, found.files, found.bytes))
        }
        FLINK => flink(bench, &name, topic),
        _ => {
            let folder = bench.path().join(&name);
            let mut command = Command::new(bench.peers.join("script/bin/python"));
            command.arg(bench.recipes.join("script.py")).args([bench.servers(), &topic.shape.topic]);
            command.arg(&folder).arg(&rows);
            let cost = measure::process(&mut command)?;
            output(bench, SCRIPT, &folder, topic).map(|(files, bytes)| (cost, files, bytes))
        }
    }
}

fn flink(bench: &Bench, name: &str, topic: &Topic) -> Result<(Cost, u64, u64)> {
    let (work, folder) = (bench.path().join(format!("{name}-work")), bench.path().join(name));
    std::fs::create_dir_all(&work)?;
    let mut command = Command::new(bench.recipes.join("flink.sh"));
    command.arg(&bench.peers).arg(&work).args([bench.servers(), &topic.shape.topic]).arg(&folder);
    let log = work.join("flink.log");
    command.stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
    let cost =
        measure::family(&mut command).with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    std::fs::remove_dir_all(&work)?;
    let (files, bytes) = match topic.totals.rows {
        0 => (0, 0),
        _ => output(bench, FLINK, &folder, topic)?,
    };
    Ok((cost, files, bytes))
}

/// Checks what a peer has written, and removes it.
fn output(bench: &Bench, name: &str, folder: &std::path::Path, topic: &Topic) -> Result<(u64, u64)> {
    let found = bench.verify_independently(folder, topic)?.context("the reader is installed")?;
    eprintln!("{name}: exact by DuckDB, {} files, {:.1} MB of Parquet", found.0, found.1 as f64 / 1e6);
    std::fs::remove_dir_all(folder)?;
    Ok(found)
}

/// Flink on an empty topic is its start and its end; taken off, what is left is what its records cost.
async fn without_start(bench: &mut Bench, flink_: &Contender, topic: &Topic, floor: &[Cost]) -> Result<Line> {
    let empty = bench.topic(&Shape::named("empty", 0)).await?;
    let name = bench.name("empty");
    let (start, ..) = flink(bench, &name, &empty)?;
    let less = |cost: &Cost| Cost {
        wall_seconds: cost.wall_seconds - start.wall_seconds,
        cpu_seconds: cost.cpu_seconds - start.cpu_seconds,
        peak_rss_mib: None,
    };
    let costs: Vec<Cost> = flink_.costs.iter().map(less).collect();
    let line = Line::of_costs(FLINK_ALONE, topic.totals.rows, topic.bytes, &costs, floor);
    // It spends about as long on waiting with nothing to read as with something.
    Ok(line.with("rows_per_second", None::<f64>).with("mb_per_second", None::<f64>))
}

/// The folder of a run's table.
pub(crate) fn table(bench: &Bench, name: &str) -> std::path::PathBuf {
    bench.path().join(name).join(TABLE)
}
