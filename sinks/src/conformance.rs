//! What every sink promises, as one suite that every sink runs: against memory, local folders, simulated
//! faults, and real servers. It knows a sink only through its trait and what readers see.
//!
//! Each row of a file here is a line `topic/partition offset`, so that "each record exactly once" is a matter
//! of counting lines. A failure panics, as in any test.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::sink::Sink;

mod chain;
mod commits;
mod histories;
mod leftovers;
mod place;
mod rejects;
mod restores;
mod writer;

pub use place::ChainPlace;
pub use writer::stage;

/// How a sink of a place differs from another.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Checkpoints kept at least.
    pub retained: u64,
    /// Begin a chain though there are files of the job.
    pub accept_existing_files: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { retained: 64, accept_existing_files: false }
    }
}

/// Where the sinks of one job keep everything: a folder, a bucket's prefix, a map.
#[async_trait]
pub trait Place: Send + Sync {
    /// A sink as another process would open it.
    fn sink(&self, options: Options) -> Arc<dyn Sink>;
    /// What readers of the tables see: paths and bytes.
    async fn visible(&self) -> BTreeMap<String, Bytes>;
    /// Puts a file there that is not the sink's.
    async fn plant(&self, path: &str, bytes: Bytes);
    /// Takes a visible file away, as a user does.
    async fn take(&self, path: &str);
    /// Ends all faults, and waits until what is still to happen has happened.
    async fn calm(&self) {}
}

type Case = fn(Arc<dyn Place>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        /// Every case of the suite, by name.
        pub const CASES: &[(&str, Case)] = &[$((stringify!($case), |place| Box::pin($module::$case(place)))),*];
    };
}

cases! {
    chain::an_empty_place_has_no_chain,
    chain::all_who_begin_a_chain_get_the_same,
    chain::what_is_finished_is_dropped_by_settling_or_the_next_commit,
    chain::settling_after_being_overtaken_forgets_nothing,
    chain::overwriting_clears_the_tables_and_nothing_else,
    chain::old_checkpoints_go_and_the_chain_goes_on,
    chain::of_those_who_pin_at_once_the_first_wins,
    chain::what_was_pinned_outlives_commits_and_rollbacks,
    commits::positions_and_files_move_together,
    commits::offsets_without_rows_are_committed,
    commits::the_second_from_one_position_is_fenced,
    commits::writers_of_other_partitions_are_rebased,
    commits::a_zombie_changes_nothing,
    commits::of_two_who_add_a_partition_one_succeeds,
    commits::an_idle_partition_that_moved_on_fences,
    commits::too_many_rejects_are_not_sent,
    commits::what_does_not_add_up_is_refused,
    commits::publishing_can_be_repeated_by_anybody,
    leftovers::staged_files_are_never_seen,
    leftovers::a_collection_spares_what_can_commit,
    leftovers::a_collection_removes_what_cannot_commit,
    leftovers::nothing_is_left_of_a_published_commit,
    restores::a_rollback_takes_back_what_came_after,
    restores::nobody_of_before_a_rollback_changes_anything,
    restores::a_partition_found_later_goes_back_to_its_start,
    restores::only_what_the_chain_has_passed_is_restored,
    restores::a_file_that_was_moved_away_cannot_be_taken_back,
    restores::the_same_restore_is_done_once_unless_told_again,
    restores::keeping_the_sink_takes_nothing_back,
    restores::of_those_who_roll_back_and_commit_at_once_all_agree,
    restores::a_chain_begins_at_the_positions_of_a_savepoint,
    rejects::rejects_are_replayed_once,
    rejects::a_replay_that_does_not_add_up_is_refused,
    rejects::unsent_commits_are_listed_until_they_are_sent,
    histories::random_histories_hold_every_record_once,
}

/// Runs every case, each in a place of its own that `make` prepares for its name.
pub async fn run<F>(make: impl Fn(&'static str) -> F)
where
    F: Future<Output = Arc<dyn Place>>,
{
    for (name, case) in CASES {
        tracing::info!(name, "conformance");
        case(make(name).await).await;
    }
}

#[cfg(test)]
mod tests;
