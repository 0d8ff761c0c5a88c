//! Reads files in full: their bytes are those that were committed, every row
//! decodes, lies within its commit's spans, and is there once.
//!
//! Spans of different commits do not overlap (that is judged elsewhere), so rows need to be compared only
//! within a commit, and memory is bounded by one commit's offsets. A replay's rows lie where the rejects lay
//! that it has taken, and nobody else takes those (judged elsewhere, too); so they are compared with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};
use tidegate_sinks::store::hex;
use tidegate_sinks::{Commit, FileKind, StagedFile, TopicPartition};

use super::{Problem, ProblemKind};

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, Vec<i64>>;

/// The reading of one commit's files.
#[derive(Debug)]
pub struct Reading<'a> {
    commit: &'a Commit,
    /// Where the rejects lie that the commit replays, sorted; `None` while nobody knows them all.
    replayed: Option<Offsets>,
    offsets: Offsets,
    rejects: Offsets,
    problems: Vec<Problem>,
}

impl<'a> Reading<'a> {
    pub fn new(commit: &'a Commit) -> Self {
        Self {
            commit,
            replayed: None,
            offsets: Offsets::new(),
            rejects: Offsets::new(),
            problems: Vec::new(),
        }
    }

    /// Of a commit that replays rejects; `replayed` says where they lie, unless some are forgotten.
    pub fn of_replay(commit: &'a Commit, replayed: Option<Offsets>) -> Self {
        let sorted = |mut replayed: Offsets| {
            replayed.values_mut().for_each(|offsets| offsets.sort_unstable());
            replayed
        };
        Self { replayed: replayed.map(sorted), ..Self::new(commit) }
    }

    /// Where the rejects lie that were read so far.
    pub fn take_rejects(&mut self) -> Offsets {
        std::mem::take(&mut self.rejects)
    }

    fn problem(&mut self, kind: ProblemKind, subject: impl ToString, detail: impl ToString) {
        self.problems.push(Problem { kind, subject: subject.to_string(), detail: detail.to_string() });
    }

    /// Reads a file of the commit.
    pub fn file(&mut self, file: &StagedFile, bytes: Bytes) {
        if hex(Sha256::new_with_prefix(&bytes)) != file.sha256 {
            let detail = "its bytes are not those that were committed (SHA-256)";
            self.problem(ProblemKind::Content, &file.path, detail);
        }
        match rows(file, &self.topics(file), bytes) {
            Ok(rows) => self.compare(file, rows),
            Err(error) => self.problem(ProblemKind::Content, &file.path, format!("does not read: {error}")),
        }
    }

    /// Where a file's rows may come from, when they do not say.
    fn topics(&self, file: &StagedFile) -> Vec<Arc<str>> {
        let partitions: Vec<_> = match (&self.commit.replay, &self.replayed) {
            (None, _) => file.partitions.keys().collect(),
            (Some(_), Some(replayed)) => replayed.keys().collect(),
            (Some(_), None) => Vec::new(),
        };
        let mut topics: Vec<_> = partitions.iter().map(|partition| partition.topic.clone()).collect();
        topics.dedup();
        topics
    }

    fn compare(&mut self, file: &StagedFile, rows: Rows) {
        if rows.count != file.rows {
            let detail = format!("{} rows read, {} were committed", rows.count, file.rows);
            self.problem(ProblemKind::Content, &file.path, detail);
        }
        // Without the columns of Kafka's metadata a row does not say where it comes from.
        let Some(offsets) = rows.offsets else { return };
        if file.kind == FileKind::Rejects {
            for (partition, offsets) in &offsets {
                self.rejects.entry(partition.clone()).or_default().extend(offsets);
            }
        }
        if self.commit.replay.is_some() {
            return self.compare_replayed(file, offsets);
        }
        for (partition, expected) in &file.partitions {
            let found = offsets.get(partition).map_or(0, Vec::len) as u64;
            if found != *expected {
                let detail = format!("{found} rows of {partition} read, {expected} were committed");
                self.problem(ProblemKind::Content, &file.path, detail);
            }
        }
        for (partition, offsets) in offsets {
            let span = self.commit.delta.0.get(&partition).copied();
            let outside = offsets
                .iter()
                .find(|&&offset| span.is_none_or(|span| offset < span.from || offset >= span.to));
            if let Some(offset) = outside {
                let span = span.map_or("none".to_owned(), |span| span.to_string());
                let detail = format!("row {partition} {offset} is outside the commit's span ({span})");
                self.problem(ProblemKind::Content, &file.path, detail);
            }
            self.offsets.entry(partition).or_default().extend(offsets);
        }
    }

