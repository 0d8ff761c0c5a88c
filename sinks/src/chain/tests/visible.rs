use super::*;

#[tokio::test(start_paused = true)]
async fn a_commit_is_stored_when_its_files_are_visible_and_not_before() {
    let sink = sink();
    let state = sink.begin_chain(genesis()).await.unwrap();
    let state = commit_one(&sink, &state).await;
    let id = state.unpublished[0].clone();
    assert!(paths_in(&*sink.state, paths::COMMITS).await.is_empty());
    assert_eq!(sink.commits(&state).await.unwrap()[0].id, id);
    sink.publish(&state, &state.unpublished).await.unwrap();
    assert_eq!(paths_in(&*sink.state, paths::COMMITS).await, [paths::commit(&id)]);
    assert!(paths_in(&*sink.data, &sink.paths.attempts()).await.is_empty());
    assert_eq!(sink.commits(&state).await.unwrap()[0].id, id);
    assert!(sink.has_finished());

    sink.data.put("t/part-0.parquet", Bytes::from_static(b"others")).await.unwrap();
    let files = sink.visible_files([]).await.unwrap();
    let ours: Vec<_> = files.iter().filter_map(|file| file.name.as_ref()).collect();
    assert_eq!((files.len(), ours.len(), &ours[0].commit), (2, 1, &id));
}

#[tokio::test(start_paused = true)]
async fn the_folders_that_commits_name_are_looked_into_beside_todays() {
    let sink = sink_with(|settings| settings.tables = Tables::Named(vec!["t".to_owned()]));
    let state = sink.begin_chain(genesis()).await.unwrap();
    let state = commit_one(&sink, &state).await;
    sink.publish(&state, &state.unpublished).await.unwrap();
    let renamed = reopen(&sink, |settings| settings.tables = Tables::Named(vec!["t2".to_owned()]));
    let commits = renamed.commits(&state).await.unwrap();
    assert!(renamed.visible_files([]).await.unwrap().is_empty());
    let files = renamed.visible_files(&commits).await.unwrap();
    assert_eq!(
        files.into_iter().map(|file| file.path).collect::<Vec<_>>(),
        [commits[0].files[0].path.clone()]
    );
}

