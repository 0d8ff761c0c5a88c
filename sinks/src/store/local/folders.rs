//! Folders, and the syncs of them by which names in them survive a loss of power.
//!
//! A name that this process has given is synced as it is given. One that it finds may be another process',
//! which has not synced it yet, or has died before: it is synced before it is believed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often a step is tried again when somebody removes its empty folder at the same moment.
const FOLDER_RACES: usize = 100;

/// Folders that this process has synced into the one above them, with their inodes:
/// one that was removed and made again is another.
static SYNCED: Mutex<BTreeMap<PathBuf, u64>> = Mutex::new(BTreeMap::new());

/// Attempts' folders come and go, so now and then all are forgotten, and synced once more.
const SYNCED_MAX_COUNT: usize = 10_000;

/// Makes the folder of `target` and runs `step` in it, again and again while somebody removes that folder.
pub(super) fn in_folder<T>(target: &Path, step: impl FnMut(&Path) -> io::Result<T>) -> io::Result<T> {
    in_made_folder(target, make_folder, step)
}

/// The same, with `make` to make the folder.
pub(super) fn in_made_folder<T>(
    target: &Path,
    make: impl Fn(&Path) -> io::Result<()>,
    mut step: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let folder = parent(target)?;
    let mut races = 0;
    loop {
        match make(folder).and_then(|()| step(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound && races < FOLDER_RACES => races += 1,
            result => return result,
        }
    }
}

/// Makes a folder and those above it, each synced into the one above before the next, so that a file in it
/// can be found after a loss of power. One that is there already is synced, too, the first time that this
/// process meets it: whoever made it may not have synced it yet, and perhaps has died before.
fn make_folder(folder: &Path) -> io::Result<()> {
    let Some(above) = folder.parent() else { return Ok(()) };
    let is_there = inode(folder);
    if is_there.is_some() && synced().get(folder).copied() == is_there {
        return Ok(());
    }
    make_folder(above)?;
    if is_there.is_some() {
        match unless_unsyncable(sync_folder(above), false) {
            // Nor has anybody made it who may only pass through the folder above.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            result => result?,
        }
    } else {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(above)?,
        }
    }
    if let Some(inode) = inode(folder) {
        let mut synced = synced();
        if synced.len() >= SYNCED_MAX_COUNT {
            synced.clear();
        }
        synced.insert(folder.to_owned(), inode);
    }
    Ok(())
}

fn synced() -> MutexGuard<'static, BTreeMap<PathBuf, u64>> {
    SYNCED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of a folder that is there.
fn inode(folder: &Path) -> Option<u64> {
    fs::metadata(folder).ok().filter(fs::Metadata::is_dir).map(|metadata| metadata.ino())
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()?;
    #[cfg(test)]
    SYNCS.with_borrow_mut(|syncs| syncs.push(folder.to_owned()));
    Ok(())
}

/// Syncs the folder of a file that was found: what is built on it must not outlive it.
pub(super) fn sync_found(target: &Path, reads_only: bool) -> io::Result<()> {
    unless_unsyncable(sync_folder(parent(target)?), reads_only)
}

/// A file system that knows no sync of folders refuses it as invalid. One that was mounted
/// to be read only has nothing to sync, and says so; but one that has become so by an error
/// refuses with the same word as some that are mounted so, and what it shows may never have
/// reached the disk. So only who writes nothing, and promises nothing, believes it.
fn unless_unsyncable(synced: io::Result<()>, reads_only: bool) -> io::Result<()> {
    match synced {
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem && reads_only => Ok(()),
        synced => synced,
    }
}

/// Syncs a folder; one that is gone, by the folder above it.
pub(super) fn sync_nearest(folder: &Path) -> io::Result<()> {
    match found(sync_folder(folder))? {
        Some(()) => Ok(()),
        None => sync_nearest(parent(folder)?),
    }
}

pub(super) fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the root has no folder above it"))
}

pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
thread_local! {
    /// The folders synced by this thread, in order.
    pub(super) static SYNCS: std::cell::RefCell<Vec<PathBuf>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_never_writes_believes_a_file_system_that_takes_no_writes() {
        let refused = |kind: ErrorKind| Err(io::Error::from(kind));
        assert!(unless_unsyncable(refused(ErrorKind::ReadOnlyFilesystem), false).is_err());
        assert!(unless_unsyncable(refused(ErrorKind::ReadOnlyFilesystem), true).is_ok());
        assert!(unless_unsyncable(refused(ErrorKind::InvalidInput), false).is_ok());
        assert!(unless_unsyncable(refused(ErrorKind::PermissionDenied), true).is_err());
    }
}
