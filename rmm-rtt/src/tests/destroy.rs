// SPDX-License-Identifier: BSD-3-Clause
//! RTT_DESTROY, and the `top` output of every command that unmaps.

use super::*;

#[test]
fn data_destroy_reports_the_next_live_page() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    realm.map_ram(PAGE).unwrap();
    realm.map_ram(3 * PAGE).unwrap();
    assert_eq!(realm.unmap(PAGE).unwrap().1, 3 * PAGE);
    assert_eq!(realm.unmap(0), Err(with_top(3, 3 * PAGE)), "UNASSIGNED");
    assert_eq!(realm.unmap(3 * PAGE).unwrap().1, 2 * MIB);
    assert_eq!(realm.unmap(511 * PAGE), Err(with_top(3, 2 * MIB)));
}

#[test]
fn data_destroy_skips_missing_tables() {
    let realm = Realm::plain();
    assert_eq!(realm.unmap(0), Err(with_top(0, 256 * 1024 * GIB)));
    realm.tables(0, 2);
    assert_eq!(realm.unmap(0), Err(with_top(2, GIB)));
    realm.create(10 * MIB, 3).unwrap();
    assert_eq!(
        realm.unmap(PAGE),
        Err(with_top(2, 10 * MIB)),
        "TABLE is live"
    );
    assert_eq!(realm.unmap(12 * MIB), Err(with_top(2, GIB)));
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn data_destroy_stops_at_a_block() {
    let realm = Realm::plain();
    realm.block(2 * MIB, BLOCKS.base, RAM);
    for ipa in [2 * MIB, 2 * MIB + PAGE, 4 * MIB - PAGE] {
        assert_eq!(realm.unmap(ipa), Err(with_top(2, ipa)));
    }
    assert_eq!(realm.unmap(0), Err(with_top(2, 2 * MIB)));
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn rtt_destroy_reports_the_next_live_entry() {
    let realm = Realm::plain();
    realm.tables(2 * MIB, 3);
    realm.block(6 * MIB, BLOCKS.base, EMPTY);
    let destroyed = realm.destroy(2 * MIB, 3).unwrap();
    assert_eq!(destroyed.top, Ipa(6 * MIB));
    assert_eq!(
        realm.destroy(2 * MIB, 3),
        Err(with_top(2, 6 * MIB)),
        "UNASSIGNED"
    );
    assert_eq!(
        realm.destroy(6 * MIB, 3),
        Err(with_top(2, 6 * MIB)),
        "block in the way"
    );
    assert_eq!(realm.destroy(8 * MIB, 3), Err(with_top(2, GIB)));
    assert_eq!(realm.destroy(GIB, 3), Err(with_top(1, 512 * GIB)));
    assert_eq!(realm.destroy(0, 2), Err(with_top(2, 0)), "live");
}

/// Entries of an RTT where groups, near and far parts of a scan begin and end.
const EDGES: [u64; 13] = [0, 1, 15, 16, 17, 31, 32, 33, 48, 63, 64, 300, 511];

/// Makes each two of the [`EDGES`] live and compares `top`, from every other one, with a plain scan.
/// `failing` is an operation on an entry that fails with `top`.
fn compare_tops(
    entry_size: u64,
    table: u64,
    make_live: impl Fn(u64),
    destroy: impl Fn(u64),
    failing: impl Fn(u64) -> Result<(), TopError>,
) {
    let of = |index: u64| table + index * entry_size;
    for first in EDGES {
        for second in EDGES {
            let live = BTreeSet::from([first, second]);
            live.iter().for_each(|index| make_live(of(*index)));
            for from in EDGES.into_iter().filter(|index| !live.contains(index)) {
                let next = live.range(from..).next().copied().unwrap_or(512);
                let top = failing(of(from)).unwrap_err().top;
                assert_eq!(top, Ipa(of(next)), "from {from} with {live:?}");
            }
            live.iter().for_each(|index| destroy(of(*index)));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn top_is_that_of_a_plain_scan_in_the_protected_half() {
    let realm = Realm::plain();
    realm.tables(0, 2);
    realm.create(0, 3).unwrap();
    let pool: Vec<_> = (0..2).map(|_| realm.granule().pa()).collect();
    let free = std::cell::RefCell::new(pool);
    compare_tops(
        PAGE,
        0,
        |ipa| {
            let pa = free.borrow_mut().pop().unwrap();
            let data = realm.granules.lock::<Delegated>(pa.0).unwrap();
            data_slot(realm.start(ipa), &realm.cpu)
                .unwrap()
                .map(data.transition());
        },
        |ipa| free.borrow_mut().push(realm.unmap(ipa).unwrap().0),
        |ipa| realm.unmap(ipa).map(drop),
    );
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn top_is_that_of_a_plain_scan_in_the_unprotected_half() {
    let realm = Realm::plain();
    let table = realm.shared();
    realm.tables(table, 3);
    compare_tops(
        PAGE,
        table,
        |ipa| realm.map_ns(ipa, 3, NS_WB).unwrap(),
        |ipa| assert!(realm.unmap_ns(ipa, 3).is_ok()),
        |ipa| realm.unmap_ns(ipa, 3).map(drop),
    );
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn top_is_that_of_a_plain_scan_at_the_start_level() {
    // The halves meet in the one start-level RTT.
    let realm = Realm::new(realm(48, 0, 1, 0));
    compare_tops(
        entry_size(0),
        0,
        |ipa| assert!(realm.create(ipa, 1).is_ok()),
        |ipa| assert!(realm.destroy(ipa, 1).is_ok()),
        |ipa| realm.destroy(ipa, 1).map(drop),
    );
    // A start level with blocks, where not all live entries count.
    let realm = Realm::new(self::realm(39, 1, 1, 0));
    realm.create(3 * GIB, 2).unwrap();
    realm.map_ns(511 * GIB, 1, NS_WB).unwrap();
    assert_eq!(realm.destroy(0, 2), Err(with_top(1, 3 * GIB)));
    assert_eq!(realm.destroy(4 * GIB, 2), Err(with_top(1, 511 * GIB)));
    assert_eq!(realm.destroy(300 * GIB, 2), Err(with_top(1, 511 * GIB)));
}

#[test]
fn rtt_destroy_works_from_the_bottom_up() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    realm.map(PAGE).unwrap();
    assert_eq!(realm.destroy(0, 3), Err(with_top(3, 0)));
    assert_eq!(realm.destroy(0, 2), Err(with_top(2, 0)));
    assert_eq!(realm.destroy(0, 1), Err(with_top(1, 0)));
    realm.unmap(PAGE).unwrap();
    for level in [3, 2, 1] {
        assert!(realm.destroy(0, level).is_ok());
    }
    assert_eq!(
        realm.entry(0),
        (0, RttEntry::Unassigned { ripas: DESTROYED })
    );
}

#[test]
fn a_table_of_the_hosts_memory_is_not_live() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 3);
    realm.map_ns(ipa + PAGE, 3, NS_WB | BLOCKS.base).unwrap();
    realm.touch(ipa + PAGE).unwrap();
    assert_eq!(realm.destroy(ipa, 2), Err(with_top(2, ipa)), "has a TABLE");
    let destroyed = realm.destroy(ipa, 3).unwrap();
    assert!(realm.is_clean(destroyed.rtt));
    assert_eq!(realm.entry(ipa), (2, RttEntry::UnassignedNs));
    assert_eq!(realm.touch(ipa + PAGE), no_translation(2));
    let read = realm.read(ipa, 2);
    assert_eq!((read.state, read.ripas), (RttEntryState::Unassigned, EMPTY));
}

#[test]
fn unprotected_entries_without_memory_fold_whatever_they_were() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa + 2 * MIB, 3);
    realm.destroy(ipa + 2 * MIB, 3).unwrap();
    realm.map_ns(ipa, 2, NS_WB).unwrap();
    realm.unmap_ns(ipa, 2).unwrap();
    realm.fold(ipa, 2).unwrap();
    assert_eq!(realm.entry(ipa), (1, RttEntry::UnassignedNs));
}

#[test]
fn unmap_unprotected_reports_the_next_live_entry() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 3);
    realm.map_ns(ipa, 3, NS_WB).unwrap();
    assert_eq!(realm.unmap_ns(ipa, 3), Ok(ipa + 2 * MIB));
    assert_eq!(realm.unmap_ns(ipa, 3), Err(with_top(3, ipa + 2 * MIB)));
    for n in [0, 9, 200] {
        realm.map_ns(ipa + n * PAGE, 3, NS_WB).unwrap();
    }
    assert_eq!(realm.unmap_ns(ipa, 3), Ok(ipa + 9 * PAGE));
    assert_eq!(realm.unmap_ns(ipa + 9 * PAGE, 3), Ok(ipa + 200 * PAGE));
    assert_eq!(
        realm.unmap_ns(ipa + 2 * MIB, 3),
        Err(with_top(2, ipa + GIB))
    );
    realm.map_ns(ipa + 2 * MIB, 2, NS_WB).unwrap();
    assert_eq!(
        realm.unmap_ns(ipa + 2 * MIB, 3),
        Err(with_top(2, ipa + 2 * MIB)),
        "block"
    );
    assert_eq!(realm.unmap_ns(ipa, 2), Err(with_top(2, ipa)), "TABLE");
}

