//! Columns of tables that have none yet: a sample of each of the table's
//! partitions, what it says, and a pin, so that all replicas go by the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tidegate_sinks::chain::merge_pins;
use tidegate_sinks::{Checkpoint, Error, Kind, Sink, TopicPartition};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{TableColumns, pins};
use crate::columns::{self, levels};
use crate::config::{Column, Config, Format, Topics};
use crate::error::RunError;
use crate::flow::decode;
use crate::flow::event::Fetch;
use crate::flow::stage::{BoxError, Decoders, Opened};
use crate::formats::{Columns, Inferred};
use crate::kafka::cluster::{Cluster, Quota};
use crate::replica::status::Status;

/// Records looked at for each table, at most, spread over its partitions.
const SAMPLE_RECORDS: usize = 1_000;
/// And of each partition at least.
const PARTITION_RECORDS: usize = 20;
/// Bytes of records that are held at the same time.
const SAMPLE_BYTES: usize = 64 << 20;
/// Partitions that are sampled at the same time.
const PARTITIONS_AT_ONCE: usize = 256;
/// A table whose sample says nothing is not sampled again before.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Partitions that a message names.
const NAMED: usize = 20;

/// What a table's sample says.
#[derive(Clone, Debug)]
pub struct Found {
    pub table: String,
    /// Records of each partition in the sample.
    pub sampled: BTreeMap<TopicPartition, usize>,
    /// Why there is nothing yet to infer columns from.
    pub inferred: Result<Inferred, String>,
    /// There is something, but no folder of `sink.partition_by` can be named by it.
    pub is_unfit: bool,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.sampled.values().all(|records| *records == 0)
    }

    /// How many records of which partitions: `t/0: 5, t/1: 3`.
    pub fn partitions(&self) -> String {
        let named = self.sampled.iter().take(NAMED);
        let mut named: Vec<_> = named.map(|(partition, records)| format!("{partition}: {records}")).collect();
        if self.sampled.len() > NAMED {
            named.push(format!("and {} partitions more", self.sampled.len() - NAMED));
        }
        named.join(", ")
    }
}

/// Samples the partitions of each table, and infers its columns beside those of Kafka's metadata.
pub async fn look(
    cluster: &dyn Cluster,
    config: &Config,
    tables: &BTreeMap<String, Vec<TopicPartition>>,
) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    let (mut at_once, mut partitions) = (BTreeMap::new(), 0);
    for (table, of_table) in tables {
        at_once.insert(table, of_table);
        partitions += of_table.len();
        if partitions >= PARTITIONS_AT_ONCE {
            found.extend(look_at_once(cluster, config, &at_once, partitions).await?);
            (at_once, partitions) = (BTreeMap::new(), 0);
        }
    }
    found.extend(look_at_once(cluster, config, &at_once, partitions).await?);
    Ok(found)
}

async fn look_at_once(
    cluster: &dyn Cluster,
    config: &Config,
    tables: &BTreeMap<&String, &Vec<TopicPartition>>,
    partitions: usize,
) -> Result<Vec<Found>, Error> {
    let quota = |of_table: &[TopicPartition]| Quota {
        records: (SAMPLE_RECORDS / of_table.len().max(1)).max(PARTITION_RECORDS),
        bytes: SAMPLE_BYTES / partitions.max(1),
    };
    let wanted: BTreeMap<_, _> = tables
        .values()
        .flat_map(|of_table| of_table.iter().map(|partition| (partition.clone(), quota(of_table))))
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut sample = cluster.sample(&wanted).await?;
    let one = |(table, of_table): (&&String, &&Vec<TopicPartition>)| {
        let records = of_table.iter().map(|p| (p.clone(), sample.remove(p).unwrap_or_default())).collect();
        found(table, &records, config)
    };
    Ok(tables.iter().map(one).collect())
}

fn found(table: &str, sample: &BTreeMap<TopicPartition, Vec<Vec<u8>>>, config: &Config) -> Found {
    let sampled = sample.iter().map(|(partition, records)| (partition.clone(), records.len())).collect();
    let records: Vec<_> = sample.values().flatten().map(Vec::as_slice).collect();
    let inferred = match records.len() {
        0 => Err("its topics hold no record yet".to_owned()),
        _ => infer(&config.format, &records),
    };
    // Columns are pinned for good; without those that folders are named by, no row could ever be written.
    let unfit = inferred.as_ref().ok().and_then(|inferred| unfit(inferred, config).err());
    let is_unfit = unfit.is_some();
    let inferred = unfit.map_or(inferred, Err);
    Found { table: table.to_owned(), sampled, inferred, is_unfit }
}

fn infer(format: &Format, sample: &[&[u8]]) -> Result<Inferred, String> {
    match format.kind.columns {
        Columns::Inferred(infer) => infer(sample, &format.metadata).map_err(|error| error.to_string()),
        // Tables of other formats have their columns before any record is looked at.
        Columns::Fixed(_) | Columns::Listed => Err(format!("format {} infers no columns", format.kind.word)),
    }
}

