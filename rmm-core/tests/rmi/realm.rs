// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_CREATE, RMI_REALM_ACTIVATE, RMI_REALM_DESTROY and RMI_REC_AUX_COUNT.

use super::{EMPTY, GIB, MIB};
use rmm_abi::rmi::{RealmFlags, RealmParams};
use rmm_core::fake::{Config, EntryReport, Host, PAGE, Status, Zoo, features};
use rmm_core::machine::CpuFeatures;
use rmm_granule::fake::Pas;
use rmm_granule::{Bank, GranuleState};
use zerocopy::IntoBytes;

const LPA2: u64 = RealmFlags::LPA2.bits();
const SVE: u64 = RealmFlags::SVE.bits();
const PMU: u64 = RealmFlags::PMU.bits();

/// A CPU that has everything.
fn rich() -> CpuFeatures {
    let mut features = CpuFeatures {
        pa_bits: 52,
        lpa2: true,
        sve_vl: Some(3),
        pmu_counters: Some(6),
        ..features()
    };
    features.id.pfr0 |= 1 << 32;
    features
}

fn machine(features: CpuFeatures) -> Host {
    Host::with(Config {
        features,
        ..Config::default()
    })
}

fn create(host: &Host, rd: u64, params: &RealmParams) -> Status {
    host.realm_create(rd, host.page_with(params.as_bytes()))
}

/// Asserts that REALM_CREATE takes the parameters, and undoes it.
fn accepts(host: &Host, rd: u64, params: &RealmParams) {
    assert_eq!(create(host, rd, params), Status::Success);
    assert_eq!(host.realm_destroy(rd), Status::Success);
}

/// REALM_CREATE; if it succeeds, the Realm is destroyed.
fn create_and_destroy(host: &Host, rd: u64, params: &RealmParams) -> Status {
    let status = create(host, rd, params);
    if status == Status::Success {
        assert_eq!(host.realm_destroy(rd), Status::Success);
    }
    status
}

addresses! {
    // Conformance: RMI_REALM_CREATE rd_align, rd_bound, rd_state
    create_rd_align_bound_state: Delegated => Status::Success, |host, zoo, pa| {
        let _ = zoo;
        create_and_destroy(host, pa, &host.realm().prepared())
    };
    // Conformance: RMI_REALM_CREATE rtt_state
    create_rtt_state: Delegated => Status::Success, |host, zoo, pa| {
        let _ = zoo;
        let mut params = host.realm().given();
        params.rtt_base = pa;
        create_and_destroy(host, host.granule(), &params)
    };
    // Conformance: RMI_REALM_ACTIVATE rd_align, rd_bound, rd_state, rd<realm_state
    activate_rd_align_bound_state: Rd => Status::Success, |host, zoo, pa| {
        let _ = zoo;
        host.realm_activate(pa)
    };
    // Conformance: RMI_REALM_DESTROY rd_align, rd_bound, rd_state, rd<realm_live
    destroy_rd_align_bound_state: Rd => Status::Realm(0), |host, zoo, pa| {
        let _ = zoo;
        host.realm_destroy(pa)
    };
    // Conformance: RMI_REC_AUX_COUNT rd_align, rd_bound, rd_state, outputs
    aux_count_rd_align_bound_state: Rd => Status::Success, |host, zoo, pa| {
        let _ = zoo;
        let (status, count) = host.rec_aux_count(pa);
        assert_eq!(count == 0, status == Status::Input);
        status
    };
}

// Conformance: RMI_REALM_CREATE params_align, params_bound, params_pas
#[test]
fn create_params_align_bound_pas() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    let (rd, params) = (zoo.delegated, host.realm().prepared());
    for bad in zoo.bad_ns(params.as_bytes()) {
        assert_eq!(host.realm_create(rd, bad.pa), Status::Input, "{bad:x?}");
    }
    let page = host.page_with(params.as_bytes());
    for pas in [Pas::Secure, Pas::Root, Pas::Realm] {
        host.move_to(page, pas);
        assert_eq!(host.realm_create(rd, page), Status::Input, "{pas:?}");
    }
    host.move_to(page, Pas::NonSecure);
    assert_eq!(host.realm_create(rd, page), Status::Success);
    assert_eq!(host.realm_destroy(rd), Status::Success);
}

