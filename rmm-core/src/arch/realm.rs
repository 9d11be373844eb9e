// SPDX-License-Identifier: BSD-3-Clause
//! The world switch: the Host's EL1 and EL0 state out, a Realm's in, and back.
//!
//! # Who switches which register
//! EL3 banks all general registers, SP_EL0, SP_EL2, the EL2 registers and, from interface 0.2 on,
//! the pointer authentication keys. The rest is switched here.
//!
//! | registers | the Realm's | the Host's |
//! |---|---|---|
//! | X0 to X30, ELR_EL2, SPSR_EL2 | [`run`], each time | EL3 |
//! | X19 to X30 and SP of the monitor | [`run`], each time, on its stack | - |
//! | SP_EL0, pointer authentication keys | [`enter`], [`leave`]: the monitor uses neither | EL3 |
//! | `El1State` (SP_EL1 ... MDCCINT_EL1) | [`enter`], [`leave`], [`save_el1`], [`load_el1`] | [`enter`], [`leave`] |
//! | `TimerState` (CNTKCTL_EL1, CNTP_*, CNTV_*) | [`enter`], [`leave`] | [`enter`], [`leave`] |
//! | ICH_LR*, ICH_AP*, ICH_VMCR, ICH_HCR | `realm_gic` | its own affair; ICH_HCR_EL2.En is 0 for it |
//! | ICC_SRE_EL2, ICH_HCR_EL2, ICH_VMCR_EL2 from interface 2.0 on | `realm_gic` | `realm_gic` |
//! | Z, Q, P, FFR, FPSR, FPCR, PSTATE.SM | `simd`, when the Realm uses them | `simd` |
//! | VMPIDR_EL2, VTTBR_EL2, VTCR_EL2 | [`enter`] loads; VTCR_EL2.VS is always that of the CPU | EL3 |
//! | HCR_EL2 | [`enter`] loads; VSE is kept in the REC | EL3; the monitor's own by [`leave`] |
//! | CPTR_EL2 | [`enter`] traps all, `simd` opens | EL3; the monitor's own by [`leave`] |
//! | VSESR_EL2 | [`enter`], [`pend_serror`] | [`enter`], [`leave`]: EL3 without RAS does not |
//! | DISR_EL1 | [`enter`] has none pending; [`run`] takes what the Realm left behind | [`enter`], [`leave`] |
//! | BRBCR_EL1 | 0: no branch records of a Realm | [`enter`], [`leave`] |
//! | BRBCR_EL2 | 0: nor of the monitor | EL3; `start` where it does not |
//! | CNTHCTL_EL2 | `realm_timers` | EL3 |
//! | DBGBVR*, DBGBCR*, DBGWVR*, DBGWCR*_EL1, the OS lock | `realm_debug`, when the Realm uses them | `realm_debug` |
//! | PMUSERENR_EL0 | [`enter`], [`leave`]: it acts before the traps | [`enter`], [`leave`] |
//! | other PM*_EL0, PMINTEN*_EL1 | `realm_pmu`, when a Realm with a PMU uses them | `realm_pmu` |
//! | GCSCR_EL1 | 0: its EXLOCKEN acts without HCRX_EL2.GCSEn | [`enter`], [`leave`] |
//! | MDCR_EL2 | `realm_debug` and `realm_pmu` open it | EL3; the monitor's own by them |
//! | VPIDR_EL2, HSTR_EL2, CNTVOFF_EL2, HCRX_EL2, HFG*_EL2, HDFG*_EL2, MPAM2_EL2, MPAMHCR_EL2 | constant, [`HostState::init`] | EL3 |
//! | CNTPOFF_EL2 | without effect: CNTHCTL_EL2.ECV is 0 | EL3 |
//! | SCTLR2_EL1, TCR2_EL1, PIR*_EL1, POR_EL*, other GCS*, SCXTNUM_EL*, MTE, SME, LORegions, MPAM, AMU, trace, SPE, BRBE registers, TPIDR2_EL0 | trapped and without effect | in place |
//! | other debug registers | trapped | in place |
//! | ACTLR_EL1 | trapped: reads as zero, and writes are ignored | in place |
//! | ICC_PMR_EL1, EL2 timers | the Host's go on working | in place |
//!
//! # The way back from a Realm
//! While a Realm runs, SP_EL2 points to a frame that [`run`] has built on the stack it was called
//! on; its first word is the address of the [`RecContext`]. The vectors branch to
//! `realm_exit_sync`, `_irq`, `_fiq` and `_serror` with all general registers and SP_EL2 as the
//! exception left them. TPIDR_EL2 is not used. The monitor runs on SP_EL2.

