//! The engine in simulation, over many seeds. `SIMULATION_SEEDS` says how many, `SIMULATION_SEED=123` repeats
//! one, with `SIMULATION_MISTAKE=trust-200` in the code if wanted.

#![expect(clippy::print_stdout, reason = "which seed failed, and what the others met")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tidegate_tests::mistakes::{MISTAKES, Mistake, mistake};
use tidegate_tests::simulation::{Events, run};

/// Most mistakes show within ten, the slowest one within a thousand: each event
/// that is added makes others rarer.
const SEEDS_FOR_A_MISTAKE: u64 = 3_000;

#[test]
fn whatever_happens_every_record_is_delivered_exactly_once() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    if let Some(seed) = number("SIMULATION_SEED") {
        let named = std::env::var("SIMULATION_MISTAKE").ok();
        let wrong = named.map(|name| {
            let mistake = mistake(&name).expect("a name of the table of mistakes");
            mistake.simulated.expect("a mistake that the simulation has")
        });
        let events = run(seed, wrong).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        return println!("seed {seed}: {events:?}");
    }
    explore(number("SIMULATION_SEEDS").unwrap_or(500));
}

#[test]
fn every_mistake_is_caught() {
    let named = std::env::var("SIMULATION_MISTAKE").ok();
    let is_looked_for = |mistake: &Mistake| named.as_ref().is_none_or(|name| mistake.name == name);
    let mistakes: Vec<_> = MISTAKES
        .iter()
        .filter(|mistake| is_looked_for(mistake))
        .filter_map(|mistake| Some((mistake.name, mistake.simulated?)))
        .collect();
    let next = AtomicUsize::new(0);
    let uncaught = Mutex::new(Vec::new());
    on_all_threads(|| {
        while let Some((name, wrong)) = mistakes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let caught =
                (0..SEEDS_FOR_A_MISTAKE).find_map(|seed| Some((seed, run(seed, Some(*wrong)).err()?)));
            match caught {
                Some((seed, violation)) => println!("{name}: seed {seed}: {violation}"),
                None => uncaught.lock().expect("no panic holds it").push(*name),
            }
        }
    });
    let uncaught = uncaught.into_inner().expect("no panic holds it");
    assert!(uncaught.is_empty(), "not caught in {SEEDS_FOR_A_MISTAKE} seeds: {uncaught:?}");
}

fn explore(seeds: u64) {
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let all = Mutex::new(Vec::new());
    on_all_threads(|| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || failures.lock().expect("no panic holds it").len() >= 10 {
                return;
            }
            match std::panic::catch_unwind(|| run(seed, None)) {
                Ok(Ok(events)) => all.lock().expect("no panic holds it").push(events),
                Ok(Err(violation)) => failures.lock().expect("no panic holds it").push((seed, violation)),
                Err(_) => failures.lock().expect("no panic holds it").push((seed, "panicked".to_owned())),
            }
        }
    });
    let failures = failures.into_inner().expect("no panic holds it");
    for (seed, violation) in &failures {
        println!(
            "seed {seed}: {violation}\n  to repeat it: SIMULATION_SEED={seed} cargo test -p tidegate-tests --test simulation"
        );
    }
    assert!(failures.is_empty(), "{} of {seeds} seeds failed", failures.len());
    let all: Vec<Events> = all.into_inner().expect("no panic holds it");
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in all.iter().flat_map(Events::counts) {
        *totals.entry(name).or_default() += count;
    }
    println!("{seeds} seeds: {totals:?}");
    // A simulation that never meets what it is there for proves nothing.
    let unmet: Vec<_> = totals.iter().filter(|(_, count)| **count == 0).collect();
    assert!(seeds < 100 || unmet.is_empty(), "never happened in {seeds} seeds: {unmet:?}");
}

/// Each thread has runs of its own, so what one seed does never depends on another.
fn on_all_threads(work: impl Fn() + Sync) {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(&work);
        }
    });
}
