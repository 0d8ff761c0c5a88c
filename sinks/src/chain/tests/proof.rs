//! Stores that do not create an object at most once, and what is believed of those that do.

use super::passing::{Instead, Passing};
use super::*;
use crate::chain::proof::Watch;
use crate::store::Labels;

/// Looks first and writes later, as several servers do that speak the protocol of S3.
#[derive(Debug)]
struct LooksFirst;

#[async_trait]
impl Instead for LooksFirst {
    async fn create(&self, inner: &dyn Store, path: &str, bytes: Bytes) -> Result<Created, Error> {
        if inner.head(path).await?.is_some() {
            return Ok(Created::Exists);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        inner.put(path, bytes).await.map(|()| Created::Created)
    }
}

fn looks_first(object: Object) -> Arc<dyn Store> {
    Arc::new(Passing { inner: Arc::new(object), instead: LooksFirst })
}

/// A sink of a process that has proved nothing yet.
fn unproven(state: Arc<dyn Store>) -> Chain {
    let sink = sink();
    let opened = open_on(sink.settings.clone(), sink.data.clone(), state).unwrap();
    Chain { proof: OnceCell::new(), ..opened }
}

#[tokio::test(start_paused = true)]
async fn no_chain_is_begun_where_a_store_looks_first_and_writes_later() {
    let object = Object::new(Arc::new(InMemory::new()), "memory://", "w");
    let state: Arc<dyn Store> = looks_first(object);
    let sink = unproven(state.clone());
    let refused = sink.prove().await.unwrap_err();
    assert_eq!(refused.kind, Kind::Refused);
    assert!(
        refused.context.contains("is not atomic") && refused.context.contains("16 were told"),
        "{refused}"
    );
    // Whoever forgets to ask is stopped all the same.
    assert_eq!(sink.begin_chain(genesis()).await.unwrap_err().kind, Kind::Refused);
    assert!(state.list("").await.unwrap().is_empty(), "the race leaves nothing behind");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_creates_once_is_proved_once_and_nothing_is_left() {
    for folder in [None, Some(tempfile::tempdir().unwrap())] {
        let state: Arc<dyn Store> = match &folder {
            None => Arc::new(Object::new(Arc::new(InMemory::new()), "memory://", "w")),
            Some(folder) => Arc::new(Local::new(folder.path())),
        };
        let sink = unproven(state.clone());
        assert_eq!(sink.prove().await.unwrap().lists_tags, folder.is_none());
        assert!(state.list("").await.unwrap().is_empty());
        assert!(state.list_folders("").await.unwrap().is_empty());
        assert_eq!(sink.begin_chain(genesis()).await.unwrap().n, 1);
    }
}

/// By a listing's ETags, and where it shows none, by reading it back.
#[tokio::test(start_paused = true)]
async fn an_own_checkpoint_that_was_overwritten_is_noticed() {
    for shows_tags in [true, false] {
        let object = Object::new(Arc::new(InMemory::new()), "memory://", "w");
        let state: Arc<dyn Store> = if shows_tags { Arc::new(object) } else { looks_first(object) };
        let sink = unproven(state.clone());
        if shows_tags {
            sink.prove().await.unwrap();
        } else {
            sink.proof.set(Proof::default()).unwrap();
            lock(&sink.watch).read_back();
        }
        let first = sink.begin_chain(genesis()).await.unwrap();
        let second = commit_one(&sink, &first).await;
        let path = paths::checkpoint(second.n);
        let own = state.get(&path).await.unwrap().unwrap();
        state.put(&path, [&own[..], b" "].concat().into()).await.unwrap();
        let commit = attempt(&sink, &second).await;
        let refused = sink.commit(second.clone(), commit, None).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Refused, "{refused}");
        assert!(refused.context.contains("this store is not atomic"), "{refused}");
        assert_eq!(sink.load().await.unwrap_err().kind, Kind::Refused, "nor is it loaded");
    }
}

#[test]
fn a_slot_that_may_have_been_collected_and_filled_again_raises_no_alarm() {
    let mut watch = Watch::default();
    watch.compare_lists();
    let tag = |tag: &str| Some(tag.to_owned());
    watch.created(4, Bytes::new(), Labels { tag: tag("a"), version: None });
    watch.created(5, Bytes::new(), Labels { tag: tag("b"), version: None });
    let listed = |ghost: &str, newest: u64| [(4, tag(ghost)), (5, tag("b")), (newest, tag("x"))];
    assert_eq!(watch.changed_in(&listed("a", 6), 64), None);
    assert_eq!(watch.changed_in(&listed("ghost", 6), 64), Some(4));
    assert_eq!(watch.changed_in(&listed("ghost", 68), 64), None);
    assert_eq!(watch.changed_in(&[(4, None), (5, None)], 64), None);
    watch.created(9, Bytes::new(), Labels::default());
    assert_eq!(watch.changed_in(&listed("ghost", 9), 64), None, "only the newest two are watched");
}
