//! How many records have which timestamp, in bounded memory: the wider they are
//! spread, the coarser it is kept.

use std::collections::BTreeMap;

/// Width of a slot at first: finer than the finest latency that is told apart.
const WIDTH_MILLISECONDS: i64 = 50;
/// Past it, slots become twice as wide.
const SLOTS: usize = 256;

/// Counts by slots of time.
#[derive(Clone, Debug)]
pub(super) struct Timestamps {
    width: i64,
    slots: BTreeMap<i64, u64>,
}

impl Default for Timestamps {
    fn default() -> Self {
        Self { width: WIDTH_MILLISECONDS, slots: BTreeMap::new() }
    }
}

impl Timestamps {
    /// Adds records of about the same time, in milliseconds since 1970.
    pub(super) fn add(&mut self, milliseconds: i64, records: u64) {
        *self.slots.entry(milliseconds.div_euclid(self.width)).or_default() += records;
        while self.slots.len() > SLOTS {
            self.width = self.width.saturating_mul(2);
            let mut wider = BTreeMap::new();
            for (slot, records) in std::mem::take(&mut self.slots) {
                *wider.entry(slot.div_euclid(2)).or_default() += records;
            }
            self.slots = wider;
        }
    }

    /// The middle of each slot in milliseconds since 1970, and its records.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, u64)> {
        let middle = |slot: i64| slot.saturating_mul(self.width).saturating_add(self.width / 2);
        self.slots.iter().map(move |(slot, records)| (middle(*slot), *records))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_close_together_are_told_apart() {
        let mut times = Timestamps::default();
        for time in [1_000, 1_049, 1_050, 2_000] {
            times.add(time, 1);
        }
        assert_eq!(times.iter().collect::<Vec<_>>(), [(1_025, 2), (1_075, 1), (2_025, 1)]);
    }

    proptest! {
        #[test]
        fn every_record_is_counted_near_its_time_in_few_slots(
            given in prop::collection::vec((0..i64::MAX, 1..100_u64), 0..2_000)
        ) {
            let mut times = Timestamps::default();
            for (time, records) in &given {
                times.add(*time, *records);
            }
            prop_assert!(times.slots.len() <= SLOTS);
            let total: u64 = given.iter().map(|(_, records)| records).sum();
            prop_assert_eq!(times.iter().map(|(_, records)| records).sum::<u64>(), total);
            for (time, _) in given {
                let near = times.iter().any(|(middle, _)| (i128::from(middle) - i128::from(time)).abs() <= i128::from(times.width));
                prop_assert!(near, "{time}");
            }
        }
    }
}
