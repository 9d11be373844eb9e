// SPDX-License-Identifier: BSD-3-Clause
//! State that is switched only when a REC uses it: FP/SIMD and SVE, breakpoints and watchpoints,
//! PMU.

use super::{Next, Running};
use crate::machine::{Machine, PmuState, RecContext, SimdState, SveState, ZRegisters};
use rmm_granule::Window;

/// Which of it is in the CPU now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// FP/SIMD, and SVE where the Realm has it.
    pub simd: bool,
    /// Breakpoints and watchpoints.
    pub debug: bool,
    /// PMU.
    pub pmu: bool,
}

/// `MDSCR_EL1.MDE` and `.SS`: breakpoints and watchpoints, or single step, are enabled.
const MDSCR_ACTS: u64 = 1 << 15 | 1 << 0;
/// `PMCR_EL0.E`: the counters that are enabled count.
const PMCR_E: u64 = 1 << 0;

/// Whether self-hosted debug acts without any access to its registers. Single step needs the OS lock
/// open, which goes with them.
fn uses_debug(context: &RecContext) -> bool {
    context.el1.mdscr & MDSCR_ACTS != 0
}

/// Whether the PMU counts without any access to its registers.
const fn uses_pmu(pmu: &PmuState) -> bool {
    pmu.pmcr & PMCR_E != 0
}

/// `pmu_ovf_status` (A8.1): an overflow asserts the PMU's interrupt, whether or not its counter
/// still counts.
pub const fn pmu_overflow(pmu: &PmuState) -> bool {
    uses_pmu(pmu) && pmu.ovsset & pmu.intenset != 0
}

impl<M: Machine> Running<'_, M> {
    /// Gives the REC, just entered, what acts by itself.
    pub fn give_what_acts(&mut self) {
        if uses_debug(&self.rec.context) {
            self.give_debug();
        }
        // Streaming mode, if the Host is in it, would change what the Realm's own instructions do.
        // SAFETY: the REC was just entered.
        if unsafe { self.cx.machine.is_streaming() } {
            self.give_simd();
        }
        if let Some(counters) = self.head.resources.pmu_counters()
            && uses_pmu(&self.rec.context.pmu)
        {
            self.give_pmu(counters);
        }
    }

    /// Takes back what the REC has been given.
    pub fn take_all(&mut self) {
        let machine = self.cx.machine;
        if self.live.simd {
            self.take_simd();
        }
        if self.live.debug {
            // SAFETY: the REC is entered and has them.
            unsafe { machine.save_debug(&mut self.rec.context.debug) };
        }
        if self.live.pmu
            && let Some(counters) = self.head.resources.pmu_counters()
        {
            // SAFETY: the REC is entered and has it; the number of counters is constant.
            unsafe { machine.save_pmu(counters, &mut self.rec.context.pmu) };
        }
        self.live = Live::default();
    }

    /// Gives breakpoints and watchpoints.
    pub fn give_debug(&mut self) {
        // SAFETY: the REC is entered, and the callers know that they are the Host's.
        unsafe { self.cx.machine.load_debug(&self.rec.context.debug) };
        self.live.debug = true;
    }

    /// Gives the PMU.
    pub fn give_pmu(&mut self, counters: u8) {
        // SAFETY: the REC is entered, and the callers know that it is the Host's; RMI_REALM_CREATE
        // promised no more counters than there are.
        unsafe { self.cx.machine.load_pmu(counters, &self.rec.context.pmu) };
        self.live.pmu = true;
    }

    /// Gives FP/SIMD, and SVE where the Realm has it.
    pub fn give_simd(&mut self) -> Next {
        let machine = self.cx.machine;
        match self.head.resources.sve_vl() {
            // SAFETY: the REC is entered, and the callers know that they are the Host's.
            None => unsafe { machine.load_simd(&self.aux::<SimdState>(0)) },
            Some(vl) => {
                let (low, high) = (self.aux::<ZRegisters>(0), self.aux::<ZRegisters>(1));
                // SAFETY: as above; RMI_REALM_CREATE promised no longer vectors than there are.
                unsafe { machine.load_sve(vl, [&low, &high], &self.aux::<SveState>(2)) };
            }
        }
        self.live.simd = true;
        Next::Resume
    }

    fn take_simd(&self) {
        let machine = self.cx.machine;
        match self.head.resources.sve_vl() {
            // SAFETY: the REC is entered and has them.
            None => unsafe { machine.save_simd(&mut self.aux::<SimdState>(0)) },
            Some(vl) => {
                let (mut low, mut high) = (self.aux::<ZRegisters>(0), self.aux::<ZRegisters>(1));
                // SAFETY: as above; the vector length is constant.
                unsafe {
                    machine.save_sve(vl, [&mut low, &mut high], &mut self.aux::<SveState>(2))
                };
            }
        }
    }

    /// Opens auxiliary Granule `n`.
    fn aux<T: rmm_granule::Content>(&self, n: usize) -> Window<'_, M, T> {
        // SAFETY: the Granule is this REC's own REC_AUX, and the callers above open each of them
        // once at a time.
        unsafe { self.aux.map(self.head.aux_granule(n)) }
    }
}
