// SPDX-License-Identifier: BSD-3-Clause
//! RTT_FOLD: homogeneous tables (specification A5.5.6) and all others.

use super::*;
use crate::entry::TYPE;

#[test]
fn fold_reports_where_the_walk_ended() {
    let realm = Realm::plain();
    realm.tables(0, 1);
    assert_eq!(realm.fold(0, 3), Err(rtt(1)));
    assert_eq!(realm.fold(0, 2), Err(rtt(1)), "not TABLE");
    assert_eq!(realm.fold(512 * GIB - GIB, 2), Err(rtt(1)));
    realm.tables(0, 2);
    assert_eq!(realm.fold(0, 1), Err(rtt(1)), "TABLE child");
}

#[test]
fn unassigned_tables_fold_at_any_level() {
    for level in 1..=3 {
        for ripas in [EMPTY, RAM, DESTROYED] {
            let realm = Realm::plain();
            let size = entry_size(level - 1);
            // A level 0 entry reaches to the end of the Protected half.
            let ipa = if level == 1 { 0 } else { size };
            realm.tables(ipa, level - 1);
            realm.make_unassigned(ipa, ripas);
            let child = realm.create(ipa, level).unwrap();
            let _ = realm.touch(ipa);
            assert_eq!(realm.fold(ipa, level), Ok(child));
            assert!(realm.is_clean(child));
            assert_eq!(
                realm.entry(ipa),
                (level - 1, RttEntry::Unassigned { ripas })
            );
        }
    }
}