use super::exception::fatal;
use super::fixup;
use super::optional::Optional;
use super::realm_debug::HostDebug;
use super::realm_gic::GicInterface;
use super::realm_pmu::HostPmu;
use super::realm_timers;
use super::registers::*;
use super::simd::{CPTR_ALL_TRAPPED, HostSimd};
use crate::boot::El3Interface;
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
/// Added if DISR_EL1 holds an SError of the Realm.
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

unsafe extern "C" {
    fn realm_save_el1(to: *mut El1State);
    fn realm_load_el1(from: *const El1State);
    fn realm_save_keys(to: *mut [u64; 10]);
    fn realm_load_keys(from: *const [u64; 10]);
    fn realm_run(rec: *mut RecContext) -> u64;
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

/// `HCR_EL2` while a Realm runs: stage 2 on; set/way invalidation cleans as well; no walks through
/// device memory; IRQ, FIQ and SError are EL2's; barriers reach the inner shareable domain at
/// least; SMC and the ID registers trap; IMPLEMENTATION DEFINED registers and controls trap; EL1 is
/// AArch64; external aborts and accesses to error records go to EL2; stage 2 decides on
/// cacheability; what the Realm invalidates on its CPU is invalidated on all, since the Host may
/// move a REC.
///
/// Zero, with intent: TGE; GPF, so that a granule protection fault is the Realm's; FIEN; ATA (no
/// MTE); EnSCXT; NV; DC; TWI and TWE unless asked for.
const HCR_BASE: u64 = {
    let stage2 = set!(HCR_EL2: VM | SWIO | PTW | FB | FWB) | HCR_EL2::BSU::InnerShareable.value;
    let traps = set!(HCR_EL2: FMO | IMO | AMO | TID1 | TID3 | TSC | TIDCP | TACR | TERR | TEA);
    set!(HCR_EL2: E2H | RW) | stage2 | traps
};
/// A virtual SError is pending.
const HCR_VSE: u64 = set!(HCR_EL2: VSE);

/// `VTCR_EL2`: walks inner shareable, write-back cacheable; 4 KiB granules; no hardware updates.
const VTCR_BASE: u64 = {
    use VTCR_EL2::{IRGN0, ORGN0, SH0, TG0};
    let walks = SH0::Inner.value | ORGN0::NormalWBRAWA.value | IRGN0::NormalWBRAWA.value;
    set!(VTCR_EL2: RES1 | NSA) | TG0::Granule4KB.value | walks
};

/// VMIDs, by their lowest bits, for which a CPU remembers the REC that ran last.
const LAST_RECS: usize = 16;

/// What this CPU's Host keeps in registers that EL3 does not bank, while a REC is entered; and
/// what the switch has to know of the CPU. Lives in the CPU's own memory, zero at boot.
#[repr(C)]
pub struct HostState {
    pub(super) simd: HostSimd,
    el1: El1State,
    timers: TimerState,
    gic: GicInterface,
    pub(super) debug: HostDebug,
    pub(super) pmu: HostPmu,
    vsesr: u64,
    disr: u64,
    brbcr: u64,
    gcscr: u64,
    /// `HCR_EL2` of the monitor.
    monitor_hcr: u64,
    /// `CPTR_EL2` of the monitor.
    monitor_cptr: u64,
    /// `HCR_EL2` of any REC.
    hcr: u64,
    /// `VTCR_EL2` of any Realm: what depends on the CPU alone.
    vtcr: u64,
    /// `ID_AA64MMFR0_EL1.PARange`.
    pa_range: u64,
    /// For each VMID, by its lowest bits, the serial number of the REC that ran here last with it.
    last_recs: [u64; LAST_RECS],
    /// Realms have pointer authentication.
    has_keys: bool,
    /// There are branch records.
    has_brbe: bool,
    /// There are Guarded Control Stacks.
    has_gcs: bool,
}

impl HostState {
    /// Finds out what this CPU has and gives the EL2 registers that no REC changes their values.
    /// Called once on each boot of a CPU, before it serves its first RMI call.
    ///
    /// # Safety
    /// Runs at EL2 with `HCR_EL2.E2H` = 1, on the CPU whose own this state is.
    pub unsafe fn init(&mut self, el3: El3Interface, open: &Optional) {
        let (dfr0, mmfr0) = (ID_AA64DFR0_EL1.get(), ID_AA64MMFR0_EL1.get());
        let mmfr1 = ID_AA64MMFR1_EL1.get();
        let pfr1 = ID_AA64PFR1_EL1.get();
        let has_fgt = MMFR0_FGT.is_set(mmfr0);

        // Before interface 0.2 EL3 neither banks the keys nor lets the Realm world use them.
        let has_pauth = ID_AA64ISAR1_EL1.get() & set!(ID_AA64ISAR1_EL1: APA | API) != 0
            || ID_AA64ISAR2_EL1.is_set(ID_AA64ISAR2_EL1::APA3);
        self.has_keys = has_pauth && el3.banks_pauth_keys();
        self.has_brbe = open.brbe;
        if open.brbe {
            BRBCR_EL2.set(0);
        }
        self.has_gcs = open.gcs;

        self.hcr = HCR_BASE;
        if self.has_keys {
            self.hcr |= set!(HCR_EL2: APK | API);
        }
        // LORegion registers trap.
        if ID_AA64MMFR1_EL1::LO.is_set(mmfr1) {
            self.hcr |= set!(HCR_EL2: TLOR);
        }
        // GMID_EL1 traps.
        if ID_AA64PFR1_EL1::MTE.read(pfr1) > 1 {
            self.hcr |= set!(HCR_EL2: TID5);
        }
        self.pa_range = ID_AA64MMFR0_EL1::PARange.read(mmfr0);
        self.vtcr = VTCR_BASE;
        if ID_AA64MMFR1_EL1::VMIDBits::Bits16.matches_all(mmfr1) {
            self.vtcr |= VTCR_EL2::VS::Bits16.value;
        }
        self.simd.init(open);
        self.debug.init();
        self.pmu.init(open);
        // SAFETY: no REC is entered.
        unsafe { self.gic.init(el3.shares_gic_registers()) };

        // These registers decide on traps from EL1 and EL0 and on what those levels read; each
        // exists if its feature does.
        MDCR_EL2.set(mdcr(self.pmu.counters(), dfr0, has_fgt));
        // `VS`: invalidation, too, knows a VMID of 16 bits only with it, before the first REC runs
        // here or after.
        VTCR_EL2.set(self.vtcr);
        realm_timers::init();
        VPIDR_EL2.set(MIDR_EL1.get());
        HSTR_EL2.set(0);
        if open.hcx {
            HCRX_EL2.set(0);
        }
        // Zero traps what is newer than the traps themselves, and nothing older.
        if open.fgt {
            HFGRTR_EL2.set(0);
            HFGWTR_EL2.set(0);
            HFGITR_EL2.set(0);
            // These trap also while the Realm has the breakpoints: they are the external
            // debugger's. And the names of trace and profiling buffers, which nothing else traps.
            let buffers = set!(HDFGRTR_EL2: PMBIDR_EL1 | TRBIDR_EL1);
            HDFGRTR_EL2.set(buffers | set!(HDFGRTR_EL2: OSECCR_EL1 | DBGPRCR_EL1 | DBGCLAIM));
            HDFGWTR_EL2.set(set!(HDFGWTR_EL2: OSECCR_EL1 | DBGPRCR_EL1 | DBGCLAIM));
        }
        if open.fgt2 {
            HFGRTR2_EL2.set(0);
            HFGWTR2_EL2.set(0);
            HFGITR2_EL2.set(0);
            HDFGRTR2_EL2.set(0);
            HDFGWTR2_EL2.set(0);
        }
        if open.mpam {
            // TIDR is RES0 where it is not.
            MPAM2_EL2.set(set!(MPAM2_EL2: TIDR | TRAPMPAM0EL1 | TRAPMPAM1EL1));
            if MPAMIDR_EL1.is_set(MPAMIDR_EL1::HAS_HCR) {
                MPAMHCR_EL2.set(set!(MPAMHCR_EL2: TRAP_MPAMIDR_EL1));
            }
        }
        isb();
    }

    /// `VTCR_EL2` of a Realm.
    #[inline(always)]
    fn vtcr(&self, stage2: &Stage2) -> u64 {
        use VTCR_EL2::{PS, SL0, T0SZ};
        let t0sz = T0SZ.val(64_u64.wrapping_sub(stage2.ipa_width.into()));
        let start = match stage2.start_level {
            -1 => VTCR_SL2.val(1),
            0 => SL0::Granule4KBLevel0,
            1 => SL0::Granule4KBLevel1,
            2 => SL0::Granule4KBLevel2,
            _ => SL0::Granule4KBLevel3,
        };
        let output = if stage2.has_lpa2() {
            VTCR_DS.val(1) + PS.val(self.pa_range)
        } else {
            PS.val(self.pa_range.min(PS::Value::PA_48B_256TB as u64))
        };
        self.vtcr | (t0sz + start + output).value
    }
}

/// `VTTBR_EL2` of a Realm: VMID, and the base with its bits 51:48 at 5:2.
#[inline(always)]
fn vttbr(stage2: &Stage2) -> u64 {
    let base = stage2.base.as_u64();
    let vmid = VTTBR_EL2::VMID.val(stage2.vmid.into()).value;
    vmid | base & 0xFFFF_FFFF_F000 | base >> 46 & 0x3C
}

/// `MDCR_EL2`: no debug, PMU, trace or profiling for Realms, and no counting in the monitor. All
/// `counters` are EL1's. `dfr0` is the ID register of this name; with FEAT_FGT there is TDCC.
fn mdcr(counters: usize, dfr0: u64, has_fgt: bool) -> u64 {
    use ID_AA64DFR0_EL1::{MTPMU, PMSVer, PMUVer, TraceFilt};
    // Zero, with intent: TDE, and E2PB and E2TB, which then trap the buffer registers.
    let mut value = MDCR_EL2::HPMN.val(counters as u64).value;
    value |= set!(MDCR_EL2: TDA | TDOSA | TDRA | TPM | TPMCR);
    // 0xF: a PMU of another architecture.
    let pmu = PMUVer.read(dfr0);
    if pmu != 0 && pmu != 0xF {
        if pmu >= 4 {
            value |= set!(MDCR_EL2: HPMD);
        }
        if pmu >= 6 {
            value |= set!(MDCR_EL2: HCCD);
        }
        if MTPMU::Implemented.matches_all(dfr0) {
            value |= set!(MDCR_EL2: MTPME);
        }
    }
    if PMSVer.is_set(dfr0) {
        value |= set!(MDCR_EL2: TPMS);
    }
    if TraceFilt.is_set(dfr0) {
        value |= set!(MDCR_EL2: TTRF);
    }
    // The communications channel is trapped also while the Realm has the breakpoints.
    if has_fgt {
        value |= set!(MDCR_EL2: TDCC);
    }
    value
}

/// Puts the Host's state aside and loads the REC's; FP/SIMD stays the Host's and traps.
///
/// # Safety
/// Runs on the CPU whose own `host` is, after [`HostState::init`], with no REC entered. `stage2`
/// is a Realm's, whose tables outlive the run. No more memory of the monitor is reachable by them
/// than the Realm may have.
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
    // SAFETY: the state is this CPU's own.
    unsafe { realm_save_el1(&raw mut host.el1) };
    realm_timers::save(&mut host.timers);
    // SAFETY: a REC is being entered.
    unsafe { host.pmu.stop(&rec.pmu) };
    host.vsesr = VSESR_EL2.get();
    host.disr = DISR_EL1.get();
    DISR_EL1.set(0);
    settle_serror();
    if host.has_brbe {
        host.brbcr = BRBCR_EL12.get();
        BRBCR_EL12.set(0);
    }
    if host.has_gcs {
        host.gcscr = GCSCR_EL12.get();
        GCSCR_EL12.set(0);
    }
    host.monitor_hcr = HCR_EL2.get();
    host.monitor_cptr = CPTR_EL2.get();

    // The monitor's own translation and the routing of its exceptions stay: E2H does, and what
    // HCR_EL2 says otherwise concerns lower levels.
    HCR_EL2.set(hcr);
    CPTR_EL2.set(CPTR_ALL_TRAPPED);
    VTCR_EL2.set(host.vtcr(stage2));
    VTTBR_EL2.set(vttbr(stage2));
    VMPIDR_EL2.set(rec.vmpidr);
    VSESR_EL2.set(rec.vsesr);
    // SAFETY: the Host's registers are saved. The keys exist, and the monitor does not use them.
    unsafe {
        realm_load_el1(&raw const rec.el1);
        SP_EL0.set(rec.sp_el0);
        if host.has_keys {
            realm_load_keys(&raw const rec.pauth);
        }
        realm_timers::load(&rec.timers);
        host.gic.enter(&rec.gic);
    }
    // So that the first look at the timers sees what was loaded.
    isb();
    let last = &mut host.last_recs[usize::from(stage2.vmid) % LAST_RECS];
    if *last != rec.serial {
        *last = rec.serial;
        forget_other_recs();
    }
}

