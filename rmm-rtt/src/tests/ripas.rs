// SPDX-License-Identifier: BSD-3-Clause
//! RTT_INIT_RIPAS, RTT_SET_RIPAS and the extent of a RIPAS: ranges and errors.

use super::*;

/// `out_top` of RTT_INIT_RIPAS, and the ranges that it measures.
fn measured(realm: &Realm, base: u64, top: u64) -> Result<(u64, Vec<(u64, u64)>), RttError> {
    let mut seen = Vec::new();
    let note = |base: Ipa, top: Ipa| seen.push((base.0, top.0));
    let out = init_ripas(realm.start(base), &realm.cpu, Ipa(top), note)?;
    Ok((out.0, seen))
}

#[test]
fn init_ripas_measures_each_entry() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    let pages = |from: u64, to: u64| (from..to).map(|n| (n * PAGE, (n + 1) * PAGE)).collect();
    assert_eq!(
        measured(&realm, 2 * PAGE, 5 * PAGE),
        Ok((5 * PAGE, pages(2, 5)))
    );
    // Again, whatever RIPAS the entries have.
    assert_eq!(measured(&realm, 0, 4 * PAGE), Ok((4 * PAGE, pages(0, 4))));
    // To the end of the table and no further.
    assert_eq!(
        measured(&realm, 510 * PAGE, 4 * MIB),
        Ok((2 * MIB, pages(510, 512)))
    );
    // Whole entries of one level; the rest is left to the next call.
    let blocks = vec![(2 * MIB, 4 * MIB), (4 * MIB, 6 * MIB)];
    assert_eq!(measured(&realm, 2 * MIB, 7 * MIB), Ok((6 * MIB, blocks)));
    // A TABLE entry ends the range.
    realm.create(10 * MIB, 3).unwrap();
    assert_eq!(
        measured(&realm, 8 * MIB, GIB),
        Ok((10 * MIB, vec![(8 * MIB, 10 * MIB)]))
    );
}

#[test]
fn init_ripas_fails_with_the_level() {
    let realm = Realm::plain();
    realm.tables(0, 2);
    assert_eq!(measured(&realm, PAGE, 4 * MIB), Err(rtt(2)), "base_align");
    assert_eq!(measured(&realm, 0, MIB), Err(rtt(2)), "no_progress");
    assert_eq!(
        measured(&realm, GIB, GIB + PAGE),
        Err(rtt(1)),
        "no_progress"
    );
    realm.tables(0, 3);
    assert_eq!(
        measured(&realm, PAGE / 2, 4 * PAGE),
        Err(rtt(3)),
        "base_align"
    );
    realm.map(0).unwrap();
    assert_eq!(measured(&realm, 0, 4 * PAGE), Err(rtt(3)), "rtte_state");
    assert_eq!(
        realm.entry(PAGE),
        (3, RttEntry::Unassigned { ripas: EMPTY })
    );
}

#[test]
fn init_ripas_passes_over_assigned_entries() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    let pas = [EMPTY, RAM].map(|ripas| realm.make_assigned(PAGE + ripas as u64 * PAGE, ripas));
    assert_eq!(realm.init(0, 5 * PAGE), Ok(5 * PAGE));
    assert_eq!(
        realm.entry(PAGE),
        (
            3,
            RttEntry::Assigned {
                pa: pas[0],
                ripas: RAM
            }
        )
    );
    assert_eq!(
        realm.entry(2 * PAGE),
        (
            3,
            RttEntry::Assigned {
                pa: pas[1],
                ripas: RAM
            }
        )
    );
    assert_eq!(realm.touch(PAGE), Ok(pas[0]));
    assert_eq!(
        realm.entry(4 * PAGE),
        (3, RttEntry::Unassigned { ripas: RAM })
    );
}

#[test]
fn set_ripas_goes_as_far_as_one_table() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    assert_eq!(realm.set(PAGE, 4 * PAGE, RAM, false), Ok(4 * PAGE));
    assert_eq!(
        realm.set(0, 3 * MIB, RAM, false),
        Ok(2 * MIB),
        "end of the table"
    );
    assert_eq!(
        realm.set(2 * MIB, 7 * MIB, RAM, false),
        Ok(6 * MIB),
        "whole entries"
    );
    realm.create(10 * MIB, 3).unwrap();
    assert_eq!(realm.set(6 * MIB, GIB, RAM, false), Ok(10 * MIB), "TABLE");
    assert_eq!(
        realm.entry(8 * MIB),
        (2, RttEntry::Unassigned { ripas: RAM })
    );
    assert_eq!(
        realm.entry(10 * MIB),
        (3, RttEntry::Unassigned { ripas: EMPTY })
    );
    assert_eq!(
        realm.entry(12 * MIB),
        (2, RttEntry::Unassigned { ripas: EMPTY })
    );
}

