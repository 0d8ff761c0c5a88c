//! `tidegate savepoint create`: by the replicas where any run, so that it holds what they have read so far;
//! of the state as it is stored, otherwise.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tidegate_sinks::{Chain, Sink};

use super::{Summary, text};
use crate::cli::job::Job;
use crate::cli::output::OutputArg;
use crate::cli::{JobArg, LogArgs};
use crate::config::Config;
use crate::error::RunError;
use crate::job::savepoint;
use crate::replica::control::Board;
use crate::replica::control::savepoints::{self, SavepointState, Wish};

/// Polls without news after which no replica is taken to run.
const SILENT_POLLS: u32 = 3;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    job: JobArg,
    /// Folder that gets the savepoint's folder, instead of savepoints.to
    #[arg(long, value_name = "URI")]
    to: Option<String>,
    /// Stop the running replicas with a last checkpoint first; `tidegate resume` undoes it
    #[arg(long)]
    stop: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Serialize)]
pub(super) struct CreatedSavepoint {
    #[serde(flatten)]
    pub(super) summary: Summary,
    /// Whether running replicas made it; if not, it is of the state as it was stored.
    pub(super) by_replicas: bool,
    pub(super) stopped: bool,
}

pub(in crate::cli) async fn execute(args: CreateArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open(&args.job, log)?;
    let to = args.to.unwrap_or_else(|| savepoint::default_to(&config));
    let to = savepoint::check_to(&to)?;
    let board = Board::of(&sink, &config);
    let by_replicas = is_running(&board).await?;
    let uri = if by_replicas {
        ask(&board, &config, Wish { id: None, to: Some(to), stop: args.stop }).await?
    } else {
        of_stored_state(&config, &sink, &to).await?
    };
    // It is worth nothing unless it can be read.
    let options = savepoint::store_options(&config, &uri);
    let savepoint = savepoint::read(&uri, &options, config.timeouts.retries()).await?;
    let summary = Summary::new(&uri, &savepoint);
    let stopped = args.stop && by_replicas;
    let created = CreatedSavepoint { summary, by_replicas, stopped };
    args.output.print(&created, || text::created(&created, args.stop))?;
    Ok(0)
}

/// Whether a replica says anything new within a few polls. What a killed one said
/// last may lie there for long.
async fn is_running(board: &Board) -> Result<bool> {
    let mut last = None;
    for _ in 0..=SILENT_POLLS {
        let said: Vec<_> = board.replicas().await?.into_iter().map(|one| (one.id, one.updated)).collect();
        if said.is_empty() {
            return Ok(false);
        }
        if last.as_ref().is_some_and(|last: &Vec<_>| said.iter().any(|one| !last.contains(one))) {
            return Ok(true);
        }
        last = Some(said);
        tokio::time::sleep(board.poll()).await;
    }
    Ok(false)
}

/// Asks the replicas, and waits until one has made it.
async fn ask(board: &Board, config: &Config, wish: Wish) -> Result<String> {
    let (id, _) = savepoints::start(board, config, wish).await?;
    loop {
        match savepoints::state(board, config, &id).await? {
            Some(SavepointState::Completed { uri }) => return Ok(uri),
            Some(SavepointState::Failed { reason }) => {
                return Err(RunError::failed(format!("savepoint {id}: {reason}")).into());
            }
            Some(SavepointState::InProgress) => {
                tokio::time::sleep(board.poll().min(Duration::from_secs(1))).await
            }
            None => {
                return Err(RunError::failed(format!("savepoint {id}: nobody knows of it any more")).into());
            }
        }
    }
}

/// Makes visible what was committed, so that whoever copies the tables beside the savepoint has all of its
/// files; unless something is still to be erased first, which is a run's to do.
async fn of_stored_state(config: &Config, sink: &Chain, to: &str) -> Result<String> {
    if let Some(state) = sink.load().await?
        && state.retracted.is_empty()
    {
        sink.publish(&state, &state.unpublished).await?;
    }
    Ok(savepoint::create(sink, config, to, &savepoint::new_id()).await?)
}
