// SPDX-License-Identifier: BSD-3-Clause
//! The PMU in the world switch (specification A8.1).
//!
//! A Realm with a PMU gets it when it first touches one of its registers after an entry, or at the
//! entry if `PMCR_EL0.E` says that it counts. It sees the event counters it was promised
//! (`MDCR_EL2.HPMN`); the others stand still (`MDCR_EL2.HPME` = 0) at zero. All of the Host's are
//! saved.
//!
//! `PMUSERENR_EL0` is switched at each entry: it decides before `MDCR_EL2` does whether an access of
//! EL0 traps, and to EL1.

use super::optional::Optional;
use super::registers::*;
use crate::machine::PmuState;
use zerocopy::FromZeros;

/// What of `MDCR_EL2` concerns the PMU of Realms.
const MDCR_PMU: u64 = set!(MDCR_EL2: HPMN | TPMCR | TPM);
/// The bits of the registers that set or clear one bit a counter.
const ALL_COUNTERS: u64 = 0x1_FFFF_FFFF;

/// The Host's PMU of this CPU while it is a Realm's.
#[repr(C)]
pub(super) struct HostPmu {
    state: PmuState,
    /// `PMCNTENSET_EL0` of the Host while a REC is entered.
    enabled: u64,
    /// `PMUSERENR_EL0` of the Host while a REC is entered.
    userenr: u64,
    /// `MDCR_EL2` while no Realm has the PMU.
    mdcr: u64,
    /// This CPU has a PMU.
    exists: bool,
    /// Event counters of this CPU.
    counters: usize,
}

/// `$with!(n)` for each event counter that there is.
macro_rules! for_counters {
    ($count:expr, $with:ident) => {
        for_some!(
            $count, $with, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
            20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
        )
    };
}

/// Whether this CPU has a PMU of Arm's.
pub(in crate::arch) fn is_implemented() -> bool {
    let version = ID_AA64DFR0_EL1.read(ID_AA64DFR0_EL1::PMUVer);
    version != 0 && version != 0xF
}

/// Event counters of this CPU; none: no PMU that is open.
pub(in crate::arch) fn event_counters(open: &Optional) -> Option<u8> {
    open.pmu.then(|| field(PMCR_EL0.get(), PMCR_EL0::N))
}

impl HostPmu {
    /// Finds out what this CPU has.
    pub(super) fn init(&mut self, open: &Optional) {
        let counters = event_counters(open);
        self.exists = counters.is_some();
        self.counters = counters.unwrap_or(0).into();
    }

    /// Event counters of this CPU.
    pub(super) fn counters(&self) -> usize {
        self.counters
    }

    /// Stops the Host's counters, so that they neither tell of a Realm nor interrupt it, and has
    /// EL0 trap as the REC wants it.
    ///
    /// # Safety
    /// A REC is being entered on this CPU.
    #[inline(always)]
    pub(super) unsafe fn stop(&mut self, rec: &PmuState) {
        if self.exists {
            self.enabled = PMCNTENSET_EL0.get();
            PMCNTENCLR_EL0.set(ALL_COUNTERS);
            self.userenr = PMUSERENR_EL0.get();
            PMUSERENR_EL0.set(rec.userenr);
        }
    }

    /// Lets the Host's counters go on.
    ///
    /// # Safety
    /// The REC is being left that [`HostPmu::stop`] was called for.
    #[inline(always)]
    pub(super) unsafe fn go_on(&self, rec: &mut PmuState) {
        if self.exists {
            rec.userenr = PMUSERENR_EL0.get();
            PMUSERENR_EL0.set(self.userenr);
            PMCNTENSET_EL0.set(self.enabled);
        }
    }

    /// Saves the state with `counters` event counters, and stops counting.
    ///
    /// # Safety
    /// This CPU has a PMU, whose counters are all reachable from EL2.
    unsafe fn save(to: &mut PmuState, counters: usize) {
        macro_rules! counter {
            ($n:literal) => {{
                to.evcntr[$n] = PMEVCNTR_EL0::<$n>::NEW.get();
                to.evtyper[$n] = PMEVTYPER_EL0::<$n>::NEW.get();
            }};
        }
        to.pmcr = PMCR_EL0.get();
        to.cntenset = PMCNTENSET_EL0.get();
        PMCNTENCLR_EL0.set(ALL_COUNTERS);
        isb();
        to.ccntr = PMCCNTR_EL0.get();
        to.ccfiltr = PMCCFILTR_EL0.get();
        to.intenset = PMINTENSET_EL1.get();
        to.ovsset = PMOVSSET_EL0.get();
        to.selr = PMSELR_EL0.get();
        for_counters!(counters, counter);
    }

    /// Loads a state that [`HostPmu::save`] saved, or a REC's first.
    ///
    /// # Safety
    /// As for [`HostPmu::save`].
    unsafe fn load(from: &PmuState, counters: usize) {
        macro_rules! counter {
            ($n:literal) => {{
                PMEVCNTR_EL0::<$n>::NEW.set(from.evcntr[$n]);
                PMEVTYPER_EL0::<$n>::NEW.set(from.evtyper[$n]);
            }};
        }
        for_counters!(counters, counter);
        PMCCNTR_EL0.set(from.ccntr);
        PMCCFILTR_EL0.set(from.ccfiltr);
        PMINTENCLR_EL1.set(!from.intenset & ALL_COUNTERS);
        PMINTENSET_EL1.set(from.intenset);
        PMOVSCLR_EL0.set(!from.ovsset & ALL_COUNTERS);
        PMOVSSET_EL0.set(from.ovsset);
        PMSELR_EL0.set(from.selr);
        // Resets of counters are no state.
        PMCR_EL0.set(from.pmcr & !set!(PMCR_EL0: P | C));
        PMCNTENCLR_EL0.set(!from.cntenset & ALL_COUNTERS);
        PMCNTENSET_EL0.set(from.cntenset);
    }

    /// Saves the Host's PMU, loads the REC's and lets the Realm use it.
    ///
    /// # Safety
    /// A REC is entered on this CPU, which has a PMU with at least `counters` event counters, of
    /// which `rec` has no more, and the PMU is the Host's.
    pub(super) unsafe fn lend(&mut self, counters: u8, rec: &PmuState) {
        self.mdcr = MDCR_EL2.get();
        let mut host = PmuState::new_zeroed();
        // SAFETY: by the contract.
        unsafe {
            Self::save(&mut host, self.counters);
            // All: what the REC has none of is zero. Where a CPU lets EL1 read a counter beyond
            // HPMN, as it may without FEAT_FGT, the Realm finds nothing of the Host's there.
            Self::load(rec, self.counters);
        }
        // Traps are taken away from a Realm that has a PMU.
        MDCR_EL2.set(self.mdcr & !MDCR_PMU | MDCR_EL2::HPMN.val(counters.into()).value);
        self.state = host;
        isb();
    }

    /// Saves the REC's PMU, loads the Host's and traps it again.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the PMU is its, by [`HostPmu::lend`] with the same
    /// `counters`.
    pub(super) unsafe fn reclaim(&mut self, counters: u8, rec: &mut PmuState) {
        // SAFETY: by the contract.
        unsafe { Self::save(rec, counters.into()) };
        MDCR_EL2.set(MDCR_EL2.get() & !MDCR_PMU | self.mdcr & MDCR_PMU);
        isb();
        // SAFETY: by the contract.
        unsafe { Self::load(&self.state, self.counters) };
        isb();
    }
}
