//! Links below a store's root. Whoever may write there could make one that leads anywhere, or nowhere, or in
//! a circle, so none is followed: a link is an object of others, which is listed, and removed as itself.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::folders::found;

/// A folder on the way to an object is a link.
#[derive(Debug)]
pub(super) struct Link(PathBuf);

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is a symbolic link, and none is followed below sink.url, as it may lead out of it: move what it points to \
             there, or mount it",
            self.0.display()
        )
    }
}

impl std::error::Error for Link {}

/// Where a path lies below the root, if no folder on the way there is a link. The
/// root itself may be one, and so may what is above it.
///
/// Errors: [`Link`], as one of kind `NotADirectory`.
pub(super) fn inside(root: &Path, path: &str) -> io::Result<PathBuf> {
    let mut target = root.to_owned();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
        target.push(folder);
        match found(fs::symlink_metadata(&target))? {
            Some(metadata) if metadata.is_symlink() => {
                return Err(io::Error::new(ErrorKind::NotADirectory, Link(target)));
            }
            Some(_) => {}
            // Nor is there anything below it.
            None => return Ok(root.join(path)),
        }
    }
    target.push(name);
    Ok(target)
}

/// Like [`inside`], for a folder that is to be looked into; the empty one is the root.
pub(super) fn folder_inside(root: &Path, folder: &str) -> io::Result<PathBuf> {
    if folder.is_empty() {
        return Ok(root.to_owned());
    }
    inside(root, &format!("{folder}/x"))?;
    Ok(root.join(folder))
}

/// Whether an error says that a link was in the way.
pub(super) fn is_link(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<Link>())
}
