//! Savepoints by the clock, made by whichever replica is first, and the only ones
//! that are ever removed by themselves.
//!
//! Time is cut into slots of `savepoints.every`, the same for all replicas. The id
//! of a periodic savepoint is `savepoint-periodic-<job>-<slot>`, so each slot has
//! at most one, and no other job's, nor a person's, is mistaken for one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::RngExt;
use tidegate_sinks::store::{self, Store};
use tidegate_sinks::{Chain, Sink};
use tokio::task::JoinHandle;

use super::folder::{CHECKPOINT, Folder, HASH};
use super::{default_to, store_options, uri};
use crate::config::Config;
use crate::error::RunError;
use crate::metrics;
use crate::tasks;

const PREFIX: &str = "savepoint-periodic-";
const SLOT: &str = "%Y%m%dT%H%M%SZ";
/// Replicas look at a slot at different times within this, so that mostly one of them finds work.
const STAGGER_MAX: Duration = Duration::from_secs(10);

/// Makes periodic savepoints until it is dropped. One that is cut short by that is refused by every reader,
/// and removed with the ones that are past `savepoints.retained`.
#[derive(Debug)]
pub struct Periodic(JoinHandle<()>);

impl Drop for Periodic {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Periodic {
    /// `None` when the job asks for none.
    pub fn start(config: Arc<Config>, sink: Arc<Chain>) -> Option<Self> {
        let every = config.savepoints.every;
        if every.is_zero() {
            return None;
        }
        Some(Self(tasks::spawn("periodic-savepoints", async move {
            loop {
                let now = Timestamp::now();
                let slot = next_slot(now, every);
                let stagger = rand::rng().random_range(Duration::ZERO..=STAGGER_MAX.min(every / 4));
                tokio::time::sleep(slot.duration_since(now).unsigned_abs() + stagger).await;
                if let Err(error) = make(&config, &sink, slot).await {
                    metrics::ERRORS.counter().increment(1);
                    tracing::warn!(%error, "periodic savepoint; the next one is tried in its turn");
                }
            }
        })))
    }
}

/// The first moment after `now` that is a whole multiple of `every` in whole seconds, which ids can tell.
pub(super) fn next_slot(now: Timestamp, every: Duration) -> Timestamp {
    let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX).max(1);
    let next = (now.as_millisecond().div_euclid(1_000).div_euclid(every) + 1).saturating_mul(every);
    Timestamp::from_second(next).unwrap_or(Timestamp::MAX)
}

pub(super) fn periodic_id(job: &str, slot: Timestamp) -> String {
    format!("{PREFIX}{job}-{}", slot.strftime(SLOT))
}

/// Whether a name is that of a periodic savepoint of the job.
fn is_periodic(name: &str, job: &str) -> bool {
    let slot = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(job)?.strip_prefix('-'));
    slot.is_some_and(|slot| slot.len() == 16 && jiff::civil::DateTime::strptime(SLOT, slot).is_ok())
}

/// The savepoint of a slot, unless another replica has begun it, or nothing has changed since the one before.
/// Then removes those that are past `savepoints.retained`.
pub(super) async fn make(config: &Config, sink: &Chain, slot: Timestamp) -> Result<bool, RunError> {
    let (to, id) = (default_to(config), periodic_id(&config.job, slot));
    let options = store_options(config, &to);
    let folder = Folder::open(&uri(&to, &id), &options, config.timeouts.retries())?;
    if folder.size(CHECKPOINT).await?.is_some() {
        return Ok(false);
    }
    let store = store::open(&to, &options, config.timeouts.retries())?;
    let mut names = store.list_folders("").await?;
    names.retain(|name| is_periodic(name, &config.job));
    names.sort_unstable();
    let Some(state) = sink.load().await? else { return Ok(false) };
    if let Some(last) = names.last() {
        match Folder::within(&store, &to, last).read_manifest().await {
            Ok(manifest) if manifest.checkpoint == state.n => return Ok(false),
            Ok(_) | Err(RunError::Refused(..)) => {}
            Err(error) => return Err(error),
        }
    }
    folder.create(sink, config, &id).await?;
    names.push(id);
    retain(&store, &to, &names, config.savepoints.retained).await?;
    Ok(true)
}

