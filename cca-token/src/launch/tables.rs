// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Translation Tables that a Host builds on demand, as far as they decide what is measured.
//!
//! RMI_RTT_INIT_RIPAS measures each RTT entry that it makes RAM, so the RIM depends on the sizes of the
//! entries: on which tables exist. A Host calls RMI_RTT_INIT_RIPAS for what is left of its range. When an
//! entry is larger than that, the RMM answers RMI_ERROR_RTT with the level, and the Host creates a table one
//! level below. This room plays both sides.

use std::collections::{BTreeMap, HashSet};

use super::Error;
use crate::rim::GRANULE;

/// The level whose entries are Granules.
pub const LAST_LEVEL: i8 = 3;

const PAGE: u64 = GRANULE as u64;

/// Most entries and pages that one launch may measure, so that a slip of the pen in a range does not become
/// an endless run: 256 GiB at the finest.
const MAX_MEASURED: u64 = 1 << 26;

/// Most tables that one launch may create: 2 TiB at the finest.
const MAX_TABLES: usize = 1 << 20;

/// Size in bytes of the IPA range of an entry at `level`.
fn entry_size(level: i8) -> u64 {
    let below = u32::from(LAST_LEVEL.saturating_sub(level).unsigned_abs());
    PAGE << (9 * below)
}

/// Which tables exist, and which pages hold data.
pub struct Tables {
    start_level: i8,
    /// End of the Protected IPA range: half of the IPA space.
    protected_top: u64,
    tables: HashSet<(i8, u64)>,
    /// Ranges of pages with data, base to top, none overlapping.
    data: BTreeMap<u64, u64>,
    measured: u64,
}

impl Tables {
    /// The tables of a new Realm: its start level alone. `start_level` is a level that RMM 1.0 knows for
    /// this IPA width, or `None` for the one with the fewest levels, which Linux takes.
    ///
    /// # Errors
    /// The IPA width or start level is not one of RMM 1.0.
    pub fn new(ipa_bits: u8, lpa2: bool, start_level: Option<i8>) -> Result<Self, Error> {
        let max = if lpa2 { 52 } else { 48 };
        if !(32..=max).contains(&ipa_bits) {
            return Err(Error::new(format!(
                "an IPA width of {ipa_bits} bits is not within 32..={max}"
            )));
        }
        // A start level resolves up to 4 bits more than one table does, in concatenated tables.
        let levels = [3, 2, 1, 0, -1];
        let reaches = |level: i8| {
            let bits = 12 + 9 * u32::from((LAST_LEVEL - level).unsigned_abs() + 1);
            (level >= 0 || lpa2) && u32::from(ipa_bits) <= bits + 4
        };
        // A start level that would have less than two entries is no start level.
        let needed =
            |level: i8| u64::from(ipa_bits) > u64::from(entry_size(level).trailing_zeros());
        let fewest = levels.into_iter().find(|level| reaches(*level));
        let start_level = start_level.or(fewest).unwrap_or_default();
        if !(-1..=2).contains(&start_level) || !reaches(start_level) || !needed(start_level) {
            return Err(Error::new(format!(
                "start level {start_level} does not go with an IPA width of {ipa_bits} bits"
            )));
        }
        Ok(Self {
            start_level,
            protected_top: 1 << (ipa_bits - 1),
            tables: HashSet::new(),
            data: BTreeMap::new(),
            measured: 0,
        })
    }

    /// The level at which a walk to `ipa` ends.
    fn walk(&self, ipa: u64) -> i8 {
        let mut level = self.start_level;
        while level < LAST_LEVEL && self.has_table(level + 1, ipa) {
            level += 1;
        }
        level
    }

    fn has_table(&self, level: i8, ipa: u64) -> bool {
        self.tables.contains(&(level, table_base(level, ipa)))
    }

    fn create_table(&mut self, level: i8, ipa: u64) -> Result<(), Error> {
        if self.tables.len() >= MAX_TABLES {
            return Err(Error::new(format!("more than {MAX_TABLES} tables")));
        }
        self.tables.insert((level, table_base(level, ipa)));
        Ok(())
    }

    fn count(&mut self, entries: u64) -> Result<(), Error> {
        self.measured = self.measured.saturating_add(entries);
        if self.measured > MAX_MEASURED {
            return Err(Error::new(format!(
                "more than {MAX_MEASURED} entries and pages"
            )));
        }
        Ok(())
    }

    /// An IPA in [base, top) that has data.
    fn data_in(&self, base: u64, top: u64) -> Option<u64> {
        let (from, to) = self.data.range(..top).next_back()?;
        (*to > base).then_some(base.max(*from))
    }