#[test]
fn a_realm_ends_when_nothing_is_live() {
    for s2 in [PLAIN, realm(34, 2, 16, 0)] {
        let realm = Realm::new(s2);
        let end = || destroy_start_tables(&realm.s2, realm.granules, &realm.cpu);
        let last = s2.protected_end().0 - entry_size(s2.start_level);
        realm.create(last, s2.start_level + 1).unwrap();
        assert_eq!(end(), Err(LiveRtt));
        realm.check();
        realm.destroy(last, s2.start_level + 1).unwrap();
        assert_eq!(end(), Ok(()));
        for n in 0..u64::from(s2.num_start) {
            assert!(realm.is_clean(Pa(s2.base.0 + n * PAGE)));
        }
        // For the check of all tables in the drop.
        let tables = (0..u64::from(s2.num_start)).map(|n| s2.base.0 + n * PAGE);
        let tables: Vec<_> = tables.map(|pa| realm.granules.lock(pa).unwrap()).collect();
        init_start_tables(&s2, tables.into_iter(), &realm.cpu);
    }
}

#[test]
fn the_hosts_memory_does_not_outlive_the_realm() {
    let realm = Realm::new(realm(34, 2, 16, 0));
    let ipa = realm.shared() + GIB;
    realm.map_ns(ipa, 2, NS_WB | BLOCKS.base).unwrap();
    assert_eq!(realm.touch(ipa), Ok(Pa(BLOCKS.base)));
    destroy_start_tables(&realm.s2, realm.granules, &realm.cpu).unwrap();
    let tables = (0..16).map(|n| realm.granules.lock(realm.s2.base.0 + n * PAGE).unwrap());
    let tables: Vec<_> = tables.collect();
    init_start_tables(&realm.s2, tables.into_iter(), &realm.cpu);
    // A new Realm with the same VMID does not reach it.
    assert_eq!(realm.touch(ipa), no_translation(2));
}
