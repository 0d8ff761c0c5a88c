//! What any who reach the port may take of it: a time for each request, and a number of connections.
//!
//! Health and metrics are open to everybody, so nobody may take all of it: each address has a part only, and
//! a platform's probe comes from an address of its own.

use std::collections::HashMap;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_server::accept::Accept;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::problem::Problem;
use crate::limits::{CONNECTIONS_MAX_COUNT, CONNECTIONS_MAX_COUNT_EACH, REQUEST_MAX};

/// What is too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// For a request, its body included, until its answer is ready.
    pub(super) request: Duration,
    /// Open at the same time.
    pub(super) connections: usize,
    /// Of those, from one address.
    pub(super) each: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { request: REQUEST_MAX, connections: CONNECTIONS_MAX_COUNT, each: CONNECTIONS_MAX_COUNT_EACH }
    }
}

/// Answers for a request that takes too long, and ends its connection.
pub(super) async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let brings_more = !request.body().is_end_stream();
    if let Ok(response) = tokio::time::timeout(limit, next.run(request)).await {
        return response;
    }
    let seconds = limit.as_secs_f64();
    let problem = if brings_more {
        Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the request was not whole after {seconds} s"))
    } else {
        Problem::unavailable(format!("no answer was ready after {seconds} s; ask again"))
    };
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Lets only so many connections through to the acceptor behind it.
#[derive(Clone, Debug)]
pub(super) struct Limited<A> {
    inner: A,
    open: Arc<Open>,
}

impl<A> Limited<A> {
    pub(super) fn new(bounds: Bounds, inner: A) -> Self {
        Self { inner, open: Arc::new(Open { bounds, counts: Mutex::default() }) }
    }
}

impl<A, S> Accept<TcpStream, S> for Limited<A>
where
    A: Accept<TcpStream, S>,
    A::Stream: Send + 'static,
    A::Service: Send + 'static,
    A::Future: Send + 'static,
{
    type Stream = Held<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = stream.peer_addr().map(|peer| Open::take(&self.open, network(peer.ip())));
        match place {
            Ok(Some(place)) => {
                let accepted = self.inner.accept(stream, service);
                accepted
                    .map(|accepted| {
                        accepted.map(|(stream, service)| (Held { stream, _place: place }, service))
                    })
                    .boxed()
            }
            Ok(None) => std::future::ready(Err(ErrorKind::QuotaExceeded.into())).boxed(),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }
}

/// Who is one in counting: of IPv6, a machine has all addresses of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

/// The connections that are open.
#[derive(Debug)]
struct Open {
    bounds: Bounds,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    each: HashMap<IpAddr, usize>,
    /// Since it was last half empty, somebody was refused, and that was told.
    told: bool,
}

impl Open {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(open: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let Bounds { connections, each, .. } = open.bounds;
        let mut counts = open.counts();
        let of_address = counts.each.get(&from).copied().unwrap_or(0);
        if counts.all >= connections || of_address >= each {
            if !std::mem::replace(&mut counts.told, true) {
                tracing::warn!(address = %from, open = counts.all, of_address, "too many connections for HTTP; refused");
            }
            return None;
        }
        counts.all += 1;
        counts.each.insert(from, of_address + 1);
        Some(Place { open: open.clone(), from })
    }
}

/// A connection's place among those that are open.
#[derive(Debug)]
struct Place {
    open: Arc<Open>,
    from: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.open.counts();
        counts.all -= 1;
        let left = counts.each.get(&self.from).copied().unwrap_or(1) - 1;
        if left == 0 {
            counts.each.remove(&self.from);
        } else {
            counts.each.insert(self.from, left);
        }
        counts.told &= counts.all > self.open.bounds.connections / 2 || left > self.open.bounds.each / 2;
    }
}

/// A connection that gives its place back when it is dropped.
#[derive(Debug)]
pub(super) struct Held<I> {
    stream: I,
    _place: Place,
}

impl<I: AsyncRead + Unpin> AsyncRead for Held<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Held<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(connections: usize, each: usize) -> Arc<Open> {
        let bounds = Bounds { connections, each, ..Bounds::default() };
        Arc::new(Open { bounds, counts: Mutex::default() })
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let open = open(3, 2);
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|address| network(address.parse().unwrap()));
        let held: Vec<_> = (0..4).filter_map(|_| Open::take(&open, one)).collect();
        assert_eq!(held.len(), 2);
        let probe = Open::take(&open, other);
        assert!(probe.is_some() && Open::take(&open, other).is_none(), "full");
        drop(held);
        assert!(Open::take(&open, one).is_some());
        drop(probe);
        let counts = open.counts();
        assert_eq!((counts.all, counts.each.len()), (0, 0));
    }

    #[test]
    fn a_machine_is_one_by_its_network() {
        let of = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_eq!([of("::ffff:10.0.0.1"), of("::1")], ["10.0.0.1", "::1"]);
    }
}
