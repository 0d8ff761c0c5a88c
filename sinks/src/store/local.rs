//! A store in a local folder, or one mounted from elsewhere.
//!
//! The guarantee: what a call reports as done survives a loss of power. A file's bytes are synced before its name
//! appears, and the name's folder after it, so a name never stands for bytes that are not there. `steps` has the
//! order of each verb, and why; `folders` what is synced of others.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Created, Entry, Moved, Store, check_folder, check_path};
use crate::error::{Error, Kind};
use crate::sink::Upload;

mod folders;
mod steps;
mod upload;

/// See the module.
#[derive(Clone)]
pub struct Local {
    root: Arc<Path>,
}

impl Local {
    /// A store whose root is the folder `root`, which is created when something is first written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into() }
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
    Error::new(kind, format!("could not {what} {}", path.display())).with_source(source)
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

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        check_path(path)?;
        self.run("write", path, move |root, path| steps::put(root, path, &bytes)).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        check_path(path)?;
        self.run("read", path, steps::get).await
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        check_path(path)?;
        self.run("read", path, move |root, path| steps::get_range(root, path, range)).await
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        check_path(path)?;
        self.run("look at", path, steps::head).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        check_folder(folder)?;
        self.run("list", folder, steps::list).await
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
