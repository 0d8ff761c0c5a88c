//! Proof that the store creates an object at most once, on which the whole
//! guarantee rests: by a race before the first record, and from then on by what the
//! store shows of the checkpoints that this process has created.
//!
//! A server that looks first and writes later passes every test that asks one question after another. So does
//! one whose gateways do not know of each other. Only many creators at the same moment find it out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Chain, lock, paths};
use crate::model::error::{Error, Kind};
use crate::store::{Created, Labels, Store};

/// Creators of one object at the same time.
const CREATORS: usize = 16;
/// Races, each for an object of its own.
const ROUNDS: usize = 3;
/// Races that may have no winner, as when the answer to the winner was lost and its repeated request refused.
const UNDECIDED: usize = 5;
/// The own checkpoints that are compared with what the store shows.
const WATCHED: usize = 2;
/// How old an object of a race is at least that its process cannot have removed.
pub(super) const LEFT_FOR: Duration = Duration::from_secs(3600);

/// What a proof has found out beside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// A listing shows the same ETag for an object as its creation has answered.
    pub lists_tags: bool,
    /// The store keeps every version of an object.
    pub keeps_versions: bool,
}

/// A checkpoint that this process has created.
#[derive(Debug)]
struct Own {
    n: u64,
    bytes: Bytes,
    tag: Option<String>,
}

/// The newest of them, with what they can be compared by.
#[derive(Debug, Default)]
pub(super) struct Watch {
    lists_tags: bool,
    /// Nothing but reading it tells whether a checkpoint is what was created.
    reads_back: bool,
    own: VecDeque<Own>,
}

impl Watch {
    pub(super) fn created(&mut self, n: u64, bytes: Bytes, labels: Labels) {
        self.own.retain(|own| own.n < n);
        while self.own.len() >= WATCHED {
            self.own.pop_front();
        }
        self.own.push_back(Own { n, bytes, tag: labels.tag });
    }

    pub(super) fn compare_lists(&mut self) {
        (self.lists_tags, self.reads_back) = (true, false);
    }

    pub(super) fn read_back(&mut self) {
        (self.lists_tags, self.reads_back) = (false, true);
    }

    fn get(&self, n: u64) -> Option<&Own> {
        self.own.iter().find(|own| own.n == n)
    }

    /// One whose listed ETag is not the one that its creation answered.
    pub(super) fn changed_in(&self, listed: &[(u64, Option<String>)], retained: u64) -> Option<u64> {
        let highest = listed.iter().map(|(n, _)| *n).max()?;
        listed.iter().find_map(|(n, tag)| {
            // Further below, it may have been collected, and a late request have filled the slot again.
            let own = self.get(*n).filter(|_| self.lists_tags && highest < n.saturating_add(retained))?;
            let changed = matches!((&own.tag, tag), (Some(own), Some(listed)) if own != listed);
            changed.then_some(*n)
        })
    }
}

impl Chain {
    /// Proves that the place of the checkpoints creates an object at most once, unless this process has done
    /// so. Whatever is put on the chain waits for it. Leaves nothing behind.
    ///
    /// Errors: `Refused`, when it does not; otherwise those of the store.
    pub async fn prove(&self) -> Result<Proof, Error> {
        self.proof.get_or_try_init(|| self.race()).await.cloned()
    }

    pub(super) async fn race(&self) -> Result<Proof, Error> {
        let folder = format!("{}/{}", paths::PROBE, uuid::Uuid::now_v7().simple());
        let raced = race(&self.state, &folder).await;
        self.state.remove_folder(&folder).await;
        self.state.remove_folder(paths::PROBE).await;
        let proof = raced?;
        if proof.lists_tags {
            lock(&self.watch).compare_lists();
        } else if self.state.is_copying() {
            tracing::debug!(
                store = %self.state,
                "its listings show no ETags, or others than it answers: checkpoints are read back instead"
            );
            lock(&self.watch).read_back();
        }
        Ok(proof)
    }

    /// Compares the own checkpoints with a listing of the slots.
    ///
    /// Errors: `Refused`.
    pub(super) fn check_listed(&self, listed: &[(u64, Option<String>)]) -> Result<(), Error> {
        match lock(&self.watch).changed_in(listed, self.settings.retained) {
            Some(n) => Err(self.not_atomic(n)),
            None => Ok(()),
        }
    }

    /// Compares a slot that was read with what this process has put there, if it has.
    ///
    /// Errors: `Refused`.
    pub(super) fn check_read(&self, n: u64, bytes: &Bytes) -> Result<(), Error> {
        let changed = lock(&self.watch).get(n).is_some_and(|own| own.bytes != *bytes);
        if changed { Err(self.not_atomic(n)) } else { Ok(()) }
    }