fn unfit(inferred: &Inferred, config: &Config) -> Result<(), String> {
    let schema =
        columns::schema(&inferred.columns, &config.format.metadata).map_err(|error| error.to_string())?;
    let (fields, columns) = (&config.sink.partition_by, config.sink.partition_columns.unwrap_or_default());
    let fit = levels::levels(fields, columns, &schema);
    fit.map(drop).map_err(|error| format!("sink.partition_by does not fit what its records hold: {error}"))
}

/// What the first checkpoint pins, where columns are inferred: those of all tables that have records.
pub async fn first_pins(config: &Config, cluster: &dyn Cluster) -> Result<Value, RunError> {
    let columns = TableColumns::read(config, None)?;
    if !columns.are_inferred() {
        return Ok(serde_json::json!({}));
    }
    let unknown = columns.unknown(&cluster.partitions().await?);
    let found = look(cluster, config, &unknown).await?;
    // Of a pattern's topics one may be anything; its records are rejects.
    if let (Topics::List(_), Some(found)) = (&config.kafka.topics, found.iter().find(|found| found.is_unfit))
        && let Err(why) = &found.inferred
    {
        return Err(RunError::Config(format!("table {}: {why}", found.table), None));
    }
    Ok(pins_of(&found))
}

/// Says what was found.
fn pins_of(found: &[Found]) -> Value {
    let with_columns = found.iter().filter_map(|found| Some((found, found.inferred.as_ref().ok()?)));
    pins(with_columns.inspect(|(found, inferred)| tell(found, inferred)).map(|(f, i)| (&f.table, &i.columns)))
}

/// The decoders of a running job's tables. A table that has no columns yet gets them with its first records.
pub struct Resolver {
    config: Config,
    sink: Arc<dyn Sink>,
    cluster: Arc<dyn Cluster>,
    status: Arc<Status>,
    known: RwLock<TableColumns>,
    looking: Mutex<Looking>,
}

/// Whoever looks for columns holds this meanwhile.
struct Looking {
    /// The newest seen.
    state: Arc<Checkpoint>,
    /// When, and what was in the way.
    tried: BTreeMap<String, (Instant, String)>,
}

impl Resolver {
    /// Of a job that goes on from `state`.
    ///
    /// Errors: pinned columns that do not read.
    pub fn new(
        config: &Config,
        sink: Arc<dyn Sink>,
        cluster: Arc<dyn Cluster>,
        status: Arc<Status>,
        state: Arc<Checkpoint>,
    ) -> Result<Self, RunError> {
        Ok(Self {
            config: config.clone(),
            sink,
            cluster,
            status,
            known: RwLock::new(TableColumns::read(config, Some(&state))?),
            looking: Mutex::new(Looking { state, tried: BTreeMap::new() }),
        })
    }

