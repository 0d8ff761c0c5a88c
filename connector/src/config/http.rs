//! `http`: the REST API, the status page and the metrics.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::Secret;
use super::file::error::Wrong;
use super::file::section::{Key, Section, key};
use super::file::values::{self, Parsed};
use crate::limits::TOKEN_MIN_CHARS;

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    /// What changes the job must carry it, and beyond loopback whatever asks the API.
    pub token: Option<Secret>,
    /// HTTPS instead of HTTP.
    pub tls: Option<Tls>,
    /// Age of the last commit, with lag, at which the replica is no longer ready. Zero: never.
    pub ready_max_commit_age: Duration,
}

/// PEM files, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and its chain after it.
    pub cert: PathBuf,
    pub key: PathBuf,
}

pub(super) fn read(http: &mut Section<'_>) -> Http {
    Http {
        listen: http.get(
            key("listen", "Address and port. Port 0: any free one, which is logged."),
            address,
            SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        ),
        token: http.secret(
            key(
                "token",
                "What requests must carry that change the job, and beyond loopback all of the API. At least 16 \
                 characters, as `${VAR}` or `${file:/path}`.",
            ),
            token,
        ),
        tls: http.section("tls", tls),
        ready_max_commit_age: http.get(
            key(
                "ready_max_commit_age",
                "Age of the last commit, with something to commit, at which `/readyz` fails.",
            )
            .default_text("`0`: never"),
            values::duration_or_never,
            Duration::ZERO,
        ),
    }
}

/// What goes into a header as it is, and takes too long to guess.
fn token(token: &str) -> Parsed<()> {
    let remedy = "make one by `openssl rand -hex 32`, and write ${VAR} or ${file:/path} here";
    if !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Wrong::new("holds characters that a header does not carry", remedy));
    }
    if token.len() < TOKEN_MIN_CHARS {
        return Err(Wrong::new(format!("is shorter than {TOKEN_MIN_CHARS} characters"), remedy));
    }
    Ok(())
}

fn tls(tls: &mut Section<'_>) -> Option<Tls> {
    let cert = path(
        tls,
        key(
            "cert",
            "PEM file with the certificate and its chain: HTTPS instead of HTTP. Read again when it changes.",
        ),
    );
    let key = path(tls, key("key", "PEM file with its key."));
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

/// Shown empty where there is none.
fn path(section: &mut Section<'_>, key: Key) -> Option<PathBuf> {
    section.read(
        key.default_text("none"),
        |value| value.and_then(|value| value.text()).filter(|path| !path.is_empty()).map(PathBuf::from),
        |path| Some(json!(path.as_ref().map(|path| path.display().to_string()).unwrap_or_default())),
    )
}

fn address(value: &str) -> Parsed<SocketAddr> {
    let remedy = "write an IP address and a port: 127.0.0.1:8080, 0.0.0.0:8080, [::1]:0";
    value.parse().map_err(|_| Wrong::new("is not an address to listen on", remedy))
}
