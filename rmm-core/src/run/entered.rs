// SPDX-License-Identifier: BSD-3-Clause
//! The guard of a REC that is entered on this CPU.

use crate::aux::{SveWindows, VectorAux};
use crate::machine::{
    EntryControls, Exception, Machine, OnCpu, RecContext, Timer, TimerLines, TimerRegister,
};
use crate::rec::RecHead;
use core::ops::{Deref, DerefMut};
use rmm_granule::Ipa;

/// A REC that is entered on this CPU. The drop reclaims what was lent to the Realm and takes the
/// REC off the CPU.
///
/// Dereferences to the REC's registers, of which general registers, PC and PSTATE are up to date;
/// see [`Entered::with_el1`] for those of EL1.
pub struct Entered<'a, M: Machine> {
    machine: &'a M,
    head: &'a RecHead,
    vectors: VectorAux<'a, M>,
    rec: OnCpu<'a>,
    lent: Lent,
}

/// CPU state that is the Realm's now. The rest is the Host's and traps.
#[derive(Clone, Copy, Debug, Default)]
struct Lent {
    /// FP/SIMD, and SVE if the Realm has it.
    simd: bool,
    /// Breakpoints and watchpoints.
    debug: bool,
    /// PMU.
    pmu: bool,
}

impl<'a, M: Machine> Entered<'a, M> {
    /// Enters the REC of `head`, whose registers are `context` and, while they are not lent,
    /// `vectors`.
    ///
    /// # Safety
    /// No REC is entered on this CPU.
    pub unsafe fn enter(
        machine: &'a M,
        head: &'a RecHead,
        context: &'a mut RecContext,
        vectors: VectorAux<'a, M>,
        controls: EntryControls,
    ) -> Self {
        // SAFETY: no REC is entered on this CPU, by the contract. The tables are those of the REC's
        // Realm, which lives as long as it has RECs.
        unsafe { machine.enter_realm(context, &head.stage2, controls) };
        // SAFETY: the REC has just been entered; the drop is the only one to leave it.
        let rec = unsafe { OnCpu::new(context) };
        Self {
            machine,
            head,
            vectors,
            rec,
            lent: Lent::default(),
        }
    }

    /// Lends the state that would act on the Realm without a trap. Called once, before the first
    /// run.
    pub fn lend_active(&mut self) {
        if self.rec.el1.debugs() {
            self.lend_debug();
        }
        // In streaming SVE mode, if the Host left the CPU in it, the Realm's own instructions would
        // not do what they should.
        if self.machine.is_streaming(&self.rec) {
            self.lend_simd();
        }
        if self.rec.pmu.counts() {
            self.lend_pmu();
        }
    }

    /// Runs the Realm until the next exception that is taken to the monitor.
    /// [`Entered::mask_timers`] comes before each run.
    pub fn run(&mut self) -> Exception {
        self.machine.run_realm(&mut self.rec)
    }

    /// Masks the signals of asserted EL1 timers, which would end the next run at once, and returns
    /// which are asserted. The registers of these timers trap: a timer that the Realm sets anew may
    /// become quiet, and fire again, unseen otherwise.
    pub fn mask_timers(&self) -> TimerLines {
        self.machine.mask_timers(&self.rec)
    }

    /// Whether a list register holds an interrupt that is pending for the Realm.
    pub fn lists_pending_interrupt(&self) -> bool {
        self.machine.lists_pending_interrupt(&self.rec)
    }

    /// Reads a register of an EL1 timer.
    pub fn timer_register(&self, timer: Timer, register: TimerRegister) -> u64 {
        self.machine.timer_register(&self.rec, timer, register)
    }

    /// Writes a register of an EL1 timer.
    pub fn set_timer_register(&mut self, timer: Timer, register: TimerRegister, value: u64) {
        self.machine
            .set_timer_register(&mut self.rec, timer, register, value);
    }

    /// Calls `work` with the registers of EL1 up to date, and loads them after it.
    pub fn with_el1(&mut self, work: impl FnOnce(&mut RecContext)) {
        self.machine.save_el1(&mut self.rec);
        work(&mut self.rec);
        self.machine.load_el1(&self.rec);
    }

    /// Translates a VA by the Realm's stage 1 as it is now, for a read from EL1. `None` if it does
    /// not translate.
    pub fn resolve_ipa(&self, va: u64) -> Option<Ipa> {
        self.machine.resolve_ipa(&self.rec, va)
    }

    /// Pends a virtual SError for the Realm with this syndrome (`VSESR_EL2` format).
    pub fn pend_serror(&mut self, syndrome: u64) {
        self.machine.pend_serror(&mut self.rec, syndrome);
    }

    /// Whether the Realm has SVE.
    pub fn has_sve(&self) -> bool {
        self.head.resources.sve_vl().is_some()
    }

    /// Lends FP/SIMD, and SVE if the Realm has it. False if it was lent already.
    pub fn lend_simd(&mut self) -> bool {
        if self.lent.simd {
            return false;
        }
        match self.head.resources.sve_vl() {
            None => self.machine.lend_simd(&self.rec, &self.vectors.simd()),
            Some(vl) => {
                let SveWindows { low, high, rest } = self.vectors.sve();
                self.machine.lend_sve(&self.rec, vl, [&low, &high], &rest);
            }
        }
        self.lent.simd = true;
        true
    }

    /// Lends breakpoints and watchpoints. False if they were lent already.
    pub fn lend_debug(&mut self) -> bool {
        if self.lent.debug {
            return false;
        }
        self.machine.lend_debug(&self.rec);
        self.lent.debug = true;
        true
    }

    /// Lends the PMU. False if it was lent already, or if the Realm has none.
    pub fn lend_pmu(&mut self) -> bool {
        match self.head.resources.pmu_counters() {
            Some(counters) if !self.lent.pmu => {
                self.machine.lend_pmu(&self.rec, counters);
                self.lent.pmu = true;
                true
            }
            _ => false,
        }
    }

    fn reclaim_simd(&mut self) {
        match self.head.resources.sve_vl() {
            None => self
                .machine
                .reclaim_simd(&self.rec, &mut self.vectors.simd()),
            Some(vl) => {
                let SveWindows {
                    mut low,
                    mut high,
                    mut rest,
                } = self.vectors.sve();
                self.machine
                    .reclaim_sve(&self.rec, vl, [&mut low, &mut high], &mut rest);
            }
        }
    }
}

impl<M: Machine> Drop for Entered<'_, M> {
    fn drop(&mut self) {
        if self.lent.simd {
            self.reclaim_simd();
        }
        if self.lent.debug {
            self.machine.reclaim_debug(&mut self.rec);
        }
        if self.lent.pmu
            && let Some(counters) = self.head.resources.pmu_counters()
        {
            self.machine.reclaim_pmu(&mut self.rec, counters);
        }
        // SAFETY: this value is being dropped, so its proof is not used any more. What was lent has
        // just been reclaimed.
        unsafe { self.machine.leave_realm(&mut self.rec) };
    }
}

impl<M: Machine> Deref for Entered<'_, M> {
    type Target = RecContext;

    fn deref(&self) -> &RecContext {
        &self.rec
    }
}

impl<M: Machine> DerefMut for Entered<'_, M> {
    fn deref_mut(&mut self) -> &mut RecContext {
        &mut self.rec
    }
}
