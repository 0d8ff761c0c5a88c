//! A place for sinks of any kind of table, in any store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Options, Place};
use crate::chain::{Chain, RESERVED};
use crate::faulty::{Dice, Faults, Faulty, FaultyTable};
use crate::model::error::Error;
use crate::open::table_of;
use crate::settings::SinkSettings;
use crate::sink::Sink;
use crate::store::{Failing, Store, open_plain};
use crate::table::Table;

/// See the module.
#[derive(Debug)]
pub struct ChainPlace {
    settings: SinkSettings,
    /// What the sinks use: with failpoints, and perhaps faults.
    data: Arc<dyn Store>,
    state: Arc<dyn Store>,
    /// What readers use.
    plain: Arc<dyn Store>,
    faults: Option<(Arc<Dice>, Faults)>,
    sinks: AtomicU64,
}

impl ChainPlace {
    /// The settings' URL, which is to be empty; retention is decided by each case.
    ///
    /// Errors: as those of [`crate::store::open`].
    pub fn open(settings: SinkSettings) -> Result<Self, Error> {
        let data = open_plain(&settings.url, &settings.options, settings.retries)?;
        let url = format!("{}/{RESERVED}/{}", settings.url, settings.job);
        let state = open_plain(&url, &settings.options, settings.retries)?;
        Ok(Self::new(settings, data, state))
    }

    pub fn new(mut settings: SinkSettings, data: Arc<dyn Store>, state: Arc<dyn Store>) -> Self {
        settings.retained_for = Duration::ZERO;
        settings.backoff = settings.backoff.min(Duration::from_millis(500));
        let plain = Arc::clone(&data);
        let (data, state) = (Arc::new(Failing::new(data)), Arc::new(Failing::new(state)));
        Self { settings, data, state, plain, faults: None, sinks: AtomicU64::new(0) }
    }

    /// Puts faults between the sinks and their stores.
    pub fn with_faults(mut self, faults: Faults, seed: u64) -> Self {
        let dice = Dice::new(seed);
        self.data = Arc::new(Faulty::new(self.data, faults, Arc::clone(&dice)));
        self.state = Arc::new(Faulty::new(self.state, faults, Arc::clone(&dice)));
        self.faults = Some((dice, faults));
        self
    }

    /// A sink of the place, as what it is.
    pub fn chain(&self, options: Options) -> Chain {
        let settings = SinkSettings {
            retained: options.retained,
            accept_existing_files: options.accept_existing_files,
            seed: self.sinks.fetch_add(1, Ordering::Relaxed),
            ..self.settings.clone()
        };
        let (data, state) = (Arc::clone(&self.data), Arc::clone(&self.state));
        let opened = table_of(&settings, &data).and_then(|table| {
            let table: Arc<dyn Table> = match &self.faults {
                Some((dice, faults)) => Arc::new(FaultyTable::new(table, *faults, Arc::clone(dice))),
                None => table,
            };
            Chain::new(settings, data, state, table)
        });
        opened.expect("the settings of a test are sound").proved()
    }
}

#[async_trait]
impl Place for ChainPlace {
    fn sink(&self, options: Options) -> Arc<dyn Sink> {
        Arc::new(self.chain(options))
    }

    async fn visible(&self) -> BTreeMap<String, Bytes> {
        let mut visible = BTreeMap::new();
        for entry in self.plain.list("").await.expect("readers meet no faults") {
            if entry.path.starts_with(&format!("{RESERVED}/")) {
                assert!(
                    !entry.path.ends_with(".parquet") || entry.path.contains("/rejects/"),
                    "a reader that skips no folder would take {} for data",
                    entry.path
                );
            } else if let Some(bytes) = self.plain.get(&entry.path).await.expect("readers meet no faults") {
                visible.insert(entry.path, bytes);
            }
        }
        visible
    }

    async fn plant(&self, path: &str, bytes: Bytes) {
        self.plain.put(path, bytes).await.expect("a file can be put there");
    }

    async fn take(&self, path: &str) {
        self.plain.delete(path).await.expect("a file can be taken away");
    }

    async fn calm(&self) {
        if let Some((dice, faults)) = &self.faults {
            dice.heal();
            tokio::time::sleep(faults.longest * 3).await;
        }
    }
}