/// Removes what is older than the newest `retained` complete ones. `names` ascend.
async fn retain(store: &Arc<dyn Store>, to: &str, names: &[String], retained: u64) -> Result<(), RunError> {
    if retained == 0 {
        return Ok(());
    }
    let mut kept = 0;
    for name in names.iter().rev() {
        let folder = Folder::within(store, to, name);
        if kept < retained {
            kept += u64::from(folder.size(HASH).await?.is_some());
            continue;
        }
        match folder.dispose().await {
            // Another replica was faster, or a person has put something of their own into it.
            Err(error @ RunError::Refused(..)) => tracing::warn!(%error, "periodic savepoint not removed"),
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::tests::scene::{Scene, path, read_at};
    use super::*;

    fn slot(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn names(scene: &Scene) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path(&default_to(&scene.config)))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_slot_has_one_savepoint_and_an_unchanged_job_none() {
        let scene = Scene::with_commits(1).await;
        assert!(make(&scene.config, &scene.sink, slot(0)).await.unwrap());
        scene.commit().await;
        assert!(!make(&scene.config, &scene.sink, slot(0)).await.unwrap());
        assert!(make(&scene.config, &scene.sink, slot(1)).await.unwrap());
        assert!(!make(&scene.config, &scene.sink, slot(2)).await.unwrap());
        let names = names(&scene);
        assert_eq!(
            names,
            ["savepoint-periodic-orders-20270115T080000Z", "savepoint-periodic-orders-20270115T080001Z"]
        );
        read_at(&uri(&default_to(&scene.config), &names[1])).await.unwrap();
    }

    #[tokio::test]
    async fn only_periodic_ones_of_the_job_are_past_retention() {
        let mut scene = Scene::with_commits(0).await;
        scene.config.savepoints.retained = 2;
        let to = default_to(&scene.config);
        let others = [
            "savepoint-mine",
            "savepoint-periodic-orders-2-20200101T000000Z",
            "savepoint-periodic-orders-old",
        ];
        for id in others {
            super::super::create(&scene.sink, &scene.config, &to, id).await.unwrap();
        }
        // Half-made, and older than what is kept.
        let cut = periodic_id("orders", slot(-5));
        super::super::create(&scene.sink, &scene.config, &to, &cut).await.unwrap();
        fs::remove_file(path(&uri(&to, &cut)).join(HASH)).unwrap();
        for second in 0..5 {
            scene.commit().await;
            assert!(make(&scene.config, &scene.sink, slot(second)).await.unwrap());
        }
        let kept = [periodic_id("orders", slot(3)), periodic_id("orders", slot(4))];
        let mut expected: Vec<_> = others.iter().map(|name| (*name).to_owned()).chain(kept).collect();
        expected.sort();
        assert_eq!(names(&scene), expected);
    }

    proptest! {
        #[test]
        fn slots_are_the_same_for_all_replicas(now in 0..4_000_000_000_000_i64, every in 1_000..100_000_000_u64, later in 0..1_000_i64) {
            let every = Duration::from_millis(every);
            let at = |millis| Timestamp::from_millisecond(millis).unwrap();
            let slot = next_slot(at(now), every);
            prop_assert!(slot > at(now));
            prop_assert!(slot.duration_since(at(now)).unsigned_abs() <= every);
            prop_assert_eq!(slot.subsec_nanosecond(), 0);
            // Who looks a little later, but before the slot, finds the same one.
            if at(now + later) < slot {
                prop_assert_eq!(next_slot(at(now + later), every), slot);
            }
        }
    }
}