#[test]
fn set_ripas_stops_at_destroyed() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    realm.make_unassigned(3 * PAGE, DESTROYED);
    assert_eq!(realm.set(PAGE, 6 * PAGE, RAM, false), Ok(3 * PAGE));
    assert_eq!(
        realm.set(3 * PAGE, 6 * PAGE, RAM, false),
        Err(rtt(3)),
        "no_progress"
    );
    assert_eq!(realm.set(3 * PAGE, 6 * PAGE, RAM, true), Ok(6 * PAGE));
}

#[test]
fn set_ripas_does_not_split_entries() {
    let realm = Realm::plain();
    realm.tables(0, 2);
    assert_eq!(
        realm.set(PAGE, 4 * MIB, RAM, false),
        Err(rtt(2)),
        "base_align"
    );
    assert_eq!(realm.set(0, MIB, RAM, false), Err(rtt(2)), "no_progress");
    // An entry that has the RIPAS already counts as progress, and never backwards.
    assert_eq!(realm.set(0, MIB, EMPTY, false), Ok(MIB));
    assert_eq!(realm.set(PAGE, 4 * MIB, EMPTY, false), Ok(2 * MIB));
    assert_eq!(realm.set(MIB, MIB + PAGE, EMPTY, false), Ok(MIB + PAGE));
    assert_eq!(realm.entry(0), (2, RttEntry::Unassigned { ripas: EMPTY }));
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn set_ripas_changes_blocks() {
    let realm = Realm::plain();
    realm.block(2 * MIB, BLOCKS.base, RAM);
    let pa = Pa(BLOCKS.base);
    assert_eq!(realm.touch(2 * MIB + PAGE), Ok(Pa(pa.0 + PAGE)));
    assert_eq!(realm.set(2 * MIB, 4 * MIB, EMPTY, false), Ok(4 * MIB));
    assert_eq!(realm.touch(2 * MIB + PAGE), no_translation(2));
    assert_eq!(
        realm.entry(2 * MIB),
        (2, RttEntry::Assigned { pa, ripas: EMPTY })
    );
    assert_eq!(realm.set(2 * MIB, 4 * MIB, RAM, false), Ok(4 * MIB));
    assert_eq!(realm.touch(2 * MIB + PAGE), Ok(Pa(pa.0 + PAGE)));
}

#[test]
fn ripas_never_reaches_the_unprotected_half() {
    // One level 2 table holds the end of the one half and the start of the other.
    let realm = Realm::new(realm(32, 2, 4, 0));
    let end = realm.shared();
    assert_eq!(realm.set(end - 2 * MIB, u64::MAX, RAM, true), Ok(end));
    assert_eq!(realm.init(end - 4 * MIB, u64::MAX), Ok(end));
    assert_eq!(realm.entry(end), (2, RttEntry::UnassignedNs));
    let extent = ripas_extent(realm.start(end - 4 * MIB), &realm.cpu, Ipa(u64::MAX));
    assert_eq!(extent, Some((Ipa(end), RAM)));
    assert_eq!(
        ripas_extent(realm.start(end), &realm.cpu, Ipa(u64::MAX)),
        None
    );
}

#[test]
fn extents_end_where_the_ripas_changes() {
    let realm = Realm::plain();
    let extent = |base: u64, top: u64| ripas_extent(realm.start(base), &realm.cpu, Ipa(top));
    assert_eq!(extent(PAGE, GIB), Some((Ipa(GIB), EMPTY)));
    realm.tables(0, 3);
    realm.init(4 * PAGE, 8 * PAGE).unwrap();
    realm.map(5 * PAGE).unwrap();
    realm.map_ram(9 * PAGE).unwrap();
    assert_eq!(extent(0, GIB), Some((Ipa(4 * PAGE), EMPTY)));
    assert_eq!(
        extent(4 * PAGE, GIB),
        Some((Ipa(8 * PAGE), RAM)),
        "HIPAS does not matter"
    );
    assert_eq!(extent(4 * PAGE, 7 * PAGE), Some((Ipa(7 * PAGE), RAM)));
    assert_eq!(extent(8 * PAGE, GIB), Some((Ipa(9 * PAGE), EMPTY)));
    assert_eq!(extent(9 * PAGE, GIB), Some((Ipa(10 * PAGE), RAM)));
    assert_eq!(
        extent(10 * PAGE, GIB),
        Some((Ipa(2 * MIB), EMPTY)),
        "end of the table"
    );
    assert_eq!(
        extent(3 * MIB, 4 * GIB),
        Some((Ipa(GIB), EMPTY)),
        "whole blocks"
    );
    realm.create(6 * MIB, 3).unwrap();
    assert_eq!(extent(2 * MIB, GIB), Some((Ipa(6 * MIB), EMPTY)), "TABLE");
    realm.init(2 * MIB, 6 * MIB).unwrap();
    assert_eq!(extent(2 * MIB, GIB), Some((Ipa(6 * MIB), RAM)), "TABLE");
    realm.unmap(9 * PAGE).unwrap();
    assert_eq!(extent(9 * PAGE, GIB), Some((Ipa(10 * PAGE), DESTROYED)));
    assert_eq!(extent(PAGE, PAGE), None);
}
