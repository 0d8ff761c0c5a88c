//! What a running job tells of itself: metrics, readiness, traces.

mod dashboard;
mod metrics;
mod readiness;
mod scrape;
mod traces;
