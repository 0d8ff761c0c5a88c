//! The example jobs are accepted, and the job that is shown is the job that was read.

use std::path::{Path, PathBuf};

use super::super::{Config, Origin};
use super::{MINIMAL, parse, parse_with, with};

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_example_is_a_job() {
    let paths = examples();
    assert!(paths.len() >= 5, "{paths:?}");
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = Config::parse_with(&text, &Origin(path), &|_| Some("value-of-a-variable".to_owned()));
        if let Err(errors) = parsed {
            panic!("{errors}");
        }
    }
}

#[test]
fn the_commented_example_holds_the_defaults() {
    let path = examples().into_iter().find(|path| path.ends_with("orders-files.yaml")).unwrap();
    let commented = Config::load(&path).unwrap().redacted();
    let defaults = parse(&with("{sink: {url: 'file:///tmp/warehouse'}}")).unwrap().redacted();
    for section in
        ["kafka", "checkpoint", "speed", "error_limit", "memory", "timeouts", "savepoints", "http", "log"]
    {
        assert_eq!(commented[section], defaults[section], "{section}");
    }
    assert_eq!(commented["sink"]["file"], defaults["sink"]["file"]);
}

#[test]
fn the_job_as_shown_parses_to_the_same_job() {
    let mut texts = vec![MINIMAL.to_owned()];
    texts.extend(examples().iter().map(|path| std::fs::read_to_string(path).unwrap()));
    for text in texts.iter().filter(|text| !text.contains("${")) {
        let shown = parse(text).unwrap().redacted();
        let again = parse(&shown.to_string()).unwrap_or_else(|errors| panic!("{errors}\n{shown:#}"));
        assert_eq!(again.redacted(), shown);
    }
}

#[test]
fn a_substituted_job_shows_what_the_file_has() {
    let config = parse_with(&with("{kafka: {bootstrap_servers: '${TEST}:9092'}}"), "broker").unwrap();
    assert_eq!(config.kafka.bootstrap_servers, "broker:9092");
    assert_eq!(config.redacted()["kafka"]["bootstrap_servers"], "${TEST}:9092");
}

#[test]
fn a_job_file_that_is_not_there_is_named() {
    let errors = Config::load(Path::new("/no/such/job.yaml")).unwrap_err();
    let text = errors.to_string();
    assert!(text.contains("/no/such/job.yaml") && text.contains("cannot read"), "{text}");
}
