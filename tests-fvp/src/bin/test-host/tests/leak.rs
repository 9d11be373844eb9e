// SPDX-License-Identifier: BSD-3-Clause
//! Nothing of a Realm is left in registers or in the exit record, whatever the exit.

use super::instruct::{LOAD, Register, SEED, SMC, STORE, instruct};
use super::{Test, needs};
use crate::arch::{isb, mrs, msr, now};
use crate::check::{Check, ensure, ensure_eq};
use crate::gic;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, command, enter, enter_with};
use alloc::vec::Vec;
use rmm_abi::rmi::{RealmFlags, RecEnter, RecEnterFlags, RecExit, RecExitReason};
use rmm_abi::{psci, rsi};
use tests_fvp::protocol::{MODE_COMMANDS, Op, SysReg, layout, pattern};
use tests_fvp::registers::{self, EL1_NAMES, HOST_NAMES};
use zerocopy::IntoBytes;

pub const TESTS: &[Test] = &[
    ("leak.every_exit", every_exit),
    ("leak.timers_and_pmu", timers_and_pmu),
    ("leak.active_priorities", active_priorities),
];

/// IPAs with RIPAS RAM that have no page: for the loads, and for the fetch.
const PAGE: u64 = layout::BASE + layout::SIZE;
/// Seeds of the Realm's EL1 and vector registers, and of the Host's.
const EL1: u64 = 0x33;
const VECTORS: u64 = 0x44;
const HOST: u64 = 0x55;

/// `ldxr x0, [x1]`, `ldr q0, [x1]`, `br x1`, `wfi`.
const EXCLUSIVE: u64 = 0xC85F_7C20;
const VECTOR_LOAD: u64 = 0x3DC0_0020;
const BRANCH: u64 = 0xD61F_0020;
const WFI: u64 = 0xD503_207F;

/// An exit: what leads to it, its reason, the GPRs that the Host sees, and the entry after it.
struct Kind {
    name: &'static str,
    entry: RecEnter,
    reason: RecExitReason,
    told: Vec<u64>,
    answer: RecEnter,
}

fn kinds(unprotected: u64) -> [Kind; 10] {
    let kind = |name, entry, reason, told: &[u64], answer| Kind {
        name,
        entry,
        reason,
        told: told.to_vec(),
        answer,
    };
    let sync = RecExitReason::Sync;
    let emulated = enter_with(RecEnterFlags::EMUL_MMIO);
    let injected = enter_with(RecEnterFlags::INJECT_SEA);
    let mut wait = instruct(WFI, 0, 0);
    wait.flags = RecEnterFlags::TRAP_WFI.bits();
    let suspend = psci::fid::PSCI_CPU_SUSPEND;
    let sgi = Register(3, 0, 12, 11, 5).msr();
    let state_set = [rsi::fid::RSI_IPA_STATE_SET, PAGE, PAGE + GRANULE, 1, 0];
    let ripas = RecExitReason::RipasChange;
    [
        kind("load", instruct(LOAD, 0, unprotected), sync, &[], emulated),
        kind(
            "store",
            instruct(STORE, 0xDA7A, unprotected),
            sync,
            &[0xDA7A],
            emulated,
        ),
        kind(
            "exclusive load",
            instruct(EXCLUSIVE, 0, unprotected),
            sync,
            &[],
            injected,
        ),
        kind(
            "vector load",
            instruct(VECTOR_LOAD, 0, unprotected),
            sync,
            &[],
            injected,
        ),
        kind("WFI", wait, sync, &[], enter()),
        kind(
            "SGI",
            instruct(sgi, 0x0500_0001, 0),
            sync,
            &[0x0500_0001],
            enter(),
        ),
        kind(
            "interrupt",
            instruct(LOAD, 0, layout::BASE),
            RecExitReason::Irq,
            &[],
            enter(),
        ),
        kind(
            "PSCI",
            instruct(SMC, suspend, 0),
            RecExitReason::Psci,
            // Its arguments are X1 to X3.
            &[suspend, 0, pattern(SEED, 2), pattern(SEED, 3)],
            enter(),
        ),
        kind(
            "RIPAS change",
            command(Op::Smc, &state_set),
            ripas,
            &[],
            enter(),
        ),
        // The last: there is no way on from it.
        kind("fetch", instruct(BRANCH, 0, PAGE), sync, &[], enter()),
    ]
}

/// No word of the record is the content of a register that the Host must not see.
fn check_record(kind: &Kind, exit: &RecExit) -> Check {
    let gprs = kind.told.len();
    ensure!(
        exit.gprs[..gprs] == kind.told[..],
        "{}: GPRs {:x?}",
        kind.name,
        &exit.gprs[..gprs]
    );
    ensure!(
        exit.gprs[gprs..].iter().all(|gpr| *gpr == 0),
        "{}: GPRs {:x?}",
        kind.name,
        &exit.gprs
    );
    let mut rest = *exit;
    rest.gprs = [0; 31];
    // The call of the RIPAS change has other numbers in its registers.
    let secrets: Vec<u64> = (2..30)
        .map(|n| pattern(SEED, n))
        .chain((0..EL1_NAMES.len() as u64).map(|n| pattern(EL1, n)))
        .chain((0..64).map(|n| pattern(VECTORS, n)))
        .chain((4..18).map(|n| 0x5EA1_0000_0000_0000 + n))
        .collect();
    for (n, bytes) in rest.as_bytes().chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        ensure!(
            !secrets.contains(&word),
            "{}: exit record at {:#x}: {word:#x}",
            kind.name,
            8 * n
        );
    }
    Ok(())
}

