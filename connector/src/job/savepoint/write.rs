//! Writing a savepoint: file by file, each created only if absent, the manifest's hash last.
//!
//! Whatever a file of that name holds already is kept and counts: so a creation that was cut short is
//! finished by the next one with the same id, and several at the same time make one savepoint together. What
//! decides it is `checkpoint.json`; everything else follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tidegate_sinks::store::Created;
use tidegate_sinks::{Chain, Checkpoint, Commit, Sink};

use super::contents::{self, Commits};
use super::folder::{CHECKPOINT, COMMITS, Folder, HASH, JOB, MANIFEST, hash_line, limit, sha256};
use super::{FORMAT, FileEntry, Manifest, check_id, check_to, store_options, uri};
use crate::config::Config;
use crate::error::RunError;

/// How often a state is loaded anew when a rollback or a `forget` came between it and its commits.
const LOADS: u32 = 3;

/// How often a file is created that is said to be there, and is not.
const CREATIONS: u32 = 2;

/// Copies the newest state that the sink accepts, whoever runs the job meanwhile, to `<to>/<id>`. With the id
/// of a savepoint that is complete already it does nothing; one that was cut short it finishes.
///
/// Returns the savepoint's URL. Errors: `Failed`, when nothing has been written yet, or a store does not
/// answer; `Refused`, when what lies there cannot be finished.
pub async fn create(sink: &Chain, config: &Config, to: &str, id: &str) -> Result<String, RunError> {
    check_id(id)?;
    let to = check_to(to)?;
    let folder = Folder::open(&uri(&to, id), &store_options(config, &to), config.timeouts.retries())?;
    folder.create(sink, config, id).await?;
    Ok(folder.uri)
}

/// The files whose contents follow from the state, as they are to be written.
struct Files {
    checkpoint: Bytes,
    commits: Bytes,
    job: Bytes,
}

impl Folder {
    pub(super) async fn create(&self, sink: &Chain, config: &Config, id: &str) -> Result<(), RunError> {
        loop {
            let begun = match self.get(CHECKPOINT).await? {
                Some(bytes) => Some((self.begun(&bytes, config)?, bytes)),
                None => None,
            };
            let was_begun = begun.is_some();
            let (state, files) = self.gather(sink, config, begun).await?;
            let (checkpoint, was_first) = self.create_file(CHECKPOINT, files.checkpoint.clone()).await?;
            if checkpoint != files.checkpoint {
                continue; // Somebody else has begun it with another state: it is that one's.
            }
            let (commits, first_commits) = self.create_file(COMMITS, files.commits).await?;
            let (job, first_job) = self.create_file(JOB, files.job).await?;
            let manifest =
                manifest(&state, config, id, [(CHECKPOINT, &checkpoint), (COMMITS, &commits), (JOB, &job)]);
            let (manifest, first_manifest) = self.create_file(MANIFEST, encode(MANIFEST, &manifest)?).await?;
            let (_, first_hash) = self.create_file(HASH, hash_line(&manifest).into()).await?;
            let alone = !was_begun && was_first && first_commits && first_job && first_manifest && first_hash;
            if !alone {
                // Not all of it is what this call has written.
                self.read().await?;
            }
            tracing::info!(savepoint = %self.uri, checkpoint = state.n, "savepoint");
            return Ok(());
        }
    }

    /// The state of a savepoint that was begun and perhaps not completed.
    fn begun(&self, bytes: &[u8], config: &Config) -> Result<Arc<Checkpoint>, RunError> {
        let state = contents::checkpoint(bytes).map_err(|(_, problem)| self.unfinishable(&problem))?;
        if state.job != config.job {
            return Err(self.unfinishable(&format!("it is of job {:?}, not of {:?}", state.job, config.job)));
        }
        Ok(Arc::new(state))
    }

    fn unfinishable(&self, problem: &str) -> RunError {
        RunError::refused(format!(
            "{uri} was begun by somebody and cannot be finished ({problem}); remove it by `tidegate savepoint dispose \
             {uri}`, or make another with an id or a folder of its own",
            uri = self.uri
        ))
    }

