// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_CREATE.

use rmm_abi::rmi::{RealmFlags, RealmParams};
use rmm_core::fake::{
    Config, EMPTY, EntryReport, Host, MIB, PAGE, Samples, Status, features, full_features,
};
use rmm_core::machine::CpuFeatures;
use rmm_granule::fake::Pas;
use rmm_granule::{Bank, GranuleState};
use zerocopy::IntoBytes;

const LPA2: u64 = RealmFlags::LPA2.bits();
const SVE: u64 = RealmFlags::SVE.bits();
const PMU: u64 = RealmFlags::PMU.bits();

fn create(host: &Host, rd: u64, params: &RealmParams) -> Status {
    host.realm_create(rd, host.page_with(params.as_bytes()))
}

/// Asserts that RMI_REALM_CREATE succeeds, and destroys the Realm.
pub fn accepts(host: &Host, rd: u64, params: &RealmParams) {
    assert_eq!(create(host, rd, params), Status::Success);
    assert_eq!(host.realm_destroy(rd), Status::Success);
}

/// RMI_REALM_CREATE; if it succeeds, the Realm is destroyed.
fn create_and_destroy(host: &Host, rd: u64, params: &RealmParams) -> Status {
    let status = create(host, rd, params);
    if status == Status::Success {
        assert_eq!(host.realm_destroy(rd), Status::Success);
    }
    status
}

addresses! {
    // Conformance: RMI_REALM_CREATE rd_align, rd_bound, rd_state
    create_rd_align_bound_state: Delegated => Status::Success, |host, samples, pa| {
        create_and_destroy(host, pa, &host.realm().prepared())
    };
    // Conformance: RMI_REALM_CREATE rtt_state
    create_rtt_state: Delegated => Status::Success, |host, samples, pa| {
        let mut params = host.realm().unprepared();
        params.rtt_base = pa;
        create_and_destroy(host, host.granule(), &params)
    };
}

// Conformance: RMI_REALM_CREATE params_align, params_bound, params_pas
#[test]
fn params_align_bound_pas() {
    let host = Host::new();
    let samples = Samples::new(&host);
    let (rd, params) = (samples.delegated, host.realm().prepared());
    for bad in samples.bad_ns(params.as_bytes()) {
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

/// A change of valid parameters, and its name.
type Row = (&'static str, fn(&mut RealmParams));

/// Asserts that RMI_REALM_CREATE refuses valid parameters with each of these changes.
fn refuses(host: &Host, rows: &[Row]) {
    let rd = host.granule();
    let good = host.realm().prepared();
    for (what, change) in rows {
        let mut params = good;
        change(&mut params);
        assert_eq!(create(host, rd, &params), Status::Input, "{what}");
        accepts(host, rd, &good);
    }
}

// Conformance: RMI_REALM_CREATE params_valid
#[test]
fn params_valid() {
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
fn params_supp() {
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
        &Host::with_features(full_features()),
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
fn pmu_without_event_counters() {
    let mut features = full_features();
    features.id.dfr0 |= 1 << 60;
    let host = Host::with_features(features);
    let realm = host
        .realm()
        .params(|p| (p.flags, p.pmu_num_ctrs) = (PMU, 0));
    let _realm = realm.create();
}

#[test]
fn all_that_is_supported() {
    let host = Host::with_features(full_features());
    let rd = host.granule();
    let good = host.realm().prepared();
    let rows: [Row; 7] = [
        ("num_bps, num_wps", |p| (p.num_bps, p.num_wps) = (5, 3)),
        ("SVE", |p| (p.flags, p.sve_vl) = (SVE, 3)),
        ("less SVE", |p| (p.flags, p.sve_vl) = (SVE, 0)),
        ("PMU", |p| (p.flags, p.pmu_num_ctrs) = (PMU, 6)),
        ("SHA-512", |p| p.hash_algo = 1),
        ("LPA2", |p| p.flags = LPA2),
        ("sve_vl and pmu_num_ctrs without flag", |p| {
            (p.sve_vl, p.pmu_num_ctrs) = (255, 255)
        }),
    ];
    for (what, change) in rows {
        let mut params = good;
        change(&mut params);
        assert_eq!(create(&host, rd, &params), Status::Success, "{what}");
        assert_eq!(host.realm_destroy(rd), Status::Success);
    }
}

// Conformance: RMI_REALM_CREATE reserved
#[test]
fn reserved_fields_are_ignored() {
    let host = Host::new();
    let rd = host.granule();
    let mut params = host.realm().prepared();
    params.flags |= !7;
    params._reserved0 = [0xFF; 7];
    params._reserved5 = [0xFF; 0x3CF];
    params._reserved8 = [0xFF; 0x7E4];
    accepts(&host, rd, &params);
}

/// Number of start-level RTTs for an IPA width and a start level (table in B3.55).
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
fn rtt_num_level() {
    try_all_levels(&Host::new(), false, 48);
}

// Conformance: RMI_REALM_CREATE rtt_num_level, shapes
#[test]
fn rtt_num_level_with_lpa2() {
    try_all_levels(&Host::with_features(full_features()), true, 52);
}

// Conformance: RMI_REALM_CREATE rtt_num_level
#[test]
fn rtt_num_level_out_of_range() {
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
fn start_level_0_needs_44_bits() {
    let host = Host::with_features(CpuFeatures {
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
fn rtt_align() {
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
fn rtt_state_of_each_table() {
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
fn rtt_base_at_the_end_of_memory() {
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
fn alias() {
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
fn vmid_valid() {
    let host = Host::new();
    let first = host.realm().create();
    let (rd, mut params) = (host.granule(), host.realm().prepared());
    params.vmid = first.params.vmid;
    assert_eq!(create(&host, rd, &params), Status::Input, "in use");
    first.destroy();
    accepts(&host, rd, &params);
    params.vmid = 0xFFFF;
    accepts(&host, rd, &params);

    let host = Host::with_features(CpuFeatures {
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
fn failure_keeps_the_vmid_free() {
    let host = Host::new();
    let params = host.realm().prepared();
    assert_eq!(create(&host, host.page(), &params), Status::Input);
    accepts(&host, host.granule(), &params);
}

// Conformance: RMI_REALM_CREATE granules, realm_state, entries
#[test]
fn success() {
    let host = Host::new();
    let realm = host.realm().ipa(41, 1, 4).create();
    assert_eq!(host.state(realm.rd), GranuleState::Rd);
    for n in 0..4 {
        let rtt = realm.params.rtt_base + n * PAGE;
        assert_eq!(host.state(rtt), GranuleState::Rtt);
    }
    for ipa in (0..realm.end()).step_by(1 << 30) {
        assert_eq!(realm.entry(ipa, 1), EntryReport::unassigned(1, EMPTY));
    }
    // NEW, rec_index 0.
    let _rec = realm.rec(true);
    realm.activate();
}

#[test]
fn rtt_base_beyond_48_bits_needs_lpa2() {
    let far = 1 << 48;
    let mut config = Config {
        features: full_features(),
        ..Config::default()
    };
    config.dram.push(Bank {
        base: far,
        size: MIB,
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
