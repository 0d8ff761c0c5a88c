use std::sync::Mutex;

use async_trait::async_trait;
use tidegate_sinks::memory::Memory;
use tidegate_sinks::{Error, Genesis, PartitionState, Sink};

use super::*;
use crate::config::{Origin, Start};
use crate::flow::event::Fetch;
use crate::flow::stage::{Decoders, Opened};
use crate::kafka::TopicIds;
use crate::kafka::cluster::{Cluster, LogBounds, Quota, Sample};
use crate::replica::status::Status;

fn config(table: &str, format: &str) -> Config {
    let text = format!(
        "job: j\nkafka: {{bootstrap_servers: 'localhost:9092', topics: [a, b]}}\nformat: {format}\n\
         sink: {{url: 'file:///l', table: '{table}'}}\n"
    );
    Config::parse(&text, &Origin("job.yaml".into())).unwrap()
}

/// Topics with a record or two.
#[derive(Debug, Default)]
struct Records(Mutex<Sample>);

impl Records {
    fn of(topics: &[(&str, i32, &[&str])]) -> Arc<Self> {
        let records = Arc::new(Self::default());
        topics.iter().for_each(|(topic, partition, payloads)| records.add(topic, *partition, payloads));
        records
    }

    fn add(&self, topic: &str, partition: i32, payloads: &[&str]) {
        let payloads = payloads.iter().map(|payload| payload.as_bytes().to_vec());
        let partition = TopicPartition::new(topic, partition);
        self.0.lock().unwrap().entry(partition).or_default().extend(payloads);
    }
}

type Offsets = BTreeMap<TopicPartition, i64>;

#[async_trait]
impl Cluster for Records {
    async fn id(&self) -> Result<Option<String>, Error> {
        Ok(None)
    }

    async fn topic_ids(&self, _: &BTreeSet<Arc<str>>) -> Result<TopicIds, Error> {
        Ok(TopicIds::default())
    }

    fn leave_out(&self, _: &BTreeSet<Arc<str>>) {}

    async fn partitions(&self) -> Result<Vec<TopicPartition>, Error> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    async fn starts(&self, _: &[TopicPartition], _: &Start) -> Result<Offsets, Error> {
        Ok(Offsets::new())
    }

    async fn bounds(&self, _: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LogBounds>, Error> {
        Ok(BTreeMap::new())
    }

    async fn group_offsets(&self, _: &[TopicPartition]) -> Result<Offsets, Error> {
        Ok(Offsets::new())
    }

    async fn sample(&self, quotas: &BTreeMap<TopicPartition, Quota>) -> Result<Sample, Error> {
        let records = self.0.lock().unwrap();
        let of = |(partition, quota): (&TopicPartition, &Quota)| {
            let payloads = records.get(partition).into_iter().flatten().take(quota.records).cloned();
            (partition.clone(), payloads.collect())
        };
        Ok(quotas.iter().map(of).collect())
    }
}

struct Scene {
    sink: Memory,
    status: Arc<Status>,
    resolver: Resolver,
}

/// A replica of the job whose chain is in `sink`.
async fn replica(sink: &Memory, cluster: &Arc<Records>, config: &Config) -> Scene {
    let state = match sink.load().await.unwrap() {
        Some(state) => state,
        None => sink.begin_chain(Genesis::default()).await.unwrap(),
    };
    let status = Arc::new(Status::default());
    let (sink, cluster) = (sink.clone(), cluster.clone());
    let resolver = Resolver::new(config, Arc::new(sink.clone()), cluster, status.clone(), state).unwrap();
    Scene { sink, status, resolver }
}

impl Scene {
    /// The columns by which the records are decoded; none where they are all rejects.
    async fn columns(&self, topic: &str, payloads: &[&str]) -> Option<Vec<String>> {
        let mut fetch = Fetch::new(TopicPartition::new(topic, 0), 1, 0);
        for (offset, payload) in (0..).zip(payloads) {
            fetch.push(offset, None, None, Some(payload.as_bytes()), []);
        }
        match self.resolver.decoder(&fetch).await.unwrap() {
            Opened::Table(decoder) => {
                Some(decoder.schema().fields().iter().map(|field| field.name().clone()).collect())
            }
            Opened::NotYet(mut decoder) => {
                for record in fetch.records() {
                    let reject = decoder.append(&record).unwrap_err();
                    assert!(reject.error.contains("no columns yet"), "{reject}");
                }
                None
            }
        }
    }

