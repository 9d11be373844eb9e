// SPDX-License-Identifier: BSD-3-Clause
//! The PMU in the world switch (specification A8.1).
//!
//! The PMU is lent to a Realm that has one when it first accesses one of the registers after an
//! entry, or at the entry if `PMCR_EL0.E` is 1 and it counts. The Realm sees the event counters it was
//! promised (`MDCR_EL2.HPMN`); the others stand still (`MDCR_EL2.HPME` = 0) at zero. All of the Host's
//! are saved.
//!
//! `PMUSERENR_EL0` is switched at each entry: it comes before `MDCR_EL2` in deciding whether an
//! access of EL0 traps, and then the trap is taken to EL1.

use super::optional::Optional;
use super::registers::*;
use crate::encoding::traps::{mdcr_with_pmu, mdcr_without_pmu};
use crate::machine::PmuState;
use zerocopy::FromZeros;

/// All bits of the registers that have one bit a counter.
const ALL_COUNTERS: u64 = 0x1_FFFF_FFFF;

/// The Host's PMU of this CPU while it is lent to a Realm.
#[repr(C)]
pub(super) struct HostPmu {
    state: PmuState,
    /// `PMCNTENSET_EL0` of the Host while a REC is entered.
    enabled: u64,
    /// `PMUSERENR_EL0` of the Host while a REC is entered.
    userenr: u64,
    /// `MDCR_EL2` while the PMU is not lent.
    mdcr: u64,
    /// This CPU has a PMU.
    exists: bool,
    /// Event counters of this CPU.
    counters: usize,
}

/// `$with!(n)` for each of so many event counters; there may be none.
macro_rules! for_counters {
    ($count:expr, $with:ident) => {
        if let Some(last) = $count.checked_sub(1) {
            for_up_to!(
                last, $with, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
            );
        }
    };
}

/// Event counters of this CPU; `None` if there is no PMU or EL3 keeps it closed.
pub(super) fn event_counters(open: &Optional) -> Option<u8> {
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

    /// Stops the Host's counters, so that they neither observe a Realm nor interrupt it, and loads the
    /// REC's traps of EL0. A REC is being entered on this CPU.
    #[inline]
    pub(super) fn stop(&mut self, rec: &PmuState) {
        if self.exists {
            self.enabled = PMCNTENSET_EL0.get();
            PMCNTENCLR_EL0.set(ALL_COUNTERS);
            self.userenr = PMUSERENR_EL0.get();
            PMUSERENR_EL0.set(rec.userenr);
        }
    }

    /// Lets the Host's counters count again after [`HostPmu::stop`]. The REC is leaving.
    #[inline]
    pub(super) fn resume(&self, rec: &mut PmuState) {
        if self.exists {
            rec.userenr = PMUSERENR_EL0.get();
            PMUSERENR_EL0.set(self.userenr);
            PMCNTENSET_EL0.set(self.enabled);
        }
    }

    /// Saves the state with `counters` event counters, and stops counting. This CPU has a PMU with so
    /// many.
    fn save(to: &mut PmuState, counters: usize) {
        macro_rules! counter {
            ($n:literal) => {{
                to.evcntr[$n] = PMEVCNTR_EL0::<$n>.get();
                to.evtyper[$n] = PMEVTYPER_EL0::<$n>.get();
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

    /// Loads a state that [`HostPmu::save`] saved, or the first one of a REC.
    fn load(from: &PmuState, counters: usize) {
        macro_rules! counter {
            ($n:literal) => {{
                PMEVCNTR_EL0::<$n>.set(from.evcntr[$n]);
                PMEVTYPER_EL0::<$n>.set(from.evtyper[$n]);
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
        // These bits are requests, not state.
        PMCR_EL0.set(from.pmcr & !set!(PMCR_EL0: P | C));
        PMCNTENCLR_EL0.set(!from.cntenset & ALL_COUNTERS);
        PMCNTENSET_EL0.set(from.cntenset);
    }

    /// Saves the Host's PMU, loads the REC's and ends the trap. A REC is entered on this CPU, which has
    /// a PMU with at least `counters` event counters; `rec` has no more.
    pub(super) fn lend(&mut self, counters: u8, rec: &PmuState) {
        self.mdcr = MDCR_EL2.get();
        let mut host = PmuState::new_zeroed();
        Self::save(&mut host, self.counters);
        // All counters: those that the REC does not have are zero. Without FEAT_FGT a CPU may let EL1
        // read a counter beyond HPMN; the Realm then finds nothing of the Host's there.
        Self::load(rec, self.counters);
        MDCR_EL2.set(mdcr_with_pmu(self.mdcr, counters));
        self.state = host;
        isb();
    }

    /// Saves the REC's PMU after [`HostPmu::lend`] with the same `counters`, loads the Host's and
    /// traps again.
    pub(super) fn reclaim(&mut self, counters: u8, rec: &mut PmuState) {
        Self::save(rec, counters.into());
        MDCR_EL2.set(mdcr_without_pmu(MDCR_EL2.get(), self.mdcr));
        // The Host's value of PMCR_EL0 and the counters beyond HPMN need the old MDCR_EL2.
        isb();
        Self::load(&self.state, self.counters);
        isb();
    }
}
