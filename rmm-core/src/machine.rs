// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor asks of the machine it runs on: EL3, the CPU's features, and the world switch
//! to a Realm. `arch` implements it for AArch64, `fake` for the build machine.

use rmm_attest::Hash;
use rmm_granule::{GRANULE_SIZE, Ipa, Memory};
use rmm_rtt::Stage2;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One CPU at Realm EL2.
///
/// A value stands for the CPU that uses it and is used by that CPU alone.
///
/// A REC runs between [`Machine::enter_realm`] and [`Machine::leave_realm`]; between the two,
/// [`Machine::run_realm`] is called as often as the monitor handles an exception itself. From
/// `enter_realm` to `leave_realm` the registers of [`El1State`], [`TimerState`] and [`GicState`]
/// live in the CPU and the fields of the [`RecContext`] are stale, unless said otherwise; general
/// registers, PC and PSTATE are in the [`RecContext`] whenever the monitor runs.
pub trait Machine: Memory + Hash {
    /// Linear index of this CPU, less than the number of CPUs EL3 announced.
    fn cpu(&self) -> usize;

    /// What this machine's CPUs have in common. Constant after boot.
    fn features(&self) -> &CpuFeatures;

    /// A call to EL3: function identifier in X0, arguments in X1 up; X0 to X3 on return.
    fn call_el3(&self, fid: u64, args: [u64; 3]) -> [u64; 4];

    /// Puts the Host's EL1 and EL0 state aside and loads the REC's; FP/SIMD stays the Host's and
    /// is trapped.
    ///
    /// # Safety
    /// No REC is entered on this CPU. `stage2` is that of the REC's Realm; its tables stay until
    /// the REC is left, and reach no memory but the Realm's and the Host's.
    unsafe fn enter_realm(&self, rec: &mut RecContext, stage2: &Stage2, controls: EntryControls);

    /// Runs the Realm until the next exception that is taken to the monitor.
    ///
    /// # Safety
    /// The REC of `rec` is entered on this CPU.
    unsafe fn run_realm(&self, rec: &mut RecContext) -> Exception;

    /// Saves the REC's state into `rec`, closes the virtual GIC interface
    /// (`ICH_HCR_EL2.En` = 0) and brings the Host's state back.
    ///
    /// # Safety
    /// The REC of `rec` is entered on this CPU. What it was given by the methods below has been
    /// taken back.
    unsafe fn leave_realm(&self, rec: &mut RecContext);

    /// Brings [`RecContext::el1`] up to date.
    ///
    /// # Safety
    /// The REC of `rec` is entered on this CPU.
    unsafe fn save_el1(&self, rec: &mut RecContext);

    /// Loads [`RecContext::el1`] after a change to it.
    ///
    /// # Safety
    /// The REC of `rec` is entered on this CPU.
    unsafe fn load_el1(&self, rec: &RecContext);

    /// Translates a VA of the entered REC by its stage 1, as it is at this moment, for a read from
    /// EL1: the IPA. None: it does not translate.
    ///
    /// # Safety
    /// A REC is entered on this CPU.
    unsafe fn resolve_ipa(&self, va: u64) -> Option<Ipa>;

    /// Whether the Host left the CPU in streaming SVE mode.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and FP/SIMD is the Host's.
    unsafe fn is_streaming(&self) -> bool;

    /// Makes the content of a Granule, just written, what every CPU that executes it fetches.
    fn publish_instructions(&self, granule: &[u8; GRANULE_SIZE]);

    /// Pends a virtual SError for the Realm with this syndrome (`VSESR_EL2` format).
    ///
    /// # Safety
    /// The REC of `rec` is entered on this CPU.
    unsafe fn pend_serror(&self, rec: &mut RecContext, syndrome: u64);

    /// Masks the hardware signal of each of the Realm's EL1 timers that is asserted and unmasks
    /// that of the others; returns which are asserted. Called before each run.
    fn mask_timers(&self, rec: &RecContext) -> TimerLines;

    /// Gives the FP/SIMD registers to a Realm without SVE: saves the Host's and loads the REC's.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and FP/SIMD is the Host's.
    unsafe fn load_simd(&self, simd: &SimdState);

    /// Takes the FP/SIMD registers back: saves the REC's and loads the Host's; FP/SIMD is trapped
    /// again.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and FP/SIMD is its, by [`Machine::load_simd`].
    unsafe fn save_simd(&self, simd: &mut SimdState);

    /// Gives the FP/SIMD and SVE registers to a Realm with SVE, as [`Machine::load_simd`] does.
    /// `vl` is the Realm's vector length in units of 128 bits minus 1.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and FP/SIMD is the Host's. `vl` is not above
    /// [`CpuFeatures::sve_vl`], so that there is SVE.
    unsafe fn load_sve(&self, vl: u8, z: [&ZRegisters; 2], rest: &SveState);

    /// Takes the registers of [`Machine::load_sve`] back, as [`Machine::save_simd`] does.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and FP/SIMD is its, by [`Machine::load_sve`] with the same
    /// `vl`.
    unsafe fn save_sve(&self, vl: u8, z: [&mut ZRegisters; 2], rest: &mut SveState);

