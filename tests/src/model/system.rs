//! Who may do what, when: the transition system that `stateright` explores. Workers' steps are in
//! `worker.rs`, what the store does with a PUT in `store.rs`; here is what surrounds them.

use std::cmp::Ordering;
use std::sync::Arc;

use stateright::{Model, Property};

use super::bug::Bug;
use super::checkpoint::{Checkpoint, GENESIS, Savepoint, Slot};
use super::events::{Event, EventCounters};
use super::files::{Attempt, FileId, FileSet, LANES, Offset, Position, Range};
use super::properties;
use super::rules::Rules;
use super::world::{Hand, Harm, Phase, WORKERS, Worker, World};

/// How the chain starts.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The genesis has been created, with these starts.
    Founded(Position),
    /// Whoever comes first creates it; a worker may resolve any of these starts.
    Racing(Vec<Position>),
}

/// The finite part of the world that a run explores.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub origin: Origin,
    /// Where the log of a lane that the chain does not know may be found to begin.
    pub beginnings: Vec<Offset>,
    /// Lanes that each worker consumes. Lanes may be shared: then one of the workers is
    /// a zombie, or both are.
    pub lanes_of: Vec<Vec<usize>>,
    /// Records per lane.
    pub records: Offset,
    /// The most records of one lane that an attempt takes.
    pub batch: Offset,
    /// Attempts that may be begun, by all workers together.
    pub attempts: usize,
    pub crashes: u8,
    /// PUTs that the network may deliver twice.
    pub duplicates: u8,
    pub rollbacks: u8,
    /// How often the whole chain may be lost, while no worker runs and files of the job lie in the table.
    pub losses: u8,
    /// Whether a foreign file, with records of lane 0, lies in the table from the start.
    pub foreign: bool,
    /// Every record of lane 0 is rejected, and lane 1 counts the rejects that have been replayed.
    pub replays: bool,
    /// Whether `begin.json`, data file and manifest are written in separate steps, else in one.
    pub stepwise_attempts: bool,
    /// Whether old checkpoints are deleted, so that late PUTs can fill their slots again;
    /// and whether LIST, GET and LIST are separate steps, so that somebody may read them.
    /// Otherwise a load is one step. That loses nothing if the stepwise runs show that
    /// only the newest state is ever accepted: no decision depends on anything else.
    pub collect_checkpoints: bool,
    /// Remember events in the state, to find shortest witnesses; makes the state space larger.
    pub remember_events: bool,
    /// Do not merge states that differ only in which worker is which, so that stories can be followed.
    pub keep_identities: bool,
}

#[derive(Clone, Debug)]
pub struct ProtocolModel {
    pub rules: Rules,
    pub bounds: Bounds,
    pub counters: Arc<EventCounters>,
}

pub type WorkerId = usize;

/// A step of a worker or of its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    // A worker's steps. `Load` starts a load, after a start, a PUT's answer or timeout, or at any other time.
    Load(WorkerId),
    Get(WorkerId),
    Confirm(WorkerId),
    LookForTraces(WorkerId),
    PutGenesis(WorkerId, Position),
    /// Writes `begin.json`; where attempts are not stepwise, also everything else.
    Begin(WorkerId, Attempt),
    /// Lists the commits, to replay their rejects.
    ListCommits(WorkerId),
    StageData(WorkerId, FileId, Attempt),
    StageManifest(WorkerId, FileId),
    PutCommit(WorkerId, FileId),
    PutHousekeeping(WorkerId),
    PutRollback(WorkerId, Savepoint),
    Publish(WorkerId, FileId),
    CopyLands(WorkerId, FileId),
    DeleteStaged(WorkerId, FileId),
    MoveManifest(WorkerId, FileId),
    ManifestLands(WorkerId, FileId),
    DeleteStagedManifest(WorkerId, FileId),
    /// Deletes the next one of a retracted commit's copies.
    Erase(WorkerId, FileId),
    CollectStaged(WorkerId, FileId),
    Crash(WorkerId),
    // The surroundings' steps.
    Deliver(Checkpoint),
    DeliverAndKeep(Checkpoint),
    OrphanCopyLands(FileId),
    OrphanManifestLands(FileId),
    CollectCheckpoint(Slot),
    LoseChain,
    Consume(FileId),
}

impl ProtocolModel {
    pub fn new(rules: Rules, bounds: Bounds) -> Self {
        Self { rules, bounds, counters: Arc::default() }
    }

    pub(super) fn note(&self, world: &mut World, event: Event) {
        self.counters.add(event);
        if self.bounds.remember_events {
            world.events |= 1 << event as u32;
        }
    }

    fn apply(&self, world: &mut World, action: Action) {
        match action {
            Action::Deliver(body) => {
                world.requests.retain(|request| *request != body);
                if self.put_if_absent(world, body) {
                    self.answer_stored(world, body);
                }
            }
            Action::DeliverAndKeep(body) => {
                world.duplicates_left -= 1;
                self.put_if_absent(world, body);
            }
            Action::OrphanCopyLands(file) => {
                world.orphan_copies.remove(file);
                world.make_visible(file);
            }
            Action::OrphanManifestLands(file) => {
                world.orphan_manifests.remove(file);
                world.manifests.insert(file);
            }
            Action::CollectCheckpoint(slot) => {
                world.occupied &= !(1 << slot);
                world.fetchable.retain(|body| body.slot != slot);
            }
            Action::LoseChain => {
                world.losses_left -= 1;
                world.newest = Checkpoint::absent();
                world.occupied = 0;
                world.fetchable.clear();
                world.requests.clear();
                (0..self.bounds.lanes_of.len()).for_each(|id| self.stop(world, id));
            }
            Action::Consume(file) => {
                world.visible.remove(file);
                world.consumed.insert(file);
                self.note(world, Event::Consumed);
            }
            step => self.apply_worker(world, step),
        }
    }

