//! What the operating system says of this process, where it says it in `/proc`; elsewhere nothing is shown.

use std::fs;

use super::scrape::{head, sample};
use crate::metrics::{PROCESS, Shown};

pub(super) fn render(text: &mut String) {
    let Some(found) = found() else { return };
    for (shown, value) in PROCESS.iter().zip(found) {
        let shown: Shown = *shown;
        head(text, shown);
        sample(text, shown, &[], value);
    }
}

/// In the order of [`PROCESS`].
fn found() -> Option<[f64; 5]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, stat) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = stat.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    // SAFETY: asks for two constants of the system.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some([
        boot + field(22)? / ticks as f64,
        (field(14)? + field(15)?) / ticks as f64,
        field(24)? * page as f64,
        fs::read_dir("/proc/self/fd").ok()?.count() as f64,
        field(20)?,
    ])
}
