//! Sees every change of the store at the moment it happens, and judges it by what a reader is promised. It
//! knows nothing of the code under test but the format of what it stores.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tidegate_sinks::{Checkpoint, Commit, CommitId, FileKind, FinalName, StagedFile};

use super::kafka::{Entry, Kafka};
use super::rows;

mod rollback;

pub(super) const JOB: &str = "simulated";

/// What happened during a simulation: proof that it met what it is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Checkpoints that became the newest state.
    pub checkpoints: u64,
    pub commits: u64,
    pub rows: u64,
    pub rejects: u64,
    /// Late requests that filled a slot again which had been collected.
    pub ghosts: u64,
    /// Finals that were written once more while they were there.
    pub copied_again: u64,
    pub taken: u64,
    /// Attempts whose leftovers the collector removed.
    pub collected: u64,
    pub killed: u64,
    pub paused: u64,
    /// Control objects.
    pub asked: u64,
    /// Partitions that the group took away from a replica that did not give them.
    pub lost: u64,
    pub failed_runs: u64,
    /// Attempts announced; those that are not among the commits were dropped, fenced or killed.
    pub attempts: u64,
    pub rollbacks: u64,
    /// Rollbacks that were refused, rightly.
    pub refused: u64,
    /// Finals that were visible, taken back and erased.
    pub erased: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Witness {
    kafka: Kafka,
    pub(super) newest: Option<Checkpoint>,
    /// Every state that was the newest.
    pub(super) kept: Vec<Checkpoint>,
    /// Those of them that no rollback has cut off.
    lineage: Vec<Checkpoint>,
    in_force: BTreeMap<CommitId, Commit>,
    /// Taken back, for ever.
    retracted: BTreeMap<CommitId, Commit>,
    /// Visible files that no user has taken.
    visible: BTreeMap<String, Bytes>,
    taken: BTreeSet<String>,
    /// The file in which each record was delivered.
    delivered: BTreeMap<(i32, i64), String>,
    pub(super) events: Events,
    violation: Option<String>,
}

impl Events {
    /// Each with its name.
    pub fn counts(&self) -> [(&'static str, u64); 17] {
        let Self { checkpoints, commits, attempts, rows, rejects, ghosts, .. } = *self;
        let Self { copied_again, taken, collected, killed, paused, asked, lost, failed_runs, .. } = *self;
        let Self { rollbacks, refused, erased, .. } = *self;
        [
            ("checkpoints", checkpoints),
            ("commits", commits),
            ("attempts", attempts),
            ("rows", rows),
            ("rejects", rejects),
            ("ghosts", ghosts),
            ("copied again", copied_again),
            ("taken", taken),
            ("collected", collected),
            ("killed", killed),
            ("paused", paused),
            ("asked", asked),
            ("partitions lost", lost),
            ("failed runs", failed_runs),
            ("rollbacks", rollbacks),
            ("rollbacks refused", refused),
            ("erased", erased),
        ]
    }
}

impl Witness {
    pub(super) fn new(kafka: Kafka) -> Self {
        Self {
            kafka,
            newest: None,
            kept: Vec::new(),
            lineage: Vec::new(),
            in_force: BTreeMap::new(),
            retracted: BTreeMap::new(),
            visible: BTreeMap::new(),
            taken: BTreeSet::new(),
            delivered: BTreeMap::new(),
            events: Events::default(),
            violation: None,
        }
    }

    /// The first thing that must not have happened.
    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(super) fn accuse(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert(what.into());
    }

    pub(super) fn written(
        &mut self,
        path: &str,
        bytes: &Bytes,
        before: Option<&Bytes>,
        objects: &BTreeMap<String, Bytes>,
    ) {
        if let Some(n) = checkpoint_number(path) {
            if before.is_some() {
                return self.accuse(format!("checkpoint {n} is replaced: it is not immutable"));
            }
            self.checkpoint_created(n, bytes, objects);
        } else if is_final(path) {
            self.final_written(path, bytes, before);
        } else if before.is_none() && path.ends_with("/begin.json") {
            self.events.attempts += 1;
        }
    }

