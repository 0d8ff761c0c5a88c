//! The places where tests stop or kill the process: before and after every verb of a
//! [`Store`](crate::store::Store), between the steps of a local one, and between those of what takes several
//! verbs. A name is `<kind of object>.<verb>.<step>`.

use std::io;

/// Every failpoint that can be met. A test keeps this list equal to what the code passes.
pub const NAMES: &[&str] = &[
    "begin.delete.after",
    "begin.delete.before",
    "begin.delete.unlinked",
    "begin.get.after",
    "begin.get.before",
    "begin.put.after",
    "begin.put.before",
    "begin.put.renamed",
    "begin.put.synced",
    "checkpoint.create.after",
    "checkpoint.create.before",
    "checkpoint.create.folder_synced",
    "checkpoint.create.linked",
    "checkpoint.create.synced",
    "checkpoint.delete.after",
    "checkpoint.delete.before",
    "checkpoint.delete.unlinked",
    "checkpoint.get.after",
    "checkpoint.get.before",
    "checkpoint.list.after",
    "checkpoint.list.before",
    "commit.delete.after",
    "commit.delete.before",
    "commit.delete.unlinked",
    "commit.get.after",
    "commit.get.before",
    "commit.head.after",
    "commit.head.before",
    "commit.list.after",
    "commit.list.before",
    "commit.put.after",
    "commit.put.before",
    "commit.put.renamed",
    "commit.put.synced",
    "erase.finals.after",
    "erase.finals.before",
    "erase.manifests.after",
    "erase.unstage.after",
    "erase.unstage.before",
    "final.delete.after",
    "final.delete.before",
    "final.delete.unlinked",
    "final.head.after",
    "final.head.before",
    "final.list.after",
    "final.list.before",
    "final.list_folders.after",
    "final.list_folders.before",
    "final.move.after",
    "final.move.before",
    "final.move.folder_made",
    "final.move.folder_synced",
    "final.move.renamed",
    "genesis.create.after",
    "genesis.create.before",
    "genesis.create.folder_synced",
    "genesis.create.linked",
    "genesis.create.synced",
    "genesis.delete.after",
    "genesis.delete.before",
    "genesis.delete.unlinked",
    "genesis.get.after",
    "genesis.get.before",
    "manifest.delete.after",
    "manifest.delete.before",
    "manifest.delete.unlinked",
    "manifest.get.after",
    "manifest.get.before",
    "manifest.put.after",
    "manifest.put.before",
    "manifest.put.renamed",
    "manifest.put.synced",
    "probe.create.after",
    "probe.create.before",
    "probe.create.folder_synced",
    "probe.create.linked",
    "probe.create.synced",
    "probe.delete.after",
    "probe.delete.before",
    "probe.delete.unlinked",
    "probe.get.after",
    "probe.get.before",
    "probe.list.after",
    "probe.list.before",
    "probe.move.after",
    "probe.move.before",
    "probe.move.folder_made",
    "probe.move.folder_synced",
    "probe.move.renamed",
    "rollback.create.after",
    "rollback.create.before",
    "rollback.plan.after",
    "rollback.plan.before",
    "staged.delete.after",
    "staged.delete.before",
    "staged.delete.unlinked",
    "staged.finish.after",
    "staged.finish.before",
    "staged.finish.renamed",
    "staged.finish.synced",
    "staged.head.after",
    "staged.head.before",
    "staged.list.after",
    "staged.list.before",
    "staged.list_folders.after",
    "staged.list_folders.before",
    "staged.upload.after",
    "staged.upload.before",
    "staged.write.after",
    "staged.write.before",
];

/// Those of a savepoint's files, wherever it lies; `name:count` tells the files
/// apart. Other commands meet none of them.
pub const SAVEPOINT_NAMES: &[&str] = &[
    "savepoint.create.after",
    "savepoint.create.before",
    "savepoint.create.folder_synced",
    "savepoint.create.linked",
    "savepoint.create.synced",
    "savepoint.delete.after",
    "savepoint.delete.before",
    "savepoint.delete.unlinked",
    "savepoint.get.after",
    "savepoint.get.before",
    "savepoint.head.after",
    "savepoint.head.before",
];

#[cfg(any(test, feature = "failpoints"))]
const SAVEPOINT_FILES: [&str; 5] =
    ["checkpoint.json", "commits.json", "job.json", "manifest.json", "manifest.sha256"];

