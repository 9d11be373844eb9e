// SPDX-License-Identifier: BSD-3-Clause
//! TLB maintenance: each operation invalidates the whole range that it changes, and no more.
//!
//! The fake memory panics if a wiped Granule is still reachable, or if the TLB holds entries of
//! different size for one address. Each test therefore first lets the Realm access what is about to
//! change.

use super::*;

impl Realm {
    /// What `f` invalidates: base and size.
    fn invalidated(&self, f: impl FnOnce()) -> Vec<(u64, u64)> {
        let before = self.memory.invalidations().len();
        f();
        let log = self.memory.invalidations();
        assert!(log.iter().all(|entry| entry.vmid == self.s2.vmid));
        log[before..]
            .iter()
            .map(|entry| (entry.base.0, entry.size))
            .collect()
    }
}

// Conformance: RMI_DATA_DESTROY tlb
#[test]
fn data_destroy_invalidates_the_page() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    for ipa in [0, PAGE] {
        realm.map_ram(ipa).unwrap();
        realm.touch(ipa).unwrap();
    }
    let log = realm.invalidated(|| {
        realm.unmap(PAGE).unwrap();
    });
    assert_eq!(log, [(PAGE, PAGE)]);
    assert_eq!(realm.touch(PAGE), no_translation(3));
    // An entry that was never valid needs no invalidation.
    realm.map(2 * PAGE).unwrap();
    assert_eq!(
        realm.invalidated(|| {
            realm.unmap(2 * PAGE).unwrap();
        }),
        []
    );
}

// Conformance: RMI_RTT_SET_RIPAS tlb
#[test]
fn set_ripas_invalidates_what_was_valid() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    for n in 3..9 {
        realm.map_ram(n * PAGE).unwrap();
        realm.touch(n * PAGE).unwrap();
    }
    let log = realm.invalidated(|| assert_eq!(realm.set(0, 8 * PAGE, EMPTY, true), Ok(8 * PAGE)));
    assert_eq!(log, [(3 * PAGE, 5 * PAGE)]);
    for n in 3..8 {
        assert_eq!(realm.touch(n * PAGE), no_translation(3));
    }
    assert!(realm.touch(8 * PAGE).is_ok());
    assert_eq!(
        realm.invalidated(|| {
            realm.set(0, 8 * PAGE, RAM, true).unwrap();
        }),
        []
    );
}

#[test]
fn set_ripas_invalidates_what_lies_apart() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    for n in [2, 6, 7, 11] {
        realm.map_ram(n * PAGE).unwrap();
        realm.touch(n * PAGE).unwrap();
    }
    realm.map(4 * PAGE).unwrap();
    realm.make_unassigned(9 * PAGE, DESTROYED);
    let log = realm.invalidated(|| {
        assert_eq!(realm.set(0, 10 * PAGE, EMPTY, true), Ok(10 * PAGE));
    });
    assert_eq!(log, [(2 * PAGE, 6 * PAGE)]);
    for n in [2, 6, 7] {
        assert_eq!(realm.touch(n * PAGE), no_translation(3));
    }
    assert!(realm.touch(11 * PAGE).is_ok());
}

// Conformance: RMI_RTT_UNMAP_UNPROTECTED tlb
#[test]
fn unmap_unprotected_invalidates_page_or_block() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 1);
    for level in 1..=3 {
        realm.tables(ipa, level);
        realm.map_ns(ipa, level, NS_WB).unwrap();
        let log = realm.invalidated(|| {
            realm.unmap_ns(ipa, level).unwrap();
        });
        assert_eq!(log, [(ipa, entry_size(level))]);
    }
}

#[test]
fn an_unmapped_block_is_gone_at_every_page() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 2);
    realm.map_ns(ipa, 2, NS_WB | BLOCKS.base).unwrap();
    for n in [0, 1, 511] {
        realm.touch(ipa + n * PAGE).unwrap();
    }
    realm.unmap_ns(ipa, 2).unwrap();
    for n in [0, 1, 511] {
        assert_eq!(realm.touch(ipa + n * PAGE), no_translation(2));
    }
}

