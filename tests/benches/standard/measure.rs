//! What a process costs, as the operating system counts it: all its threads, start and end included.

use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Nothing that is measured here takes as long.
const LIMIT: Duration = Duration::from_secs(1_800);

/// What some work cost.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall_seconds: f64,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// `None` where only a part of the process is measured.
    pub(crate) peak_rss_mib: Option<f64>,
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn process(command: &mut Command) -> Result<Cost> {
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let pid = libc::pid_t::try_from(child.id()).expect("a process id is small");
    let (mut status, mut usage) = (0, empty());
    loop {
        // SAFETY: the child is ours and nobody else waits for it; both pointers are to locals.
        match unsafe { libc::wait4(pid, &mut status, libc::WNOHANG, &mut usage) } {
            0 if start.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(2)),
            0 => {
                child.kill()?;
                child.wait()?;
                bail!("still running after {LIMIT:?}: {command:?}");
            }
            ended if ended == pid => break,
            _ => bail!("waiting for {command:?}: {}", std::io::Error::last_os_error()),
        }
    }
    if status != 0 {
        bail!("ended with wait status {status:#x}: {command:?}");
    }
    Ok(Cost {
        wall_seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(&usage),
        peak_rss_mib: Some(usage.ru_maxrss as f64 / 1024.0),
    })
}

/// Runs work that stays on this thread.
pub(crate) fn thread<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let (start, before) = (Instant::now(), thread_seconds());
    let result = work()?;
    let cpu_seconds = thread_seconds() - before;
    Ok((result, Cost { wall_seconds: start.elapsed().as_secs_f64(), cpu_seconds, peak_rss_mib: None }))
}

fn thread_seconds() -> f64 {
    let mut usage = empty();
    // SAFETY: the pointer is to a local; of this thread it can always be told.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    cpu_seconds(&usage)
}

fn empty() -> libc::rusage {
    // SAFETY: a struct of integers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

fn cpu_seconds(usage: &libc::rusage) -> f64 {
    let seconds = |time: &libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(&usage.ru_utime) + seconds(&usage.ru_stime)
}

/// A line of the result: the medians of a part's rounds.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Line {
    part: &'static str,
    rounds: usize,
    rows: u64,
    rows_per_second: f64,
    /// Of JSON, in millions of bytes.
    mb_per_second: f64,
    cpu_seconds_per_million_rows: f64,
    peak_rss_mib: Option<f64>,
    /// CPU seconds against the floor's of the same round.
    to_floor: Option<f64>,
}

impl Line {
    /// `floor`: the same rounds of the floor.
    pub(crate) fn new(
        part: &'static str,
        rows: u64,
        bytes: u64,
        costs: &[Cost],
        floor: Option<&[Cost]>,
    ) -> Self {
        let wall = median(costs.iter().map(|cost| cost.wall_seconds)).unwrap_or(f64::NAN);
        let cpu = median(costs.iter().map(|cost| cost.cpu_seconds)).unwrap_or(f64::NAN);
        Self {
            part,
            rounds: costs.len(),
            rows,
            rows_per_second: rows as f64 / wall,
            mb_per_second: bytes as f64 / wall / 1e6,
            cpu_seconds_per_million_rows: cpu / rows as f64 * 1e6,
            peak_rss_mib: median(costs.iter().filter_map(|cost| cost.peak_rss_mib)),
            to_floor: floor.and_then(|floor| {
                median(costs.iter().zip(floor).map(|(cost, floor)| cost.cpu_seconds / floor.cpu_seconds))
            }),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

/// The lines as a table of Markdown.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut table = String::from(
        "| part | rows/s | MB/s | CPU s / M rows | peak RSS MiB | to the floor |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    let cell =
        |value: Option<f64>, digits: usize| value.map_or("".into(), |value| format!("{value:.digits$}"));
    for line in lines {
        let _ = writeln!(
            table,
            "| {} | {:.0} | {:.0} | {:.2} | {} | {} |",
            line.part,
            line.rows_per_second,
            line.mb_per_second,
            line.cpu_seconds_per_million_rows,
            cell(line.peak_rss_mib, 0),
            cell(line.to_floor, 2)
        );
    }
    table
}
