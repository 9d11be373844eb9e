// SPDX-License-Identifier: BSD-3-Clause
//! The world switch: saves the Host's EL1 and EL0 state, loads a Realm's, and the reverse.
//!
//! # Who switches which register
//! EL3 banks all general registers, SP_EL0, SP_EL2, the EL2 registers and, from interface 0.2 on,
//! the pointer authentication keys. The rest is switched here. The columns say who switches the
//! Realm's values and who the Host's.
//!
//! | registers | Realm | Host |
//! |---|---|---|
//! | X0 to X30, ELR_EL2, SPSR_EL2 | [`run`], each time | EL3 |
//! | X19 to X30 and SP of the monitor | [`run`], each time, on its stack | - |
//! | SP_EL0, pointer authentication keys | [`enter`], [`leave`]: the monitor uses neither | EL3 |
//! | `El1State` (SP_EL1 ... MDCCINT_EL1) | [`enter`], [`leave`], [`save_el1`], [`load_el1`] | [`enter`], [`leave`] |
//! | `TimerState` (CNTKCTL_EL1, CNTP_*, CNTV_*) | [`enter`], [`leave`] | [`enter`], [`leave`] |
//! | ICH_LR*, ICH_AP*, ICH_VMCR, ICH_HCR | `realm_gic` | the Host itself; it finds ICH_HCR_EL2.En = 0 |
//! | ICC_SRE_EL2, ICH_HCR_EL2, ICH_VMCR_EL2 from interface 2.0 on | `realm_gic` | `realm_gic` |
//! | ICH_* of a Realm of RMI 2.0 | the Host | the Host |
//! | Z, Q, P, FFR, FPSR, FPCR, PSTATE.SM | `simd`, when the Realm uses them | `simd` |
//! | VMPIDR_EL2, VTTBR_EL2, VTCR_EL2 | [`enter`] loads; VTCR_EL2.VS always fits the CPU | EL3 |
//! | HCR_EL2 | [`enter`] loads; the REC keeps VSE | EL3; [`leave`] for the monitor's own value |
//! | CPTR_EL2 | [`enter`] traps all, `simd` opens; `sha` opens for a moment | EL3; [`leave`] for the monitor's own value |
//! | VSESR_EL2 | [`enter`], [`pend_serror`] | [`enter`], [`leave`]: EL3 without RAS does not |
//! | DISR_EL1 | [`enter`] clears it; [`run`] reports an SError that the Realm left behind | [`enter`], [`leave`] |
//! | BRBCR_EL1 | 0: no branch records of a Realm | [`enter`], [`leave`] |
//! | BRBCR_EL2 | 0: no branch records of the monitor | EL3; `start` where EL3 does not |
//! | CNTHCTL_EL2 | `realm_timers` | EL3 |
//! | DBGBVR*, DBGBCR*, DBGWVR*, DBGWCR*_EL1, the OS lock | `realm_debug`, when the Realm uses them | `realm_debug` |
//! | PMUSERENR_EL0 | [`enter`], [`leave`]: it acts before the traps | [`enter`], [`leave`] |
//! | other PM*_EL0, PMINTEN*_EL1 | `realm_pmu`, when a Realm with a PMU uses them | `realm_pmu` |
//! | GCSCR_EL1 | 0: its EXLOCKEN acts without HCRX_EL2.GCSEn | [`enter`], [`leave`] |
//! | MDCR_EL2 | `realm_debug` and `realm_pmu` open it, and close it again | EL3 |
//! | VPIDR_EL2, HSTR_EL2, CNTVOFF_EL2, HCRX_EL2, HFG*_EL2, HDFG*_EL2, MPAM2_EL2, MPAMHCR_EL2 | constant, [`HostState::init`] | EL3 |
//! | CNTPOFF_EL2 | without effect: CNTHCTL_EL2.ECV is 0 | EL3 |
//! | SCTLR2_EL1, TCR2_EL1, PIR*_EL1, POR_EL*, other GCS*, SCXTNUM_EL*, MTE, SME, LORegions, MPAM, AMU, trace, SPE, BRBE registers, TPIDR2_EL0 | trapped and without effect | in place |
//! | other debug registers | trapped | in place |
//! | ACTLR_EL1 | trapped: reads as zero, and writes are ignored | in place |
//! | ICC_PMR_EL1, EL2 timers | stay the Host's, and keep working | in place |
//! | ICC_SRE_EL1 | in place: RAO/WI, as the GIC has no legacy interface | in place |
//! | RCWMASK_EL1, RCWSMASK_EL1, PMUACR_EL1 | trapped; instructions obey the Host's values | in place |
//!
//! # The way back from a Realm
//! While a Realm runs, SP_EL2 points to a frame that [`run`] has built on the stack it was called
//! on; its first word is the address of the [`RecContext`]. The vectors branch to
//! `realm_exit_sync`, `_irq`, `_fiq` and `_serror` with all general registers and SP_EL2 as the
//! exception left them. TPIDR_EL2 is not used. The monitor runs on SP_EL2.