/// What takes several verbs. No table is called so: it would lie in a folder.
#[cfg(any(test, feature = "failpoints"))]
const SEVERAL: [&str; 2] = ["erase", "rollback"];

/// Those that the connector passes while it sends rejects to a topic, by [`reach`].
pub const OUTBOX_NAMES: &[&str] = &[
    "outbox.init.before",
    "outbox.init.after",
    "outbox.begin.after",
    "outbox.produce.after",
    "outbox.offsets.after",
    "outbox.commit.before",
    "outbox.commit.after",
    "outbox.sent.after",
];

/// The kind of object that lies at a path, of the state or of the data.
#[cfg(any(test, feature = "failpoints"))]
fn kind(path: &str) -> &'static str {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let in_folder = |wanted: &str| path == wanted || path.starts_with(&format!("{wanted}/"));
    if let Some(several) = SEVERAL.iter().find(|several| **several == path) {
        several
    } else if SAVEPOINT_FILES.contains(&name) {
        "savepoint"
    } else if in_folder("checkpoints") {
        if name.trim_start_matches('0') == "1.json" { "genesis" } else { "checkpoint" }
    } else if in_folder("commits") {
        "commit"
    } else if in_folder("probe") || folder.ends_with("/probe") {
        "probe"
    } else if path.starts_with("_tidegate/") && path.contains("/staging") {
        match name {
            "begin.json" => "begin",
            "commit.json" => "manifest",
            _ => "staged",
        }
    } else {
        "final"
    }
}

/// Passes a failpoint between the steps of what takes several verbs; `what` is its own kind of object.
///
/// Errors: `Retry`, when a test has set the point to fail.
pub(crate) fn pass(
    what: &'static str,
    verb: &'static str,
    step: &'static str,
) -> Result<(), crate::model::error::Error> {
    fire(what, verb, step).map_err(|source| {
        crate::model::error::Error::new(crate::model::error::Kind::Retry, format!("{what} met a failpoint"))
            .with_source(source)
    })
}

/// Passes the failpoint of a step. Where failpoints are not compiled in, this is nothing.
///
/// Errors: when a test has set the point to fail.
#[cfg(any(test, feature = "failpoints"))]
pub(crate) fn fire(path: &str, verb: &str, step: &str) -> io::Result<()> {
    let name = format!("{}.{verb}.{step}", kind(path));
    fail::fail_point!(name.as_str(), |_| Err(io::Error::other(format!("failpoint {name}"))));
    #[cfg(test)]
    tests::PASSED.lock().expect("no test panics while it holds this").insert(name);
    Ok(())
}

#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
pub(crate) fn fire(_path: &str, _verb: &str, _step: &str) -> io::Result<()> {
    Ok(())
}

/// Passes a failpoint outside of a store, one of [`OUTBOX_NAMES`]. Where failpoints
/// are not compiled in, this is nothing.
#[inline(always)]
pub fn reach(_name: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(_name);
}

/// Passes the failpoint of a task or thread of the process, `task.` and its name, each time that it is worked
/// on. Where failpoints are not compiled in, this is nothing.
#[inline(always)]
pub fn reach_task(_task: &str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(format!("task.{_task}").as_str());
}

/// Has the process killed, as by a loss of power, when it meets the failpoint that `TIDEGATE_KILL_AT` names,
/// or stopped, as by a frozen machine, at that of `TIDEGATE_STOP_AT`; with `name:3` at the third time. Has it
/// panic at that of `TIDEGATE_PANIC_AT`, once, which may be that of a task ([`reach_task`]); or fail there,
/// each time, at that of `TIDEGATE_FAIL_AT`. Does nothing where no variable is set.
///
/// Errors: `Config`, for a name that is in no list above.
#[cfg(feature = "failpoints")]
pub fn kill_at_from_env() -> Result<(), crate::model::error::Error> {
    signal_at("TIDEGATE_KILL_AT", libc::SIGKILL)?;
    signal_at("TIDEGATE_STOP_AT", libc::SIGSTOP)?;
    act_at("TIDEGATE_PANIC_AT", "1*panic")?;
    act_at("TIDEGATE_FAIL_AT", "return")
}

#[cfg(feature = "failpoints")]
fn act_at(variable: &str, action: &str) -> Result<(), crate::model::error::Error> {
    use crate::model::error::{Error, Kind};

    let Ok(name) = std::env::var(variable) else { return Ok(()) };
    let unfit = || Error::new(Kind::Config, format!("{variable}: {name:?} is not a failpoint"));
    if !name.starts_with("task.") && !is_known(&name) {
        return Err(unfit());
    }
    fail::cfg(name.as_str(), action).map_err(|error| unfit().with_source(io::Error::other(error)))
}

