//! The protocol's own regression test: every mistake is caught, every event is reached, nobody gets stuck,
//! and the protocol as built is explored to the end without a violation.

#![expect(clippy::print_stdout, reason = "the figures of `docs/protocol-model.md` come from here")]

use std::collections::BTreeSet;

use stateright::HasDiscoveries;
use tidegate_tests::mistakes::MISTAKES;
use tidegate_tests::model::controls::negative_controls;
use tidegate_tests::model::events::Event;
use tidegate_tests::model::explore::{Limits, explore, shortest, stuck_states};
use tidegate_tests::model::properties::{ALL_PUBLISHED, witness};
use tidegate_tests::model::runs::{Run, large_runs, sound_runs};
use tidegate_tests::model::witnesses::{progress_runs, witness_runs};

#[test]
fn every_mistake_is_caught() {
    for run in negative_controls() {
        assert_found(&run);
    }
}

#[test]
fn every_mistake_of_the_table_has_its_control() {
    let controls: BTreeSet<_> = negative_controls().iter().map(|run| run.name).collect();
    let modelled: BTreeSet<_> = MISTAKES.iter().filter(|m| m.caught_by_model).map(|m| m.name).collect();
    assert_eq!(controls, modelled);
    assert_eq!(MISTAKES.len(), MISTAKES.iter().map(|m| m.name).collect::<BTreeSet<_>>().len(), "names");
}

#[test]
fn every_event_is_reached() {
    let runs = witness_runs();
    runs.iter().for_each(assert_found);
    let looked_for: BTreeSet<_> = runs.iter().flat_map(|run| run.expect.iter().copied()).collect();
    assert_eq!(looked_for, Event::ALL.map(witness).into());
}

#[test]
fn nobody_gets_stuck() {
    for run in progress_runs() {
        let (stuck, states) = stuck_states(&run);
        println!("{}: {states} states", run.name);
        assert_eq!(stuck, 0, "{}: of {states} states", run.name);
    }
}

#[test]
fn the_protocol_is_sound() {
    sound_runs().iter().for_each(assert_sound);
    // Minutes, and gigabytes of memory.
    if std::env::var_os("TIDEGATE_SOAK").is_some() {
        large_runs().iter().for_each(assert_sound);
    }
}

/// A path is found to everything that the run is expected to reach or to break.
fn assert_found(run: &Run) {
    let limits = Limits { generated: 4_000_000, ..Limits::default() };
    for property in &run.expect {
        let found = shortest(run, limits, property);
        let found = found.unwrap_or_else(|| panic!("{}: not {property:?}", run.name));
        println!("{}: {property:?} in {} steps, {} states", run.name, found.steps.len(), found.unique);
    }
}

/// Every reachable state is visited, none breaks an invariant, and in one everything is published.
fn assert_sound(run: &Run) {
    let outcome = explore(run, Limits::default(), HasDiscoveries::AnyFailures);
    let (name, unique, took) = (run.name, outcome.unique, outcome.took.as_secs_f32());
    println!("{name} ({}): {unique} states in {took:.1} s; {}", run.about, outcome.events());
    assert!(outcome.violations.is_empty(), "{name}: {:?}", outcome.violations);
    assert!(outcome.exhaustive, "{name} was not explored to the end");
    assert!(
        outcome.reached.iter().any(|(name, _)| *name == ALL_PUBLISHED),
        "{name} never published everything"
    );
}
