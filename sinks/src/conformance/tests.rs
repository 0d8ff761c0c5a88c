use std::collections::BTreeMap;
use std::time::Duration;

use object_store::memory::InMemory;

use super::*;
use crate::faulty::Faults;
use crate::memory::Memory;
use crate::settings::SinkSettings;
use crate::store::{Object, Store};

mod ledger;

use ledger::LedgerPlace;

#[async_trait]
impl Place for Memory {
    fn sink(&self, _options: Options) -> Arc<dyn Sink> {
        Arc::new(self.clone())
    }

    async fn visible(&self) -> BTreeMap<String, Bytes> {
        let mut visible = Self::visible(self);
        visible.retain(|path, _| path.contains('/'));
        visible
    }

    async fn plant(&self, path: &str, bytes: Bytes) {
        Self::plant(self, path, bytes);
    }

    async fn take(&self, path: &str) {
        Self::take(self, path);
    }
}

#[tokio::test(start_paused = true)]
async fn memory_conforms() {
    run(|_| async { Arc::new(Memory::new("job")) as Arc<dyn Place> }).await;
}

#[tokio::test]
async fn local_files_conform() {
    let folder = tempfile::tempdir().unwrap();
    run(|case| {
        let url = format!("file://{}", folder.path().join(case).display());
        let place = ChainPlace::open(SinkSettings::new("job", url)).unwrap();
        async { Arc::new(place) as Arc<dyn Place> }
    })
    .await;
}

fn bucket() -> ChainPlace {
    let bucket = Arc::new(InMemory::new());
    let store = |root: &str| -> Arc<dyn Store> { Arc::new(Object::new(bucket.clone(), "memory://", root)) };
    let settings = SinkSettings::new("job", "memory://");
    ChainPlace::new(settings, store("warehouse"), store("warehouse/_tidegate/job"))
}

#[tokio::test(start_paused = true)]
async fn files_in_a_bucket_conform() {
    run(|_| async { Arc::new(bucket()) as Arc<dyn Place> }).await;
}

/// What a bad day looks like; longest delays are far below the copy grace.
const BAD: Faults = Faults {
    refuse: 0.05,
    lose_answer: 0.08,
    late: 0.05,
    delay: 0.3,
    tear: 0.2,
    longest: Duration::from_millis(200),
};

#[tokio::test(start_paused = true)]
async fn files_in_a_faulty_bucket_conform() {
    // More seeds are worth a night; each finds the same as ever.
    let seeds = std::env::var("TIDEGATE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..seeds.unwrap_or(8) {
        println!("seed {seed}");
        run(|_| async move { Arc::new(bucket().with_faults(BAD, seed)) as Arc<dyn Place> }).await;
    }
}

fn ledger(faults: Option<(Faults, u64)>) -> LedgerPlace {
    let bucket = Arc::new(InMemory::new());
    let store = |root: &str| -> Arc<dyn Store> { Arc::new(Object::new(bucket.clone(), "memory://", root)) };
    LedgerPlace::new(store("staging"), store("state"), faults)
}

#[tokio::test(start_paused = true)]
async fn a_table_of_transactions_conforms() {
    run(|_| async { Arc::new(ledger(None)) as Arc<dyn Place> }).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_of_transactions_whose_answers_are_lost_conforms() {
    for seed in 0..4 {
        println!("seed {seed}");
        run(|_| async move { Arc::new(ledger(Some((BAD, seed)))) as Arc<dyn Place> }).await;
    }
}

/// A seed that has found a mistake must find it again.
#[tokio::test(start_paused = true)]
async fn equal_seeds_give_equal_runs() {
    let run = async |seed| {
        let begun = tokio::time::Instant::now();
        let place = Arc::new(bucket().with_faults(BAD, seed));
        histories::random_histories_hold_every_record_once(place.clone()).await;
        let state = place.chain(Options::default()).load().await.unwrap().unwrap();
        (state.n, state.partitions.clone(), begun.elapsed())
    };
    let runs = [run(5).await, run(5).await, run(6).await];
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
