//! What a process costs, as the operating system counts it: all its threads, start and end included.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Nothing that is measured here takes as long.
const LIMIT: Duration = Duration::from_secs(1_800);
/// Between two looks at the memory of several processes.
const LOOK: Duration = Duration::from_millis(200);

/// What some work cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall_seconds: f64,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// `None` where only a part of the process is measured.
    pub(crate) peak_rss_mib: Option<f64>,
}

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    start: Instant,
    name: String,
    ended: bool,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child, start: Instant::now(), name: format!("{command:?}"), ended: false })
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child is ours and not waited for yet, so its id is still its own.
        unsafe { libc::kill(self.pid(), signal) };
    }

    fn pid(&self) -> libc::pid_t {
        libc::pid_t::try_from(self.child.id()).expect("a process id is small")
    }

    /// Waits for a good end.
    pub(crate) fn wait(self) -> Result<Cost> {
        let name = self.name.clone();
        match self.end()? {
            (0, cost) => Ok(cost),
            (status, _) => bail!("ended with wait status {status:#x}: {name}"),
        }
    }

    /// Waits for whatever end; the wait status is 0 for a good one.
    pub(crate) fn end(mut self) -> Result<(libc::c_int, Cost)> {
        let (mut status, mut usage) = (0, empty());
        loop {
            // SAFETY: the child is ours and nobody else waits for it; both pointers are to locals.
            match unsafe { libc::wait4(self.pid(), &mut status, libc::WNOHANG, &mut usage) } {
                0 if self.start.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(2)),
                0 => bail!("still running after {LIMIT:?}: {}", self.name),
                ended if ended == self.pid() => break,
                _ => bail!("waiting for {}: {}", self.name, std::io::Error::last_os_error()),
            }
        }
        self.ended = true;
        let cost = Cost {
            wall_seconds: self.start.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(&usage),
            peak_rss_mib: Some(usage.ru_maxrss as f64 / 1024.0),
        };
        Ok((status, cost))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn process(command: &mut Command) -> Result<Cost> {
    Running::start(command)?.wait()
}

/// The same with all processes that it starts and waits for; their memory is looked at five times a second.
pub(crate) fn family(command: &mut Command) -> Result<Cost> {
    use std::os::unix::process::CommandExt;
    let running = Running::start(command.process_group(0))?;
    let group = running.pid();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let looking = std::thread::spawn(move || {
        let mut peak = 0.0_f64;
        while is_done.recv_timeout(LOOK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            peak = peak.max(resident_mib(group));
        }
        peak
    });
    let cost = running.wait();
    drop(done);
    let peak = looking.join().unwrap_or_default();
    // SAFETY: only processes of this group are meant, whose leader was ours; none may be left.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    Ok(Cost { peak_rss_mib: Some(peak), ..cost? })
}

/// What all processes of a group hold.
fn resident_mib(group: libc::pid_t) -> f64 {
    let member = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before, in parentheses, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        (fields.get(2)?.parse() == Ok(group)).then(|| fields.get(21)?.parse::<f64>().ok()).flatten()
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pages: f64 = processes.filter_map(|entry| member(entry.file_name().to_str()?)).sum();
    pages * 4_096.0 / f64::from(1 << 20)
}

/// The function inside of which instructions are counted.
pub(crate) const COUNTED: &str = "tidegate_bench_counted";

/// Runs work under a name by which callgrind tells it from everything else.
#[unsafe(no_mangle)]
#[inline(never)]
fn tidegate_bench_counted(work: &mut dyn FnMut()) {
    work();
    // The call above must not become a jump: its end is the end of counting.
    std::hint::black_box(());
}

/// Runs work that stays on this thread.
pub(crate) fn thread<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let (mut work, mut result) = (Some(work), None);
    let (start, before) = (Instant::now(), used(libc::RUSAGE_THREAD));
    tidegate_bench_counted(&mut || result = work.take().map(|work| work()));
    let result = result.context("the work was done")??;
    let cpu_seconds = used(libc::RUSAGE_THREAD) - before;
    Ok((result, Cost { wall_seconds: start.elapsed().as_secs_f64(), cpu_seconds, peak_rss_mib: None }))
}

/// CPU seconds of this process, or of this thread, up to now.
pub(crate) fn used(whose: libc::c_int) -> f64 {
    let mut usage = empty();
    // SAFETY: the pointer is to a local; of this process and this thread it can always be told.
    unsafe { libc::getrusage(whose, &mut usage) };
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

pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    percentile(values, 0.5)
}

/// The value below which a part of the values lies, 0 to 1; between two values, in proportion.
pub(crate) fn percentile(values: impl Iterator<Item = f64>, part: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let place = part * values.len().checked_sub(1)? as f64;
    let (low, high) = (values.get(place.floor() as usize)?, values.get(place.ceil() as usize)?);
    Some(low + (high - low) * place.fract())
}
