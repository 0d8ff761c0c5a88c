//! Others who work on the same store: a collector, and a user who moves finals away.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate::replica::control::Change;
use tidegate_sinks::{Checkpoint, FinalName, Retracted, Sink};
use tokio::time::Instant;

use super::gate::Gate;
use super::place::Place;
use super::scenario::COPY_GRACE;
use super::wrong::{Impatience, Wrong};

/// Asks for things at any time.
pub(super) async fn ask(place: Place) {
    loop {
        tokio::time::sleep(place.chance.millis(200..3_000)).await;
        let changes = [Change::Pause, Change::Resume, Change::Checkpoint, Change::Speed(Some(1_000))];
        if let Some(change) = place.chance.pick(&changes) {
            place.ask(change);
            place.world().witness.events.asked += 1;
        }
    }
}

/// Removes leftovers and old checkpoints for ever, sometimes by a state that is long out of date.
pub(super) async fn collect(place: Place) {
    let sink = place.open(&Gate::default(), "collector");
    loop {
        tokio::time::sleep(place.chance.millis(20..place.scenario.collect_every.as_millis() as u64)).await;
        let Ok(Some(state)) = sink.load().await else { continue };
        if place.chance.happens(0.2) {
            tokio::time::sleep(place.chance.millis(0..10_000)).await;
        }
        if let Ok(collected) = sink.collect(&state, false).await {
            place.world().witness.events.collected += collected.attempts.len() as u64;
        }
    }
}

/// Moves finals away as soon as the rule allows: listed first, then found free in a loaded state; and where
/// publishing is a copy, free for as long as a copy may take.
pub(super) async fn use_finals(place: Place) {
    let sink = place.open(&Gate::default(), "user");
    let is_made = |impatience| matches!(place.wrong, Some(Wrong::Users(made)) if made == impatience);
    let mut free_since: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        tokio::time::sleep(place.chance.millis(500..4_000)).await;
        let (users, finals) = {
            let world = place.world();
            (world.users, world.witness.finals())
        };
        if !place.scenario.has_users || users.are_stopped {
            continue;
        }
        let Ok(Some(state)) = sink.load().await else { continue };
        let is_copying = place.scenario.is_copying;
        let too_early = is_made(Impatience::Dropping { is_copying });
        for path in finals.into_iter().filter(|path| is_free(&state, path) || too_early) {
            let since = *free_since.entry(path.clone()).or_insert_with(Instant::now);
            let waits = is_copying && !too_early && !is_made(Impatience::Copies);
            let waited = !waits || since.elapsed() > COPY_GRACE;
            if waited && place.chance.happens(0.5) {
                let mut world = place.world();
                if world.users != users {
                    break;
                }
                world.witness.taken(&path);
                world.remove(&path);
            }
        }
    }
}

fn is_free(state: &Arc<Checkpoint>, path: &str) -> bool {
    let Some(name) = path.rsplit('/').next().and_then(FinalName::parse) else { return false };
    !state.unpublished.contains(&name.commit) && !state.retracted.contains(&Retracted::Commit(name.commit))
}
