//! What is made of the keys as they are said, each once: the manual's page, the shown job, what a running job
//! takes over.

use std::collections::BTreeSet;

use super::super::{reference, reload};
use super::{MINIMAL, parse, value, with};

#[test]
fn the_page_in_the_manual_is_this_one() {
    let page = std::fs::read_to_string("../docs/job-file.md").expect("docs/job-file.md");
    assert!(page == reference(), "docs/job-file.md is not what the code says: run ./x docs");
}

#[test]
fn every_key_stands_once_and_says_something() {
    let job = parse(MINIMAL).unwrap();
    let mut paths = BTreeSet::new();
    for (path, key) in &job.notes.keys {
        assert!(paths.insert(path.as_str()), "{path} stands twice");
        assert!(key.text.ends_with(['.', ')']), "{path} says {:?}", key.text);
    }
    let shown = job.redacted();
    let unseen: Vec<&str> = paths
        .into_iter()
        .filter(|path| shown.pointer(&format!("/{}", path.replace('.', "/"))).is_none())
        .collect();
    assert_eq!(
        unseen,
        ["error_limit.ratio", "error_limit.window", "kafka.topics_regex"],
        "shown only if given"
    );
}

#[test]
fn the_keys_are_the_same_whatever_the_file_has() {
    let keys = |text: &str| -> Vec<String> {
        parse(text).unwrap().notes.keys.into_iter().map(|(path, _)| path).collect()
    };
    let other = "{format: {type: raw}, rejects: {to: {topic: dead}}, http: {tls: {cert: /a, key: /b}},
                  error_limit: {ratio: 0.1, window: 5m}, kafka: {start: {offsets: {orders: {0: 1}}}}}";
    assert_eq!(keys(MINIMAL), keys(&with(other)));
}

#[test]
fn a_running_job_takes_over_the_keys_that_the_manual_calls_live_and_no_other() {
    let old = parse(&with("{format: {columns: [{name: a, type: string}]}}")).unwrap();
    for (change, live) in [
        ("{checkpoint: {interval: 7s}}", true),
        ("{checkpoint: {max_records: 7}}", true),
        ("{checkpoint: {max_bytes: 7}}", true),
        ("{checkpoint: {retained: 7}}", false),
        ("{speed: {bytes_per_second: 7}}", true),
        ("{speed: {channels: 7}}", false),
        ("{error_limit: {records: 7}}", true),
        ("{error_limit: {ratio: 0.7}}", true),
        ("{log: {level: debug}}", true),
        ("{log: {format: json}}", false),
        ("{format: {columns: [{name: b, type: string}]}}", false),
        ("{sink: {store: {checkpoint.interval: 7s}}}", false),
    ] {
        let mut job = value(&with("{format: {columns: [{name: a, type: string}]}}"));
        super::lay_over(&mut job, value(change));
        let answer = reload(&old, &parse(&job.to_string()).unwrap());
        assert_eq!(answer.is_ok(), live, "{change}: {answer:?}");
        if let Err(refused) = answer {
            assert!(refused.to_string().contains("speed.bytes_per_second, error_limit.records"), "{refused}");
        }
    }
}
