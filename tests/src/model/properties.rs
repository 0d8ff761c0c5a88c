//! The invariants (`I1`…`I7`), and what a run must reach so that it proves something.

use stateright::Property;

use super::events::Event;
use super::files::{FileSet, LANES, REJECTS, Range};
use super::rules::Manifests;
use super::system::ProtocolModel;
use super::world::World;

// Names of the invariants, which the table of mistakes refers to.
pub const COMMITS_TILE: &str = "I1 commits tile";
pub const NO_STALE_COMMIT: &str = "I1 no commit of an old incarnation";
pub const VISIBLE_IS_COMMITTED: &str = "I2 visible is committed";
pub const MANIFEST_IS_COMMITTED: &str = "I2 a final manifest is committed";
pub const NOTHING_COMES_BACK: &str = "I3 nothing comes back after it was moved away";
pub const VISIBLE_ONCE: &str = "I3 no record is visible twice";
pub const COMMITTED_EXISTS: &str = "I4 committed data exists";
pub const NO_FALSE_ALARM: &str = "I4 no false alarm";
pub const VERDICTS_ARE_RIGHT: &str = "I5 verdicts are right";
pub const ONLY_THE_NEWEST: &str = "I6 only the newest state is accepted";
pub const DROPPED_IS_PUBLISHED: &str = "I6 dropped is published and staged no more";
pub const MANIFEST_HAS_DATA: &str = "I6 a final manifest's data is published";
pub const CUTS_TELL: &str = "I6 names and cuts tell what is retracted";
pub const REPLAYED_ONCE: &str = "I8 each reject is replayed once";
pub const FOUNDED_ONCE: &str = "I7 a job's chain is begun once";
pub const NO_FALSE_REFUSAL: &str = "I7 no chain that is there is reported lost";

/// Everything is committed, published and dropped, after every rollback that the configuration allows.
pub const ALL_PUBLISHED: &str = "reached: everything published";

type Condition = fn(&ProtocolModel, &World) -> bool;

const INVARIANTS: [(&str, Condition); 16] = [
    (COMMITS_TILE, |_, w| commits_tile(w)),
    (NO_STALE_COMMIT, |_, w| !w.harm.stale_commit),
    (VISIBLE_IS_COMMITTED, |_, w| {
        let foreign = if w.newest.is_chain() { FileSet::EMPTY } else { w.foreign };
        w.visible.is_subset_of(w.effective().or(w.newest.retracted).or(foreign))
    }),
    // A PUT may bring back the manifest of a commit that was taken back and erased; the cuts tell (I6).
    (MANIFEST_IS_COMMITTED, |m, w| match m.rules.manifests {
        Manifests::Put => w.manifests.is_subset_of(w.committed),
        _ => w.manifests.is_subset_of(w.effective().or(w.newest.retracted)),
    }),
    (NOTHING_COMES_BACK, |_, w| !w.harm.resurrected),
    (VISIBLE_ONCE, |_, w| {
        no_two_overlap(w, w.visible) && no_two_overlap(w, w.visible.or(w.consumed).minus(w.revoked))
    }),
    (COMMITTED_EXISTS, |m, w| {
        w.effective().is_subset_of(w.staged.or(w.visible).or(w.consumed))
            && (!m.rules.separate_manifests()
                || w.effective().is_subset_of(w.staged_manifests.or(w.manifests)))
    }),
    (NO_FALSE_ALARM, |_, w| !w.harm.alarm),
    (VERDICTS_ARE_RIGHT, |_, w| !w.harm.wrong_verdict),
    (ONLY_THE_NEWEST, |_, w| !w.harm.misled),
    (DROPPED_IS_PUBLISHED, |m, w| {
        let dropped = w.effective().minus(w.newest.unpublished);
        !w.newest.is_chain()
            || (dropped.is_subset_of(w.visible.or(w.consumed))
                && dropped.and(w.staged.or(w.staged_manifests)).is_empty()
                && (!m.rules.separate_manifests() || dropped.is_subset_of(w.manifests)))
    }),
    (MANIFEST_HAS_DATA, |_, w| w.manifests.and(w.effective()).is_subset_of(w.visible.or(w.consumed))),
    (CUTS_TELL, |_, w| {
        w.committed.iter().all(|file| w.revoked.contains(file) == w.newest.cuts_off(w.attempt(file)))
    }),
    (FOUNDED_ONCE, |_, w| !w.harm.refounded),
    (NO_FALSE_REFUSAL, |_, w| !w.harm.false_refusal),
    (REPLAYED_ONCE, |_, w| replayed_once(w)),
];