    fn waiting(&self) -> Option<String> {
        self.status.conditions().first().map(|condition| condition.text.clone())
    }

    async fn pinned(&self) -> Value {
        self.sink.load().await.unwrap().unwrap().pinned.clone()
    }
}

fn names(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|name| (*name).to_owned()).collect())
}

#[tokio::test]
async fn each_table_has_the_columns_of_its_own_topics_sampled_from_all_their_partitions() {
    let cluster = Records::of(&[
        ("a", 0, &[r#"{"x": 1}"#; 3_000]),
        ("a", 1, &[r#"{"y": 1}"#]),
        ("b", 0, &[r#"{"x": "v", "z": 2}"#]),
    ]);
    let scene = replica(&Memory::new("j"), &cluster, &config("{topic}", "{}")).await;
    scene.resolver.begin(false).await.unwrap();
    assert_eq!(scene.waiting(), None);
    assert_eq!(scene.columns("a", &[]).await, names(&["x", "y"]));
    assert_eq!(scene.columns("b", &[]).await, names(&["x", "z"]));
    let pinned = scene.pinned().await;
    assert_eq!(pinned["tables"]["a"]["columns"][0], json!({"name": "x", "type": "int64"}));
    assert_eq!(pinned["tables"]["b"]["columns"][0], json!({"name": "x", "type": "string"}));
}

#[tokio::test]
async fn one_table_of_several_topics_has_the_columns_of_all() {
    let cluster = Records::of(&[("a", 0, &[r#"{"x": 1}"#]), ("b", 0, &[r#"{"x": "v", "z": 2}"#])]);
    let scene = replica(&Memory::new("j"), &cluster, &config("t", "{}")).await;
    scene.resolver.begin(false).await.unwrap();
    assert_eq!(scene.columns("b", &[]).await, names(&["x", "z"]));
    assert_eq!(scene.pinned().await["tables"]["t"]["columns"][0], json!({"name": "x", "type": "json"}));
}

#[tokio::test]
async fn a_topic_found_later_has_its_own_columns_and_replicas_agree_on_them() {
    let (sink, config) = (Memory::new("j"), config("{topic}", "{}"));
    let cluster = Records::of(&[("a", 0, &[r#"{"x": 1}"#])]);
    let scene = replica(&sink, &cluster, &config).await;
    scene.resolver.begin(false).await.unwrap();
    let other = replica(&sink, &Records::of(&[]), &config).await;
    cluster.add("b", 0, &[r#"{"y": 1}"#]);
    assert_eq!(scene.columns("b", &[r#"{"y": 1, "later": true}"#]).await, names(&["y", "later"]));
    assert_eq!(other.columns("b", &[r#"{"quite": "else"}"#]).await, names(&["y", "later"]));
    assert_eq!(other.columns("a", &[]).await, names(&["x"]));
}

#[tokio::test]
async fn a_job_without_any_record_waits_for_the_first_and_says_so() {
    let cluster = Records::of(&[("a", 0, &[]), ("b", 0, &[])]);
    let scene = replica(&Memory::new("j"), &cluster, &config("{topic}", "{}")).await;
    scene.resolver.begin(true).await.unwrap();
    assert_eq!(scene.waiting(), None, "a bounded run ends");
    scene.resolver.begin(false).await.unwrap();
    assert!(scene.waiting().unwrap().contains("a first record"));
    assert_eq!(scene.pinned().await, Value::Null, "nothing is pinned");
    cluster.add("a", 0, &[r#"{"x": 1}"#]);
    assert_eq!(scene.columns("a", &[r#"{"x": 1}"#]).await, names(&["x"]));
    assert_eq!(scene.waiting(), None);
}

#[tokio::test]
async fn records_that_say_nothing_are_rejects_until_one_says_something() {
    let cluster = Records::of(&[("a", 0, &["{}"])]);
    let scene = replica(&Memory::new("j"), &cluster, &config("{topic}", "{}")).await;
    scene.resolver.begin(false).await.unwrap();
    assert_eq!(scene.columns("a", &["{}", "[]", "\u{1}"]).await, None);
    assert_eq!(scene.columns("a", &["{}", r#"{"x": null}"#]).await, names(&["x"]));
    assert_eq!(scene.pinned().await["tables"]["a"]["columns"], json!([{"name": "x", "type": "json"}]));
}

#[tokio::test]
async fn a_table_whose_folders_do_not_fit_is_not_pinned_and_stops_no_other() {
    let by = |topics: &str| {
        let text = format!(
            "job: j\nkafka: {{bootstrap_servers: 'localhost:9092', {topics}}}\n\
             sink: {{url: 'file:///l', table: '{{topic}}', partition_by: [x]}}\n"
        );
        Config::parse(&text, &Origin("job.yaml".into())).unwrap()
    };
    let cluster = Records::of(&[("a", 0, &[r#"{"x": 1}"#]), ("b", 0, &[r#"{"y": 1}"#])]);
    let pattern = by("topics_regex: '.*'");
    let pins = first_pins(&pattern, &*cluster).await.unwrap();
    assert!(pins["tables"]["a"].is_object() && pins["tables"]["b"].is_null(), "{pins}");
    let scene = replica(&Memory::new("j"), &cluster, &pattern).await;
    scene.resolver.begin(false).await.unwrap();
    assert_eq!(scene.columns("a", &[]).await, names(&["x"]));
    assert_eq!(scene.columns("b", &[r#"{"y": 2}"#]).await, None);
    assert_eq!(scene.columns("b", &[r#"{"y": 2, "x": 3}"#]).await, names(&["y", "x"]));
    // Whoever lists the topics has said that each is one of the job's.
    let refused = first_pins(&by("topics: [a, b]"), &*cluster).await.unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    assert!(refused.to_string().contains("table b: sink.partition_by does not fit"), "{refused}");
}

async fn state(pinned: Value, read: &[&str]) -> Checkpoint {
    let at = |topic: &&str| (TopicPartition::new(*topic, 0), PartitionState { start: 0, next: 5, rows: 5 });
    let genesis = Genesis { pinned, ..Genesis::default() };
    let mut state = Checkpoint::clone(&*Memory::new("j").begin_chain(genesis).await.unwrap());
    state.partitions = read.iter().map(at).collect();
    let unread = PartitionState { start: 3, next: 3, rows: 0 };
    state.partitions.insert(TopicPartition::new("unread", 0), unread);
    state
}

#[tokio::test]
async fn a_chain_with_one_list_keeps_it_for_the_topics_that_it_has_read() {
    let state = state(json!({"columns": [{"name": "x", "type": "int64"}]}), &["a"]).await;
    let by_topic = TableColumns::read(&config("{topic}", "{}"), Some(&state)).unwrap();
    assert_eq!(by_topic.of_topic("a").unwrap()[0].name, "x");
    assert!(by_topic.of_topic("unread").is_none() && by_topic.of_topic("new").is_none());
    let one_table = TableColumns::read(&config("t", "{}"), Some(&state)).unwrap();
    assert_eq!(one_table.of_topic("new").unwrap()[0].name, "x");
}

#[tokio::test]
async fn columns_of_the_job_file_are_those_of_all_tables_whatever_is_pinned() {
    let state = state(json!({"columns": [{"name": "x", "type": "int64"}]}), &["a"]).await;
    let written = config("{topic}", "{columns: [{name: y, type: string}]}");
    let columns = TableColumns::read(&written, Some(&state)).unwrap();
    assert_eq!(columns.of_topic("new").unwrap()[0].name, "y");
    assert!(!columns.are_inferred() && columns.unknown(&[TopicPartition::new("new", 0)]).is_empty());
}

/// Versions that know of one list only read it as a list of columns.
#[tokio::test]
async fn earlier_versions_do_not_take_a_list_per_table_for_no_columns() {
    let column = Column::new("x", "int64");
    let pinned = pins([(&"a".to_owned(), &vec![column])]);
    let read = serde_json::from_value::<Vec<Column>>(pinned["columns"].clone());
    assert!(read.unwrap_err().to_string().contains("newer version of tidegate"));
    assert_eq!(pins([]), json!({}), "nothing is pinned where nothing is known");
    let columns =
        TableColumns::read(&config("{topic}", "{}"), Some(&state(pinned, &["a", "b"]).await)).unwrap();
    assert_eq!(columns.of_topic("a").unwrap()[0].name, "x");
    assert!(columns.of_topic("b").is_none());
}
