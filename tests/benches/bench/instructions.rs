//! How many instructions decoding and encoding take for a record of the standard workload, counted by
//! callgrind: a figure that no other load of the machine changes, so that a test can hold it.
//!
//! Valgrind shows a program one and the same processor, a Haswell, on every machine
//! that has AVX2; so libraries that choose by what the processor can do choose
//! alike everywhere. Compilers differ: the figures name theirs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::job::Settings;
use super::measure::COUNTED;
use super::stages;
use super::workload::Shape;

const RECORDS: u64 = 40_000;
/// More than this over what is recorded fails.
const MOST_PERCENT: f64 = 5.0;

/// Instructions for a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Counts {
    decode: f64,
    encode: f64,
    /// What it was compiled and counted by.
    rustc: String,
    valgrind: String,
}

/// What is counted: decoding and encoding, in this order.
pub(crate) async fn run() -> Result<()> {
    let job = Settings::new("instructions", &Shape::events(RECORDS)).alone()?;
    stages::decode_and_encode(&job, &stages::made(RECORDS)).await.map(|_| ())
}

/// Counts, and compares with what is recorded.
pub(crate) fn check() -> Result<()> {
    let (recorded, counted) = (recorded()?, count()?);
    let percent = |counted: f64, recorded: f64| (counted / recorded - 1.0) * 100.0;
    let changes = [("decode", recorded.decode, counted.decode), ("encode", recorded.encode, counted.encode)];
    for (name, recorded, counted) in changes {
        let change = percent(counted, recorded);
        println!("{name}: {counted:.0} instructions a record, {recorded:.0} recorded, {change:+.2} %");
    }
    let slower: Vec<&str> = changes
        .iter()
        .filter(|(_, recorded, counted)| percent(*counted, *recorded) > MOST_PERCENT)
        .map(|(name, ..)| *name)
        .collect();
    if (&recorded.rustc, &recorded.valgrind) != (&counted.rustc, &counted.valgrind) {
        let (rustc, valgrind) = (recorded.rustc, recorded.valgrind);
        println!(
            "not held to it: recorded with {rustc} and {valgrind}, this is {} and {}",
            counted.rustc, counted.valgrind
        );
        return Ok(());
    }
    ensure!(
        slower.is_empty(),
        "{} takes over {MOST_PERCENT} % more instructions than recorded: mend it, or, where it is worth its price, record \
         it by `./x bench instructions --update`",
        slower.join(" and ")
    );
    Ok(())
}

/// Counts, and records it.
pub(crate) fn update() -> Result<()> {
    let counted = count()?;
    println!("decode: {:.0} instructions a record, encode: {:.0}", counted.decode, counted.encode);
    std::fs::write(file(), serde_json::to_string_pretty(&counted)? + "\n")
        .with_context(|| format!("writing {}", file().display()))
}

fn recorded() -> Result<Counts> {
    let text = std::fs::read_to_string(file()).with_context(|| format!("reading {}", file().display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", file().display()))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json")
}

/// Runs this program under callgrind, which writes its sums at each end of what is counted, and begins anew.
fn count() -> Result<Counts> {
    let folder = tempfile::tempdir()?;
    let sums = folder.path().join("sums");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "-q", "--read-inline-info=no"])
        .arg(format!("--callgrind-out-file={}", sums.display()))
        .args([format!("--toggle-collect={COUNTED}"), format!("--dump-after={COUNTED}")])
        .arg(std::env::current_exe()?)
        .args(["instructions", "run"]);
    let output = command.output().context("starting valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} under valgrind: {said}", output.status);
    let instructions = |part: usize| {
        let path = sums.with_extension(part.to_string());
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("part {part} was not counted: {said}"))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let total: f64 = total.context("callgrind gives no total")?.trim().parse()?;
        anyhow::Ok((total / RECORDS as f64).round())
    };
    Ok(Counts {
        decode: instructions(1)?,
        encode: instructions(2)?,
        rustc: version("rustc")?,
        valgrind: version("valgrind")?,
    })
}

fn version(program: &str) -> Result<String> {
    let output =
        Command::new(program).arg("--version").output().with_context(|| format!("starting {program}"))?;
    match String::from_utf8(output.stdout)?.lines().next() {
        Some(line) => Ok(line.to_owned()),
        None => bail!("{program} does not tell its version"),
    }
}
