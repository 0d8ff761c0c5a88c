//! Which replicas are alive, to one who waits for them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Replica, ReplicaState};

/// Looks, one a poll apart, at which a replica that said nothing new is taken for dead.
const SILENT_LOOKS: u32 = 3;

/// What one who waits has heard. Only its own looks count, so clocks that differ do no harm.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// When each replica said its last, by its own clock, and how many looks ago.
    heard: BTreeMap<String, (Timestamp, u32)>,
}

impl Hearing {
    /// Those of `replicas`, just read, that are not silent.
    pub(super) fn live(&mut self, replicas: Vec<Replica>) -> Vec<Replica> {
        let look = |replica: Replica| {
            let entry = self.heard.entry(replica.id.clone()).or_insert((replica.updated, 0));
            *entry = if entry.0 == replica.updated { (entry.0, entry.1 + 1) } else { (replica.updated, 1) };
            (entry.1 <= SILENT_LOOKS).then_some(replica)
        };
        replicas.into_iter().filter_map(look).collect()
    }
}

/// Whether a replica has made the checkpoint that control object `n` asks for, or
/// has nothing to put into one.
pub(super) fn acknowledged(replica: &Replica, n: u64) -> bool {
    use ReplicaState::{Holding, Starting, Stopped};
    replica.control >= n || matches!(replica.state, Starting | Stopped | Holding)
}

/// Whether a replica writes nothing more.
pub(super) fn has_stopped(replica: &Replica) -> bool {
    matches!(replica.state, ReplicaState::Stopped | ReplicaState::Holding)
}

#[cfg(test)]
mod tests {
    use super::super::tests::replica;
    use super::*;

    #[test]
    fn a_replica_is_dead_after_three_looks_without_news_and_alive_again_with_some() {
        let mut hearing = Hearing::default();
        let at = |second| replica("a", Timestamp::from_second(second).unwrap());
        for _ in 0..3 {
            assert_eq!(hearing.live(vec![at(1)]).len(), 1);
        }
        assert_eq!(hearing.live(vec![at(1)]).len(), 0);
        assert_eq!(hearing.live(vec![at(2)]).len(), 1);
    }
}