// Conformance: RMI_RTT_CREATE tlb
#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn unfolding_breaks_before_it_makes() {
    let realm = Realm::plain();
    realm.block(2 * MIB, BLOCKS.base, RAM);
    realm.touch(2 * MIB).unwrap();
    let log = realm.invalidated(|| {
        realm.create(2 * MIB, 3).unwrap();
    });
    assert_eq!(log, [(2 * MIB, 2 * MIB)]);
    // Another page than the one that the block was used for.
    realm.touch(2 * MIB + PAGE).unwrap();
    realm.touch(2 * MIB).unwrap();

    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 1);
    realm.map_ns(ipa, 1, NS_WB | 2 * GIB).unwrap();
    let ram = ipa + BLOCKS.base - 2 * GIB;
    realm.touch(ram).unwrap();
    let log = realm.invalidated(|| {
        realm.create(ipa, 2).unwrap();
    });
    assert_eq!(log, [(ipa, GIB)]);
    realm.touch(ram + PAGE).unwrap();
    // A block that was not valid needs no invalidation.
    let realm = Realm::plain();
    realm.block(2 * MIB, BLOCKS.base, EMPTY);
    assert_eq!(
        realm.invalidated(|| {
            realm.create(2 * MIB, 3).unwrap();
        }),
        []
    );
}

// Conformance: RMI_RTT_FOLD tlb
#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn folding_breaks_before_it_makes() {
    let realm = Realm::plain();
    realm.block(2 * MIB, BLOCKS.base, RAM);
    realm.create(2 * MIB, 3).unwrap();
    for n in [0, 300, 511] {
        realm.touch(2 * MIB + n * PAGE).unwrap();
    }
    let log = realm.invalidated(|| {
        realm.fold(2 * MIB, 3).unwrap();
    });
    assert_eq!(log, [(2 * MIB, 2 * MIB)]);
    realm.touch(2 * MIB + PAGE).unwrap();
    realm.touch(2 * MIB + 300 * PAGE).unwrap();
}

// Conformance: RMI_RTT_FOLD tlb
// Conformance: Bugs others fixed tlbi_range
#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn folding_covers_a_gibibyte() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 2);
    for n in 0..512 {
        realm
            .map_ns(ipa + n * 2 * MIB, 2, NS_WB | 2 * GIB + n * 2 * MIB)
            .unwrap();
    }
    // Only a part of the range is DRAM.
    for n in [128, 129, 131] {
        realm.touch(ipa + n * 2 * MIB).unwrap();
    }
    let log = realm.invalidated(|| {
        realm.fold(ipa, 2).unwrap();
    });
    assert_eq!(log, [(ipa, GIB)]);
    realm.touch(ipa + 131 * 2 * MIB + PAGE).unwrap();
}

#[test]
fn a_folded_table_is_forgotten_without_translations() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    // The walker remembers the table although nothing is mapped.
    assert_eq!(realm.touch(5 * PAGE), no_translation(3));
    realm.fold(0, 3).unwrap();
    assert_eq!(realm.touch(5 * PAGE), no_translation(2));
}

// Conformance: RMI_RTT_DESTROY tlb
#[test]
fn a_destroyed_table_is_forgotten() {
    for ipa in [0, 1 << 39] {
        let realm = Realm::plain();
        realm.tables(ipa, 3);
        assert_eq!(realm.touch(ipa + 5 * PAGE), no_translation(3));
        for level in [3, 2, 1] {
            let log = realm.invalidated(|| {
                realm.destroy(ipa, level).unwrap();
            });
            assert_eq!(log, [(ipa, entry_size(level - 1))]);
            assert_eq!(realm.touch(ipa + 5 * PAGE), no_translation(level - 1));
        }
    }
}

// Conformance: RMI_RTT_DESTROY tlb
// Conformance: Bugs others fixed tlbi_range
#[test]
fn a_destroyed_table_of_blocks_is_gone_in_its_whole_range() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 2);
    for n in [0, 1, 511] {
        realm
            .map_ns(ipa + n * 2 * MIB, 2, NS_WB | BLOCKS.base)
            .unwrap();
        realm.touch(ipa + n * 2 * MIB + PAGE).unwrap();
    }
    realm.destroy(ipa, 2).unwrap();
    for n in [0, 1, 511] {
        assert_eq!(realm.touch(ipa + n * 2 * MIB + PAGE), no_translation(1));
    }
}

#[test]
fn creating_and_mapping_need_no_invalidation() {
    let realm = Realm::plain();
    let shared = realm.shared();
    let log = realm.invalidated(|| {
        realm.tables(0, 3);
        realm.map_ram(0).unwrap();
        realm.init(PAGE, 3 * PAGE).unwrap();
        realm.map(PAGE).unwrap();
        realm.tables(shared, 3);
        realm.map_ns(shared, 3, NS_WB).unwrap();
    });
    assert_eq!(log, []);
}
