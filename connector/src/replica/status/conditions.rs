//! What keeps a replica from doing all of its work, and since when. Whoever notices
//! it says so here; `/readyz`, the status page's verdict, the metric
//! `tidegate_unready`, the alert on it and the log all tell it from here.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Status, read, write};

/// Why a replica is not ready, with the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The start waits for something, such as a first record to infer columns from.
    Waiting,
    /// No broker answers.
    Unreachable,
    /// The store answers nothing.
    StoreSilent,
    /// The replica is not a member of its consumer group.
    NotInGroup,
    /// A topic that the job must read does not exist, or may not be seen.
    TopicMissing,
    /// The user has lost a right to a topic.
    NotAllowed,
    /// A partition has no leader.
    NoLeader,
    /// A partition's offset is looked for again and again.
    OffsetNotFound,
    /// Nothing comes of a partition, though it has records.
    NotRead,
    /// Commits in force do not become visible.
    NotPublished,
    /// What is published or erased is not dropped from the chain.
    NotSettled,
    /// Rejects do not get into their topic.
    RejectsNotSent,
}

impl Cause {
    pub const ALL: [Self; 12] = [
        Self::Waiting,
        Self::Unreachable,
        Self::StoreSilent,
        Self::NotInGroup,
        Self::TopicMissing,
        Self::NotAllowed,
        Self::NoLeader,
        Self::OffsetNotFound,
        Self::NotRead,
        Self::NotPublished,
        Self::NotSettled,
        Self::RejectsNotSent,
    ];

    /// For programs; does not change.
    pub fn code(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unreachable => "unreachable",
            Self::StoreSilent => "store_silent",
            Self::NotInGroup => "not_in_group",
            Self::TopicMissing => "topic_missing",
            Self::NotAllowed => "not_allowed",
            Self::NoLeader => "no_leader",
            Self::OffsetNotFound => "offset_not_found",
            Self::NotRead => "not_read",
            Self::NotPublished => "not_published",
            Self::NotSettled => "not_settled",
            Self::RejectsNotSent => "rejects_not_sent",
        }
    }

    pub fn remedy(self) -> &'static str {
        match self {
            Self::Waiting => "It goes on by itself when that has come.",
            Self::Unreachable => {
                "See whether the brokers run and can be reached from here. Reading goes on by itself."
            }
            Self::StoreSilent => {
                "See whether the store can be reached from here, and what it says of its own state. Nothing is lost: what is not \
                 committed is read again."
            }
            Self::NotInGroup => {
                "See the log for what the group's coordinator says, and whether another replica stands still: all wait for \
                 the slowest."
            }
            Self::TopicMissing => {
                "If it was deleted or renamed by mistake, restore it; if it is to come, create it. Otherwise take it out of \
                 kafka.topics. A topic that the user may not describe looks the same."
            }
            Self::NotAllowed => "Allow this user Read on the topic, which includes Describe.",
            Self::NoLeader => "Bring the brokers back that hold a replica of it. Reading goes on by itself.",
            Self::OffsetNotFound => {
                "The broker's log has the offset and its leader does not give it out: see that broker's log, and whether \
                 another replica of the partition should lead."
            }
            Self::NotRead => {
                "See the log for the client's last error, and the broker that leads the partition. A restart of this \
                 replica, or moving the leader, often helps; nothing is lost by either."
            }
            Self::NotPublished => {
                "The data is safe and not visible yet. The store's rights must include what moving a file takes: reading, \
                 writing and deleting; and there must be room."
            }
            Self::NotSettled => {
                "Look for errors of the store in the log; its rights must include creating checkpoints and deleting files."
            }
            Self::RejectsNotSent => {
                "They are safe in their files, but at 256 commits the job stops. Mostly the topic is missing, or a right."
            }
        }
    }
}

/// Something that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub cause: Cause,
    /// The topic or partition that it is about; empty: the whole replica.
    pub subject: String,
    /// Half a sentence that names the subject, without a full stop. It does not begin with a name.
    pub text: String,
    pub since: Timestamp,
}

