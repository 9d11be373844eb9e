// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REALM_CREATE.

use crate::arch::mrs;
use crate::check::Check;
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm};
use crate::rmi::{self, Answer};
use crate::tests::needs::part_without_memory;
use crate::tests::rtt::check_entry;
use crate::tests::samples::{Kind, Samples};
use crate::tests::{Test, needs};
use alloc::format;
use rmm_abi::rmi::RealmParams;
use zerocopy::IntoBytes;

pub const TESTS: &[Test] = &[
    ("realm.create_shapes", shapes),
    ("realm.create_wrong", create_wrong),
    ("realm.create_alias", create_alias),
    ("realm.create_shape_wrong", create_shape_wrong),
    ("realm.create_feature_wrong", create_feature_wrong),
    ("realm.create_ignores_reserved", create_ignores_reserved),
    ("realm.create_vmid", vmid),
];

/// Granules and a page of parameters, to create a Realm by hand.
pub struct Bench {
    pub rd: u64,
    pub rtt: u64,
    tables: u64,
    pub page: u64,
}

impl Bench {
    pub fn new(tables: u64) -> Check<Self> {
        Ok(Self {
            rd: pool::take_delegated()?,
            rtt: pool::take_delegated_row(tables, tables * GRANULE)?,
            tables,
            page: pool::take_one()?,
        })
    }

    pub fn create(&self, params: &RealmParams) -> Answer {
        pool::write_bytes(self.page, params.as_bytes());
        rmi::realm_create(self.rd, self.page)
    }

    /// The parameters must be refused.
    pub fn refuses(&self, params: &RealmParams, what: &str) -> Check {
        let answer = self.create(params);
        if answer.status == 0 {
            rmi::realm_destroy(self.rd).ok("RMI_REALM_DESTROY")?;
        }
        answer.input(what).map(drop)
    }

    /// The parameters must be accepted; the Realm is destroyed again.
    pub fn accepts(&self, params: &RealmParams, what: &str) -> Check {
        self.create(params).ok(what)?;
        rmi::realm_destroy(self.rd).ok("RMI_REALM_DESTROY")?;
        Ok(())
    }

    pub fn finish(self) -> Check {
        pool::give(self.page, 1);
        pool::give_delegated(self.rd)?;
        pool::give_delegated_row(self.rtt, self.tables)
    }
}

/// IPA widths, start levels and numbers of tables that belong together.
// Conformance: RMI_REALM_CREATE shapes, entries
fn shapes() -> Check {
    let features = needs::features()?;
    let shapes = [
        (32, 2, 4),
        (33, 2, 8),
        (34, 2, 16),
        (32, 1, 1),
        (39, 1, 1),
        (40, 1, 2),
        (42, 1, 8),
        (43, 1, 16),
        (40, 0, 1),
        (44, 0, 1),
        (48, 0, 1),
    ];
    for (s2sz, level, tables) in shapes {
        if u64::from(s2sz) > features.s2sz() {
            needs::leave_out("IPA spaces of more bits than the CPU has");
            continue;
        }
        let config = Config {
            s2sz,
            level,
            tables,
            ..Config::default()
        };
        let what = |why| format!("{s2sz} bits from level {level} with {tables} tables: {why}");
        let realm = Realm::new(&config).map_err(what)?;
        // The first and last page of both halves exist; the page behind does not.
        let half = config.unprotected();
        for ipa in [0, half - GRANULE, half, 2 * half - GRANULE] {
            check_entry(&realm, ipa, 3, [level as u64, 0, 0, 0])?;
        }
        rmi::rtt_read_entry(realm.rd, 2 * half, 3).input("entry behind the IPA space")?;
        realm.finish().map_err(what)?;
    }
    Ok(())
}

