//! The command line. One file a subcommand; data goes to stdout, everything else to stderr.

mod ask;
mod audit;
mod checkpoints;
mod collect;
mod demo;
pub mod failure;
mod forget;
mod import;
mod job;
mod output;
mod position;
mod progress;
mod rejects;
mod replicas;
mod restore;
mod run;
mod savepoint;
mod schema;
mod validate;

use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::LogFormat;
use crate::logs;
use crate::replica::control::Change;

pub use job::open_sink;

/// The version, and the commit it was built from where that is known.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| match option_env!("TIDEGATE_COMMIT") {
        Some(commit) => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    });
    &VERSION
}

/// The same with what was built in: features, and the ways in that the Kafka client knows.
fn long_version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let features = if cfg!(feature = "failpoints") { "failpoints (for tests only)" } else { "none" };
        let client = rdkafka::util::get_rdkafka_version().1;
        let native = rdkafka::ClientConfig::new().create_native_config();
        let built_in = native.and_then(|config| config.get("builtin.features")).unwrap_or_default();
        // It names Kerberos in any case, which takes a library that is not built in.
        let built_in = built_in.trim_end_matches('\0').replace("sasl_gssapi,", "").replace(',', ", ");
        format!("{}\nfeatures: {features}\nlibrdkafka: {client} ({built_in})", version())
    });
    &VERSION
}

/// Moves Kafka records into Parquet tables, exactly once.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version = version(), long_version = long_version(), propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

/// How to log; the job file decides what is not given here.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// error, warn, info, debug, trace, or directives such as tidegate=debug,rdkafka=info
    #[arg(long, global = true, env = "TIDEGATE_LOG", value_name = "LEVEL")]
    log_level: Option<String>,
    /// auto is text on a terminal, JSON otherwise
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormatArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormatArg {
    Auto,
    Text,
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Auto => Self::Auto,
            LogFormatArg::Text => Self::Text,
            LogFormatArg::Json => Self::Json,
        }
    }
}

/// The job file.
#[derive(Clone, Debug, Args)]
pub(crate) struct JobArg {
    /// Job file (YAML)
    #[arg(value_name = "JOB", value_hint = clap::ValueHint::FilePath)]
    path: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a job: the connector
    Run(run::RunArgs),
    /// Show the whole job on this machine: an embedded broker, generated records, Parquet files, the audit
    Demo(demo::DemoArgs),
    /// Make every check that a run makes before its first record, and create nothing that stays
    Validate(validate::ValidateArgs),
    /// Prove the output: every offset covered once, every file there with its size and rows
    Audit(audit::AuditArgs),
    /// Show next offset, last stable offset, lag and last commit of each partition
    Position(position::PositionArgs),
    /// Show the retained checkpoints
    Checkpoints(checkpoints::CheckpointsArgs),
    /// Make and look after savepoints
    #[command(subcommand)]
    Savepoint(savepoint::SavepointCommand),
    /// Stop reading on all replicas, which keep their partitions; what was read is checkpointed first
    Pause(ask::AskArgs),
    /// Go on after a pause or a stop
    Resume(ask::AskArgs),
    /// Stop all replicas with a last checkpoint, and wait until they have
    Stop(ask::WaitArgs),
    /// Make all replicas checkpoint now
    Checkpoint(ask::WaitArgs),
    /// Set the job's byte limit over all replicas
    Speed(ask::SpeedArgs),
    /// Show the running replicas: what each holds, and how fast it is
    Replicas(replicas::ReplicasArgs),
    /// Remove staged leftovers that can never commit, and checkpoints past retention
    Collect(collect::CollectArgs),
    /// Fold old commits into one sum, so that their files may be compacted or deleted
    /// and the audit still adds up
    Forget(forget::ForgetArgs),
    /// Turn a job file of FlinkX or ChunJun into one of Tidegate, and say what could not be carried over
    Import(import::ImportArgs),
    /// Show the records that did not decode, and why
    Rejects(rejects::RejectsArgs),
    /// Print the job's schema, or infer a column list from a sample of the topic
    Schema(schema::SchemaArgs),
    /// Print the manual's page on the job file
    #[command(hide = true)]
    Reference,
    /// Print a completion script
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Runs the command. Returns the exit code of a command that did what it was asked
/// to do: 0, or what it found wrong.
pub async fn execute(cli: Cli) -> Result<u8> {
    let Cli { log, command } = cli;
    // These have no log: what they say is for the person who asked.
    if !matches!(command, Command::Import(_) | Command::Reference | Command::Completions { .. }) {
        logs::expect(log.log_format.map_or(LogFormat::Auto, Into::into));
    }
    match command {
        Command::Run(args) => run::execute(args, &log).await,
        Command::Demo(args) => demo::execute(args, &log).await,
        Command::Validate(args) => validate::execute(args, &log).await,
        Command::Audit(args) => audit::execute(args, &log).await,
        Command::Position(args) => position::execute(args, &log).await,
        Command::Checkpoints(args) => checkpoints::execute(args, &log).await,
        Command::Savepoint(command) => savepoint::execute(command, &log).await,
        Command::Pause(args) => ask::execute(Change::Pause, args, &log).await,
        Command::Resume(args) => ask::execute(Change::Resume, args, &log).await,
        Command::Stop(args) => ask::stop(args, &log).await,
        Command::Checkpoint(args) => ask::checkpoint(args, &log).await,
        Command::Speed(args) => ask::speed(args, &log).await,
        Command::Replicas(args) => replicas::execute(args, &log).await,
        Command::Collect(args) => collect::execute(args, &log).await,
        Command::Forget(args) => forget::execute(args, &log).await,
        Command::Import(args) => import::execute(&args),
        Command::Rejects(args) => rejects::execute(args, &log).await,
        Command::Schema(args) => schema::execute(args, &log).await,
        Command::Reference => {
            output::write(crate::config::reference().as_bytes())?;
            Ok(0)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
            output::write(&script)?;
            Ok(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_fit_one_another() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_long_version_tells_what_is_built_in() {
        let told = long_version();
        assert!(told.starts_with(env!("CARGO_PKG_VERSION")) && told.contains("\nfeatures: "), "{told}");
        for built_in in ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "oidc", "zstd"] {
            assert!(told.contains(built_in), "{built_in}: {told}");
        }
    }

    #[test]
    fn a_wrong_use_is_exit_code_2() {
        for args in [&["tidegate"][..], &["tidegate", "run"], &["tidegate", "run", "job", "--rollback"]] {
            let error = Cli::try_parse_from(args).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
    }
}
