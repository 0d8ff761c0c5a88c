//! What a running job tells of itself: metrics, readiness, traces.

mod dashboard;
mod leaders;
mod metrics;
mod readiness;
mod requests;
pub(crate) mod scrape;
mod standing;
mod traces;
