//! What committed rows had that no column asked for: counted, and told of each
//! table once, and again when it has other keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::engine::Engine;
use crate::config::Unknown;
use crate::formats::Unmatched;
use crate::metrics;

/// A table is not told about again before.
const AGAIN: Duration = Duration::from_secs(60);

/// What has been told of each table.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<Arc<str>, OfTable>);

#[derive(Debug)]
struct OfTable {
    when: Instant,
    keys: BTreeSet<String>,
    rows: bool,
}

impl Told {
    /// Whether there is something to tell.
    fn is_new(&mut self, table: &Arc<str>, unmatched: &Unmatched, now: Instant) -> bool {
        let Some(told) = self.0.get_mut(table) else {
            let keys = unmatched.keys.keys().cloned().collect();
            self.0.insert(table.clone(), OfTable { when: now, keys, rows: unmatched.rows > 0 });
            return true;
        };
        let rows = unmatched.rows > 0 && !told.rows;
        let is_new = rows || unmatched.keys.keys().any(|key| !told.keys.contains(key));
        if !is_new || now.duration_since(told.when) < AGAIN {
            return false;
        }
        told.when = now;
        told.rows |= rows;
        told.keys.extend(unmatched.keys.keys().cloned());
        true
    }
}

impl Engine {
    /// Of a commit in force.
    pub(super) fn count_unmatched(&mut self, of_tables: &BTreeMap<Arc<str>, Unmatched>) {
        for (table, unmatched) in of_tables {
            let label = table.to_string();
            metrics::UNKNOWN_MEMBERS.counter_of("table", label.clone()).increment(unmatched.members);
            metrics::ROWS_WITHOUT_VALUES.counter_of("table", label).increment(unmatched.rows);
            if unmatched.is_empty() {
                continue;
            }
            self.parts.status.add_unmatched(table, unmatched);
            if self.parts.config.format.unknown == Unknown::Warn
                && self.told.is_new(table, unmatched, Instant::now())
            {
                tracing::warn!(table = &**table, "{}", text(unmatched));
            }
        }
    }
}

/// As the log tells it.
pub(crate) fn text(unmatched: &Unmatched) -> String {
    let Unmatched { members, rows, .. } = unmatched;
    let mut text = Vec::new();
    if *rows > 0 {
        text.push(format!("in {rows} rows no column found anything, so they are all null"));
    }
    if *members > 0 {
        let named = unmatched.named();
        text.push(format!("{members} members that no column asks for were left out, among them {named}"));
    }
    format!("{}; mend format.columns, or say by format.unknown that it is right", text.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmatched(keys: &[&str], rows: u64) -> Unmatched {
        let keys: BTreeMap<_, _> = keys.iter().map(|key| ((*key).to_owned(), None)).collect();
        Unmatched { members: keys.len() as u64, rows, keys }
    }

    #[test]
    fn a_table_is_told_about_once_and_again_for_other_keys_a_minute_later() {
        let (mut told, table, start) = (Told::default(), Arc::from("t"), Instant::now());
        assert!(told.is_new(&table, &unmatched(&["a"], 0), start));
        assert!(!told.is_new(&table, &unmatched(&["a"], 0), start + AGAIN));
        assert!(!told.is_new(&table, &unmatched(&["a", "b"], 0), start + AGAIN / 2));
        assert!(told.is_new(&table, &unmatched(&["a", "b"], 0), start + AGAIN));
        assert!(told.is_new(&table, &unmatched(&[], 1), start + AGAIN * 2));
        assert!(!told.is_new(&table, &unmatched(&["b"], 1), start + AGAIN * 9));
        assert!(told.is_new(&Arc::from("u"), &unmatched(&["a"], 0), start));
    }

    #[test]
    fn a_key_in_another_case_is_told_beside_the_one_that_it_resembles() {
        let keys = [("Id".to_owned(), Some("id".to_owned()))].into();
        let text = text(&Unmatched { members: 3, rows: 2, keys });
        assert!(text.contains("in 2 rows no column found anything"), "{text}");
        assert!(
            text.contains("3 members") && text.contains("Id (differs from `id` only in letter case)"),
            "{text}"
        );
    }
}
