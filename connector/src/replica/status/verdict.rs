//! Whether all is well with the job, as far as this replica can tell, and what to
//! do if not. Pure: the same facts give the same verdict.

use std::time::Duration;

use serde::Serialize;
use tidegate_sinks::limit::RATIO_MIN_RECORDS;
use utoipa::ToSchema;

use super::conditions::Condition;
use super::history::Sample;
use super::overview::RejectRatio;
use crate::replica::control::ReplicaState;

/// Intervals without a checkpoint, while records wait, after which something is wrong.
const INTERVALS: u32 = 3;
/// And at least this long: intervals may be a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// Samples in a row with nothing read, while records wait.
const SILENT_SAMPLES: usize = 6;
/// How long an open transaction may hold records back before it is worth a word.
const HELD_BACK: Duration = Duration::from_secs(60);
/// Part of the error limit that may be used up before it is worth a word.
const REJECTS: f64 = 0.8;
/// What to do about rejects, whichever limit they are near to.
const MEND: &str = "Look at them: mend their source or the columns, or raise error_limit, before one too many stops the job.";
/// How long erasing may take beyond the grace of copies.
const ERASING: Duration = Duration::from_secs(120);
/// How long rejects may take to their topic, beyond what a healthy job takes: an attempt is open for one
/// interval, and another replica's rejects are sent after two.
const SENDING: Duration = Duration::from_secs(300);
/// Commits in force whose files nobody sees yet, at which publishing does not keep up.
const UNPUBLISHED: usize = 10;
/// Samples over which lag must have grown: ten minutes.
const GROWING_SAMPLES: usize = 120;

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// All is well.
    Ok,
    /// On its way somewhere: starting, stopping, paused.
    Wait,
    /// Somebody should look.
    Warn,
    /// Nothing moves, or soon nothing will.
    Bad,
}

/// What is wrong, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    pub level: Level,
    /// For programs; does not change.
    pub code: &'static str,
    /// The topic or partition that it is about, where it is about one; otherwise empty.
    pub subject: String,
    pub text: String,
    pub remedy: String,
}

/// All findings, the most urgent first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verdict {
    pub level: Level,
    pub problems: Vec<Finding>,
}

/// What a verdict is made from. Unknown values are `None`.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub state: ReplicaState,
    /// Since the newest checkpoint.
    pub checkpoint_age: Option<Duration>,
    pub interval: Duration,
    /// How long there have been records to commit without a moment in which there were none.
    pub behind: Option<Duration>,
    /// Of the partitions that this replica reads.
    pub lag_lso: Option<u64>,
    /// The partition held back longest, how long, and how many records wait there.
    pub held_back: Option<(String, Duration, u64)>,
    pub rejects: Option<u64>,
    pub rejects_limit: Option<u64>,
    /// Rows of this process in which no column found anything.
    pub rows_without_values: u64,
    pub reject_ratio: Option<RejectRatio>,
    pub unpublished: usize,
    /// Commits whose rejects are not known to be in their topic, and the age of the oldest.
    pub unsent: Option<(usize, Duration)>,
    /// Commits and files taken back that are not erased, and for how long this replica has known of some.
    pub retracted: Option<(usize, Duration)>,
    pub copy_grace: Duration,
    /// Why the job file as it is now is not taken over.
    pub reload_failure: Option<&'a str>,
    /// What keeps the replica from doing all of its work, and for how long.
    pub conditions: &'a [(Condition, Duration)],
    /// Oldest first.
    pub samples: &'a [Sample],
}

impl Verdict {
    /// Why the replica is not ready: some of its work stands still.
    pub fn unready(&self) -> impl Iterator<Item = &Finding> {
        self.problems.iter().filter(|finding| finding.level == Level::Bad)
    }
}

