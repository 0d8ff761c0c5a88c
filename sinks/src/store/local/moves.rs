//! Proof, before a commit is in force, that its files can be moved to where they
//! are to be seen: afterwards it would be too late to refuse.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::folders::{found, in_folder, parent};
use super::links::folder_inside;
use super::steps::Hidden;

/// Moves an empty hidden file from below `from` into each folder, or into the
/// nearest one above it that is there, and removes it.
///
/// Errors: with the folder into which it could not be moved.
pub(super) fn prove(root: &Path, from: &str, folders: &[String]) -> Result<(), (PathBuf, io::Error)> {
    let staging = root.join(from);
    let at = |error| (staging.clone(), error);
    folder_inside(root, from).map_err(at)?;
    let mut proven = Vec::new();
    for folder in folders {
        let folder = folder_inside(root, folder).and_then(|folder| nearest(root, folder));
        let folder = folder.map_err(|error| (root.to_owned(), error))?;
        if !proven.contains(&folder) {
            move_into(&staging, &folder).map_err(|error| (folder.clone(), explained(error)))?;
            proven.push(folder);
        }
    }
    // A courtesy, where it was made for this; it stays while anything is staged.
    let _ = fs::remove_dir(&staging);
    Ok(())
}

/// The folder itself, or the nearest one above it that is there.
fn nearest(root: &Path, mut folder: PathBuf) -> io::Result<PathBuf> {
    while folder != root {
        match found(fs::symlink_metadata(&folder))? {
            Some(metadata) if metadata.is_dir() => return Ok(folder),
            Some(_) => {
                let context = format!("{} is in the way: it is not a folder", folder.display());
                return Err(io::Error::new(ErrorKind::NotADirectory, context));
            }
            None => folder = parent(&folder)?.to_owned(),
        }
    }
    Ok(folder)
}

fn move_into(staging: &Path, folder: &Path) -> io::Result<()> {
    in_folder(&staging.join("x"), |_| {
        let (source, target) = (Hidden::beside(&staging.join("x")), Hidden::beside(&folder.join("x")));
        OpenOptions::new().write(true).create_new(true).open(&source.0)?;
        fs::rename(&source.0, &target.0)
    })
}

fn explained(error: io::Error) -> io::Error {
    if error.kind() != ErrorKind::CrossesDevices {
        return error;
    }
    let context = "it is on another file system, subvolume or quota tree than the staged files, and a file cannot become \
                   visible at once across such a border: have sink.url on one file system, or give this table a job of its \
                   own with a sink.url there";
    io::Error::new(ErrorKind::CrossesDevices, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_on_another_file_system_is_refused_with_the_reason() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        move_into(&folder.path().join("staging"), folder.path()).unwrap();
        let refused = explained(move_into(&folder.path().join("staging"), other.path()).unwrap_err());
        assert_eq!(refused.kind(), ErrorKind::CrossesDevices);
        assert!(refused.to_string().contains("another file system"), "{refused}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "nothing is left");
    }
}
