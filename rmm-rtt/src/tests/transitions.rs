// SPDX-License-Identifier: BSD-3-Clause
//! Every row of the transition tables of Protected and Unprotected IPAs (specification A5.3.5,
//! A5.5.4), with what RTT_READ_ENTRY and the hardware see of it.

use super::*;

const IPA: u64 = 3 * GIB + 5 * PAGE;

fn page(realm: &Realm) {
    realm.tables(IPA, 3);
}

#[test]
fn a_new_realm_has_no_memory() {
    let realm = Realm::plain();
    assert_eq!(realm.entry(0), (0, RttEntry::Unassigned { ripas: EMPTY }));
    assert_eq!(realm.entry(realm.shared()), (0, RttEntry::UnassignedNs));
    assert_eq!(realm.touch(0), no_translation(0));
    assert!(start_rtt(&realm.s2, realm.granules, Ipa(1 << 40)).is_none());
    let read = realm.read(0, 3);
    assert_eq!(
        (read.level, read.state, read.desc),
        (0, RttEntryState::Unassigned, 0)
    );
}

#[test]
fn init_ripas_makes_unassigned_entries_ram() {
    for ripas in [EMPTY, RAM, DESTROYED] {
        let realm = Realm::plain();
        page(&realm);
        realm.make_unassigned(IPA, ripas);
        assert_eq!(realm.init(IPA, IPA + PAGE), Ok(IPA + PAGE));
        assert_eq!(realm.entry(IPA), (3, RttEntry::Unassigned { ripas: RAM }));
        assert_eq!(realm.touch(IPA), no_translation(3));
    }
}

#[test]
fn data_create_makes_ram() {
    for ripas in [EMPTY, RAM, DESTROYED] {
        let realm = Realm::plain();
        page(&realm);
        realm.make_unassigned(IPA, ripas);
        let pa = realm.map_ram(IPA).unwrap();
        assert_eq!(realm.entry(IPA), (3, RttEntry::Assigned { pa, ripas: RAM }));
        assert_eq!(realm.touch(IPA + 8), Ok(Pa(pa.0 + 8)));
        let read = realm.read(IPA, 3);
        let expected = (3, RttEntryState::Assigned, pa.0, RAM);
        assert_eq!((read.level, read.state, read.desc, read.ripas), expected);
    }
}

#[test]
fn data_create_unknown_keeps_ripas() {
    for ripas in [EMPTY, RAM, DESTROYED] {
        let realm = Realm::plain();
        page(&realm);
        let pa = realm.make_assigned(IPA, ripas);
        let reached = if ripas == RAM {
            Ok(pa)
        } else {
            no_translation(3)
        };
        assert_eq!(realm.touch(IPA), reached);
        let read = realm.read(IPA, 3);
        let expected = (3, RttEntryState::Assigned, pa.0, ripas);
        assert_eq!((read.level, read.state, read.desc, read.ripas), expected);
    }
}

#[test]
fn data_destroy_takes_ram_away() {
    for (before, after) in [(RAM, DESTROYED), (EMPTY, EMPTY), (DESTROYED, DESTROYED)] {
        let realm = Realm::plain();
        page(&realm);
        let pa = realm.make_assigned(IPA, before);
        let _ = realm.touch(IPA);
        assert_eq!(realm.unmap(IPA).unwrap().0, pa);
        assert!(realm.is_clean(pa));
        assert_eq!(realm.entry(IPA), (3, RttEntry::Unassigned { ripas: after }));
        assert_eq!(realm.touch(IPA), no_translation(3));
    }
}

#[test]
fn set_ripas_changes_what_it_may() {
    // RIPAS before, RIPAS asked for, change of DESTROYED permitted; RIPAS after if it succeeds.
    let rows = [
        (EMPTY, RAM, false, Some(RAM)),
        (EMPTY, EMPTY, false, Some(EMPTY)),
        (RAM, RAM, false, Some(RAM)),
        (RAM, EMPTY, false, Some(EMPTY)),
        (DESTROYED, RAM, false, None),
        (DESTROYED, EMPTY, false, None),
        (DESTROYED, RAM, true, Some(RAM)),
        (DESTROYED, EMPTY, true, Some(EMPTY)),
    ];
    for (before, asked, destroyed, after) in rows {
        for assigned in [false, true] {
            let realm = Realm::plain();
            page(&realm);
            let pa = if assigned {
                Some(realm.make_assigned(IPA, before))
            } else {
                realm.make_unassigned(IPA, before);
                None
            };
            let _ = realm.touch(IPA);
            let result = realm.set(IPA, IPA + PAGE, asked, destroyed);
            assert_eq!(result, after.map_or(Err(rtt(3)), |_| Ok(IPA + PAGE)));
            let ripas = after.unwrap_or(before);
            let (entry, reached) = match pa {
                Some(pa) if ripas == RAM => (RttEntry::Assigned { pa, ripas }, Ok(pa)),
                Some(pa) => (RttEntry::Assigned { pa, ripas }, no_translation(3)),
                None => (RttEntry::Unassigned { ripas }, no_translation(3)),
            };
            assert_eq!(realm.entry(IPA), (3, entry), "{before:?} to {asked:?}");
            assert_eq!(realm.touch(IPA), reached, "{before:?} to {asked:?}");
        }
    }
}

