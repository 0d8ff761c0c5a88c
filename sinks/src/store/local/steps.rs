//! What each verb does on a local file system, step by step, with a failpoint between any two.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::folders::{found, in_folder, in_made_folder, parent, sync_folder, sync_found, sync_nearest};
use super::links::{folder_inside, inside, is_link};
use crate::failpoints::fire;
use crate::store::{Created, Entry, Moved};

/// A file under a hidden name, which no listing shows; removed when dropped.
#[derive(Debug)]
pub(super) struct Hidden(pub(super) PathBuf);

impl Hidden {
    /// A new name beside `target`: same folder, so same file system.
    pub(super) fn beside(target: &Path) -> Self {
        Self(target.with_file_name(format!("{HIDDEN}{}", uuid::Uuid::now_v7().simple())))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Gone already after a rename; and what stays is hidden.
        let _ = fs::remove_file(&self.0);
    }
}

const HIDDEN: &str = ".tidegate-tmp-";

/// Bytes, sync, link, sync of the folder. A link fails where the name exists, which
/// a rename would not; it gives the name to bytes that are on disk already; and its
/// folder is synced before the caller believes in it.
pub(super) fn create(root: &Path, path: &str, bytes: &[u8]) -> io::Result<Created> {
    let target = inside(root, path)?;
    in_folder(&target, |folder| {
        let hidden = Hidden::beside(&target);
        write_synced(&hidden.0, bytes)?;
        fire(path, "create", "synced")?;
        let created = match fs::hard_link(&hidden.0, &target) {
            Ok(()) => Created::Created,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Created::Exists,
            Err(error) => return Err(error),
        };
        fire(path, "create", "linked")?;
        sync_folder(folder)?;
        fire(path, "create", "folder_synced")?;
        Ok(created)
    })
}

/// The same without any sync: what has to hold of it is only who comes first.
pub(super) fn create_briefly(root: &Path, path: &str, bytes: &[u8]) -> io::Result<Created> {
    let target = inside(root, path)?;
    in_made_folder(
        &target,
        |folder| fs::create_dir_all(folder),
        |_| {
            let hidden = Hidden::beside(&target);
            fs::write(&hidden.0, bytes)?;
            match fs::hard_link(&hidden.0, &target) {
                Ok(()) => Ok(Created::Created),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Created::Exists),
                Err(error) => Err(error),
            }
        },
    )
}

/// Bytes, sync, rename, sync of the folder: a reader sees the old bytes or the new ones, never a part.
pub(super) fn put(root: &Path, path: &str, bytes: &[u8]) -> io::Result<()> {
    let target = inside(root, path)?;
    in_folder(&target, |folder| {
        let hidden = Hidden::beside(&target);
        write_synced(&hidden.0, bytes)?;
        fire(path, "put", "synced")?;
        fs::rename(&hidden.0, &target)?;
        fire(path, "put", "renamed")?;
        sync_folder(folder)
    })
}

/// Of what the file system takes no writes of, only `reads_only` believes that it is synced.
pub(super) fn get(root: &Path, path: &str, reads_only: bool) -> io::Result<Option<Bytes>> {
    let target = inside(root, path)?;
    let Some(mut file) = open_regular(&target)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    sync_found(&target, reads_only)?;
    Ok(Some(bytes.into()))
}

/// Opens a file that is to be read; none where there is a link, which is nothing of ours. Whoever may write
/// to a folder could put a pipe there, which has nothing to read for ever, or a device, which never ends.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    // Without the first, opening a pipe waits for a writer.
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let Some(file) = (match opened {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => None,
        opened => found(opened)?,
    }) else {
        return Ok(None);
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if metadata.is_file() {
        Ok(Some(file))
    } else {
        Err(io::Error::new(ErrorKind::Unsupported, "it is not a regular file"))
    }
}

/// For files that are final, and so were synced before their name appeared.
pub(super) fn get_range(root: &Path, path: &str, range: Range<u64>) -> io::Result<Option<Bytes>> {
    let Some(file) = open_regular(&inside(root, path)?)? else { return Ok(None) };
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(Some(bytes.into()))
}