    fn compare_replayed(&mut self, file: &StagedFile, offsets: Offsets) {
        for (partition, offsets) in offsets {
            let replayed = self.replayed.as_ref();
            let is_replayed = |offset: &i64| {
                replayed.is_none_or(|all| {
                    all.get(&partition).is_some_and(|all| all.binary_search(offset).is_ok())
                })
            };
            if let Some(offset) = offsets.iter().find(|offset| !is_replayed(offset)) {
                let detail =
                    format!("row {partition} {offset} is none of the rejects that the commit replays");
                self.problem(ProblemKind::Content, &file.path, detail);
            }
            self.offsets.entry(partition).or_default().extend(offsets);
        }
    }

    /// Looks for rows that are there more than once. Returns all that was wrong.
    pub fn finish(mut self) -> Vec<Problem> {
        for (partition, mut offsets) in std::mem::take(&mut self.offsets) {
            offsets.sort_unstable();
            let twice: Vec<_> = offsets.windows(2).filter(|pair| pair[0] == pair[1]).collect();
            if let Some(first) = twice.first() {
                let detail =
                    format!("{} rows are there once more, the first at offset {}", twice.len(), first[0]);
                let subject = format!("{} {partition}", self.commit.id);
                self.problem(ProblemKind::Duplicate, subject, detail);
            }
        }
        self.problems
    }
}

struct Rows {
    count: u64,
    /// By partition; `None` where the columns don't tell.
    offsets: Option<Offsets>,
}

type ReadError = Box<dyn std::error::Error + Send + Sync>;

fn rows(file: &StagedFile, from: &[Arc<str>], bytes: Bytes) -> Result<Rows, ReadError> {
    let mut rows = Rows { count: 0, offsets: Some(BTreeMap::new()) };
    // Every column is decoded, so that a page that does not read is found wherever it is.
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = batch?;
        rows.count += batch.num_rows() as u64;
        rows.offsets = match rows.offsets.take() {
            Some(offsets) => add(offsets, file.kind, from, &batch)?,
            None => None,
        };
    }
    Ok(rows)
}

