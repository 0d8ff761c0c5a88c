//! Free ports that stay free: a broker that restarts must come back at the address its clients know.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Below the range from which the kernel gives out ports to outgoing connections,
/// so that none of them takes the port of a server while it is down.
const FIRST: u32 = 15_000;
const COUNT: u32 = 15_000;

/// A port of this machine that nobody listens on. No port is given out twice by a
/// process before all others were.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes start at different places: two test binaries seldom compete for one port.
    let start = process::id().wrapping_mul(61);
    loop {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("FIRST + COUNT is below 65536");
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