/// The Host's registers are as it left them, and the virtual interface is closed.
fn check_host(kind: &Kind) -> Check {
    let name = kind.name;
    let different = registers::el1_check(HOST);
    ensure_eq!(different, 0, "{name}: of {EL1_NAMES:?}, bits");
    let different = registers::host_check(HOST + 1);
    ensure_eq!(different, 0, "{name}: of {HOST_NAMES:?}, bits");
    // SAFETY: the Host is built without floating point, which CPTR_EL2 does not trap.
    let different = unsafe { registers::vectors_check(HOST) };
    ensure_eq!(different, 0, "{name}: vector registers");
    for (what, found) in [
        ("CSSELR_EL1", mrs!("csselr_el1")),
        ("AFSR0_EL1", mrs!("afsr0_el1")),
        ("AFSR1_EL1", mrs!("afsr1_el1")),
        ("MDCCINT_EL1", mrs!("mdccint_el1")),
        ("ICH_AP0R0_EL2", mrs!("ich_ap0r0_el2")),
        ("ICH_AP1R0_EL2", mrs!("ich_ap1r0_el2")),
        ("ICH_HCR_EL2.En", mrs!("ich_hcr_el2") & 1),
        ("CNTVOFF_EL2", mrs!("cntvoff_el2")),
        ("DBGBCR0_EL1", mrs!("dbgbcr0_el1")),
        ("DBGWCR0_EL1", mrs!("dbgwcr0_el1")),
    ] {
        ensure_eq!(found, 0, "{name}: {what}");
    }
    Ok(())
}

fn exits_of(realm: &Realm, rec: &Rec) -> Check {
    for kind in kinds(realm.config.unprotected()) {
        // Exceptions of the last kind have changed some.
        rec.value_of(Op::SysSet, &[EL1])?;
        let interrupt = kind.reason == RecExitReason::Irq;
        if interrupt {
            gic::send_sgi(mrs!("mpidr_el1"));
        }
        let exit = rec.exit_of_entry(&kind.entry);
        let host = check_host(&kind);
        if interrupt {
            gic::taken();
        }
        let exit = exit.map_err(|why| alloc::format!("{}: {why}", kind.name))?;
        host?;
        ensure_eq!(exit.exit_reason, kind.reason as u8, "{}: reason", kind.name);
        check_record(&kind, &exit)?;
        if kind.name != "fetch" {
            rec.finish_with(&kind.answer)?;
            check_host(&kind)?;
        }
    }
    Ok(())
}

// Conformance: REC exits zero
// Conformance: Virtual GIC and timers host_interface
// Conformance: Invariants quiet
// Conformance: Bugs others fixed exit_state
fn every_exit() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?;
    rec.value_of(Op::FpSet, &[VECTORS])?;
    // AFSR0, AFSR1, CSSELR, MDCCINT, a breakpoint, as far as they hold anything.
    for register in [
        Register(3, 0, 5, 1, 0),
        Register(3, 0, 5, 1, 1),
        Register(3, 2, 0, 0, 0),
        Register(2, 0, 0, 2, 0),
        Register(2, 0, 0, 0, 5),
    ] {
        register.write(rec, 2)?;
    }
    let saved = (
        mrs!("vmpidr_el2"),
        mrs!("vpidr_el2"),
        mrs!("csselr_el1"),
        mrs!("mdccint_el1"),
    );
    msr!("csselr_el1", 0);
    msr!("mdccint_el1", 0);
    registers::el1_set(HOST);
    registers::host_set(HOST + 1);
    // SAFETY: the Host is built without floating point, which CPTR_EL2 does not trap.
    unsafe { registers::vectors_set(HOST) };
    let result = exits_of(&realm, rec);
    // As after reset: nothing of EL1 is in use here.
    msr!("cntv_ctl_el0", 0);
    msr!("cntp_ctl_el0", 0);
    msr!("sctlr_el1", 0x30D0_0980);
    msr!("mdscr_el1", 0);
    msr!("vmpidr_el2", saved.0);
    msr!("vpidr_el2", saved.1);
    msr!("csselr_el1", saved.2);
    msr!("mdccint_el1", saved.3);
    isb();
    result?;
    realm.finish()
}

