// SPDX-License-Identifier: BSD-3-Clause
//! Registers of features that a Realm does not have.

use super::exit::running;
use super::instruct::{Register, UNDEFINED, instruct, run};
use super::{Test, needs, vgic};
use crate::arch::{isb, mrs, msr};
use crate::check::{Check, ensure_eq};
use crate::realm::{Config, Realm};
use crate::rec::Rec;
use rmm_abi::rmi::RealmFlags;
use tests_fvp::protocol::MODE_COMMANDS;

pub const TESTS: &[Test] = &[
    ("hidden.monitors", monitors),
    ("hidden.profiling", profiling),
    ("hidden.memory", memory),
    ("hidden.sme", sme),
    ("hidden.sve", sve),
    ("hidden.pmu", pmu),
    ("hidden.nmi", nmi),
    ("hidden.ras", ras),
    ("hidden.implementation_defined", implementation_defined),
    ("hidden.higher_levels", higher_levels),
    ("hidden.debugger", debugger),
    ("hidden.actlr", actlr),
];

fn all_undefined(registers: &[Register]) -> Check {
    let realm = running()?;
    undefined_in(&realm.recs[0], registers)?;
    realm.finish()
}

fn undefined_in(rec: &Rec, registers: &[Register]) -> Check {
    registers
        .iter()
        .try_for_each(|register| register.is_undefined(rec))
}

const fn el1(crn: u64, crm: u64, op2: u64) -> Register {
    Register(3, 0, crn, crm, op2)
}

const fn el0(crn: u64, crm: u64, op2: u64) -> Register {
    Register(3, 3, crn, crm, op2)
}

/// Activity monitors, MPAM.
// Conformance: Exceptions and accesses that do not exit hidden
fn monitors() -> Check {
    all_undefined(&[
        // AMCR, AMCFGR, AMCGCR, AMUSERENR, AMCNTENCLR0, AMCNTENSET0, AMCNTENCLR1, AMCNTENSET1.
        el0(13, 2, 0),
        el0(13, 2, 1),
        el0(13, 2, 2),
        el0(13, 2, 3),
        el0(13, 2, 4),
        el0(13, 2, 5),
        el0(13, 3, 0),
        el0(13, 3, 1),
        // AMEVCNTR0<0>, <3>, AMEVTYPER0<0>, AMEVCNTR1<0>, AMEVTYPER1<0>.
        el0(13, 4, 0),
        el0(13, 4, 3),
        el0(13, 6, 0),
        el0(13, 12, 0),
        el0(13, 14, 0),
        // MPAMIDR, MPAM1, MPAM0, MPAMSM.
        el1(10, 4, 4),
        el1(10, 5, 0),
        el1(10, 5, 1),
        el1(10, 5, 3),
    ])
}

/// Trace, branch records, statistical profiling, trace buffer.
// Conformance: Exceptions and accesses that do not exit hidden
fn profiling() -> Check {
    let trace = |crn, crm, op2| Register(2, 1, crn, crm, op2);
    all_undefined(&[
        // TRCPRGCTLR, TRCCONFIGR, TRCIDR0, TRCVICTLR, TRFCR.
        trace(0, 1, 0),
        trace(0, 4, 0),
        trace(0, 8, 7),
        trace(0, 0, 2),
        el1(1, 2, 1),
        // BRBCR, BRBFCR, BRBTS, BRBINF0, BRBSRC0, BRBTGT0, BRBIDR0.
        trace(9, 0, 0),
        trace(9, 0, 1),
        trace(9, 0, 2),
        trace(8, 0, 0),
        trace(8, 0, 1),
        trace(8, 0, 2),
        trace(9, 2, 0),
        // PMSCR, PMSICR, PMSIRR, PMSFCR, PMSEVFR, PMSLATFR, PMSIDR, PMBLIMITR, PMBPTR, PMBSR,
        // PMBIDR.
        el1(9, 9, 0),
        el1(9, 9, 2),
        el1(9, 9, 3),
        el1(9, 9, 4),
        el1(9, 9, 5),
        el1(9, 9, 6),
        el1(9, 9, 7),
        el1(9, 10, 0),
        el1(9, 10, 1),
        el1(9, 10, 3),
        el1(9, 10, 7),
        // TRBLIMITR, TRBPTR, TRBBASER, TRBSR, TRBMAR, TRBTRG, TRBIDR.
        el1(9, 11, 0),
        el1(9, 11, 1),
        el1(9, 11, 2),
        el1(9, 11, 3),
        el1(9, 11, 4),
        el1(9, 11, 6),
        el1(9, 11, 7),
    ])
}

