// SPDX-License-Identifier: BSD-3-Clause
//! Exits for synchronous exceptions: what the Host sees, what it does not, and how the Realm continues.

use super::instruct::{Register, SEED, instruct, kept};
use super::{Test, needs};
use crate::check::{Check, ensure, ensure_eq};
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Config, Realm, entry_size};
use crate::rec::{Rec, Step, check_exit, command, enter, enter_with, exit_record};
use alloc::format;
use rmm_abi::rmi::{RecEnterFlags, RecExit, RecExitReason};
use rmm_abi::rsi;
use tests_fvp::protocol::{
    Access, IMM_NEXT, MODE_COMMANDS, Op, Reply, SysReg, Wait, layout, pattern,
};

pub const TESTS: &[Test] = &[
    ("exit.host_call", host_call),
    ("exit.data_abort", data_abort),
    ("exit.data_abort_destroyed", data_abort_destroyed),
    ("exit.instruction_abort", instruction_abort),
    ("exit.ripas_empty", ripas_empty),
    ("exit.unprotected_fetch", unprotected_fetch),
    ("exit.beyond_ipa_space", beyond_ipa_space),
    ("exit.beyond_ipa_space_flat", beyond_ipa_space_flat),
    ("exit.table_walk", table_walk),
    ("exit.wfi", wfi),
    ("exit.wfe", wfe),
    ("exit.hvc", hvc),
    ("exit.sgi", sgi),
    ("exit.icc_dir", icc_dir),
    ("exit.system_registers", system_registers),
];

pub const MIB_2: u64 = entry_size(2);
/// Memory of the tests, in the image's level 3 table.
const PAGE: u64 = layout::BASE + layout::SIZE;
/// Exception classes.
pub const DATA_ABORT: u64 = 0x24;
const INSTRUCTION_ABORT: u64 = 0x20;
/// As the Realm sees them, taken from its own level.
pub const DATA_ABORT_SAME: u64 = 0x25;
const INSTRUCTION_ABORT_SAME: u64 = 0x21;
/// Fault status: translation fault at level 3, external abort.
pub const TRANSLATION_3: u64 = 7;
pub const EXTERNAL: u64 = 0x10;
/// ESR bits: EA, FnV.
pub const EA: u64 = 1 << 9;

/// A Realm with one REC that waits for commands.
pub fn running() -> Check<Realm> {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    realm.boot()?;
    Ok(realm)
}

/// The exit record of an abort without syndrome.
pub fn abort_record(class: u64, fault: u64, ipa: u64) -> RecExit {
    let mut exit = exit_record(RecExitReason::Sync);
    exit.esr = class << 26 | fault;
    exit.hpfar = (ipa & !0xFFF) >> 8;
    exit
}

/// ESR of an emulatable access: size as a power of two, 64-bit register, write.
pub fn syndrome(size: u64, sf: bool, write: bool, fault: u64) -> u64 {
    DATA_ABORT << 26 | 1 << 24 | size << 22 | u64::from(sf) << 15 | u64::from(write) << 6 | fault
}

/// Checks the exception that the Realm took: class, fault status and address.
pub fn check_exception(
    rec: &Rec,
    op: Op,
    arguments: &[u64],
    class: u64,
    fault: u64,
    far: u64,
) -> Check {
    let reply = rec.reply_of(op, arguments)?;
    let what = format!("{op:?} {arguments:x?}");
    ensure_eq!(reply.esr >> 26, class, "{what}: EC, esr {:#x}", reply.esr);
    ensure_eq!(
        reply.esr & 0x3F,
        fault,
        "{what}: fault status, esr {:#x}",
        reply.esr
    );
    ensure_eq!(reply.far, far, "{what}: FAR_EL1");
    Ok(check_pstate(&reply).map_err(|why| format!("{what}: {why}"))?)
}

