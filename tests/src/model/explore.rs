//! Exploring a configuration: all of it, the shortest way to something, or whether anybody can get stuck.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use super::events::{Event, EventCounters};
use super::runs::Run;
use super::system::{Action, ProtocolModel};
use super::world::{Phase, World};

/// What an exploration found.
#[derive(Debug)]
pub struct Outcome {
    pub generated: usize,
    pub unique: usize,
    pub depth: usize,
    /// Whether every reachable state was visited.
    pub exhaustive: bool,
    pub took: Duration,
    /// Violated properties, each with the steps that lead there.
    pub violations: Vec<(&'static str, Vec<Action>)>,
    /// "Sometimes" properties that were reached, likewise.
    pub reached: Vec<(&'static str, Vec<Action>)>,
    pub counters: Arc<EventCounters>,
}

impl Outcome {
    /// Events and how often they were seen, in one line.
    pub fn events(&self) -> String {
        let seen = Event::ALL.iter().map(|&event| (event, self.counters.count(event)));
        let seen = seen.filter(|(_, count)| *count > 0);
        seen.map(|(event, count)| format!("{event:?}={count}")).collect::<Vec<_>>().join(" ")
    }
}

/// Limits of one exploration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub threads: usize,
    /// States generated, known ones included.
    pub generated: usize,
    /// The longest path that is followed, in states.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { threads: 2, generated: 100_000_000, depth: usize::MAX }
    }
}

/// Explores breadth first, until everything is visited, a limit is hit, or `finish_when` holds.
pub fn explore(run: &Run, limits: Limits, finish_when: HasDiscoveries) -> Outcome {
    let model = run.model.clone();
    let always: BTreeSet<&str> = model
        .properties()
        .iter()
        .filter(|property| matches!(property.expectation, Expectation::Always))
        .map(|property| property.name)
        .collect();
    let counters = Arc::clone(&model.counters);
    let started = Instant::now();
    let mut builder =
        model.checker().threads(limits.threads).target_state_count(limits.generated).finish_when(finish_when);
    if limits.depth != usize::MAX {
        builder = builder.target_max_depth(limits.depth);
    }
    let checker = builder.spawn_bfs().join();
    let took = started.elapsed();
    let (mut violations, mut reached) = (Vec::new(), Vec::new());
    for (name, path) in checker.discoveries() {
        let list = if always.contains(name) { &mut violations } else { &mut reached };
        list.push((name, path.into_actions()));
    }
    violations.sort_by_key(|(name, _)| *name);
    reached.sort_by_key(|(name, _)| *name);
    Outcome {
        generated: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        exhaustive: violations.is_empty()
            && checker.state_count() < limits.generated
            && limits.depth == usize::MAX,
        took,
        violations,
        reached,
        counters,
    }
}

/// A shortest path, and how many states were visited to find it.
#[derive(Debug)]
pub struct Shortest {
    pub steps: Vec<Action>,
    pub unique: usize,
}

/// A shortest way to reach, or to break, `property`. The checker takes notice only after a batch of states
/// and keeps the last path it saw, so the search is repeated with an ever tighter bound.
pub fn shortest(run: &Run, limits: Limits, property: &'static str) -> Option<Shortest> {
    let mut limits = Limits { threads: 1, ..limits };
    let mut shortest = None;
    loop {
        let outcome = explore(run, limits, HasDiscoveries::AllOf(BTreeSet::from([property])));
        let found = outcome.violations.into_iter().chain(outcome.reached);
        let Some((_, steps)) = found.into_iter().find(|(name, _)| *name == property) else {
            return shortest;
        };
        // A path of n steps has n+1 states, and states at the limit itself are not looked at.
        limits.depth = steps.len() + 1;
        shortest = Some(Shortest { steps, unique: outcome.unique });
    }
}

/// Nothing left to publish or to retract, no worker with an undecided commit, and a
/// chain, or a person to be asked.
fn is_at_rest(world: &World) -> bool {
    let decided = world.workers.iter().all(|worker| worker.attempt.is_none());
    let refused = world.workers.iter().any(|worker| worker.phase == Phase::Refused);
    decided
        && world.newest.unpublished.is_empty()
        && world.newest.retracted.is_empty()
        && (world.newest.is_chain() || refused)
}

/// From how many states, out of how many, it is impossible to get to rest. Must be none, or somebody could be
/// stuck for good. Visits the whole state space of `run`, which must be small.
pub fn stuck_states(run: &Run) -> (usize, usize) {
    let model: &ProtocolModel = &run.model;
    let mut numbers: HashMap<World, usize> = HashMap::new();
    let mut predecessors: Vec<Vec<usize>> = Vec::new();
    let mut at_rest = Vec::new();
    let mut frontier = model.init_states();
    for world in &frontier {
        numbers.insert(world.clone(), predecessors.len());
        predecessors.push(Vec::new());
    }
    while let Some(world) = frontier.pop() {
        let number = numbers[&world];
        if is_at_rest(&world) {
            at_rest.push(number);
        }
        let mut actions = Vec::new();
        model.actions(&world, &mut actions);
        for action in actions {
            let Some(next) = model.next_state(&world, action) else { continue };
            let fresh = predecessors.len();
            let next_number = *numbers.entry(next).or_insert_with_key(|next| {
                frontier.push(next.clone());
                fresh
            });
            if next_number == fresh {
                predecessors.push(Vec::new());
            }
            predecessors[next_number].push(number);
        }
    }
    let mut can_rest = vec![false; predecessors.len()];
    while let Some(number) = at_rest.pop() {
        if !std::mem::replace(&mut can_rest[number], true) {
            at_rest.extend(&predecessors[number]);
        }
    }
    (can_rest.iter().filter(|can| !**can).count(), can_rest.len())
}
