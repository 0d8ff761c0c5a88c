//! The tree, checked into a [`Config`]. Every failure is reported before any is returned, and whatever the file asks
//! for that this version cannot do is refused by name: nothing in a job file is silently ignored.

mod format;
mod kafka;
mod rejects;
mod running;
mod sink;
mod table;

use super::error::Report;
use super::reload::Values;
use super::section::Section;
use super::{Config, values};
use crate::limits::JOB_NAME_MAX_CHARS;

/// Reads every key. The result is whole only if `report` stays empty: what was wrong stands there as its default.
pub(super) fn check(root: &mut Section<'_>, report: &Report) -> Option<Config> {
    let job =
        root.need("job", values::folder_name(JOB_NAME_MAX_CHARS), "name the job; its state carries the name");
    let name = job.clone().unwrap_or_default();
    let kafka = root.section("kafka", |section| kafka::check(section, &name));
    let format = root.section("format", format::check);
    let sink = root.section("sink", |section| sink::check(section, &kafka.topics, &format));
    let (mut checkpoint, timeout) =
        root.section("checkpoint", |section| running::checkpoint(section, &name, sink.url.as_str()));
    let error_limit = root.section("error_limit", rejects::error_limit);
    let rejects = root.section("rejects", |section| rejects::rejects(section, &kafka.topics));
    let memory_limit = root.section("memory", running::memory);
    let speed = root.section("speed", |section| running::speed(section, memory_limit));
    let (timeouts, timeout) = root.section("timeouts", |section| running::timeouts(section, timeout, &kafka));
    checkpoint.timeout = timeout;
    let control = root.section("control", running::control);
    let savepoints = root.section("savepoints", |section| running::savepoints(section, &checkpoint.state));
    let http = root.section("http", running::http);
    let log = root.section("log", running::log);
    report.is_empty().then_some(Config {
        job: job?,
        kafka,
        format,
        sink,
        checkpoint,
        speed,
        error_limit,
        rejects,
        memory_limit,
        timeouts,
        control,
        savepoints,
        http,
        log,
        as_written: Vec::new(),
        values: Values::default(),
    })
}

/// As for `sink.url`; the message never repeats the URL.
pub(super) fn folder_url(url: &str) -> Result<String, String> {
    sink::url(url).map_err(|wrong| format!("{}; {}", wrong.problem, wrong.remedy))
}