/// An injected exception is taken as by the processor: it returns to the instruction, in the
/// PSTATE that it had (EL1h, interrupts masked); the handler has everything masked.
pub fn check_pstate(reply: &Reply) -> Check {
    ensure_eq!(reply.elr_offset, 0, "ELR_EL1 relative to the instruction");
    ensure_eq!(reply.spsr & 0x3FF, 0x3C5, "SPSR_EL1");
    ensure_eq!(reply.daif, 0x3C0, "DAIF in the handler");
    Ok(())
}

/// All registers, both ways, and nothing else in the record.
// Conformance: REC exits host_call, zero
// Conformance: RSI_HOST_CALL exit, answer
// Conformance: RMI_REC_ENTER host_call_answer
fn host_call() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let mut enter = command(Op::Mrs, &[SysReg::Mpidr as u64]);
    // Should be zero, or mean nothing here.
    enter.gprs[20] = u64::MAX;
    let exit = rec.enter(&enter)?;
    let mut wanted = exit_record(RecExitReason::HostCall);
    wanted.imm = IMM_NEXT;
    // No exception, and the one value: MPIDR_EL1 of REC 0.
    wanted.gprs[5] = 1 << 31;
    check_exit(&exit, &wanted)?;
    realm.finish()
}

/// RAM that the Host has not provided: no detail but the page.
// Conformance: REC exits non_emulatable_protected_ram
// Conformance: RMI_REC_ENTER inject_sea_ignored, rec_mmio
// Conformance: Bugs others fixed syndrome_masks
fn data_abort() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    let block = layout::BASE + MIB_2;
    realm.init_ripas(PAGE, PAGE + 2 * GRANULE)?;
    realm.init_ripas(block, block + 2 * MIB_2)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    // Pages whose table is there, and pages whose table is not.
    for (ipa, fault, op) in [
        (PAGE, TRANSLATION_3, Op::Read),
        (PAGE + GRANULE, TRANSLATION_3, Op::Write),
        (block, 6, Op::Read),
        (block + MIB_2, 6, Op::Write),
    ] {
        let wanted = abort_record(DATA_ABORT, fault, ipa);
        let exit = rec.exit_of(op, &[ipa + 0x128, Access::Double as u64, 0x5EC2E7])?;
        check_exit(&exit, &wanted)?;
        let emulate = enter_with(RecEnterFlags::EMUL_MMIO);
        rec.try_enter(&emulate)
            .rec("emul_mmio at a Protected IPA")?;
        // No effect here: the access is made again.
        let inject = enter_with(RecEnterFlags::INJECT_SEA);
        check_exit(&rec.exit_of_entry(&inject)?, &wanted)?;
        realm.add_tables(ipa, 3)?;
        realm.add_unknown(ipa)?;
        let reply = rec.finish_with(&enter())?;
        ensure_eq!(reply.esr, 0, "exception after the page was added");
        let wrote = if op == Op::Write { 0x5EC2E7 } else { 0 };
        ensure_eq!(rec.load(ipa + 0x128)?, wrote, "value at the new page");
    }
    realm.finish()
}

/// A page is destroyed while the Realm uses it: the next access exits, and the memory does not come
/// back without the Realm's consent.
// Conformance: REC exits non_emulatable_protected_destroyed
// Conformance: RMI_DATA_DESTROY tlb
fn data_abort_destroyed() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_unknown(PAGE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    rec.store(PAGE, 0x5EC2E7)?;
    ensure_eq!(rec.load(PAGE)?, 0x5EC2E7, "value stored");
    // `remove_page` checks that the granule is wiped.
    realm.remove_page(PAGE)?;
    let exit = rec.exit_of(Op::Read, &[PAGE, Access::Double as u64])?;
    check_exit(&exit, &abort_record(DATA_ABORT, TRANSLATION_3, PAGE))?;
    realm.add_unknown(PAGE)?;
    let exit = rec.exit_of_entry(&enter())?;
    check_exit(&exit, &abort_record(DATA_ABORT, TRANSLATION_3, PAGE))?;
    realm.finish()
}