/// An SError that the monitor's own accesses caused must not be taken for one of the Realm that
/// runs next.
#[inline(always)]
fn settle_serror() {
    // SAFETY: ESB moves an SError that is pending to DISR_EL1.
    unsafe { asm!("hint #16", options(nostack, preserves_flags)) };
    let disr = DISR_EL1.get();
    if DISR_EL1::A.is_set(disr) {
        own_serror(disr);
    }
}

/// Judges an SError of the monitor's own, with this `DISR_EL1`.
#[cold]
fn own_serror(disr: u64) {
    use DISR_EL1::{AET, DFSC, IDS};
    let categorised = !IDS.is_set(disr) && DFSC::Asynchronous.matches_all(disr);
    if !(categorised && (AET::Restartable.matches_all(disr) || AET::Corrected.matches_all(disr))) {
        fatal(format_args!("SError of the monitor, DISR {disr:#x}"));
    }
    // No harm was done.
    DISR_EL1.set(0);
}

/// Forgets what other RECs of the Realm entered left in this CPU: their ASIDs are theirs alone.
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
    const PA: u64 = (1 << 52) - (1 << 12);
    let saved = PAR_EL1.get();
    let mut is_translated = 0_u64;
    // The Realm's tables may lie where Host or Realm have external aborts answer the walk: an
    // exception of this instruction, expected by the entry in the table.
    // SAFETY: translates, and changes nothing but PAR_EL1. After the exception all registers are
    // as they were, but those of EL2 that tell of it, whose values `run` has returned.
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
    // It is the Realm's.
    PAR_EL1.set(saved);
    (is_translated != 0 && !PAR_EL1::F.is_set(par)).then_some(Ipa(par & PA))
}

