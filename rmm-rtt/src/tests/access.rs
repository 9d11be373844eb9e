// SPDX-License-Identifier: BSD-3-Clause
//! Accesses of the monitor to Realm memory.

use super::*;

fn not_mapped(level: i8, ripas: Ripas) -> Option<NotMapped> {
    Some(NotMapped {
        level,
        ripas: Some(ripas),
    })
}

#[test]
fn only_assigned_ram_is_accessible() {
    let realm = Realm::plain();
    let find = |ipa: u64| lock_realm_granule(realm.start(ipa), &realm.cpu);
    assert_eq!(find(0).err(), not_mapped(0, EMPTY));
    realm.tables(0, 3);
    for (n, ripas) in [EMPTY, RAM, DESTROYED].into_iter().enumerate() {
        let ipa = n as u64 * PAGE;
        realm.make_unassigned(ipa, ripas);
        assert_eq!(find(ipa).err(), not_mapped(3, ripas));
        let pa = realm.map(ipa).unwrap();
        if ripas == RAM {
            assert_eq!(find(ipa + 0x123).unwrap().data.pa(), pa);
        } else {
            assert_eq!(find(ipa).err(), not_mapped(3, ripas));
        }
    }
    let shared = realm.shared();
    realm.tables(shared, 2);
    realm.map_ns(shared, 2, NS_WB).unwrap();
    assert_eq!(
        find(shared).err(),
        Some(NotMapped {
            level: 2,
            ripas: None
        })
    );
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn the_monitor_and_the_realm_see_the_same() {
    let realm = Realm::plain();
    realm.block(2 * MIB, BLOCKS.base, RAM);
    let ipa = 2 * MIB + 77 * PAGE + 100;
    realm
        .memory
        .realm_write(&realm.regs(), ipa, b"from the Realm")
        .unwrap();
    let granule = lock_realm_granule(realm.start(ipa), &realm.cpu).unwrap();
    assert_eq!(granule.data.pa(), Pa(BLOCKS.base + 77 * PAGE));
    let mut copy = [0; 14];
    granule.read(&realm.cpu, 100, &mut copy);
    assert_eq!(&copy, b"from the Realm");
    granule.write(&realm.cpu, 105, b"to");
    drop(granule);
    realm
        .memory
        .realm_read(&realm.regs(), ipa, &mut copy)
        .unwrap();
    assert_eq!(&copy, b"from toe Realm");
}