/// A change to parameters that are right, and its name.
type Row = (&'static str, fn(&mut RealmParams));

/// Each row breaks one condition of parameters that are right without it.
fn refuses(host: &Host, rows: &[Row]) {
    let rd = host.granule();
    let good = host.realm().prepared();
    for (what, break_it) in rows {
        let mut params = good;
        break_it(&mut params);
        assert_eq!(create(host, rd, &params), Status::Input, "{what}");
        accepts(host, rd, &good);
    }
}

// Conformance: RMI_REALM_CREATE params_valid
#[test]
fn create_params_valid() {
    refuses(
        &Host::new(),
        &[
            ("hash_algo 2", |p| p.hash_algo = 2),
            ("hash_algo 255", |p| p.hash_algo = 255),
            ("num_bps 0", |p| p.num_bps = 0),
            ("num_wps 0", |p| p.num_wps = 0),
        ],
    );
}

// Conformance: RMI_REALM_CREATE params_supp
#[test]
fn create_params_supp() {
    refuses(
        &Host::new(),
        &[
            ("LPA2", |p| p.flags = LPA2),
            ("SVE", |p| p.flags = SVE),
            ("PMU", |p| (p.flags, p.pmu_num_ctrs) = (PMU, 1)),
            ("s2sz 0", |p| p.s2sz = 0),
            ("s2sz 31", |p| (p.s2sz, p.rtt_level_start) = (31, 1)),
            ("s2sz 49", |p| p.s2sz = 49),
            ("s2sz 255", |p| p.s2sz = 255),
            ("num_bps 6", |p| p.num_bps = 6),
            ("num_bps 255", |p| p.num_bps = 255),
            ("num_wps 4", |p| p.num_wps = 4),
        ],
    );
    refuses(
        &machine(rich()),
        &[
            ("s2sz 49 without LPA2", |p| p.s2sz = 49),
            ("s2sz 53", |p| (p.flags, p.s2sz) = (LPA2, 53)),
            ("sve_vl 4", |p| (p.flags, p.sve_vl) = (SVE, 4)),
            ("pmu_num_ctrs 7", |p| (p.flags, p.pmu_num_ctrs) = (PMU, 7)),
            ("pmu_num_ctrs 0", |p| (p.flags, p.pmu_num_ctrs) = (PMU, 0)),
        ],
    );
}

#[test]
fn create_with_a_pmu_without_event_counters() {
    let mut features = rich();
    features.id.dfr0 |= 1 << 60;
    let host = machine(features);
    let realm = host
        .realm()
        .params(|p| (p.flags, p.pmu_num_ctrs) = (PMU, 0));
    let _realm = realm.create();
}

#[test]
fn create_with_all_there_is() {
    let host = machine(rich());
    let rd = host.granule();
    let good = host.realm().prepared();
    let rows: [Row; 7] = [
        ("num_bps, num_wps", |p| (p.num_bps, p.num_wps) = (5, 3)),
        ("SVE", |p| (p.flags, p.sve_vl) = (SVE, 3)),
        ("less SVE", |p| (p.flags, p.sve_vl) = (SVE, 0)),
        ("PMU", |p| (p.flags, p.pmu_num_ctrs) = (PMU, 6)),
        ("SHA-512", |p| p.hash_algo = 1),
        ("LPA2", |p| p.flags = LPA2),
        ("ignored: sve_vl, pmu_num_ctrs without flag", |p| {
            (p.sve_vl, p.pmu_num_ctrs) = (255, 255)
        }),
    ];
    for (what, choose) in rows {
        let mut params = good;
        choose(&mut params);
        assert_eq!(create(&host, rd, &params), Status::Success, "{what}");
        assert_eq!(host.realm_destroy(rd), Status::Success);
    }
}

// Conformance: RMI_REALM_CREATE reserved
#[test]
fn create_reserved_fields_are_ignored() {
    let host = Host::new();
    let rd = host.granule();
    let mut params = host.realm().prepared();
    params.flags |= !7;
    params._reserved0 = [0xFF; 7];
    params._reserved5 = [0xFF; 0x3CF];
    params._reserved8 = [0xFF; 0x7E4];
    accepts(&host, rd, &params);
}

/// Number of start-level RTTs for a width and a start level, as the table of B3.55 has it.
fn start_rtts(s2sz: u8, start: i64, lpa2: bool) -> Option<u32> {
    match (start, s2sz) {
        (-1, 49..=52) if lpa2 => Some(1),
        (0, 40..=48) => Some(1),
        (0, 49..=52) if lpa2 => Some(1 << (s2sz - 48)),
        (1, 32..=39) => Some(1),
        (1, 40..=43) => Some(1 << (s2sz - 39)),
        (2, 32..=34) => Some(1 << (s2sz - 30)),
        _ => None,
    }
}

fn try_all_levels(host: &Host, lpa2: bool, widest: u8) {
    let rd = host.granule();
    let mut params = host.realm().ipa(43, 1, 16).prepared();
    params.flags = if lpa2 { LPA2 } else { 0 };
    let page = host.page();
    for s2sz in 32..=widest {
        for start in -2..=4 {
            for num in [0, 1, 2, 3, 4, 8, 15, 16] {
                params.s2sz = s2sz;
                params.rtt_level_start = start;
                params.rtt_num_start = num;
                host.put(page, &params);
                let expected = if start_rtts(s2sz, start, lpa2) == Some(num) {
                    Status::Success
                } else {
                    Status::Input
                };
                let status = host.realm_create(rd, page);
                assert_eq!(status, expected, "s2sz {s2sz} level {start} x {num}");
                if status == Status::Success {
                    assert_eq!(host.realm_destroy(rd), Status::Success);
                }
            }
        }
    }
}

// Conformance: RMI_REALM_CREATE rtt_num_level, shapes
#[test]
fn create_rtt_num_level() {
    try_all_levels(&Host::new(), false, 48);
}

// Conformance: RMI_REALM_CREATE rtt_num_level, shapes
#[test]
fn create_rtt_num_level_with_lpa2() {
    try_all_levels(&machine(rich()), true, 52);
}

// Conformance: RMI_REALM_CREATE rtt_num_level
#[test]
fn create_rtt_num_level_out_of_range() {
    refuses(
        &Host::new(),
        &[
            ("level 256", |p| p.rtt_level_start = 256),
            ("level i64::MIN", |p| p.rtt_level_start = i64::MIN),
            ("17 RTTs", |p| p.rtt_num_start = 17),
            ("257 RTTs", |p| p.rtt_num_start = 257),
            ("2^32 - 1 RTTs", |p| p.rtt_num_start = u32::MAX),
        ],
    );
}

// Conformance: RMI_REALM_CREATE rtt_num_level, params_supp
#[test]
fn create_start_level_0_needs_44_bits() {
    let host = machine(CpuFeatures {
        pa_bits: 42,
        ..features()
    });
    let rd = host.granule();
    let level_0 = host.realm().ipa(40, 0, 1).prepared();
    assert_eq!(create(&host, rd, &level_0), Status::Input);
    accepts(&host, rd, &host.realm().ipa(40, 1, 2).prepared());
    let mut too_wide = host.realm().ipa(43, 1, 16).prepared();
    assert_eq!(create(&host, rd, &too_wide), Status::Input, "s2sz 43");
    (too_wide.s2sz, too_wide.rtt_num_start) = (42, 8);
    accepts(&host, rd, &too_wide);
}

// Conformance: RMI_REALM_CREATE rtt_align
#[test]
fn create_rtt_align() {
    let host = Host::new();
    let rd = host.granule();
    let base = host.pages(8, 8 * PAGE);
    let good = host.realm().ipa(41, 1, 4).params(|p| p.rtt_base = base);
    let good = good.prepared();
    for n in 4..8 {
        host.delegate(base + n * PAGE);
    }
    for offset in [1, 2, 3] {
        let mut params = good;
        params.rtt_base += offset * PAGE;
        assert_eq!(create(&host, rd, &params), Status::Input);
    }
    let mut params = good;
    params.rtt_base += 4 * PAGE;
    accepts(&host, rd, &params);
}

// Conformance: RMI_REALM_CREATE rtt_state
#[test]
fn create_rtt_state_of_each_table() {
    let host = Host::new();
    let rd = host.granule();
    let params = host.realm().ipa(41, 1, 4).prepared();
    for n in 0..4 {
        let table = params.rtt_base + n * PAGE;
        host.undelegate(table);
        assert_eq!(create(&host, rd, &params), Status::Input, "table {n}");
        host.delegate(table);
    }
    accepts(&host, rd, &params);
}

// Conformance: RMI_REALM_CREATE rtt_state
#[test]
fn create_rtt_base_at_the_end_of_memory() {
    let host = Host::new();
    let rd = host.granule();
    let mut params = host.realm().ipa(32, 2, 4).prepared();
    for base in [0x8200_0000 - 2 * PAGE, u64::MAX - (4 * PAGE - 1)] {
        params.rtt_base = base;
        assert_eq!(create(&host, rd, &params), Status::Input);
    }
}

// Conformance: RMI_REALM_CREATE alias
// Conformance: Bugs others fixed alias
#[test]
fn create_alias() {
    let host = Host::new();
    let params = host.realm().ipa(41, 1, 4).prepared();
    for n in 0..4 {
        let rd = params.rtt_base + n * PAGE;
        assert_eq!(create(&host, rd, &params), Status::Input, "table {n}");
    }
    accepts(&host, host.granule(), &params);
}

// Conformance: RMI_REALM_CREATE vmid_valid
// Conformance: RMI_REALM_DESTROY vmid_free
#[test]
fn create_vmid_valid() {
    let host = Host::new();
    let first = host.realm().create();
    let (rd, mut params) = (host.granule(), host.realm().prepared());
    params.vmid = first.params.vmid;
    assert_eq!(create(&host, rd, &params), Status::Input, "in use");
    first.destroy();
    accepts(&host, rd, &params);
    params.vmid = 0xFFFF;
    accepts(&host, rd, &params);

    let host = machine(CpuFeatures {
        vmid16: false,
        ..features()
    });
    let (rd, mut params) = (host.granule(), host.realm().prepared());
    for vmid in [0x100, 0xFF00, 0xFFFF] {
        params.vmid = vmid;
        assert_eq!(create(&host, rd, &params), Status::Input, "{vmid:#x}");
    }
    for vmid in [0, 0xFF] {
        params.vmid = vmid;
        accepts(&host, rd, &params);
    }
}

// Conformance: RMI_REALM_CREATE vmid_kept
// Conformance: Bugs others fixed vmid_leak
#[test]
fn create_failure_gives_the_vmid_back() {
    let host = Host::new();
    let params = host.realm().prepared();
    assert_eq!(create(&host, host.page(), &params), Status::Input);
    accepts(&host, host.granule(), &params);
}

// Conformance: RMI_REALM_CREATE granules, realm_state, entries
#[test]
fn create_success() {
    let host = Host::new();
    let realm = host.realm().ipa(41, 1, 4).create();
    let state = |pa| host.board().monitor.granules.state(pa).expect("DRAM");
    assert_eq!(state(realm.rd), GranuleState::Rd);
    for n in 0..4 {
        assert_eq!(state(realm.params.rtt_base + n * PAGE), GranuleState::Rtt);
    }
    for ipa in (0..realm.end()).step_by(1 << 30) {
        assert_eq!(realm.entry(ipa, 1), EntryReport::unassigned(1, EMPTY));
    }
    // NEW, rec_index 0.
    let _rec = realm.rec(true);
    realm.activate();
}

#[test]
fn create_rtt_base_beyond_48_bits_needs_lpa2() {
    let far = 1 << 48;
    let mut config = Config {
        features: rich(),
        ..Config::default()
    };
    config.dram.push(Bank {
        base: far,
        size: 1 << 20,
    });
    let host = Host::with(config);
    host.delegate(far);
    let (rd, mut params) = (host.granule(), host.realm().prepared());
    params.rtt_base = far;
    assert_eq!(create(&host, rd, &params), Status::Input);
    params.flags = LPA2;
    accepts(&host, rd, &params);
    host.undelegate(far);
}

// Conformance: RMI_REALM_ACTIVATE active
#[test]
fn activate_success() {
    let host = Host::new();
    let realm = host.realm().create();
    assert_eq!(host.realm_activate(realm.rd), Status::Success, "no REC");
    let (rec, params) = (realm.granule(), realm.rec_params(0, true));
    let params_ptr = host.page_with(params.as_bytes());
    let status = host.rec_create(realm.rd, rec, params_ptr);
    assert_eq!(status, Status::Realm(0), "ACTIVE");
}

// Conformance: RMI_REALM_ACTIVATE realm_state
#[test]
fn activate_realm_state() {
    let host = Host::new();
    let realm = host.realm().active(1);
    assert_eq!(host.realm_activate(realm.rd), Status::Realm(0), "ACTIVE");
    realm.turn_off();
    assert_eq!(
        host.realm_activate(realm.rd),
        Status::Realm(0),
        "SYSTEM_OFF"
    );
}

// Conformance: RMI_REALM_DESTROY any_state
#[test]
fn destroy_in_each_state() {
    let host = Host::new();
    host.realm().create().destroy();
    host.realm().active(0).destroy();
    let realm = host.realm().active(1);
    realm.turn_off();
    assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "a REC");
    realm.destroy();
}

