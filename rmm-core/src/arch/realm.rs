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
//! | VMPIDR_EL2, VTTBR_EL2, VTCR_EL2 | [`enter`] loads | EL3 |
//! | HCR_EL2 | [`enter`] loads; VSE is kept in the REC | EL3; the monitor's own by [`leave`] |
//! | CPTR_EL2 | [`enter`] traps all, `simd` opens | EL3; the monitor's own by [`leave`] |
//! | VSESR_EL2 | [`enter`], [`pend_serror`] | [`enter`], [`leave`]: EL3 without RAS does not |
//! | DISR_EL1 | [`run`] takes what the Realm left behind | [`enter`], [`leave`] |
//! | BRBCR_EL1 | 0: no branch records of a Realm | [`enter`], [`leave`] |
//! | CNTHCTL_EL2 | [`mask_timers`] | EL3 |
//! | DBGBVR*, DBGBCR*, DBGWVR*, DBGWCR*_EL1, the OS lock | `realm_debug`, when the Realm uses them | `realm_debug` |
//! | PM*_EL0, PMINTEN*_EL1 | `realm_pmu`, when a Realm with a PMU uses them | `realm_pmu` |
//! | MDCR_EL2 | `realm_debug` and `realm_pmu` open it | EL3; the monitor's own by them |
//! | VPIDR_EL2, HSTR_EL2, CNTVOFF_EL2, HCRX_EL2, HFG*_EL2, MPAM2_EL2, MPAMHCR_EL2 | constant, [`HostState::init`] | EL3 |
//! | CNTPOFF_EL2 | without effect: CNTHCTL_EL2.ECV is 0 | EL3 |
//! | SCTLR2_EL1, TCR2_EL1, PIR*_EL1, POR_EL*, GCS*, SCXTNUM_EL*, MTE, SME, LORegions, MPAM, AMU, trace, SPE, BRBE registers, TPIDR2_EL0 | trapped and without effect | in place |
//! | other debug registers | trapped | in place |
//! | ICC_PMR_EL1, EL2 timers | the Host's go on working | in place |
//!
//! # The way back from a Realm
//! While a Realm runs, SP_EL2 points to a frame that [`run`] has built on the stack it was called
//! on; its first word is the address of the [`RecContext`]. The vectors branch to
//! `realm_exit_sync`, `_irq`, `_fiq` and `_serror` with all general registers and SP_EL2 as the
//! exception left them. TPIDR_EL2 is not used. The monitor runs on SP_EL2.

use super::realm_debug::HostDebug;
use super::realm_gic::GicInterface;
use super::realm_pmu::HostPmu;
use super::realm_regs::{field, isb, mrs, msr};
use super::simd::{CPTR_ALL_TRAPPED, HostSimd};
use crate::boot::El3Interface;
use crate::machine::{El1State, EntryControls, Exception, RecContext, TimerLines, TimerState};
use core::arch::global_asm;
use core::mem::offset_of;
use rmm_rtt::Stage2;

/// Kinds of exceptions, in the order of the vectors.
const SYNC: u64 = 0;
const IRQ: u64 = 1;
const FIQ: u64 = 2;
const SERROR: u64 = 3;
/// Added if DISR_EL1 holds an SError of the Realm.
const DEFERRED: u64 = 4;
/// `DISR_EL1.A`: the register holds an SError.
const DISR_A: u64 = 1 << 31;

global_asm!(
    include_str!("realm_switch.S"),
    pc = const offset_of!(RecContext, pc),
    sync = const SYNC,
    irq = const IRQ,
    fiq = const FIQ,
    serror = const SERROR,
    deferred = const DEFERRED,
    disr_a = const DISR_A,
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
        sp_el1, elr, spsr, esr, far, afsr0, afsr1, vbar, disr, sctlr, actlr, cpacr, csselr, ttbr0,
        ttbr1, tcr, mair, amair, contextidr, par, tpidr_el1, tpidr_el0, tpidrro_el0, mdscr, mdccint
    }
    assert!(offset_of!(RecContext, gprs) == 0);
    assert!(offset_of!(RecContext, pstate) == offset_of!(RecContext, pc) + 8);
};