fn add(
    mut offsets: Offsets,
    kind: FileKind,
    from: &[Arc<str>],
    batch: &RecordBatch,
) -> Result<Option<Offsets>, ReadError> {
    // Rejects have these columns always, and without the underscore: there are no
    // columns of the job's beside them.
    let column = |name: &str, data_type: DataType| {
        let plain = name.trim_start_matches('_');
        let column = batch.column_by_name(if kind == FileKind::Rejects { plain } else { name });
        column.map(|column| cast(column, &data_type)).transpose()
    };
    let topics = column("_topic", DataType::Utf8)?;
    let (Some(partitions), Some(numbers)) =
        (column("_partition", DataType::Int32)?, column("_offset", DataType::Int64)?)
    else {
        return Ok(None);
    };
    let (partitions, numbers) = (partitions.as_primitive::<Int32Type>(), numbers.as_primitive::<Int64Type>());
    for row in 0..batch.num_rows() {
        let topic = match &topics {
            Some(topics) => topics.as_string::<i32>().value(row).into(),
            None => match from {
                [only] => only.clone(),
                _ => return Ok(None),
            },
        };
        let partition = TopicPartition { topic, partition: partitions.value(row) };
        offsets.entry(partition).or_default().push(numbers.value(row));
    }
    Ok(Some(offsets))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, Int64Array};
    use parquet::arrow::ArrowWriter;
    use tidegate_sinks::{Begin, CommitId, Delta, Span};

    use super::*;

    fn parquet(offsets: &[i64]) -> Bytes {
        let columns: [(&str, ArrayRef); 2] = [
            ("_partition", Arc::new(Int32Array::from(vec![3; offsets.len()]))),
            ("_offset", Arc::new(Int64Array::from(offsets.to_vec()))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes.into()
    }

    fn staged(bytes: &Bytes, rows: u64) -> StagedFile {
        StagedFile {
            kind: FileKind::Data,
            staged: "0.staged".into(),
            path: "t/x.parquet".into(),
            bytes: bytes.len() as u64,
            rows,
            sha256: hex(Sha256::new_with_prefix(bytes)),
            partitions: BTreeMap::from([(TopicPartition::new("t", 3), rows)]),
        }
    }

    fn commit() -> Commit {
        let span = Span::new(10, 20).unwrap();
        let begin = Begin::new(CommitId("c".into()), 1, BTreeMap::new());
        let delta = Delta(BTreeMap::from([(TopicPartition::new("t", 3), span)]));
        Commit { delta, ..Commit::of(begin, "j", jiff::Timestamp::UNIX_EPOCH) }
    }

    fn kinds(files: &[(StagedFile, Bytes)]) -> Vec<ProblemKind> {
        let commit = commit();
        let mut reading = Reading::new(&commit);
        for (file, bytes) in files {
            reading.file(file, bytes.clone());
        }
        reading.finish().into_iter().map(|problem| problem.kind).collect()
    }

    #[test]
    fn what_was_committed_reads_back() {
        let (one, other) = (parquet(&[10, 12, 19]), parquet(&[11]));
        assert_eq!(kinds(&[(staged(&one, 3), one), (staged(&other, 1), other)]), []);
    }

    #[test]
    fn each_harm_is_found() {
        let good = parquet(&[10, 12]);
        let mut torn = good.to_vec();
        torn.truncate(good.len() - 9);
        assert_eq!(kinds(&[(staged(&good, 2), torn.into())]), [ProblemKind::Content; 2], "hash and footer");
        assert_eq!(kinds(&[(staged(&good, 2), parquet(&[10, 13]))]), [ProblemKind::Content], "other bytes");
        assert_eq!(
            kinds(&[(staged(&good, 3), good.clone())]),
            [ProblemKind::Content; 2],
            "rows, of file and partition"
        );
        let outside = parquet(&[20]);
        assert_eq!(kinds(&[(staged(&outside, 1), outside)]), [ProblemKind::Content]);
        let twice = [(staged(&good, 2), good.clone()), (staged(&good, 2), good)];
        assert_eq!(kinds(&twice), [ProblemKind::Duplicate]);
    }

    #[test]
    fn rows_of_a_replay_are_the_rejects_that_it_took() {
        let replay = Commit { replay: Some(Default::default()), ..commit() };
        let lane = TopicPartition::rejects();
        let kinds = |replayed: Option<&[i64]>, rows: &[i64]| {
            let bytes = parquet(rows);
            let partitions = BTreeMap::from([(lane.clone(), rows.len() as u64)]);
            let file = StagedFile { partitions, ..staged(&bytes, rows.len() as u64) };
            let replayed =
                replayed.map(|offsets| BTreeMap::from([(TopicPartition::new("t", 3), offsets.to_vec())]));
            let mut reading = Reading::of_replay(&replay, replayed);
            reading.file(&file, bytes);
            reading.finish().into_iter().map(|problem| problem.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(Some(&[7, 400, 5]), &[400, 5]), []);
        assert_eq!(kinds(Some(&[7, 400]), &[400, 5]), [ProblemKind::Content]);
        assert_eq!(kinds(Some(&[7, 400]), &[400, 400]), [ProblemKind::Duplicate]);
        assert_eq!(kinds(None, &[400, 5]), [], "some are forgotten");
    }
}