#[tokio::test(start_paused = true)]
async fn commits_newer_than_the_state_are_not_in_it() {
    let sink = sink();
    let first = sink.begin_chain(genesis()).await.unwrap();
    let second = commit_one(&sink, &first).await;
    sink.publish(&second, &second.unpublished).await.unwrap();
    assert!(sink.commits(&first).await.unwrap().is_empty());
    assert_eq!(sink.checkpoints().await.unwrap(), [1, 2]);
    assert_eq!(sink.read_checkpoint(2).await.unwrap().unwrap(), *second);
    assert_eq!(sink.read_checkpoint(3).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_nowhere_is_reported_lost() {
    let sink = sink();
    let state = sink.begin_chain(genesis()).await.unwrap();
    let state = commit_one(&sink, &state).await;
    let staged = sink.paths.staged(&state.unpublished[0], "000.staged").unwrap();
    sink.data.delete(&staged).await.unwrap();
    let lost = sink.publish(&state, &state.unpublished).await.unwrap_err();
    assert_eq!(lost.kind, Kind::Corrupt);
    assert!(lost.context.contains("lost"), "{lost}");

    sink.data.delete(&sink.paths.manifest(&state.unpublished[0])).await.unwrap();
    assert_eq!(sink.publish(&state, &state.unpublished).await.unwrap_err().kind, Kind::Corrupt);
    assert_eq!(sink.commits(&state).await.unwrap_err().kind, Kind::Corrupt);
}

#[tokio::test(start_paused = true)]
async fn a_final_of_another_size_is_reported() {
    let sink = sink();
    let state = sink.begin_chain(genesis()).await.unwrap();
    let commit = attempt(&sink, &state).await;
    let Outcome::Committed(state) = sink.commit(state, commit.clone(), None).await.unwrap() else { panic!() };
    sink.data.delete(&sink.paths.staged(&commit.id, "000.staged").unwrap()).await.unwrap();
    sink.data.put(&commit.files[0].path, Bytes::from_static(b"torn")).await.unwrap();
    sink.publish(&state, &state.unpublished).await.unwrap();
    let state = commit_one(&sink, &state).await;
    let commit = sink.find_commit(state.commit.as_ref().unwrap()).await.unwrap().unwrap();
    sink.data.delete(&sink.paths.staged(&commit.id, "000.staged").unwrap()).await.unwrap();
    sink.data.put(&commit.files[0].path, Bytes::from_static(b"to")).await.unwrap();
    let wrong = sink.publish(&state, &state.unpublished).await.unwrap_err();
    assert_eq!(wrong.kind, Kind::Corrupt, "{wrong}");
}

/// What was taken back is erased before anything else is published, staged files first, finals a grace later.
#[tokio::test(start_paused = true)]
async fn what_is_retracted_is_erased_first() {
    let sink = sink_with(|settings| settings.copy_grace = Duration::from_secs(60));
    let state = sink.begin_chain(genesis()).await.unwrap();
    let visible = commit_one(&sink, &state).await;
    sink.publish(&visible, &visible.unpublished).await.unwrap();
    let state = commit_one(&sink, &visible).await;
    let (first, second) = (visible.commit.clone().unwrap(), state.commit.clone().unwrap());

    let mut back = rules::housekeeping_on(&state, &Default::default(), &Default::default(), Timestamp::now());
    back.incarnation = 2;
    back.cuts.push(genesis_position());
    back.partitions = genesis().partitions;
    back.unpublished.clear();
    back.retracted = vec![Retracted::Commit(first.clone()), Retracted::Commit(second.clone())];
    let back = sink.store_next(&Arc::new(back)).await.unwrap().unwrap();
    assert!(sink.commits(&back).await.unwrap().is_empty());

    let replay = commit_one(&sink, &back).await;
    let begun = tokio::time::Instant::now();
    assert!(!sink.publish(&replay, &replay.unpublished).await.unwrap(), "something is erased first");
    assert!(begun.elapsed() >= Duration::from_secs(60), "a running copy could bring a final back");
    assert!(sink.visible_files([]).await.unwrap().is_empty());
    assert!(paths_in(&*sink.state, paths::COMMITS).await.is_empty());
    let state = sink.settle(replay).await.unwrap();
    assert!(state.retracted.is_empty() && state.unpublished.len() == 1);
    // A publisher that slept through the rollback.
    reopen(&sink, |_| {}).publish(&visible, &[first, second]).await.unwrap();
    assert!(sink.visible_files([]).await.unwrap().is_empty());
    assert!(sink.publish(&state, &state.unpublished).await.unwrap());
    assert_eq!(sink.visible_files([]).await.unwrap().len(), 1);
    assert_eq!(sink.commits(&state).await.unwrap().len(), 1);
    let collected = sink.collect(&state, false).await.unwrap();
    assert!(collected.attempts.is_empty() && collected.unjudged.is_empty(), "{collected:?}");
}

fn genesis_position() -> crate::model::position::Position {
    crate::model::position::Position(BTreeMap::from([(partition(), 0)]))
}

#[tokio::test(start_paused = true)]
async fn folders_that_nothing_tells_about_are_reported_and_stay() {
    let sink = sink();
    let state = sink.begin_chain(genesis()).await.unwrap();
    let orphan = CommitId::new();
    let path = sink.paths.staged(&orphan, "000.staged").unwrap();
    sink.data.put(&path, Bytes::from_static(b"?")).await.unwrap();
    // One whose announcement is gone, and one that lies there again after it was published.
    let no_begin = attempt(&sink, &state).await;
    let state = commit_one(&sink, &state).await;
    sink.data.put(&sink.paths.manifest(&no_begin.id), versioned::write(&*no_begin).unwrap()).await.unwrap();
    sink.data.delete(&sink.paths.begin(&no_begin.id)).await.unwrap();
    sink.publish(&state, &state.unpublished).await.unwrap();
    let state = sink.settle(state).await.unwrap();
    let published = state.history[0].clone().unwrap();
    let again = sink.paths.staged(&published, "000.staged").unwrap();
    sink.data.put(&again, Bytes::from_static(b"late")).await.unwrap();

    let collected = sink.collect(&state, false).await.unwrap();
    assert_eq!(collected.unjudged, [sink.paths.attempt(&orphan)]);
    let mut gone = collected.attempts;
    gone.sort_unstable();
    assert_eq!(gone, [no_begin.id.clone(), published]);
    assert_eq!(paths_in(&*sink.data, &sink.paths.attempts()).await, [path]);
}

#[tokio::test]
async fn what_a_crash_has_left_without_a_name_goes_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SinkSettings::new("job", format!("file://{}", folder.path().display()));
    let sink = open(settings).unwrap();
    let state = sink.begin_chain(genesis()).await.unwrap();
    let state = commit_one(&sink, &state).await;
    sink.publish(&state, &state.unpublished).await.unwrap();
    let hours = |hours: u64| std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
    let leave = |folder_name: &str, hours_ago| {
        let name = format!(".tidegate-tmp-{}", uuid::Uuid::now_v7().simple());
        let path = folder.path().join("_tidegate/job").join(folder_name).join(name);
        std::fs::File::create(&path).unwrap().set_modified(hours(hours_ago)).unwrap();
        path
    };
    let old = [leave(paths::CHECKPOINTS, 25), leave(paths::COMMITS, 25)];
    let young = leave(paths::CHECKPOINTS, 23);
    sink.collect(&state, true).await.unwrap();
    assert!(old.iter().all(|path| path.exists()), "a dry run");
    sink.collect(&state, false).await.unwrap();
    assert!(!old.iter().any(|path| path.exists()) && young.exists());
    assert_eq!(sink.load().await.unwrap().unwrap(), state);
}

/// Where files are copied, each table is waited for, and all of them together.
#[tokio::test(start_paused = true)]
async fn tables_that_are_taken_back_are_waited_for_together() {
    let sink = sink_with(|settings| settings.copy_grace = Duration::from_secs(600));
    let state = sink.begin_chain(genesis()).await.unwrap();
    let mut commit = Arc::unwrap_or_clone(attempt(&sink, &state).await);
    let first = commit.files[0].clone();
    for n in 0..20 {
        let path = first.path.replacen("t/", &format!("t{n}/"), 1);
        commit.files.push(StagedFile { path, staged: format!("{n:03}.other"), ..first.clone() });
    }
    let began = tokio::time::Instant::now();
    sink.hide(&[commit], &[], 1).await.unwrap();
    let took = began.elapsed();
    assert!(took >= sink.settings.copy_grace && took < 2 * sink.settings.copy_grace, "{took:?}");
}
