//! What a running job tells of itself: metrics, readiness, traces.

mod dashboard;
mod metrics;
mod readiness;
mod requests;
mod scrape;
mod standing;
mod traces;