#[test]
fn data_keeps_its_content_while_empty() {
    let realm = Realm::plain();
    page(&realm);
    let pa = realm.make_assigned(IPA, RAM);
    realm
        .memory
        .realm_write(&realm.regs(), IPA, b"kept")
        .unwrap();
    realm.set(IPA, IPA + PAGE, EMPTY, false).unwrap();
    assert_eq!(&realm.memory.peek(pa)[..4], b"kept");
    realm.set(IPA, IPA + PAGE, RAM, false).unwrap();
    let mut copy = [0; 4];
    realm
        .memory
        .realm_read(&realm.regs(), IPA, &mut copy)
        .unwrap();
    assert_eq!(&copy, b"kept");
}

#[test]
fn destroying_a_table_destroys_its_range() {
    for ripas in [EMPTY, RAM, DESTROYED] {
        let realm = Realm::plain();
        page(&realm);
        realm.make_unassigned(IPA, ripas);
        let base = IPA & !(2 * MIB - 1);
        let child = Pa(realm.read(base, 2).desc);
        let _ = realm.touch(IPA);
        let destroyed = realm.destroy(base, 3).unwrap();
        assert_eq!(destroyed.rtt, child);
        assert!(realm.is_clean(child));
        assert_eq!(
            realm.entry(IPA),
            (2, RttEntry::Unassigned { ripas: DESTROYED })
        );
    }
}

#[test]
fn unprotected_memory_comes_and_goes() {
    for level in 1..=3 {
        let realm = Realm::plain();
        let ipa = realm.shared() + 5 * entry_size(level);
        realm.tables(ipa, level);
        let read = realm.read(ipa, level);
        assert_eq!(
            (read.level, read.state, read.ripas),
            (level, RttEntryState::Unassigned, EMPTY)
        );
        let desc = 5 << 2 | 1 << 6 | 2 * entry_size(level);
        assert_eq!(realm.map_ns(ipa, level, desc), Ok(()));
        assert_eq!(
            realm.map_ns(ipa, level, desc),
            Err(rtt(level)),
            "not UNASSIGNED_NS"
        );
        let read = realm.read(ipa, 3);
        let expected = (level, RttEntryState::Assigned, desc, EMPTY);
        assert_eq!((read.level, read.state, read.desc, read.ripas), expected);
        assert_eq!(realm.entry(ipa + PAGE / 2).0, level);
        assert!(realm.unmap_ns(ipa, level).is_ok());
        assert_eq!(realm.entry(ipa), (level, RttEntry::UnassignedNs));
        assert!(realm.unmap_ns(ipa, level).is_err());
    }
}

#[test]
fn a_realm_reaches_non_secure_memory() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 2);
    realm.map_ns(ipa, 2, NS_WB | BLOCKS.base).unwrap();
    let found = realm
        .memory
        .translate_cached(&realm.regs(), ipa + 0x1234)
        .unwrap();
    assert_eq!(
        (found.pa, found.ns, found.level),
        (Pa(BLOCKS.base + 0x1234), true, 2)
    );
    // What the Host delegates is out of reach at once, mapped or not.
    drop(realm.granule_at(BLOCKS.base + 0x1000));
    let kind = FaultKind::GranuleProtection;
    assert_eq!(realm.touch(ipa + 0x1234), Err(Fault { level: 2, kind }));
}

#[test]
fn the_halves_do_not_mix() {
    let realm = Realm::plain();
    let shared = realm.shared();
    realm.tables(shared, 3);
    realm.tables(0, 3);
    assert_eq!(
        data_slot(realm.start(shared), &realm.cpu).err(),
        Some(rtt(3))
    );
    assert_eq!(realm.map_ns(0, 3, NS_WB), Err(rtt(3)));
    let pa = realm.map_ram(0).unwrap();
    assert_eq!(realm.unmap_ns(0, 3), Err(with_top(3, 0)));
    realm.map_ns(shared, 3, NS_WB).unwrap();
    assert_eq!(realm.unmap(shared), Err(with_top(3, shared)));
    assert_eq!(realm.set(shared, shared + PAGE, RAM, true), Err(rtt(3)));
    assert_eq!(realm.init(shared + PAGE, shared + 2 * PAGE), Err(rtt(3)));
    assert_eq!(realm.entry(0), (3, RttEntry::Assigned { pa, ripas: RAM }));
    assert_eq!(realm.entry(shared), (3, RttEntry::AssignedNs { pa: Pa(0) }));
}

#[test]
fn data_goes_to_pages_only() {
    let realm = Realm::plain();
    for level in 0..3 {
        realm.tables(0, level);
        assert_eq!(
            data_slot(realm.start(0), &realm.cpu).err(),
            Some(rtt(level))
        );
    }
    realm.tables(0, 3);
    realm.map(0).unwrap();
    assert_eq!(
        data_slot(realm.start(0), &realm.cpu).err(),
        Some(rtt(3)),
        "not UNASSIGNED"
    );
}
