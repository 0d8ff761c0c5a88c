//! Waiting for replicas to do what they were asked.

use std::time::Duration;

use tidegate_sinks::Error;
use tokio::time::Instant;

use super::Board;
use super::hearing::{Hearing, acknowledged};

/// Who has done what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Waited {
    pub acknowledged: Vec<String>,
    /// Alive, and not done when the time was up.
    pub late: Vec<String>,
}

/// Waits until every live replica has carried out control object `n`, or `longest` has passed.
pub async fn acknowledgements(board: &Board, n: u64, longest: Duration) -> Result<Waited, Error> {
    let (mut hearing, give_up) = (Hearing::default(), Instant::now() + longest);
    loop {
        let live = hearing.live(board.all_replicas().await?);
        let (done, late): (Vec<_>, Vec<_>) = live.into_iter().partition(|replica| acknowledged(replica, n));
        if late.is_empty() || Instant::now() >= give_up {
            let ids = |replicas: Vec<super::Replica>| replicas.into_iter().map(|r| r.id).collect();
            return Ok(Waited { acknowledged: ids(done), late: ids(late) });
        }
        tokio::time::sleep(board.poll()).await;
    }
}
