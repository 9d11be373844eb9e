// SPDX-License-Identifier: BSD-3-Clause
//! Registers of Host and Realm, kept apart by the monitor.

use super::exit::running;
use super::{Test, needs};
use crate::arch::{isb, mrs, msr};
use crate::check::{Check, ensure_eq};
use crate::realm::{Config, Realm};
use crate::rec::{command, enter_with};
use rmm_abi::rmi::RecEnterFlags;
use tests_fvp::protocol::{Access, MODE_COMMANDS, Op, SysReg};
use tests_fvp::registers::{self, EL1_NAMES, HOST_NAMES};

pub const TESTS: &[Test] = &[
    ("context.realm_registers", realm_registers),
    ("context.host_registers", host_registers),
    ("context.vectors", vectors),
    ("context.vectors_unused", vectors_unused),
    ("context.vectors_of_two_realms", vectors_of_two_realms),
    ("context.first_entry", first_entry),
    ("context.host_sve", host_sve),
    ("context.host_without_sve_state", host_without_sve_state),
    ("context.host_pmu", host_pmu),
];

/// Names of the registers whose bits are set.
fn names(bits: u64, names: &[&str]) -> alloc::string::String {
    let chosen = (0..).zip(names).filter(|(n, _)| bits >> n & 1 != 0);
    chosen.map(|(_, name)| alloc::format!(" {name}")).collect()
}

/// The Realm finds its registers again, whatever the Host has in them.
fn realm_registers() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    for seed in [1, 2] {
        rec.value_of(Op::SysSet, &[seed])?;
        registers::el1_set(100 + seed);
        let different = rec.value_of(Op::SysCheck, &[seed])?;
        ensure_eq!(different, 0, "the Realm's{}", names(different, EL1_NAMES));
        let different = registers::el1_check(100 + seed);
        ensure_eq!(different, 0, "the Host's{}", names(different, EL1_NAMES));
    }
    realm.finish()
}

/// The Host finds its registers again, whatever the exit.
fn host_registers() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = realm.config.unprotected();
    let vmpidr = (mrs!("vmpidr_el2"), mrs!("vpidr_el2"));
    registers::el1_set(5);
    registers::host_set(6);
    let result = (|| {
        rec.value_of(Op::SysSet, &[9])?;
        rec.exit_of(Op::Read, &[ipa, Access::Double as u64])?;
        rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
        rec.enter(&command(Op::Nop, &[]))?;
        let different = registers::el1_check(5);
        ensure_eq!(different, 0, "the Host's{}", names(different, EL1_NAMES));
        let different = registers::host_check(6);
        ensure_eq!(different, 0, "the Host's{}", names(different, HOST_NAMES));
        Ok(())
    })();
    // As after reset: nothing of EL1 is in use here.
    msr!("cntv_ctl_el0", 0);
    msr!("cntp_ctl_el0", 0);
    msr!("sctlr_el1", 0x30D0_0980);
    msr!("mdscr_el1", 0);
    msr!("vmpidr_el2", vmpidr.0);
    msr!("vpidr_el2", vmpidr.1);
    isb();
    result?;
    realm.finish()
}

/// Vector registers, used by both in turn.
// Conformance: Exceptions and accesses that do not exit simd
fn vectors() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    for round in 0..3 {
        // SAFETY: the Host is built without floating point, which CPTR_EL2 does not trap.
        unsafe { registers::vectors_set(10 + round) };
        rec.value_of(Op::FpSet, &[20 + round])?;
        // SAFETY: as above.
        let different = unsafe { registers::vectors_check(10 + round) };
        ensure_eq!(different, 0, "the Host's vector registers");
        let different = rec.value_of(Op::FpCheck, &[20 + round])?;
        ensure_eq!(different, 0, "the Realm's vector registers");
        // SAFETY: as above.
        let different = unsafe { registers::vectors_check(10 + round) };
        ensure_eq!(different, 0, "the Host's vector registers");
    }
    realm.finish()
}

/// They are kept when the Realm does not use them, for both.
fn vectors_unused() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    rec.value_of(Op::FpSet, &[1])?;
    for seed in 2..5 {
        // SAFETY: the Host is built without floating point, which CPTR_EL2 does not trap.
        unsafe { registers::vectors_set(seed) };
        rec.value_of(Op::Nop, &[])?;
        rec.enter(&command(Op::Nop, &[]))?;
        // SAFETY: as above.
        let different = unsafe { registers::vectors_check(seed) };
        ensure_eq!(different, 0, "the Host's vector registers");
    }
    ensure_eq!(
        rec.value_of(Op::FpCheck, &[1])?,
        0,
        "the Realm's vector registers"
    );
    realm.finish()
}

// Conformance: Exceptions and accesses that do not exit simd
fn vectors_of_two_realms() -> Check {
    let first = running()?;
    let second = running()?;
    first.recs[0].value_of(Op::FpSet, &[1])?;
    second.recs[0].value_of(Op::FpSet, &[2])?;
    ensure_eq!(
        first.recs[0].value_of(Op::FpCheck, &[1])?,
        0,
        "the first Realm's"
    );
    ensure_eq!(
        second.recs[0].value_of(Op::FpCheck, &[2])?,
        0,
        "the second Realm's"
    );
    second.finish()?;
    ensure_eq!(
        first.recs[0].value_of(Op::FpCheck, &[1])?,
        0,
        "the first Realm's"
    );
    first.finish()
}