// Conformance: RMI_REALM_CREATE rd_align, rd_bound, rd_state, params_align, params_bound
// Conformance: RMI_REALM_CREATE params_pas, rtt_align, rtt_state, vmid_kept
// Conformance: Bugs others fixed vmid_leak
fn create_wrong() -> Check {
    let samples = Samples::new()?;
    let bench = Bench::new(1)?;
    let params = Config::default().params(bench.rtt);
    pool::write_bytes(bench.page, params.as_bytes());
    for (kind, address) in samples.except(&[Kind::Delegated]) {
        let what = format!("rd {kind:?} {address:#x}");
        rmi::realm_create(address, bench.page).input(&what)?;
    }
    for (kind, address) in samples.except(&[Kind::Undelegated]) {
        let what = format!("params {kind:?} {address:#x}");
        rmi::realm_create(bench.rd, address).input(&what)?;
    }
    // In the page of parameters that are accepted in the end.
    for offset in [1, 8, 0x800, 0xFFF] {
        let what = format!("params at {offset:#x}");
        rmi::realm_create(bench.rd, bench.page + offset).input(&what)?;
    }
    if let Some(address) = part_without_memory() {
        rmi::realm_create(bench.rd, address).input("params without memory")?;
        let params = RealmParams {
            rtt_base: address,
            ..params
        };
        bench.refuses(&params, "rtt_base without memory")?;
    }
    for (kind, address) in samples.except(&[Kind::Delegated]) {
        let what = format!("rtt_base {kind:?} {address:#x}");
        let params = RealmParams {
            rtt_base: address,
            ..params
        };
        bench.refuses(&params, &what)?;
    }
    // With the VMID of all the failures.
    bench.accepts(&params, "after all those")?;
    bench.finish()?;
    samples.finish()
}

/// The RD may not be one of the tables.
// Conformance: RMI_REALM_CREATE alias, rtt_state
// Conformance: Bugs others fixed alias
fn create_alias() -> Check {
    let bench = Bench::new(2)?;
    let config = Config {
        level: 1,
        tables: 2,
        ..Config::default()
    };
    pool::write_bytes(bench.page, config.params(bench.rtt).as_bytes());
    for rd in [bench.rtt, bench.rtt + GRANULE] {
        rmi::realm_create(rd, bench.page).input("rd is a table")?;
    }
    let params = config.params(bench.rtt);
    bench.accepts(&params, "rd is no table")?;
    // The second table is one of another Realm, or not delegated.
    rmi::undelegate(bench.rtt + GRANULE).ok("RMI_GRANULE_UNDELEGATE")?;
    bench.refuses(&params, "second table not delegated")?;
    rmi::delegate(bench.rtt + GRANULE).ok("RMI_GRANULE_DELEGATE")?;
    bench.finish()
}

// Conformance: RMI_REALM_CREATE rtt_num_level, rtt_align, params_supp
fn create_shape_wrong() -> Check {
    let features = needs::features()?;
    let bench = Bench::new(16)?;
    let shapes = [
        // Too narrow, too wide.
        (0, 0, 1),
        (12, 3, 1),
        (24, 2, 1),
        (31, 1, 1),
        (49, 0, 2),
        (53, 0, 16),
        (64, 0, 1),
        (255, 0, 1),
        // Too many tables, too few, none.
        (40, 0, 0),
        (40, 0, 2),
        (40, 1, 1),
        (40, 1, 4),
        (32, 2, 1),
        (32, 2, 8),
        (40, 0, u32::MAX),
        // A start level that does not fit.
        (40, 2, 16),
        (44, 1, 16),
        (39, 0, 1),
        (40, 3, 1),
        (40, 4, 1),
        (40, -1, 1),
        (40, i64::MIN, 1),
        (40, i64::MAX, 1),
        (40, 1 << 32, 1),
        (40, 1 << 8, 1),
    ];
    for (s2sz, level, tables) in shapes {
        let config = Config {
            s2sz,
            level,
            tables,
            ..Config::default()
        };
        // No valid shape; `unprotected` is not used.
        let what = format!("{s2sz} bits from level {level} with {tables} tables");
        bench.refuses(&config.params(bench.rtt), &what)?;
    }
    if features.s2sz() < 48 {
        let config = Config {
            s2sz: features.s2sz() as u8 + 1,
            ..Config::default()
        };
        bench.refuses(&config.params(bench.rtt), "wider than supported")?;
    }
    // Concatenated tables are aligned to their size.
    let config = Config {
        level: 1,
        tables: 2,
        ..Config::default()
    };
    bench.refuses(
        &config.params(bench.rtt + GRANULE),
        "tables not aligned to 8 KiB",
    )?;
    bench.accepts(&config.params(bench.rtt), "tables aligned to 8 KiB")?;
    bench.finish()
}