/// Limited ordering regions, software context numbers, further translation controls, permission
/// indirection and overlays, guarded control stacks, memory tags.
// Conformance: Exceptions and accesses that do not exit hidden
fn memory() -> Check {
    all_undefined(&[
        // LORSA, LOREA, LORN, LORC, LORID.
        el1(10, 4, 0),
        el1(10, 4, 1),
        el1(10, 4, 2),
        el1(10, 4, 3),
        el1(10, 4, 7),
        // SCXTNUM_EL1, SCXTNUM_EL0.
        el1(13, 0, 7),
        el0(13, 0, 7),
        // TCR2, SCTLR2, PIRE0, PIR, POR_EL1, POR_EL0, AMAIR2, MAIR2.
        el1(2, 0, 3),
        el1(1, 0, 3),
        el1(10, 2, 2),
        el1(10, 2, 3),
        el1(10, 2, 4),
        el0(10, 2, 4),
        el1(10, 3, 1),
        el1(10, 2, 1),
        // GCSCR, GCSPR, GCSCRE0, GCSPR_EL0.
        el1(2, 5, 0),
        el1(2, 5, 1),
        el1(2, 5, 2),
        el0(2, 5, 1),
        // RGSR, GCR, TFSR, TFSRE0.
        el1(1, 0, 5),
        el1(1, 0, 6),
        el1(5, 6, 0),
        el1(5, 6, 1),
        // ACCDATA_EL1 of ST64BV0.
        el1(13, 0, 5),
    ])
}

const SVCR: Register = el0(4, 2, 2);
const TPIDR2: Register = el0(13, 0, 5);

const CPACR: Register = el1(1, 0, 2);

/// SMCR, SMPRI, SVCR, TPIDR2, SMIDR; SMSTART and SMSTOP.
// Conformance: Exceptions and accesses that do not exit hidden
fn sme() -> Check {
    let registers = [el1(1, 2, 6), el1(1, 2, 4), SVCR, TPIDR2];
    let without_sve = running()?;
    sme_in(&without_sve.recs[0], &registers)?;
    without_sve.finish()?;
    let features = needs::features()?;
    let realm = if features.sve_en() {
        let config = Config {
            flags: RealmFlags::SVE.bits(),
            ..Config::default()
        };
        let realm = Realm::running(&config, 1, MODE_COMMANDS)?;
        realm.boot()?;
        realm
    } else {
        running()?
    };
    sme_in(&realm.recs[0], &registers)?;
    realm.finish()
}

fn sme_in(rec: &Rec, registers: &[Register]) -> Check {
    // FPEN, ZEN and SMEN: this level does not trap them to itself.
    CPACR.write(rec, 0x333_0000)?;
    undefined_in(rec, registers)?;
    for (what, word) in [
        ("smstart", 0xD503_477F),
        ("smstart sm", 0xD503_437F),
        ("smstop za", 0xD503_447F),
        ("rdsvl x0, #1", 0x04BF_5820),
    ] {
        ensure_eq!(run(rec, word, 0, 0)?.esr, UNDEFINED, "{what}: ESR_EL1");
    }
    Ok(())
}

/// ZCR and instructions, without SVE.
// Conformance: Exceptions and accesses that do not exit hidden, sve
fn sve() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    undefined_in(rec, &[el1(1, 2, 0)])?;
    for (what, word) in [
        ("rdvl x0, #1", 0x04BF_5020),
        ("ptrue p0.b", 0x2518_E3E0),
        ("setffr", 0x252C_9000),
    ] {
        ensure_eq!(run(rec, word, 0, 0)?.esr, UNDEFINED, "{what}: ESR_EL1");
    }
    realm.finish()
}