/// All that hold, by cause and subject.
#[derive(Debug, Default)]
pub(super) struct Conditions(BTreeMap<(Cause, String), (String, Timestamp)>);

impl Conditions {
    /// Returns those that are new, and those that hold no longer.
    fn replace(
        &mut self,
        cause: Cause,
        found: BTreeMap<String, String>,
        now: Timestamp,
    ) -> (Vec<Condition>, Vec<Condition>) {
        let gone = |((of, subject), _): &(&(Cause, String), &(String, Timestamp))| {
            *of == cause && !found.contains_key(subject)
        };
        let gone: Vec<_> = self.0.iter().filter(gone).map(condition).collect();
        self.0.retain(|(of, subject), _| *of != cause || found.contains_key(subject));
        let mut new = Vec::new();
        for (subject, text) in found {
            let key = (cause, subject);
            let since = self.0.get(&key).map(|(_, since)| *since);
            let value = (text, since.unwrap_or(now));
            if since.is_none() {
                new.push(condition((&key, &value)));
            }
            self.0.insert(key, value);
        }
        (new, gone)
    }
}

fn condition((key, value): (&(Cause, String), &(String, Timestamp))) -> Condition {
    let ((cause, subject), (text, since)) = (key, value);
    Condition { cause: *cause, subject: subject.clone(), text: text.clone(), since: *since }
}

impl Status {
    /// From now on these hold of `cause`, and no others: texts by the topic or partition that they are about
    /// (empty: the whole replica). What held before keeps its time. What comes and goes is logged.
    pub fn set_conditions(&self, cause: Cause, found: BTreeMap<String, String>, now: Timestamp) {
        let (new, gone) = write(&self.conditions).replace(cause, found, now);
        for Condition { text, .. } in new {
            tracing::warn!(reason = cause.code(), "not ready: {text}");
        }
        for Condition { text, since, .. } in gone {
            let seconds = now.duration_since(since).as_secs();
            tracing::info!(reason = cause.code(), seconds, "no longer: {text}");
        }
    }

    /// Whether one thing holds of the whole replica, and its text.
    pub fn set_condition(&self, cause: Cause, text: Option<String>, now: Timestamp) {
        self.set_conditions(cause, text.map(|text| (String::new(), text)).into_iter().collect(), now);
    }

    /// The job waits for this, and reads nothing; `None`: no longer.
    pub fn set_waiting(&self, text: Option<String>) {
        self.set_condition(Cause::Waiting, text, Timestamp::now());
    }

    /// No run is under way, or it begins anew: nothing of the last one holds any more.
    pub(crate) fn clear_conditions(&self) {
        write(&self.conditions).0.clear();
    }

    /// What keeps this replica from doing all of its work, by cause.
    pub fn conditions(&self) -> Vec<Condition> {
        read(&self.conditions).0.iter().map(condition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_it_is_gone() {
        let status = Status::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let missing = |topics: &[&str]| {
            topics.iter().map(|topic| ((*topic).to_owned(), format!("{topic} is gone"))).collect()
        };
        let held = || {
            let held = status.conditions().into_iter().map(|c| (c.subject, c.since.as_second()));
            held.collect::<Vec<_>>()
        };
        status.set_conditions(Cause::TopicMissing, missing(&["a", "b"]), at(1));
        status.set_condition(Cause::NotPublished, Some("no room".into()), at(2));
        status.set_conditions(Cause::TopicMissing, missing(&["b", "c"]), at(3));
        assert_eq!(held(), [("b".into(), 1), ("c".into(), 3), (String::new(), 2)]);
        status.set_conditions(Cause::TopicMissing, missing(&[]), at(4));
        status.set_condition(Cause::NotPublished, None, at(4));
        assert!(held().is_empty());
    }

    #[test]
    fn each_cause_has_a_code_of_its_own() {
        let codes: std::collections::BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        assert_eq!(codes.len(), Cause::ALL.len());
    }
}