// Conformance: RMI_REALM_CREATE params_valid, params_supp
fn create_feature_wrong() -> Check {
    let features = needs::features()?;
    let bench = Bench::new(1)?;
    let good = Config::default().params(bench.rtt);
    let refuses = |what: &str, change: &dyn Fn(&mut RealmParams)| {
        let mut params = good;
        change(&mut params);
        bench.refuses(&params, what)
    };
    refuses("hash algorithm 2", &|p| p.hash_algo = 2)?;
    refuses("hash algorithm 255", &|p| p.hash_algo = 255)?;
    refuses("no breakpoint", &|p| p.num_bps = 0)?;
    refuses("no watchpoint", &|p| p.num_wps = 0)?;
    refuses("breakpoints", &|p| p.num_bps = features.num_bps() as u8 + 1)?;
    refuses("watchpoints", &|p| p.num_wps = features.num_wps() as u8 + 1)?;
    if !features.lpa2() {
        refuses("LPA2", &|p| p.flags |= 1)?;
    }
    if features.sve_en() {
        refuses("vector length", &|p| {
            p.flags |= 2;
            p.sve_vl = features.sve_vl() as u8 + 1;
        })?;
    } else {
        refuses("SVE", &|p| p.flags |= 2)?;
    }
    if features.pmu_en() {
        refuses("PMU counters", &|p| {
            p.flags |= 4;
            p.pmu_num_ctrs = features.pmu_num_ctrs() as u8 + 1;
        })?;
    } else {
        refuses("PMU", &|p| p.flags |= 4)?;
    }
    for (algorithm, offered) in [(0, features.hash_sha_256()), (1, features.hash_sha_512())] {
        let mut params = good;
        params.hash_algo = algorithm;
        if offered {
            bench.accepts(&params, "offered hash algorithm")?;
        } else {
            bench.refuses(&params, "hash algorithm that is not offered")?;
        }
    }
    bench.accepts(&good, "after all those")?;
    bench.finish()
}

/// Should-be-zero bits and bytes, and numbers that mean nothing without their flag.
// Conformance: RMI_REALM_CREATE reserved
fn create_ignores_reserved() -> Check {
    let bench = Bench::new(1)?;
    let mut params = Config::default().params(bench.rtt);
    params.sve_vl = 255;
    params.pmu_num_ctrs = 255;
    bench.accepts(&params, "numbers without their flags")?;
    // The defined flags are LPA2, SVE and PMU.
    params.flags = !7;
    bench.accepts(&params, "reserved flags")?;
    params._reserved0.fill(0xFF);
    params._reserved1.fill(0xFF);
    params._reserved2.fill(0xFF);
    params._reserved3.fill(0xFF);
    params._reserved4.fill(0xFF);
    params._reserved5.fill(0xFF);
    params._reserved6.fill(0xFF);
    params._reserved7.fill(0xFF);
    params._reserved8.fill(0xFF);
    bench.accepts(&params, "reserved bytes")?;
    bench.finish()
}

// Conformance: RMI_REALM_CREATE vmid_valid
// Conformance: RMI_REALM_DESTROY vmid_free
fn vmid() -> Check {
    let bench = Bench::new(1)?;
    let other = Realm::new(&Config::default())?;
    let mut params = Config::default().params(bench.rtt);
    // The previous VMID belongs to the other Realm.
    let used = (params.vmid + 255) & 0xFF;
    let free = params.vmid;
    params.vmid = used;
    bench.refuses(&params, "VMID in use")?;
    params.vmid = free;
    bench.accepts(&params, "VMID not in use")?;
    bench.accepts(&params, "VMID in use no longer")?;
    // ID_AA64MMFR1_EL1.VMIDBits
    let wide = mrs!("id_aa64mmfr1_el1") >> 4 & 0xF == 2;
    params.vmid = 0x8000 | free;
    if wide {
        bench.accepts(&params, "VMID of 16 bits")?;
    } else {
        bench.refuses(&params, "VMID of 16 bits")?;
    }
    other.finish()?;
    params.vmid = used;
    bench.accepts(&params, "VMID of a destroyed Realm")?;
    bench.finish()
}