use super::optional::Optional;
use super::realm_debug::HostDebug;
use super::realm_gic::GicInterface;
use super::realm_pmu::HostPmu;
use super::realm_timers;
use super::registers::*;
use super::simd::HostSimd;
use crate::boot::El3Interface;
use crate::encoding::traps::{
    CPTR_ALL_TRAPPED, HCR_VSE, HDFGRTR, HDFGWTR, MPAM2, MPAMHCR, hcr, hcrx, mdcr,
};
use crate::encoding::{fixup, stage2 as encode, syndrome};
use crate::machine::{El1State, EntryControls, Exception, OnCpu, RecContext, TimerState};
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use rmm_granule::Ipa;
use rmm_rtt::Stage2;

/// Kinds of exceptions, in the order of the vectors.
const SYNC: u64 = 0;
const IRQ: u64 = 1;
const FIQ: u64 = 2;
const SERROR: u64 = 3;
/// Added if DISR_EL1 holds an SError that the Realm left behind.
const DEFERRED: u64 = 4;

global_asm!(
    include_str!("realm_switch.S"),
    pc = const offset_of!(RecContext, pc),
    sync = const SYNC,
    irq = const IRQ,
    fiq = const FIQ,
    serror = const SERROR,
    deferred = const DEFERRED,
    disr_a = const set!(DISR_EL1: A),
);

// SAFETY: the first four access their operand alone, and registers that act at EL1 and EL0 or, the
// keys, that the monitor does not use. Without pointer authentication the keys end in an exception of
// the monitor.
unsafe extern "C" {
    safe fn realm_save_el1(to: &mut El1State);
    safe fn realm_load_el1(from: &El1State);
    safe fn realm_save_keys(to: &mut [u64; 10]);
    safe fn realm_load_keys(from: &[u64; 10]);
    /// Runs the Realm; returns the kind of exception that ended the run.
    ///
    /// # Safety
    /// The REC of `rec` is entered on this CPU.
    unsafe fn realm_run(rec: &mut RecContext) -> u64;
}

/// The layout that `realm_switch.S` assumes.
const _: () = {
    macro_rules! el1_fields {
        ($($field:ident),*) => {{
            let mut offset = 0;
            $(
                assert!(offset_of!(El1State, $field) == offset);
                offset += 8;
            )*
            assert!(size_of::<El1State>() == offset);
        }};
    }
    el1_fields! {
        sp_el1, elr, spsr, esr, far, afsr0, afsr1, vbar, disr, sctlr, cpacr, csselr, ttbr0,
        ttbr1, tcr, mair, amair, contextidr, par, tpidr_el1, tpidr_el0, tpidrro_el0, mdscr, mdccint
    }
    assert!(offset_of!(RecContext, gprs) == 0);
    assert!(offset_of!(RecContext, pstate) == offset_of!(RecContext, pc) + 8);
};

/// For so many VMIDs, by their lowest bits, a CPU remembers the REC that ran last. Of two Realms with the
/// same bits that take turns on a CPU each entry forgets translations and instructions. Hosts take the
/// lowest VMIDs that are free, so no two of their first 1,024 Realms meet.
const LAST_RECS: usize = 1024;

