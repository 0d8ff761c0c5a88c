use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::*;
use crate::config::{Config, Origin};

fn outbox(cluster: &MockCluster<'_, DefaultProducerContext>) -> Outbox {
    let text = format!(
        "job: j\nkafka: {{bootstrap_servers: '{}', topics: [t]}}\nsink: {{url: 'file:///l', table: t}}\n",
        cluster.bootstrap_servers()
    );
    Outbox::new(&Config::parse(&text, &Origin("job.yaml".into())).unwrap())
}

fn record(payload: &[u8]) -> BaseRecord<'_, [u8], [u8]> {
    BaseRecord::to("rejects").payload(payload)
}

#[test]
fn a_reject_larger_than_what_is_sent_at_a_time_is_sent() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("rejects", 1, 1).unwrap();
    let transaction = Transaction::init(&outbox(&cluster), "j-rejects-c", "rejects").unwrap();
    transaction.producer.begin_transaction().unwrap();
    transaction.hand_over(record(&vec![0; FLUSH_BYTES + 1_000_000])).unwrap();
    transaction.flush().unwrap();
}

#[test]
fn a_reject_that_no_queue_takes_ends_the_sending() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("rejects", 1, 1).unwrap();
    let outbox = outbox(&cluster);
    let mut small = outbox.producer("j-rejects-c");
    small.set("queue.buffering.max.kbytes", "1");
    let transaction = Transaction {
        producer: small.create_with_context(Deliveries::default()).unwrap(),
        consumer: outbox.consumer("j-rejects-c").create().unwrap(),
        topic: "rejects",
        id: "j-rejects-c".into(),
        patience: CALL,
    };
    transaction.producer.init_transactions(CALL).unwrap();
    transaction.producer.begin_transaction().unwrap();
    // Two that fit one after the other: the second waits for the first.
    transaction.hand_over(record(&[0; 800])).unwrap();
    transaction.hand_over(record(&[0; 800])).unwrap();
    transaction.flush().unwrap();
    let error = transaction.hand_over(record(&[0; 2_000])).unwrap_err();
    assert!(error.permanent && error.message.contains("larger than the client's queue"), "{error}");
}

#[test]
fn what_sending_again_does_not_help_is_told_as_such() {
    use RDKafkaErrorCode::{
        InvalidRecord, PolicyViolation, RequestTimedOut, UnknownPartition, UnsupportedVersion,
    };
    let cluster = MockCluster::new(1).unwrap();
    let transaction = Transaction::init(&outbox(&cluster), "j-rejects-c", "rejects").unwrap();
    for code in [InvalidRecord, PolicyViolation, UnsupportedVersion] {
        assert!(transaction.failed_with("sending", code, "").permanent, "{code}");
    }
    for code in [RequestTimedOut, UnknownPartition] {
        assert!(!transaction.failed_with("sending", code, "").permanent, "{code}");
    }
}
