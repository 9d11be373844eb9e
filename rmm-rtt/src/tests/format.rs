// SPDX-License-Identifier: BSD-3-Clause
//! Descriptor layouts, shapes of the IPA space, and the checks of arguments.

use super::*;
use crate::entry::{host_view, unassigned};
use zerocopy::FromZeros;

/// A Realm with start level -1.
const WIDEST: Stage2 = realm(52, -1, 1, 1);

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn shapes_are_those_of_the_architecture() {
    // Start level, IPA widths, widest of a single table; the same without and with LPA2.
    let rows = [
        (-1, 49..=52, 52, true),
        (0, 40..=48, 48, false),
        (0, 40..=52, 48, true),
    ];
    let rows = rows
        .into_iter()
        .chain([(1, 32..=43, 39, false), (1, 32..=43, 39, true)]);
    let rows: Vec<_> = rows
        .chain([(2, 32..=34, 30, false), (2, 32..=34, 30, true)])
        .collect();
    let mut accepted = 0;
    for start in i8::MIN..=i8::MAX {
        for width in 0..=u8::MAX {
            for num in (0..=33).chain([64, 128, 255]) {
                for lpa2 in [false, true] {
                    let s2 = realm(width, start, num, u8::from(lpa2));
                    let fits = rows.iter().any(|(level, widths, single, wide)| {
                        let tables = 1u64 << width.saturating_sub(*single).min(60);
                        let shape = *level == start && widths.contains(&width);
                        shape && *wide == lpa2 && u64::from(num) == tables
                    });
                    assert_eq!(s2.is_consistent(), fits, "{s2:?}");
                    accepted += u32::from(fits);
                }
            }
        }
    }
    assert_eq!(accepted, 4 + 9 + 13 + 12 * 2 + 3 * 2);
    for (width, start, num, lpa2) in [
        (32, 2, 4, 0),
        (34, 2, 16, 0),
        (40, 1, 2, 0),
        (42, 1, 8, 0),
        (52, 0, 16, 1),
    ] {
        assert!(realm(width, start, num, lpa2).is_consistent());
    }
    assert!(!Stage2::new_zeroed().is_consistent());
}

#[test]
fn halves_meet_in_the_middle() {
    let s2 = PLAIN;
    assert!(s2.is_protected(Ipa(0)) && s2.is_protected(Ipa((1 << 39) - 1)));
    assert!(!s2.is_protected(Ipa(1 << 39)) && s2.is_unprotected(Ipa(1 << 39)));
    assert!(s2.in_range(Ipa((1 << 40) - 1)) && !s2.in_range(Ipa(1 << 40)));
    assert!(!s2.is_unprotected(Ipa(1 << 40)) && !s2.is_unprotected(Ipa(u64::MAX)));
}

#[test]
fn levels_are_checked() {
    let levels = |f: &dyn Fn(i64) -> Option<i8>| -> Vec<i8> {
        let far = [i64::MIN, i64::MAX, 259, -253, 1 << 32 | 3];
        (-3..=5).chain(far).filter_map(f).collect()
    };
    for (s2, any) in [(PLAIN, vec![0, 1, 2, 3]), (WIDEST, vec![-1, 0, 1, 2, 3])] {
        assert_eq!(levels(&|level| s2.any_level(level)), any);
        assert_eq!(levels(&|level| s2.table_level(level)), any[1..]);
        assert_eq!(levels(&|level| s2.leaf_level(level)), [1, 2, 3]);
    }
    let low = realm(34, 2, 16, 0);
    assert_eq!(levels(&|level| low.any_level(level)), [2, 3]);
    assert_eq!(levels(&|level| low.table_level(level)), [3]);
    assert_eq!(levels(&|level| low.leaf_level(level)), [2, 3]);
}

#[test]
fn entry_sizes_are_those_of_the_architecture() {
    let sizes = [-1, 0, 1, 2, 3].map(entry_size);
    assert_eq!(sizes, [256 * 1024 * GIB, 512 * GIB, GIB, 2 * MIB, 4 * KIB]);
}

// Conformance: Memory attributes and caches protected
#[test]
fn descriptors_have_the_architectures_bits() {
    let s2 = PLAIN;
    let pa = Pa(0x1234_4000_0000);
    assert_eq!(s2.assigned(pa, 3, RAM), pa.0 | 0x7DB);
    assert_eq!(s2.assigned(pa, 2, RAM), pa.0 | 0x7D9);
    assert_eq!(s2.assigned(pa, 1, RAM), pa.0 | 0x7D9);
    assert_eq!(s2.table(pa), pa.0 | 3);
    assert_eq!(
        WIDEST.assigned(pa, 3, RAM),
        pa.0 | 0x4DB,
        "SH is in VTCR_EL2"
    );
    let far = Pa(0xD_1234_4000_0000);
    assert_eq!(WIDEST.assigned(far, 3, RAM), 0x1_1234_4000_07DB);
    assert_eq!(WIDEST.table(far), 0x1_1234_4000_0303);
    for ripas in [EMPTY, DESTROYED] {
        assert_eq!(s2.assigned(pa, 3, ripas) & 1, 0);
        assert_eq!(unassigned(ripas) & 1, 0);
    }
    assert_eq!(unassigned(EMPTY), 0);
    assert_eq!(unassigned(RAM) & 1, 0);
}