/// The Host's registers on this CPU that EL3 does not bank, while a REC is entered; and what the
/// switch has to know about the CPU. Lives in the CPU's own memory, zero at boot.
// In this order one base register and short offsets reach what each entry and exit of a REC uses.
#[repr(C)]
pub struct HostState {
    el1: El1State,
    timers: TimerState,
    pub(super) gic: GicInterface,
    vsesr: u64,
    disr: u64,
    brbcr: u64,
    gcscr: u64,
    /// `HCR_EL2` of the monitor.
    monitor_hcr: u64,
    /// `CPTR_EL2` of the monitor.
    monitor_cptr: u64,
    /// `HCR_EL2` that all RECs have in common.
    hcr: u64,
    /// `VTCR_EL2` that all Realms have in common.
    vtcr: u64,
    /// `ID_AA64MMFR0_EL1.PARange`.
    pa_range: u64,
    /// Realms have pointer authentication.
    has_keys: bool,
    /// The CPU has branch records.
    has_brbe: bool,
    /// The CPU has Guarded Control Stacks.
    has_gcs: bool,
    pub(super) pmu: HostPmu,
    pub(super) debug: HostDebug,
    pub(super) simd: HostSimd,
    /// For each VMID, by its lowest bits, the serial number of the REC that ran here last with it.
    last_recs: [u64; LAST_RECS],
}

impl HostState {
    /// Finds out what this CPU has, and sets the EL2 registers that no REC changes. Called once on
    /// each boot of a CPU, before it serves its first RMI call.
    ///
    /// # Safety
    /// Runs at EL2 with `HCR_EL2.E2H` = 1, on the CPU that this state belongs to. No REC is entered.
    pub unsafe fn init(&mut self, el3: El3Interface, open: &Optional) {
        let (dfr0, mmfr0) = (ID_AA64DFR0_EL1.get(), ID_AA64MMFR0_EL1.get());
        let mmfr1 = ID_AA64MMFR1_EL1.get();
        let pfr1 = ID_AA64PFR1_EL1.get();
        let has_fgt = ID_AA64MMFR0_EL1::FGT.is_set(mmfr0);

        self.has_keys = open.pauth;
        self.has_brbe = open.brbe;
        if open.brbe {
            BRBCR_EL2.clear();
        }
        self.has_gcs = open.gcs;

        self.hcr = hcr(self.has_keys, mmfr1, pfr1);
        self.pa_range = ID_AA64MMFR0_EL1::PARange.read(mmfr0);
        self.vtcr = encode::vtcr_base(mmfr1);
        self.simd.init(open);
        self.debug.init();
        self.pmu.init(open);
        self.gic.init(el3.shares_gic_registers());

        // These registers decide what traps from EL1 and EL0 and what those levels read; each
        // exists if its feature does.
        MDCR_EL2.set(mdcr(self.pmu.counters(), dfr0, has_fgt));
        // For VTCR_EL2.VS: without it TLBI, too, uses 8 bits of a VMID, and this CPU may execute
        // TLBI before it runs its first REC.
        // SAFETY: no REC is entered, so no stage 2 translation happens.
        unsafe { VTCR_EL2.set(self.vtcr) };
        realm_timers::init();
        VPIDR_EL2.set(MIDR_EL1.get());
        HSTR_EL2.clear();
        if open.hcx {
            HCRX_EL2.set(hcrx(pfr1));
        }
        // Zero traps the registers that are newer than the traps themselves, and no older ones.
        if open.fgt {
            HFGRTR_EL2.clear();
            HFGWTR_EL2.clear();
            HFGITR_EL2.clear();
            HDFGRTR_EL2.set(HDFGRTR);
            HDFGWTR_EL2.set(HDFGWTR);
        }
        if open.fgt2 {
            HFGRTR2_EL2.clear();
            HFGWTR2_EL2.clear();
            HFGITR2_EL2.clear();
            HDFGRTR2_EL2.clear();
            HDFGWTR2_EL2.clear();
        }
        if open.mpam {
            MPAM2_EL2.set(MPAM2);
            if MPAMIDR_EL1.is_set(MPAMIDR_EL1::HAS_HCR) {
                MPAMHCR_EL2.set(MPAMHCR);
            }
        }
        isb();
    }
}

impl HostState {
    /// The bits that are set in any list register.
    pub fn list_registers(&self) -> u64 {
        self.gic.list_registers()
    }

    /// Closes the virtual GIC interface of the Host.
    pub fn close_gic(&self) {
        self.gic.close();
    }
}