// Conformance: REC exits instruction_abort
// Conformance: Exceptions and accesses that do not exit ram
fn instruction_abort() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    let exit = rec.exit_of(Op::Exec, &[PAGE + 0x40])?;
    let wanted = abort_record(INSTRUCTION_ABORT, TRANSLATION_3, PAGE);
    check_exit(&exit, &wanted)?;
    let emulate = enter_with(RecEnterFlags::EMUL_MMIO);
    rec.try_enter(&emulate)
        .rec("emul_mmio after an Instruction Abort")?;
    check_exit(&rec.exit_of_entry(&enter())?, &wanted)?;
    // A page of zeroes: the fetch succeeds, the instruction is undefined.
    realm.add_unknown(PAGE)?;
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.esr >> 26, 0, "EC of `udf`, esr {:#x}", reply.esr);
    ensure_eq!(reply.elr_offset, 0, "ELR_EL1 relative to the target");
    realm.finish()
}

/// Addresses without RAM: the Realm gets an external abort, the Host nothing.
// Conformance: Exceptions and accesses that do not exit empty_data, empty_fetch
// Conformance: Bugs others fixed pc_after_injection, pstate_after_injection
fn ripas_empty() -> Check {
    let mut realm = running()?;
    realm.add_unknown(PAGE)?;
    let rec = &realm.recs[0];
    // Assigned and EMPTY; unassigned and EMPTY; without tables.
    for ipa in [
        PAGE,
        PAGE + GRANULE,
        0x100_0000_0000 / 4,
        layout::BASE + 7 * MIB_2,
    ] {
        for (op, arguments) in [(Op::Read, [ipa + 8, 3, 0]), (Op::Write, [ipa + 8, 0, 1])] {
            check_exception(rec, op, &arguments, DATA_ABORT_SAME, EXTERNAL, ipa + 8)?;
        }
        check_exception(rec, Op::Exec, &[ipa], INSTRUCTION_ABORT_SAME, EXTERNAL, ipa)?;
    }
    realm.finish()
}

/// The Realm cannot execute memory of the Host.
// Conformance: Exceptions and accesses that do not exit unprotected_fetch
fn unprotected_fetch() -> Check {
    let mut realm = running()?;
    let ipa = realm.config.unprotected();
    let memory = realm.share(ipa, ATTRIBUTES)?;
    let rec = &realm.recs[0];
    for address in [ipa, ipa + GRANULE] {
        check_exception(
            rec,
            Op::Exec,
            &[address],
            INSTRUCTION_ABORT_SAME,
            EXTERNAL,
            address,
        )?;
    }
    pool::give(memory, 1);
    realm.finish()
}

/// The Realm's tables map an address behind its IPA space: the Realm takes the fault.
// Conformance: Exceptions and accesses that do not exit beyond_stage_1_on
fn beyond_ipa_space() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    // The last entry of the Realm's level 0 table leads there, by 1 GiB blocks of level 1.
    let va = 511 << 39 | 3 << 30 | 0x18;
    check_exception(rec, Op::Read, &[va, 3], DATA_ABORT_SAME, 1, va)?;
    check_exception(rec, Op::Write, &[va, 2, 0], DATA_ABORT_SAME, 1, va)?;
    check_exception(
        rec,
        Op::Exec,
        &[va & !0xF],
        INSTRUCTION_ABORT_SAME,
        1,
        va & !0xF,
    )?;
    realm.finish()
}

/// The same without tables.
// Conformance: Exceptions and accesses that do not exit beyond_stage_1_off
fn beyond_ipa_space_flat() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = 2 * realm.config.unprotected() + 0x18;
    check_exception(rec, Op::ReadFlat, &[ipa], DATA_ABORT_SAME, 0, ipa)?;
    realm.finish()
}