    /// Gives the breakpoints and watchpoints to the Realm: saves the Host's, loads the REC's and
    /// ends the trap of their registers.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and breakpoints and watchpoints are the Host's.
    unsafe fn load_debug(&self, debug: &DebugState);

    /// Takes the breakpoints and watchpoints back.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and breakpoints and watchpoints are its.
    unsafe fn save_debug(&self, debug: &mut DebugState);

    /// Gives the PMU to the Realm, which sees `counters` event counters: saves the Host's, loads
    /// the REC's and ends the trap of its registers.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and the PMU is the Host's. `counters` is not above
    /// [`CpuFeatures::pmu_counters`], so that there is a PMU.
    unsafe fn load_pmu(&self, counters: u8, pmu: &PmuState);

    /// Takes the PMU back.
    ///
    /// # Safety
    /// A REC is entered on this CPU, and the PMU is its, by [`Machine::load_pmu`] with the same
    /// `counters`.
    unsafe fn save_pmu(&self, counters: u8, pmu: &mut PmuState);

    /// Stops the machine: the monitor found a state it cannot go on from.
    fn fatal(&self, why: &str) -> !;
}

/// How the Host asked a REC to be entered, as far as the CPU enforces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryControls {
    /// WFI and WFIT leave the Realm.
    pub trap_wfi: bool,
    /// WFE and WFET leave the Realm.
    pub trap_wfe: bool,
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

/// The asserted outputs of a Realm's two EL1 timers: enabled, not masked, condition met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerLines {
    /// The virtual timer.
    pub virt: bool,
    /// The physical timer.
    pub phys: bool,
}

/// What all CPUs of this machine have; read once at boot.
#[derive(Clone, Copy, Debug)]
pub struct CpuFeatures {
    /// Implemented physical address width in bits.
    pub pa_bits: u8,
    /// FEAT_LPA2 for 4 KiB granules at stage 1 and stage 2.
    pub lpa2: bool,
    /// FEAT_VMID16.
    pub vmid16: bool,
    /// Largest SVE vector length a Realm may use, in units of 128 bits minus 1; none: no SVE.
    pub sve_vl: Option<u8>,
    /// Breakpoints minus 1.
    pub num_bps: u8,
    /// Watchpoints minus 1.
    pub num_wps: u8,
    /// PMU event counters a Realm may use; none: no PMU.
    pub pmu_counters: Option<u8>,
    /// GICv3 list registers minus 1.
    pub gic_num_lrs: u8,
    /// GICv3 virtual priority bits (`ICH_VTR_EL2.PRIbits` + 1).
    pub gic_pri_bits: u8,
    /// Virtual interrupt identifiers have 24 bits rather than 16.
    pub gic_id_24: bool,
    /// The GIC has the extended SPI and PPI ranges.
    pub gic_ext_range: bool,
    /// FEAT_RAS, FEAT_SSBS and friends decide how an exception to EL1 changes PSTATE.
    pub id: IdRegisters,
}

impl CpuFeatures {
    /// FEAT_HPMN0: a PMU may have no event counter.
    #[must_use]
    pub const fn has_hpmn0(&self) -> bool {
        self.id.dfr0 >> 60 == 1
    }
}

/// Raw values of the ID registers, as the CPU reports them at EL2.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "each field is the register of its name")]
pub struct IdRegisters {
    pub midr: u64,
    /// `CTR_EL0`: what concerns instruction caches.
    pub ctr: u64,
    pub pfr0: u64,
    pub pfr1: u64,
    pub zfr0: u64,
    pub dfr0: u64,
    pub dfr1: u64,
    pub isar0: u64,
    pub isar1: u64,
    pub isar2: u64,
    pub mmfr0: u64,
    pub mmfr1: u64,
    pub mmfr2: u64,
    pub mmfr3: u64,
}

/// What of a REC the CPU's registers hold while it runs. Lives in the REC Granule; assembly
/// addresses the first fields by offset.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecContext {
    /// X0 to X30.
    pub gprs: [u64; 31],
    /// The Realm's PC (`ELR_EL2`).
    pub pc: u64,
    /// The Realm's PSTATE (`SPSR_EL2`).
    pub pstate: u64,
    /// `SP_EL0`.
    pub sp_el0: u64,
    /// Pointer authentication keys APIA, APIB, APDA, APDB, APGA, low half first.
    pub pauth: [u64; 10],
    /// Number of the REC among all that there have been since boot, from 1 on; the same
    /// throughout its life.
    pub serial: u64,
    /// `VMPIDR_EL2`: what the Realm reads from `MPIDR_EL1`.
    pub vmpidr: u64,
    /// `VSESR_EL2` of a virtual SError that waits for the Realm.
    pub vsesr: u64,
    /// Bits added to `HCR_EL2` while this REC runs (a pending virtual SError).
    pub hcr_extra: u64,
    /// EL1 and EL0 registers.
    pub el1: El1State,
    /// EL1 timers.
    pub timers: TimerState,
    /// Virtual GIC CPU interface.
    pub gic: GicState,
    /// Breakpoints and watchpoints.
    pub debug: DebugState,
    /// PMU.
    pub pmu: PmuState,
}

