use std::time::Instant;

use super::*;

/// A reader of a cluster that is not there, with the ends of its channels.
fn reader(bytes_per_second: u64) -> (Reader, mpsc::UnboundedReceiver<Event>, Sender<Command>) {
    let properties = [("bootstrap.servers", "127.0.0.1:1"), ("group.id", "g")];
    let settings = SourceSettings {
        properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        topics: Topics::List(Vec::new()),
        bytes_per_second,
        budget_bytes: 1 << 20,
    };
    let consumer = Group::join(&settings.properties, SharedSeen::default()).unwrap();
    let (events, receiver) = mpsc::unbounded_channel();
    let (sender, commands) = channel();
    let reader = Reader::new(consumer, &settings, events, commands, SharedSeen::default());
    (reader, receiver, sender)
}

#[test]
fn an_offset_outside_its_log_is_told_after_what_was_read_before() {
    let (mut reader, mut events, _commands) = reader(1_000);
    let partition = TopicPartition::new("t", 0);
    let mut fetch = Fetch::new(partition.clone(), 1, 0);
    fetch.push(0, None, None, Some(&[b'x'; 150]), []);
    reader.owed = fetch.bytes();
    reader.waiting.push_back(fetch);
    reader.outside.push((partition, 1));
    assert!(reader.step().is_ok());
    assert!(
        events.try_recv().is_err(),
        "a burst is 100 bytes, so the record waits, and so does what comes after it"
    );
    let start = Instant::now();
    let mut told = Vec::new();
    while told.len() < 2 && start.elapsed() < Duration::from_secs(10) {
        assert!(reader.step().is_ok());
        told.extend(events.try_recv());
    }
    assert!(matches!(told[..], [Event::Fetched(..), Event::OutsideLog { generation: 1, .. }]), "{told:?}");
}

#[test]
fn an_offset_outside_its_log_is_forgotten_with_its_partition() {
    let (mut reader, mut events, _commands) = reader(0);
    let partition = TopicPartition::new("t", 0);
    reader.outside.push((partition.clone(), 1));
    // The client holds no such partition, and says so.
    let _ = reader.unassign(&[partition]);
    assert!(reader.step().is_ok());
    assert!(events.try_recv().is_err());
}

fn ends(code: RDKafkaErrorCode, reason: &str) -> Option<Kind> {
    match judge(&KafkaError::Global(code), reason) {
        Err(End::Failed(error)) => Some(error.kind),
        _ => None,
    }
}

#[test]
fn a_login_ends_the_job_only_when_it_is_refused() {
    use RDKafkaErrorCode::{Authentication, SSL};
    for (code, reason, expected) in [
        (Authentication, "Failed to acquire SASL OAUTHBEARER token: Connection refused", None),
        (Authentication, "SASL PLAIN mechanism handshake failed: Local: Broker transport failure", None),
        (SSL, "SSL handshake failed: unexpected eof while reading", None),
        (Authentication, "", None),
        (Authentication, "SASL authentication error: invalid credentials", Some(Kind::Config)),
        (SSL, "SSL handshake failed: certificate verify failed", Some(Kind::Config)),
    ] {
        assert_eq!(ends(code, reason), expected, "{reason}");
    }
}

#[test]
fn a_brokers_own_failure_passes_and_an_unknown_one_does_not() {
    assert_eq!(ends(RDKafkaErrorCode::Unknown, ""), None);
    assert_eq!(ends(RDKafkaErrorCode::Fail, ""), Some(Kind::Retry));
    assert_eq!(ends(RDKafkaErrorCode::TopicAuthorizationFailed, ""), Some(Kind::Config));
}

/// The refused connection is one that the client tells of in words beside the code.
#[test]
fn the_reason_is_that_of_the_error_that_was_polled() {
    let (reader, ..) = reader(0);
    let start = Instant::now();
    let code = loop {
        match reader.consumer.poll(Duration::from_millis(100)) {
            Some(Err(error)) => break error.rdkafka_error_code(),
            _ => assert!(start.elapsed() < Duration::from_secs(30), "the client tells of no error"),
        }
    };
    let reason = reader.consumer.context().take_reason();
    assert!(!reason.is_empty(), "{code:?}");
    assert_eq!(reader.consumer.context().take_reason(), "");
}

/// A fetch of one record at an offset, taken by the leader of an epoch.
fn led(epoch: i32, offset: i64) -> Fetch {
    let mut fetch = Fetch::new(TopicPartition::new("t", 0), 1, offset);
    fetch.push(offset, None, None, None, []);
    fetch.epoch = Some(LeaderEpoch { epoch, to: offset + 1 });
    fetch
}

/// The client may have heard of the new leader while it did not fetch; then it has not asked.
#[test]
fn records_of_another_leader_are_taken_only_after_the_brokers_were_asked() {
    let epoch = Some(LeaderEpoch { epoch: 2, to: 5 });
    let mut held = Held { generation: 1, start: 5, silent: true, epoch, unasked: false, asked_for: None };
    assert!(held.take(&led(2, 5)) && !held.unasked, "the leader is still the same");
    let before = (held.start, held.epoch);
    assert!(!held.take(&led(3, 6)));
    assert_eq!((held.start, held.epoch), before, "they come again, from where they were asked for");
    assert!(held.unasked);
    held.unasked = false;
    assert!(held.take(&led(3, 6)) && held.take(&led(3, 7)) && !held.unasked);
    assert!(!held.take(&led(4, 8)), "and one more was elected");
    let mut unknown = Held { epoch: None, unasked: false, ..held };
    assert!(unknown.take(&led(4, 8)), "a chain begun before leader epochs were kept has nothing to ask by");
}

#[test]
fn topics_that_are_given_up_are_not_subscribed_to() {
    let settings = |topics| SourceSettings {
        properties: BTreeMap::from([("topic.blacklist".to_owned(), "^__".to_owned())]),
        topics,
        bytes_per_second: 0,
        budget_bytes: 0,
    };
    let left_out = BTreeSet::from(["shop.orders".into()]);
    let list = settings(Topics::List(vec!["shop.orders".into(), "other".into()]));
    assert_eq!(list.without(&left_out).unwrap().topics, Topics::List(vec!["other".into()]));
    let none_left = settings(Topics::List(vec!["shop.orders".into()])).without(&left_out).unwrap_err();
    assert_eq!(none_left.kind, Kind::Config);
    let pattern = settings(Topics::Regex("shop.*".into())).without(&left_out).unwrap();
    assert_eq!(pattern.properties["topic.blacklist"], "^__,^shop[.]orders$");
    assert_eq!(
        settings(Topics::List(Vec::new())).without(&BTreeSet::new()).unwrap().topics,
        Topics::List(Vec::new())
    );
}