/// A fault on memory that holds the Realm's own tables reports no more than another.
fn table_walk() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    let half = realm.config.unprotected();
    // Entries 510 and 509 of the Realm's level 0 table.
    let (protected, unprotected) = ((510 << 39) + 0x28, (509 << 39) + 0x28);
    let exit = rec.exit_of(Op::Write, &[protected, Access::Double as u64, 0x5EC2E7])?;
    check_exit(&exit, &abort_record(DATA_ABORT, TRANSLATION_3, PAGE))?;
    realm.add_unknown(PAGE)?;
    // The table is mapped and empty: a fault of stage 1, at level 1.
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.esr >> 26, DATA_ABORT_SAME, "EC, esr {:#x}", reply.esr);
    ensure_eq!(reply.esr & 0x3F, 5, "fault status, esr {:#x}", reply.esr);
    ensure_eq!(reply.far, protected, "FAR_EL1");
    let exit = rec.exit_of(Op::Read, &[unprotected, Access::Double as u64])?;
    check_exit(&exit, &abort_record(DATA_ABORT, 4, half))?;
    let emulate = enter_with(RecEnterFlags::EMUL_MMIO);
    rec.try_enter(&emulate).rec("emul_mmio of a table walk")?;
    let reply = rec.finish_with(&enter_with(RecEnterFlags::INJECT_SEA))?;
    ensure_eq!(reply.esr >> 26, DATA_ABORT_SAME, "EC, esr {:#x}", reply.esr);
    ensure_eq!(reply.esr & EA, EA, "EA, esr {:#x}", reply.esr);
    ensure_eq!(reply.far, unprotected, "FAR_EL1");
    realm.finish()
}

/// ID_AA64ISAR2_EL1.WFxT
fn has_timeouts() -> bool {
    crate::arch::mrs!("s3_0_c0_c6_2") & 0xF != 0
}

/// Enters with a wait that is trapped. Checks the exit, and that the instruction is done
/// then; returns false if the wait was over before it could be trapped.
fn trapped_wait(rec: &Rec, wait: Wait, flag: RecEnterFlags, ti: u64) -> Check<bool> {
    let timeout = crate::arch::now() + (1 << 50);
    let mut entry = command(Op::Wait, &[wait as u64, timeout]);
    entry.flags = flag.bits();
    let exit = match rec.step(&entry)? {
        Step::Exit(exit) => exit,
        Step::Done(_) => return Ok(false),
    };
    let mut wanted = exit_record(RecExitReason::Sync);
    // QEMU gives a trapped WFIT the syndrome of a WFI.
    let ti = if exit.esr & 3 == 0 && wait == Wait::Wfit {
        0
    } else {
        ti
    };
    wanted.esr = 1 << 26 | ti;
    wanted.gprs[0] = if ti > 1 { timeout } else { 0 };
    check_exit(&exit, &wanted).map_err(|why| format!("{wait:?}: {why}"))?;
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.esr, 0, "{wait:?}: exception");
    Ok(true)
}

/// WFI and WFIT, trapped and not.
// Conformance: REC exits wfi
// Conformance: RMI_REC_ENTER trap_wfi, no_trap
fn wfi() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let flag = RecEnterFlags::TRAP_WFI;
    ensure!(trapped_wait(rec, Wait::Wfi, flag, 0)?, "WFI is not trapped");
    if has_timeouts() {
        ensure!(
            trapped_wait(rec, Wait::Wfit, flag, 2)?,
            "WFIT is not trapped"
        );
        // The other trap does not matter, and none lasts for longer than its entry.
        let mut entry = command(Op::Wait, &[Wait::Wfit as u64, 0]);
        entry.flags = RecEnterFlags::TRAP_WFE.bits();
        rec.finish_with(&entry)?;
    } else {
        needs::leave_out("WFIT: the CPU has none");
    }
    realm.finish()
}

