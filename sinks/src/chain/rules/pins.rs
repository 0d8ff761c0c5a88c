//! What the connector pins in the chain: a tree of JSON objects whose leaves, once
//! there, stay as they are. So of two replicas that pin the same thing differently
//! the first one wins, and the other one goes on by what it finds.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::housekeeping_on;
use crate::model::checkpoint::{Checkpoint, Retracted};
use crate::model::commit::CommitId;

/// `pinned` with what `additions` has and it lacks. Objects are merged member by
/// member; whatever else is there stays.
pub fn merged(pinned: &Value, additions: &Value) -> Value {
    match (pinned, additions) {
        (Value::Null, additions) => additions.clone(),
        (Value::Object(pinned), Value::Object(additions)) => {
            let mut merged_object = pinned.clone();
            for (key, addition) in additions {
                let now = merged(pinned.get(key).unwrap_or(&Value::Null), addition);
                merged_object.insert(key.clone(), now);
            }
            Value::Object(merged_object)
        }
        (pinned, _) => pinned.clone(),
    }
}

/// The body after `state` that pins `additions`; none when `state` has something for each of them.
pub(crate) fn pinned_on(
    state: &Checkpoint,
    published: &BTreeSet<CommitId>,
    erased: &BTreeSet<Retracted>,
    additions: &Value,
    now: Timestamp,
) -> Option<Checkpoint> {
    let pinned = merged(&state.pinned, additions);
    if pinned == state.pinned {
        return None;
    }
    Some(Checkpoint { pinned, ..housekeeping_on(state, published, erased, now) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_pinned_stays_and_what_is_missing_comes() {
        let pinned = json!({"columns": [1], "tables": {"a": {"columns": ["x"]}}});
        let additions = json!({"columns": "other", "tables": {"a": {"columns": [], "mode": "file"}, "b": {"columns": ["y"]}}});
        let both = json!({"columns": [1], "tables": {"a": {"columns": ["x"], "mode": "file"}, "b": {"columns": ["y"]}}});
        assert_eq!(merged(&pinned, &additions), both);
        assert_eq!(merged(&both, &additions), both);
        assert_eq!(merged(&Value::Null, &pinned), pinned);
        assert_eq!(merged(&json!({}), &pinned), pinned);
    }
}
