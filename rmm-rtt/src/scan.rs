// SPDX-License-Identifier: BSD-3-Clause
//! Scans over the entries of an RTT, several at a time: up to 512 of them dominate the cost of a
//! command.

use crate::entry::{LIVE, next_leaf};
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_granule::RTT_ENTRIES;

/// Whether an entry is live.
#[inline]
pub(crate) fn is_live(entry: &u64) -> bool {
    entry & LIVE != 0
}

/// Index of the first live entry.
pub(crate) fn first_live(entries: &[u64]) -> Option<usize> {
    const STRIDE: usize = 16;
    let (groups, rest) = entries.as_chunks::<STRIDE>();
    let mut index = 0;
    for group in groups {
        if is_live(&group.iter().fold(0, |all, entry| all | entry)) {
            return group.iter().position(is_live).map(|at| index + at);
        }
        index += STRIDE;
    }
    rest.iter().position(is_live).map(|at| index + at)
}

/// Index of the first entry that differs from `like` in the bits `key`.
pub(crate) fn first_different(entries: &[u64], like: u64, key: u64) -> Option<usize> {
    const STRIDE: usize = 16;
    let difference = |entry: &u64| (entry ^ like) & key;
    let differs = |entry: &u64| difference(entry) != 0;
    let (groups, rest) = entries.as_chunks::<STRIDE>();
    let mut index = 0;
    for group in groups {
        if group.iter().fold(0, |all, entry| all | difference(entry)) != 0 {
            return group.iter().position(differs).map(|at| index + at);
        }
        index += STRIDE;
    }
    rest.iter().position(differs).map(|at| index + at)
}

/// Whether all entries are equal.
#[inline]
pub(crate) fn are_equal(table: &[u64; RTT_ENTRIES]) -> bool {
    first_different(table, table[0], u64::MAX).is_none()
}

/// Whether each entry is the page or block after the one before.
#[inline]
pub(crate) fn is_progression(table: &[u64; RTT_ENTRIES], step: u64) -> bool {
    const STRIDE: usize = 16;
    // Compared with zero once in so many groups: after each group the compiler compares entry by entry.
    const GROUPS: usize = 8;
    let (groups, _) = table.as_chunks::<STRIDE>();
    let (runs, _) = groups.as_chunks::<GROUPS>();
    let mut expected = table[0];
    runs.iter().all(|groups| {
        let mut difference = 0;
        for group in groups {
            for entry in group {
                difference |= entry ^ expected;
                expected = next_leaf(expected, step);
            }
        }
        difference == 0
    })
}

/// Flips the bits `change` in the run of entries at the beginning that equal `like` in all but the
/// bits `ignored`. Returns the length of the run.
#[inline]
pub(crate) fn flip_run(entries: &[AtomicU64], like: u64, ignored: u64, change: u64) -> usize {
    const STRIDE: usize = 8;
    let load = |entry: &AtomicU64| entry.load(Ordering::Relaxed);
    let difference = |desc: u64| (desc ^ like) & !ignored;
    let (groups, _) = entries.as_chunks::<STRIDE>();
    let mut count = 0;
    for group in groups {
        let descs = group.each_ref().map(load);
        if descs.iter().fold(0, |all, desc| all | difference(*desc)) != 0 {
            break;
        }
        if change != 0 {
            for (entry, desc) in group.iter().zip(descs) {
                entry.store(desc ^ change, Ordering::Relaxed);
            }
        }
        count += STRIDE;
    }
    for entry in &entries[count..] {
        let desc = load(entry);
        if difference(desc) != 0 {
            break;
        }
        if change != 0 {
            entry.store(desc ^ change, Ordering::Relaxed);
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Indices where groups of entries begin and end.
    const EDGES: [usize; 11] = [0, 1, 6, 7, 8, 9, 15, 16, 17, 500, 511];

    #[test]
    fn first_live_is_that_of_a_plain_scan() {
        for at in EDGES {
            for from in EDGES.into_iter().filter(|from| *from <= at) {
                let mut table = [!LIVE; RTT_ENTRIES];
                assert_eq!(first_live(&table[from..]), None);
                table[at] = LIVE & !(LIVE - 1);
                assert_eq!(first_live(&table[from..]), Some(at - from));
            }
        }
    }

    #[test]
    fn first_different_looks_at_the_key_alone() {
        for at in EDGES {
            let mut table = [0b1010; RTT_ENTRIES];
            table[at] = 0b1110;
            assert_eq!(first_different(&table, 0b1010, 0b0100), Some(at));
            assert_eq!(first_different(&table[at..], 0b1010, 0b0100), Some(0));
            assert_eq!(first_different(&table, 0b1010, !0b0100), None);
            assert!(!are_equal(&table));
        }
        assert!(are_equal(&[7; RTT_ENTRIES]));
    }

    #[test]
    fn one_entry_breaks_a_progression() {
        let good: [u64; RTT_ENTRIES] = std::array::from_fn(|n| 5 + ((n as u64) << 12));
        assert!(is_progression(&good, 1 << 12));
        assert!(!is_progression(&good, 1 << 21));
        for at in EDGES {
            let mut table = good;
            table[at] ^= 1 << 54;
            assert!(!is_progression(&table, 1 << 12), "entry {at}");
        }
    }

    #[test]
    fn a_run_is_flipped_and_no_more() {
        const IGNORED: u64 = 0xFF00;
        for length in EDGES {
            for from in [0, 1, 7].into_iter().filter(|from| *from <= length) {
                let old = |n: usize| (n as u64) << 8 & IGNORED | u64::from(n >= length) << 1 | 1;
                let table: [AtomicU64; RTT_ENTRIES] = std::array::from_fn(|n| old(n).into());
                assert_eq!(flip_run(&table[from..], old(from) | IGNORED, IGNORED, 4), {
                    // From `length` on nothing is like those before.
                    if from < length {
                        length - from
                    } else {
                        RTT_ENTRIES - from
                    }
                });
                for (n, entry) in table.into_iter().enumerate() {
                    let flipped = n >= from && (n < length) == (from < length);
                    assert_eq!(
                        entry.into_inner(),
                        old(n) ^ (u64::from(flipped) << 2),
                        "{n}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_change_is_no_store() {
        let table = [const { AtomicU64::new(9) }; 20];
        assert_eq!(flip_run(&table, 9, 0, 0), 20);
        assert!(table.iter().all(|entry| entry.load(Ordering::Relaxed) == 9));
    }
}
