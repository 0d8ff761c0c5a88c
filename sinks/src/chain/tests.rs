//! What is particular to sinks of files: what lies where, what is refused, and what
//! a reader of the folders can trust.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{Timestamp, ToSpan};
use object_store::memory::InMemory;

use super::*;
use crate::conformance::stage;
use crate::model::checkpoint::{PartitionState, Retracted};
use crate::model::commit::FileKind;
use crate::model::position::{Delta, Span, TopicPartition};
use crate::model::versioned;
use crate::open::{open, open_on};
use crate::settings::{Clock, MAX_RETAINED, Tables};
use crate::store::{Created, Entry, Local, Moved, Object};

mod chains;
pub(crate) mod forget;
mod limit;
mod passing;
mod proof;
mod visible;

/// A sink in memory, and the two stores it lies in.
fn sink_with(change: impl FnOnce(&mut SinkSettings)) -> Chain {
    let bucket = Arc::new(InMemory::new());
    let store = |root: &str| Arc::new(Object::new(bucket.clone(), "memory://", root));
    let mut settings = SinkSettings::new("job", "memory://");
    settings.backoff = Duration::from_millis(100);
    change(&mut settings);
    open_on(settings, store("w"), store("w/_tidegate/job")).unwrap()
}

fn sink() -> Chain {
    sink_with(|_| {})
}

/// The same with other settings, as another process.
fn reopen(sink: &Chain, change: impl FnOnce(&mut SinkSettings)) -> Chain {
    let mut settings = sink.settings.clone();
    change(&mut settings);
    open_on(settings, sink.data.clone(), sink.state.clone()).unwrap()
}

fn partition() -> TopicPartition {
    TopicPartition::new("topic", 0)
}

fn genesis() -> Genesis {
    let start = PartitionState { start: 0, next: 0, rows: 0 };
    Genesis { partitions: BTreeMap::from([(partition(), start)]), ..Genesis::default() }
}

/// Announces and stages one offset after `state`, in one file.
async fn attempt(sink: &Chain, state: &Checkpoint) -> Arc<Commit> {
    let from = state.position().0;
    let begin = Begin::new(CommitId::new(), state.incarnation, from.clone());
    sink.begin(&begin).await.unwrap();
    let at = from[&partition()];
    let rows = BTreeMap::from([(partition(), 1)]);
    let bytes = Bytes::from_static(b"rows");
    let file = stage(sink, &begin, FileKind::Data, 0, "t/day=1/", bytes, rows.clone()).await.unwrap();
    Arc::new(Commit {
        delta: Delta(BTreeMap::from([(partition(), Span { from: at, to: at + 1 })])),
        rows,
        files: vec![file],
        ..Commit::of(begin, "job", Timestamp::UNIX_EPOCH)
    })
}

async fn commit_one(sink: &Chain, state: &Arc<Checkpoint>) -> Arc<Checkpoint> {
    let commit = attempt(sink, state).await;
    match sink.commit(state.clone(), commit, None).await.unwrap() {
        Outcome::Committed(state) => state,
        other => panic!("{other:?}"),
    }
}

async fn paths_in(store: &dyn Store, folder: &str) -> Vec<String> {
    store.list(folder).await.unwrap().into_iter().map(|entry| entry.path).collect()
}
