//! Where others reach a replica, of which it knows only where it listens.

use std::net::{IpAddr, SocketAddr};

/// What this process tells others of where it listens. `POD_IP` is set by the Helm chart.
pub fn advertised(bound: SocketAddr) -> String {
    let pod = std::env::var("POD_IP").ok().and_then(|ip| ip.parse().ok());
    reached(bound, pod, &host_name())
}

/// Who listens on every interface is reached by the pod's address, or else by the host's name.
fn reached(bound: SocketAddr, pod: Option<IpAddr>, host: &str) -> String {
    let port = bound.port();
    match pod {
        _ if !bound.ip().is_unspecified() => bound.to_string(),
        Some(ip) => SocketAddr::new(ip, port).to_string(),
        None if host.is_empty() => bound.to_string(),
        None => format!("{host}:{port}"),
    }
}

/// Empty where it is not known.
pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_on_every_interface_is_reached_by_the_pod_or_the_host() {
        let reached = |bound: &str, pod: Option<&str>, host| {
            reached(bound.parse().unwrap(), pod.map(|ip| ip.parse().unwrap()), host)
        };
        assert_eq!(reached("0.0.0.0:8080", Some("10.1.2.3"), "orders-0"), "10.1.2.3:8080");
        assert_eq!(reached("[::]:8080", Some("fd00::7"), "orders-0"), "[fd00::7]:8080");
        assert_eq!(reached("0.0.0.0:8080", None, "lake.example"), "lake.example:8080");
        assert_eq!(reached("0.0.0.0:8080", None, ""), "0.0.0.0:8080");
        for bound in ["127.0.0.1:8080", "192.0.2.1:8080"] {
            assert_eq!(reached(bound, Some("10.1.2.3"), "orders-0"), bound, "said in the job file");
        }
    }
}
