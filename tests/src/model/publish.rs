//! Making a commit visible, data first and manifest last, and taking a retracted
//! one back, manifest last again: who finds a manifest can tell which data belongs
//! to it, and who finds it final knows that the data is.

use super::bug::Bug;
use super::events::Event;
use super::files::FileId;
use super::rules::{Manifests, PublishBy};
use super::system::{ProtocolModel, WorkerId};
use super::world::{Hand, World};

/// The copies of a retracted commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    StagedData,
    FinalData,
    StagedManifest,
    FinalManifest,
}

impl ProtocolModel {
    /// Begins to publish `file`: looks at the manifest, then moves the data.
    pub(super) fn publish(&self, world: &mut World, id: WorkerId, file: FileId) {
        if self.rules.separate_manifests() && !world.staged_manifests.contains(file) {
            return self.manifest_not_staged(world, id, file);
        }
        if self.rules.has(Bug::ManifestFirst) {
            world.staged_manifests.remove(file);
            world.manifests.insert(file);
            return;
        }
        if !world.staged.contains(file) {
            if world.visible.contains(file) || !self.rules.alarm_when_missing {
                self.note(world, Event::AlreadyPublished);
                self.data_moved(world, id, file);
            } else {
                self.suspect(world, id, file);
            }
            return;
        }
        match self.rules.publish {
            PublishBy::Rename => {
                world.staged.remove(file);
                world.make_visible(file);
                self.data_moved(world, id, file);
            }
            PublishBy::SlowCopy => world.workers[id].hand = Hand::Copying(file),
            PublishBy::Copy => {
                let worker = &mut world.workers[id];
                worker.hand = Hand::Copied(file);
                if self.rules.has(Bug::DropBeforeDelete) {
                    worker.done.insert(file);
                }
                if self.rules.has(Bug::PublishBeforeCommit) && worker.attempt == Some(file) {
                    worker.hand = Hand::Free;
                }
                world.make_visible(file);
            }
        }
    }

    /// The data of `file` is final and staged no more.
    pub(super) fn data_moved(&self, world: &mut World, id: WorkerId, file: FileId) {
        if self.rules.separate_manifests() {
            world.workers[id].hand = Hand::DataMoved(file);
        } else {
            self.finished(world, id, file);
        }
    }

    pub(super) fn move_manifest(&self, world: &mut World, id: WorkerId, file: FileId) {
        let put = self.rules.manifests == Manifests::Put;
        if !put && !world.staged_manifests.contains(file) {
            return self.manifest_not_staged(world, id, file);
        }
        match self.rules.publish {
            PublishBy::Rename if !put => {
                world.staged_manifests.remove(file);
                world.manifests.insert(file);
                self.finished(world, id, file);
            }
            PublishBy::SlowCopy => world.workers[id].hand = Hand::CopyingManifest(file),
            PublishBy::Copy | PublishBy::Rename => {
                world.manifests.insert(file);
                world.workers[id].hand = Hand::ManifestCopied(file);
            }
        }
    }

    /// No staged manifest: if there is a final one, somebody else has finished the commit.
    fn manifest_not_staged(&self, world: &mut World, id: WorkerId, file: FileId) {
        if world.manifests.contains(file) {
            self.finished(world, id, file);
            self.note(world, Event::FinishedByAnother);
        } else {
            self.suspect(world, id, file);
        }
    }

    pub(super) fn finished(&self, world: &mut World, id: WorkerId, file: FileId) {
        world.workers[id].done.insert(file);
        world.workers[id].hand = Hand::Free;
    }

    fn suspect(&self, world: &mut World, id: WorkerId, file: FileId) {
        if self.rules.has(Bug::AlarmWithoutReload) {
            world.harm.alarm = true;
        } else {
            world.workers[id].hand = Hand::Suspect(file);
        }
    }

    // ---- retraction ----

    /// In which order a retracted commit's copies are deleted.
    fn order_of_erasure(&self) -> &'static [Copies] {
        use Copies::{FinalData, FinalManifest, StagedData, StagedManifest};
        match self.rules.bug {
            Some(Bug::EraseFinalFirst) => &[FinalData, StagedData],
            Some(Bug::EraseManifestFirst) => &[StagedManifest, FinalManifest, StagedData, FinalData],
            _ if self.rules.separate_manifests() => &[StagedData, FinalData, StagedManifest, FinalManifest],
            _ => &[StagedData, FinalData],
        }
    }

    /// Whether an eraser finds no manifest: then nobody can tell the commit's files,
    /// and they are gone already.
    fn erased_by_another(&self, world: &World, file: FileId) -> bool {
        let manifest = world.staged_manifests.or(world.manifests).contains(file);
        self.rules.separate_manifests() && !manifest && !world.foreign.contains(file)
    }

    /// Whether the next copy of `file` may be deleted, `deleted` of them being gone. Nothing is taken for
    /// gone while a copy may still be running that would bring it back.
    pub(super) fn may_erase(&self, world: &World, file: FileId, deleted: u8) -> bool {
        let next = self.order_of_erasure()[usize::from(deleted)];
        let concludes = matches!(next, Copies::FinalData | Copies::FinalManifest)
            || (deleted == 0 && self.erased_by_another(world, file));
        // How long a copy takes is known; how late a PUT may come is not.
        let manifest_coming = self.rules.manifests == Manifests::Moved && world.manifest_is_coming(file);
        let running = world.is_being_copied(file) || manifest_coming;
        !concludes || !running || self.rules.has(Bug::NoCopyGrace)
    }

    /// Deletes the next copy of `file`.
    pub(super) fn erase(&self, world: &mut World, id: WorkerId, file: FileId) {
        let deleted = match world.workers[id].hand {
            Hand::Erasing(_, deleted) => deleted,
            _ => 0,
        };
        let order = self.order_of_erasure();
        let mut all_gone = usize::from(deleted) + 1 == order.len();
        if deleted == 0 && self.erased_by_another(world, file) {
            all_gone = true;
        } else {
            match order[usize::from(deleted)] {
                Copies::StagedData => world.staged.remove(file),
                Copies::FinalData => world.visible.remove(file),
                Copies::StagedManifest => world.staged_manifests.remove(file),
                Copies::FinalManifest => world.manifests.remove(file),
            }
        }
        if all_gone {
            world.workers[id].erased.insert(file);
            world.workers[id].hand = Hand::Free;
        } else {
            world.workers[id].hand = Hand::Erasing(file, deleted + 1);
        }
    }
}