    /// Whether [base, top) is a range of Protected IPAs, in pages.
    ///
    /// # Errors
    /// It is not.
    pub fn check_range(&self, base: u64, top: u64) -> Result<(), Error> {
        if !base.is_multiple_of(PAGE) || !top.is_multiple_of(PAGE) {
            return Err(Error::new(format!(
                "{base:#x}..{top:#x} is not aligned to 4 KiB"
            )));
        }
        if base >= top {
            return Err(Error::new(format!("{base:#x}..{top:#x} is empty")));
        }
        if top > self.protected_top {
            return Err(Error::new(format!(
                "{base:#x}..{top:#x} reaches beyond the Protected IPA range, which ends at {:#x}",
                self.protected_top
            )));
        }
        Ok(())
    }

    /// RMI_RTT_CREATE of every table from the start level down to `level` that [base, top) needs.
    ///
    /// # Errors
    /// A bad range or level, or too many entries or tables.
    pub fn create(&mut self, base: u64, top: u64, level: i8) -> Result<(), Error> {
        self.check_range(base, top)?;
        if level <= self.start_level || level > LAST_LEVEL {
            return Err(Error::new(format!(
                "tables are created at levels {} to {LAST_LEVEL}, not {level}",
                self.start_level + 1
            )));
        }
        let mut ipa = base;
        while ipa < top {
            for level in self.start_level + 1..=level {
                if !self.has_table(level, ipa) {
                    self.create_table(level, ipa)?;
                }
            }
            ipa = table_base(level, ipa) + entry_size(level - 1);
        }
        Ok(())
    }

    /// RMI_DATA_CREATE or RMI_DATA_CREATE_UNKNOWN at each page of [base, top), with the tables it needs.
    ///
    /// # Errors
    /// A bad range, a page that has data already, or too many entries or tables.
    pub fn data(&mut self, base: u64, top: u64) -> Result<(), Error> {
        self.create(base, top, LAST_LEVEL)?;
        self.count((top - base) / PAGE)?;
        if let Some(page) = self.data_in(base, top) {
            return Err(Error::new(format!("there is data at {page:#x} already")));
        }
        self.data.insert(base, top);
        Ok(())
    }

    /// RMI_RTT_INIT_RIPAS of [base, top), with the tables it needs. `measure` gets base and top of each entry,
    /// in the order of measurement.
    ///
    /// # Errors
    /// A bad range, data at the first entry of a call, or too many entries or tables.
    pub fn init_ripas(
        &mut self,
        base: u64,
        top: u64,
        mut measure: impl FnMut(u64, u64),
    ) -> Result<(), Error> {
        self.check_range(base, top)?;
        let mut ipa = base;
        // Each round is one call.
        while ipa < top {
            let level = self.walk(ipa);
            let size = entry_size(level);
            if !ipa.is_multiple_of(size) || ipa + size > top {
                self.create_table(level + 1, ipa)?;
                continue;
            }
            if level == LAST_LEVEL && self.data_in(ipa, ipa + PAGE).is_some() {
                return Err(Error::new(format!(
                    "RMI_RTT_INIT_RIPAS would begin at {ipa:#x}, which has data"
                )));
            }
            let end = match level {
                level if level == self.start_level => self.protected_top,
                level => table_base(level, ipa) + entry_size(level - 1),
            };
            while ipa < end && ipa + size <= top && self.walk(ipa) == level {
                self.count(1)?;
                measure(ipa, ipa + size);
                ipa += size;
            }
        }
        Ok(())
    }
}

