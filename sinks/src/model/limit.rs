//! How many rejects a job accepts, as pure functions of the state that a commit lands on.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::checkpoint::{Checkpoint, RecentCount};
use super::commit::Commit;

/// Records, rejected or not, below which no ratio is judged: one reject of one record is no ratio yet.
pub const RATIO_MIN_RECORDS: u64 = 100;

/// Counts that a window is divided into, so that a checkpoint stays small.
const PARTS: u32 = 64;

/// Counts that a checkpoint keeps at most, also after the window was made longer.
const KEPT: usize = 2 * PARTS as usize;

/// The most rejects that a job accepts; whichever is reached first refuses the commit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RejectLimit {
    /// Since the start of the chain, without those that a replay has made rows of.
    pub records: Option<u64>,
    pub ratio: Option<RatioLimit>,
}

/// Rejects as a part of all records that were committed, rows and rejects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatioLimit {
    /// 0.01 is one of a hundred.
    pub most: f64,
    /// By the time of the commits, not of the records; `None`: since the start of the chain.
    pub window: Option<Duration>,
}

/// A limit that a commit would pass, with the figures it would reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exceeded {
    Records {
        rejects: u64,
        most: u64,
    },
    Ratio {
        rejects: u64,
        /// Rows and rejects.
        records: u64,
        limit: RatioLimit,
    },
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records { rejects, most } => {
                write!(f, "{rejects} records rejected, error_limit.records is {most}")
            }
            Self::Ratio { rejects, records, limit: RatioLimit { most, window } } => {
                let ratio = *rejects as f64 / (*records).max(1) as f64;
                write!(f, "{rejects} of {records} records rejected ({ratio:.6})")?;
                match window {
                    Some(window) => write!(f, " in the last {window:?}")?,
                    None => f.write_str(" since the job began")?,
                }
                write!(f, ", error_limit.ratio is {most}")
            }
        }
    }
}

impl RatioLimit {
    /// Rejects, and the records that they are among, that count as of `state`.
    pub fn counts(&self, state: &Checkpoint, now: Timestamp) -> (u64, u64) {
        let (rows, rejects) = match self.window.map(signed) {
            None => {
                let rows = state.partitions.values().map(|at| at.rows);
                (rows.fold(0, u64::saturating_add), state.outstanding_rejects())
            }
            Some(window) => {
                let recent = state.recent.iter().filter(|count| now.duration_since(count.since) < window);
                recent.fold((0_u64, 0_u64), |(rows, rejects), count| {
                    (rows.saturating_add(count.rows), rejects.saturating_add(count.rejects))
                })
            }
        };
        (rejects, rows.saturating_add(rejects))
    }
}

impl RejectLimit {
    /// At most so many rejects since the start of the chain.
    pub fn records(most: u64) -> Self {
        Self { records: Some(most), ratio: None }
    }

    /// Whether `commit` may land on `state`. A ratio refuses only what brings rejects: rows alone make it
    /// better, also when the window has moved on.
    ///
    /// Errors: the limit that it would pass.
    pub fn check(&self, state: &Checkpoint, commit: &Commit, now: Timestamp) -> Result<(), Exceeded> {
        // A replay brings no records and no rejects, it only moves what was counted before.
        if commit.replay.is_some() {
            return Ok(());
        }
        let rejects = state.outstanding_rejects().saturating_add(commit.rejects);
        if let Some(most) = self.records.filter(|most| rejects > *most) {
            return Err(Exceeded::Records { rejects, most });
        }
        let Some(limit) = self.ratio.filter(|_| commit.rejects > 0) else { return Ok(()) };
        let (rejects, records) = limit.counts(state, now);
        let rejects = rejects.saturating_add(commit.rejects);
        let records = records.saturating_add(commit.rejects).saturating_add(rows_of(commit));
        if records >= RATIO_MIN_RECORDS && rejects as f64 > limit.most * records as f64 {
            return Err(Exceeded::Ratio { rejects, records, limit });
        }
        Ok(())
    }

    /// The counts that a window needs once `commit` is in force; none without a window.
    pub(crate) fn count(&self, recent: &[RecentCount], commit: &Commit, now: Timestamp) -> Vec<RecentCount> {
        if commit.replay.is_some() {
            return recent.to_vec();
        }
        let Some(window) = self.ratio.and_then(|ratio| ratio.window) else { return Vec::new() };
        let age = |count: &RecentCount| now.duration_since(count.since);
        let [window, part] = [window, window / PARTS].map(signed);
        let mut kept: Vec<_> = recent.iter().filter(|count| age(count) < window).cloned().collect();
        let (rows, rejects) = (rows_of(commit), commit.rejects);
        match kept.last_mut() {
            // Also when another replica's clock is ahead.
            Some(last) if age(last) < part => {
                last.rows = last.rows.saturating_add(rows);
                last.rejects = last.rejects.saturating_add(rejects);
            }
            _ => kept.push(RecentCount { since: now, rows, rejects }),
        }
        kept.drain(..kept.len().saturating_sub(KEPT));
        kept
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn rows_of(commit: &Commit) -> u64 {
    commit.rows.values().fold(0, |sum, rows| sum.saturating_add(*rows))
}

#[cfg(test)]
mod tests;
