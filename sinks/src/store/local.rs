//! A store in a local folder, or one mounted from elsewhere.
//!
//! The guarantee: what a call reports as done survives a loss of power. A file's bytes are synced before its
//! name appears, and the name's folder after it, so a name never stands for bytes that are not there. `steps`
//! has the order of each verb, and why; `folders` what is synced of others.
//!
//! Nothing outside the root is ever touched: `links` finds links below it, and none is followed.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Created, Entry, Labels, Moved, Store, check_folder, check_listed, check_path};
use crate::model::error::{Error, Kind};
use crate::sink::Upload;

mod folders;
mod links;
mod moves;
mod steps;
mod upload;

use steps::Names;

/// See the module.
#[derive(Clone)]
pub struct Local {
    root: Arc<Path>,
    /// A file system that takes no writes is no reason to doubt what was found.
    reads_only: bool,
}

impl Local {
    /// A store whose root is the folder `root`, which is created when something is first written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into(), reads_only: false }
    }

    /// For commands that never write.
    pub(super) fn reading_only(self) -> Self {
        Self { reads_only: true, ..self }
    }

    /// Runs `step` where blocking is allowed.
    async fn run<T, F>(&self, what: &'static str, path: &str, step: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Path, &str) -> io::Result<T> + Send + 'static,
    {
        let (root, owned) = (Arc::clone(&self.root), path.to_owned());
        let done = tokio::task::spawn_blocking(move || step(&root, &owned)).await;
        match done {
            Ok(result) => result.map_err(|source| self.error(what, path, source)),
            Err(source) => {
                let context = format!("{what} {path} in {self} did not run to its end");
                Err(Error::new(Kind::Retry, context).with_source(source))
            }
        }
    }

    fn error(&self, what: &str, path: &str, source: io::Error) -> Error {
        error(&self.root.join(path), what, source)
    }
}

/// An error of the operating system, with what is to be done about it.
fn error(path: &Path, what: &str, source: io::Error) -> Error {
    use io::ErrorKind as Io;
    let remedy = match source.kind() {
        Io::StorageFull | Io::QuotaExceeded => ": there is no room left; nothing is lost, make some",
        _ => "",
    };
    let kind = match source.kind() {
        Io::PermissionDenied
        | Io::ReadOnlyFilesystem
        | Io::NotADirectory
        | Io::IsADirectory
        | Io::InvalidFilename
        | Io::CrossesDevices
        | Io::FileTooLarge
        | Io::Unsupported => Kind::Config,
        _ => Kind::Retry,
    };
    Error::new(kind, format!("could not {what} {}{remedy}", path.display())).with_source(source)
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({self})")
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.root.display())
    }
}

#[async_trait]
impl Store for Local {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        check_path(path)?;
        self.run("create", path, move |root, path| steps::create(root, path, &bytes)).await
    }

    async fn create_briefly(&self, path: &str, bytes: Bytes) -> Result<(Created, Labels), Error> {
        check_path(path)?;
        let created =
            self.run("create", path, move |root, path| steps::create_briefly(root, path, &bytes)).await?;
        Ok((created, Labels::default()))
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        check_path(path)?;
        self.run("write", path, move |root, path| steps::put(root, path, &bytes)).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        check_path(path)?;
        let reads_only = self.reads_only;
        self.run("read", path, move |root, path| steps::get(root, path, reads_only)).await
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        check_listed(path)?;
        self.run("read", path, move |root, path| steps::get_range(root, path, range)).await
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        check_path(path)?;
        let reads_only = self.reads_only;
        self.run("look at", path, move |root, path| steps::head(root, path, reads_only)).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        check_folder(folder)?;
        self.run("list", folder, |root, folder| steps::list(root, folder, Names::Shown)).await
    }

    async fn list_with_hidden(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        check_folder(folder)?;
        self.run("list", folder, |root, folder| steps::list(root, folder, Names::All)).await
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        check_folder(folder)?;
        self.run("list", folder, steps::list_folders).await
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        check_path(path)?;
        self.run("delete", path, steps::delete).await
    }

    async fn move_to_final(&self, from: &str, to: &str, _bytes: u64) -> Result<Moved, Error> {
        check_path(from)?;
        check_path(to)?;
        let to = to.to_owned();
        self.run("move", from, move |root, from| steps::rename(root, from, &to)).await
    }

    async fn prove_moves(&self, from: &str, folders: Vec<String>) -> Result<(), Error> {
        check_path(from)?;
        folders.iter().try_for_each(|folder| check_path(folder))?;
        let (root, from) = (Arc::clone(&self.root), from.to_owned());
        let proved = tokio::task::spawn_blocking(move || moves::prove(&root, &from, &folders)).await;
        let broke_off =
            |source| Error::new(Kind::Retry, "trying to move a file broke off").with_source(source);
        proved.map_err(broke_off)?.map_err(|(folder, source)| error(&folder, "move a file into", source))
    }

    async fn upload(&self, path: &str) -> Result<Box<dyn Upload>, Error> {
        check_path(path)?;
        let file = self.run("open", path, upload::LocalUpload::open).await?;
        Ok(Box::new(file))
    }

    async fn remove_folder(&self, folder: &str) {
        if check_path(folder).is_ok() {
            // A folder that stays is found empty by the next collection.
            let _ = self.run("remove", folder, steps::remove_folder).await;
        }
    }

    async fn remove_hidden(&self, folder: &str, age: Duration) {
        if check_path(folder).is_ok() {
            // What stays is hidden, and is found by the next collection.
            let _ =
                self.run("tidy", folder, move |root, folder| steps::remove_hidden(root, folder, age)).await;
        }
    }

    fn is_copying(&self) -> bool {
        false
    }
}