/// WFE and WFET, trapped and not.
// Conformance: RMI_REC_ENTER no_trap
fn wfe() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let flag = RecEnterFlags::TRAP_WFE;
    // A WFE that would not have waited need not trap.
    const AT_ONCE: &str = "the trap: a WFE of this CPU does not wait";
    if !trapped_wait(rec, Wait::Wfe, flag, 1)? {
        needs::leave_out(AT_ONCE);
    }
    if has_timeouts() {
        if !trapped_wait(rec, Wait::Wfet, flag, 3)? {
            needs::leave_out(AT_ONCE);
        }
        rec.reply_of(Op::Wait, &[Wait::Wfet as u64, 0])?;
    } else {
        needs::leave_out("WFET: the CPU has none");
    }
    realm.finish()
}

/// Nothing serves HVC: it is an undefined instruction at its own address.
// Conformance: Exceptions and accesses that do not exit hvc
fn hvc() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let reply = rec.reply_of(Op::Hvc, &[])?;
    ensure_eq!(reply.esr, 1 << 25, "ESR_EL1");
    ensure_eq!(reply.elr_offset, 0, "ELR_EL1 relative to the instruction");
    realm.finish()
}

/// The Host sends the Realm's SGIs.
// Conformance: REC exits gic_register
// Conformance: Bugs others fixed iss_rt
fn sgi() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let value = 5 << 24 | 2;
    let exit = rec.exit_of(Op::Msr, &[SysReg::IccSgi1r as u64, value])?;
    ensure_eq!(exit.esr >> 26, 0x18, "EC, esr {:#x}", exit.esr);
    ensure_eq!(exit.esr >> 5 & 0x1F, 0, "Rt, esr {:#x}", exit.esr);
    // Direction: write. Op0 3, Op1 0, CRn 12, CRm 11, Op2 5.
    ensure_eq!(exit.esr & 1, 0, "direction, esr {:#x}", exit.esr);
    ensure_eq!(
        exit.esr & 0x3F_FC1E,
        3 << 20 | 5 << 17 | 12 << 10 | 11 << 1,
        "register"
    );
    ensure_eq!(exit.gprs[0], value, "value written");
    let mut rest = exit;
    rest.esr = 0;
    rest.gprs[0] = 0;
    check_exit(&rest, &exit_record(RecExitReason::Sync))?;
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.esr, 0, "exception");
    // By a register other than X0: the Host does not see which.
    let icc_sgi1r = Register(3, 0, 12, 11, 5);
    let exit = rec.exit_of_entry(&instruct(icc_sgi1r.msr() | 5, 0, 0))?;
    ensure_eq!(exit.esr >> 5 & 0x1F, 0, "Rt of X5, esr {:#x}", exit.esr);
    ensure_eq!(exit.gprs[0], pattern(SEED, 5), "value written by X5");
    kept(rec.finish_with(&enter())?)?;
    realm.finish()
}

/// With TDIR the Host deactivates interrupts; without, the virtual interface does.
// Conformance: REC exits gic_register
fn icc_dir() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let mut entry = command(Op::Msr, &[SysReg::IccDir as u64, 40]);
    entry.gicv3_hcr = 1 << 14;
    let exit = rec.exit_of_entry(&entry)?;
    ensure_eq!(exit.esr >> 26, 0x18, "EC, esr {:#x}", exit.esr);
    ensure_eq!(exit.gprs[0], 40, "value written");
    ensure_eq!(exit.gicv3_hcr & 1 << 14, 1 << 14, "TDIR at exit");
    rec.finish_with(&enter())?;
    let reply = rec.reply_of(Op::Msr, &[SysReg::IccDir as u64, 40])?;
    ensure_eq!(reply.esr, 0, "exception without TDIR");
    realm.finish()
}

