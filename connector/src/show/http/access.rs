//! Who may ask what.
//!
//! - Health and metrics: everybody.
//! - On a loopback address: whoever is on this machine reads; what changes the job needs the token, if one is set.
//!   Requests that name another host are refused, so that a web page in somebody's browser cannot point its own name
//!   here; and what comes from a page must come from a page of ours, though another site's could not see the answer:
//!   each read asks the store, and costs.
//! - Beyond loopback: the whole API needs the token, and is closed without one.
//!
//! Whatever is asked by another method than GET or HEAD changes the job, so no route can be forgotten.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::config::Secret;

/// On every answer: nothing of ours is framed, sniffed, or loads what others serve.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// What is asked of a request, by where the server listens.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) is_loopback: bool,
    pub(super) token: Option<Secret>,
}

impl Access {
    /// Whether a request by this method needs the token.
    pub(super) fn needs_token(&self, method: &Method) -> bool {
        self.token.is_some() && (!self.is_loopback || is_changing(method))
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        if self.is_loopback {
            of_our_page(request)?;
        }
        let Some(token) = &self.token else {
            if self.is_loopback {
                return Ok(());
            }
            let detail = "beyond loopback the API is served to those who have the token, and none is set: set http.token, \
                          or http.listen to 127.0.0.1:8080";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        };
        if self.needs_token(request.method()) && !bearer(request.headers()).is_some_and(|sent| token.is(sent))
        {
            let detail =
                "this needs the job's token: send the header Authorization: Bearer, with http.token after it";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        }
        Ok(())
    }
}

/// For everything that is served.
pub(super) async fn everywhere(State(access): State<Access>, request: Request, next: Next) -> Response {
    let mut response = if access.is_loopback && !is_local(&request) {
        Problem::new(StatusCode::FORBIDDEN, "this address is served to localhost only").into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// For the API.
pub(super) async fn api(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

pub(super) fn is_changing(method: &Method) -> bool {
    ![Method::GET, Method::HEAD].contains(method)
}

/// The token that a request carries.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Refuses what a page of another site sends: browsers name the site, and a plain form cannot send JSON.
fn of_our_page(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    let own = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"));
        origin.is_some_and(|(_, authority)| Some(authority) == host(request))
    };
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !origin.is_none_or(own) || !site.is_none_or(|site| [&b"same-origin"[..], b"none"].contains(&site)) {
        let detail = "this was sent by a page of another site, which may not ask or change the job";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// Whether host and origin are this machine's own names.
fn is_local(request: &Request) -> bool {
    let origin = request.headers().get(header::ORIGIN).map(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        authority.is_some_and(|(_, authority)| is_local_name(authority))
    });
    host(request).is_some_and(is_local_name) && origin.unwrap_or(true)
}

fn host(request: &Request) -> Option<&str> {
    request.headers().get(header::HOST)?.to_str().ok()
}

fn is_local_name(authority: &str) -> bool {
    let host = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let host = host.map_or(authority, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