pub(super) fn head(root: &Path, path: &str, reads_only: bool) -> io::Result<Option<u64>> {
    let target = inside(root, path)?;
    let metadata = found(fs::symlink_metadata(&target))?.filter(|metadata| !metadata.is_symlink());
    let Some(metadata) = metadata else { return Ok(None) };
    sync_found(&target, reads_only)?;
    Ok(Some(metadata.len()))
}

/// Which names a listing shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Without those that begin with a dot.
    Shown,
    /// All but those under which this store writes what is not whole yet.
    All,
}

/// Links are listed as what they are, objects of others, and never entered.
pub(super) fn list(root: &Path, folder: &str, names: Names) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![folder.to_owned()];
    folder_inside(root, folder)?;
    while let Some(folder) = folders.pop() {
        for (name, is_folder) in children(&root.join(&folder), names)? {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if is_folder {
                folders.push(path);
            } else if let Some(metadata) = found(fs::symlink_metadata(root.join(&path)))? {
                entries.push(Entry { path, size: metadata.len() });
            }
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

pub(super) fn list_folders(root: &Path, folder: &str) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = children(&folder_inside(root, folder)?, Names::Shown)?
        .into_iter()
        .filter_map(|(name, is_folder)| is_folder.then_some(name))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Unlink, sync of the folder: what was erased must not come back after the chain
/// has forgotten that it was to go.
pub(super) fn delete(root: &Path, path: &str) -> io::Result<()> {
    let target = match inside(root, path) {
        // Earlier versions listed what is behind a link, so that it may stand in a chain
        // as what is to be erased. It is not in the warehouse.
        Err(error) if is_link(&error) => return Ok(()),
        target => target?,
    };
    if found(fs::remove_file(&target))?.is_some() {
        fire(path, "delete", "unlinked")?;
    }
    // Also what was gone: whoever removed it, or its folder, may not have synced that yet.
    sync_nearest(parent(&target)?)
}

/// Folder, rename, sync of the new folder, sync of the old one: in that order the file has a durable name at
/// every moment, and no trace of the old one once the call is done.
pub(super) fn rename(root: &Path, from: &str, to: &str) -> io::Result<Moved> {
    let (source, target) = (inside(root, from)?, inside(root, to)?);
    if !source.try_exists()? {
        return Ok(Moved::SourceMissing);
    }
    in_folder(&target, |folder| {
        fire(to, "move", "folder_made")?;
        match fs::rename(&source, &target) {
            Ok(()) => {}
            // Another publisher was faster; if not, the target's folder went away, and is made again.
            Err(error) if error.kind() == ErrorKind::NotFound && !source.try_exists()? => {
                return Ok(Moved::SourceMissing);
            }
            Err(error) => return Err(error),
        }
        fire(to, "move", "renamed")?;
        sync_folder(folder)?;
        fire(to, "move", "folder_synced")?;
        found(sync_folder(parent(&source)?))?;
        Ok(Moved::Moved)
    })
}

pub(super) fn remove_folder(root: &Path, folder: &str) -> io::Result<()> {
    remove_hidden(root, folder, Duration::ZERO)?;
    found(fs::remove_dir(folder_inside(root, folder)?)).map(drop)
}

pub(super) fn remove_hidden(root: &Path, folder: &str, age: Duration) -> io::Result<()> {
    let Some(entries) = found(fs::read_dir(folder_inside(root, folder)?))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(HIDDEN) {
            continue;
        }
        let Some(metadata) = found(entry.metadata())? else { continue };
        // Should somebody be writing it just now, their link or rename fails, and they write it again.
        if metadata.modified()?.elapsed().unwrap_or_default() >= age {
            found(fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Names in a folder, and whether each is a folder itself, which a link is not.
/// None where there is no such folder.
fn children(folder: &Path, names: Names) -> io::Result<Vec<(String, bool)>> {
    let mut children = Vec::new();
    let Some(entries) = found(fs::read_dir(folder))? else { return Ok(children) };
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 cannot be one of ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_left_out = match names {
            Names::Shown => name.starts_with('.'),
            Names::All => name.starts_with(HIDDEN),
        };
        if is_left_out {
            continue;
        }
        if let Some(kind) = found(entry.file_type())? {
            children.push((name, kind.is_dir()));
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests;