/// What the Realm may not use is undefined to it; the ID registers say so.
// Conformance: Exceptions and accesses that do not exit hidden, breakpoints
// Conformance: Virtual GIC and timers counters
fn system_registers() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let undefined = [
        SysReg::ImpDef,
        SysReg::TrbLimitr,
        SysReg::PmsCr,
        SysReg::AmCr,
        SysReg::LorC,
        SysReg::Mpam1,
        SysReg::Pmcr,
        SysReg::PmCcntr,
        SysReg::Zcr,
    ];
    for register in undefined {
        for op in [Op::Mrs, Op::Msr] {
            let reply = rec.reply_of(op, &[register as u64, 0])?;
            ensure_eq!(reply.esr, 1 << 25, "{op:?} of {register:?}: ESR_EL1");
            ensure_eq!(reply.elr_offset, 0, "{op:?} of {register:?}: ELR_EL1");
        }
    }
    let read = |register: SysReg| rec.value_of(Op::Mrs, &[register as u64]);
    // AMU, MPAM, SVE; MTE, SME.
    ensure_eq!(
        read(SysReg::IdPfr0)? & (0xF << 44 | 0xF << 40 | 0xF << 32),
        0,
        "ID_AA64PFR0_EL1"
    );
    ensure_eq!(
        read(SysReg::IdPfr1)? & (0xF << 8 | 0xF << 24),
        0,
        "ID_AA64PFR1_EL1"
    );
    // Trace, PMU, SPE, TRBE, BRBE.
    let hidden = 0xF << 4 | 0xF << 8 | 0xF << 32 | 0xF << 44 | 0xF << 52;
    ensure_eq!(read(SysReg::IdDfr0)? & hidden, 0, "ID_AA64DFR0_EL1");
    ensure_eq!(read(SysReg::IdMmfr1)? & 0xF << 16, 0, "ID_AA64MMFR1_EL1.LO");
    ensure_eq!(read(SysReg::IdZfr0)?, 0, "ID_AA64ZFR0_EL1");
    ensure_eq!(read(SysReg::IdSmfr0)?, 0, "ID_AA64SMFR0_EL1");
    let reply = rec.reply_of(Op::Mrs, &[SysReg::Smidr as u64])?;
    // A CPU without it, and with FEAT_IDST, says MRS itself.
    ensure!(
        matches!(reply.esr >> 25, 1 | 0x31),
        "SMIDR_EL1: ESR_EL1 {:#x}",
        reply.esr
    );
    // IMPLEMENTATION DEFINED registers.
    rec.value_of(Op::Msr, &[SysReg::Actlr as u64, !0])?;
    for register in [SysReg::Actlr, SysReg::Revidr, SysReg::Aidr] {
        ensure_eq!(read(register)?, 0, "{register:?}");
    }
    // Two breakpoints and two watchpoints, as created, that can be used.
    ensure_eq!(read(SysReg::IdDfr0)? >> 12 & 0xF, 1, "ID_AA64DFR0_EL1.BRPs");
    ensure_eq!(read(SysReg::IdDfr0)? >> 20 & 0xF, 1, "ID_AA64DFR0_EL1.WRPs");
    for register in [SysReg::DbgBvr0, SysReg::DbgWvr0] {
        rec.value_of(Op::Msr, &[register as u64, 0x4321_0000])?;
        ensure_eq!(read(register)?, 0x4321_0000, "{register:?}");
    }
    // The counters run together.
    let before = crate::arch::now();
    let (physical, virtually) = (read(SysReg::CntPct)?, read(SysReg::CntVct)?);
    let physical_again = read(SysReg::CntPct)?;
    let after = crate::arch::now();
    let counts = [before, physical, virtually, physical_again, after];
    ensure!(counts.is_sorted(), "counters in turn: {counts:x?}");
    // Calls to services that a Realm does not have.
    let answer = rec.call(&[rsi::fid::RSI_VERSION, rsi::RSI_VERSION_1_0])?;
    ensure_eq!(answer[0], rsi::RSI_SUCCESS, "RSI_VERSION");
    realm.finish()
}
