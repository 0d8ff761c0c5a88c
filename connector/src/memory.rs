//! Who may hold how much of `memory.limit`. What is left is for the program itself and what allocators keep.

/// Bytes that the client takes for a message beside its contents.
pub const MESSAGE_BYTES: usize = 512;

/// Bytes of batches and open files below which a channel makes small row groups,
/// and checkpoints before their time.
const CHANNEL_BYTES: usize = 20 << 20;

/// Shares of `memory.limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Keys and payloads in the client's queue, which an answer of a broker may pass. As much again is for
    /// [`MESSAGE_BYTES`] of each.
    pub queue_bytes: usize,
    /// Messages in that queue.
    pub queue_messages: usize,
    /// One answer of a broker, compressed; several times as much when it is not.
    pub answer_bytes: usize,
    /// Records that left the queue and are not decoded yet, with what the client takes for each.
    pub undecoded_bytes: usize,
    /// Batches and open files of all channels.
    pub staging_bytes: usize,
}

impl Shares {
    /// `limit`: bytes.
    pub fn of(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            queue_bytes: limit / 16,
            queue_messages: limit / 16 / MESSAGE_BYTES,
            answer_bytes: limit / 32,
            undecoded_bytes: limit / 8,
            staging_bytes: limit / 16 * 5,
        }
    }

    /// Channels among which the staging can be shared so that each has enough.
    pub fn channels(&self) -> usize {
        (self.staging_bytes / CHANNEL_BYTES).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_room_when_an_answer_unpacks_to_four_times_its_size() {
        let shares = Shares::of(256 << 20);
        let queue = shares.queue_bytes + shares.queue_messages * MESSAGE_BYTES;
        let all = queue + 4 * shares.answer_bytes + shares.undecoded_bytes + shares.staging_bytes;
        assert_eq!(all, 176 << 20);
    }

    #[test]
    fn a_machine_with_many_cores_does_not_split_the_memory_into_shares_too_small_to_work_with() {
        let channels = [64, 256, 1024].map(|mebibytes| Shares::of(mebibytes << 20).channels());
        assert_eq!(channels, [1, 4, 16]);
    }
}
