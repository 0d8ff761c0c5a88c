//! Now and then the brokers are asked whether all that the job must read is there, and
//! still the same: the client tells little of a topic that was deleted, of a partition
//! without a leader, or of a right that was taken away, and reads nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_sinks::{Checkpoint, Error, TopicPartition};
use tokio::time::Instant;

use super::engine::{Done, Engine};
use super::identity;
use crate::config::Config;
use crate::error::RunError;
use crate::kafka::{Look, TopicIds, TopicLook};
use crate::replica::status::conditions::Cause;

/// Between two looks. What the first of two in a row finds may pass: a leader that
/// is being elected, a broker that starts.
const EVERY: Duration = Duration::from_secs(15);

/// Texts by topic or partition, by cause.
pub(super) type Found = BTreeMap<Cause, BTreeMap<String, String>>;

/// The causes that are looked for.
const CAUSES: [Cause; 4] = [Cause::Unreachable, Cause::TopicMissing, Cause::NotAllowed, Cause::NoLeader];

/// What the looks have found so far.
#[derive(Debug, Default)]
pub(super) struct Looks {
    looking: bool,
    last: Option<Instant>,
    found: Found,
}

impl Looks {
    /// Of what was found now, what was found the last time as well.
    fn twice(&mut self, found: Found) -> Found {
        let before = std::mem::replace(&mut self.found, found.clone());
        let again = |cause: Cause, subject: &String| {
            before.get(&cause).is_some_and(|before| before.contains_key(subject))
        };
        let keep = |(cause, mut found): (Cause, BTreeMap<String, String>)| {
            found.retain(|subject, _| again(cause, subject));
            (cause, found)
        };
        found.into_iter().map(keep).collect()
    }
}

/// What is wrong with the topics that were looked at. `known` are the partitions that the chain knows.
pub(super) fn judge(look: &Look, known: &BTreeSet<TopicPartition>) -> Found {
    let mut found = Found::new();
    let mut tell = |cause, subject: String, text: String| {
        found.entry(cause).or_default().insert(subject, text);
    };
    for (topic, look) in look {
        let named = topic.to_string();
        match look {
            TopicLook::Missing => {
                let text = format!("topic {topic} does not exist, or may not be seen by this user");
                tell(Cause::TopicMissing, named, text);
            }
            TopicLook::NotAllowed => {
                tell(
                    Cause::NotAllowed,
                    named,
                    format!("topic {topic} may not be read by this user any more"),
                );
            }
            TopicLook::Unknown(error) => {
                tell(Cause::Unreachable, named, format!("topic {topic} cannot be looked at: {error}"));
            }
            TopicLook::Found { leaders: partitions, .. } => {
                for number in
                    partitions.iter().filter(|(_, has_leader)| !**has_leader).map(|(number, _)| number)
                {
                    let text =
                        format!("partition {topic}/{number} has no leader, so nothing can be read of it");
                    tell(Cause::NoLeader, format!("{topic}/{number}"), text);
                }
                let gone = |known: &&TopicPartition| {
                    known.topic == *topic && !partitions.contains_key(&known.partition)
                };
                for gone in known.iter().filter(gone) {
                    let text = format!(
                        "partition {gone} does not exist any more: the topic was made again with fewer"
                    );
                    tell(Cause::TopicMissing, gone.to_string(), text);
                }
            }
        }
    }
    found
}

/// The partitions of the chain that the job file still asks for. One of a topic that was taken out of it, or
/// that no table can be called after, may be gone.
fn must_read(config: &Config, state: &Checkpoint) -> BTreeSet<TopicPartition> {
    let asked_for = config.kafka.topics.matcher();
    let known = state.kafka_partitions().map(|(partition, _)| partition.clone());
    config
        .sink
        .table
        .named(known.filter(|partition| asked_for(&partition.topic)).collect())
        .0
        .into_iter()
        .collect()
}

impl Engine {
    fn must_read(&self) -> BTreeSet<TopicPartition> {
        must_read(&self.parts.config, &self.parts.state)
    }

    /// Looks when it is time to.
    pub(super) fn look(&mut self) {
        let is_due = self.looks.last.is_none_or(|last| last.elapsed() >= EVERY);
        if self.stopping || self.looks.looking || !is_due {
            return;
        }
        self.looks.looking = true;
        self.looks.last = Some(Instant::now());
        let cluster = self.parts.cluster.clone();
        let topics: BTreeSet<Arc<str>> =
            self.must_read().into_iter().map(|partition| partition.topic).collect();
        self.spawn("look", async move { Done::Looked(cluster.look(&topics).await) });
    }

