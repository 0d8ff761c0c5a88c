//! Reading and writing the objects by which a job is controlled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tidegate_sinks::store::Created;
use tidegate_sinks::{Chain, Error, Folder, Kind, SharedObjects, versioned};

use super::{Change, Control, FORMAT, Replica};
use crate::config::Config;

/// Control objects that are kept below the newest. A slot this far below the newest
/// may have been cleaned, so who fills it asks again.
const KEPT: u64 = 8;
/// How often a reader or a writer starts over before it gives up: each time says
/// that somebody else has written.
const TRIES: u32 = 100;
/// A replica's object that is older than so many polls is one of a replica that has died.
const STALE_POLLS: u32 = 30;
const STALE_AT_LEAST: Duration = Duration::from_secs(60);

/// The objects of one job. Clones are the same place.
#[derive(Clone, Debug)]
pub struct Board {
    pub(super) objects: SharedObjects,
    /// How often replicas look; `control.poll`.
    poll: Duration,
    /// The highest damaged control object that was reported, so that each is reported once.
    reported: Arc<AtomicU64>,
}

impl Board {
    /// `poll` is `control.poll`.
    pub fn new(objects: SharedObjects, poll: Duration) -> Self {
        Self { objects, poll, reported: Arc::default() }
    }

    /// The job's whose sink this is.
    pub fn of(sink: &Chain, config: &Config) -> Self {
        Self::new(sink.shared_objects(), config.control.poll)
    }

    /// How often replicas look.
    pub fn poll(&self) -> Duration {
        self.poll
    }

    /// The newest control object that reads, or none where nothing was ever asked. A
    /// damaged one is reported in the log and passed over.
    ///
    /// Errors: `Config` when one has a newer format.
    pub async fn newest(&self) -> Result<Option<Control>, Error> {
        self.newest_since(None).await
    }

    /// The same where `known` was the newest at the last look: it is not read again while it still is.
    pub(crate) async fn newest_since(&self, known: Option<&Control>) -> Result<Option<Control>, Error> {
        Ok(self.look(known).await?.newest)
    }

    /// Asks for a change, on top of all that was asked before. Returns what is asked now.
    ///
    /// Errors: as those of [`Board::newest`].
    pub async fn request(&self, change: Change, now: Timestamp) -> Result<Control, Error> {
        self.request_if(&change, now, |_| Ok(())).await
    }

    /// Like [`Board::request`], when `may` allows it on the newest control object.
    pub(super) async fn request_if(
        &self,
        change: &Change,
        now: Timestamp,
        may: impl Fn(Option<&Control>) -> Result<(), Error>,
    ) -> Result<Control, Error> {
        for _ in 0..TRIES {
            let Look { newest, highest } = self.look(None).await?;
            may(newest.as_ref())?;
            let control = Control::next(newest, highest + 1, change, now);
            if self.create(&control).await? {
                self.clean(control.n).await;
                return Ok(control);
            }
        }
        Err(Error::new(Kind::Retry, format!("{}: somebody else was always first", self.place())))
    }

    /// Whether the object is the one at its number now, and all later ones were made on top of it.
    async fn create(&self, control: &Control) -> Result<bool, Error> {
        let (name, bytes) = (name(control.n), versioned::write(control)?);
        let created = self.objects.create(Folder::Control, &name, bytes.clone()).await?;
        // What is there may be one's own, from a request whose answer was lost.
        if created == Created::Exists
            && self.objects.get(Folder::Control, &name).await?.as_ref() != Some(&bytes)
        {
            return Ok(false);
        }
        // Further below the newest, the number may have been used and cleaned before.
        Ok(self.numbers().await?.last().is_none_or(|highest| *highest <= control.n + KEPT))
    }

    /// Removes what nobody will read again; a courtesy.
    async fn clean(&self, newest: u64) {
        let Ok(numbers) = self.numbers().await else { return };
        for n in numbers.into_iter().filter(|n| n + KEPT < newest) {
            if let Err(error) = self.objects.remove(Folder::Control, &name(n)).await {
                tracing::debug!(%error, "an old control object stays");
            }
        }
    }

