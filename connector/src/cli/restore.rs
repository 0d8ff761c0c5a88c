//! The part of `tidegate run` that goes on from a savepoint or a retained checkpoint, or explains the choice.

use anyhow::Result;
use tidegate_sinks::{Chain, Checkpoint, Kind, Plan, Restore, RestoreChoice, Restored, Sink};

use super::output;
use crate::config::Config;
use crate::error::RunError;
use crate::flow::run::Beginning;
use crate::job::savepoint;

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// Go on from a savepoint, by its URL. Where the sink is ahead of it, choose what
    /// becomes of what came after
    #[arg(long, value_name = "URL", group = "kept")]
    from_savepoint: Option<String>,
    /// Go on from a retained checkpoint, by its number; `checkpoints JOB list` shows them
    #[arg(long, value_name = "N", group = "kept", conflicts_with = "new_incarnation")]
    from_checkpoint: Option<u64>,
    /// What came after stays: the sink's position wins, the savepoint gives the pinned schema
    #[arg(long, requires = "kept", conflicts_with_all = ["rollback", "new_incarnation"])]
    keep_sink: bool,
    /// What came after is taken back, and read again from Kafka. Stop all replicas and
    /// all users of the files first
    #[arg(long, requires = "kept", conflicts_with = "new_incarnation")]
    rollback: bool,
    /// Begin anew though the sink holds files of this job without their checkpoints, or its group has read
    /// before: everything that the topics still hold is written again. With a savepoint, of this job or
    /// another: begin in a sink that has no chain, at the savepoint's positions
    #[arg(long)]
    new_incarnation: bool,
    /// The topics are copies in another Kafka cluster: find the places again by the timestamps of the records
    /// last committed. At least once: the last of them are written again
    #[arg(long, requires_all = ["from_savepoint", "new_incarnation"])]
    other_cluster: bool,
    /// Restore once more, though the job was restored from there by this choice before
    #[arg(long, requires = "kept")]
    again: bool,
}

/// A kept state, and what the chain calls it.
struct Kept {
    from: String,
    state: Checkpoint,
}

impl RestoreArgs {
    pub(super) fn new_incarnation(&self) -> bool {
        self.new_incarnation
    }

    fn choice(&self) -> Option<RestoreChoice> {
        match (self.keep_sink, self.rollback, self.new_incarnation) {
            (true, ..) => Some(RestoreChoice::KeepSink),
            (_, true, _) => Some(RestoreChoice::Rollback),
            (.., true) => Some(RestoreChoice::NewIncarnation),
            _ => None,
        }
    }

    /// What the run is to begin with. Changes nothing yet.
    ///
    /// Errors: `Refused` when the sink is ahead and nothing was chosen; then the plan
    /// of each choice is printed.
    pub(super) async fn prepare(&self, config: &Config, sink: &Chain) -> Result<Beginning> {
        let restore = match (&self.from_savepoint, self.from_checkpoint) {
            (None, None) => None,
            _ => self.restore(config, sink).await?,
        };
        let (new_incarnation, other_cluster) = (self.new_incarnation, self.other_cluster);
        Ok(Beginning { new_incarnation, restore, other_cluster, forget: Vec::new() })
    }

    async fn restore(&self, config: &Config, sink: &Chain) -> Result<Option<Restore>> {
        let loaded = match sink.load().await {
            Err(error) if self.new_incarnation && error.kind == Kind::Refused => None,
            other => other?,
        };
        let done = |from: &str| {
            let restored = loaded.as_ref().and_then(|state| state.restored.as_ref());
            !self.again
                && restored.is_some_and(|r| r.from == from && self.choice().is_none_or(|c| c == r.choice))
        };
        let Some(kept) = self.kept(config, sink, &done).await? else { return Ok(None) };
        if done(&kept.from) {
            return Ok(None);
        }
        let choice = match (self.choice(), &loaded) {
            (Some(choice), _) => choice,
            // The run says what to choose.
            (None, None) => RestoreChoice::KeepSink,
            (None, Some(newest)) => {
                let plan = sink.plan_rollback(&kept.state).await?;
                if !plan.moves.is_empty() {
                    output::write(explain(&kept, newest, &plan).as_bytes())?;
                    return Err(undecided(&kept, newest).into());
                }
                RestoreChoice::KeepSink
            }
        };
        let restored = Restored { from: kept.from, choice };
        Ok(Some(Restore { restored, target: kept.state, again: self.again }))
    }

    /// The kept state; none where it is gone and no more needed, because the job was restored from it.
    async fn kept(
        &self,
        config: &Config,
        sink: &Chain,
        done: &impl Fn(&str) -> bool,
    ) -> Result<Option<Kept>> {
        if let Some(n) = self.from_checkpoint {
            let from = format!("checkpoint/{n}");
            return match sink.read_checkpoint(n).await? {
                Some(state) => Ok(Some(Kept { from, state })),
                None if done(&from) => Ok(None),
                None => {
                    let message = format!(
                        "job {} has no checkpoint {n} any more; `checkpoints JOB list` shows those that are retained, and \
                         checkpoint.retained and checkpoint.retained_for decide how many are",
                        config.job
                    );
                    Err(RunError::refused(message).into())
                }
            };
        }
        let Some(url) = &self.from_savepoint else { return Ok(None) };
        let options = savepoint::store_options(config, url);
        match savepoint::read(url, &options, config.timeouts.retries()).await {
            Ok(kept) => Ok(Some(Kept { from: kept.manifest.id, state: kept.checkpoint })),
            Err(RunError::Refused(message, _))
                if url.trim_end_matches('/').rsplit('/').next().is_some_and(done) =>
            {
                tracing::warn!(
                    message,
                    "the savepoint cannot be read, and need not be: the job was restored from it"
                );
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn undecided(kept: &Kept, newest: &Checkpoint) -> RunError {
    RunError::refused(format!(
        "the sink, at checkpoint {}, is ahead of {}: choose --keep-sink or --rollback; nothing was changed",
        newest.n, kept.from
    ))
}

/// The plan of each choice.
fn explain(kept: &Kept, newest: &Checkpoint, plan: &Plan) -> String {
    let rows = plan.moves.iter().map(|(partition, moves)| {
        [
            partition.to_string(),
            moves.to.to_string(),
            moves.from.to_string(),
            (moves.from - moves.to).to_string(),
        ]
    });
    let table = output::table(["partition", "kept", "sink", "offsets"], rows);
    let taken = format!(
        "{} commits: {} files, {}, {} rows, {} rejects",
        plan.commits.len(),
        plan.files,
        bytesize::ByteSize(plan.bytes),
        plan.rows,
        plan.rejects
    );
    let mut rollback = format!("takes back {taken}; then reads these offsets again");
    if !plan.delay.is_zero() {
        let delay = humantime::format_duration(plan.delay);
        rollback.push_str(&format!(
            ".\n                   Nothing becomes visible for {delay} (checkpoint.copy_grace), in which a copy might still be running"
        ));
    }
    if let Some(path) = plan.missing.first() {
        let missing = plan.missing.len();
        rollback =
            format!("is refused: {missing} of its files were moved away, the first is {path}. It {rollback}");
    }
    format!(
        "{} is checkpoint {}, made {:.3}; the sink is at checkpoint {}, made {:.3}\n\n{table}\n\n\
         --keep-sink        keeps {taken}; goes on after them, with the schema of {}\n\
         --rollback         {rollback}\n\
         --new-incarnation  is for a sink without a chain: another job name and sink folder, with a savepoint\n",
        kept.from, kept.state.n, kept.state.created, newest.n, newest.created, kept.from
    )
}