    /// Errors: `Refused` where a topic is another one than the chain's.
    pub(super) fn looked(&mut self, look: Result<Look, Error>) -> Result<(), RunError> {
        self.looks.looking = false;
        let found = match look {
            Ok(look) => {
                identity::compare(&self.parts.state, &ids(&look))?;
                judge(&look, &self.must_read())
            }
            Err(error) => {
                let text = format!("the brokers do not tell how the topics are: {error}");
                Found::from([(Cause::Unreachable, BTreeMap::from([(String::new(), text)]))])
            }
        };
        let mut told = self.looks.twice(found);
        let now = (self.parts.clock)();
        for cause in CAUSES {
            self.parts.status.set_conditions(cause, told.remove(&cause).unwrap_or_default(), now);
        }
        Ok(())
    }
}

fn ids(look: &Look) -> TopicIds {
    let id = |(topic, look): (&Arc<str>, &TopicLook)| match look {
        TopicLook::Found { id, .. } => Some((topic.clone(), id.clone())),
        _ => None,
    };
    look.iter().filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use tidegate_sinks::PartitionState;

    use super::*;
    use crate::config::Origin;

    fn partitions(leaders: &[bool]) -> TopicLook {
        let leaders = leaders.iter().enumerate().map(|(n, leader)| (n as i32, *leader)).collect();
        TopicLook::Found { id: None, leaders }
    }

    fn subjects(found: &Found) -> Vec<(&'static str, &str)> {
        let each = found.iter().flat_map(|(cause, found)| found.keys().map(|s| (cause.code(), s.as_str())));
        each.collect()
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_reason() {
        let known = ["a/0", "a/1", "a/2", "gone/0"].map(|name| name.parse().unwrap());
        let look = Look::from([
            ("a".into(), partitions(&[true, false])),
            ("gone".into(), TopicLook::Missing),
            ("closed".into(), TopicLook::NotAllowed),
            ("well".into(), partitions(&[true])),
        ]);
        let found = judge(&look, &known.into_iter().collect());
        assert_eq!(
            subjects(&found),
            [
                ("topic_missing", "a/2"),
                ("topic_missing", "gone"),
                ("not_allowed", "closed"),
                ("no_leader", "a/1")
            ]
        );
        assert!(found[&Cause::TopicMissing]["gone"].contains("topic gone does not exist"));
    }

    #[test]
    fn a_topic_that_the_job_file_no_longer_asks_for_may_be_gone() {
        let state = |topics: &[&str]| {
            let place = PartitionState { start: 0, next: 1, rows: 1 };
            let partitions = topics.iter().map(|topic| (TopicPartition::new(*topic, 0), place));
            Checkpoint::first("j", jiff::Timestamp::UNIX_EPOCH, partitions.collect())
        };
        let asked = |topics: &str| {
            let text = format!(
                "job: j\nkafka: {{bootstrap_servers: 'b:1', {topics}}}\nsink: {{url: 'file:///w', table: '{{topic}}'}}\n"
            );
            Config::parse(&text, &Origin("job.yaml".into())).unwrap()
        };
        let state = state(&["old", "shop.a", "shop.b", ".hidden"]);
        let names = |config: Config| {
            let must = must_read(&config, &state).into_iter();
            must.map(|partition| partition.topic.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(asked("topics: [shop.a, new]")), ["shop.a"]);
        assert_eq!(names(asked("topics_regex: 'shop[.].*|[.].*'")), ["shop.a", "shop.b"]);
    }

    #[test]
    fn what_one_look_finds_may_pass_and_what_two_find_is_told() {
        let mut looks = Looks::default();
        let missing = |topics: &[&str]| {
            judge(
                &topics.iter().map(|topic| ((*topic).into(), TopicLook::Missing)).collect(),
                &BTreeSet::new(),
            )
        };
        assert!(subjects(&looks.twice(missing(&["a"]))).is_empty());
        assert_eq!(subjects(&looks.twice(missing(&["a", "b"]))), [("topic_missing", "a")]);
        assert_eq!(subjects(&looks.twice(missing(&["b"]))), [("topic_missing", "b")]);
        assert!(subjects(&looks.twice(missing(&[]))).is_empty());
        assert!(subjects(&looks.twice(missing(&["b"]))).is_empty());
    }
}
