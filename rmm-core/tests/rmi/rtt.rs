// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_CREATE and RMI_RTT_DESTROY.

use super::{DEVICE, NO_LEVELS};
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{
    Config, DESTROYED, EMPTY, EntryReport, GIB, Host, MIB, PAGE, RAM, Status, TestRealm,
    assert_reason, lpa2_features,
};
use rmm_granule::{Bank, GranuleState};

addresses! {
    // Conformance: RMI_RTT_CREATE rd_align, rd_bound, rd_state
    create_rd_align_bound_state: Rd => Status::Success, |host, samples, pa| {
        host.rtt_create(pa, samples.delegated, 2 * MIB, 3)
    };
    // Conformance: RMI_RTT_CREATE rtt_align, rtt_bound, rtt_state
    create_rtt_align_bound_state: Delegated => Status::Success, |host, samples, pa| {
        host.rtt_create(samples.realm.rd, pa, 2 * MIB, 3)
    };
    // Conformance: RMI_RTT_DESTROY rd_align, rd_bound, rd_state, outputs
    destroy_rd_align_bound_state: Rd => Status::Rtt(2), |host, samples, pa| {
        let (status, rtt, top) = host.rtt_destroy(pa, 2 * MIB, 3);
        assert_eq!((rtt, top == 0), (0, status == Status::Input));
        status
    };
}

fn create(realm: &TestRealm<'_>, ipa: u64, level: i64) -> Status {
    realm.host.rtt_create(realm.rd, realm.granule(), ipa, level)
}

pub fn destroy(realm: &TestRealm<'_>, ipa: u64, level: i64) -> (Status, u64, u64) {
    realm.host.rtt_destroy(realm.rd, ipa, level)
}

/// Asserts that both commands refuse the RTT of `level` at `ipa`, and that their outputs are zero.
fn both_input(realm: &TestRealm<'_>, ipa: u64, level: i64) {
    let what = format!("ipa {ipa:#x} level {level}");
    assert_eq!(create(realm, ipa, level), Status::Input, "{what}");
    let destroyed = destroy(realm, ipa, level);
    assert_eq!(destroyed, (Status::Input, 0, 0), "{what}");
}

