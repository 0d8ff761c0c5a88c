//! HTTP: health and metrics for the platform, the REST API, described by OpenAPI
//! that is made of its routes, and the status page on top of it.

mod access;
mod bounds;
mod changing;
mod extract;
mod health;
mod openapi;
mod overview;
mod page;
mod problem;
mod reading;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;
use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use jiff::Timestamp;
use tidegate_sinks::Chain;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{Config, Http};
use crate::error::RunError;
use crate::limits::{REQUEST_HEAD_MAX, REQUEST_MAX_BYTES};
use crate::replica::control::Board;
use crate::replica::status::Status;
use crate::show::telemetry::Metrics;
use crate::tasks::{self, Lost};
use access::Access;
use bounds::{Bounds, Limited};
use problem::Problem;

pub use tls::load as load_tls;

/// How often samples are folded into histograms, and one is taken for the last hour's history.
const UPKEEP: Duration = crate::replica::status::history::EVERY;

/// What the handlers read.
#[derive(Clone, Debug)]
pub struct Shown {
    pub config: Arc<Config>,
    pub sink: Arc<Chain>,
    pub board: Board,
    pub status: Arc<Status>,
    pub metrics: Metrics,
}

/// Binds the address (port 0: a free one) and serves until `stop` is true or
/// dropped. Returns the address bound.
pub async fn serve(shown: Shown, stop: watch::Receiver<bool>) -> Result<SocketAddr> {
    serve_within(Bounds::default(), shown, stop).await
}

async fn serve_within(bounds: Bounds, shown: Shown, stop: watch::Receiver<bool>) -> Result<SocketAddr> {
    let http = &shown.config.http;
    let listen = http.listen;
    let tls =
        http.tls.as_ref().map(|files| Ok::<_, RunError>((files.clone(), tls::load(files)?))).transpose()?;
    let listener = bind(listen).await?;
    let address = listener.local_addr()?;
    for caution in cautions(http) {
        tracing::warn!(%address, "{caution}");
    }
    tasks::spawn("http-upkeep", upkeep(shown.metrics.clone(), shown.status.clone(), stop.clone()));
    let access = Access { is_loopback: address.ip().is_loopback(), token: http.token.clone() };
    let service = router(shown, access, bounds).into_make_service();
    let handle = Handle::new();
    let mut server = Server::from_listener(listener).handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(REQUEST_HEAD_MAX);
    match tls {
        None => {
            let server = server.acceptor(Limited::new(bounds, DefaultAcceptor::new())).http1_only();
            tasks::spawn("http-server", until_the_end(server.serve(service)))
        }
        Some((files, config)) => {
            let config = RustlsConfig::from_config(config);
            tasks::spawn("http-certificate", tls::follow(files, config.clone(), stop.clone()));
            let server = server.acceptor(Limited::new(bounds, RustlsAcceptor::new(config))).http1_only();
            tasks::spawn("http-server", until_the_end(server.serve(service)))
        }
    };
    tasks::spawn("http-stop", shut_down(handle, stop));
    tracing::info!(%address, "listening for HTTP");
    Ok(address)
}

/// Takes the address, or says why it cannot be had.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(listen).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there, perhaps a run of this very job; choose another port, or 0 for any that is free"
            }
            io::ErrorKind::AddrNotAvailable => "it is no address of this machine; 0.0.0.0 is all that it has",
            io::ErrorKind::PermissionDenied => "this user may not take that port; choose one from 1024 up",
            _ => "choose another address or port",
        };
        RunError::Config(format!("http.listen {listen} cannot be bound: {remedy}"), Some(error.into()))
    })
}

/// What is allowed but seldom meant, for the log and for `validate`.
pub fn cautions(http: &Http) -> Vec<&'static str> {
    if http.listen.ip().is_loopback() {
        return Vec::new();
    }
    match (&http.token, &http.tls) {
        (None, _) => vec![
            "http.listen is beyond loopback without http.token: only health and metrics are served there",
        ],
        (Some(_), None) => {
            vec![
                "http.token is sent in the clear beyond loopback: set http.tls, or put a proxy with TLS in front",
            ]
        }
        (Some(_), Some(_)) => Vec::new(),
    }
}

async fn upkeep(metrics: Metrics, status: Arc<Status>, mut stop: watch::Receiver<bool>) {
    let mut upkeep = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = upkeep.tick() => {
                metrics.upkeep();
                status.sample(Timestamp::now());
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
}

async fn until_the_end(serving: impl Future<Output = io::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "the HTTP server ended");
        tasks::lose(Lost { task: "http-server".to_owned(), why: format!("by an error: {error}") });
    }
}

async fn shut_down(handle: Handle<SocketAddr>, mut stop: watch::Receiver<bool>) {
    // A dropped sender means that the process is ending, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
    handle.graceful_shutdown(None);
}

/// Everything that is served, where each request is let through by what `access` says of it.
fn router(shown: Shown, access: Access, bounds: Bounds) -> Router {
    let routes = reading::routes().merge(changing::routes()).merge(overview::routes(&shown));
    let (api, document) = openapi::head().nest("/api/v1", routes).split_for_parts();
    let document = Arc::new(openapi::complete(document, &access));
    let api = api.route("/api/v1/openapi.json", get(openapi::document).with_state(document));
    health::routes()
        .merge(page::routes())
        .merge(api.route_layer(middleware::from_fn_with_state(access.clone(), access::api)))
        .fallback(async || Problem::not_found("nothing is served here; /api/v1/openapi.json lists what is"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "served, but not by this method; see Allow")
        })
        .layer(DefaultBodyLimit::max(REQUEST_MAX_BYTES))
        .layer(middleware::from_fn_with_state(bounds.request, bounds::in_time))
        .layer(middleware::from_fn_with_state(access, access::everywhere))
        .with_state(shown)
}

#[cfg(test)]
mod tests;