/// Every register of a PMU that the Realm does not have; the Host's values are kept.
// Conformance: Exceptions and accesses that do not exit hidden, pmu
// Conformance: Bugs others fixed pmu_host
fn pmu() -> Check {
    msr!("pmevcntr0_el0", 0x1234);
    msr!("pmccntr_el0", 0x5678);
    msr!("pmuserenr_el0", 5);
    let result = all_undefined(&[
        // PMCR, PMCNTENSET, PMCNTENCLR, PMOVSCLR, PMSELR, PMCCNTR, PMXEVTYPER, PMXEVCNTR,
        // PMUSERENR, PMOVSSET.
        el0(9, 12, 0),
        el0(9, 12, 1),
        el0(9, 12, 2),
        el0(9, 12, 3),
        el0(9, 12, 5),
        el0(9, 13, 0),
        el0(9, 13, 1),
        el0(9, 13, 2),
        el0(9, 14, 0),
        el0(9, 14, 3),
        // PMEVCNTR0, PMEVTYPER0, PMCCFILTR, PMINTENSET, PMINTENCLR.
        el0(14, 8, 0),
        el0(14, 12, 0),
        el0(14, 15, 7),
        el1(9, 14, 1),
        el1(9, 14, 2),
    ])
    .and_then(|()| {
        let realm = running()?;
        let rec = &realm.recs[0];
        // PMCEID0, PMCEID1, PMMIR are read only, PMSWINC is write only.
        for register in [el0(9, 12, 6), el0(9, 12, 7), el1(9, 14, 6)] {
            register.read_is_undefined(rec)?;
        }
        el0(9, 12, 4).write_is_undefined(rec)?;
        realm.finish()
    });
    let values = (
        mrs!("pmevcntr0_el0"),
        mrs!("pmccntr_el0"),
        mrs!("pmuserenr_el0"),
    );
    msr!("pmuserenr_el0", 0);
    result?;
    ensure_eq!(values.0, 0x1234, "the Host's PMEVCNTR0_EL0");
    ensure_eq!(values.1, 0x5678, "the Host's PMCCNTR_EL0");
    ensure_eq!(values.2, 5, "the Host's PMUSERENR_EL0");
    Ok(())
}

/// NMI: nothing sets ALLINT, and what nothing traps shows no more than a bit of the Realm's PSTATE, and no
/// interrupt.
// Conformance: Exceptions and accesses that do not exit hidden
fn nmi() -> Check {
    const ALLINT: Register = el1(4, 3, 0);
    const NMIAR1: Register = el1(12, 9, 5);
    // ID_AA64PFR1_EL1.NMI
    if mrs!("id_aa64pfr1_el1") >> 36 & 0xF == 0 {
        return all_undefined(&[ALLINT, NMIAR1]);
    }
    let realm = running()?;
    let rec = &realm.recs[0];
    ALLINT.write_is_undefined(rec)?;
    ensure_eq!(
        run(rec, 0xD501_411F, 0, 0)?.esr,
        UNDEFINED,
        "msr allint, #1"
    );
    ensure_eq!(ALLINT.read(rec)? & !(1 << 13), 0, "ALLINT");
    NMIAR1.write_is_undefined(rec)?;
    // An ordinary interrupt is none for NMIAR1, and stays pending.
    vgic::open(rec, 0xF8)?;
    let mut entry = instruct(NMIAR1.mrs(), 0, 0);
    entry.gicv3_lrs[0] = vgic::pending(50, 0x40);
    let exit = rec.enter(&entry)?;
    ensure_eq!(vgic::intid(&exit)?, 1023, "ICC_NMIAR1_EL1");
    ensure_eq!(vgic::state(exit.gicv3_lrs[0]), 1, "state of the interrupt");
    let mut entry = vgic::acknowledge();
    entry.gicv3_lrs = exit.gicv3_lrs;
    let exit = rec.enter(&entry)?;
    ensure_eq!(vgic::intid(&exit)?, 50, "ICC_IAR1_EL1");
    vgic::intid(&rec.enter(&vgic::end(50, &exit))?)?;
    realm.finish()
}

/// Error records: ERRIDR, ERRSELR, ERXFR, ERXCTLR, ERXSTATUS, ERXADDR, ERXPFGF, ERXMISC0 to 3.
fn ras() -> Check {
    all_undefined(&[
        el1(5, 3, 0),
        el1(5, 3, 1),
        el1(5, 4, 0),
        el1(5, 4, 1),
        el1(5, 4, 2),
        el1(5, 4, 3),
        el1(5, 4, 4),
        el1(5, 5, 0),
        el1(5, 5, 1),
        el1(5, 5, 2),
        el1(5, 5, 3),
    ])
}

/// CRn 11 and 15, registers and System instructions.
// Conformance: Exceptions and accesses that do not exit implementation_defined
fn implementation_defined() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    for (op0, op1, crn, crm, op2) in [
        (3, 0, 11, 0, 0),
        (3, 0, 11, 15, 7),
        (3, 0, 15, 0, 0),
        (3, 0, 15, 1, 2),
        (3, 0, 15, 15, 7),
        (3, 1, 11, 3, 1),
        (3, 1, 15, 0, 0),
        (3, 3, 11, 0, 0),
        (3, 3, 15, 15, 7),
        (3, 7, 15, 2, 0),
        (1, 0, 11, 0, 0),
        (1, 0, 15, 3, 4),
        (1, 3, 11, 1, 1),
    ] {
        Register(op0, op1, crn, crm, op2).is_undefined(rec)?;
    }
    realm.finish()
}