/// The first IPA of the table at `level` that describes `ipa`.
fn table_base(level: i8, ipa: u64) -> u64 {
    ipa & !(entry_size(level - 1) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn entries(tables: &mut Tables, base: u64, top: u64) -> Vec<(u64, u64)> {
        let mut seen = Vec::new();
        tables
            .init_ripas(base, top, |base, top| seen.push((base, top)))
            .expect("a valid range");
        seen
    }

    #[test]
    fn ranges_split_at_the_largest_entries_that_fit() {
        // 40 bits: start level 1, entries of 1 GiB.
        let mut tables = Tables::new(40, false, None).expect("40 bits");
        assert_eq!(
            entries(&mut tables, 2 * GIB, 4 * GIB),
            [(2 * GIB, 3 * GIB), (3 * GIB, 4 * GIB)]
        );
        let mut tables = Tables::new(40, false, None).expect("40 bits");
        let seen = entries(
            &mut tables,
            GIB - 2 * MIB - 0x1000,
            2 * GIB + 2 * MIB + 0x1000,
        );
        assert_eq!(
            seen,
            [
                (GIB - 2 * MIB - 0x1000, GIB - 2 * MIB),
                (GIB - 2 * MIB, GIB),
                (GIB, 2 * GIB),
                (2 * GIB, 2 * GIB + 2 * MIB),
                (2 * GIB + 2 * MIB, 2 * GIB + 2 * MIB + 0x1000),
            ]
        );
    }

    #[test]
    fn tables_that_exist_make_entries_smaller() {
        let mut tables = Tables::new(40, false, None).expect("40 bits");
        tables.create(0, 2 * MIB, 3).expect("a table");
        let seen = entries(&mut tables, 0, GIB);
        assert_eq!(seen.len(), 512 + 511);
        assert_eq!(seen[511], (2 * MIB - 0x1000, 2 * MIB));
        assert_eq!(seen[512], (2 * MIB, 4 * MIB));

        let mut tables = Tables::new(40, false, None).expect("40 bits");
        tables
            .data(4 * MIB + 0x1000, 4 * MIB + 0x2000)
            .expect("a page");
        let seen = entries(&mut tables, 0, 6 * MIB);
        assert_eq!(
            seen.len(),
            2 + 512,
            "data after the first entry is passed over and measured"
        );
    }

    #[test]
    fn start_levels_are_those_of_the_specification() {
        let level = |bits, lpa2, level| {
            Tables::new(bits, lpa2, level)
                .map(|tables| tables.start_level)
                .ok()
        };
        for (bits, lpa2, start) in [
            (32, false, 2),
            (34, false, 2),
            (35, false, 1),
            (43, false, 1),
            (44, false, 0),
            (48, false, 0),
            (49, true, 0),
            (52, true, 0),
        ] {
            assert_eq!(level(bits, lpa2, None), Some(start), "{bits}");
        }
        assert_eq!(level(32, false, Some(1)), Some(1));
        assert_eq!(level(40, false, Some(0)), Some(0));
        assert_eq!(level(39, false, Some(0)), None);
        assert_eq!(level(52, true, Some(-1)), Some(-1));
        assert_eq!(level(48, true, Some(-1)), None);
        assert_eq!(level(40, false, Some(2)), None);
        assert_eq!(level(40, false, Some(3)), None);
        assert_eq!(level(49, false, None), None);
        assert_eq!(level(31, false, None), None);
        assert_eq!(level(40, false, Some(i8::MIN)), None);
        assert_eq!(level(40, false, Some(i8::MAX)), None);
    }

    #[test]
    fn bad_ranges_are_refused() {
        let mut tables = Tables::new(33, false, None).expect("33 bits");
        for (base, top) in [
            (0, 0),
            (0x1000, 0),
            (0x800, 0x2000),
            (0, 0x800),
            (0, 4 * GIB + 0x1000),
            (u64::MAX - 0xfff, u64::MAX),
            (0, 0xffff_ffff_ffff_f000),
        ] {
            assert!(
                tables.init_ripas(base, top, |_, _| ()).is_err(),
                "{base:#x}"
            );
            assert!(tables.data(base, top).is_err(), "{base:#x}");
            assert!(tables.create(base, top, 3).is_err(), "{base:#x}");
        }
        assert!(
            tables.create(0, 0x1000, 2).is_err(),
            "the start level exists"
        );
        assert!(tables.create(0, 0x1000, 4).is_err());
        tables.data(0x1000, 0x2000).expect("free");
        assert!(tables.data(0, 0x3000).is_err(), "twice");
        assert!(
            tables.init_ripas(0x1000, 0x3000, |_, _| ()).is_err(),
            "begins at data"
        );
    }

    #[test]
    fn work_is_bounded() {
        let mut tables = Tables::new(48, false, None).expect("48 bits");
        assert!(tables.create(0, 1 << 47, 3).is_err());
        let mut tables = Tables::new(48, false, None).expect("48 bits");
        assert!(tables.data(0, 1 << 39).is_err());
    }

    use proptest::prelude::*;

    proptest! {
        /// Whatever tables there are, entries tile the range in order, are aligned to their size, and each
        /// of them is the table's: a larger one would not fit or is a table already.
        #[test]
        fn entries_tile_the_range(
            base in 0u64..0x1000,
            pages in 1u64..0x1000,
            data in prop::collection::vec(0u64..0x2000, 0..4),
            ahead in prop::option::of((0u64..0x2000, 2i8..=3)),
        ) {
            let mut tables = Tables::new(34, false, Some(1)).expect("34 bits");
            for page in data {
                // Twice the same page is refused and changes nothing that matters here.
                let _ = tables.data(page * PAGE, (page + 1) * PAGE);
            }
            if let Some((page, level)) = ahead {
                tables.create(page * PAGE, (page + 1) * PAGE, level).expect("in range");
            }
            let (base, top) = (base * PAGE, (base + pages) * PAGE);
            let mut next = base;
            let mut sizes = Vec::new();
            let done = tables.init_ripas(base, top, |from, to| {
                assert_eq!(from, next);
                assert!((to - from).is_power_of_two() && from.is_multiple_of(to - from));
                sizes.push((from, to - from));
                next = to;
            });
            match done {
                Ok(()) => prop_assert_eq!(next, top),
                Err(_) => prop_assert!(tables.data_in(next, next + PAGE).is_some()),
            }
            for (from, size) in sizes {
                prop_assert_eq!(size, entry_size(tables.walk(from)));
            }
        }
    }
}