    fn checkpoint_created(&mut self, n: u64, bytes: &Bytes, objects: &BTreeMap<String, Bytes>) {
        let highest = self.newest.as_ref().map_or(0, |newest| newest.n);
        if n <= highest {
            self.events.ghosts += 1;
            return;
        }
        if n > highest + 1 {
            return self.accuse(format!("checkpoint {n} follows {highest}"));
        }
        let body: Checkpoint = match serde_json::from_slice(bytes) {
            Ok(body) => body,
            Err(error) => return self.accuse(format!("checkpoint {n} does not read: {error}")),
        };
        self.events.checkpoints += 1;
        if let Some(id) = &body.commit {
            let manifest = objects.get(&format!("_tidegate/{JOB}/staging/{id}/commit.json"));
            match manifest.map(|bytes| serde_json::from_slice::<Commit>(bytes)) {
                Some(Ok(commit)) => {
                    let is_staged = |file: &&StagedFile| {
                        objects.contains_key(&format!("_tidegate/{JOB}/staging/{id}/{}", file.staged))
                    };
                    // Only a mistake shows one earlier.
                    let is_there =
                        |file: &&StagedFile| is_staged(file) || self.visible.contains_key(&final_path(file));
                    if let Some(file) = commit.files.iter().find(|file| !is_there(file)) {
                        let staged = &file.staged;
                        self.accuse(format!("checkpoint {n} commits {id}, whose file {staged} is not there"));
                    }
                    self.committed(&body, commit);
                }
                _ => self.accuse(format!("checkpoint {n} commits {id}, which has no manifest")),
            }
        } else if let Some(newest) = &self.newest
            && newest.partitions != body.partitions
        {
            if newest.restored == body.restored {
                self.accuse(format!("checkpoint {n} moves positions without a commit"));
            }
            self.rolled_back(&body);
        }
        self.dropped(&body);
        self.erased(&body);
        self.epochs(&body);
        self.kept.push(body.clone());
        self.lineage.push(body.clone());
        self.newest = Some(body);
    }

    /// The commits in force tile each partition.
    fn committed(&mut self, body: &Checkpoint, commit: Commit) {
        let Some(before) = &self.newest else { return self.accuse("the first checkpoint commits") };
        let mut expected = before.partitions.clone();
        let mut wrong = None;
        for (partition, span) in &commit.delta.0 {
            match expected.get_mut(partition) {
                Some(at) if at.next != span.from => {
                    wrong =
                        Some(format!("commit {} covers {partition} {span}, next is {}", commit.id, at.next));
                }
                Some(at) => at.next = span.to,
                None => {
                    let start = self.kafka.logs().get(partition).map_or(0, |log| log.start);
                    if span.from != start {
                        wrong =
                            Some(format!("commit {} begins {partition} {span}, start is {start}", commit.id));
                    }
                    expected.extend(body.partitions.get(partition).map(|state| (partition.clone(), *state)));
                }
            }
        }
        let positions = |partitions: &BTreeMap<_, tidegate_sinks::PartitionState>| -> Vec<i64> {
            partitions.values().map(|state| state.next).collect()
        };
        if positions(&expected) != positions(&body.partitions) {
            wrong =
                wrong.or(Some(format!("checkpoint {}: its positions are not those of its commit", body.n)));
        }
        if let Some(wrong) = wrong {
            self.accuse(wrong);
        }
        self.events.commits += 1;
        self.events.rejects += commit.rejects;
        self.in_force.insert(commit.id.clone(), commit);
    }

    /// The epoch beside a position is that of the last record below it, whatever led there.
    fn epochs(&mut self, body: &Checkpoint) {
        let kafka = self.kafka.clone();
        let logs = kafka.logs();
        for (partition, at) in body.kafka_partitions() {
            let last = logs.get(partition).and_then(|log| log.epoch(at.start, at.next));
            let known = body.epochs.get(partition).copied();
            if known != last {
                let what =
                    format!("checkpoint {}: {partition} has the epoch {known:?}, not {last:?}", body.n);
                self.violation.get_or_insert(what);
            }
        }
    }

    /// What the chain lists no more as unpublished is visible, or has been.
    fn dropped(&mut self, body: &Checkpoint) {
        let Some(before) = &self.newest else { return };
        for id in before.unpublished.iter().filter(|id| !body.unpublished.contains(id)) {
            let files = self.in_force.get(id).map_or(&[][..], |commit| &commit.files);
            for path in files.iter().map(final_path) {
                if !self.visible.contains_key(&path) && !self.taken.contains(&path) {
                    let what =
                        format!("checkpoint {} drops commit {id}, but {path} never was visible", body.n);
                    self.violation.get_or_insert(what);
                }
            }
        }
    }

