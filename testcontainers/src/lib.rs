//! Real servers for the tests: brokers, object stores, and a proxy that cuts the way between.
//!
//! Whatever a test starts here is gone when its value is dropped, and at the latest
//! when the process ends, however it ends: [`reaper`] sees to the second, since
//! neither a `static` nor a killed test runs destructors.
//!
//! The images are those of `images/build`; run it (or `./x images`) once. They carry the official names, so
//! on a machine that can pull, the same tests run on the official ones.

mod azurite;
mod certificates;
mod gcs;
mod kafka;
mod kubernetes;
mod minio;
mod ports;
mod reaper;
mod s3;
mod secured;
mod signals;
mod toxiproxy;
pub mod transactions;

pub use azurite::Azurite;
pub use certificates::{Authority, Certificate};
pub use gcs::Gcs;
pub use kafka::Kafka;
pub use kubernetes::Kubernetes;
pub use minio::{Credentials, MinIO};
pub use s3::S3;
pub use secured::SecuredKafka;
pub use toxiproxy::Toxiproxy;
pub use transactions::{Produced, Transactions, json_payload, read_committed_dump};
