//! The status page: files that are part of the program, so that nothing has to be
//! installed or fetched beside it.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::Shown;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal: $kind:ident = $name:literal),+ $(,)?) => {
        &[$(($path, $kind, include_str!(concat!("page/", $name)))),+]
    };
}

/// Path, content type and content.
const FILES: &[(&str, &str, &str)] = files![
    "/": HTML = "index.html",
    "/page/page.css": CSS = "page.css",
    "/page/icon.svg": SVG = "icon.svg",
    "/page/api.js": SCRIPT = "api.js",
    "/page/chart.js": SCRIPT = "chart.js",
    "/page/checkpoints.js": SCRIPT = "checkpoints.js",
    "/page/controls.js": SCRIPT = "controls.js",
    "/page/dom.js": SCRIPT = "dom.js",
    "/page/format.js": SCRIPT = "format.js",
    "/page/main.js": SCRIPT = "main.js",
    "/page/sections.js": SCRIPT = "sections.js",
    "/page/table.js": SCRIPT = "table.js",
    "/page/verdict.js": SCRIPT = "verdict.js",
];

/// One for all files, because they only work together.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let hash = FILES.iter().fold(Sha256::new(), |hash, (_, _, content)| hash.chain_update(content));
    let digits: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
});

/// The page is open to everybody; what it shows comes from the API, which is not.
pub(super) fn routes() -> Router<Shown> {
    FILES.iter().fold(Router::new(), |router, (path, kind, content)| {
        router.route(path, get(async |headers: HeaderMap| file(&headers, kind, content)))
    })
}

/// Kept by browsers, and asked for again each time: after an upgrade no old script meets a new API.
fn file(headers: &HeaderMap, kind: &'static str, content: &'static str) -> Response {
    let caching = [(header::ETAG, TAG.as_str()), (header::CACHE_CONTROL, "no-cache")];
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == TAG.as_bytes());
    if known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, kind)], content).into_response()
}