/// Judges.
pub fn judge(facts: &Facts<'_>) -> Verdict {
    let mut problems: Vec<_> = [
        // A start waits for it, so it says more than that the job starts.
        not_erased(facts),
        passing(facts),
        no_checkpoint(facts),
        not_reading(facts),
        growing(facts),
        held_back(facts),
        rejects(facts),
        reject_ratio(facts),
        unsent(facts),
        unpublished(facts),
        rows_without_values(facts),
        reload_failed(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    problems.extend(conditions(facts));
    problems.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Verdict { level: problems.first().map_or(Level::Ok, |finding| finding.level), problems }
}

fn finding(level: Level, code: &'static str, text: impl Into<String>, remedy: &str) -> Option<Finding> {
    Some(Finding { level, code, subject: String::new(), text: text.into(), remedy: remedy.into() })
}

/// Each is bad: some of the work stands still until it is gone.
fn conditions(facts: &Facts<'_>) -> impl Iterator<Item = Finding> {
    facts.conditions.iter().map(|(condition, age)| Finding {
        level: Level::Bad,
        code: condition.cause.code(),
        subject: condition.subject.clone(),
        text: format!("{} (for {}).", capitalized(&condition.text), words(*age)),
        remedy: condition.cause.remedy().into(),
    })
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn passing(facts: &Facts<'_>) -> Option<Finding> {
    let (code, text, remedy) = match facts.state {
        ReplicaState::Running => return None,
        ReplicaState::Starting => (
            "starting",
            "Starting.",
            "It loads the newest checkpoint and joins the group. If this lasts, its log says why.",
        ),
        ReplicaState::Paused => {
            ("paused", "Paused: nothing is read.", "Resume the job to go on; lag grows until then.")
        }
        ReplicaState::Stopping | ReplicaState::Stopped => (
            "stopping",
            "Stopping with a last checkpoint.",
            "Nothing is lost. The process then ends, and its next start goes on; or it holds (--on-stop hold), until the \
             job is resumed.",
        ),
        ReplicaState::Holding => (
            "holding",
            "Stopped with a last checkpoint.",
            "The process waits. Resume the job to go on from there.",
        ),
    };
    finding(Level::Wait, code, text, remedy)
}

/// Records wait that nothing keeps from being read.
fn waiting(facts: &Facts<'_>) -> Option<u64> {
    facts.lag_lso.filter(|lag| *lag > 0 && facts.state == ReplicaState::Running)
}

/// How long a checkpoint could have been made and was not: a quiet topic needs none.
fn overdue(facts: &Facts<'_>) -> Option<Duration> {
    Some(facts.checkpoint_age?.min(facts.behind?))
}

fn no_checkpoint(facts: &Facts<'_>) -> Option<Finding> {
    let lag = waiting(facts)?;
    let age = overdue(facts)?;
    if age < PATIENCE.max(facts.interval * INTERVALS) {
        return None;
    }
    let text = format!("No checkpoint for {}, and {} wait.", words(age), records(lag));
    let remedy =
        "Look for errors of the store in the log. Nothing is lost: what is not committed is read again.";
    finding(Level::Bad, "no_checkpoint", text, remedy)
}

fn not_reading(facts: &Facts<'_>) -> Option<Finding> {
    let lag = waiting(facts)?;
    let last = facts.samples.len().checked_sub(SILENT_SAMPLES).map(|from| &facts.samples[from..])?;
    let idle =
        |sample: &Sample| sample.records_per_second == 0.0 && sample.lag_lso.is_some_and(|lag| lag > 0);
    // Everything may have been read and wait for the next checkpoint.
    let patient = overdue(facts).is_none_or(|age| age < facts.interval * 2);
    if patient || !last.iter().all(idle) {
        return None;
    }
    let text = format!("Nothing has been read for {} s, and {} wait.", 5 * SILENT_SAMPLES, records(lag));
    let remedy = "See whether the brokers are reachable, and the log of this replica.";
    finding(Level::Bad, "not_reading", text, remedy)
}

fn growing(facts: &Facts<'_>) -> Option<Finding> {
    let lag = waiting(facts)?;
    let last = facts.samples.len().checked_sub(GROWING_SAMPLES).map(|from| &facts.samples[from..])?;
    // The least lag of each quarter: lag goes up and down with every checkpoint.
    let quarters: Option<Vec<u64>> = last
        .chunks(GROWING_SAMPLES / 4)
        .map(|quarter| quarter.iter().filter_map(|s| s.lag_lso).min())
        .collect();
    let quarters = quarters?;
    let read: f64 = last.iter().map(|sample| sample.records_per_second * 5.0).sum();
    let grown = quarters.last()?.saturating_sub(*quarters.first()?);
    // Less than a twentieth of what is read is noise.
    if !quarters.is_sorted_by(|a, b| a < b) || (grown as f64) < read / 20.0 {
        return None;
    }
    let text =
        format!("Falling behind: lag has grown by {} in 10 minutes, to {}.", number(grown), number(lag));
    let limited = last.last().and_then(|sample| sample.limit_bytes_per_second);
    let remedy = match limited {
        Some(limit) if last.iter().all(|s| s.bytes_per_second > 0.9 * limit as f64) => {
            "It reads as fast as the byte limit allows: raise the limit."
        }
        _ => "Start another replica, or look which phase of the checkpoints takes long.",
    };
    finding(Level::Warn, "falling_behind", text, remedy)
}

fn rows_without_values(facts: &Facts<'_>) -> Option<Finding> {
    let rows = Some(facts.rows_without_values).filter(|rows| *rows > 0)?;
    let text = format!("In {} no column found anything, so they are rows of nulls.", records(rows));
    let remedy = "See below which members there are instead, and mend format.columns; or set format.unknown to reject, so that \
                  such records are kept as rejects, or to ignore.";
    finding(Level::Warn, "rows_without_values", text, remedy)
}

fn held_back(facts: &Facts<'_>) -> Option<Finding> {
    let (partition, age, waiting) = facts.held_back.as_ref().filter(|(_, age, _)| *age >= HELD_BACK)?;
    let text = format!(
        "An open transaction upstream has held back {} of {partition} for {}.",
        records(*waiting),
        words(*age)
    );
    let remedy =
        "They come when it ends. Below is who holds it open, and how to end it if its producer is gone.";
    finding(Level::Warn, "held_back", text, remedy)
}

fn not_erased(facts: &Facts<'_>) -> Option<Finding> {
    let (items, age) = facts.retracted.filter(|(items, _)| *items > 0)?;
    let level = if age < facts.copy_grace + ERASING { Level::Wait } else { Level::Bad };
    let text = format!(
        "Not erased yet: {}, taken back.",
        counted(items as u64, "commit or file", "commits and files")
    );
    let remedy = "Until then readers may see them, and nothing new becomes visible. A replica that runs erases them, on object \
                  stores after checkpoint.copy_grace. If it lasts, look for errors of the store in the log: its rights \
                  must include deleting.";
    finding(level, "not_erased", text, remedy)
}

fn rejects(facts: &Facts<'_>) -> Option<Finding> {
    let (rejects, limit) = (facts.rejects?, facts.rejects_limit?);
    if limit == 0 || (rejects as f64) < REJECTS * limit as f64 {
        return None;
    }
    let text = format!("{} of {} allowed rejects are used up.", number(rejects), number(limit));
    finding(Level::Warn, "rejects", text, MEND)
}

fn reject_ratio(facts: &Facts<'_>) -> Option<Finding> {
    let ratio = facts.reject_ratio?;
    let used_up = ratio.rejects as f64 >= REJECTS * ratio.most * ratio.records as f64;
    // With a ratio of 0 any reject stops the job, so there is nothing to be near to.
    if ratio.records < RATIO_MIN_RECORDS || ratio.most == 0.0 || !used_up {
        return None;
    }
    let window =
        ratio.window_seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    let window = window.map(|window| format!(" of the last {}", words(window))).unwrap_or_default();
    let text = format!(
        "{} of {}{window} were rejected, and error_limit.ratio is {}.",
        number(ratio.rejects),
        records(ratio.records),
        ratio.most
    );
    finding(Level::Warn, "reject_ratio", text, MEND)
}

fn unsent(facts: &Facts<'_>) -> Option<Finding> {
    let (commits, age) = facts.unsent.filter(|(_, age)| *age >= SENDING + facts.interval * INTERVALS)?;
    // Otherwise nobody sends here, and the start that does is what to wait for.
    if !matches!(facts.state, ReplicaState::Running | ReplicaState::Paused) {
        return None;
    }
    let text = format!(
        "The rejects of {} are not in their topic, the oldest for {}.",
        counted(commits as u64, "commit", "commits"),
        words(age)
    );
    let remedy = "They are safe in their files, but at 256 commits the job stops. “rejects not sent” in the log says why: mostly \
                  the topic is missing, or a right.";
    finding(Level::Warn, "unsent", text, remedy)
}

fn unpublished(facts: &Facts<'_>) -> Option<Finding> {
    if facts.unpublished < UNPUBLISHED {
        return None;
    }
    let text = format!("{} commits are in force and not visible yet.", facts.unpublished);
    let remedy = "Their data is safe. Look for errors of the store in the log.";
    finding(Level::Warn, "unpublished", text, remedy)
}

fn reload_failed(facts: &Facts<'_>) -> Option<Finding> {
    let reason = facts.reload_failure?.lines().next().unwrap_or_default();
    let remedy = format!(
        "{}. The job goes on as before, but at the next start the file as it is now is in force: mend it, take the change \
         back, or restart.",
        reason.trim_end_matches('.')
    );
    finding(Level::Warn, "reload_failed", "The job file has changed, and cannot be taken over.", &remedy)
}

fn records(count: u64) -> String {
    counted(count, "record", "records")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// With commas between thousands.
fn number(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(",")
}

fn words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} minutes", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