// Conformance: RMI_REALM_DESTROY realm_live
#[test]
fn destroy_realm_live() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(false);
    assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "a REC");
    assert_eq!(host.rec_destroy(realm.rec_pa(0)), Status::Success);
    assert_eq!(host.realm_destroy(realm.rd), Status::Success);
    realm.is_gone();
}

// Conformance: RMI_REALM_DESTROY realm_live_table
#[test]
fn destroy_realm_live_by_a_table() {
    let host = Host::new();
    let realm = host.realm().create();
    for ipa in [0, realm.unprotected()] {
        realm.tables(ipa, 1);
        assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "{ipa:#x}");
        assert_eq!(host.rtt_destroy(realm.rd, ipa, 1).0, Status::Success);
    }
    assert_eq!(host.realm_destroy(realm.rd), Status::Success);
    realm.is_gone();
}

// Conformance: RMI_REALM_DESTROY realm_live_assigned
#[test]
fn destroy_realm_live_by_a_block() {
    let host = Host::new();
    let realm = host.realm().ipa(34, 2, 16).create();
    let ipa = GIB + 2 * MIB;
    let base = realm.block(ipa);
    // An entry of the second of the start-level RTTs.
    let block = EntryReport::assigned(2, base, EMPTY);
    assert_eq!(realm.entry(ipa, 2), block);
    assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0));
    assert_eq!(realm.entry(ipa, 2), block);
}

