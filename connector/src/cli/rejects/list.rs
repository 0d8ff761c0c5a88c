//! `tidegate rejects JOB list`. What a record holds is shown only when asked for.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::Serialize;
use tidegate_sinks::replay::replays;
use tidegate_sinks::{Commit, CommitId, Sink};
use tokio::runtime::Handle;

use super::super::job::Job;
use super::super::output::{OutputArg, or_dash, table};
use super::super::{JobArg, LogArgs};
use crate::flow::rejects::{self, ReadError, Rejected, Rows};

/// Characters of a key or payload that a table shows.
const SHOWN_MAX_CHARS: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// How many at most
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Only those of one commit
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
    /// Also those that a replay has made rows of
    #[arg(long)]
    all: bool,
    /// Also what the records hold: key, payload and headers
    #[arg(long)]
    show_payload: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Serialize)]
struct Shown {
    /// Of the whole job, without those that were replayed.
    total: u64,
    /// Rows that replays have made of rejects.
    replayed: u64,
    /// Commits whose rejects are not visible yet, and so are not listed.
    unpublished: usize,
    rejects: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    commit: CommitId,
    topic: String,
    partition: i32,
    offset: i64,
    /// Milliseconds since 1970.
    timestamp: Option<i64>,
    /// The job's column that is to blame.
    column: Option<String>,
    error: String,
    /// The commit that has made a row of it since.
    replayed: Option<CommitId>,
    /// Whether it still waits to be sent to the topic for rejects.
    unsent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
}

#[derive(Debug, Serialize)]
struct Content {
    key: Option<Data>,
    payload: Option<Data>,
    headers: Vec<(String, Option<Data>)>,
}

/// Text where it is text, so that nothing is lost or guessed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Data {
    Text(String),
    Hex(String),
}

impl Data {
    fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    fn short(&self) -> String {
        let (text, mark) = match self {
            Self::Text(text) => (text.escape_debug().to_string(), ""),
            Self::Hex(hex) => (hex.clone(), "0x"),
        };
        let dots = if text.chars().nth(SHOWN_MAX_CHARS).is_some() { "…" } else { "" };
        let text: String = text.chars().take(SHOWN_MAX_CHARS).collect();
        format!("{mark}{text}{dots}")
    }
}

pub(super) async fn execute(job: &JobArg, args: ListArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open_to_look(job, log)?;
    let Some(state) = sink.load().await? else {
        bail!("{sink} has no checkpoint of job {}: nothing has been written yet", config.job);
    };
    let in_force = sink.commits(&state).await?;
    if let Some(wanted) = args.commit.as_ref().filter(|wanted| !in_force.iter().any(|c| *c.id.0 == ***wanted))
    {
        bail!("job {} has no commit {wanted} in force", config.job);
    }
    let taken = replays(&in_force);
    let listed = |commit: &&Commit| {
        let is_wanted = args.commit.as_ref().is_none_or(|wanted| *commit.id.0 == **wanted);
        commit.rejects > 0 && is_wanted && (args.all || !taken.contains_key(&commit.id))
    };
    let is_visible = |commit: &&Commit| !state.unpublished.contains(&commit.id);
    let listed: Vec<_> = in_force.iter().filter(listed).collect();
    let visible = listed.iter().copied().filter(is_visible);
    let replay = |commit: &Commit| taken.get(&commit.id).map(|replay| Commit::clone(replay));
    let mut commits: Vec<_> = visible.map(|commit| (commit.clone(), replay(commit))).collect();
    let unpublished = listed.len() - commits.len();
    commits.sort_by(|(one, _), (other, _)| other.id.cmp(&one.id));
    let sink: Arc<dyn Sink> = sink;
    let runtime = Handle::current();
    let (limit, show_payload) = (args.limit, args.show_payload);
    let read = move || newest(&runtime, &sink, &commits, limit, show_payload);
    let mut found = tokio::task::spawn_blocking(read).await??;
    for row in &mut found {
        row.unsent = state.unsent.contains(&row.commit);
    }
    let (total, replayed) = (state.outstanding_rejects(), state.replayed_rows());
    let shown = Shown { total, replayed, unpublished, rejects: found };
    args.output.print(&shown, || text(&shown, args.show_payload))?;
    Ok(0)
}

/// Why the reading of a commit ends early.
enum Halt {
    Full,
    Failed(ReadError),
}