    fn final_written(&mut self, path: &str, bytes: &Bytes, before: Option<&Bytes>) {
        if self.taken.contains(path) {
            return self.accuse(format!("{path} comes back after a user moved it away"));
        }
        if let Some(before) = before {
            self.events.copied_again += 1;
            if before != bytes {
                self.accuse(format!("{path} changes its content"));
            }
            return;
        }
        self.visible.insert(path.to_owned(), bytes.clone());
        let Some(name) = path.rsplit('/').next().and_then(FinalName::parse) else { return };
        if self.is_retracted(&name.commit) {
            // A publisher that is late: it is erased before anything else becomes visible.
            return;
        }
        if !self.in_force.contains_key(&name.commit) {
            return self.accuse(format!("{path} is visible, its commit is not in force"));
        }
        if let Some(foreign) = self.visible.keys().find(|path| is_foreign(path)) {
            return self.accuse(format!("{path} is visible beside {foreign}, which was to be overwritten"));
        }
        match rows::records(bytes) {
            Ok(records) => self.delivered(path, &records),
            Err(error) => self.accuse(format!("{path} does not read: {error}")),
        }
    }

    fn delivered(&mut self, path: &str, records: &[(i32, i64)]) {
        let wanted = if path.starts_with("_tidegate/") { Entry::Malformed } else { Entry::Row };
        let kafka = self.kafka.clone();
        let logs = kafka.logs();
        for &(partition, offset) in records {
            let log = logs.values().nth(partition as usize);
            if log.and_then(|log| log.entries.get(offset as usize)) != Some(&wanted) {
                self.accuse(format!("{path} has {partition}/{offset}, which is no {wanted:?}"));
            }
            if let Some(other) = self.delivered.insert((partition, offset), path.to_owned()) {
                self.accuse(format!("{partition}/{offset} is both in {other} and in {path}"));
            }
        }
        self.events.rows += records.len() as u64;
    }

    pub(super) fn removed(&mut self, path: &str) {
        if self.visible.remove(path).is_none() || self.taken.contains(path) || is_foreign(path) {
            return;
        }
        let name = path.rsplit('/').next().and_then(FinalName::parse);
        if name.is_some_and(|name| self.is_retracted(&name.commit)) {
            self.events.erased += 1;
            return self.delivered.retain(|_, file| file != path);
        }
        self.accuse(format!("{path} was visible and is gone"));
    }

    /// A user moves a final away; what is in it counts as delivered.
    pub(super) fn taken(&mut self, path: &str) {
        self.events.taken += 1;
        self.taken.insert(path.to_owned());
    }

    /// Finals that lie there now.
    pub(super) fn finals(&self) -> Vec<String> {
        self.visible.keys().filter(|path| !is_foreign(path)).cloned().collect()
    }

    pub(super) fn has_delivered(&self) -> bool {
        !self.delivered.is_empty()
    }

    /// At the end: every record from the start of its partition on is there, exactly once.
    pub(super) fn judge_end(&mut self) {
        let Some(newest) = self.newest.clone() else { return self.accuse("no chain was ever begun") };
        if !newest.unpublished.is_empty() || !newest.retracted.is_empty() {
            self.accuse(format!("checkpoint {} still has something to be made visible", newest.n));
        }
        let kafka = self.kafka.clone();
        let logs = kafka.logs();
        let mut expected = BTreeSet::new();
        for (partition, log) in logs.iter() {
            let start = newest.partitions.get(partition).map_or(log.start, |state| state.start);
            let records = log.visible(start, log.high_watermark());
            expected.extend(
                records.filter(|(_, e)| *e != Entry::Tombstone).map(|(at, _)| (partition.partition, at)),
            );
        }
        let missing: Vec<_> = expected.iter().filter(|record| !self.delivered.contains_key(record)).collect();
        if let Some(first) = missing.first() {
            self.accuse(format!("{} records are missing, the first is {first:?}", missing.len()));
        }
        let extra = self.delivered.keys().find(|record| !expected.contains(record)).copied();
        if let Some(extra) = extra {
            self.accuse(format!("{extra:?} was never to be delivered"));
        }
    }
}

/// A file that is not the job's.
fn is_foreign(path: &str) -> bool {
    path.rsplit('/').next().and_then(FinalName::parse).is_none()
}

fn final_path(file: &StagedFile) -> String {
    match file.kind {
        FileKind::Data => file.path.clone(),
        FileKind::Rejects => format!("_tidegate/{JOB}/rejects/{}", file.path),
    }
}

fn is_final(path: &str) -> bool {
    !path.starts_with("_tidegate/") || path.starts_with(&format!("_tidegate/{JOB}/rejects/"))
}

fn checkpoint_number(path: &str) -> Option<u64> {
    path.strip_prefix(&format!("_tidegate/{JOB}/checkpoints/"))?.strip_suffix(".json")?.parse().ok()
}