/// Calls `check` with IPAs and levels at which there is no RTT below the start level.
pub fn for_bad_levels(check: impl Fn(&TestRealm<'_>, u64, i64)) {
    let host = Host::new();
    for (s2sz, start, num) in [(40, 0, 1), (40, 1, 2), (34, 2, 16)] {
        let realm = host.realm().ipa(s2sz, start, num).create();
        // First a walk to level 3, the parent of level 4, would end early; then it would end at a
        // page.
        for table in [start, 3] {
            realm.tables(0, table);
            for level in (-1..=start).chain(NO_LEVELS) {
                check(&realm, 0, level);
            }
        }
    }
}

/// Calls `check` with IPAs and levels at which no RTT begins.
pub fn for_unaligned_ipas(check: impl Fn(&TestRealm<'_>, u64, i64)) {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    for (level, size) in [(1, 512 * GIB), (2, GIB), (3, 2 * MIB)] {
        for ipa in [1, PAGE, size / 2, size + PAGE, size - 1] {
            check(&realm, ipa, level);
        }
    }
}

/// Calls `check` with IPAs beyond the IPA space, and levels.
pub fn for_ipas_out_of_bound(check: impl Fn(&TestRealm<'_>, u64, i64)) {
    let host = Host::new();
    let realm = host.realm().create();
    // If they were truncated, they would be the IPA 0: first without RTTs, then with RTTs of each
    // level.
    for table in [0, 3] {
        realm.tables(0, table);
        for ipa in [realm.end(), 1 << 48, 1 << 62, 1 << 63] {
            for level in 1..=3 {
                check(&realm, ipa, level);
            }
        }
    }
}

// Conformance: RMI_RTT_CREATE level_bound, level_bound<rtt_walk, level_bound<rtte_state
// Conformance: RMI_RTT_DESTROY level_bound, level_bound<rtt_walk, level_bound<rtte_state, outputs
#[test]
fn level_bound() {
    for_bad_levels(both_input);
}

// Conformance: RMI_RTT_CREATE ipa_align
// Conformance: RMI_RTT_DESTROY ipa_align, outputs
#[test]
fn ipa_align() {
    for_unaligned_ipas(both_input);
}

// Conformance: RMI_RTT_CREATE ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
// Conformance: RMI_RTT_DESTROY ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state, outputs
// Conformance: Bugs others fixed ipa_outside
#[test]
fn ipa_bound() {
    for_ipas_out_of_bound(both_input);
}

// Conformance: RMI_RTT_CREATE rtt_bound2
// Conformance: Bugs others fixed beyond_48_bits
#[test]
fn create_rtt_bound2() {
    let far = 1 << 48;
    let mut config = Config {
        features: lpa2_features(),
        ..Config::default()
    };
    let size = MIB;
    config.dram.push(Bank { base: far, size });
    let host = Host::with(config);
    host.delegate(far);
    let realm = host.realm().create();
    assert_eq!(host.rtt_create(realm.rd, far, 0, 1), Status::Input);
    let lpa2 = host.realm().params(|p| p.flags = 1).create();
    assert_eq!(host.rtt_create(lpa2.rd, far, 0, 1), Status::Success);
    assert_eq!(lpa2.entry(0, 0), EntryReport::table(0, far));
    assert_eq!(destroy(&lpa2, 0, 1).0, Status::Success);
    host.undelegate(far);
}

// Conformance: RMI_RTT_CREATE rtt_walk
#[test]
fn create_rtt_walk() {
    let host = Host::new();
    let realm = host.realm().create();
    for ipa in [0, realm.unprotected()] {
        assert_eq!(create(&realm, ipa, 2), Status::Rtt(0));
        assert_eq!(create(&realm, ipa, 3), Status::Rtt(0));
        realm.tables(ipa, 1);
        assert_eq!(create(&realm, ipa, 3), Status::Rtt(1));
    }
}

// Conformance: RMI_RTT_CREATE rtte_state
#[test]
fn create_rtte_state() {
    let host = Host::new();
    let realm = host.realm().create();
    for ipa in [0, realm.unprotected()] {
        for level in 1..=3 {
            assert_eq!(create(&realm, ipa, level.into()), Status::Success);
            let again = create(&realm, ipa, level.into());
            assert_eq!(again, Status::Rtt(level - 1));
        }
    }
}

// Conformance: RMI_RTT_CREATE rd<rtt_walk, rd<rtte_state
#[test]
fn create_order() {
    let host = Host::new();
    let realm = host.realm().create();
    let rtt = realm.granule();
    // rd_bound, rd_state < rtt_walk, rtte_state.
    for rd in [DEVICE, realm.params.rtt_base] {
        assert_eq!(host.rtt_create(rd, rtt, 0, 3), Status::Input);
    }
    // level_bound, ipa_bound < rtt_walk, rtte_state; the monitor checks all other inputs before,
    // too.
    for (ipa, level) in [(0, 4), (realm.end(), 3), (PAGE, 3)] {
        let status = host.rtt_create(realm.rd, rtt, ipa, level);
        assert_eq!(status, Status::Input);
    }
    assert_eq!(host.rtt_create(realm.rd, host.page(), 0, 3), Status::Input);
}

// Conformance: Bugs others fixed alias
#[test]
fn create_alias() {
    let host = Host::new();
    let realm = host.realm().create();
    for rtt in [realm.rd, realm.params.rtt_base] {
        assert_eq!(host.rtt_create(realm.rd, rtt, 0, 1), Status::Input);
    }
}

// Conformance: RMI_RTT_CREATE unassigned, parent, state
#[test]
fn create_below_unassigned() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 2);
    let (empty, ram, destroyed) = (0, 2 * MIB, 4 * MIB);
    realm.ram(ram, ram + 2 * MIB);
    realm.tables(destroyed, 3);
    assert_eq!(destroy(&realm, destroyed, 3).0, Status::Success);
    for (ipa, ripas) in [(empty, EMPTY), (ram, RAM), (destroyed, DESTROYED)] {
        assert_eq!(realm.entry(ipa, 2), EntryReport::unassigned(2, ripas));
        let rtt = realm.granule();
        assert_eq!(host.rtt_create(realm.rd, rtt, ipa, 3), Status::Success);
        assert_eq!(realm.entry(ipa, 2), EntryReport::table(2, rtt));
        for page in (ipa..ipa + 2 * MIB).step_by(4096) {
            assert_eq!(realm.entry(page, 3), EntryReport::unassigned(3, ripas));
        }
        assert_eq!(host.state(rtt), GranuleState::Rtt);
    }
}

// Conformance: RMI_RTT_CREATE unassigned_ns
// Conformance: RMI_RTT_READ_ENTRY unassigned_ns
#[test]
fn create_below_unassigned_ns() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    for page in (ipa..ipa + 2 * MIB).step_by(4096) {
        assert_eq!(realm.entry(page, 3), EntryReport::unassigned(3, EMPTY));
    }
}

