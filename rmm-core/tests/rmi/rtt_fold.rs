// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_FOLD.

use super::DEVICE;
use super::rtt::{destroy, for_bad_levels, for_ipas_out_of_bound, for_unaligned_ipas};
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{
    DESTROYED, EMPTY, EntryReport, GIB, Host, MIB, NS_ATTRIBUTES, PAGE, RAM, Status, TestRealm,
    assert_reason,
};

addresses! {
    // Conformance: RMI_RTT_FOLD rd_align, rd_bound, rd_state
    rd_align_bound_state: Rd => Status::Rtt(3), |host, samples, pa| {
        host.rtt_fold(pa, 0, 3).0
    };
}

/// RMI_RTT_FOLD; asserts that the output is zero if it fails, and only then.
fn fold(realm: &TestRealm<'_>, ipa: u64, level: i64) -> Status {
    let (status, rtt) = realm.host.rtt_fold(realm.rd, ipa, level);
    assert_eq!(rtt == 0, status != Status::Success);
    status
}

fn input(realm: &TestRealm<'_>, ipa: u64, level: i64) {
    let status = fold(realm, ipa, level);
    assert_eq!(status, Status::Input, "ipa {ipa:#x} level {level}");
}

// Conformance: RMI_RTT_FOLD level_bound, level_bound<rtt_walk, level_bound<rtte_state
#[test]
fn level_bound() {
    for_bad_levels(input);
}

// Conformance: RMI_RTT_FOLD ipa_align
#[test]
fn ipa_align() {
    for_unaligned_ipas(input);
}

// Conformance: RMI_RTT_FOLD ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
// Conformance: Bugs others fixed ipa_outside
#[test]
fn ipa_bound() {
    for_ipas_out_of_bound(input);
}

// Conformance: RMI_RTT_FOLD rtt_walk
#[test]
fn rtt_walk() {
    let host = Host::new();
    let realm = host.realm().create();
    assert_eq!(fold(&realm, 0, 3), Status::Rtt(0));
    assert_eq!(fold(&realm, 0, 2), Status::Rtt(0));
    realm.tables(0, 1);
    assert_eq!(fold(&realm, 0, 3), Status::Rtt(1));
}

// Conformance: RMI_RTT_FOLD rtte_state
#[test]
fn rtte_state() {
    let host = Host::new();
    let realm = host.realm().create();
    for level in 1..=3 {
        let status = fold(&realm, 0, level.into());
        assert_eq!(status, Status::Rtt(level - 1));
        realm.tables(0, level.into());
    }
    realm.block(2 * MIB);
    assert_eq!(fold(&realm, 2 * MIB, 3), Status::Rtt(2), "a block");
}

// Conformance: RMI_RTT_FOLD rd<rtt_walk, rd<rtte_state, rd<rtt_homo
#[test]
fn order() {
    let host = Host::new();
    let realm = host.realm().create();
    // rd_bound, rd_state < rtt_walk, rtte_state, rtt_homo.
    for rd in [DEVICE, realm.params.rtt_base] {
        assert_eq!(host.rtt_fold(rd, 0, 3), (Status::Input, 0));
    }
    assert_eq!(fold(&realm, realm.end(), 3), Status::Input);
}

// Conformance: RMI_RTT_FOLD unassigned, unassigned_ns, rtt, state
#[test]
fn unassigned_at_each_level() {
    let host = Host::new();
    let realm = host.realm().create();
    for ipa in [0, realm.unprotected()] {
        realm.tables(ipa, 3);
        for level in [3, 2, 1] {
            let rtt = realm.entry(ipa, level - 1).desc;
            let folded = host.rtt_fold(realm.rd, ipa, level);
            assert_eq!(folded, (Status::Success, rtt));
            let report = EntryReport::unassigned(level - 1, EMPTY);
            assert_eq!(realm.entry(ipa, 3), report);
            host.undelegate(rtt);
            host.delegate(rtt);
        }
    }
}

