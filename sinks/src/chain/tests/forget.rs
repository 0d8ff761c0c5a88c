use super::*;
use crate::model::position::Position;

/// A chain of visible commits; those of the newest checkpoint are not dropped from it.
async fn chain(sink: &Chain, commits: usize) -> Vec<Arc<Checkpoint>> {
    let mut states = vec![sink.begin_chain(genesis()).await.unwrap()];
    for _ in 0..commits {
        let state = commit_one(sink, states.last().unwrap()).await;
        sink.publish(&state, &state.unpublished).await.unwrap();
        states.push(state);
    }
    states.push(sink.settle(states.last().unwrap().clone()).await.unwrap());
    states
}

/// Takes every step of a `forget`.
pub(crate) async fn commit_and_forget(sink: &Chain) {
    chain(sink, 10).await;
    assert_eq!(sink.forget(Timestamp::MAX, false).await.unwrap().removed, 2);
}

async fn stored(sink: &Chain) -> usize {
    paths_in(&*sink.state, paths::COMMITS).await.len()
}

/// The offsets that the base and the commits beside it cover.
async fn covered(sink: &Chain) -> (i64, usize) {
    let state = sink.load().await.unwrap().unwrap();
    let base = state.base.as_ref().map_or(0, |base| base.partitions[&partition()].next);
    (base, sink.commits(&state).await.unwrap().len())
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_counted_once_and_its_files_stay() {
    let sink = sink_with(|settings| settings.copy_grace = Duration::from_secs(60));
    let states = chain(&sink, 20).await;
    let would = sink.forget(Timestamp::now(), true).await.unwrap();
    assert_eq!((covered(&sink).await, stored(&sink).await), ((0, 20), 20), "a dry run changes nothing");
    let done = sink.forget(Timestamp::now(), false).await.unwrap();
    let plan =
        |forgetting: &Forgetting| (forgetting.commits.clone(), forgetting.files.clone(), forgetting.removed);
    assert_eq!(plan(&done), plan(&would));
    assert_eq!((done.commits.len(), done.files.len(), done.rows, done.removed), (20, 20, 20, 12));
    assert_eq!((covered(&sink).await, stored(&sink).await), ((20, 0), 8));
    assert_eq!(sink.visible_files([]).await.unwrap().len(), 20);
    assert!(done.usable_from.unwrap() > Timestamp::now(), "a copy may be running");

    let again = sink.forget(Timestamp::now(), false).await.unwrap();
    assert_eq!((again.commits.len(), again.removed, again.checkpoint), (0, 0, done.checkpoint));
    assert_eq!(again.base.unwrap().commits, 20);
    // Its publisher hung, and stores the commit once more.
    let late = sink.find_commit(&done.commits[19]).await.unwrap().unwrap();
    let late = Commit { id: done.commits[0].clone(), ..late };
    sink.state.put(&paths::commit(&late.id), versioned::write(&late).unwrap()).await.unwrap();
    assert_eq!(covered(&sink).await, (20, 0));
    assert_eq!(sink.forget(Timestamp::now(), false).await.unwrap().removed, 1);
    let state = commit_one(&sink, &sink.load().await.unwrap().unwrap()).await;
    assert_eq!(covered(&sink).await, (20, 1));
    assert_eq!(state.check_remembered(&states[5].position()).unwrap_err().kind, Kind::Refused);
    assert!(state.check_remembered(&Position(BTreeMap::from([(partition(), 20)]))).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_needs_is_not_forgotten() {
    let sink = sink();
    let mut state = sink.begin_chain(genesis()).await.unwrap();
    for _ in 0..3 {
        state = commit_one(&sink, &state).await;
    }
    assert!(sink.forget(Timestamp::MAX, false).await.unwrap().commits.is_empty(), "nothing is visible");
    sink.publish(&state, &state.unpublished[..2]).await.unwrap();
    let mut body = rules::housekeeping_on(&state, &Default::default(), &Default::default(), Timestamp::now());
    body.unsent = vec![body.unpublished[1].clone()];
    body.unpublished.remove(0);
    sink.store_next(&Arc::new(body)).await.unwrap().unwrap();
    let done = sink.forget(Timestamp::UNIX_EPOCH, false).await.unwrap();
    assert!(done.commits.is_empty(), "all are younger");
    let done = sink.forget(Timestamp::MAX, false).await.unwrap();
    assert_eq!(done.commits, [state.unpublished[0].clone()]);
}

/// A replica, or another `forget`, is faster each time; and answers are lost.
#[tokio::test(start_paused = true)]
async fn two_that_forget_at_once_agree() {
    let sink = sink();
    chain(&sink, 12).await;
    let other = reopen(&sink, |settings| settings.seed += 1);
    let writer = reopen(&sink, |settings| settings.seed += 2);
    let write = async {
        let mut state = writer.load().await.unwrap().unwrap();
        for _ in 0..5 {
            state = commit_one(&writer, &state).await;
        }
    };
    let (one, two, ()) =
        tokio::join!(sink.forget(Timestamp::MAX, false), other.forget(Timestamp::MAX, false), write);
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.base.unwrap().commits == 12 && two.base.unwrap().commits == 12);
    assert_eq!(covered(&sink).await, (12, 5));
}

/// The newest commits are what tells a chain that has been cut short.
#[tokio::test(start_paused = true)]
async fn a_shortened_chain_is_recognized_though_all_is_forgotten() {
    let sink = sink();
    let states = chain(&sink, 3).await;
    sink.forget(Timestamp::MAX, false).await.unwrap();
    for n in 3..=states.last().unwrap().n + 1 {
        sink.state.delete(&paths::checkpoint(n)).await.unwrap();
    }
    let refused = reopen(&sink, |_| {}).load().await.unwrap_err();
    assert!(refused.context.contains("newer checkpoints were deleted"), "{refused}");
}