/// Runs the Realm until the next exception that is taken to the monitor. General registers, PC
/// and PSTATE are in `rec` before and after.
#[inline(always)]
pub fn run(rec: &mut OnCpu<'_>) -> Exception {
    let context: &mut RecContext = rec;
    // SAFETY: the REC is entered, so that what the Realm reaches is its own. `realm_run` comes
    // back with the stack and the registers as any function does.
    match unsafe { realm_run(&raw mut *context) } {
        SYNC => Exception::Sync {
            esr: ESR_EL2.get(),
            far: FAR_EL2.get(),
            hpfar: HPFAR_EL2.get(),
        },
        IRQ => Exception::Irq,
        FIQ => Exception::Fiq,
        SERROR => Exception::SError { esr: ESR_EL2.get() },
        deferred => deferred_serror(deferred, rec),
    }
}

/// An SError that the Realm left behind when it took another exception. It is reported in place
/// of the other, which comes again: interrupts stay pending and instructions are repeated.
#[cold]
fn deferred_serror(kind: u64, rec: &mut RecContext) -> Exception {
    let esr = ESR_EL2.get();
    // Two SErrors: one after the other.
    if kind == SERROR | DEFERRED {
        return Exception::SError { esr };
    }
    // Of all instructions that trap only HVC has its return address behind it.
    if kind == SYNC | DEFERRED && ESR_EL2::EC::HVC64.matches_all(esr) {
        rec.pc = rec.pc.wrapping_sub(4);
    }
    let syndrome = DISR_EL1.read(DISR_EL1::ISS);
    // It is being reported.
    DISR_EL1.set(0);
    Exception::SError {
        esr: ESR_EL2::EC::SError.value | set!(ESR_EL2: IL) | syndrome,
    }
}

