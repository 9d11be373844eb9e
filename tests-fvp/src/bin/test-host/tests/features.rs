// SPDX-License-Identifier: BSD-3-Clause
//! RMI_FEATURES, and what it may offer: LPA2, SVE, a PMU.

use super::instruct::{Register, UNDEFINED, run};
use super::rtt::check_entry;
use super::{Test, needs};
use crate::arch::{isb, mrs, msr};
use crate::check::{Check, ensure, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{command, enter_with};
use crate::rmi;
use alloc::format;
use rmm_abi::rmi::{FeatureRegister0, RealmFlags, RecEnterFlags};
use tests_fvp::protocol::{Access, MODE_COMMANDS, Op, SysReg};
use tests_fvp::registers;

pub const TESTS: &[Test] = &[
    ("features.register_0", register_0),
    ("features.other_registers", other_registers),
    ("features.lpa2_shapes", lpa2_shapes),
    ("features.lpa2_runs", lpa2_runs),
    ("features.sve", sve),
    ("features.pmu", pmu),
    ("features.pmu_overflow", pmu_overflow),
    ("features.pmu_of_host", pmu_of_host),
];

// Conformance: RMI_FEATURES register_0
fn register_0() -> Check {
    let value = rmi::features(0).ok("RMI_FEATURES")?[0];
    ensure_eq!(value >> 42, 0, "reserved bits");
    let features = FeatureRegister0::from_bits(value);
    ensure!(
        (32..=52).contains(&features.s2sz()),
        "S2SZ {}",
        features.s2sz()
    );
    ensure!(
        features.lpa2() || features.s2sz() <= 48,
        "S2SZ without LPA2"
    );
    ensure!(
        features.hash_sha_256() || features.hash_sha_512(),
        "no hash algorithm"
    );
    ensure!(
        features.num_bps() != 0 && features.num_wps() != 0,
        "no break- or watchpoints"
    );
    ensure!(features.max_recs_order() > 0, "no RECs");
    ensure!(
        features.sve_en() || features.sve_vl() == 0,
        "SVE_VL without SVE"
    );
    Ok(())
}

// Conformance: RMI_FEATURES other_registers
fn other_registers() -> Check {
    for index in [1, 2, 63, 1 << 32, u64::MAX] {
        let value = rmi::features(index).ok("RMI_FEATURES")?[0];
        ensure_eq!(value, 0, "register {index:#x}");
    }
    Ok(())
}

/// A Realm with LPA2 of some shape.
fn lpa2(s2sz: u8, level: i64, tables: u32) -> Config {
    Config {
        s2sz,
        level,
        tables,
        flags: RealmFlags::LPA2.bits(),
        ..Config::default()
    }
}

/// What is left out on a CPU without 52-bit physical addresses.
const WIDE: &str = "IPA spaces of more bits than the CPU has";

// Conformance: RMI_REALM_CREATE shapes
fn lpa2_shapes() -> Check {
    let features = needs::lpa2()?;
    for (s2sz, level, tables) in [
        (40, 0, 1),
        (48, 0, 1),
        (49, 0, 2),
        (50, 0, 4),
        (52, 0, 16),
        (49, -1, 1),
        (52, -1, 1),
        (32, 2, 4),
    ] {
        if u64::from(s2sz) > features.s2sz() {
            needs::leave_out(WIDE);
            continue;
        }
        let what = |why| format!("{s2sz} bits from level {level} with {tables} tables: {why}");
        let config = lpa2(s2sz, level, tables);
        let realm = Realm::new(&config).map_err(what)?;
        let half = config.unprotected();
        for ipa in [0, half - GRANULE, half, 2 * half - GRANULE] {
            let start = level.cast_unsigned();
            check_entry(&realm, ipa, 3, [start, 0, 0, 0]).map_err(what)?;
        }
        rmi::rtt_read_entry(realm.rd, 2 * half, 3).input("entry behind the IPA space")?;
        realm.finish().map_err(what)?;
    }
    // Without the flag: no more than 48 bits, no level -1.
    for (s2sz, level, tables) in [(49, 0, 2), (52, 0, 16), (49, -1, 1), (48, -1, 1)] {
        let mut config = lpa2(s2sz, level, tables);
        config.flags = 0;
        ensure!(
            Realm::new(&config).is_err(),
            "{s2sz} bits from level {level} without LPA2"
        );
    }
    Ok(())
}

/// Realms with LPA2 run, with start levels 0 and -1, and take aborts.
fn lpa2_runs() -> Check {
    let features = needs::lpa2()?;
    for (s2sz, level) in [(40, 0), (48, 0), (52, -1)] {
        if u64::from(s2sz) > features.s2sz() {
            needs::leave_out(WIDE);
            continue;
        }
        let config = lpa2(s2sz, level, 1);
        let what = |why| format!("{s2sz} bits from level {level}: {why}");
        let realm = Realm::running(&config, 1, MODE_COMMANDS).map_err(what)?;
        let rec = realm.boot()?;
        // No RAM: the Realm takes an external abort.
        let reply = rec.reply_of(Op::Read, &[0, Access::Double as u64])?;
        ensure_eq!(reply.esr & 0x3F, 0x10, "fault status, esr {:#x}", reply.esr);
        if s2sz <= 48 {
            let half = config.unprotected();
            let exit = rec.exit_of(Op::Read, &[half + 0x1008, Access::Double as u64])?;
            ensure_eq!(exit.hpfar, (half + 0x1000) >> 8, "hpfar");
            rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
        }
        realm.finish().map_err(what)?;
    }
    Ok(())
}

/// The Realm's vectors have the length that the Host chose; the longer ones of the Host are kept.
// Conformance: Exceptions and accesses that do not exit sve
// Conformance: Bugs others fixed sve_pffr
fn sve() -> Check {
    let features = needs::sve()?;
    needs::host_sve()?;
    // ZCR_EL2: the Host's own vectors, the longest.
    msr!("s3_4_c1_c2_0", 0xF);
    isb();
    let longest = features.sve_vl() as u8;
    for length in [0, 1.min(longest), longest] {
        let config = Config {
            flags: RealmFlags::SVE.bits(),
            sve_vl: length,
            ..Config::default()
        };
        let realm = Realm::running(&config, 1, MODE_COMMANDS)?;
        let rec = realm.boot()?;
        let id = rec.value_of(Op::Mrs, &[SysReg::IdPfr0 as u64])?;
        ensure_eq!(id >> 32 & 0xF, 1, "ID_AA64PFR0_EL1.SVE");
        // As long as may be; the Realm's length is what it was created with.
        rec.value_of(Op::Msr, &[SysReg::Zcr as u64, 0xF])?;
        // SAFETY: the Host is built without vectors, which CPTR_EL2 does not trap.
        unsafe { registers::sve_set(100) };
        ensure_eq!(
            rec.values_of(Op::SveCheck, &[100])?[1],
            0,
            "SVE registers at the first use that are not zero"
        );
        for seed in 1..3 {
            // SAFETY: as above.
            unsafe { registers::sve_set(100 + seed) };
            rec.value_of(Op::SveSet, &[seed])?;
            rec.enter(&command(Op::Nop, &[]))?;
            ensure_eq!(
                rec.value_of(Op::SveCheck, &[seed])?,
                0,
                "the Realm's SVE registers"
            );
            // SAFETY: as above.
            let different = unsafe { registers::sve_check(100 + seed) };
            ensure_eq!(different, 0, "the Host's SVE registers");
            ensure_eq!(mrs!("s3_4_c1_c2_0") & 0xF, 0xF, "ZCR_EL2.LEN");
        }
        realm.finish()?;
    }
    Ok(())
}

/// A Realm with a PMU of `counters` counters.
fn with_pmu(counters: u64) -> Check<Realm> {
    let config = Config {
        flags: RealmFlags::PMU.bits(),
        pmu_num_ctrs: counters as u8,
        ..Config::default()
    };
    let realm = Realm::running(&config, 1, MODE_COMMANDS)?;
    realm.boot()?;
    Ok(realm)
}

// Conformance: Exceptions and accesses that do not exit pmu
fn pmu() -> Check {
    let features = needs::pmu()?;
    for counters in [1, features.pmu_num_ctrs()] {
        let realm = with_pmu(counters)?;
        let rec = &realm.recs[0];
        let id = rec.value_of(Op::Mrs, &[SysReg::IdDfr0 as u64])?;
        ensure!(id >> 8 & 0xF != 0, "ID_AA64DFR0_EL1.PMUVer");
        let control = rec.value_of(Op::Mrs, &[SysReg::Pmcr as u64])?;
        ensure_eq!(control >> 11 & 0x1F, counters, "PMCR_EL0.N");
        rec.value_of(Op::Msr, &[SysReg::PmCcntr as u64, 0x1234_5678])?;
        rec.enter(&command(Op::Nop, &[]))?;
        let count = rec.value_of(Op::Mrs, &[SysReg::PmCcntr as u64])?;
        ensure_eq!(count, 0x1234_5678, "PMCCNTR_EL0, which is not enabled");
        realm.finish()?;
    }
    Ok(())
}

/// The overflow's state is in every exit record.
// Conformance: REC exits always
fn pmu_overflow() -> Check {
    needs::pmu()?;
    let realm = with_pmu(1)?;
    let rec = &realm.recs[0];
    let cycle_counter = 1 << 31;
    for (register, value, status) in [
        (SysReg::PmOvsSet, cycle_counter, 0),
        (SysReg::PmIntenSet, cycle_counter, 0),
        (SysReg::PmCntenSet, cycle_counter, 0),
        (SysReg::Pmcr, 1, 1),
        (SysReg::Pmcr, 0, 0),
    ] {
        let exit = rec.enter(&command(Op::Msr, &[register as u64, value]))?;
        ensure_eq!(
            exit.pmu_ovf_status,
            status,
            "pmu_ovf_status after {register:?}"
        );
    }
    realm.finish()
}

/// Registers in which the Host leaves a value, and a Realm finds zero.
const SEEN: [(&str, Register); 6] = [
    ("PMCNTENSET_EL0", Register(3, 3, 9, 12, 1)),
    ("PMCCNTR_EL0", Register(3, 3, 9, 13, 0)),
    ("PMEVCNTR0_EL0", Register(3, 3, 14, 8, 0)),
    ("PMOVSSET_EL0", Register(3, 3, 9, 14, 3)),
    ("PMSELR_EL0", Register(3, 3, 9, 12, 5)),
    ("PMUSERENR_EL0", Register(3, 3, 9, 14, 0)),
];
const PMEVCNTR1: Register = Register(3, 3, 14, 8, 1);

/// A Realm's counters are its own.
// Conformance: Bugs others fixed pmu_host
fn pmu_of_host() -> Check {
    needs::pmu()?;
    let realm = with_pmu(1)?;
    let rec = &realm.recs[0];
    msr!("pmccntr_el0", 0xABCD_0000);
    msr!("pmevcntr0_el0", 0x1234);
    msr!("pmevcntr1_el0", 0x5678);
    msr!("pmcntenset_el0", 2);
    msr!("pmovsset_el0", 2);
    msr!("pmselr_el0", 3);
    msr!("pmuserenr_el0", 5);
    let seen = SEEN.map(|(name, register)| (name, run(rec, register.mrs(), 0x77, 0)));
    // A counter that the Realm does not have.
    let beyond = run(rec, PMEVCNTR1.mrs(), 0x77, 0);
    let written = rec.value_of(Op::Msr, &[SysReg::PmCcntr as u64, 0x1111]);
    let values = [
        ("PMCCNTR_EL0", mrs!("pmccntr_el0"), 0xABCD_0000),
        ("PMEVCNTR0_EL0", mrs!("pmevcntr0_el0"), 0x1234),
        ("PMEVCNTR1_EL0", mrs!("pmevcntr1_el0"), 0x5678),
        ("PMCNTENSET_EL0", mrs!("pmcntenset_el0"), 2),
        ("PMOVSSET_EL0", mrs!("pmovsset_el0"), 2),
        ("PMSELR_EL0", mrs!("pmselr_el0"), 3),
        ("PMUSERENR_EL0", mrs!("pmuserenr_el0"), 5),
    ];
    msr!("pmuserenr_el0", 0);
    msr!("pmcntenclr_el0", 2);
    msr!("pmovsclr_el0", 2);
    written?;
    for (name, reply) in seen {
        let reply = reply?;
        ensure_eq!(reply.esr, 0, "the Realm's {name}: exception");
        ensure_eq!(reply.values[0], 0, "the Realm's {name}");
    }
    let beyond = beyond?;
    ensure!(
        beyond.esr == UNDEFINED || beyond.esr == 0 && beyond.values[0] == 0,
        "a counter beyond the Realm's: esr {:#x}, {:#x}",
        beyond.esr,
        beyond.values[0]
    );
    for (name, found, wanted) in values {
        ensure_eq!(found, wanted, "{name}");
    }
    realm.finish()
}