    async fn look(&self, known: Option<&Control>) -> Result<Look, Error> {
        for _ in 0..TRIES {
            let numbers = self.numbers().await?;
            let highest = numbers.last().copied().unwrap_or(0);
            if let Some(known) = known.filter(|known| known.n == highest) {
                return Ok(Look { newest: Some(known.clone()), highest });
            }
            let mut cleaned = false;
            for n in numbers.into_iter().rev() {
                match self.read(n).await {
                    Ok(Some(control)) => return Ok(Look { newest: Some(control), highest }),
                    // Cleaned since it was listed, so there are newer ones.
                    Ok(None) => {
                        cleaned = true;
                        break;
                    }
                    Err(error) if error.kind == Kind::Corrupt => self.report_damage(n, &error),
                    Err(error) => return Err(error),
                }
            }
            if !cleaned {
                return Ok(Look { newest: None, highest });
            }
        }
        Err(Error::new(Kind::Retry, format!("{} changes all the time", self.place())))
    }

    fn report_damage(&self, n: u64, error: &Error) {
        if self.reported.fetch_max(n, Ordering::Relaxed) < n {
            tracing::error!(
                %error,
                source = error.source.as_deref().map(tracing::field::display),
                "this control object is damaged and is passed over: the one before it holds; ask again for what it asked"
            );
        }
    }

    /// The numbers of the control objects, ascending.
    async fn numbers(&self) -> Result<Vec<u64>, Error> {
        let names = self.objects.names(Folder::Control).await?;
        Ok(names.iter().filter_map(|name| number(name)).collect())
    }

    async fn read(&self, n: u64) -> Result<Option<Control>, Error> {
        let control: Option<Control> = self.read_json(Folder::Control, &name(n)).await?;
        match control {
            Some(control) if control.n != n => {
                let at = self.objects.location(Folder::Control, &name(n));
                Err(Error::new(Kind::Corrupt, format!("{at} calls itself {}", control.n)))
            }
            control => Ok(control),
        }
    }

    fn place(&self) -> String {
        self.objects.location(Folder::Control, "")
    }

    // ---- replicas ----

    /// What the replicas of the job last said of themselves, by id; those that died long ago are left out.
    pub async fn replicas(&self) -> Result<Vec<Replica>, Error> {
        let (mut replicas, now) = (self.all_replicas().await?, Timestamp::now());
        replicas.retain(|replica| !is_stale(replica, self.poll, now));
        Ok(replicas)
    }

    /// Every replica that has left an object, dead or alive. Damaged objects are left out.
    pub(super) async fn all_replicas(&self) -> Result<Vec<Replica>, Error> {
        let mut replicas = Vec::new();
        for name in self.objects.names(Folder::Replicas).await? {
            match self.read_json::<Replica>(Folder::Replicas, &name).await {
                Ok(replica) => replicas.extend(replica.filter(|replica| replica_name(&replica.id) == name)),
                Err(error) if error.kind == Kind::Retry => return Err(error),
                Err(error) => tracing::warn!(%error, "a replica's object is passed over"),
            }
        }
        Ok(replicas)
    }

    /// Says how a replica is, in place of what it said before.
    pub async fn report(&self, replica: &Replica) -> Result<(), Error> {
        self.objects.put(Folder::Replicas, &replica_name(&replica.id), versioned::write(replica)?).await
    }

    /// Of a replica that has ended.
    pub async fn remove_replica(&self, id: &str) -> Result<(), Error> {
        self.objects.remove(Folder::Replicas, &replica_name(id)).await
    }

    /// Removes the objects of replicas that died long ago.
    pub async fn clean_replicas(&self) -> Result<(), Error> {
        let now = Timestamp::now();
        for replica in self.all_replicas().await? {
            if is_stale(&replica, self.poll, now) {
                self.remove_replica(&replica.id).await?;
            }
        }
        Ok(())
    }

    /// Reads an object, its format first.
    ///
    /// Errors: `Config` for a newer format; `Corrupt` when it does not read.
    pub(super) async fn read_json<T: DeserializeOwned>(
        &self,
        folder: Folder,
        name: &str,
    ) -> Result<Option<T>, Error> {
        let Some(bytes) = self.objects.get(folder, name).await? else { return Ok(None) };
        versioned::read(self.objects.location(folder, name), &bytes, FORMAT).map(Some)
    }
}

struct Look {
    newest: Option<Control>,
    /// Of all that are there, damaged ones among them; 0: none.
    highest: u64,
}

fn is_stale(replica: &Replica, poll: Duration, now: Timestamp) -> bool {
    let age = now.duration_since(replica.updated);
    let patience = (poll * STALE_POLLS).max(STALE_AT_LEAST);
    age.is_positive() && age.unsigned_abs() > patience
}

fn name(n: u64) -> String {
    format!("{n:020}.json")
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn replica_name(id: &str) -> String {
    format!("{id}.json")
}
