use super::passing::{Instead, Passing};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_lost_chain_is_no_fresh_start() {
    let sink = sink_with(|settings| settings.tables = Tables::Named(vec!["t".to_owned()]));
    let state = sink.begin_chain(genesis()).await.unwrap();
    let state = commit_one(&sink, &state).await;
    sink.publish(&state, &state.unpublished).await.unwrap();
    let old = attempt(&sink, &state).await;
    for path in paths_in(&*sink.state, paths::CHECKPOINTS).await {
        sink.state.delete(&path).await.unwrap();
    }
    assert_eq!(sink.load().await.unwrap_err().kind, Kind::Corrupt, "this process has seen it");
    let fresh = reopen(&sink, |_| {});
    for _ in 0..2 {
        let refused = fresh.load().await.unwrap_err();
        assert_eq!(refused.kind, Kind::Refused);
        assert!(
            refused.context.contains("--new-incarnation") && refused.context.contains("overwrite"),
            "{refused}"
        );
        // The file alone is enough.
        sink.state.delete(&paths::commit(state.commit.as_ref().unwrap())).await.unwrap();
    }
    // Overwriting is no way around: it would erase what was committed.
    let overwriting = Genesis { overwrite_tables: vec!["t".to_owned()], ..genesis() };
    let refused = fresh.begin_chain(overwriting.clone()).await.unwrap_err();
    assert!(refused.kind == Kind::Refused && refused.context.contains("--new-incarnation"), "{refused}");
    assert!(!paths_in(&*sink.data, "t").await.is_empty() && fresh.load().await.is_err());
    let accepting = reopen(&sink, |settings| settings.accept_existing_files = true);
    assert!(accepting.load().await.unwrap().is_none());
    let begun = accepting.begin_chain(genesis()).await.unwrap();
    assert_eq!((begun.n, begun.incarnation, begun.cuts.len()), (1, 2, 1));
    let mut at = begun.clone();
    at = commit_one(&accepting, &at).await;
    // A writer of the lost chain whose offsets fit by chance.
    let fenced = accepting.commit(at.clone(), old, None).await.unwrap();
    assert!(matches!(fenced, Outcome::Fenced(_)), "{fenced:?}");
}