// Conformance: RMI_RTT_CREATE assigned
// Conformance: RMI_RTT_FOLD assigned
#[test]
fn create_unfolds_what_fold_folded() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = 2 * MIB;
    let base = realm.block(ipa);
    assert_eq!(realm.entry(ipa, 3), EntryReport::assigned(2, base, EMPTY));
    assert_eq!(create(&realm, ipa, 3), Status::Success);
    host.leniently(|| {
        for n in 0..512 {
            let page = realm.entry(ipa + n * PAGE, 3);
            assert_eq!(page, EntryReport::assigned(3, base + n * PAGE, EMPTY));
        }
    });
    assert_eq!(host.rtt_fold(realm.rd, ipa, 3).0, Status::Success);
    assert_eq!(realm.entry(ipa, 3), EntryReport::assigned(2, base, EMPTY));
}

// Conformance: RMI_RTT_CREATE assigned_ns
#[test]
fn create_unfolds_assigned_ns() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    for (level, size) in [(1, GIB), (2, 2 * MIB)] {
        let base = ipa + u64::from(level == 2) * GIB;
        realm.tables(base, level);
        // MemAttr Normal Non-cacheable, S2AP read only.
        let desc = 0x40_0000_0000 | 5 << 2 | 1 << 6;
        let status = host.rtt_map_unprotected(realm.rd, base, level, desc);
        assert_eq!(status, Status::Success);
        assert_eq!(create(&realm, base, level + 1), Status::Success);
        for n in [0, 1, 511] {
            let child = realm.entry(base + n * size / 512, level + 1);
            let expected = EntryReport::assigned(level + 1, desc + n * size / 512, EMPTY);
            assert_eq!(child, expected);
        }
    }
}

// Conformance: RMI_RTT_DESTROY rtt_walk
#[test]
fn destroy_rtt_walk() {
    let host = Host::new();
    let realm = host.realm().create();
    let whole = 512 * 512 * GIB;
    assert_eq!(destroy(&realm, 0, 3), (Status::Rtt(0), 0, whole));
    realm.tables(0, 1);
    assert_eq!(destroy(&realm, 0, 3), (Status::Rtt(1), 0, 512 * GIB));
    assert_eq!(destroy(&realm, GIB, 3), (Status::Rtt(1), 0, 512 * GIB));
    realm.tables(5 * GIB, 2);
    assert_eq!(destroy(&realm, GIB, 3), (Status::Rtt(1), 0, 5 * GIB));
    // In the Unprotected half, and where the walk ends at a block.
    let ipa = realm.unprotected();
    let end = realm.unprotected() + 512 * GIB;
    realm.tables(ipa, 1);
    assert_eq!(destroy(&realm, ipa, 3), (Status::Rtt(1), 0, end));
    let status = host.rtt_map_unprotected(realm.rd, ipa, 1, 0x40_0000_0000 | 3 << 6);
    assert_eq!(status, Status::Success);
    assert_eq!(destroy(&realm, ipa, 3), (Status::Rtt(1), 0, ipa));
    let within = ipa + 2 * MIB;
    assert_eq!(destroy(&realm, within, 3), (Status::Rtt(1), 0, within));
}

// Conformance: RMI_RTT_DESTROY rtte_state, rtte_state_block
#[test]
fn destroy_rtte_state() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 2);
    assert_eq!(destroy(&realm, 0, 3), (Status::Rtt(2), 0, GIB));
    realm.block(4 * MIB);
    assert_eq!(destroy(&realm, 0, 3), (Status::Rtt(2), 0, 4 * MIB));
    let block = (Status::Rtt(2), 0, 4 * MIB);
    assert_eq!(destroy(&realm, 4 * MIB, 3), block, "a block");
    assert_eq!(destroy(&realm, 6 * MIB, 3), (Status::Rtt(2), 0, GIB));
}

// Conformance: RMI_RTT_DESTROY rtt_live, rtt_live_table
#[test]
fn destroy_rtt_live() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.data(GIB + 3 * PAGE, &[]);
    assert_eq!(destroy(&realm, GIB, 3), (Status::Rtt(3), 0, GIB), "DATA");
    assert_eq!(destroy(&realm, GIB, 2), (Status::Rtt(2), 0, GIB), "TABLE");
    assert_eq!(destroy(&realm, 0, 1), (Status::Rtt(1), 0, 0), "TABLE");
    let destroyed = host.data_destroy(realm.rd, GIB + 3 * PAGE);
    assert_eq!(destroyed.0, Status::Success);
    assert_eq!(destroy(&realm, GIB, 3).0, Status::Success);
}