    /// Reads back the own checkpoint that another one is about to follow, where
    /// listings do not tell whether it is still the one that was created.
    ///
    /// Errors: `Refused`; otherwise those of the store.
    pub(super) async fn check_before(&self, n: u64) -> Result<(), Error> {
        let before = n.saturating_sub(1);
        let is_own = {
            let watch = lock(&self.watch);
            watch.reads_back && watch.get(before).is_some()
        };
        // One that is gone was collected, or the next listing tells.
        if is_own
            && let Some(bytes) = self.state.get(&paths::checkpoint(before)).await?
            && let Err(changed) = self.check_read(before, &bytes)
        {
            // Where the chain has gone on that far, it may have been collected, and a late
            // request have filled the slot again.
            let highest = self.checkpoint_numbers().await?.into_iter().max();
            if highest.is_some_and(|highest| highest < before.saturating_add(self.settings.retained)) {
                return Err(changed);
            }
        }
        Ok(())
    }

    fn not_atomic(&self, n: u64) -> Error {
        let context = format!(
            "this store is not atomic: {}/{} was created by this process, and other bytes have taken its place. Another \
             replica has been told that it had created the same checkpoint, so records may be doubled. Stop all \
             replicas, look with `tidegate audit`, and keep checkpoints where an object is created only if absent \
             (checkpoint.state; the manual's page on stores)",
            self.state,
            paths::checkpoint(n)
        );
        Error::new(Kind::Refused, context)
    }
}

async fn race(store: &Arc<dyn Store>, folder: &str) -> Result<Proof, Error> {
    let mut paths = Vec::new();
    let raced = rounds(store, folder, &mut paths).await;
    let cleaned = join_all(paths.iter().map(|path| store.delete(path))).await;
    let proof = raced?;
    cleaned.into_iter().collect::<Result<(), _>>()?;
    Ok(proof)
}

async fn rounds(store: &Arc<dyn Store>, folder: &str, paths: &mut Vec<String>) -> Result<Proof, Error> {
    let mut proof = None;
    let (mut decided, mut undecided) = (0, 0);
    while decided < ROUNDS {
        let path = format!("{folder}/{decided}-{undecided}.json");
        paths.push(path.clone());
        match round(store, &path).await? {
            Some(labels) => {
                decided += 1;
                if proof.is_none() {
                    proof = Some(look(store, folder, &path, labels).await?);
                }
            }
            None if undecided < UNDECIDED => undecided += 1,
            None => {
                let context =
                    format!("{store} tells none of {CREATORS} creators of one object that it has created it");
                return Err(Error::new(Kind::Retry, context));
            }
        }
    }
    Ok(proof.unwrap_or_default())
}

/// What the winner was told; none, where nobody was told to be it.
async fn round(store: &Arc<dyn Store>, path: &str) -> Result<Option<Labels>, Error> {
    let barrier = Arc::new(Barrier::new(CREATORS));
    let body = |creator: usize| Bytes::from(format!("{path} by creator {creator:02}"));
    let mut creators = JoinSet::new();
    for creator in 0..CREATORS {
        let (store, path, barrier) = (Arc::clone(store), path.to_owned(), Arc::clone(&barrier));
        let bytes = body(creator);
        creators.spawn(async move {
            barrier.wait().await;
            (creator, store.create_briefly(&path, bytes).await)
        });
    }
    let mut winners = Vec::new();
    let mut failed = None;
    while let Some(done) = creators.join_next().await {
        let ended =
            |source| Error::new(Kind::Retry, format!("a creator of {path} ended")).with_source(source);
        match done.map_err(ended)? {
            (creator, Ok((Created::Created, labels))) => winners.push((creator, labels)),
            (_, Ok((Created::Exists, _))) => {}
            (_, Err(error)) => failed = Some(error),
        }
    }
    let refuse = |what: String| {
        let context = format!(
            "{store} is not atomic, so it is no place for checkpoints: {what}. Two replicas would overwrite each other's \
             checkpoints, and double or lose records. Use a store that creates an object only if absent, or a newer version \
             of this one (the manual's page on stores)"
        );
        Err(Error::new(Kind::Refused, context))
    };
    if winners.len() > 1 {
        return refuse(format!(
            "of {CREATORS} that created one object at the same time, {} were told that they had",
            winners.len()
        ));
    }
    if let Some(error) = failed {
        return Err(error);
    }
    // All bodies are as long as this one.
    let found = store.get_range(path, 0..body(0).len() as u64).await?;
    match (winners.pop(), found) {
        (Some((winner, labels)), Some(found)) if found == body(winner) => Ok(Some(labels)),
        (Some(_), found) => refuse(format!(
            "of {CREATORS} that created one object at the same time, one was told that it had, and {} is there",
            if found.is_some() { "another one's" } else { "nothing" }
        )),
        (None, Some(found)) if (0..CREATORS).any(|creator| found == body(creator)) => Ok(None),
        (None, _) => refuse(format!(
            "{CREATORS} that created one object at the same time were told that it exists, and none of theirs is there"
        )),
    }
}

/// What else the store shows of an object that was created.
async fn look(store: &Arc<dyn Store>, folder: &str, path: &str, labels: Labels) -> Result<Proof, Error> {
    let listed = store.list_tagged(folder, folder).await?;
    let Some((_, tag)) = listed.into_iter().find(|(entry, _)| entry.path == path) else {
        let context =
            format!("{store} is no place for a sink: a listing does not show what was just written");
        return Err(Error::new(Kind::Config, context));
    };
    Ok(Proof { lists_tags: tag.is_some() && tag == labels.tag, keeps_versions: labels.version.is_some() })
}