/// A REC begins with no value of the Host in its registers.
fn first_entry() -> Check {
    registers::el1_set(3);
    // SAFETY: the Host is built without floating point, which CPTR_EL2 does not trap.
    unsafe { registers::vectors_set(3) };
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let same = (1 << EL1_NAMES.len()) - 1;
    // The few bits of SPSR_EL1 may agree by chance.
    let different = rec.value_of(Op::SysCheck, &[3])? | 1 << 7;
    ensure_eq!(different, same, "registers that differ from the Host's");
    // FPCR and FPSR may agree by chance.
    let different = rec.value_of(Op::FpCheck, &[3])?;
    crate::check::ensure!(
        different >= 64,
        "{different} vector halves differ from the Host's"
    );
    realm.finish()
}

/// The Host's SVE registers, whose lower parts the Realm's vector registers are.
// Conformance: Bugs others fixed sve_pffr
fn host_sve() -> Check {
    needs::host_sve()?;
    let realm = running()?;
    let rec = &realm.recs[0];
    // ZCR_EL2: the longest vectors.
    msr!("s3_4_c1_c2_0", 0xF);
    isb();
    for round in 0..2 {
        // SAFETY: the Host is built without vectors, which CPTR_EL2 does not trap.
        unsafe { registers::sve_set(7 + round) };
        rec.value_of(Op::FpSet, &[20])?;
        rec.exit_of(
            Op::Read,
            &[realm.config.unprotected(), Access::Double as u64],
        )?;
        rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
        // SAFETY: as above.
        let different = unsafe { registers::sve_check(7 + round) };
        ensure_eq!(different, 0, "the Host's SVE registers");
        ensure_eq!(mrs!("s3_4_c1_c2_0") & 0xF, 0xF, "ZCR_EL2.LEN");
        ensure_eq!(
            rec.value_of(Op::FpCheck, &[20])?,
            0,
            "the Realm's vector registers"
        );
    }
    realm.finish()
}

/// A Host that keeps no SVE state gets back Q0 to Q31, and zero for the rest, once the Realm has used vectors.
fn host_without_sve_state() -> Check {
    needs::host_sve()?;
    // If EL3 keeps SVE closed to the monitor, the rest stays as it is, which the hint permits, too.
    needs::sve()?;
    let realm = running()?;
    let rec = &realm.recs[0];
    // ZCR_EL2: the longest vectors.
    msr!("s3_4_c1_c2_0", 0xF);
    isb();
    let enter = || {
        let answer = rec.try_enter_without_sve(&command(Op::FpSet, &[20]));
        answer.ok("RMI_REC_ENTER with the SVE hint")
    };
    // SAFETY: the Host is built without vectors, which CPTR_EL2 does not trap.
    unsafe { registers::sve_set(7) };
    // SAFETY: as above.
    let all = unsafe { registers::sve_used() };
    enter()?;
    // SAFETY: as above.
    let used = unsafe { registers::sve_used() };
    // Two words of each Q register; all, if EL3 does not pass the hint on, as TF-A since 2.15.
    let expected = if used == all { all } else { 64 };
    ensure_eq!(used, expected, "words of SVE registers that are not zero");
    // SAFETY: as above.
    unsafe { registers::vectors_set(8) };
    enter()?;
    // SAFETY: as above.
    let different = unsafe { registers::vectors_check(8) };
    ensure_eq!(different, 0, "the Host's vector registers");
    ensure_eq!(mrs!("s3_4_c1_c2_0") & 0xF, 0xF, "ZCR_EL2.LEN");
    ensure_eq!(
        rec.value_of(Op::FpCheck, &[20])?,
        0,
        "the Realm's vector registers"
    );
    realm.finish()
}

/// The Host's counters stay its own; a Realm without a PMU sees none.
// Conformance: Bugs others fixed pmu_host
fn host_pmu() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    msr!("pmcntenset_el0", 1);
    msr!("pmevcntr0_el0", 0x1234);
    msr!("pmevtyper0_el0", 0x8000_0011);
    msr!("pmselr_el0", 3);
    msr!("pmuserenr_el0", 0xF);
    msr!("pmintenset_el1", 2);
    let reply = rec.reply_of(Op::Mrs, &[SysReg::PmCntenSet as u64]);
    let values = [
        ("PMEVCNTR0_EL0", mrs!("pmevcntr0_el0"), 0x1234),
        ("PMSELR_EL0", mrs!("pmselr_el0"), 3),
        ("PMUSERENR_EL0", mrs!("pmuserenr_el0"), 0xF),
        ("PMINTENSET_EL1", mrs!("pmintenset_el1"), 2),
        ("PMCNTENSET_EL0", mrs!("pmcntenset_el0"), 1),
    ];
    msr!("pmcntenclr_el0", 1);
    msr!("pmintenclr_el1", 2);
    msr!("pmuserenr_el0", 0);
    ensure_eq!(reply?.esr, 1 << 25, "the Realm's read of PMCNTENSET_EL0");
    for (name, found, wanted) in values {
        ensure_eq!(found, wanted, "{name}");
    }
    rec.finish_with(&command(Op::Nop, &[]))?;
    realm.finish()
}
