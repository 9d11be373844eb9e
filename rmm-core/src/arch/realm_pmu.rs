// SPDX-License-Identifier: BSD-3-Clause
//! The PMU in the world switch (specification A8.1).
//!
//! A Realm with a PMU gets it when it first touches one of its registers after an entry, or at the
//! entry if `PMCR_EL0.E` says that it counts. It sees the event counters it was promised
//! (`MDCR_EL2.HPMN`); the others stand still (`MDCR_EL2.HPME` = 0). All of the Host's are saved.

use super::realm_regs::{field, for_some, isb, mrs, msr};
use crate::machine::PmuState;
use zerocopy::FromZeros;

/// `MDCR_EL2`: HPMN, TPMCR, TPM.
const MDCR_HPMN: u64 = 0x1F;
const MDCR_TRAPS: u64 = 1 << 5 | 1 << 6;
/// The bits of the registers that set or clear one bit a counter.
const ALL_COUNTERS: u64 = 0x1_FFFF_FFFF;

/// The Host's PMU of this CPU while it is a Realm's.
#[repr(C)]
pub(super) struct HostPmu {
    state: PmuState,
    /// `MDCR_EL2` while no Realm has the PMU.
    mdcr: u64,
    /// Event counters of this CPU.
    counters: usize,
}

/// `$with!(n, PMEVCNTR<n>_EL0, PMEVTYPER<n>_EL0)` for those that there are.
macro_rules! for_counters {
    ($count:expr, $with:ident) => {
        for_some!($count, $with,
            0 "S3_3_C14_C8_0" "S3_3_C14_C12_0", 1 "S3_3_C14_C8_1" "S3_3_C14_C12_1",
            2 "S3_3_C14_C8_2" "S3_3_C14_C12_2", 3 "S3_3_C14_C8_3" "S3_3_C14_C12_3",
            4 "S3_3_C14_C8_4" "S3_3_C14_C12_4", 5 "S3_3_C14_C8_5" "S3_3_C14_C12_5",
            6 "S3_3_C14_C8_6" "S3_3_C14_C12_6", 7 "S3_3_C14_C8_7" "S3_3_C14_C12_7",
            8 "S3_3_C14_C9_0" "S3_3_C14_C13_0", 9 "S3_3_C14_C9_1" "S3_3_C14_C13_1",
            10 "S3_3_C14_C9_2" "S3_3_C14_C13_2", 11 "S3_3_C14_C9_3" "S3_3_C14_C13_3",
            12 "S3_3_C14_C9_4" "S3_3_C14_C13_4", 13 "S3_3_C14_C9_5" "S3_3_C14_C13_5",
            14 "S3_3_C14_C9_6" "S3_3_C14_C13_6", 15 "S3_3_C14_C9_7" "S3_3_C14_C13_7",
            16 "S3_3_C14_C10_0" "S3_3_C14_C14_0", 17 "S3_3_C14_C10_1" "S3_3_C14_C14_1",
            18 "S3_3_C14_C10_2" "S3_3_C14_C14_2", 19 "S3_3_C14_C10_3" "S3_3_C14_C14_3",
            20 "S3_3_C14_C10_4" "S3_3_C14_C14_4", 21 "S3_3_C14_C10_5" "S3_3_C14_C14_5",
            22 "S3_3_C14_C10_6" "S3_3_C14_C14_6", 23 "S3_3_C14_C10_7" "S3_3_C14_C14_7",
            24 "S3_3_C14_C11_0" "S3_3_C14_C15_0", 25 "S3_3_C14_C11_1" "S3_3_C14_C15_1",
            26 "S3_3_C14_C11_2" "S3_3_C14_C15_2", 27 "S3_3_C14_C11_3" "S3_3_C14_C15_3",
            28 "S3_3_C14_C11_4" "S3_3_C14_C15_4", 29 "S3_3_C14_C11_5" "S3_3_C14_C15_5",
            30 "S3_3_C14_C11_6" "S3_3_C14_C15_6")
    };
}

/// Event counters of this CPU; none: no PMU of Arm's.
pub(in crate::arch) fn event_counters() -> Option<u8> {
    let version = field(mrs!(ID_AA64DFR0_EL1), 8);
    (version != 0 && version != 0xF).then(|| (mrs!(PMCR_EL0) >> 11 & 0x1F) as u8)
}