    /// Ends a worker's process; a copy that it asked for runs on.
    pub(super) fn stop(&self, world: &mut World, id: WorkerId) {
        match world.workers[id].hand {
            Hand::Copying(file) => world.orphan_copies.insert(file),
            Hand::CopyingManifest(file) => world.orphan_manifests.insert(file),
            _ => {}
        }
        world.workers[id] = Worker::down();
    }

    /// Merges states that nobody in the world can tell apart. Every rule here keeps all behaviours.
    fn forget_the_unobservable(&self, world: &mut World) {
        let (newest, workers) = (world.newest.slot, &world.workers);
        let collected = self.bounds.collect_checkpoints;
        let being_read = |slot| workers.iter().any(|w| w.phase == Phase::Getting(slot));
        let replaces = |slot| slot == GENESIS && self.rules.has(Bug::GenesisOverwrites);
        // A PUT to an old slot can no longer matter, except to its sender or to somebody
        // about to read that slot.
        world.requests.retain(|request| match request.slot.cmp(&newest) {
            Ordering::Greater => true,
            Ordering::Equal => collected || replaces(request.slot),
            Ordering::Less => {
                collected && (being_read(request.slot) || workers.iter().any(|w| w.awaits(request)))
            }
        });
        world.requests.sort_unstable();
        // An old body can be read by those who listed it while it was the newest, and by nobody else.
        world.fetchable.retain(|body| being_read(body.slot));
        world.fetchable.sort_unstable();
        world.occupied &= self.observable_slots(world);
        if world.rollbacks_left == 0 {
            world.savepoints.clear();
        }
        // Workers with the same lanes are interchangeable.
        let alike = self.bounds.lanes_of.windows(2).all(|pair| pair[0] == pair[1]);
        if alike && !self.bounds.keep_identities {
            world.workers[..self.bounds.lanes_of.len()].sort_unstable();
        }
    }

    /// Whether an old slot is taken matters to a PUT under way, to a worker about to send one, and to a GET.
    fn observable_slots(&self, world: &World) -> u16 {
        let mut observable = 0u16;
        for request in &world.requests {
            observable |= 1 << request.slot;
        }
        for worker in &world.workers {
            observable |= match worker.phase {
                Phase::NoChain | Phase::Founding => 1 << GENESIS,
                Phase::Ready(state) => 1 << (state.slot + 1),
                Phase::Getting(slot) if self.rules.has(Bug::LoadWithoutConfirm) => 0b11 << slot,
                Phase::Getting(slot) => 1 << slot,
                _ => 0,
            };
        }
        observable
    }

    /// The empty store, or one with a genesis, and all workers down.
    fn first_world(&self) -> World {
        let mut foreign = FileSet::EMPTY;
        let mut attempts = Vec::new();
        if self.bounds.foreign {
            let mut ranges = [Range::default(); LANES];
            ranges[0].to = self.bounds.records;
            foreign.insert(0);
            attempts.push(Attempt { ranges, ..Attempt::default() });
        }
        let start = match self.bounds.origin {
            Origin::Founded(start) => Some(start),
            Origin::Racing(_) => None,
        };
        let newest = start.map_or_else(Checkpoint::absent, |start| self.rules.genesis(start, foreign));
        World {
            newest,
            occupied: 0,
            fetchable: Vec::new(),
            staged: FileSet::EMPTY,
            visible: foreign,
            staged_manifests: FileSet::EMPTY,
            manifests: FileSet::EMPTY,
            orphan_copies: FileSet::EMPTY,
            orphan_manifests: FileSet::EMPTY,
            requests: Vec::new(),
            workers: [Worker::down(); WORKERS],
            attempts,
            crashes_left: self.bounds.crashes,
            duplicates_left: self.bounds.duplicates,
            rollbacks_left: self.bounds.rollbacks,
            losses_left: self.bounds.losses,
            foreign,
            start,
            savepoints: start.map(|next| Savepoint { incarnation: 1, next }).into_iter().collect(),
            committed: FileSet::EMPTY,
            revoked: newest.retracted,
            consumed: FileSet::EMPTY,
            harm: Harm::default(),
            resent: FileSet::EMPTY,
            events: 0,
        }
    }
}

impl Model for ProtocolModel {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = self.first_world();
        self.forget_the_unobservable(&mut world);
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for id in 0..self.bounds.lanes_of.len() {
            self.worker_actions(world, id, actions);
        }
        for request in &world.requests {
            actions.push(Action::Deliver(*request));
            if world.duplicates_left > 0 {
                actions.push(Action::DeliverAndKeep(*request));
            }
        }
        actions.extend(world.orphan_copies.iter().map(Action::OrphanCopyLands));
        actions.extend(world.orphan_manifests.iter().map(Action::OrphanManifestLands));
        if self.bounds.collect_checkpoints {
            // A collector that listed long ago would delete less than this; so this covers stale ones too.
            let below = (world.newest.slot + 1).saturating_sub(self.rules.keep);
            let slots = (0..below).filter(|slot| world.occupied & (1 << slot) != 0);
            actions.extend(slots.map(Action::CollectCheckpoint));
        }
        let own_files = world.visible.minus(world.foreign);
        if world.losses_left > 0 && world.newest.is_chain() && !own_files.is_empty() {
            actions.push(Action::LoseChain);
        }
        for file in world.visible.iter() {
            if self.rules.may_consume(&world.newest, file, world.is_being_copied(file)) {
                actions.push(Action::Consume(file));
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        self.apply(&mut world, action);
        self.forget_the_unobservable(&mut world);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self.bounds.remember_events)
    }
}
