// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor asks of the machine it runs on: EL3, the CPU's features, and the world switch
//! to a Realm. `arch` implements it for AArch64, `fake` for the build machine.

mod context;
mod delegations;
mod features;
mod serror;

pub use context::{
    DebugState, El1State, GicState, PmuState, RecContext, SimdState, SveState, TimerState,
    ZRegisters,
};
pub use delegations::{Delegations, is_any_delegated};
pub use features::{CpuFeatures, IdRegisters};
pub use serror::SErrorClass;

use core::ops::{Deref, DerefMut};
use rmm_attest::Hash;
use rmm_granule::{GRANULE_SIZE, Ipa, Memory};
use rmm_rtt::Stage2;

/// One CPU at Realm EL2.
///
/// A value stands for the CPU that uses it and is used by that CPU alone.
///
/// [`Machine::enter_realm`] brings a REC onto the CPU and [`Machine::leave_realm`] takes it off;
/// the methods between the two ask for [`OnCpu`], the proof that the REC is there. Meanwhile the
/// registers of [`El1State`], [`TimerState`] and [`GicState`] live in the CPU and the fields of the
/// [`RecContext`] are stale, unless said otherwise; general registers, PC and PSTATE are in the
/// [`RecContext`] whenever the monitor runs.
///
/// FP/SIMD with SVE, debug registers and PMU keep the Host's state until they are lent to the
/// Realm. Each is lent at most once and reclaimed before the REC leaves; `run::Entered` sees to it.
pub trait Machine: Memory + Hash + CallEl3 {
    /// Linear index of this CPU, less than the number of CPUs that EL3 announced.
    fn cpu(&self) -> usize;

    /// What all CPUs of this machine have in common. Constant after boot.
    fn features(&self) -> &CpuFeatures;

    /// The Granules that this CPU has delegated and undelegated.
    fn delegations(&self) -> &Delegations;

    /// Calls `look` with the [`Delegations`] of each CPU.
    fn for_each_cpu(&self, look: &mut dyn FnMut(&Delegations));

    /// Makes the time of the instructions that follow independent of the data they work on, as far as
    /// the architecture promises it (FEAT_DIT), until the CPU leaves the monitor.
    fn begin_independent_timing(&self);

    /// A random number; `None` if the machine has no source of entropy, or gets none now.
    fn random(&self) -> Option<[u8; 32]>;

    /// The bits that are set in any list register of this CPU, which a Host that has the virtual GIC
    /// interface for itself has written.
    fn list_registers(&self) -> u64;

    /// Whether the Host left the CPU in a streaming SVE mode that the monitor cannot end without loss. Realms cannot
    /// run in it. No REC is entered on this CPU.
    fn is_stuck_in_streaming(&self) -> bool;

    /// Closes the virtual GIC interface (`ICH_HCR_EL2.En` = 0), which has the registers of the Host, after an
    /// entry that has not run the REC.
    fn close_host_gic(&self);

    /// Whether a physical interrupt, which the Host waits for, is pending on this CPU.
    fn interrupt_pending(&self) -> bool;

    /// Makes the content of a Granule, just written, what every CPU fetches as instructions.
    fn publish_instructions(&self, granule: &[u8; GRANULE_SIZE]);

    /// Saves the Host's EL1 and EL0 state and loads the REC's. FP/SIMD, debug registers and PMU
    /// keep the Host's state and trap.
    ///
    /// # Safety
    /// No REC is entered on this CPU. `stage2` is the translation of the REC's Realm; its tables
    /// stay until the REC has left, and map no memory but the Realm's and the Host's.
    unsafe fn enter_realm(&self, rec: &mut RecContext, stage2: &Stage2, controls: EntryControls);