#[cfg(feature = "failpoints")]
fn is_known(name: &str) -> bool {
    NAMES.iter().chain(SAVEPOINT_NAMES).chain(OUTBOX_NAMES).any(|known| *known == name)
}

#[cfg(feature = "failpoints")]
fn signal_at(variable: &str, signal: libc::c_int) -> Result<(), crate::model::error::Error> {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::model::error::{Error, Kind};

    let Ok(wanted) = std::env::var(variable) else { return Ok(()) };
    let unfit =
        || Error::new(Kind::Config, format!("{variable}: {wanted:?} is not a failpoint, or `name:count`"));
    let (name, hits) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    let hits: u64 = hits.parse().map_err(|_| unfit())?;
    if hits == 0 || !is_known(name) {
        return Err(unfit());
    }
    let left = AtomicU64::new(hits);
    let send = move || {
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // SAFETY: both calls only pass numbers; the process ends, or sleeps, with the second.
            unsafe { libc::kill(libc::getpid(), signal) };
            // Nothing may happen until the signal has.
            if signal == libc::SIGKILL {
                loop {
                    std::thread::park();
                }
            }
        }
    };
    fail::cfg_callback(name, send).map_err(|source| unfit().with_source(source))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::{NAMES, SAVEPOINT_NAMES};

    /// Every name passed so far by any test of this process.
    pub(crate) static PASSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    /// Runs the whole suite locally and in a bucket, so that every step is taken, and compares.
    #[tokio::test]
    async fn the_list_is_what_the_code_passes() {
        use std::sync::Arc;

        use object_store::memory::InMemory;

        use crate::chain::tests::forget::commit_and_forget;
        use crate::conformance::{ChainPlace, Options, Place, run};
        use crate::settings::SinkSettings;
        use crate::store::{Object, Store};

        let folder = tempfile::tempdir().unwrap();
        run(|case| {
            let url = format!("file://{}", folder.path().join(case).display());
            let place = ChainPlace::open(SinkSettings::new("job", url)).unwrap();
            async move {
                place.chain(Options::default()).probe().await.unwrap();
                Arc::new(place) as Arc<dyn Place>
            }
        })
        .await;
        let bucket = Arc::new(InMemory::new());
        run(|case| {
            let store = |root: String| -> Arc<dyn Store> {
                Arc::new(Object::new(bucket.clone(), "memory://", &root))
            };
            let mut settings = SinkSettings::new("job", "memory://");
            settings.copy_grace = std::time::Duration::from_millis(10);
            let (data, state) = (store(case.to_owned()), store(format!("{case}/_tidegate/job")));
            let place = ChainPlace::new(settings, data, state);
            async move { Arc::new(place) as Arc<dyn Place> }
        })
        .await;
        let url = format!("file://{}", folder.path().join("forget").display());
        let place = ChainPlace::open(SinkSettings::new("job", url)).unwrap();
        commit_and_forget(&place.chain(Options::default())).await;
        // What no sink does, but tests do with stores of their own.
        let only_tests = [
            "final.get.",
            "final.put.",
            "final.create.",
            "final.upload.",
            "final.finish.",
            "staged.get.",
            "probe.put.",
            "savepoint.",
        ];
        let by_sinks = |name: &&String| !only_tests.iter().any(|prefix| name.starts_with(prefix));
        let passed: Vec<String> = PASSED.lock().unwrap().iter().filter(by_sinks).cloned().collect();
        assert_eq!(passed, NAMES, "the list is to be, in this order: {passed:#?}");
    }

    /// The verbs that a savepoint is made of, on a local folder, where they have the most steps.
    #[tokio::test]
    async fn a_savepoints_list_is_what_its_verbs_pass() {
        use crate::store::{Retries, open};

        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        let store = open(&url, &Default::default(), Retries::default()).unwrap();
        let path = "savepoint-1/manifest.json";
        store.create(path, "{}".into()).await.unwrap();
        assert!(store.head(path).await.unwrap().is_some() && store.get(path).await.unwrap().is_some());
        store.delete(path).await.unwrap();
        let passed = PASSED.lock().unwrap();
        let passed: Vec<_> = passed.iter().filter(|name| name.starts_with("savepoint.")).collect();
        assert_eq!(passed, SAVEPOINT_NAMES);
    }
}
