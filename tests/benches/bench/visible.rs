//! A reader that lists a table's folder all the time, and so knows when each file has become visible.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use jiff::Timestamp;

use super::verify;

const LOOK: Duration = Duration::from_millis(5);

/// The column in which the product puts a record's timestamp; see `format.metadata`.
const TIMESTAMP: &str = "_timestamp";

#[derive(Debug)]
pub(crate) struct Watcher {
    is_done: Arc<AtomicBool>,
    looking: JoinHandle<HashMap<PathBuf, i64>>,
}

/// When a record was made and when it was visible, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) id: i64,
    pub(crate) made: i64,
    pub(crate) visible: i64,
}

impl Seen {
    pub(crate) fn latency_seconds(&self) -> f64 {
        (self.visible - self.made) as f64 / 1e3
    }
}

impl Watcher {
    pub(crate) fn start(folder: &Path) -> Self {
        let (is_done, folder) = (Arc::new(AtomicBool::new(false)), folder.to_owned());
        let done = is_done.clone();
        let looking = std::thread::spawn(move || {
            let mut seen = HashMap::new();
            while !done.load(Ordering::Relaxed) {
                for path in verify::files(&folder).unwrap_or_default() {
                    seen.entry(path).or_insert_with(|| Timestamp::now().as_millisecond());
                }
                std::thread::sleep(LOOK);
            }
            seen
        });
        Self { is_done, looking }
    }

    /// Every record of every file that was seen.
    pub(crate) fn end(self) -> Result<Vec<Seen>> {
        self.is_done.store(true, Ordering::Relaxed);
        let files =
            self.looking.join().map_err(|_| anyhow::anyhow!("the thread that looks has ended by a panic"))?;
        let mut records = Vec::new();
        for (path, visible) in files {
            for batch in verify::batches(File::open(&path)?)? {
                let batch = batch?;
                let column =
                    |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
                let ids = column("id")?.as_primitive::<Int64Type>();
                let made = column(TIMESTAMP)?.as_primitive::<TimestampMillisecondType>();
                let seen = ids.values().iter().zip(made.values());
                records.extend(seen.map(|(&id, &made)| Seen { id, made, visible }));
            }
        }
        Ok(records)
    }
}