#[test]
fn unassigned_ns_tables_fold_at_any_level() {
    for level in 1..=3 {
        let realm = Realm::plain();
        let ipa = realm.shared();
        realm.tables(ipa, level);
        let _ = realm.touch(ipa);
        assert!(realm.fold(ipa, level).is_ok());
        assert_eq!(realm.entry(ipa), (level - 1, RttEntry::UnassignedNs));
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn assigned_tables_fold_to_a_block() {
    for ripas in [EMPTY, RAM, DESTROYED] {
        let realm = Realm::plain();
        let ipa = 2 * MIB;
        realm.block(ipa, BLOCKS.base + 2 * MIB, ripas);
        let reached = if ripas == RAM {
            Ok(Pa(BLOCKS.base + 2 * MIB + 8))
        } else {
            no_translation(2)
        };
        assert_eq!(realm.touch(ipa + 8), reached);
    }
}

#[test]
fn one_different_child_forbids_folding() {
    for odd in [0, 1, 8, 300, 511] {
        let realm = Realm::plain();
        realm.tables(0, 3);
        realm.make_unassigned(odd * PAGE, RAM);
        assert_eq!(realm.fold(0, 3), Err(rtt(3)), "RIPAS of {odd} differs");
        realm.make_unassigned(odd * PAGE, DESTROYED);
        assert_eq!(realm.fold(0, 3), Err(rtt(3)), "RIPAS of {odd} differs");
        realm.map(odd * PAGE).unwrap();
        assert_eq!(realm.fold(0, 3), Err(rtt(3)), "{odd} is ASSIGNED");
        realm.tables(GIB, 2);
        realm.create(GIB + odd * 2 * MIB, 3).unwrap();
        assert_eq!(realm.fold(GIB, 2), Err(rtt(2)), "{odd} is TABLE");
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn assigned_children_must_agree() {
    let realm = Realm::plain();
    let (ipa, pa) = (2 * MIB, BLOCKS.base);
    realm.tables(ipa, 3);
    for page in (0..2 * MIB).step_by(4096) {
        realm.map_at(ipa + page, pa + page).unwrap();
    }
    let last = ipa + 2 * MIB - PAGE;
    realm.set(last, last + PAGE, RAM, false).unwrap();
    assert_eq!(realm.fold(ipa, 3), Err(rtt(3)), "RIPAS differs");
    realm.set(last, last + PAGE, EMPTY, false).unwrap();
    realm.unmap(last).unwrap();
    assert_eq!(realm.fold(ipa, 3), Err(rtt(3)), "HIPAS differs");
    realm.map(last).unwrap();
    assert_eq!(realm.fold(ipa, 3), Err(rtt(3)), "not contiguous");
    realm.unmap(last).unwrap();
    let freed = realm
        .granules
        .lock::<Delegated>(pa + 2 * MIB - PAGE)
        .unwrap();
    data_slot(realm.start(last), &realm.cpu)
        .unwrap()
        .map(freed.transition());
    assert!(realm.fold(ipa, 3).is_ok());
}

// Conformance: RMI_RTT_FOLD rtt_homo_alignment
#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn assigned_children_must_be_aligned() {
    let realm = Realm::plain();
    let (ipa, pa) = (2 * MIB, BLOCKS.base + PAGE);
    realm.tables(ipa, 3);
    for page in (0..2 * MIB).step_by(4096) {
        realm.map_at(ipa + page, pa + page).unwrap();
    }
    assert_eq!(realm.fold(ipa, 3), Err(rtt(3)));
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn unprotected_children_must_agree() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 2);
    let desc = NS_WB | 8 * GIB;
    for n in 0..512 {
        realm
            .map_ns(ipa + n * 2 * MIB, 2, desc + n * 2 * MIB)
            .unwrap();
    }
    let last = 511 * 2 * MIB;
    for odd in [desc ^ 1 << 2, desc ^ 1 << 6, desc + 2 * MIB] {
        realm.unmap_ns(ipa + last, 2).unwrap();
        assert_eq!(realm.fold(ipa, 2), Err(rtt(2)), "HIPAS differs");
        realm.map_ns(ipa + last, 2, odd + last).unwrap();
        assert_eq!(realm.fold(ipa, 2), Err(rtt(2)), "{odd:#x}");
    }
    realm.unmap_ns(ipa + last, 2).unwrap();
    realm.map_ns(ipa + last, 2, desc + last).unwrap();
    assert!(realm.fold(ipa, 2).is_ok());
    let read = realm.read(ipa, 3);
    assert_eq!((read.level, read.desc), (1, desc));
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn unprotected_children_must_be_aligned() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 3);
    for n in 0..512 {
        realm
            .map_ns(ipa + n * PAGE, 3, NS_WB | GIB + PAGE + n * PAGE)
            .unwrap();
    }
    assert_eq!(realm.fold(ipa, 3), Err(rtt(3)));
}

/// Writes a block to every entry of the level 1 or 2 table at `ipa`, without DATA Granules behind it.
fn fill_with_blocks(realm: &Realm, ipa: u64, level: i8, ripas: Ripas) {
    let at = realm.start(ipa).walk(&realm.cpu, level);
    for (n, entry) in at.table.iter().enumerate() {
        let block = Pa(512 * GIB + n as u64 * entry_size(level));
        entry.store(realm.s2.assigned(block, level, ripas), Ordering::Relaxed);
    }
    at.table.granule().add_refs(512);
}

fn empty_again(realm: &Realm, ipa: u64, level: i8) {
    let at = realm.start(ipa).walk(&realm.cpu, level);
    for entry in at.table.iter() {
        entry.store(0, Ordering::Relaxed);
    }
    at.table.granule().remove_refs(512);
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn level_2_blocks_fold_to_level_1() {
    for ripas in [EMPTY, RAM, DESTROYED] {
        let realm = Realm::plain();
        realm.tables(0, 2);
        fill_with_blocks(&realm, 0, 2, ripas);
        let child = realm.fold(0, 2).unwrap();
        assert!(realm.is_clean(child));
        let pa = Pa(512 * GIB);
        assert_eq!(realm.entry(0), (1, RttEntry::Assigned { pa, ripas }));
        // Unfolds again, so that no entry refers to memory in the end.
        realm.create(0, 2).unwrap();
        let pa = Pa(pa.0 + 6 * MIB);
        assert_eq!(realm.entry(6 * MIB), (2, RttEntry::Assigned { pa, ripas }));
        empty_again(&realm, 0, 2);
    }
}

// Conformance: RMI_RTT_FOLD rtt_homo_level, rtt_homo_level_assigned
#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn level_1_blocks_do_not_fold() {
    let realm = Realm::plain();
    realm.tables(0, 1);
    fill_with_blocks(&realm, 0, 1, EMPTY);
    assert_eq!(realm.fold(0, 1), Err(rtt(1)));
    empty_again(&realm, 0, 1);

    let shared = realm.shared();
    realm.tables(shared, 1);
    for n in 0..512 {
        realm.map_ns(shared + n * GIB, 1, NS_WB | n * GIB).unwrap();
    }
    assert_eq!(realm.fold(shared, 1), Err(rtt(1)));
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn a_folded_page_becomes_a_block() {
    // The type bits distinguish a page from a block; a fold has to change them.
    let realm = Realm::plain();
    realm.block(0, BLOCKS.base, RAM);
    let table = Pa(realm.read(0, 1).desc);
    let block = realm.memory.peek(table);
    assert_eq!(u64::from(block[0]) & TYPE, 1);
}
