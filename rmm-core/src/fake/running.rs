// SPDX-License-Identifier: BSD-3-Clause
//! A REC while it runs on a CPU.

use super::registers::Registers;
use crate::machine::{EntryControls, Exception, RecContext, TimerLines};
use rmm_granule::fake::Stage2Regs;
use std::sync::{Arc, Mutex};

/// `HCR_EL2.VSE`: a virtual SError is pending.
pub(super) const HCR_VSE: u64 = 1 << 8;

/// CPU state that the monitor has lent to the entered REC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lent {
    /// FP/SIMD; with SVE at this vector length if there is one.
    pub(super) simd: Option<Option<u8>>,
    /// Breakpoints and watchpoints.
    pub(super) debug: bool,
    /// The PMU with this number of event counters.
    pub(super) pmu: Option<u8>,
}

impl Lent {
    pub(super) fn lend_simd(&mut self, vl: Option<u8>) {
        assert_eq!(self.simd, None, "FP/SIMD lent twice");
        self.simd = Some(vl);
    }

    pub(super) fn reclaim_simd(&mut self, vl: Option<u8>) {
        let lent = self.simd.take();
        assert_eq!(lent, Some(vl), "FP/SIMD reclaimed but not lent so");
    }

    pub(super) fn lend_debug(&mut self) {
        assert!(!self.debug, "debug registers lent twice");
        self.debug = true;
    }

    pub(super) fn reclaim_debug(&mut self) {
        assert!(self.debug, "debug registers reclaimed but not lent");
        self.debug = false;
    }

    pub(super) fn lend_pmu(&mut self, counters: u8) {
        assert_eq!(self.pmu, None, "PMU lent twice");
        self.pmu = Some(counters);
    }

    pub(super) fn reclaim_pmu(&mut self, counters: u8) {
        let lent = self.pmu.take();
        assert_eq!(lent, Some(counters), "PMU reclaimed but not lent so");
    }
}

/// Addresses of an access of the Realm that met a stage 2 fault.
#[derive(Clone, Copy)]
pub(super) struct FaultAddress {
    pub(super) va: u64,
    pub(super) ipa: u64,
    /// Whether stage 1 still translates `va` to `ipa`.
    pub(super) resolves: bool,
}

/// A REC while it runs.
pub(super) struct RunningRec {
    /// General registers, PC, PSTATE and what `registers` does not hold.
    pub(super) context: RecContext,
    pub(super) registers: Registers,
    pub(super) lent: Lent,
    pub(super) controls: EntryControls,
    pub(super) stage2: Stage2Regs,
    /// Timers whose signals are masked.
    pub(super) masked: TimerLines,
    /// Index of the CPU.
    pub(super) cpu: usize,
    /// The stage 2 fault that ended the run.
    pub(super) fault: Option<FaultAddress>,
    /// The exception that ended the run.
    pub(super) exception: Option<Exception>,
}

/// Where a script finds its REC; empty while the REC does not run.
pub(super) type RecSlot = Arc<Mutex<Option<RunningRec>>>;