// Conformance: RMI_RTT_FOLD unassigned
#[test]
fn keeps_the_ripas() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    realm.ram(0, 2 * MIB);
    assert_eq!(fold(&realm, 0, 3), Status::Success);
    assert_eq!(realm.entry(0, 3), EntryReport::unassigned(2, RAM));
    realm.tables(0, 3);
    assert_eq!(destroy(&realm, 0, 3).0, Status::Success);
    realm.tables(0, 3);
    assert_eq!(fold(&realm, 0, 3), Status::Success);
    assert_eq!(realm.entry(0, 3), EntryReport::unassigned(2, DESTROYED));
}

// Conformance: RMI_RTT_FOLD rtt_homo_ripas
#[test]
fn rtt_homo_ripas() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    for page in [0, 1, 255, 511] {
        realm.ram(page * PAGE, (page + 1) * PAGE);
        assert_eq!(fold(&realm, 0, 3), Status::Rtt(3), "page {page}");
    }
}

// Conformance: RMI_RTT_FOLD rtt_homo_table
#[test]
fn rtt_homo_table() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    assert_eq!(fold(&realm, 0, 2), Status::Rtt(2), "first entry");
    realm.tables(GIB + 2 * MIB, 3);
    assert_eq!(fold(&realm, GIB, 2), Status::Rtt(2), "second entry");
    assert_eq!(fold(&realm, 0, 1), Status::Rtt(1));
}

// Conformance: RMI_RTT_FOLD rtt_homo_mixture, rtt_homo_address
#[test]
fn rtt_homo_mixture() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = 2 * MIB;
    realm.block(ipa);
    realm.tables(ipa, 3);
    let last = ipa + 511 * PAGE;
    let (status, data, _) = host.data_destroy(realm.rd, last);
    assert_eq!(status, Status::Success);
    assert_eq!(
        fold(&realm, ipa, 3),
        Status::Rtt(3),
        "the last one UNASSIGNED"
    );
    // Another granule in its place: not contiguous.
    realm.data_unknown(last);
    assert_eq!(fold(&realm, ipa, 3), Status::Rtt(3), "not contiguous");
    assert_eq!(host.data_destroy(realm.rd, last).0, Status::Success);
    assert_eq!(
        host.data_create_unknown(realm.rd, data, last),
        Status::Success
    );
    assert_eq!(fold(&realm, ipa, 3), Status::Success);
}

// Conformance: RMI_RTT_FOLD rtt_homo_ripas
#[test]
fn rtt_homo_ripas_of_assigned() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = 2 * MIB;
    let base = realm.block(ipa);
    realm.tables(ipa, 3);
    assert_eq!(host.data_destroy(realm.rd, ipa).0, Status::Success);
    let src = host.page();
    let status = host.data_create(realm.rd, base, ipa, src, 0);
    assert_eq!(status, Status::Success);
    assert_eq!(
        fold(&realm, ipa, 3),
        Status::Rtt(3),
        "the first one RAM, others EMPTY"
    );
}

// Conformance: RMI_RTT_FOLD rtt_homo_alignment
#[test]
fn rtt_homo_alignment() {
    let host = Host::new();
    let realm = host.realm().create();
    // Contiguous, but not aligned to 2 MiB.
    let region = realm.granules(1024, 512 * PAGE) + PAGE;
    host.leniently(|| {
        realm.tables(0, 3);
        for n in 0..512 {
            let (data, ipa) = (region + n * PAGE, n * PAGE);
            let status = host.data_create_unknown(realm.rd, data, ipa);
            assert_eq!(status, Status::Success);
        }
    });
    assert_eq!(fold(&realm, 0, 3), Status::Rtt(3));
}

/// Maps 512 entries of `level` to consecutive Host memory from `pa` on.
fn map_all(realm: &TestRealm<'_>, ipa: u64, level: i64, pa: u64, size: u64) {
    realm.host.leniently(|| {
        realm.tables(ipa, level);
        for n in 0..512 {
            let desc = (pa + n * size) | NS_ATTRIBUTES;
            let ipa = ipa + n * size;
            let status = realm.host.rtt_map_unprotected(realm.rd, ipa, level, desc);
            assert_eq!(status, Status::Success);
        }
    });
}

