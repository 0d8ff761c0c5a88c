//! A job on a local folder with a few commits, as the engine would make them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;
use tidegate_sinks::conformance::stage;
use tidegate_sinks::store::Retries;
use tidegate_sinks::{
    Begin, Chain, Checkpoint, Commit, CommitId, Delta, FileKind, Genesis, Outcome, PartitionState, Sink,
    Span, TopicPartition,
};

use super::super::{Savepoint, StoreOptions, create, read};
use crate::config::{Config, Origin};
use crate::error::RunError;

pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) config: Config,
    pub(crate) sink: Chain,
}

impl Scene {
    /// A chain with two partitions that start at 10, and `commits` commits of 3 records of each.
    pub(crate) async fn with_commits(commits: usize) -> Self {
        let scene = Self::empty();
        let start = PartitionState { start: 10, next: 10, rows: 0 };
        let genesis = Genesis {
            cluster_id: Some("cluster".into()),
            partitions: (0..2).map(|n| (partition(n), start)).collect(),
            pinned: serde_json::json!({"columns": [{"name": "a", "type": "string"}]}),
            ..Genesis::default()
        };
        scene.sink.begin_chain(genesis).await.unwrap();
        for _ in 0..commits {
            scene.commit().await;
        }
        scene
    }

    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "job: orders\nkafka: {{bootstrap_servers: 'localhost:9092', topics: [t]}}\n\
             sink: {{url: 'file://{}/lake', table: t}}\n",
            folder.path().display()
        );
        let config = Config::parse(&text, &Origin("job.yaml".into())).unwrap();
        let sink = crate::cli::open_sink(&config, false).unwrap();
        Self { folder, config, sink }
    }

    pub(crate) async fn newest(&self) -> Arc<Checkpoint> {
        self.sink.load().await.unwrap().unwrap()
    }

    /// Three more records of each partition, committed and not yet published.
    pub(crate) async fn commit(&self) -> CommitId {
        let state = self.newest().await;
        let id = CommitId::new();
        let from: BTreeMap<_, _> = state.partitions.iter().map(|(p, at)| (p.clone(), at.next)).collect();
        let begin = Begin::new(id.clone(), state.incarnation, from.clone());
        self.sink.begin(&begin).await.unwrap();
        let rows: BTreeMap<_, _> = from.keys().map(|p| (p.clone(), 3)).collect();
        let bytes = Bytes::from(format!("rows of {id}"));
        let file = stage(&self.sink, &begin, FileKind::Data, 0, "t/", bytes, rows.clone()).await.unwrap();
        let delta = from.iter().map(|(p, at)| (p.clone(), Span { from: *at, to: at + 3 })).collect();
        let commit = Commit {
            delta: Delta(delta),
            rows,
            files: vec![file],
            ..Commit::of(begin, "orders", Timestamp::now())
        };
        let outcome = self.sink.commit(state, Arc::new(commit), None).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)));
        id
    }

    pub(crate) async fn publish(&self) {
        let state = self.newest().await;
        self.sink.publish(&state, &state.unpublished).await.unwrap();
    }

    /// The URL of a folder beside the tables.
    pub(crate) fn to(&self) -> String {
        format!("file://{}/backup", self.folder.path().display())
    }

    pub(crate) async fn create(&self, id: &str) -> Result<String, RunError> {
        create(&self.sink, &self.config, &self.to(), id).await
    }
}

pub(crate) fn partition(n: i32) -> TopicPartition {
    TopicPartition::new("t", n)
}

pub(crate) async fn read_at(uri: &str) -> Result<Savepoint, RunError> {
    read(uri, &StoreOptions::new(), Retries::default()).await
}

/// The local path of a URL.
pub(crate) fn path(uri: &str) -> std::path::PathBuf {
    uri.strip_prefix("file://").unwrap().into()
}