/// A Realm with a page, whose timers are masked and, if it may have a PMU, whose cycle counter
/// has overflowed. Returns the time that the timers were set for.
fn with_timers_and_pmu(pmu: bool) -> Check<(Realm, u64)> {
    let config = Config {
        flags: if pmu { RealmFlags::PMU.bits() } else { 0 },
        pmu_num_ctrs: u8::from(pmu),
        ..Config::default()
    };
    let mut realm = Realm::loaded(&config)?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?;
    let time = now();
    let cycle_counter = 1 << 31;
    let registers = [
        (SysReg::CntvCval, time),
        (SysReg::CntpCval, time + 1),
        // ENABLE and IMASK.
        (SysReg::CntvCtl, 3),
        (SysReg::CntpCtl, 3),
        (SysReg::PmOvsSet, cycle_counter),
        (SysReg::PmIntenSet, cycle_counter),
        (SysReg::PmCntenSet, cycle_counter),
        (SysReg::Pmcr, 1),
    ];
    for (register, value) in &registers[..if pmu { 8 } else { 4 }] {
        rec.value_of(Op::Msr, &[*register as u64, *value])?;
    }
    Ok((realm, time))
}

/// The exit reports timers and PMU as [`with_timers_and_pmu`] has set them.
fn check_timers_and_pmu(exit: &RecExit, time: u64, pmu: bool, name: &str) -> Check {
    // ISTATUS too.
    ensure_eq!(exit.cntv_ctl, 7, "{name}: cntv_ctl");
    ensure_eq!(exit.cntv_cval, time, "{name}: cntv_cval");
    ensure_eq!(exit.cntp_ctl, 7, "{name}: cntp_ctl");
    ensure_eq!(exit.cntp_cval, time + 1, "{name}: cntp_cval");
    let overflow = u8::from(pmu);
    ensure_eq!(exit.pmu_ovf_status, overflow, "{name}: pmu_ovf_status");
    Ok(())
}

/// At every kind of exit, also that for an answer to a host call that cannot be written.
// Conformance: REC exits always
fn timers_and_pmu() -> Check {
    let features = needs::features()?;
    let pmu = features.pmu_en();
    let (realm, time) = with_timers_and_pmu(pmu)?;
    let rec = &realm.recs[0];
    for kind in kinds(realm.config.unprotected()) {
        let interrupt = kind.reason == RecExitReason::Irq;
        if interrupt {
            gic::send_sgi(mrs!("mpidr_el1"));
        }
        let exit = rec.exit_of_entry(&kind.entry);
        if interrupt {
            gic::taken();
        }
        let exit = exit.map_err(|why| alloc::format!("{}: {why}", kind.name))?;
        ensure_eq!(exit.exit_reason, kind.reason as u8, "{}: reason", kind.name);
        check_timers_and_pmu(&exit, time, pmu, kind.name)?;
        if kind.name != "fetch" {
            rec.finish_with(&kind.answer)?;
        }
    }
    realm.finish()?;
    let (mut realm, time) = with_timers_and_pmu(pmu)?;
    let rec = realm.recs[0].clone();
    realm.add_unknown(PAGE)?;
    let exit = rec.enter(&command(Op::Smc, &[rsi::fid::RSI_HOST_CALL, PAGE]))?;
    ensure_eq!(exit.exit_reason, RecExitReason::HostCall as u8, "reason");
    check_timers_and_pmu(&exit, time, pmu, "host call")?;
    realm.remove_page(PAGE)?;
    let exit = rec.exit_of_entry(&enter())?;
    ensure_eq!(exit.exit_reason, RecExitReason::Sync as u8, "reason");
    check_timers_and_pmu(&exit, time, pmu, "answer to a host call")?;
    realm.finish()
}

/// A priority that is active in the Realm stays active at the next entry, and does not act on the
/// Host.
fn active_priorities() -> Check {
    let realm = super::exit::running()?;
    let rec = &realm.recs[0];
    super::vgic::open(rec, 0xF8)?;
    let mut entry = super::vgic::acknowledge();
    entry.gicv3_lrs[0] = super::vgic::pending(40, 0x80);
    let exit = rec.enter(&entry)?;
    ensure_eq!(super::vgic::intid(&exit)?, 40, "INTID");
    ensure_eq!(mrs!("ich_ap1r0_el2"), 0, "ICH_AP1R0_EL2 after the exit");
    // The same priority again does not interrupt; ended, it does.
    let mut entry = super::vgic::acknowledge();
    entry.gicv3_lrs[0] = exit.gicv3_lrs[0];
    entry.gicv3_lrs[1] = super::vgic::pending(41, 0x80);
    let exit = rec.enter(&entry)?;
    ensure_eq!(
        super::vgic::intid(&exit)?,
        1023,
        "INTID while another is active"
    );
    let exit = rec.enter(&super::vgic::end(40, &exit))?;
    let mut entry = super::vgic::acknowledge();
    entry.gicv3_lrs = exit.gicv3_lrs;
    let exit = rec.enter(&entry)?;
    ensure_eq!(super::vgic::intid(&exit)?, 41, "INTID afterwards");
    rec.enter(&super::vgic::end(41, &exit))?;
    realm.finish()
}
