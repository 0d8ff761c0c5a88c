//! What concerns the job as a whole: speed, errors, checkpoints, logs.

use super::Report;
use super::document::{self, Document};
use super::section::Section;

pub(super) fn read(mut setting: Section<'_>, document: &mut Document, report: &mut Report) {
    speed(setting.section("speed"), document, report);
    error_limit(setting.section("errorLimit"), document, report);
    restore(setting.section("restore"), document, report);
    log(setting.section("log"), document, report);
    setting.leave(
        "dirty",
        "rejected records lie beside the tables, in the same commit: tidegate help rejects",
        report,
    );
    setting.finish(report);
}

fn speed(mut speed: Section<'_>, document: &mut Document, report: &mut Report) {
    if let Some(bytes) = speed.bound("bytes", report) {
        document.set("speed.bytes_per_second", document::plain(bytes), &speed.path("bytes"));
    }
    if let Some(channels) = speed.bound("channel", report) {
        document.set("speed.channels", document::plain(channels), &speed.path("channel"));
    }
    let reason = "one thread reads all partitions of a replica; start more replicas to read more";
    speed.leave("readerChannel", reason, report);
    speed.leave(
        "writerChannel",
        "threads that encode and write are speed.channels; 0 is one per core",
        report,
    );
    speed.leave("rebalance", "partitions are spread over replicas by Kafka's group", report);
    speed.finish(report);
}

fn error_limit(mut limit: Section<'_>, document: &mut Document, report: &mut Report) {
    if let Some(text) = limit.text("record", report) {
        match text.parse::<i64>() {
            Ok(records) if records >= 0 => {
                document.set("error_limit.records", document::plain(records), &limit.path("record"));
            }
            _ => report.left(
                limit.path("record"),
                format!("{text} is no number of records: the first that is rejected stops the job, if no ratio is set"),
            ),
        }
    }
    let path = limit.path("percentage");
    if let Some(text) = limit.text("percentage", report) {
        match text.parse::<f64>() {
            Ok(percentage) if percentage > 0.0 => {
                document.set("error_limit.ratio", document::plain(percentage / 100.0), &path);
            }
            Ok(percentage) if percentage < 0.0 => {
                report
                    .left(path, format!("{text} is negative, which means no limit: there is no ratio here"));
            }
            Ok(_) => {}
            Err(_) => report.left(path, format!("{text:?} is not a number")),
        }
    }
    limit.finish(report);
}

fn restore(mut restore: Section<'_>, document: &mut Document, report: &mut Report) {
    let is = |text: Option<String>, value: &str| text.is_some_and(|text| text == value);
    if is(restore.text("isRestore", report), "false") {
        report.left(restore.path("isRestore"), "a job always goes on from its own checkpoints");
    }
    if is(restore.text("isStream", report), "false") {
        report.left(
            restore.path("isStream"),
            "a job runs until it is stopped; run --until-end stops at the ends",
        );
    }
    if let Some(records) = restore.bound("maxRowNumForCheckpoint", report) {
        let path = restore.path("maxRowNumForCheckpoint");
        document.set("checkpoint.max_records", document::plain(records), &path);
    }
    restore.leave("restoreColumnName", "positions are Kafka's offsets, not a column's values", report);
    if restore.text("restoreColumnIndex", report).is_some_and(|index| index != "-1" && index != "0") {
        let reason = "positions are Kafka's offsets, not a column's values";
        report.left(restore.path("restoreColumnIndex"), reason);
    }
    restore.finish(report);
}

fn log(mut log: Section<'_>, document: &mut Document, report: &mut Report) {
    if let Some(level) = log.text("level", report) {
        let level = match level.to_lowercase().as_str() {
            "warning" => "warn".to_owned(),
            "fatal" => "error".to_owned(),
            "all" => "trace".to_owned(),
            other => other.to_owned(),
        };
        document.set("log.level", document::text(&level), &log.path("level"));
    }
    if log.text("isLogger", report).is_some_and(|is| is == "false") {
        report.left(log.path("isLogger"), "logs always go to stderr; log.level: off silences them");
    }
    log.leave("path", "logs go to stderr; redirect it, or let the platform collect it", report);
    log.leave("pattern", "a line is text on a terminal and JSON otherwise (log.format)", report);
    log.finish(report);
}
