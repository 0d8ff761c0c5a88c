//! `tidegate replicas`: who works on a job, and how.

use anyhow::Result;
use bytesize::ByteSize;
use jiff::Timestamp;

use super::job::Job;
use super::output::{OutputArg, or_dash, table};
use super::{JobArg, LogArgs};
use crate::replica::control::{Board, Replica};

#[derive(Debug, clap::Args)]
pub(super) struct ReplicasArgs {
    #[command(flatten)]
    job: JobArg,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) async fn execute(args: ReplicasArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open_to_look(&args.job, log)?;
    let replicas = Board::of(&sink, &config).replicas().await?;
    args.output.print(&replicas, || text(&replicas, Timestamp::now()))?;
    Ok(0)
}

fn text(replicas: &[Replica], now: Timestamp) -> String {
    let row = |replica: &Replica| {
        let limit = Some(replica.limit_bytes_per_second).filter(|limit| *limit > 0);
        let size = |bytes: u64| format!("{}/s", ByteSize(bytes).display().si());
        [
            replica.id.clone(),
            replica.state.to_string(),
            or_dash(replica.address.as_ref()),
            replica.partitions.len().to_string(),
            format!("{:.0}", replica.records_per_second),
            size(replica.bytes_per_second as u64),
            or_dash(limit.map(size)),
            replica.checkpoint.to_string(),
            replica.control.to_string(),
            format!("{} s ago", now.duration_since(replica.updated).as_secs().max(0)),
        ]
    };
    table(
        [
            "id",
            "state",
            "address",
            "partitions",
            "records/s",
            "bytes",
            "limit",
            "checkpoint",
            "control",
            "seen",
        ],
        replicas.iter().map(row),
    )
}