impl From<ReadError> for Halt {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

fn newest(
    runtime: &Handle,
    sink: &Arc<dyn Sink>,
    commits: &[(Commit, Option<Commit>)],
    limit: usize,
    show_payload: bool,
) -> Result<Vec<Row>, ReadError> {
    let mut found = Vec::new();
    // Those that failed again are listed with the commit that they failed in last.
    let mut failed_again: BTreeMap<&CommitId, BTreeSet<Place>> = BTreeMap::new();
    for (commit, replay) in commits {
        if found.len() >= limit {
            break;
        }
        let failed_again = match replay {
            None => &BTreeSet::new(),
            Some(replay) => match failed_again.entry(&replay.id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(places(runtime, sink, replay)?),
            },
        };
        let read = rejects::batches(runtime, sink, commit, |batch, path| {
            for reject in Rows::new(batch, path)?.iter() {
                if found.len() >= limit {
                    return Err(Halt::Full);
                }
                if failed_again.contains(&place(&reject)) {
                    continue;
                }
                let replayed = replay.as_ref().map(|replay| replay.id.clone());
                found.push(Row { replayed, ..row(&commit.id, &reject, show_payload) });
            }
            Ok(())
        });
        match read {
            Ok(()) => {}
            Err(Halt::Full) => break,
            Err(Halt::Failed(error)) => return Err(error),
        }
    }
    Ok(found)
}

/// Topic, partition, offset.
type Place = (String, i32, i64);

fn place(reject: &Rejected<'_>) -> Place {
    (reject.topic.to_owned(), reject.partition, reject.offset)
}

/// Where all rejects of a commit lie.
fn places(runtime: &Handle, sink: &Arc<dyn Sink>, commit: &Commit) -> Result<BTreeSet<Place>, ReadError> {
    let mut all = BTreeSet::new();
    rejects::batches(runtime, sink, commit, |batch, path| {
        all.extend(Rows::new(batch, path)?.iter().map(|reject| place(&reject)));
        Ok::<_, ReadError>(())
    })?;
    Ok(all)
}

fn row(commit: &CommitId, reject: &Rejected<'_>, show_payload: bool) -> Row {
    let headers = reject.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.map(Data::new)));
    Row {
        commit: commit.clone(),
        topic: reject.topic.to_owned(),
        partition: reject.partition,
        offset: reject.offset,
        timestamp: reject.timestamp,
        column: reject.column.map(str::to_owned),
        error: reject.error.to_owned(),
        replayed: None,
        unsent: false,
        content: show_payload.then(|| Content {
            key: reject.key.map(Data::new),
            payload: reject.payload.map(Data::new),
            headers: headers.collect(),
        }),
    }
}

fn text(shown: &Shown, show_payload: bool) -> String {
    let mended = shown.rejects.iter().filter(|row| row.replayed.is_some()).count();
    let cells = |row: &Row| {
        let timestamp = row.timestamp.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        [
            row.commit.to_string(),
            format!("{}/{}", row.topic, row.partition),
            row.offset.to_string(),
            or_dash(timestamp),
            match &row.replayed {
                Some(commit) => format!("{} (replayed by {commit})", row.error),
                None => row.error.clone(),
            },
        ]
    };
    let mut text = if show_payload {
        let short = |data: Option<&Data>| data.map_or_else(|| "null".to_owned(), Data::short);
        let rows = shown.rejects.iter().map(|row| {
            let [commit, partition, offset, timestamp, error] = cells(row);
            let content = row.content.as_ref();
            let key = short(content.and_then(|content| content.key.as_ref()));
            let payload = short(content.and_then(|content| content.payload.as_ref()));
            [commit, partition, offset, timestamp, error, key, payload]
        });
        table(["commit", "partition", "offset", "timestamp", "error", "key", "payload"], rows)
    } else {
        table(["commit", "partition", "offset", "timestamp", "error"], shown.rejects.iter().map(cells))
    };
    text.push_str(&format!("\n\n{} of {} rejects that wait", shown.rejects.len() - mended, shown.total));
    if shown.replayed > 0 {
        text.push_str(&format!("; {} became rows by replays", shown.replayed));
    }
    let unsent = shown.rejects.iter().filter(|row| row.unsent).count();
    if unsent > 0 {
        text.push_str(&format!("; {unsent} of these wait to be sent to their topic"));
    }
    if shown.unpublished > 0 {
        text.push_str(&format!(
            "; those of {} commits are still to be made visible, by the next run",
            shown.unpublished
        ));
    }
    text
}