#[test]
fn every_state_survives_its_descriptor() {
    for s2 in [PLAIN, WIDEST] {
        let mut pas = vec![Pa(0), Pa(0xFFFF_C000_0000)];
        if s2.has_lpa2() {
            pas.extend([
                Pa(0xF_FFFF_C000_0000),
                Pa(0xC_0000_0000_0000),
                Pa(0x3_0000_4000_0000),
            ]);
        }
        for level in -1..=3 {
            for ripas in [EMPTY, RAM, DESTROYED] {
                let decoded = s2.decode(unassigned(ripas), level, true);
                assert_eq!(decoded, RttEntry::Unassigned { ripas });
            }
            assert_eq!(s2.decode(0, level, false), RttEntry::UnassignedNs);
            for &pa in &pas {
                if level < 3 {
                    let (table, entry) = (s2.table(pa), RttEntry::Table { pa });
                    assert_eq!(s2.decode(table, level, true), entry);
                    assert_eq!(s2.decode(table, level, false), entry);
                    assert_eq!(host_view(&s2, table, &entry), table & !3);
                }
                if level < 1 {
                    continue;
                }
                for ripas in [EMPTY, RAM, DESTROYED] {
                    let (desc, entry) = (
                        s2.assigned(pa, level, ripas),
                        RttEntry::Assigned { pa, ripas },
                    );
                    assert_eq!(s2.decode(desc, level, true), entry);
                    assert_eq!(host_view(&s2, desc, &entry), s2.table(pa) & !3);
                }
                let host = s2.table(pa) & !3 | NS_WB;
                let desc = NsDesc::parse(&s2, level, host).unwrap().for_level(level);
                let entry = RttEntry::AssignedNs { pa };
                assert_eq!(s2.decode(desc, level, false), entry);
                assert_eq!(host_view(&s2, desc, &entry), host);
            }
        }
    }
}

// Conformance: RMI_RTT_MAP_UNPROTECTED attr_valid
// Conformance: Bugs others fixed host_attributes
#[test]
fn the_hosts_descriptor_is_checked_bit_by_bit() {
    for s2 in [PLAIN, WIDEST] {
        for level in 1..=3 {
            for bit in 0..64 {
                let good = match bit {
                    2..=3 | 6..=7 => true,
                    // MemAttr 0b100 is reserved.
                    4 => false,
                    8..=9 | 48..=49 => s2.has_lpa2(),
                    12..=47 => 1 << bit >= entry_size(level),
                    _ => false,
                };
                let parsed = NsDesc::parse(&s2, level, 1 << bit);
                assert_eq!(parsed.is_some(), good, "level {level}, bit {bit}");
            }
            for attr in 0..8 {
                let parsed = NsDesc::parse(&s2, level, attr << 2);
                assert_eq!(parsed.is_some(), attr != 4);
            }
        }
    }
}

// Conformance: Memory attributes and caches unprotected
// Conformance: Bugs others fixed host_attributes
#[test]
fn the_monitor_fills_in_the_rest_of_the_hosts_descriptor() {
    for attr in [0, 1, 2, 3, 5, 6, 7] {
        for s2ap in 0..4 {
            let host = attr << 2 | s2ap << 6 | 0x4000_0000;
            let shareability = if attr >= 6 { 3 } else { 2 };
            // Access flag, never executable, Non-secure.
            let fixed = 1 << 10 | 2 << 53 | 1 << 55;
            for level in 1..=3 {
                let leaf = if level == 3 { 3 } else { 1 };
                let desc = |s2| NsDesc::parse(s2, level, host).unwrap().for_level(level);
                assert_eq!(desc(&PLAIN), host | fixed | leaf | shareability << 8);
                assert_eq!(desc(&WIDEST), host | fixed | leaf);
            }
        }
    }
}

#[test]
fn addresses_too_wide_for_a_realm_are_recognised() {
    assert!(PLAIN.can_output(Pa(0xFFFF_FFFF_F000)) && !PLAIN.can_output(Pa(1 << 48)));
    assert!(WIDEST.can_output(Pa(0xF_FFFF_FFFF_F000)) && !WIDEST.can_output(Pa(1 << 52)));
}