// Conformance: RMI_REALM_DESTROY realm_live_table
#[test]
fn destroy_realm_live_by_any_start_level_rtt() {
    let host = Host::new();
    for ipa in [0, 512 * GIB, 1024 * GIB, 1536 * GIB] {
        let realm = host.realm().ipa(41, 1, 4).create();
        realm.tables(ipa, 2);
        assert_eq!(host.realm_destroy(realm.rd), Status::Realm(0), "{ipa:#x}");
    }
}

// Conformance: RMI_REALM_DESTROY assigned_ns
#[test]
fn destroy_with_assigned_ns_at_the_start_level() {
    let host = Host::new();
    let realm = host.realm().ipa(34, 1, 1).create();
    let block = realm.unprotected();
    let status = host.rtt_map_unprotected(realm.rd, block, 1, 0x8000_0000 | 6 << 2 | 3 << 6);
    assert_eq!(status, Status::Success);
    assert_eq!(host.realm_destroy(realm.rd), Status::Success, "not live");
    host.undelegate(realm.params.rtt_base);
    host.undelegate(realm.rd);
    realm.is_gone();
}

// Conformance: RMI_REALM_DESTROY granules, vmid_free
#[test]
fn destroy_frees_everything() {
    let host = Host::new();
    let (rd, params) = (host.granule(), host.realm().prepared());
    for _ in 0..3 {
        accepts(&host, rd, &params);
        assert_eq!(host.realm_activate(rd), Status::Input, "no RD any more");
        assert_eq!(host.realm_destroy(rd), Status::Input, "no RD any more");
    }
    host.undelegate(rd);
    host.undelegate(params.rtt_base);
}

// Conformance: RMI_REC_AUX_COUNT aux_count
#[test]
fn aux_count_success() {
    let host = machine(rich());
    let realm = host.realm().create();
    let (status, count) = host.rec_aux_count(realm.rd);
    assert_eq!(status, Status::Success);
    assert!((1..=16).contains(&count));
    let sve = host.realm().params(|p| (p.flags, p.sve_vl) = (SVE, 3));
    let sve = sve.create();
    let (status, with_sve) = host.rec_aux_count(sve.rd);
    assert_eq!(status, Status::Success);
    assert!(
        (count..=7).contains(&with_sve),
        "a REC of 8 Granules at most"
    );
}