/// `HCR_EL2` while a Realm runs.
mod hcr {
    /// Stage 2 on; set/way invalidation cleans as well; no walks through device memory; IRQ, FIQ
    /// and SError are EL2's; barriers reach the inner shareable domain at least; SMC and the ID
    /// registers trap; IMPLEMENTATION DEFINED registers trap; EL1 is AArch64; external aborts and
    /// accesses to error records go to EL2; stage 2 decides on cacheability.
    ///
    /// Zero, with intent: TGE; GPF, so that a granule protection fault is the Realm's; FIEN; ATA
    /// (no MTE); EnSCXT; NV; DC; TWI and TWE unless asked for.
    pub const BASE: u64 = {
        const VM_SWIO_PTW: u64 = 0b111;
        const FMO_IMO_AMO: u64 = 0b111 << 3;
        const BSU_INNER: u64 = 1 << 10;
        const TID3: u64 = 1 << 18;
        const TSC: u64 = 1 << 19;
        const TIDCP: u64 = 1 << 20;
        const RW: u64 = 1 << 31;
        const E2H: u64 = 1 << 34;
        const TERR: u64 = 1 << 36;
        const TEA: u64 = 1 << 37;
        const FWB: u64 = 1 << 46;
        VM_SWIO_PTW | FMO_IMO_AMO | BSU_INNER | TID3 | TSC | TIDCP | RW | E2H | TERR | TEA | FWB
    };
    /// A virtual SError is pending.
    pub const VSE: u64 = 1 << 8;
    /// WFI and WFIT trap.
    pub const TWI: u64 = 1 << 13;
    /// WFE and WFET trap.
    pub const TWE: u64 = 1 << 14;
    /// LORegion registers trap.
    pub const TLOR: u64 = 1 << 35;
    /// Neither pointer authentication instructions nor keys trap.
    pub const APK_API: u64 = 0b11 << 40;
    /// GMID_EL1 traps.
    pub const TID5: u64 = 1 << 58;
}

/// `VTCR_EL2`.
mod vtcr {
    /// Walks inner shareable, write-back cacheable; 4 KiB granules; no hardware updates; NSA; RES1.
    pub const BASE: u64 = 0xC000_3500;
    pub const SL0_SHIFT: u32 = 6;
    pub const PS_SHIFT: u32 = 16;
    /// 16-bit VMIDs.
    pub const VS: u64 = 1 << 19;
    /// 52-bit addresses.
    pub const DS: u64 = 1 << 32;
    /// With SL0 = 0: walks start at level -1.
    pub const SL2: u64 = 1 << 33;
    /// PS without DS: 48 bits at most.
    pub const PS_48_BITS: u64 = 5;
}

/// FGT of `ID_AA64MMFR0_EL1`: fine-grained traps.
const FGT: u32 = 56;

/// `CNTHCTL_EL2`: EL1 and EL0 use counters and EL1 timers freely; no offsets.
const CNTHCTL_BASE: u64 = 1 << 11 | 1 << 10;
/// The signal of the EL1 virtual timer is masked.
const CNTVMASK: u64 = 1 << 18;
/// The signal of the EL1 physical timer is masked.
const CNTPMASK: u64 = 1 << 19;
/// INTID of the EL1 virtual timer.
const VIRTUAL_TIMER_PPI: u64 = 27;
/// INTID of the EL1 physical timer.
const PHYSICAL_TIMER_PPI: u64 = 30;
/// How often to look whether a masked timer's interrupt is gone from the CPU interface. It takes
/// the time of a message between redistributor and CPU; if it should ever take longer, the Realm
/// leaves to the Host once more than it need.
const MAX_POLLS: u32 = 1000;

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
    /// Realms have pointer authentication.
    has_keys: bool,
    /// There are branch records.
    has_brbe: bool,
}