    fn known(&self) -> TableColumns {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks for the columns of all tables that have records and no columns. While none has any, the job
    /// waits: it is told, unless it is a bounded run, which ends.
    pub async fn begin(&self, until_end: bool) -> Result<(), RunError> {
        for list in self.known().lists() {
            let twins =
                columns::schema(list, &self.config.format.metadata).map(|schema| columns::twins(&schema));
            for caution in columns::cautions(list).into_iter().chain(twins.unwrap_or_default()) {
                tracing::warn!("{caution}");
            }
        }
        if !self.known().are_inferred() {
            return Ok(());
        }
        let partitions = self.cluster.partitions().await?;
        let unknown = self.known().unknown(&partitions);
        let found = match look(&*self.cluster, &self.config, &unknown).await {
            // Other tables go on meanwhile.
            Err(error) if error.kind == Kind::Retry && !until_end => {
                tracing::warn!(%error, "the columns of these are looked for with their first records");
                return Ok(());
            }
            found => found?,
        };
        let is_empty = found.iter().all(Found::is_empty);
        self.pin(&mut *self.looking.lock().await, &found).await?;
        if is_empty && !until_end && !self.known().are_known() {
            let reason = "waiting for a first record to infer format.columns from: the topics hold none yet, and the job file lists \
                          no columns";
            self.status.set_waiting(Some(reason.to_owned()));
        }
        Ok(())
    }

    async fn pin(&self, looking: &mut Looking, found: &[Found]) -> Result<(), Error> {
        if found.iter().all(|found| found.inferred.is_err()) {
            return Ok(());
        }
        let mut pins = pins_of(found);
        let mut pinned = looking.state.pinned.clone();
        if let Some(pinned) = pinned.as_object_mut() {
            // The one list of an old chain is not that of these tables.
            pinned.remove("columns");
        }
        for found in found {
            let Ok(inferred) = &found.inferred else { continue };
            let topics: BTreeSet<_> = found.sampled.keys().map(|partition| &*partition.topic).collect();
            let columns = |_: &str| Some(inferred.columns.clone());
            // Files from when the job file still listed the columns must fit.
            let fit = pins::compare(&self.config, &pinned, topics, columns);
            let additions = fit.and_then(pins::Compared::accepted);
            let additions = additions.map_err(|error| Error::new(Kind::Config, error.to_string()))?;
            pins = merge_pins(&pins, &additions);
        }
        looking.state = self.sink.pin(looking.state.clone(), &pins).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.add_pinned(&looking.state).map_err(|error| Error::new(Kind::Corrupt, error.to_string()))?;
        self.status.set_waiting(None);
        Ok(())
    }

    /// The columns of the table that `first` goes to, or why there are none yet.
    async fn columns(&self, first: &Fetch) -> Result<Result<Vec<Column>, String>, Error> {
        let topic = &*first.partition.topic;
        let known = || self.known().of_topic(topic).map(<[Column]>::to_vec);
        if let Some(columns) = known() {
            return Ok(Ok(columns));
        }
        let mut looking = self.looking.lock().await;
        // Another worker may have found them meanwhile.
        if let Some(columns) = known() {
            return Ok(Ok(columns));
        }
        let table = self.known().table_of(topic);
        let fetched: Vec<Vec<u8>> =
            first.records().filter_map(|r| r.payload.map(<[u8]>::to_vec)).take(SAMPLE_RECORDS).collect();
        let records: Vec<_> = fetched.iter().map(Vec::as_slice).collect();
        let says_something =
            infer(&self.config.format, &records).is_ok_and(|inferred| unfit(&inferred, &self.config).is_ok());
        if let Some((when, why)) = looking.tried.get(&table)
            && !says_something
            && when.elapsed() < LOOK_AGAIN
        {
            return Ok(Err(why.clone()));
        }
        let found = self.look(&table, &first.partition, fetched).await.map_err(|error| {
            Error::new(error.kind, format!("inferring the columns of table {table}: {error}"))
                .with_source(error)
        })?;
        if let Err(why) = &found.inferred {
            looking.tried.insert(table, (Instant::now(), why.clone()));
            return Ok(Err(why.clone()));
        }
        self.pin(&mut looking, std::slice::from_ref(&found)).await?;
        let missing =
            || Error::new(Kind::Corrupt, format!("what is pinned of table {table} is not to be found"));
        known().map(Ok).ok_or_else(missing)
    }

    /// The records in hand are a part of the sample: by their columns they will be decoded first.
    async fn look(&self, table: &str, at: &TopicPartition, fetched: Vec<Vec<u8>>) -> Result<Found, Error> {
        let mut partitions = self.cluster.partitions().await?;
        let columns = self.known();
        partitions.retain(|partition| columns.table_of(&partition.topic) == table);
        let quota = Quota {
            records: (SAMPLE_RECORDS / partitions.len().max(1)).max(PARTITION_RECORDS),
            bytes: SAMPLE_BYTES / partitions.len().max(1),
        };
        let wanted = partitions.into_iter().map(|partition| (partition, quota)).collect();
        let mut sample = self.cluster.sample(&wanted).await?;
        sample.entry(at.clone()).or_default().extend(fetched);
        Ok(found(table, &sample, &self.config))
    }
}

fn tell(found: &Found, inferred: &Inferred) {
    let (table, partitions) = (found.table.as_str(), found.partitions());
    let (columns, records) = (inferred.columns.len(), found.sampled.values().sum::<usize>());
    tracing::info!(table, columns, records, partitions, "inferred the columns, and pins them");
    for note in &inferred.notes {
        tracing::warn!(table, "inferred columns: {note}");
    }
}

#[async_trait]
impl Decoders for Resolver {
    async fn decoder(&self, first: &Fetch) -> Result<Opened, crate::flow::stage::Error> {
        opened(&self.config.format, self.columns(first).await?, &first.partition)
    }
}

/// Decoders of tables whose columns are known, or not to be had.
#[derive(Clone, Debug)]
pub struct KnownOnly {
    pub format: Format,
    pub columns: TableColumns,
}

impl KnownOnly {
    /// The decoder of a topic's records.
    pub(crate) fn of(&self, partition: &TopicPartition) -> Result<Opened, crate::flow::stage::Error> {
        let columns = self.columns.of_topic(&partition.topic).map(<[Column]>::to_vec);
        let columns = columns.ok_or_else(|| "none are pinned yet".to_owned());
        opened(&self.format, columns, partition)
    }
}

#[async_trait]
impl Decoders for KnownOnly {
    async fn decoder(&self, first: &Fetch) -> Result<Opened, crate::flow::stage::Error> {
        self.of(&first.partition)
    }
}

fn opened(
    format: &Format,
    columns: Result<Vec<Column>, String>,
    of: &TopicPartition,
) -> Result<Opened, crate::flow::stage::Error> {
    let failed = |source| crate::flow::stage::Error::Decoder { topic: of.topic.clone(), source };
    match columns {
        Ok(columns) => {
            let decoder = decode::decoder(format, &columns).map_err(|error| failed(BoxError::from(error)))?;
            Ok(Opened::Table(decoder))
        }
        Err(why) => Ok(Opened::NotYet(decode::undecided(format, &why))),
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("known", &self.known).finish_non_exhaustive()
    }
}