/// What runs that remember events look for.
const WITNESSES: [(Event, &str, Condition); Event::ALL.len()] = [
    (Event::Committed, "reached: a commit was learnt to be effective", |_, w| w.happened(Event::Committed)),
    (Event::Fenced, "reached: a zombie was fenced", |_, w| w.happened(Event::Fenced)),
    (Event::Unknown, "reached: an outcome stayed unknown", |_, w| w.happened(Event::Unknown)),
    (Event::Rebased, "reached: a rebased commit became effective", |_, w| w.happened(Event::Rebased)),
    (Event::Ghost, "reached: a ghost was written", |_, w| w.happened(Event::Ghost)),
    (Event::OwnAlreadyExists, "reached: a commit met itself", |_, w| w.happened(Event::OwnAlreadyExists)),
    (Event::RolledBack, "reached: a rollback became effective", |_, w| w.happened(Event::RolledBack)),
    (Event::Retracted, "reached: a retraction was completed", |_, w| w.happened(Event::Retracted)),
    (Event::LoadNotFound, "reached: a load met a deleted checkpoint", |_, w| w.happened(Event::LoadNotFound)),
    (Event::LoadOvertaken, "reached: a load was overtaken", |_, w| w.happened(Event::LoadOvertaken)),
    (Event::AlreadyPublished, "reached: a file was found published", |_, w| {
        w.happened(Event::AlreadyPublished)
    }),
    (Event::FalseSuspicion, "reached: a suspicion proved false", |_, w| w.happened(Event::FalseSuspicion)),
    (Event::Consumed, "reached: a final was moved away", |_, w| w.happened(Event::Consumed)),
    (Event::StagedCollected, "reached: a dead staged file was collected", |_, w| {
        w.happened(Event::StagedCollected)
    }),
    (Event::GenesisLost, "reached: a second genesis was refused", |_, w| w.happened(Event::GenesisLost)),
    (Event::GenesisGhost, "reached: a second genesis became a ghost", |_, w| w.happened(Event::GenesisGhost)),
    (Event::ChainAppeared, "reached: a chain appeared while a worker looked for traces of it", |_, w| {
        w.happened(Event::ChainAppeared)
    }),
    (Event::LostChainRefused, "reached: a lost chain was not begun anew", |_, w| {
        w.happened(Event::LostChainRefused)
    }),
    (Event::LaneAdded, "reached: a new lane's first commit became effective", |_, w| {
        w.happened(Event::LaneAdded)
    }),
    (Event::LaneTaken, "reached: a new lane's first commit came second", |_, w| w.happened(Event::LaneTaken)),
    (Event::BegunCollected, "reached: an unfinished attempt was collected", |_, w| {
        w.happened(Event::BegunCollected)
    }),
    (Event::FinishedByAnother, "reached: a commit was found finished", |_, w| {
        w.happened(Event::FinishedByAnother)
    }),
    (Event::ForeignErased, "reached: the foreign files were erased", |_, w| w.happened(Event::ForeignErased)),
];

/// The property that `event` is reached, for runs that remember events.
pub fn witness(event: Event) -> &'static str {
    WITNESSES[event as usize].1
}

pub(super) fn all(with_witnesses: bool) -> Vec<Property<ProtocolModel>> {
    let mut properties: Vec<_> =
        INVARIANTS.iter().map(|&(name, condition)| Property::always(name, condition)).collect();
    properties.push(Property::sometimes(ALL_PUBLISHED, all_published));
    if with_witnesses {
        properties.extend(WITNESSES.iter().map(|&(_, name, condition)| Property::sometimes(name, condition)));
    }
    properties
}

fn all_published(model: &ProtocolModel, world: &World) -> bool {
    let newest = &world.newest;
    let mut lanes = model.bounds.lanes_of.iter().flatten();
    newest.is_chain()
        && newest.unpublished.is_empty()
        && newest.retracted.is_empty()
        && newest.incarnation > model.bounds.rollbacks
        && lanes.all(|&lane| newest.next[lane] == Some(model.bounds.records))
}

/// The effective commits cover each lane from its start to the newest `next` without hole or overlap. A lane
/// that the genesis did not list starts where its first commit does.
fn commits_tile(world: &World) -> bool {
    let lane_tiles = |lane: usize| {
        let ranges = world.effective().iter().map(|file| world.attempt(file).ranges[lane]);
        let mut ranges: Vec<Range> = ranges.filter(|range| !range.is_empty()).collect();
        ranges.sort_unstable();
        let first = ranges.first().map(|range| range.from);
        let start = world.start.and_then(|start| start[lane]).or(first);
        let step = |at, range: &Range| (at == range.from).then_some(range.to);
        match start {
            Some(start) => ranges.iter().try_fold(start, step) == world.newest.next[lane],
            None => world.newest.next[lane].is_none(),
        }
    };
    !world.newest.is_chain() || (0..LANES).all(lane_tiles)
}

/// The replays in force take whole commits in force, each at most one, and count their rejects.
fn replayed_once(world: &World) -> bool {
    let (effective, mut taken) = (world.effective(), FileSet::EMPTY);
    effective.iter().map(|file| world.attempt(file)).filter(|replay| !replay.sources.is_empty()).all(
        |replay| {
            let rejects: u8 = replay.sources.iter().map(|source| world.attempt(source).rejects).sum();
            let range = replay.ranges[REJECTS];
            let is_first = taken.and(replay.sources).is_empty();
            taken = taken.or(replay.sources);
            is_first && replay.sources.is_subset_of(effective) && range.to - range.from == rejects
        },
    )
}

fn no_two_overlap(world: &World, files: FileSet) -> bool {
    files
        .iter()
        .all(|a| files.iter().filter(|&b| b < a).all(|b| !world.attempt(a).overlaps(world.attempt(b))))
}