impl HostState {
    /// Finds out what this CPU has and gives the EL2 registers that no REC changes their values.
    /// Called once on each boot of a CPU, before it serves its first RMI call.
    ///
    /// # Safety
    /// Runs at EL2 with `HCR_EL2.E2H` = 1, on the CPU whose own this state is.
    pub unsafe fn init(&mut self, el3: El3Interface) {
        let version = (el3.version().major, el3.version().minor);
        let (pfr0, pfr1) = (mrs!(ID_AA64PFR0_EL1), mrs!(ID_AA64PFR1_EL1));
        let (mmfr0, mmfr1) = (mrs!(ID_AA64MMFR0_EL1), mrs!(ID_AA64MMFR1_EL1));
        let (isar1, isar2) = (mrs!(ID_AA64ISAR1_EL1), mrs!(ID_AA64ISAR2_EL1));
        let dfr0 = mrs!(ID_AA64DFR0_EL1);

        // Before interface 0.2 EL3 neither banks the keys nor lets the Realm world use them.
        let has_pauth = field(isar1, 4) | field(isar1, 8) | field(isar2, 12) != 0;
        self.has_keys = has_pauth && el3.banks_pauth_keys();
        // EL3 opens branch records and MPAM to the Realm world since these versions.
        self.has_brbe = field(dfr0, 52) != 0 && version >= (0, 4);
        let has_mpam = field(pfr0, 40) | field(pfr1, 16) != 0 && version >= (0, 6);

        self.hcr = hcr::BASE;
        if self.has_keys {
            self.hcr |= hcr::APK_API;
        }
        if field(mmfr1, 16) != 0 {
            self.hcr |= hcr::TLOR;
        }
        if field(pfr1, 8) > 1 {
            self.hcr |= hcr::TID5;
        }
        self.pa_range = field(mmfr0, 0);
        self.vtcr = vtcr::BASE;
        if field(mmfr1, 4) == 2 {
            self.vtcr |= vtcr::VS;
        }
        self.simd.init();
        self.debug.init();
        self.pmu.init();

        // SAFETY: these registers decide on traps from EL1 and EL0 and on what those levels read;
        // each exists if its feature does.
        unsafe {
            self.gic.init(el3.shares_gic_registers());
            msr!(MDCR_EL2, mdcr(mrs!(MDCR_EL2), dfr0, mmfr0));
            msr!(CNTHCTL_EL2, CNTHCTL_BASE);
            msr!(CNTVOFF_EL2, 0);
            msr!(VPIDR_EL2, mrs!(MIDR_EL1));
            msr!(HSTR_EL2, 0);
            if field(mmfr1, 40) != 0 {
                msr!(HCRX_EL2, 0);
            }
            // Zero traps what is newer than the traps themselves, and nothing older.
            if field(mmfr0, FGT) != 0 {
                /// OSECCR_EL1, DBGPRCR_EL1, DBGCLAIMSET_EL1 and DBGCLAIMCLR_EL1 trap also while
                /// the Realm has the breakpoints: they are the external debugger's.
                const EXTERNAL_DEBUG: u64 = 1 << 10 | 1 << 7 | 1 << 5;
                msr!(HFGRTR_EL2, 0);
                msr!(HFGWTR_EL2, 0);
                msr!(HFGITR_EL2, 0);
                msr!(HDFGRTR_EL2, EXTERNAL_DEBUG);
                msr!(HDFGWTR_EL2, EXTERNAL_DEBUG);
            }
            if has_mpam {
                const TRAP_EL0_EL1: u64 = 0b11 << 48;
                const HAS_HCR: u64 = 1 << 17;
                const TRAP_MPAMIDR: u64 = 1 << 31;
                msr!(MPAM2_EL2, TRAP_EL0_EL1);
                if mrs!(MPAMIDR_EL1) & HAS_HCR != 0 {
                    msr!(MPAMHCR_EL2, TRAP_MPAMIDR);
                }
            }
        }
        isb();
    }