/// Maps, uses and removes memory in both halves, down from the start level.
fn exercise(realm: &Realm, ipas: &[u64]) {
    for &ipa in ipas {
        realm.tables(ipa, 3);
        if realm.s2.is_protected(Ipa(ipa)) {
            let pa = realm.map_ram(ipa).unwrap();
            assert_eq!(realm.touch(ipa + 1), Ok(Pa(pa.0 + 1)));
            assert_eq!(
                lock_realm_granule(realm.start(ipa), &realm.cpu)
                    .unwrap()
                    .data
                    .pa(),
                pa
            );
        } else {
            realm.map_ns(ipa, 3, NS_WB | BLOCKS.base).unwrap();
            assert_eq!(realm.touch(ipa + 1), Ok(Pa(BLOCKS.base + 1)));
        }
    }
    realm.check();
    for &ipa in ipas {
        if realm.s2.is_protected(Ipa(ipa)) {
            realm.unmap(ipa).unwrap();
        } else {
            realm.unmap_ns(ipa, 3).unwrap();
        }
    }
    for level in (realm.s2.start_level + 1..=3).rev() {
        for &ipa in ipas {
            // Some IPAs share an RTT, which is destroyed already the second time.
            let _ = realm.destroy(ipa & !(entry_size(level - 1) - 1), level);
            assert_eq!(realm.entry(ipa).0, level - 1);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn every_shape_translates() {
    let shapes = [
        PLAIN,
        WIDEST,
        realm(49, -1, 1, 1),
        realm(48, 0, 1, 0),
        realm(52, 0, 16, 1),
        realm(49, 0, 2, 1),
        realm(32, 1, 1, 0),
        realm(40, 1, 2, 0),
        realm(43, 1, 16, 1),
        realm(32, 2, 4, 0),
        realm(34, 2, 16, 0),
    ];
    for s2 in shapes {
        let realm = Realm::new(s2);
        let end = 1 << s2.ipa_width;
        let half = end / 2;
        exercise(
            &realm,
            &[0, half / 2 + 3 * PAGE, half - PAGE, half, end - PAGE],
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn far_memory_is_reached_by_wide_descriptors() {
    let realm = Realm::new(WIDEST);
    let ipa = 1 << 48 | 5 * GIB;
    // Tables, pages and blocks beyond 2^50.
    for level in 0..=3i8 {
        let table = realm.granule_at(FAR.base + 2 * MIB + PAGE * u64::from(level.unsigned_abs()));
        create(realm.start(ipa), &realm.cpu, level, table).unwrap();
    }
    for n in 0..512 {
        realm.map_at(ipa + n * PAGE, FAR.base + n * PAGE).unwrap();
    }
    realm.set(ipa, ipa + 2 * MIB, RAM, false).unwrap();
    let far = Pa(FAR.base + 9 * PAGE);
    assert_eq!(realm.touch(ipa + 9 * PAGE), Ok(far));
    let read = realm.read(ipa + 9 * PAGE, 3);
    assert_eq!(read.desc, far.0 & 0x3_FFFF_FFFF_F000 | far.0 >> 50 << 8);
    let child = realm.fold(ipa, 3).unwrap();
    assert_eq!(child, Pa(FAR.base + 2 * MIB + 3 * PAGE));
    assert_eq!(realm.touch(ipa + 9 * PAGE), Ok(far));
    assert_eq!(
        lock_realm_granule(realm.start(ipa + 9 * PAGE), &realm.cpu)
            .unwrap()
            .data
            .pa(),
        far
    );
    realm.create(ipa, 3).unwrap();
    assert_eq!(realm.touch(ipa + 9 * PAGE), Ok(far));
    assert_eq!(realm.unmap(ipa + 9 * PAGE).unwrap().0, far);
}

#[test]
fn concatenated_tables_are_separate_for_top() {
    let realm = Realm::new(realm(34, 2, 16, 0));
    realm.create(3 * GIB, 3).unwrap();
    assert_eq!(
        realm.unmap(0),
        Err(with_top(2, GIB)),
        "the scan ends at the Granule"
    );
    assert_eq!(realm.unmap(2 * GIB), Err(with_top(2, 3 * GIB)));
}

#[test]
fn a_page_wider_than_the_realm_is_refused() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    let far = realm.granule_at(FAR.base);
    assert!(!realm.s2.can_output(far.pa()));
    let mapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        data_slot(realm.start(0), &realm.cpu)
            .unwrap()
            .map(far.transition());
    }));
    assert!(mapped.is_err());
    assert_eq!(realm.entry(0), (3, RttEntry::Unassigned { ripas: EMPTY }));
}
