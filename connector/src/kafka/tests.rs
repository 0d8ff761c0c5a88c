use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::*;
use crate::config::{Config, Origin, client_properties};

fn properties(servers: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("bootstrap.servers".into(), servers.into())])
}

fn list(names: &[&str]) -> Topics {
    Topics::List(names.iter().map(ToString::to_string).collect())
}

#[test]
fn answers_of_a_cluster() {
    let cluster = MockCluster::new(3).unwrap();
    for (topic, partitions) in [("orders", 3), ("orders.eu", 1), ("__orders", 1)] {
        cluster.create_topic(topic, partitions, 1).unwrap();
    }
    let servers = cluster.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    for partition in [0, 0, 0, 1] {
        let record = BaseRecord::<(), _>::to("orders").partition(partition).payload("x");
        producer.send(record).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();

    let queries = Queries::connect(&properties(&servers)).unwrap();
    assert!(queries.cluster_id().is_some());
    let orders: Vec<_> = (0..3).map(|partition| TopicPartition::new("orders", partition)).collect();
    assert_eq!(queries.partitions(&list(&["orders", "orders"])).unwrap(), orders);
    let matching = queries.partitions(&Topics::Regex("ord|.*orders".into())).unwrap();
    assert_eq!(matching, orders, "anchored at both ends, and Kafka's own topics left out");
    assert_eq!(queries.partitions(&Topics::Regex("nothing".into())).unwrap(), []);

    let missing = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error("absent", missing).unwrap();
    let topics = ["orders", "orders.eu", "absent"].map(Arc::from).into();
    let ids = queries.topic_ids(&topics).unwrap();
    let told: Vec<_> = ids.values().flatten().collect();
    assert_eq!(told.len(), 2, "of those that exist: {ids:?}");
    assert_ne!(told[0], told[1]);
    assert_eq!(queries.topic_ids(&topics).unwrap(), ids, "they stay");

    let ends: Vec<_> = queries.high_watermarks(&orders).unwrap().into_values().collect();
    assert_eq!(ends, [3, 1, 0]);
    let stable: Vec<_> = queries.last_stable_offsets(&orders).unwrap().into_values().collect();
    assert_eq!(stable, [3, 1, 0]);
    let starts: Vec<_> = queries.log_start(&orders).unwrap().into_values().collect();
    assert_eq!(starts, [0, 0, 0]);
    assert_eq!(queries.committed_group_offsets("nobody", &orders).unwrap(), Offsets::new());
}

/// With an admin request this crashes the process, in librdkafka 2.12.
#[test]
fn a_group_whose_coordinator_is_moving_is_asked_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let code = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
    cluster.request_errors(rdkafka::types::RDKafkaApiKey::OffsetFetch, &[code; 2]);
    let queries = Queries::connect(&properties(&cluster.bootstrap_servers())).unwrap();
    let partitions = [TopicPartition::new("t", 0)];
    assert_eq!(queries.committed_group_offsets("nobody", &partitions).unwrap(), Offsets::new());
}

#[test]
fn a_missing_topic_is_named_and_not_made() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("there", 1, 1).unwrap();
    let queries = Queries::connect(&properties(&cluster.bootstrap_servers())).unwrap();
    cluster
        .topic_error("absent", rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        .unwrap();
    let error = queries.partitions(&list(&["there", "absent"])).unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Missing);
    assert!(error.to_string().contains("\"absent\""), "{error}");
}

#[test]
fn a_lacking_right_is_told_from_a_missing_topic() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("secret", 1, 1).unwrap();
    let code = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.topic_error("secret", code).unwrap();
    let queries = Queries::connect(&properties(&cluster.bootstrap_servers())).unwrap();
    let error = queries.partitions(&list(&["secret"])).unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Unauthorized, "{error}");
}

#[test]
fn an_unreachable_broker_is_named() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = Queries::connect(&properties(&format!("127.0.0.1:{port}"))).unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Unreachable);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.to_string().contains("refused"), "the cause, not only a timeout: {error}");
}

#[test]
fn a_bad_property_is_named_without_its_value() {
    let mut properties = properties("127.0.0.1:1");
    properties.insert("socket.timeoutms".into(), "hunter2".into());
    let error = Queries::connect(&properties).unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Config);
    assert!(error.to_string().contains("socket.timeoutms"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

/// Nobody reads them, so they would take ever more memory. A reader has them each second.
#[test]
fn a_client_for_questions_keeps_no_statistics() {
    let cluster = MockCluster::new(1).unwrap();
    let text = format!(
        "job: j\nkafka: {{bootstrap_servers: '{}', topics: [t]}}\nsink: {{url: 'file:///l', table: t}}\n",
        cluster.bootstrap_servers()
    );
    let config = Config::parse(&text, &Origin("job.yaml".into())).unwrap();
    let queries = Queries::connect(&client_properties(&config)).unwrap();
    // SAFETY: the client lives until the end of the test.
    let waiting = || unsafe { rdkafka::bindings::rd_kafka_outq_len(queries.admin.inner().native_ptr()) };
    // What it logged of the properties that it has no use for.
    let before = waiting();
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(waiting(), before);
}

#[test]
fn what_went_wrong_before_a_question_is_not_its_reason() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("there", 1, 1).unwrap();
    let code = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error("absent", code).unwrap();
    let queries = Queries::connect(&properties(&cluster.bootstrap_servers())).unwrap();
    cluster.broker_down(1).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    cluster.broker_up(1).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let error = queries.partitions(&list(&["absent"])).unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Missing);
    for word in ["Disconnected", "refused"] {
        assert!(!error.to_string().contains(word), "{error}");
    }
}

/// Its metadata may be older than the partition.
#[test]
fn a_partition_that_the_client_has_not_heard_of_is_asked_for_again() {
    assert_eq!(kind_of(RDKafkaErrorCode::UnknownPartition), QueryErrorKind::Unreachable);
    assert!(kind_of(RDKafkaErrorCode::UnknownPartition).may_pass());
    assert!(!kind_of(RDKafkaErrorCode::UnknownTopic).may_pass());
}

#[test]
fn properties_that_contradict_one_another_are_found_without_a_broker() {
    let properties = |most: &str| {
        [("group.id", "g"), ("fetch.max.bytes", "3000000"), ("receive.message.max.bytes", most)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    };
    check_client(&properties("4000000")).unwrap();
    let error = check_client(&properties("2000000")).unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Config);
    assert!(error.to_string().contains("receive.message.max.bytes"), "{error}");
}

#[test]
fn a_broker_that_cannot_leave_uncommitted_records_out_is_told() {
    let cluster = MockCluster::new(1).unwrap();
    let ask = || {
        let queries = Queries::connect(&properties(&cluster.bootstrap_servers())).unwrap();
        queries.check_isolation()
    };
    ask().unwrap();
    // As before Kafka 0.11.
    cluster.apiversion(rdkafka::types::RDKafkaApiKey::Fetch, Some(0), Some(3)).unwrap();
    let error = ask().unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Unsupported);
    assert!(error.to_string().contains("Kafka 0.11"), "{error}");
}