impl RecContext {
    /// Completes the A64 instruction at PC, which was trapped and is emulated: as its own execution
    /// would have, this ends a single step and a branch target check.
    pub fn step_over(&mut self) {
        const BTYPE: u64 = 3 << 10;
        const SS: u64 = 1 << 21;
        self.pc = self.pc.wrapping_add(4);
        self.pstate &= !(BTYPE | SS);
    }
}

/// EL1 and EL0 system registers of a REC; each field is the register of its name.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "each field is the register of its name")]
pub struct El1State {
    pub sp_el1: u64,
    pub elr: u64,
    pub spsr: u64,
    pub esr: u64,
    pub far: u64,
    pub afsr0: u64,
    pub afsr1: u64,
    pub vbar: u64,
    pub disr: u64,
    pub sctlr: u64,
    pub cpacr: u64,
    pub csselr: u64,
    pub ttbr0: u64,
    pub ttbr1: u64,
    pub tcr: u64,
    pub mair: u64,
    pub amair: u64,
    pub contextidr: u64,
    pub par: u64,
    pub tpidr_el1: u64,
    pub tpidr_el0: u64,
    pub tpidrro_el0: u64,
    pub mdscr: u64,
    pub mdccint: u64,
}

/// EL1 timers of a REC. Counter offsets are zero for every Realm.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TimerState {
    /// `CNTKCTL_EL1`.
    pub cntkctl: u64,
    /// `CNTP_CTL_EL0`.
    pub cntp_ctl: u64,
    /// `CNTP_CVAL_EL0`.
    pub cntp_cval: u64,
    /// `CNTV_CTL_EL0`.
    pub cntv_ctl: u64,
    /// `CNTV_CVAL_EL0`.
    pub cntv_cval: u64,
}

/// Virtual GIC CPU interface of a REC.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GicState {
    /// `ICH_HCR_EL2`, complete with the bits the monitor forces.
    pub hcr: u64,
    /// `ICH_VMCR_EL2`.
    pub vmcr: u64,
    /// `ICH_MISR_EL2` at the last exit.
    pub misr: u64,
    /// `ICH_LR<n>_EL2`; those the CPU does not have are zero.
    pub lrs: [u64; 16],
    /// `ICH_AP0R<n>_EL2`.
    pub ap0r: [u64; 4],
    /// `ICH_AP1R<n>_EL2`.
    pub ap1r: [u64; 4],
}

/// FP/SIMD registers of a REC; lives in an auxiliary Granule.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct SimdState {
    /// Q0 to Q31, low half first.
    pub q: [[u64; 2]; 32],
    /// `FPSR`.
    pub fpsr: u64,
    /// `FPCR`.
    pub fpcr: u64,
}

/// Z0 to Z15 or Z16 to Z31 of a REC, at its Realm's vector length; an auxiliary Granule.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct ZRegisters(pub [u8; 4096]);

/// SVE registers of a REC other than Z0 to Z31; lives in an auxiliary Granule.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct SveState {
    /// P0 to P15, at the Realm's vector length.
    pub p: [u8; 512],
    /// FFR.
    pub ffr: [u8; 32],
    /// `FPSR`.
    pub fpsr: u64,
    /// `FPCR`.
    pub fpcr: u64,
    /// `ZCR_EL1`.
    pub zcr: u64,
    /// Zero.
    pub reserved: u64,
}

/// Breakpoints and watchpoints of a REC: all that the CPU has, whatever the Realm was promised,
/// since it can reach them all.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DebugState {
    /// `DBGBVR<n>_EL1`.
    pub bvr: [u64; 16],
    /// `DBGBCR<n>_EL1`.
    pub bcr: [u64; 16],
    /// `DBGWVR<n>_EL1`.
    pub wvr: [u64; 16],
    /// `DBGWCR<n>_EL1`.
    pub wcr: [u64; 16],
}

/// PMU of a REC.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PmuState {
    /// `PMCR_EL0`.
    pub pmcr: u64,
    /// `PMCCNTR_EL0`.
    pub ccntr: u64,
    /// `PMCCFILTR_EL0`.
    pub ccfiltr: u64,
    /// `PMCNTENSET_EL0`.
    pub cntenset: u64,
    /// `PMINTENSET_EL1`.
    pub intenset: u64,
    /// `PMOVSSET_EL0`.
    pub ovsset: u64,
    /// `PMSELR_EL0`.
    pub selr: u64,
    /// `PMUSERENR_EL0`.
    pub userenr: u64,
    /// `PMEVCNTR<n>_EL0`.
    pub evcntr: [u64; 31],
    /// `PMEVTYPER<n>_EL0`.
    pub evtyper: [u64; 31],
}