impl HostPmu {
    /// Finds out what this CPU has.
    pub(super) fn init(&mut self) {
        self.counters = event_counters().unwrap_or(0).into();
    }

    /// Saves the state with `counters` event counters, and stops counting.
    ///
    /// # Safety
    /// This CPU has a PMU, whose counters are all reachable from EL2.
    unsafe fn save(to: &mut PmuState, counters: usize) {
        macro_rules! counter {
            ($n:literal, $value:literal, $kind:literal) => {{
                to.evcntr[$n] = mrs!($value);
                to.evtyper[$n] = mrs!($kind);
            }};
        }
        to.pmcr = mrs!(PMCR_EL0);
        to.cntenset = mrs!(PMCNTENSET_EL0);
        // SAFETY: stops counting; no effect on memory.
        unsafe { msr!(PMCNTENCLR_EL0, ALL_COUNTERS) };
        isb();
        to.ccntr = mrs!(PMCCNTR_EL0);
        to.ccfiltr = mrs!(PMCCFILTR_EL0);
        to.intenset = mrs!(PMINTENSET_EL1);
        to.ovsset = mrs!(PMOVSSET_EL0);
        to.selr = mrs!(PMSELR_EL0);
        to.userenr = mrs!(PMUSERENR_EL0);
        for_counters!(counters, counter);
    }

    /// Loads a state that [`HostPmu::save`] saved, or a REC's first.
    ///
    /// # Safety
    /// As for [`HostPmu::save`].
    unsafe fn load(from: &PmuState, counters: usize) {
        /// `PMCR_EL0.P` and `.C` reset counters; they are no state.
        const PMCR_RESETS: u64 = 0b110;
        macro_rules! counter {
            ($n:literal, $value:literal, $kind:literal) => {
                // SAFETY: counts events; no effect on memory.
                unsafe {
                    msr!($value, from.evcntr[$n]);
                    msr!($kind, from.evtyper[$n]);
                }
            };
        }
        for_counters!(counters, counter);
        // SAFETY: likewise.
        unsafe {
            msr!(PMCCNTR_EL0, from.ccntr);
            msr!(PMCCFILTR_EL0, from.ccfiltr);
            msr!(PMINTENCLR_EL1, !from.intenset & ALL_COUNTERS);
            msr!(PMINTENSET_EL1, from.intenset);
            msr!(PMOVSCLR_EL0, !from.ovsset & ALL_COUNTERS);
            msr!(PMOVSSET_EL0, from.ovsset);
            msr!(PMSELR_EL0, from.selr);
            msr!(PMUSERENR_EL0, from.userenr);
            msr!(PMCR_EL0, from.pmcr & !PMCR_RESETS);
            msr!(PMCNTENCLR_EL0, !from.cntenset & ALL_COUNTERS);
            msr!(PMCNTENSET_EL0, from.cntenset);
        }
    }

    /// Saves the Host's PMU, loads the REC's and lets the Realm use it.
    ///
    /// # Safety
    /// A REC is entered on this CPU, which has a PMU with at least `counters` event counters, and
    /// the PMU is the Host's.
    pub(super) unsafe fn give(&mut self, counters: u8, rec: &PmuState) {
        self.mdcr = mrs!(MDCR_EL2);
        let mut host = PmuState::new_zeroed();
        // SAFETY: by the contract. Traps are taken away from a Realm that has a PMU.
        unsafe {
            Self::save(&mut host, self.counters);
            Self::load(rec, counters.into());
            let mdcr = self.mdcr & !(MDCR_HPMN | MDCR_TRAPS) | u64::from(counters);
            msr!(MDCR_EL2, mdcr);
        }
        self.state = host;
        isb();
    }

    /// Saves the REC's PMU, loads the Host's and traps it again.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the PMU is its, by [`HostPmu::give`] with the same
    /// `counters`.
    pub(super) unsafe fn take(&mut self, counters: u8, rec: &mut PmuState) {
        // SAFETY: by the contract.
        unsafe {
            Self::save(rec, counters.into());
            let debug = mrs!(MDCR_EL2) & !(MDCR_HPMN | MDCR_TRAPS);
            msr!(MDCR_EL2, debug | self.mdcr & (MDCR_HPMN | MDCR_TRAPS));
            isb();
            Self::load(&self.state, self.counters);
        }
        isb();
    }
}