// Conformance: RMI_RTT_DESTROY rtt_live_block
#[test]
fn destroy_rtt_live_by_a_block() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = GIB + 2 * MIB;
    let base = realm.block(ipa);
    let block = EntryReport::assigned(2, base, EMPTY);
    assert_eq!(realm.entry(ipa, 3), block);
    assert_eq!(destroy(&realm, GIB, 2), (Status::Rtt(2), 0, GIB));
    assert_eq!(realm.entry(ipa, 3), block);
}

// Conformance: RMI_RTT_DESTROY unprotected
#[test]
fn destroy_assigned_ns_is_not_live() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.share(ipa, host.page());
    let rtt = realm.entry(ipa, 2).desc;
    let end = ipa + GIB;
    assert_eq!(destroy(&realm, ipa, 3), (Status::Success, rtt, end));
    // UNASSIGNED_NS has no RIPAS.
    let report = EntryReport::unassigned(2, EMPTY);
    assert_eq!(realm.entry(ipa, 3), report);
}

// Conformance: RMI_RTT_DESTROY rd<rtt_walk, rd<rtte_state, rd<rtt_live
#[test]
fn destroy_order() {
    let host = Host::new();
    let realm = host.realm().create();
    // rd_bound, rd_state < rtt_walk, rtte_state, rtt_live.
    for rd in [DEVICE, realm.params.rtt_base] {
        let failed = (Status::Input, 0, 0);
        assert_eq!(host.rtt_destroy(rd, 0, 3), failed);
    }
    // level_bound, ipa_bound < rtt_walk, rtte_state.
    both_input(&realm, 0, 4);
    both_input(&realm, realm.end(), 3);
}

// Conformance: RMI_RTT_DESTROY protected, rtt, state
#[test]
fn destroy_success() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 2);
    realm.ram(0, 2 * MIB);
    for (ipa, level) in [(0, 3), (2 * MIB, 3), (0, 2), (0, 1)] {
        realm.tables(ipa, level);
        if level == 3 {
            realm.ram(ipa + PAGE, ipa + 9 * PAGE);
        }
        let rtt = realm.entry(ipa, level - 1).desc;
        let (status, destroyed, top) = destroy(&realm, ipa, level);
        assert_eq!((status, destroyed), (Status::Success, rtt));
        assert!(top > ipa);
        // Whatever RIPAS the entries of the RTT had.
        let report = EntryReport::unassigned(level - 1, DESTROYED);
        assert_eq!(realm.entry(ipa, level - 1), report);
        host.undelegate(rtt);
        host.delegate(rtt);
    }
}

// Conformance: RMI_RTT_DESTROY top
#[test]
fn destroy_success_top() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(2 * MIB, 3);
    realm.block(6 * MIB);
    let (status, _, top) = destroy(&realm, 2 * MIB, 3);
    assert_eq!((status, top), (Status::Success, 6 * MIB));
    realm.tables(GIB - 2 * MIB, 3);
    let (status, _, top) = destroy(&realm, GIB - 2 * MIB, 3);
    assert_eq!((status, top), (Status::Success, GIB));
}

// Conformance: RMI_RTT_DESTROY top
#[test]
fn destroy_in_concatenated_tables() {
    let host = Host::new();
    let realm = host.realm().ipa(34, 2, 16).create();
    // The scan ends at the end of one granule: each start-level RTT translates 1 GiB here.
    realm.tables(GIB, 3);
    let (status, _, top) = destroy(&realm, GIB, 3);
    assert_eq!((status, top), (Status::Success, 2 * GIB));
    assert_eq!(destroy(&realm, 0, 3), (Status::Rtt(2), 0, GIB));
    let last = 16 * GIB - 2 * MIB;
    realm.tables(last, 3);
    assert_eq!(destroy(&realm, last, 3).2, 16 * GIB);
}

// Conformance: RMI_RTT_DESTROY tlb
#[test]
fn destroy_under_a_running_realm() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let (rd, ipa) = (realm.rd, realm.unprotected());
    for n in 0..3 {
        realm.share(ipa + n * PAGE, host.page());
    }
    realm.script(0, move |cpu| async move {
        for n in 0..3 {
            cpu.write(ipa + n * PAGE, n).await.expect("shared");
        }
        cpu.meanwhile(|host| {
            // ASSIGNED_NS does not make an RTT live.
            let (status, rtt, _) = host.rtt_destroy(rd, ipa, 3);
            assert_eq!(status, Status::Success);
            host.undelegate(rtt);
            host.delegate(rtt);
        });
        let _never = cpu.read(ipa + 2 * PAGE).await;
    });
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!(
        exit.hpfar,
        (ipa + 2 * PAGE) >> 8,
        "through a stale translation"
    );
    realm.allow_unfinished_scripts();
}
