//! How the job runs: checkpoints, speed, limits, timeouts, HTTP, logs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::sink;
use crate::config::error::Wrong;
use crate::config::section::{Parsed, Section, Value};
use crate::config::{
    Checkpoint, Control, Http, Kafka, Log, LogFormat, Savepoints, Secret, Speed, Timeouts, Tls, defaults,
    values,
};
use crate::limits::{
    CHANNELS_MAX_COUNT, CHECKPOINT_INTERVAL_MIN, CHECKPOINTS_RETAINED_MAX_COUNT, CONTROL_POLL_MIN,
    MEMORY_MAX_BYTES, MEMORY_MIN_BYTES, SAVEPOINT_INTERVAL_MIN, SAVEPOINTS_RETAINED_MAX_COUNT,
    TOKEN_MIN_CHARS,
};
use crate::memory::Shares;

const MILLISECOND: Duration = Duration::from_millis(1);
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(600);

/// Its timeout is the default where none is given; [`timeouts`] makes it fit.
pub(super) fn checkpoint(
    checkpoint: &mut Section<'_>,
    job: &str,
    sink_url: &str,
) -> (Checkpoint, Option<Duration>) {
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
    let timeout = given(checkpoint, "timeout");
    let checkpoint = Checkpoint {
        interval: checkpoint.get(
            "interval",
            values::duration(CHECKPOINT_INTERVAL_MIN),
            Duration::from_secs(60),
        ),
        max_records: checkpoint.get("max_records", values::integer(0..=u64::MAX), 0),
        max_bytes: checkpoint.get("max_bytes", values::size(0..=u64::MAX), 0),
        timeout: timeout.unwrap_or(CHECKPOINT_TIMEOUT),
        retained: checkpoint.get("retained", values::integer(1..=CHECKPOINTS_RETAINED_MAX_COUNT), 64),
        retained_for: checkpoint.get(
            "retained_for",
            values::duration(Duration::ZERO),
            Duration::from_secs(24 * 3_600),
        ),
        copy_grace: checkpoint.get("copy_grace", values::duration(Duration::ZERO), Duration::from_secs(600)),
        state,
    };
    (checkpoint, timeout)
}

fn given(section: &mut Section<'_>, key: &'static str) -> Option<Duration> {
    section.value(key).and_then(|value| value.parse(values::duration(MILLISECOND)))
}

pub(super) fn speed(speed: &mut Section<'_>, memory_limit: u64) -> Speed {
    let bytes_per_second = speed.get("bytes_per_second", values::size(0..=u64::MAX), 0);
    let channels = match speed.get("channels", values::integer(0..=CHANNELS_MAX_COUNT), 0) {
        0 => std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(Shares::of(memory_limit).channels()),
        channels => channels as usize,
    };
    Speed { bytes_per_second, channels }
}

pub(super) fn memory(memory: &mut Section<'_>) -> u64 {
    memory.get("limit", values::size(MEMORY_MIN_BYTES..=MEMORY_MAX_BYTES), 256 << 20)
}

/// With that of the checkpoint, which they must fit.
pub(super) fn timeouts(
    timeouts: &mut Section<'_>,
    checkpoint: Option<Duration>,
    kafka: &Kafka,
) -> (Timeouts, Duration) {
    let chain = [given(timeouts, "store_request"), given(timeouts, "store_retry"), checkpoint];
    let defaults = [Duration::from_secs(60), Duration::from_secs(300), CHECKPOINT_TIMEOUT];
    let [store_request, store_retry, checkpoint] = defaults::ascending(chain, defaults);
    let timeouts = Timeouts {
        store_request,
        store_retry,
        broker: given(timeouts, "broker").unwrap_or(Duration::from_secs(60)),
        revoke: given(timeouts, "revoke").unwrap_or_else(|| defaults::revoke(&kafka.properties)),
        stop: given(timeouts, "stop").unwrap_or(Duration::from_secs(25)),
    };
    (timeouts, checkpoint)
}

pub(super) fn control(control: &mut Section<'_>) -> Control {
    Control { poll: control.get("poll", values::duration(CONTROL_POLL_MIN), Duration::from_secs(5)) }
}

pub(super) fn savepoints(savepoints: &mut Section<'_>, state: &str) -> Savepoints {
    let to = savepoints.value("to").filter(|value| value.text() != Some(""));
    Savepoints {
        every: savepoints.get("every", savepoint_interval, Duration::ZERO),
        to: match to {
            None => format!("{state}/savepoints"),
            Some(value) => value.parse(sink::url).unwrap_or_default(),
        },
        retained: savepoints.get("retained", values::integer(0..=SAVEPOINTS_RETAINED_MAX_COUNT), 0),
    }
}

/// A bare 0 means never.
fn savepoint_interval(value: &str) -> Parsed<Duration> {
    if value.trim() == "0" { Ok(Duration::ZERO) } else { values::duration(SAVEPOINT_INTERVAL_MIN)(value) }
}

pub(super) fn http(http: &mut Section<'_>) -> Http {
    Http {
        listen: http.get("listen", address, SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
        token: http.value("token").and_then(|value| token(&value)),
        tls: http.section("tls", tls),
        ready_max_commit_age: http.get("ready_max_commit_age", values::duration_or_never, Duration::ZERO),
    }
}

/// What goes into a header as it is, and takes too long to guess.
fn token(value: &Value<'_>) -> Option<Secret> {
    // A variable that is empty by mistake must not open the API.
    if value.text() == Some("") && !value.is_substituted() {
        return None;
    }
    value.parse(|token| {
        let remedy = "make one by `openssl rand -hex 32`, and write ${VAR} or ${file:/path} here";
        if !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Wrong::new("holds characters that a header does not carry", remedy).secret());
        }
        if token.len() < TOKEN_MIN_CHARS {
            let problem = format!("is shorter than {TOKEN_MIN_CHARS} characters");
            return Err(Wrong::new(problem, remedy).secret());
        }
        Ok(Secret::new(token))
    })
}

fn tls(tls: &mut Section<'_>) -> Option<Tls> {
    let path = |value: &str| Ok(Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty()));
    let (cert, key) = (tls.get("cert", path, None), tls.get("key", path, None));
    match (cert, key) {
        (Some(cert), Some(key)) => Some(Tls { cert, key }),
        (None, None) => None,
        (cert, _) => {
            let missing = if cert.is_none() { "cert" } else { "key" };
            tls.missing(missing, "TLS takes a certificate and its key: name both PEM files");
            None
        }
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

/// A level, or levels by module: `info,tidegate::flow::stage=debug`.
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
