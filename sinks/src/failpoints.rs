//! The places where tests stop or kill the process: before and after every verb of a [`Store`](crate::store::Store),
//! and between the steps of a local one. A name is `<kind of object>.<verb>.<step>`.

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
    "staged.delete.after",
    "staged.delete.before",
    "staged.delete.unlinked",
    "staged.finish.after",
    "staged.finish.before",
    "staged.finish.renamed",
    "staged.finish.synced",
    "staged.list.after",
    "staged.list.before",
    "staged.list_folders.after",
    "staged.list_folders.before",
    "staged.upload.after",
    "staged.upload.before",
    "staged.write.after",
    "staged.write.before",
];

/// The kind of object that lies at a path, of the state or of the data.
#[cfg(any(test, feature = "failpoints"))]
fn kind(path: &str) -> &'static str {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let in_folder = |wanted: &str| path == wanted || path.starts_with(&format!("{wanted}/"));
    if in_folder("checkpoints") {
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

/// Has the process killed, as by a loss of power, when it meets the failpoint that `TIDEGATE_KILL_AT` names; with
/// `name:3` at the third time. Does nothing where the variable is not set.
///
/// Errors: `Config`, for a name that is not in [`NAMES`].
#[cfg(feature = "failpoints")]
pub fn kill_at_from_env() -> Result<(), crate::error::Error> {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::error::{Error, Kind};

    let Ok(wanted) = std::env::var("TIDEGATE_KILL_AT") else { return Ok(()) };
    let unfit = || {
        Error::new(Kind::Config, format!("TIDEGATE_KILL_AT: {wanted:?} is not a failpoint, or `name:count`"))
    };
    let (name, hits) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    let hits: u64 = hits.parse().map_err(|_| unfit())?;
    if hits == 0 || !NAMES.contains(&name) {
        return Err(unfit());
    }
    let left = AtomicU64::new(hits);
    let kill = move || {
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // SAFETY: both calls only pass numbers; the process ends with the second.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            // Nothing may happen until the signal has.
            loop {
                std::thread::park();
            }
        }
    };
    fail::cfg_callback(name, kill).map_err(|source| unfit().with_source(source))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::NAMES;

    /// Every name passed so far by any test of this process.
    pub(crate) static PASSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    /// Runs the whole suite locally and in a bucket, so that every step is taken, and compares.
    #[tokio::test]
    async fn the_list_is_what_the_code_passes() {
        use std::sync::Arc;

        use object_store::memory::InMemory;

        use crate::conformance::{FilesPlace, Options, Place, run};
        use crate::files::FilesSettings;
        use crate::store::{Object, Store};

        let folder = tempfile::tempdir().unwrap();
        run(|case| {
            let url = format!("file://{}", folder.path().join(case).display());
            let place = FilesPlace::open(FilesSettings::new("job", url)).unwrap();
            async move {
                place.files_sink(Options::default()).probe().await.unwrap();
                Arc::new(place) as Arc<dyn Place>
            }
        })
        .await;
        let bucket = Arc::new(InMemory::new());
        run(|case| {
            let store = |root: String| -> Arc<dyn Store> {
                Arc::new(Object::new(bucket.clone(), "memory://", &root))
            };
            let (data, state) = (store(case.to_owned()), store(format!("{case}/_tidegate/job")));
            let place = FilesPlace::new(FilesSettings::new("job", "memory://"), data, state);
            async move { Arc::new(place) as Arc<dyn Place> }
        })
        .await;
        // What no sink does, but tests do with stores of their own.
        let only_tests = [
            "final.get.",
            "final.put.",
            "final.create.",
            "final.upload.",
            "final.finish.",
            "staged.get.",
            "probe.put.",
        ];
        let by_sinks = |name: &&String| !only_tests.iter().any(|prefix| name.starts_with(prefix));
        let passed: Vec<String> = PASSED.lock().unwrap().iter().filter(by_sinks).cloned().collect();
        assert_eq!(passed, NAMES, "the list is to be, in this order: {passed:#?}");
    }
}
