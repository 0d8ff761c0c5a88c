//! The server's certificate: read from files, and again when they change, as mounted secrets do.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::config::Tls;
use crate::error::RunError;
use crate::limits::TLS_FILE_MAX_BYTES;

/// How often the files are looked at. A certificate is renewed days before it ends.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The bytes of both files.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// Reads the files into what the server takes.
///
/// Errors: `Config`, naming the file and what is wrong with it; never what is in it.
pub fn load(tls: &Tls) -> Result<Arc<ServerConfig>, RunError> {
    parse(tls, &read(tls)?)
}

fn read(tls: &Tls) -> Result<Files, RunError> {
    Ok(Files { cert: read_file("http.tls.cert", &tls.cert)?, key: read_file("http.tls.key", &tls.key)? })
}

fn read_file(name: &str, path: &Path) -> Result<Vec<u8>, RunError> {
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(TLS_FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
    let path = path.display();
    match read {
        Err(error) => {
            let remedy = "put a PEM file there and let this process read it";
            Err(RunError::Config(format!("{name}: cannot read {path}: {error}; {remedy}"), None))
        }
        Ok(length) if length as u64 > TLS_FILE_MAX_BYTES => Err(RunError::Config(
            format!("{name}: {path} is too large for a PEM file; name the right one"),
            None,
        )),
        Ok(_) => Ok(bytes),
    }
}

fn parse(tls: &Tls, files: &Files) -> Result<Arc<ServerConfig>, RunError> {
    let wrong = |text: String| RunError::Config(text, None);
    let (cert, key) = (tls.cert.display(), tls.key.display());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&files.cert).collect::<Result<_, _>>().map_err(|error| {
            wrong(format!("http.tls.cert: {cert} is not PEM: {error}; write the certificate as PEM"))
        })?;
    if chain.is_empty() {
        return Err(wrong(format!(
            "http.tls.cert: {cert} holds no certificate; write it there as PEM, its chain after it"
        )));
    }
    // The library's error could repeat a part of the key.
    let secret = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| {
        wrong(format!("http.tls.key: {key} holds no private key; write it there as PEM, without a password"))
    })?;
    // Two providers are in the tree, so the default one is not decided.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(format!("http.tls: {error}")))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| {
            wrong(format!("http.tls: the certificate in {cert} and the key in {key} do not fit: {error}; name two that do"))
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Reads the files again whenever they have changed, until `stop` is true or dropped. While they do not fit,
/// as in the middle of a change, the certificate stays what it was.
pub(super) async fn follow(tls: Tls, serving: RustlsConfig, mut stop: watch::Receiver<bool>) {
    let mut seen = read(&tls).ok();
    let mut said = None;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let found = match read(&tls) {
            Ok(files) if seen.as_ref() == Some(&files) => continue,
            Ok(files) => {
                let parsed = parse(&tls, &files);
                seen = Some(files);
                parsed
            }
            Err(error) => Err(error),
        };
        match found {
            Ok(config) => {
                serving.reload_from_config(config);
                said = None;
                tracing::info!(cert = %tls.cert.display(), "the certificate has changed");
            }
            Err(error) => {
                let error = error.to_string();
                if said.as_ref() != Some(&error) {
                    tracing::warn!(error, "the certificate stays what it was");
                }
                said = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
