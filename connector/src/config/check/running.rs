//! How the job runs: checkpoints, speed, limits, timeouts, HTTP, logs; and the keys that wait to be built.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::sink;
use crate::config::error::Wrong;
use crate::config::section::{Parsed, Section};
use crate::config::{Checkpoint, ErrorLimit, Http, Log, LogFormat, Speed, Timeouts, values};
use crate::limits::{
    CHANNELS_MAX_COUNT, CHECKPOINT_INTERVAL_MIN, CHECKPOINTS_RETAINED_MAX_COUNT, MEMORY_MAX_BYTES,
    MEMORY_MIN_BYTES,
};

const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) fn checkpoint(checkpoint: &mut Section<'_>, job: &str, sink_url: &str) -> Checkpoint {
    let state = checkpoint.value("state").filter(|value| value.text() != Some(""));
    let state = match state {
        None => format!("{sink_url}/_tidegate/{job}"),
        Some(value) => {
            let url = value.parse(sink::url).unwrap_or_default();
            // A file becomes visible by a copy or a link within one store, out of the state's folder.
            if !url.is_empty() && !sink_url.is_empty() && sink::store_of(&url) != sink::store_of(sink_url) {
                value.wrong(Wrong::new(
                    "lies in another store than sink.url",
                    "choose a folder in the same bucket, or leave checkpoint.state out",
                ));
            }
            url
        }
    };
    Checkpoint {
        interval: checkpoint.get(
            "interval",
            values::duration(CHECKPOINT_INTERVAL_MIN),
            Duration::from_secs(60),
        ),
        max_records: checkpoint.get("max_records", values::integer(0..=u64::MAX), 0),
        max_bytes: checkpoint.get("max_bytes", values::size(0..=u64::MAX), 0),
        timeout: checkpoint.get("timeout", values::duration(MILLISECOND), Duration::from_secs(600)),
        retained: checkpoint.get("retained", values::integer(1..=CHECKPOINTS_RETAINED_MAX_COUNT), 64),
        retained_for: checkpoint.get(
            "retained_for",
            values::duration(Duration::ZERO),
            Duration::from_secs(24 * 3_600),
        ),
        copy_grace: checkpoint.get("copy_grace", values::duration(Duration::ZERO), Duration::from_secs(600)),
        state,
    }
}

pub(super) fn speed(speed: &mut Section<'_>) -> Speed {
    let bytes_per_second = speed.get("bytes_per_second", values::size(0..=u64::MAX), 0);
    let channels = match speed.get("channels", values::integer(0..=CHANNELS_MAX_COUNT), 0) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        channels => channels as usize,
    };
    Speed { bytes_per_second, channels }
}

pub(super) fn error_limit(limit: &mut Section<'_>) -> ErrorLimit {
    for key in ["ratio", "window"] {
        if limit.value(key).is_some() {
            limit.wrong(key, Wrong::not_built("a limit by ratio", "use error_limit: {records: N}"));
        }
    }
    ErrorLimit { records: Some(limit.get("records", values::integer(0..=u64::MAX), 0)) }
}

pub(super) fn memory(memory: &mut Section<'_>) -> u64 {
    memory.get("limit", values::size(MEMORY_MIN_BYTES..=MEMORY_MAX_BYTES), 256 << 20)
}

pub(super) fn timeouts(timeouts: &mut Section<'_>) -> Timeouts {
    let mut seconds =
        |key, default| timeouts.get(key, values::duration(MILLISECOND), Duration::from_secs(default));
    Timeouts {
        store_request: seconds("store_request", 60),
        store_retry: seconds("store_retry", 300),
        revoke: seconds("revoke", 15),
        stop: seconds("stop", 25),
    }
}

pub(super) fn http(http: &mut Section<'_>) -> Http {
    unless_default(http, "token", "", "a token", "leave it empty: nothing that changes state is served yet");
    http.section("tls", |tls| {
        for key in ["cert", "key"] {
            unless_default(tls, key, "", "TLS", "leave it empty, and put a proxy in front");
        }
    });
    Http {
        listen: http.get("listen", address, SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
        ready_max_commit_age: http.get("ready_max_commit_age", values::duration_or_never, Duration::ZERO),
    }
}

fn address(value: &str) -> Parsed<SocketAddr> {
    let remedy = "write an IP address and a port: 127.0.0.1:8080, 0.0.0.0:8080, [::1]:0";
    value.parse().map_err(|_| Wrong::new("is not an address to listen on", remedy))
}

pub(super) fn log(log: &mut Section<'_>) -> Log {
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log {
        level: log.get("level", level, "info".to_owned()),
        format: log.get("format", values::word(&formats), LogFormat::Auto),
    }
}

/// A level, or levels by module: `info,tidegate::stage=debug`.
fn level(value: &str) -> Parsed<String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        levels.contains(&level.trim())
    };
    if value.split(',').all(known) && tracing_subscriber::EnvFilter::try_new(value).is_ok() {
        return Ok(value.to_owned());
    }
    Err(Wrong::new("is not a log level", format!("write one of {}, or module=level", levels.join(", "))))
}

/// Keys of features to come: their defaults are accepted, as is leaving them out.
pub(super) fn later(root: &mut Section<'_>) {
    root.section("rejects", |rejects| match rejects.value("to") {
        Some(to) if to.is_scalar() => {
            to.parse(values::word(&[("files", ())]));
        }
        Some(_) => {
            let wrong = Wrong::not_built("sending rejects to a topic", "use rejects: {to: files}");
            rejects.wrong("to", wrong);
        }
        None => {}
    });
    root.section("savepoints", |savepoints| {
        for (key, default) in [("every", "0"), ("to", ""), ("retained", "0")] {
            let remedy = "remove it; checkpoints are kept by checkpoint.retained";
            unless_default(savepoints, key, default, "a periodic savepoint", remedy);
        }
    });
    root.section("control", |control| {
        unless_default(control, "poll", "5s", "control of running replicas", "remove it");
    });
}

fn unless_default(section: &mut Section<'_>, key: &'static str, default: &str, what: &str, remedy: &str) {
    if section.value(key).is_some_and(|value| value.text() != Some(default)) {
        section.wrong(key, Wrong::not_built(what, remedy));
    }
}