    /// Saves the REC's state, closes the virtual GIC interface (`ICH_HCR_EL2.En` = 0) and loads
    /// the Host's state.
    ///
    /// # Safety
    /// `rec` is not used any more except to be dropped. What was lent has been reclaimed.
    unsafe fn leave_realm(&self, rec: &mut OnCpu<'_>);

    /// Runs the Realm until the next exception that is taken to the monitor.
    fn run_realm(&self, rec: &mut OnCpu<'_>) -> Exception;

    /// Brings [`RecContext::el1`] up to date.
    fn save_el1(&self, rec: &mut OnCpu<'_>);

    /// Loads [`RecContext::el1`] after a change to it.
    fn load_el1(&self, rec: &OnCpu<'_>);

    /// Translates a VA by the Realm's stage 1, as it is at this moment, for a read from EL1.
    /// `None` if it does not translate.
    fn resolve_ipa(&self, rec: &OnCpu<'_>, va: u64) -> Option<Ipa>;

    /// Whether the Host left the CPU in streaming SVE mode. FP/SIMD is not lent.
    fn is_streaming(&self, rec: &OnCpu<'_>) -> bool;

    /// Pends a virtual SError for the Realm with this syndrome (`VSESR_EL2` format).
    fn pend_serror(&self, rec: &mut OnCpu<'_>, syndrome: u64);

    /// Masks the hardware signal of each of the Realm's EL1 timers that is asserted and unmasks
    /// that of the others; returns which are asserted. Called before each run. The registers of a
    /// timer whose signal is masked trap.
    fn mask_timers(&self, rec: &OnCpu<'_>) -> TimerLines;

    /// Whether a list register holds an interrupt that is pending for the Realm.
    fn lists_pending_interrupt(&self, rec: &OnCpu<'_>) -> bool;

    /// Reads a register of one of the Realm's EL1 timers.
    fn timer_register(&self, rec: &OnCpu<'_>, timer: Timer, register: TimerRegister) -> u64;

    /// Writes a register of one of the Realm's EL1 timers.
    fn set_timer_register(
        &self,
        rec: &mut OnCpu<'_>,
        timer: Timer,
        register: TimerRegister,
        value: u64,
    );

    /// Lends FP/SIMD to a Realm without SVE: saves the Host's registers, loads the REC's and ends
    /// the trap.
    fn lend_simd(&self, rec: &OnCpu<'_>, simd: &SimdState);

    /// Reclaims FP/SIMD after [`Machine::lend_simd`]: saves the REC's registers, loads the Host's
    /// and traps again.
    fn reclaim_simd(&self, rec: &OnCpu<'_>, simd: &mut SimdState);

    /// Lends FP/SIMD and SVE to a Realm with SVE. `vl` is the Realm's vector length in units of
    /// 128 bits minus 1, at most [`CpuFeatures::sve_vl`].
    fn lend_sve(&self, rec: &OnCpu<'_>, vl: u8, z: [&ZRegisters; 2], rest: &SveState);

    /// Reclaims FP/SIMD and SVE after [`Machine::lend_sve`] with the same `vl`.
    fn reclaim_sve(&self, rec: &OnCpu<'_>, vl: u8, z: [&mut ZRegisters; 2], rest: &mut SveState);

    /// Lends breakpoints and watchpoints: saves the Host's registers, loads the REC's and ends the
    /// trap.
    fn lend_debug(&self, rec: &OnCpu<'_>);

    /// Reclaims breakpoints and watchpoints.
    fn reclaim_debug(&self, rec: &mut OnCpu<'_>);

    /// Lends the PMU with `counters` event counters, at most [`CpuFeatures::pmu_counters`]: saves
    /// the Host's registers, loads the REC's and ends the trap.
    fn lend_pmu(&self, rec: &OnCpu<'_>, counters: u8);

    /// Reclaims the PMU after [`Machine::lend_pmu`] with the same `counters`.
    fn reclaim_pmu(&self, rec: &mut OnCpu<'_>, counters: u8);
}

/// Calls to EL3.
pub trait CallEl3 {
    /// A call to EL3: function identifier in X0, arguments in X1 up; X0 to X3 on return.
    fn call_el3(&self, fid: u64, args: [u64; 4]) -> [u64; 4];
}

/// A REC that is entered on this CPU: the proof that the methods of [`Machine`] ask for, and the
/// way to its [`RecContext`].
pub struct OnCpu<'r> {
    context: &'r mut RecContext,
}

impl<'r> OnCpu<'r> {
    /// The proof for the REC with this context.
    ///
    /// # Safety
    /// [`Machine::enter_realm`] has entered the REC on this CPU, and the value is not used after
    /// [`Machine::leave_realm`] but to be dropped.
    pub unsafe fn new(context: &'r mut RecContext) -> Self {
        Self { context }
    }
}

impl Deref for OnCpu<'_> {
    type Target = RecContext;

    fn deref(&self) -> &RecContext {
        self.context
    }
}

impl DerefMut for OnCpu<'_> {
    fn deref_mut(&mut self) -> &mut RecContext {
        self.context
    }
}

/// How the Host asks for a REC to be entered, as far as the CPU enforces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryControls {
    /// WFI and WFIT leave the Realm.
    pub trap_wfi: bool,
    /// WFE and WFET leave the Realm.
    pub trap_wfe: bool,
    /// The Host keeps no SVE state but Q0 to Q31: the rest need not be saved, and is zero after it was
    /// lent.
    pub no_sve_state: bool,
    /// The virtual GIC interface has the values of the Host, who reads those of the Realm from it
    /// afterwards.
    pub host_gic: bool,
}

/// Why control came back from a Realm. Syndromes are the registers' raw values, for the monitor's
/// eyes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// A synchronous exception.
    Sync {
        /// `ESR_EL2`.
        esr: u64,
        /// `FAR_EL2`.
        far: u64,
        /// `HPFAR_EL2`.
        hpfar: u64,
    },
    /// A physical IRQ is pending.
    Irq,
    /// A physical FIQ is pending.
    Fiq,
    /// An SError was taken.
    SError {
        /// `ESR_EL2`.
        esr: u64,
    },
}

/// One of a Realm's two EL1 timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The virtual timer.
    Virtual,
    /// The physical timer.
    Physical,
}

/// A register of an EL1 timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerRegister {
    /// Control: `CNTV_CTL_EL0` or `CNTP_CTL_EL0`.
    Ctl,
    /// Compare value: `CNTV_CVAL_EL0` or `CNTP_CVAL_EL0`.
    Cval,
    /// Distance of the compare value from now: `CNTV_TVAL_EL0` or `CNTP_TVAL_EL0`.
    Tval,
}

/// The asserted outputs of a Realm's two EL1 timers: enabled, not masked, condition met.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct TimerLines {
    /// The virtual timer.
    pub virt: bool,
    /// The physical timer.
    pub phys: bool,
}

impl TimerLines {
    /// Whether an output is asserted here that was not `before`.
    #[must_use]
    pub const fn rise_from(&self, before: &Self) -> bool {
        self.virt && !before.virt || self.phys && !before.phys
    }
}

impl PartialEq for TimerLines {
    // Before each run of a Realm: one comparison and one branch, where `derive` makes two.
    fn eq(&self, other: &Self) -> bool {
        let bits = |lines: &Self| u8::from(lines.virt) | u8::from(lines.phys) << 1;
        bits(self) == bits(other)
    }
}