// Conformance: RMI_RTT_FOLD assigned_ns
#[test]
fn assigned_ns() {
    let host = Host::new();
    let realm = host.realm().create();
    let (ipa, pa) = (realm.unprotected(), 0x40_0000_0000);
    map_all(&realm, ipa, 3, pa, PAGE);
    assert_eq!(fold(&realm, ipa, 3), Status::Success);
    let report = EntryReport::assigned(2, pa | NS_ATTRIBUTES, EMPTY);
    assert_eq!(realm.entry(ipa, 3), report);

    let ipa = ipa + GIB;
    map_all(&realm, ipa, 2, pa, 2 * MIB);
    assert_eq!(fold(&realm, ipa, 2), Status::Success);
    let report = EntryReport::assigned(1, pa | NS_ATTRIBUTES, EMPTY);
    assert_eq!(realm.entry(ipa, 3), report);
}

// Conformance: RMI_RTT_FOLD rtt_homo_attributes, rtt_homo_address, rtt_homo_alignment
// Conformance: RMI_RTT_FOLD rtt_homo_mixture
// Conformance: Bugs others fixed fold_attributes
#[test]
fn rtt_homo_assigned_ns() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    let page = ipa + 77 * PAGE;
    let remap = |desc: u64| {
        let (status, _) = host.rtt_unmap_unprotected(realm.rd, page, 3);
        assert_eq!(status, Status::Success);
        let status = host.rtt_map_unprotected(realm.rd, page, 3, desc);
        assert_eq!(status, Status::Success);
    };
    map_all(&realm, ipa, 3, 0x40_0000_0000, PAGE);
    let right = (0x40_0000_0000 + 77 * PAGE) | NS_ATTRIBUTES;
    for (what, desc) in [
        ("MemAttr", right ^ 1 << 2),
        ("S2AP", right ^ 1 << 7),
        ("address", right + 512 * PAGE),
    ] {
        remap(desc);
        assert_eq!(fold(&realm, ipa, 3), Status::Rtt(3), "{what}");
    }
    let (status, _) = host.rtt_unmap_unprotected(realm.rd, page, 3);
    assert_eq!(status, Status::Success);
    assert_eq!(fold(&realm, ipa, 3), Status::Rtt(3), "UNASSIGNED_NS");
    map_all(&realm, ipa + 2 * MIB, 3, 0x40_0000_0000 + PAGE, PAGE);
    assert_eq!(fold(&realm, ipa + 2 * MIB, 3), Status::Rtt(3), "alignment");
}

// Conformance: RMI_RTT_FOLD rtt_homo_level
#[test]
fn assigned_ns_of_level_1_is_not_homogeneous() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    map_all(&realm, ipa, 1, 0, GIB);
    assert_eq!(fold(&realm, ipa, 1), Status::Rtt(1));
}

#[test]
fn in_concatenated_tables() {
    let host = Host::new();
    let realm = host.realm().ipa(40, 1, 2).create();
    let last = 511 * GIB;
    for ipa in [0, last, realm.unprotected()] {
        realm.tables(ipa, 2);
        assert_eq!(fold(&realm, ipa, 2), Status::Success);
    }
    input(&realm, 0, 1);
}

// Conformance: RMI_RTT_FOLD tlb
// Conformance: RMI_RTT_CREATE tlb
#[test]
fn fold_and_unfold_under_a_running_realm() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(2 * MIB, 2);
    realm.ram(2 * MIB, 4 * MIB);
    realm.block(2 * MIB);
    realm.activate();
    let (rd, spare) = (realm.rd, realm.granule());
    realm.script(0, move |cpu| async move {
        let all = [0, 1, 255, 511].map(|n| 2 * MIB + n * PAGE);
        for ipa in all {
            cpu.write(ipa, ipa).await.expect("RAM");
        }
        for _ in 0..3 {
            cpu.meanwhile(|host| {
                assert_eq!(host.rtt_create(rd, spare, 2 * MIB, 3), Status::Success);
            });
            for ipa in all {
                assert_eq!(cpu.read(ipa).await, Ok(ipa));
            }
            cpu.meanwhile(|host| {
                assert_eq!(host.rtt_fold(rd, 2 * MIB, 3), (Status::Success, spare));
            });
            for ipa in all {
                assert_eq!(cpu.read(ipa).await, Ok(ipa));
            }
        }
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}
