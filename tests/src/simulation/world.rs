//! Where the bytes of a simulation lie: one map, whose every change a [`Witness`]
//! sees at the moment it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_sinks::store::{Created, Entry, Moved, Store};
use tidegate_sinks::{Commit, Error, FileKind, Retracted, Upload, Uploaded};

use super::witness::{JOB, Witness};
use super::wrong::Instead;

/// All objects by their full path, and who watches them.
#[derive(Debug)]
pub(super) struct World {
    objects: BTreeMap<String, Bytes>,
    pub(super) witness: Witness,
    pub(super) users: Users,
}

/// Whether users may move finals away. Whoever has looked before they were stopped has to look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    pub(super) are_stopped: bool,
    stops: u64,
}

impl World {
    pub(super) fn new(witness: Witness) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { objects: BTreeMap::new(), witness, users: Users::default() }))
    }

    pub(super) fn put(&mut self, path: String, bytes: Bytes) {
        let before = self.objects.insert(path.clone(), bytes.clone());
        self.witness.written(&path, &bytes, before.as_ref(), &self.objects);
    }

    /// Shows the data files of a commit.
    fn publish(&mut self, manifest: &[u8]) {
        let commit: Commit = serde_json::from_slice(manifest).expect("a manifest is a commit");
        for file in commit.files.iter().filter(|file| file.kind == FileKind::Data) {
            let staged = format!("_tidegate/{JOB}/staging/{}/{}", commit.id, file.staged);
            if let Some(bytes) = self.objects.get(&staged).cloned() {
                self.put(file.path.clone(), bytes);
            }
        }
    }

    fn has_retracted(&self, id: &str) -> bool {
        let retracted = self.witness.newest.iter().flat_map(|newest| &newest.retracted);
        retracted.filter_map(Retracted::commit).any(|retracted| &*retracted.0 == id)
    }

    pub(super) fn stop_users(&mut self) {
        self.users = Users { are_stopped: true, stops: self.users.stops + 1 };
    }

    pub(super) fn let_users_go_on(&mut self) {
        self.users.are_stopped = false;
    }

    /// Somebody deletes the whole chain.
    pub(super) fn lose_checkpoints(&mut self) {
        self.objects.retain(|path, _| !path.contains("/checkpoints/"));
        self.witness.newest = None;
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<Bytes> {
        let removed = self.objects.remove(path)?;
        self.witness.removed(path);
        Some(removed)
    }
}

const GENESIS: &str = "checkpoints/00000000000000000001.json";
const MANIFEST: &str = "commit.json";

/// The attempt whose folder a path lies in, and the name in it.
fn attempt_of(path: &str) -> Option<(&str, &str)> {
    path.split_once("/staging/")?.1.split_once('/')
}

fn manifest(id: &str) -> String {
    format!("_tidegate/{JOB}/staging/{id}/{MANIFEST}")
}

fn stored(id: &str) -> String {
    format!("_tidegate/{JOB}/commits/{id}.json")
}

pub(super) fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The objects below a root, as a store that copies or one that renames.
#[derive(Clone)]
pub(super) struct View {
    world: Arc<Mutex<World>>,
    /// With a slash at its end, or empty.
    root: String,
    is_copying: bool,
    /// The mistake that it makes.
    instead: Option<Instead>,
}

impl View {
    pub(super) fn new(
        world: Arc<Mutex<World>>,
        root: impl Into<String>,
        is_copying: bool,
        instead: Option<Instead>,
    ) -> Self {
        Self { world, root: root.into(), is_copying, instead }
    }

    fn does(&self, instead: Instead) -> bool {
        self.instead == Some(instead)
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    fn folder(&self, folder: &str) -> String {
        if folder.is_empty() { self.root.clone() } else { format!("{}{folder}/", self.root) }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({self})")
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "world://{}", self.root)
    }
}

#[async_trait]
impl Store for View {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        let mut world = lock(&self.world);
        let overwrites = self.does(Instead::OverwriteGenesis) && path == GENESIS;
        if world.objects.contains_key(&self.key(path)) && !overwrites {
            return Ok(Created::Exists);
        }
        world.put(self.key(path), bytes);
        Ok(Created::Created)
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        let is_manifest = attempt_of(path).is_some_and(|(_, name)| name == MANIFEST);
        if is_manifest && self.does(Instead::DropManifest) {
            return Ok(());
        }
        let mut world = lock(&self.world);
        world.put(self.key(path), bytes.clone());
        if is_manifest && self.does(Instead::PublishWithManifest) {
            world.publish(&bytes);
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        Ok(lock(&self.world).objects.get(&self.key(path)).cloned())
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        Ok(self.get(path).await?.map(|bytes| bytes.len() as u64))
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let prefix = self.folder(folder);
        let world = lock(&self.world);
        let below = world.objects.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let entry = |(path, bytes): (&String, &Bytes)| Entry {
            path: path[self.root.len()..].to_owned(),
            size: bytes.len() as u64,
        };
        Ok(below.map(entry).collect())
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let prefix = self.folder(folder);
        let world = lock(&self.world);
        let below = world.objects.keys().filter_map(|path| path.strip_prefix(&prefix)?.split_once('/'));
        Ok(below.map(|(folder, _)| folder.to_owned()).collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        let mut world = lock(&self.world);
        if let Some((id, _)) = attempt_of(path) {
            if self.does(Instead::KeepStaged) {
                return Ok(());
            }
            if self.does(Instead::EraseManifestFirst) && world.has_retracted(id) {
                world.remove(&manifest(id));
                world.remove(&stored(id));
            }
        }
        world.remove(&self.key(path));
        Ok(())
    }

    async fn move_to_final(&self, from: &str, to: &str, _bytes: u64) -> Result<Moved, Error> {
        if self.does(Instead::StoreCommitFirst)
            && let Some((id, _)) = attempt_of(from)
        {
            let mut world = lock(&self.world);
            if let Some(bytes) = world.objects.get(&manifest(id)).cloned() {
                world.put(stored(id), bytes);
                world.remove(&manifest(id));
            }
        }
        if self.is_copying {
            let Some(bytes) = self.get(from).await? else { return Ok(Moved::SourceMissing) };
            self.put(to, bytes).await?;
            tokio::task::yield_now().await;
            self.delete(from).await?;
        } else {
            let mut world = lock(&self.world);
            let Some(bytes) = world.remove(&self.key(from)) else { return Ok(Moved::SourceMissing) };
            world.put(self.key(to), bytes);
        }
        Ok(Moved::Moved)
    }

    async fn upload(&self, path: &str) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(Growing { view: self.clone(), path: path.to_owned(), bytes: Vec::new() }))
    }

    async fn remove_folder(&self, _folder: &str) {}

    fn is_copying(&self) -> bool {
        self.is_copying
    }
}

#[derive(Debug)]
struct Growing {
    view: View,
    path: String,
    bytes: Vec<u8>,
}

#[async_trait]
impl Upload for Growing {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    fn held(&self) -> usize {
        self.bytes.len()
    }

    async fn finish(self: Box<Self>) -> Result<Uploaded, Error> {
        let Self { view, path, bytes } = *self;
        let uploaded = Uploaded { bytes: bytes.len() as u64, sha256: format!("{:064x}", bytes.len()) };
        view.put(&path, bytes.into()).await?;
        Ok(uploaded)
    }
}