    /// `VTCR_EL2` of a Realm.
    #[inline(always)]
    fn vtcr(&self, stage2: &Stage2) -> u64 {
        let mut value = self.vtcr | 64_u64.wrapping_sub(stage2.ipa_width.into()) & 0x3F;
        value |= match stage2.start_level {
            -1 => vtcr::SL2,
            0 => 2 << vtcr::SL0_SHIFT,
            1 => 1 << vtcr::SL0_SHIFT,
            2 => 0,
            _ => 3 << vtcr::SL0_SHIFT,
        };
        if stage2.has_lpa2() {
            value | vtcr::DS | self.pa_range << vtcr::PS_SHIFT
        } else {
            value | self.pa_range.min(vtcr::PS_48_BITS) << vtcr::PS_SHIFT
        }
    }
}

/// `VTTBR_EL2` of a Realm: VMID, and the base with its bits 51:48 at 5:2.
#[inline(always)]
fn vttbr(stage2: &Stage2) -> u64 {
    let base = stage2.base.as_u64();
    u64::from(stage2.vmid) << 48 | base & 0xFFFF_FFFF_F000 | base >> 46 & 0x3C
}

/// `MDCR_EL2`: no debug, PMU, trace or profiling for Realms, and no counting in the monitor. HPMN
/// stays. `dfr0` and `mmfr0` are the ID registers of these names.
fn mdcr(current: u64, dfr0: u64, mmfr0: u64) -> u64 {
    const HPMN: u64 = 0x1F;
    const TPMCR: u64 = 1 << 5;
    const TPM: u64 = 1 << 6;
    const TDA: u64 = 1 << 9;
    const TDOSA: u64 = 1 << 10;
    const TDRA: u64 = 1 << 11;
    const TPMS: u64 = 1 << 14;
    const HPMD: u64 = 1 << 17;
    const TTRF: u64 = 1 << 19;
    const HCCD: u64 = 1 << 23;
    const TDCC: u64 = 1 << 27;
    const MTPME: u64 = 1 << 28;
    // Zero, with intent: TDE, and E2PB and E2TB, which then trap the buffer registers.
    let mut value = current & HPMN | TDA | TDOSA | TDRA | TPM | TPMCR;
    // 0xF: a PMU of another architecture.
    let pmu = field(dfr0, 8);
    if pmu != 0 && pmu != 0xF {
        if pmu >= 4 {
            value |= HPMD;
        }
        if pmu >= 6 {
            value |= HCCD;
        }
        if field(dfr0, 48) == 1 {
            value |= MTPME;
        }
    }
    if field(dfr0, 32) != 0 {
        value |= TPMS;
    }
    if field(dfr0, 40) != 0 {
        value |= TTRF;
    }
    // The communications channel is trapped also while the Realm has the breakpoints.
    if field(mmfr0, FGT) != 0 {
        value |= TDCC;
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
    let mut hcr = host.hcr | rec.hcr_extra & hcr::VSE;
    if controls.trap_wfi {
        hcr |= hcr::TWI;
    }
    if controls.trap_wfe {
        hcr |= hcr::TWE;
    }
    // SAFETY: nothing here changes the monitor's own translation or the routing of its exceptions:
    // E2H stays, and what HCR_EL2 says otherwise concerns lower levels. The registers exist.
    unsafe {
        realm_save_el1(&raw mut host.el1);
        save_timers(&mut host.timers);
        host.vsesr = mrs!(VSESR_EL2);
        host.disr = mrs!(DISR_EL1);
        msr!(DISR_EL1, 0);
        if host.has_brbe {
            host.brbcr = mrs!(BRBCR_EL12);
            msr!(BRBCR_EL12, 0);
        }
        host.monitor_hcr = mrs!(HCR_EL2);
        host.monitor_cptr = mrs!(CPTR_EL2);

        msr!(HCR_EL2, hcr);
        msr!(CPTR_EL2, CPTR_ALL_TRAPPED);
        msr!(VTCR_EL2, host.vtcr(stage2));
        msr!(VTTBR_EL2, vttbr(stage2));
        msr!(VMPIDR_EL2, rec.vmpidr);
        msr!(VSESR_EL2, rec.vsesr);
        realm_load_el1(&raw const rec.el1);
        msr!(SP_EL0, rec.sp_el0);
        if host.has_keys {
            realm_load_keys(&raw const rec.pauth);
        }
        load_timers(&rec.timers);
        host.gic.enter(&rec.gic);
    }
    // So that the first look at the timers sees what was loaded.
    isb();
}

/// Runs the Realm until the next exception that is taken to the monitor. General registers, PC
/// and PSTATE are in `rec` before and after.
///
/// # Safety
/// The REC of `rec` is entered on this CPU.
#[inline(always)]
pub unsafe fn run(rec: &mut RecContext) -> Exception {
    // SAFETY: the REC is entered, so that what the Realm reaches is its own. `realm_run` comes
    // back with the stack and the registers as any function does.
    match unsafe { realm_run(&raw mut *rec) } {
        SYNC => Exception::Sync {
            esr: mrs!(ESR_EL2),
            far: mrs!(FAR_EL2),
            hpfar: mrs!(HPFAR_EL2),
        },
        IRQ => Exception::Irq,
        FIQ => Exception::Fiq,
        SERROR => Exception::SError { esr: mrs!(ESR_EL2) },
        deferred => deferred_serror(deferred, rec),
    }
}

/// An SError that the Realm left behind when it took another exception. It is reported in place
/// of the other, which comes again: interrupts stay pending and instructions are repeated.
#[cold]
fn deferred_serror(kind: u64, rec: &mut RecContext) -> Exception {
    const EC_SHIFT: u32 = 26;
    const EC_HVC64: u64 = 0x16;
    const EC_SERROR: u64 = 0x2F;
    const IL: u64 = 1 << 25;
    const ISS: u64 = IL - 1;
    let esr = mrs!(ESR_EL2);
    // Two SErrors: one after the other.
    if kind == SERROR | DEFERRED {
        return Exception::SError { esr };
    }
    // Of all instructions that trap only HVC has its return address behind it.
    if kind == SYNC | DEFERRED && esr >> EC_SHIFT & 0x3F == EC_HVC64 {
        rec.pc = rec.pc.wrapping_sub(4);
    }
    let disr = mrs!(DISR_EL1);
    // SAFETY: forgets the syndrome, which is being reported.
    unsafe { msr!(DISR_EL1, 0) };
    Exception::SError {
        esr: EC_SERROR << EC_SHIFT | IL | disr & ISS,
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
        rec.sp_el0 = mrs!(SP_EL0);
        if host.has_keys {
            realm_save_keys(&raw mut rec.pauth);
        }
        rec.hcr_extra = mrs!(HCR_EL2) & hcr::VSE;
        save_timers(&mut rec.timers);
        host.gic.leave(&mut rec.gic);

        realm_load_el1(&raw const host.el1);
        load_timers(&host.timers);
        msr!(VSESR_EL2, host.vsesr);
        // An SError that is left is not the Realm's to know any more.
        if mrs!(DISR_EL1) & DISR_A == 0 {
            msr!(DISR_EL1, host.disr);
        }
        if host.has_brbe {
            msr!(BRBCR_EL12, host.brbcr);
        }
        msr!(CPTR_EL2, host.monitor_cptr);
        msr!(HCR_EL2, host.monitor_hcr);
    }
    isb();
}

/// Brings `rec.el1` up to date.
///
/// # Safety
/// The REC of `rec` is entered on this CPU.
pub unsafe fn save_el1(rec: &mut RecContext) {
    // SAFETY: the fields are those that `realm_switch.S` assumes.
    unsafe { realm_save_el1(&raw mut rec.el1) }
}

/// Loads `rec.el1` after a change to it.
///
/// # Safety
/// The REC of `rec` is entered on this CPU.
pub unsafe fn load_el1(rec: &RecContext) {
    // SAFETY: EL1's registers are the Realm's.
    unsafe { realm_load_el1(&raw const rec.el1) }
}

/// Pends a virtual SError for the Realm; `syndrome` as in `VSESR_EL2`.
///
/// # Safety
/// The REC of `rec` is entered on this CPU.
pub unsafe fn pend_serror(rec: &mut RecContext, syndrome: u64) {
    rec.vsesr = syndrome;
    // SAFETY: concerns EL1 alone.
    unsafe {
        msr!(VSESR_EL2, syndrome);
        msr!(HCR_EL2, mrs!(HCR_EL2) | hcr::VSE);
    }
}

/// Masks the hardware signal of each EL1 timer of the entered REC that is asserted and unmasks
/// that of the others; returns which are asserted.
#[inline(always)]
#[must_use]
pub fn mask_timers() -> TimerLines {
    let lines = TimerLines {
        virt: is_asserted(mrs!(CNTV_CTL_EL02)),
        phys: is_asserted(mrs!(CNTP_CTL_EL02)),
    };
    let mut cnthctl = CNTHCTL_BASE;
    if lines.virt {
        cnthctl |= CNTVMASK;
    }
    if lines.phys {
        cnthctl |= CNTPMASK;
    }
    let before = mrs!(CNTHCTL_EL2);
    if cnthctl != before {
        set_masks(cnthctl, before);
    }
    lines
}

/// Changes the masks; waits until the CPU interface has seen a new one.
#[cold]
fn set_masks(cnthctl: u64, before: u64) {
    // SAFETY: concerns interrupts of the EL1 timers alone, which are the REC's.
    unsafe { msr!(CNTHCTL_EL2, cnthctl) };
    isb();
    let new = cnthctl & !before;
    for _ in 0..MAX_POLLS {
        let still_pending = match mrs!(ICC_HPPIR1_EL1) {
            VIRTUAL_TIMER_PPI => new & CNTVMASK != 0,
            PHYSICAL_TIMER_PPI => new & CNTPMASK != 0,
            _ => false,
        };
        if !still_pending {
            break;
        }
    }
}

/// Whether a timer with this control register is asserted: ENABLE, not IMASK, ISTATUS.
#[inline(always)]
const fn is_asserted(ctl: u64) -> bool {
    ctl & 0b111 == 0b101
}

#[inline(always)]
fn save_timers(timers: &mut TimerState) {
    timers.cntkctl = mrs!(CNTKCTL_EL12);
    timers.cntp_ctl = mrs!(CNTP_CTL_EL02);
    timers.cntp_cval = mrs!(CNTP_CVAL_EL02);
    timers.cntv_ctl = mrs!(CNTV_CTL_EL02);
    timers.cntv_cval = mrs!(CNTV_CVAL_EL02);
}

/// # Safety
/// The timers of EL1 are about to be those of whoever `timers` belongs to.
#[inline(always)]
unsafe fn load_timers(timers: &TimerState) {
    // SAFETY: the EL1 timers only raise interrupts. Compare values come before the controls.
    unsafe {
        msr!(CNTKCTL_EL12, timers.cntkctl);
        msr!(CNTP_CVAL_EL02, timers.cntp_cval);
        msr!(CNTP_CTL_EL02, timers.cntp_ctl);
        msr!(CNTV_CVAL_EL02, timers.cntv_cval);
        msr!(CNTV_CTL_EL02, timers.cntv_ctl);
    }
}