/// Saves the Host's state and loads the REC's. FP/SIMD stays the Host's and traps.
///
/// # Safety
/// Runs on the CPU that `host` belongs to, after [`HostState::init`], with no REC entered. The
/// tables of `stage2` stay until the REC has left, and map no memory but the Realm's and the Host's.
pub unsafe fn enter(
    host: &mut HostState,
    rec: &mut RecContext,
    stage2: &Stage2,
    controls: EntryControls,
) {
    let mut hcr = host.hcr | rec.hcr_extra & HCR_VSE;
    if controls.trap_wfi {
        hcr |= set!(HCR_EL2: TWI);
    }
    if controls.trap_wfe {
        hcr |= set!(HCR_EL2: TWE);
    }
    realm_save_el1(&mut host.el1);
    realm_timers::save(&mut host.timers);
    host.pmu.stop(&rec.pmu);
    host.vsesr = VSESR_EL2.get();
    host.disr = DISR_EL1.get();
    DISR_EL1.clear();
    settle_serror();
    if host.has_brbe {
        host.brbcr = BRBCR_EL12.get();
        BRBCR_EL12.clear();
    }
    if host.has_gcs {
        host.gcscr = GCSCR_EL12.get();
        GCSCR_EL12.clear();
    }
    host.simd.keep_q_alone(controls.no_sve_state);
    host.monitor_hcr = HCR_EL2.get();
    host.monitor_cptr = CPTR_EL2.get();

    // SAFETY: the monitor's own translation and the routing of its exceptions stay: E2H does, and
    // the other fields of HCR_EL2 concern lower levels. By the contract, these tables map what the
    // Realm may reach.
    unsafe {
        HCR_EL2.set(hcr);
        VTCR_EL2.set(encode::vtcr(host.vtcr, host.pa_range, stage2));
        VTTBR_EL2.set(encode::vttbr(stage2));
    }
    CPTR_EL2.set(CPTR_ALL_TRAPPED);
    VMPIDR_EL2.set(rec.vmpidr);
    VSESR_EL2.set(rec.vsesr);
    realm_load_el1(&rec.el1);
    SP_EL0.set(rec.sp_el0);
    if host.has_keys {
        realm_load_keys(&rec.pauth);
    }
    realm_timers::load(&rec.timers);
    host.gic.enter(&rec.gic, controls.host_gic);
    // The timers must run with what was loaded before the monitor first looks at them.
    isb();
    let last = &mut host.last_recs[usize::from(stage2.vmid) % LAST_RECS];
    if *last != rec.serial {
        *last = rec.serial;
        forget_other_recs();
    }
}

/// Takes an SError that the monitor's own accesses caused before it can be mistaken for one of the
/// Realm that runs next.
#[inline]
fn settle_serror() {
    // SAFETY: ESB moves an SError that is pending to DISR_EL1.
    unsafe { asm!("hint #16", options(nostack, preserves_flags)) };
    let disr = DISR_EL1.get();
    if DISR_EL1::A.is_set(disr) {
        own_serror(disr);
    }
}

/// Handles an SError of the monitor's own, with this `DISR_EL1`.
///
/// # Panics
/// The error did harm: the hardware is broken.
#[cold]
fn own_serror(disr: u64) {
    if !syndrome::is_harmless(disr) {
        // Not `bug!`: the syndrome says what is broken, and concerns the monitor's accesses alone.
        panic!("SError of the monitor, DISR {disr:#x}");
    }
    DISR_EL1.clear();
}

