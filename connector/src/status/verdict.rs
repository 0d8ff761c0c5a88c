//! Whether all is well with the job, as far as this replica can tell, and what to do if not. Pure: the same facts give
//! the same verdict.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::history::Sample;
use crate::control::ReplicaState;

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
    pub unpublished: usize,
    /// Oldest first.
    pub samples: &'a [Sample],
}

/// Judges.
pub fn judge(facts: &Facts<'_>) -> Verdict {
    let mut problems: Vec<_> = [
        passing(facts),
        no_checkpoint(facts),
        not_reading(facts),
        growing(facts),
        held_back(facts),
        rejects(facts),
        unpublished(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    problems.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Verdict { level: problems.first().map_or(Level::Ok, |finding| finding.level), problems }
}

fn finding(level: Level, code: &'static str, text: impl Into<String>, remedy: &str) -> Option<Finding> {
    Some(Finding { level, code, text: text.into(), remedy: remedy.into() })
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
            "This page ends with the process. The next start goes on from that checkpoint.",
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

fn rejects(facts: &Facts<'_>) -> Option<Finding> {
    let (rejects, limit) = (facts.rejects?, facts.rejects_limit?);
    if limit == 0 || (rejects as f64) < REJECTS * limit as f64 {
        return None;
    }
    let text = format!("{} of {} allowed rejects are used up.", number(rejects), number(limit));
    let remedy = "Look at them: mend their source or the columns, or raise error_limit, before one too many stops the job.";
    finding(Level::Warn, "rejects", text, remedy)
}

fn unpublished(facts: &Facts<'_>) -> Option<Finding> {
    if facts.unpublished < UNPUBLISHED {
        return None;
    }
    let text = format!("{} commits are in force and not visible yet.", facts.unpublished);
    let remedy = "Their data is safe. Look for errors of the store in the log.";
    finding(Level::Warn, "unpublished", text, remedy)
}

fn records(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "record" } else { "records" })
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
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn facts(samples: &[Sample]) -> Facts<'_> {
        Facts {
            state: ReplicaState::Running,
            checkpoint_age: Some(Duration::from_secs(12)),
            interval: Duration::from_secs(60),
            behind: Some(Duration::from_secs(86_400)),
            lag_lso: Some(5),
            held_back: None,
            rejects: Some(0),
            rejects_limit: Some(0),
            unpublished: 1,
            samples,
        }
    }

    fn sample(records_per_second: f64, lag: u64) -> Sample {
        Sample {
            time: Timestamp::UNIX_EPOCH,
            records_per_second,
            bytes_per_second: records_per_second * 100.0,
            rows_per_second: 0.0,
            lag_lso: Some(lag),
            lag_hw: Some(lag),
            limit_bytes_per_second: None,
            latency: None,
        }
    }

    fn codes(facts: &Facts<'_>) -> Vec<&'static str> {
        judge(facts).problems.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_job_that_checkpoints_in_time_is_well_though_it_has_lag() {
        assert_eq!(judge(&facts(&[])), Verdict { level: Level::Ok, problems: Vec::new() });
    }

    #[test]
    fn no_checkpoint_while_records_wait_is_bad_and_without_them_is_a_quiet_topic() {
        let late = Facts { checkpoint_age: Some(Duration::from_secs(181)), ..facts(&[]) };
        let verdict = judge(&late);
        assert_eq!(verdict.level, Level::Bad);
        assert_eq!(verdict.problems[0].text, "No checkpoint for 3 minutes, and 5 records wait.");
        assert_eq!(codes(&Facts { lag_lso: Some(0), ..late.clone() }), [""; 0]);
        assert_eq!(codes(&Facts { lag_lso: None, ..late.clone() }), [""; 0], "not known is not waiting");
        let just = Some(Duration::from_secs(1));
        assert_eq!(
            codes(&Facts { behind: just, ..late.clone() }),
            [""; 0],
            "the first record after a quiet night"
        );
        assert_eq!(codes(&Facts { state: ReplicaState::Paused, ..late }), ["paused"], "nobody expects any");
        let often = Facts {
            interval: Duration::from_millis(200),
            checkpoint_age: Some(Duration::from_secs(29)),
            ..facts(&[])
        };
        assert_eq!(codes(&often), [""; 0], "a short interval is no reason for haste");
    }

    #[test]
    fn silence_while_records_wait_is_bad_unless_a_checkpoint_is_all_they_wait_for() {
        let silent = vec![sample(0.0, 7); 6];
        let late = Facts { checkpoint_age: Some(Duration::from_secs(150)), ..facts(&silent) };
        assert_eq!(codes(&late), ["not_reading"]);
        assert_eq!(codes(&facts(&silent)), [""; 0]);
        let mut busy = silent.clone();
        busy[2] = sample(1.0, 7);
        assert_eq!(codes(&Facts { samples: &busy, ..late.clone() }), [""; 0]);
        assert_eq!(codes(&Facts { samples: &silent[1..], ..late }), [""; 0], "too short to tell");
    }

    #[test]
    fn lag_that_grows_for_ten_minutes_is_worth_a_look_and_names_the_limit_if_that_is_why() {
        let growing: Vec<_> = (0..120).map(|n| sample(100.0, 1_000 * n + 500 * (n % 7))).collect();
        assert_eq!(codes(&facts(&growing)), ["falling_behind"]);
        let limited: Vec<_> =
            growing.iter().map(|s| Sample { limit_bytes_per_second: Some(10_500), ..*s }).collect();
        assert!(judge(&facts(&limited)).problems[0].remedy.contains("raise the limit"));
        let level: Vec<_> = (0..120).map(|n| sample(100.0, 1_000 * (n % 12))).collect();
        assert_eq!(codes(&facts(&level)), [""; 0], "up and down with each checkpoint");
    }

    #[test]
    fn the_most_urgent_comes_first() {
        let all = Facts {
            checkpoint_age: Some(Duration::from_secs(10_000)),
            held_back: Some(("orders-3".into(), Duration::from_secs(250), 1_204)),
            rejects: Some(8),
            rejects_limit: Some(10),
            unpublished: 10,
            ..facts(&[])
        };
        assert_eq!(codes(&all), ["no_checkpoint", "held_back", "rejects", "unpublished"]);
        let held = &judge(&all).problems[1].text;
        assert_eq!(
            held,
            "An open transaction upstream has held back 1,204 records of orders-3 for 4 minutes."
        );
        let brief = Facts { held_back: Some(("t-0".into(), Duration::from_secs(59), 1)), ..facts(&[]) };
        assert_eq!(codes(&brief), [""; 0], "transactions are open for a while");
        assert_eq!(
            codes(&Facts { state: ReplicaState::Starting, ..all.clone() }),
            ["held_back", "rejects", "unpublished", "starting"]
        );
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
