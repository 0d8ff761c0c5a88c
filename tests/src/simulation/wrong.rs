//! How the mistakes of the table are put into a simulation: as wrong rules, as a store that does something
//! else than it was asked for, or as impatient users. The code that ships knows of none of them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tidegate_sinks::chain::rules::{self, Rules, Verdict};
use tidegate_sinks::restore::Restore;
use tidegate_sinks::{Checkpoint, Commit, CommitId, Error, Position, Retracted, SinkSettings, Span};

/// Where a mistake is put in.
#[derive(Clone, Copy, Debug)]
pub enum Wrong {
    /// In the rules that each sink goes by.
    Rules(fn(&mut Rules)),
    /// In what each sink is told besides.
    Settings(fn(&mut SinkSettings)),
    /// In what the store does, as if the sink had asked for that.
    Store(Instead),
    /// In when users move finals away.
    Users(Impatience),
}

/// What a store does instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Puts the first checkpoint over any that is there.
    OverwriteGenesis,
    /// Leaves what is staged where it is, when it is to be deleted.
    KeepStaged,
    /// Makes a commit's files visible with its manifest, before the checkpoint.
    PublishWithManifest,
    /// Drops the manifest.
    DropManifest,
    /// Stores the commit as published when its first file is moved.
    StoreCommitFirst,
    /// Deletes what names a retracted commit's files when the first of them is deleted.
    EraseManifestFirst,
}

/// What users do not wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impatience {
    /// That the newest checkpoint has dropped a file: where files are copied, or where they are renamed.
    Dropping { is_copying: bool },
    /// That no copy can be running any more.
    Copies,
}

pub(crate) fn trust_success(rules: &mut Rules) {
    rules.is_newest = |_, _| true;
}

pub(crate) fn collect_by_age(rules: &mut Rules) {
    rules.may_collect_staged = |state, begin| !state.unpublished.contains(&begin.id);
}

pub(crate) fn collect_unpublished(rules: &mut Rules) {
    rules.may_collect_staged = |state, begin| {
        let is_retracted = state.retracted.contains(&Retracted::Commit(begin.id.clone()));
        !is_retracted && rules::can_never_commit(state, begin)
    };
}

pub(crate) fn collect_retracted(rules: &mut Rules) {
    rules.may_collect_staged =
        |state, begin| !state.unpublished.contains(&begin.id) && rules::can_never_commit(state, begin);
}

pub(crate) fn collect_across_incarnations(rules: &mut Rules) {
    rules.may_collect_staged = |state, begin| {
        let of_its_own = Checkpoint { incarnation: begin.incarnation, ..state.clone() };
        let is_dead = begin.incarnation != state.incarnation || rules::can_never_commit(&of_its_own, begin);
        let is_retracted = state.retracted.contains(&Retracted::Commit(begin.id.clone()));
        !state.unpublished.contains(&begin.id) && !is_retracted && is_dead
    };
}

/// What [`Rules::check_step`] would catch before it does harm: it is a net, not the rule.
fn without_net(rules: &mut Rules) {
    rules.check_step = |_, _| Ok(());
}

pub(crate) fn rebase_blindly(rules: &mut Rules) {
    without_net(rules);
    rules.resolve = |state, begin, sent_to| match rules::resolve(state, begin, sent_to) {
        Verdict::Committed => Verdict::Committed,
        _ if sent_to.is_some() => Verdict::Retry,
        other => other,
    };
}

pub(crate) fn take_short_history_for_fenced(rules: &mut Rules) {
    rules.resolve = |state, begin, sent_to| {
        let mut short = state.clone();
        short.history.truncate(1);
        match rules::resolve(&short, begin, sent_to) {
            Verdict::Unknown => Verdict::Fenced,
            other => other,
        }
    };
}

pub(crate) fn leave_new_partitions_unchecked(rules: &mut Rules) {
    without_net(rules);
    rules.resolve = |state, begin, sent_to| match rules::resolve(state, begin, sent_to) {
        Verdict::Committed => Verdict::Committed,
        other => {
            let mut known = begin.clone();
            known.from.retain(|partition, _| !begin.new_partitions.contains(partition));
            known.new_partitions.clear();
            if rules::untouched(state, &known) { Verdict::Retry } else { other }
        }
    };
}

pub(crate) fn alarm_without_reload(rules: &mut Rules) {
    rules.is_lost = |_, _| true;
}

pub(crate) fn refuse_without_second_look(rules: &mut Rules) {
    rules.is_chain_lost = |_| true;
}

pub(crate) fn publish_beside_retracted_commits(rules: &mut Rules) {
    rules.may_publish = |state| state.retracted.iter().all(|item| item.commit().is_some());
}

pub(crate) fn publish_beside_foreign_files(rules: &mut Rules) {
    rules.may_publish = |state| state.retracted.iter().all(|item| item.commit().is_none());
}

pub(crate) fn roll_back_in_same_incarnation(rules: &mut Rules) {
    without_net(rules);
    rules.restored_on = |state, published, erased, restore, taken, now| {
        let mut body = rules::restored_on(state, published, erased, restore, taken, now);
        body.incarnation = state.incarnation;
        body.cuts.clone_from(&state.cuts);
        body
    };
}

pub(crate) fn retract_visible_only(rules: &mut Rules) {
    rules.restored_on = |state, published, erased, restore, taken, now| {
        let visible = taken.iter().filter(|id| !state.unpublished.contains(id)).cloned().collect();
        rules::restored_on(state, published, erased, restore, &visible, now)
    };
}

/// What a rollback takes back, whether it adds up or not; a partition that the
/// target does not know is passed over.
fn beyond<'a>(
    state: &Checkpoint,
    target: &Checkpoint,
    in_force: Vec<&'a Commit>,
) -> Result<Vec<&'a Commit>, Error> {
    let goal = rules::goal(state, target);
    let goes_beyond = |(partition, span): (_, &Span)| {
        target.partitions.contains_key(partition) && goal.get(partition).is_some_and(|at| span.to > at.next)
    };
    Ok(in_force.into_iter().filter(|commit| commit.delta.0.iter().any(goes_beyond)).collect())
}

pub(crate) fn restore_cut_branch(rules: &mut Rules) {
    without_net(rules);
    rules.check_target = |state, target| {
        let uncut = Checkpoint { cuts: Vec::new(), ..state.clone() };
        rules::check_target(&uncut, target)
    };
    rules.taken_back = |state, target, in_force| {
        let goal = rules::goal(state, target);
        let goes_beyond =
            |(partition, span): (_, &Span)| goal.get(partition).is_none_or(|at| span.to > at.next);
        Ok(in_force.into_iter().filter(|commit| commit.delta.0.iter().any(goes_beyond)).collect())
    };
}

pub(crate) fn forget_new_partitions(rules: &mut Rules) {
    without_net(rules);
    rules.taken_back = beyond;
    rules.restored_on = without_new_partitions;
}

fn without_new_partitions(
    state: &Checkpoint,
    published: &BTreeSet<CommitId>,
    erased: &BTreeSet<Retracted>,
    restore: &Restore,
    taken: &BTreeSet<CommitId>,
    now: Timestamp,
) -> Checkpoint {
    let mut body = rules::restored_on(state, published, erased, restore, taken, now);
    if body.incarnation > state.incarnation {
        body.partitions.retain(|partition, _| restore.target.partitions.contains_key(partition));
        let cut: Position = body.position();
        body.cuts.pop();
        body.cuts.push(cut);
    }
    body
}