/// Saves the REC's state, closes the virtual GIC interface and brings the Host's state back.
///
/// # Safety
/// The REC of `rec` is entered on this CPU, whose own `host` is; FP/SIMD is the Host's.
pub unsafe fn leave(host: &mut HostState, rec: &mut RecContext) {
    // SAFETY: as for `enter`, whose values are put back.
    unsafe {
        realm_save_el1(&raw mut rec.el1);
        rec.sp_el0 = SP_EL0.get();
        if host.has_keys {
            realm_save_keys(&raw mut rec.pauth);
        }
        rec.hcr_extra = HCR_EL2.get() & HCR_VSE;
        realm_timers::save(&mut rec.timers);
        host.gic.leave(&mut rec.gic);
        // A walk that the Realm's EL1 or EL0 began may go on at EL2 (R_LFHQG), and must not meet
        // the Host's registers: its end would be kept as the Realm's.
        barrier::dsb(barrier::NSH);

        realm_load_el1(&raw const host.el1);
        realm_timers::load(&host.timers);
        host.pmu.go_on(&mut rec.pmu);
    }
    VSESR_EL2.set(host.vsesr);
    // An SError that is left is not the Realm's to know any more.
    if !DISR_EL1.is_set(DISR_EL1::A) {
        DISR_EL1.set(host.disr);
    }
    if host.has_brbe {
        BRBCR_EL12.set(host.brbcr);
    }
    if host.has_gcs {
        GCSCR_EL12.set(host.gcscr);
    }
    CPTR_EL2.set(host.monitor_cptr);
    HCR_EL2.set(host.monitor_hcr);
    isb();
}

/// Brings `rec.el1` up to date.
pub fn save_el1(rec: &mut OnCpu<'_>) {
    // SAFETY: the fields are those that `realm_switch.S` assumes.
    unsafe { realm_save_el1(&raw mut rec.el1) }
}

/// Loads `rec.el1` after a change to it.
pub fn load_el1(rec: &OnCpu<'_>) {
    // SAFETY: EL1's registers are the Realm's.
    unsafe { realm_load_el1(&raw const rec.el1) }
}

/// Pends a virtual SError for the Realm; `syndrome` as in `VSESR_EL2`.
pub fn pend_serror(rec: &mut OnCpu<'_>, syndrome: u64) {
    rec.vsesr = syndrome;
    VSESR_EL2.set(syndrome);
    HCR_EL2.modify(HCR_EL2::VSE::SET);
}