/// Registers of EL2 and EL3, under their own names and as aliases.
fn higher_levels() -> Check {
    all_undefined(&[
        // HCR_EL2, SCTLR_EL2, VTTBR_EL2, CPTR_EL2, MDCR_EL2, ICH_LR0_EL2, CNTVOFF_EL2.
        Register(3, 4, 1, 1, 0),
        Register(3, 4, 1, 0, 0),
        Register(3, 4, 2, 1, 0),
        Register(3, 4, 1, 1, 2),
        Register(3, 4, 1, 1, 1),
        Register(3, 4, 12, 12, 0),
        Register(3, 4, 14, 0, 3),
        // SCTLR_EL12, CNTV_CTL_EL02.
        Register(3, 5, 1, 0, 0),
        Register(3, 5, 14, 3, 1),
        // SCR_EL3, GPCCR_EL3, GPTBR_EL3.
        Register(3, 6, 1, 1, 0),
        Register(3, 6, 2, 1, 6),
        Register(3, 6, 2, 1, 4),
    ])
}

/// OS lock, claim tags and the communications channel exist for an external debugger, which no Realm
/// has.
fn debugger() -> Check {
    /// OSLM: there is an OS lock. OSLK: it is open.
    const OSLSR: u64 = 1 << 3;
    let debug = |crn, crm, op2| Register(2, 0, crn, crm, op2);
    // Read: OSLSR, OSDLR, DBGCLAIMSET, DBGCLAIMCLR, MDRAR, OSECCR; MDCCSR and
    // DBGDTRRX of EL0.
    let values = [
        (debug(1, 1, 4), OSLSR),
        (debug(1, 3, 4), 0),
        (debug(7, 8, 6), 0),
        (debug(7, 9, 6), 0),
        (debug(1, 0, 0), 0),
        (debug(0, 6, 2), 0),
        (Register(2, 3, 0, 1, 0), 0),
        (Register(2, 3, 0, 5, 0), 0),
    ];
    // Written: OSLAR, OSDLR, DBGCLAIMSET, DBGCLAIMCLR, OSECCR; DBGDTRTX of EL0.
    let writes = [
        debug(1, 0, 4),
        debug(1, 3, 4),
        debug(7, 8, 6),
        debug(7, 9, 6),
        debug(0, 6, 2),
        Register(2, 3, 0, 5, 0),
    ];
    const MDSCR: Register = Register(2, 0, 0, 2, 2);
    let realm = running()?;
    let rec = &realm.recs[0];
    // DBGCLAIMSET_EL1, DBGCLAIMCLR_EL1.
    msr!("s2_0_c7_c8_6", 5);
    isb();
    let host = || (mrs!("s2_0_c7_c9_6"), mrs!("oslsr_el1"));
    let before = host();
    let result = (|| {
        // With MDE the breakpoints are lent to the Realm.
        for mdscr in [0, 1 << 15] {
            MDSCR.write(rec, mdscr)?;
            for (register, value) in values {
                ensure_eq!(register.read(rec)?, value, "{register:?}, MDSCR {mdscr:#x}");
            }
            for register in writes {
                register.write(rec, 0xFF)?;
                ensure_eq!(
                    host().0,
                    before.0,
                    "claim tags after a write of {register:?}"
                );
                ensure_eq!(
                    host().1,
                    before.1,
                    "OSLSR_EL1 after a write of {register:?}"
                );
            }
            for (register, value) in values {
                ensure_eq!(register.read(rec)?, value, "{register:?}, after the writes");
            }
        }
        Ok(())
    })();
    msr!("s2_0_c7_c9_6", 5);
    isb();
    result?;
    realm.finish()
}

/// ACTLR_EL1 is the Realm's own, if it holds anything.
fn actlr() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let before = mrs!("actlr_el1");
    let register = el1(1, 0, 1);
    register.write(rec, !0)?;
    let held = register.read(rec)?;
    ensure_eq!(mrs!("actlr_el1"), before, "the Host's ACTLR_EL1");
    register.write(rec, 0)?;
    ensure_eq!(register.read(rec)? & held, 0, "ACTLR_EL1");
    realm.finish()
}
