//! The binary `tidegate`: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;
use tidegate::cli::failure;
use tidegate::cli::{self, Cli};
use tidegate::logs;

/// How long the process waits for its threads when it is done: none of them holds
/// anything that is not durable.
const LINGER: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    refuse_huge_pages();
    allow_open_files();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tidegate: starting the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        #[cfg(feature = "failpoints")]
        tidegate_sinks::failpoints::kill_at_from_env()?;
        cli::execute(cli).await
    });
    runtime.shutdown_timeout(LINGER);
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{}", failure::line(&error, logs::in_json(), Timestamp::now()));
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

/// Buffers live for milliseconds here. In huge pages each begins with 2 MiB of
/// zeroes, which took an eighth of all CPU time and 55 MiB of memory.
#[cfg(target_os = "linux")]
fn refuse_huge_pages() {
    // SAFETY: sets a flag of this process, and touches no memory. A kernel that does
    // not know it changes nothing.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1_u64, 0_u64, 0_u64, 0_u64) };
}

#[cfg(not(target_os = "linux"))]
fn refuse_huge_pages() {}

/// Raises the soft limit of open files to the hard one. The soft one is 1,024 for the sake of programs that
/// call select(2), and a table with many folders has more files open.
fn allow_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write only `limit`, which lives until they return.
    // Where they fail, the limit stays.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