    /// A state and its commits, all as of one moment: the newest, or what was begun.
    async fn gather(
        &self,
        sink: &Chain,
        config: &Config,
        begun: Option<(Arc<Checkpoint>, Bytes)>,
    ) -> Result<(Arc<Checkpoint>, Files), RunError> {
        let mut loads = 0;
        loop {
            let state = match &begun {
                Some((state, _)) => state.clone(),
                None => sink.load().await?.ok_or_else(|| nothing_yet(sink, config))?,
            };
            let commits = sink.commits(&state).await?;
            let problem = match contents::adds_up(Checkpoint::clone(&state), commits) {
                Ok((_, commits)) => {
                    let (job, begun) = (config.redacted(), begun.map(|(_, bytes)| bytes));
                    // It takes seconds where there are many commits.
                    let encoded =
                        tokio::task::spawn_blocking(move || encode_all(state, begun, commits, &job)).await;
                    return encoded
                        .map_err(|error| RunError::failed(format!("writing {}: {error}", self.uri)))?;
                }
                Err((_, problem)) => problem,
            };
            if begun.is_some() {
                return Err(self.unfinishable(&problem));
            }
            loads += 1;
            if loads == LOADS {
                return Err(RunError::failed(format!(
                    "the commits of job {} in {sink}: {problem}; `tidegate audit` shows all that is wrong",
                    config.job
                )));
            }
        }
    }

    /// Writes a file unless there is one. Returns the bytes that lie there, and whether this call wrote them.
    async fn create_file(&self, name: &str, bytes: Bytes) -> Result<(Bytes, bool), RunError> {
        for _ in 0..CREATIONS {
            if self.store.create(&self.path(name), bytes.clone()).await? == Created::Created {
                return Ok((bytes, true));
            }
            // S3 says so to one of two who create it at the same time, also when the other one fails.
            if let Some(found) = self.get(name).await? {
                let same = found == bytes;
                return Ok((found, same));
            }
        }
        Err(RunError::failed(format!(
            "{}/{name} was there a moment ago and is gone: somebody disposes of this savepoint",
            self.uri
        )))
    }
}

fn nothing_yet(sink: &Chain, config: &Config) -> RunError {
    RunError::failed(format!(
        "{sink} has no checkpoint of job {}: nothing has been written yet, so there is nothing to save; run the job first",
        config.job
    ))
}

fn encode_all(
    state: Arc<Checkpoint>,
    begun: Option<Bytes>,
    commits: Vec<Commit>,
    job: &serde_json::Value,
) -> Result<(Arc<Checkpoint>, Files), RunError> {
    let files = Files {
        checkpoint: begun.map_or_else(|| encode(CHECKPOINT, &*state), Ok)?,
        commits: encode(COMMITS, &Commits { format: FORMAT, commits })?,
        job: encode(JOB, job)?,
    };
    Ok((state, files))
}

/// One line of JSON, as small as what it is allowed to be.
fn encode(name: &str, value: &impl Serialize) -> Result<Bytes, RunError> {
    let failed = |error| RunError::failed(format!("a savepoint's {name}: {error}"));
    let mut json = serde_json::to_vec(value).map_err(failed)?;
    json.push(b'\n');
    if json.len() as u64 > limit(name) {
        return Err(RunError::failed(format!(
            "a savepoint's {name} would have {} bytes, and may have {}: `tidegate forget` folds old commits into one sum",
            json.len(),
            limit(name)
        )));
    }
    Ok(json.into())
}

fn manifest(state: &Checkpoint, config: &Config, id: &str, files: [(&str, &Bytes); 3]) -> Manifest {
    let entry = |bytes: &Bytes| FileEntry { bytes: bytes.len() as u64, sha256: sha256(bytes) };
    Manifest {
        format: FORMAT,
        id: id.to_owned(),
        job: state.job.clone(),
        created: Timestamp::now(),
        checkpoint: state.n,
        incarnation: state.incarnation,
        cluster_id: state.cluster_id.clone(),
        sink: config.sink.url.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        files: files
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), entry(bytes)))
            .collect::<BTreeMap<_, _>>(),
    }
}