/// Forgets the translations and instructions that other RECs of the entered Realm left in this CPU:
/// an ASID means something else to each REC.
#[cold]
fn forget_other_recs() {
    // SAFETY: forgets translations and instructions.
    unsafe {
        asm!(
            "tlbi vmalle1",
            "ic iallu",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

/// Translates a VA by stage 1 of the REC that is entered. `None` if its tables do not translate it,
/// or cannot be read.
pub fn resolve_ipa(_: &OnCpu<'_>, va: u64) -> Option<Ipa> {
    let saved = PAR_EL1.get();
    let mut is_translated = 0_u64;
    // Host or Realm may have put the Realm's tables where an external abort answers the walk: an
    // exception of this instruction, which `.fixups` expects.
    // SAFETY: translates, and changes nothing but PAR_EL1. After the exception all registers are
    // as they were, but the syndrome registers of EL2, whose values `run` has returned.
    unsafe {
        asm!(
            "2: at s1e1r, {va}",
            "isb",
            "3: mov {is_translated}, #1",
            "4:",
            ".pushsection .fixups, \"a\"",
            ".balign 8",
            ".quad 2b, 3b, 4b, {walk_abort}",
            ".popsection",
            va = in(reg) va,
            is_translated = inout(reg) is_translated,
            walk_abort = const fixup::WALK_ABORT,
            options(nostack, preserves_flags)
        );
    }
    let par = PAR_EL1.get();
    // The register belongs to the Realm.
    PAR_EL1.set(saved);
    (is_translated != 0).then(|| syndrome::translated(par))?
}

/// Runs the Realm until the next exception that is taken to the monitor. General registers, PC
/// and PSTATE are in `rec` before and after.
#[inline]
pub fn run(rec: &mut OnCpu<'_>) -> Exception {
    // SAFETY: the REC is entered: `rec` proves it.
    match unsafe { realm_run(rec) } {
        SYNC => Exception::Sync {
            esr: ESR_EL2.get(),
            far: FAR_EL2.get(),
            hpfar: HPFAR_EL2.get(),
        },
        IRQ => Exception::Irq,
        FIQ => Exception::Fiq,
        SERROR => Exception::SError { esr: ESR_EL2.get() },
        deferred => Exception::SError {
            esr: deferred_serror(deferred, rec),
        },
    }
}

/// `ESR_EL2` of an SError that the Realm left behind when it took another exception, which is reported in
/// place of that one. The other exception happens again: interrupts stay pending, and instructions are
/// repeated. Only an SError does not: of two, the more severe one is reported.
#[cold]
#[inline(never)]
fn deferred_serror(kind: u64, rec: &mut RecContext) -> u64 {
    let esr = ESR_EL2.get();
    let deferred = syndrome::serror_of(DISR_EL1.get());
    // It is being reported.
    DISR_EL1.clear();
    if kind == SERROR | DEFERRED {
        return syndrome::more_severe(esr, deferred);
    }
    if kind == SYNC | DEFERRED && syndrome::is_hvc(esr) {
        // Wrapping, as the CPU's own PC does.
        rec.pc = rec.pc.wrapping_sub(4);
    }
    deferred
}

/// Saves the REC's state, closes the virtual GIC interface and loads the Host's state.
///
/// # Safety
/// The REC of `rec` is entered on this CPU, with this `host`; FP/SIMD is the Host's.
pub unsafe fn leave(host: &mut HostState, rec: &mut RecContext) {
    realm_save_el1(&mut rec.el1);
    rec.sp_el0 = SP_EL0.get();
    if host.has_keys {
        realm_save_keys(&mut rec.pauth);
    }
    rec.hcr_extra = HCR_EL2.get() & HCR_VSE;
    realm_timers::save(&mut rec.timers);
    host.gic.leave(&mut rec.gic);
    // A walk that the Realm's EL1 or EL0 began may go on at EL2 (R_LFHQG). It must end before the
    // registers are the Host's, or the TLB would keep its result as the Realm's.
    barrier::dsb(barrier::NSH);

    realm_load_el1(&host.el1);
    realm_timers::load(&host.timers);
    host.pmu.resume(&mut rec.pmu);
    VSESR_EL2.set(host.vsesr);
    // It is clear: each SError that the Realm left behind has been reported by the exit.
    DISR_EL1.set(host.disr);
    if host.has_brbe {
        BRBCR_EL12.set(host.brbcr);
    }
    if host.has_gcs {
        GCSCR_EL12.set(host.gcscr);
    }
    CPTR_EL2.set(host.monitor_cptr);
    // SAFETY: the value before `enter`.
    unsafe { HCR_EL2.set(host.monitor_hcr) };
    isb();
}

/// Brings `rec.el1` up to date.
pub fn save_el1(rec: &mut OnCpu<'_>) {
    realm_save_el1(&mut rec.el1);
}

/// Loads `rec.el1` after a change to it.
pub fn load_el1(rec: &OnCpu<'_>) {
    realm_load_el1(&rec.el1);
}

/// Pends a virtual SError for the Realm; `syndrome` as in `VSESR_EL2`.
pub fn pend_serror(rec: &mut OnCpu<'_>, syndrome: u64) {
    rec.vsesr = syndrome;
    VSESR_EL2.set(syndrome);
    // SAFETY: pends an SError for EL1, and changes nothing else.
    unsafe { HCR_EL2.set(HCR_EL2.get() | HCR_VSE) };
}
