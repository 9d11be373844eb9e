// SPDX-License-Identifier: BSD-3-Clause
//! RTT_CREATE: errors, and what the new table inherits.

use super::*;

#[test]
fn create_reports_where_the_walk_ended() {
    let realm = Realm::plain();
    assert_eq!(realm.create(0, 3), Err(rtt(0)));
    assert_eq!(realm.create(0, 2), Err(rtt(0)));
    let table = realm.create(0, 1).unwrap();
    assert_eq!(realm.create(0, 1), Err(rtt(0)), "TABLE already");
    assert_eq!(realm.create(0, 3), Err(rtt(1)));
    let read = realm.read(0, 0);
    let expected = (0, RttEntryState::Table, table.0, EMPTY);
    assert_eq!((read.level, read.state, read.desc, read.ripas), expected);
    assert_eq!(realm.granules.state(table.0), Ok(GranuleState::Rtt));
}

#[test]
fn a_failed_create_leaves_the_granule_alone() {
    let realm = Realm::plain();
    let rtt = realm.granule();
    let pa = rtt.pa();
    assert!(create(realm.start(0), &realm.cpu, 2, rtt).is_err());
    assert!(realm.is_clean(pa));
}

#[test]
fn children_inherit_unassigned() {
    for ripas in [EMPTY, RAM, DESTROYED] {
        let realm = Realm::plain();
        realm.tables(0, 2);
        let ipa = 6 * MIB;
        realm.make_unassigned(ipa, ripas);
        let log = realm.memory.invalidations().len();
        realm.create(ipa, 3).unwrap();
        for page in [0, 1, 7, 511] {
            assert_eq!(
                realm.entry(ipa + page * PAGE),
                (3, RttEntry::Unassigned { ripas })
            );
        }
        assert_eq!(
            realm.entry(ipa - PAGE),
            (2, RttEntry::Unassigned { ripas: EMPTY })
        );
        assert_eq!(realm.memory.invalidations().len(), log, "nothing was valid");
    }
}

// Conformance: RMI_RTT_CREATE assigned
#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn children_inherit_assigned() {
    for ripas in [EMPTY, RAM, DESTROYED] {
        let realm = Realm::plain();
        let ipa = 6 * MIB;
        realm.block(ipa, BLOCKS.base, ripas);
        let before = realm.read(ipa, 3);
        let expected = (2, RttEntryState::Assigned, BLOCKS.base, ripas);
        assert_eq!(
            (before.level, before.state, before.desc, before.ripas),
            expected
        );
        let _ = realm.touch(ipa);
        realm.check();
        realm.create(ipa, 3).unwrap();
        for n in [0, 1, 7, 511] {
            let pa = Pa(BLOCKS.base + n * PAGE);
            assert_eq!(
                realm.entry(ipa + n * PAGE),
                (3, RttEntry::Assigned { pa, ripas })
            );
            let reached = if ripas == RAM {
                Ok(pa)
            } else {
                no_translation(3)
            };
            assert_eq!(realm.touch(ipa + n * PAGE), reached);
        }
        realm.check();
        // Folds again.
        realm.fold(ipa, 3).unwrap();
        assert_eq!(realm.read(ipa, 3), before);
    }
}

#[test]
fn children_inherit_unprotected() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 1);
    let desc = 7 << 2 | 2 << 6 | 4 * GIB;
    realm.map_ns(ipa, 1, desc).unwrap();
    realm.create(ipa, 2).unwrap();
    for n in [0, 1, 511] {
        let read = realm.read(ipa + n * 2 * MIB, 3);
        assert_eq!((read.level, read.desc), (2, desc + n * 2 * MIB));
    }
    realm.create(ipa + 2 * MIB, 3).unwrap();
    for n in [0, 1, 511] {
        let read = realm.read(ipa + 2 * MIB + n * PAGE, 3);
        assert_eq!((read.level, read.desc), (3, desc + 2 * MIB + n * PAGE));
    }
    realm.create(ipa + GIB, 2).unwrap();
    assert_eq!(realm.entry(ipa + GIB), (2, RttEntry::UnassignedNs));
}