/// Of those that can be none, some must not even be looked into.
#[tokio::test(start_paused = true)]
async fn folders_that_are_no_tables_say_nothing_about_the_job() {
    let sink = sink_with(|settings| {
        settings.tables = Tables::ByTopic { prefix: "raw_".to_owned(), suffix: String::new() };
    });
    let put = async |folder: &str| {
        let path = format!("{folder}/1-{}-000.parquet", CommitId::new());
        sink.data.put(&path, Bytes::from_static(b"others")).await.unwrap();
    };
    for folder in ["lost+found", "orders", "raw_"] {
        put(folder).await;
    }
    assert!(sink.load().await.unwrap().is_none());
    put("raw_orders").await;
    assert_eq!(sink.load().await.unwrap_err().kind, Kind::Refused);
    // Tables that were called otherwise are looked at, once there is a chain.
    let files = sink.visible_files([]).await.unwrap();
    let folders: Vec<_> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    assert_eq!(folders, ["orders", "raw_", "raw_orders"]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_read_is_named() {
    let sink = sink();
    let state = sink.begin_chain(genesis()).await.unwrap();
    let spoil = async |n: u64, text: String| {
        sink.state.put(&paths::checkpoint(n), text.into()).await.unwrap();
        let refused = reopen(&sink, |_| {}).load().await.unwrap_err();
        assert!(refused.context.contains("checkpoint"), "{refused}");
        refused
    };
    let json = |change: fn(&mut Checkpoint)| {
        let mut body = (*state).clone();
        body.n = 2;
        change(&mut body);
        serde_json::to_string(&body).unwrap()
    };
    let newer = spoil(2, json(|body| body.format = 7)).await;
    assert_eq!(newer.kind, Kind::Config);
    assert!(newer.context.contains("format 7") && newer.context.contains("knows 1"), "{newer}");
    assert_eq!(spoil(2, "{\"format\": 1".to_owned()).await.kind, Kind::Corrupt);
    assert_eq!(spoil(2, "{\"format\": 1}".to_owned()).await.kind, Kind::Corrupt);
    assert_eq!(spoil(2, String::new()).await.kind, Kind::Corrupt);
    assert_eq!(spoil(2, json(|body| body.n = 3)).await.kind, Kind::Corrupt);
    assert_eq!(spoil(2, json(|body| body.incarnation = 2)).await.kind, Kind::Corrupt);
    let other = spoil(2, json(|body| body.job = "other".to_owned())).await;
    assert_eq!(other.kind, Kind::Refused);
    assert!(other.context.contains("\"other\""), "{other}");
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_are_carried_along() {
    let sink = sink();
    let state = sink.begin_chain(genesis()).await.unwrap();
    let mut body = rules::housekeeping_on(&state, &Default::default(), &Default::default(), Timestamp::now());
    body.other.insert("later".to_owned(), serde_json::json!({"kept": true}));
    let state = sink.store_next(&Arc::new(body)).await.unwrap().unwrap();
    let state = commit_one(&sink, &state).await;
    let read = sink.read_checkpoint(state.n).await.unwrap().unwrap();
    assert_eq!(read.other["later"]["kept"], true);
    assert_eq!(read, *state);
}

/// What happens while this store executes its first create of a checkpoint, or its first read of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    Nothing,
    /// It is done; its answer is lost, and so is that of the next listing.
    LandsUnseen,
    NextListFails,
    /// It is done first; then others commit so often; its answer is lost.
    LandsAndIsOvertaken(i64),
    /// Others commit so often; then it fails, since its slot is filled; that answer is lost.
    IsOvertaken(i64),
    /// Others commit and collect the slot; then it fills the slot again, and says so.
    IsAGhost,
    /// Others commit and collect the slot; then a ghost fills it again, and is what is read.
    ReadsAGhost,
    /// Somebody with other partitions is first, here and at the next creates, so often.
    OthersAreFirst(u32),
}

/// Requests that take their time.
#[derive(Debug)]
struct Overtaken {
    others: Chain,
    meanwhile: Mutex<Meanwhile>,
}

impl Overtaken {
    fn take(&self, when: impl Fn(Meanwhile) -> bool) -> Meanwhile {
        let mut meanwhile = lock(&self.meanwhile);
        if when(*meanwhile) {
            std::mem::replace(&mut *meanwhile, Meanwhile::Nothing)
        } else {
            Meanwhile::Nothing
        }
    }

    async fn others_commit(&self, times: i64) {
        let mut state = self.others.load().await.unwrap().unwrap();
        for _ in 0..times {
            state = commit_one(&self.others, &state).await;
        }
    }

    async fn others_commit_and_collect(&self) {
        self.others_commit(3).await;
        let state = self.others.load().await.unwrap().unwrap();
        self.others.collect(&state, false).await.unwrap();
    }
}

#[async_trait]
impl Instead for Overtaken {
    async fn create(&self, inner: &dyn Store, path: &str, bytes: Bytes) -> Result<Created, Error> {
        match self.take(|meanwhile| meanwhile != Meanwhile::ReadsAGhost) {
            Meanwhile::LandsAndIsOvertaken(times) => {
                assert_eq!(inner.create(path, bytes).await.unwrap(), Created::Created);
                self.others_commit(times).await;
                Err(Error::new(Kind::Retry, "the answer is lost"))
            }
            Meanwhile::LandsUnseen => {
                assert_eq!(inner.create(path, bytes).await.unwrap(), Created::Created);
                *lock(&self.meanwhile) = Meanwhile::NextListFails;
                Err(Error::new(Kind::Retry, "the answer is lost"))
            }
            Meanwhile::IsOvertaken(times) => {
                self.others_commit(times).await;
                assert_eq!(inner.create(path, bytes).await.unwrap(), Created::Exists);
                Err(Error::new(Kind::Retry, "the answer is lost"))
            }
            Meanwhile::IsAGhost => {
                self.others_commit_and_collect().await;
                let answer = inner.create(path, bytes).await;
                assert_eq!(answer.as_ref().unwrap(), &Created::Created, "the slot was not collected");
                answer
            }
            Meanwhile::OthersAreFirst(times) => {
                let mut theirs = self.others.load().await.unwrap().unwrap().as_ref().clone();
                theirs.n += 1;
                let theirs =
                    inner.create(&paths::checkpoint(theirs.n), versioned::write(&theirs).unwrap()).await;
                assert_eq!(theirs.unwrap(), Created::Created);
                if times > 1 {
                    *lock(&self.meanwhile) = Meanwhile::OthersAreFirst(times - 1);
                }
                inner.create(path, bytes).await
            }
            Meanwhile::Nothing | Meanwhile::NextListFails | Meanwhile::ReadsAGhost => {
                inner.create(path, bytes).await
            }
        }
    }

    async fn get(&self, inner: &dyn Store, path: &str) -> Result<Option<Bytes>, Error> {
        if self.take(|meanwhile| meanwhile == Meanwhile::ReadsAGhost) == Meanwhile::ReadsAGhost {
            let mut ghost = self.others.load().await.unwrap().unwrap().as_ref().clone();
            ghost.partitions.values_mut().for_each(|at| at.next += 1000);
            self.others_commit_and_collect().await;
            let ghost = inner.create(path, versioned::write(&ghost).unwrap()).await;
            assert_eq!(ghost.unwrap(), Created::Created, "the slot was not collected");
        }
        inner.get(path).await
    }

    async fn list(&self, inner: &dyn Store, folder: &str) -> Result<Vec<Entry>, Error> {
        if self.take(|meanwhile| meanwhile == Meanwhile::NextListFails) == Meanwhile::NextListFails {
            return Err(Error::new(Kind::Retry, "an outage"));
        }
        inner.list(folder).await
    }
}

/// A sink at its first checkpoint whose store is slow, the others' own, and that checkpoint.
pub(super) async fn overtaken(meanwhile: Meanwhile) -> (Chain, Chain, Arc<Checkpoint>) {
    let others = sink_with(|settings| {
        settings.retained = 1;
        settings.retained_for = Duration::ZERO;
    });
    let state = others.begin_chain(genesis()).await.unwrap();
    let meanwhile = Mutex::new(meanwhile);
    let instead = Overtaken { others: reopen(&others, |_| {}), meanwhile };
    let slow = Passing { inner: others.state.clone(), instead };
    let sink = open_on(others.settings.clone(), others.data.clone(), Arc::new(slow));
    (sink.unwrap(), others, state)
}

async fn commit_overtaken(meanwhile: Meanwhile) -> (Outcome, i64) {
    let (sink, others, state) = overtaken(meanwhile).await;
    let commit = attempt(&sink, &state).await;
    let outcome = sink.commit(state, commit, None).await.unwrap();
    let next = others.load().await.unwrap().unwrap().partitions[&partition()].next;
    (outcome, next)
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_told_as_far_back_as_the_history_goes() {
    use Meanwhile::{IsOvertaken, LandsAndIsOvertaken};
    let far = crate::sink::HISTORY as i64;
    for times in [1, far] {
        let (outcome, next) = commit_overtaken(LandsAndIsOvertaken(times)).await;
        assert!(matches!(outcome, Outcome::Committed(_)) && next == times + 1, "{next} {outcome:?}");
        let (outcome, next) = commit_overtaken(IsOvertaken(times)).await;
        assert!(matches!(outcome, Outcome::Fenced(_)) && next == times, "{next} {outcome:?}");
    }
    let (outcome, next) = commit_overtaken(LandsAndIsOvertaken(far + 1)).await;
    assert!(matches!(outcome, Outcome::Unknown(_)) && next == far + 2, "{next} {outcome:?}");
    // The slot that was sent to is the others' first.
    let (outcome, next) = commit_overtaken(IsOvertaken(far + 2)).await;
    assert!(matches!(outcome, Outcome::Unknown(_)) && next == far + 2, "{next} {outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_success_in_a_slot_that_was_filled_before_is_none() {
    let (outcome, next) = commit_overtaken(Meanwhile::IsAGhost).await;
    assert!(matches!(outcome, Outcome::Fenced(_)) && next == 3, "{next} {outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ghost_is_never_loaded() {
    let (sink, others, state) = overtaken(Meanwhile::ReadsAGhost).await;
    let loaded = sink.load().await.unwrap().unwrap();
    assert_eq!(loaded.position(), others.load().await.unwrap().unwrap().position());
    assert_eq!(loaded.n, state.n + 3);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_loses_slots_to_others_does_not_slow_down() {
    let times = 50;
    let (sink, _, state) = overtaken(Meanwhile::OthersAreFirst(times)).await;
    let commit = attempt(&sink, &state).await;
    let begun = tokio::time::Instant::now();
    let Outcome::Committed(newest) = sink.commit(state, commit, None).await.unwrap() else { panic!() };
    assert_eq!(newest.n, u64::from(times) + 2);
    // It waited as after a first failure, 2 ms at most, and not longer and longer, as for a store that fails.
    assert!(begun.elapsed() <= Duration::from_millis(2) * times, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_commit_gives_up_in_time() {
    let others = sink_with(|settings| settings.checkpoint_timeout = Duration::from_secs(30));
    let state = others.begin_chain(genesis()).await.unwrap();
    let dice = crate::faulty::Dice::new(1);
    let dead = crate::faulty::Faults {
        refuse: 1.0,
        lose_answer: 0.0,
        late: 0.0,
        delay: 0.0,
        tear: 0.0,
        longest: Duration::ZERO,
    };
    let commit = attempt(&others, &state).await;
    let dead = Arc::new(crate::faulty::Faulty::new(others.state.clone(), dead, dice));
    let sink = open_on(others.settings.clone(), others.data.clone(), dead).unwrap();
    let given_up = sink.commit(state, commit, None).await.unwrap_err();
    assert_eq!(given_up.kind, Kind::Retry);
    assert!(given_up.context.contains("30s"), "{given_up}");
}

#[tokio::test(start_paused = true)]
async fn checkpoints_are_kept_by_count_age_and_never_more_than_a_page() {
    let now = Arc::new(AtomicI64::new(0));
    let clock = {
        let now = now.clone();
        Clock::new(move || Timestamp::UNIX_EPOCH + now.load(Ordering::Relaxed).seconds())
    };
    let sink = sink_with(|settings| {
        settings.clock = clock;
        settings.retained = 2;
        settings.retained_for = Duration::from_secs(100);
    });
    let mut state = sink.begin_chain(genesis()).await.unwrap();
    for second in 1..=5 {
        now.store(second * 30, Ordering::Relaxed);
        state = commit_one(&sink, &state).await;
    }
    // Made at 0, 30, 60, 90, 120, 150; the first two are older than 100 s by now.
    assert_eq!(sink.collect(&state, true).await.unwrap().checkpoints, [1, 2]);
    assert_eq!(sink.collect(&state, false).await.unwrap().checkpoints, [1, 2]);
    now.store(10_000, Ordering::Relaxed);
    assert_eq!(sink.collect(&state, false).await.unwrap().checkpoints, [3, 4]);

    for n in 7..=MAX_RETAINED + 10 {
        let mut body = (*state).clone();
        body.n = n;
        sink.state.put(&paths::checkpoint(n), versioned::write(&body).unwrap()).await.unwrap();
    }
    now.store(0, Ordering::Relaxed);
    let state = sink.load().await.unwrap().unwrap();
    assert_eq!(sink.collect(&state, false).await.unwrap().checkpoints, [5, 6, 7, 8, 9, 10]);
}

/// Ignores "only if absent".
#[derive(Debug)]
struct Careless;

#[tokio::test]
async fn a_probe_finds_out_what_a_store_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SinkSettings::new("job", format!("file://{}", folder.path().join("w").display()));
    let sink = open(settings.clone()).unwrap();
    sink.probe().await.unwrap();
    assert!(sink.data.list("").await.unwrap().is_empty());
    assert!(sink.load().await.unwrap().is_none());
    let sink = open_on(
        settings,
        Arc::new(Local::new(folder.path().join("x"))),
        Arc::new(Passing { inner: Arc::new(Local::new(folder.path().join("y"))), instead: Careless }),
    );
    let unfit = sink.unwrap().probe().await.unwrap_err();
    assert_eq!(unfit.kind, Kind::Refused);
    assert!(unfit.context.contains("16 were told that they had"), "{unfit}");
}

#[async_trait]
impl Instead for Careless {
    async fn create(&self, inner: &dyn Store, path: &str, bytes: Bytes) -> Result<Created, Error> {
        inner.put(path, bytes).await.map(|()| Created::Created)
    }
}

#[tokio::test]
async fn a_chain_without_its_newest_checkpoints_is_refused() {
    let sink = sink();
    let first = sink.begin_chain(genesis()).await.unwrap();
    let state = commit_one(&sink, &first).await;
    sink.publish(&state, &state.unpublished).await.unwrap();
    let state = sink.settle(state).await.unwrap();
    assert_eq!(reopen(&sink, |_| {}).load().await.unwrap().unwrap(), state);
    for n in 2..=state.n {
        sink.state.delete(&paths::checkpoint(n)).await.unwrap();
    }
    for accepting in [false, true] {
        let reopened = reopen(&sink, |settings| settings.accept_existing_files = accepting);
        let refused = reopened.load().await.unwrap_err();
        assert_eq!(refused.kind, Kind::Corrupt, "{refused}");
    }
    // Begun anew, the chain knows that the stored commit, whose files may be gone, is none of its own.
    sink.state.delete(&paths::checkpoint(1)).await.unwrap();
    for path in paths_in(&*sink.data, "t").await {
        sink.data.delete(&path).await.unwrap();
    }
    let anew = reopen(&sink, |settings| settings.accept_existing_files = true);
    let state = anew.begin_chain(genesis()).await.unwrap();
    assert_eq!(state.incarnation, first.incarnation + 1);
    assert_eq!(reopen(&sink, |_| {}).load().await.unwrap().unwrap(), state);
    assert!(anew.commits(&state).await.unwrap().is_empty());
}
