// SPDX-License-Identifier: BSD-3-Clause
//! The registers of a fake CPU that the world switch moves.

use crate::machine::{
    DebugState, El1State, GicState, PmuState, RecContext, SimdState, SveState, TimerLines,
    TimerState, ZRegisters,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// What the CPU's registers hold: the Host's values or those of the REC that is entered.
#[derive(Clone)]
pub(super) struct Registers {
    pub(super) el1: El1State,
    pub(super) timers: TimerState,
    pub(super) gic: GicState,
    pub(super) simd: SimdState,
    /// Z0 to Z31, whose lowest quarters at most are also `simd`.
    pub(super) z: Box<[ZRegisters; 2]>,
    pub(super) sve: SveState,
    pub(super) debug: DebugState,
    pub(super) pmu: PmuState,
    pub(super) sp_el0: u64,
    pub(super) pauth: [u64; 10],
    pub(super) vsesr: u64,
}

/// What a field of a [`RecContext`] holds while only the CPU knows its value.
const POISON: u64 = 0xDEAD_0BAD_DEAD_0BAD;

/// `ICH_HCR_EL2.En`.
const ICH_HCR_EN: u64 = 1;

impl Registers {
    /// The Host's, each register with a value of its own.
    pub(super) fn of_host(cpu: usize) -> Self {
        let mut next = 0x4057_0000_0000_0000 | (cpu as u64) << 32;
        let mut gic: GicState = numbered(&mut next);
        gic.hcr = 0;
        let mut timers: TimerState = numbered(&mut next);
        (timers.cntp_ctl, timers.cntv_ctl) = (1, 3);
        Self {
            el1: numbered(&mut next),
            timers,
            gic,
            simd: numbered(&mut next),
            z: Box::new([numbered(&mut next), numbered(&mut next)]),
            sve: numbered(&mut next),
            debug: numbered(&mut next),
            pmu: numbered(&mut next),
            sp_el0: next + 1,
            pauth: numbered(&mut next),
            vsesr: 0,
        }
    }

    /// Asserts that these are the Host's own: all but the virtual GIC interface, which is to be
    /// closed and nothing more.
    pub(super) fn assert_host(&self, cpu: usize) {
        let own = Self::of_host(cpu);
        let same = |what: &str, now: &[u8], before: &[u8]| {
            assert!(now == before, "the Host's {what} are not back");
        };
        same("EL1 registers", self.el1.as_bytes(), own.el1.as_bytes());
        same("timers", self.timers.as_bytes(), own.timers.as_bytes());
        same("Q registers", self.simd.as_bytes(), own.simd.as_bytes());
        for (now, own) in self.z.iter().zip(&*own.z) {
            same("Z registers", now.as_bytes(), own.as_bytes());
        }
        same("SVE registers", self.sve.as_bytes(), own.sve.as_bytes());
        same("breakpoints", self.debug.as_bytes(), own.debug.as_bytes());
        same("counters", self.pmu.as_bytes(), own.pmu.as_bytes());
        assert_eq!(
            self.gic.hcr & ICH_HCR_EN,
            0,
            "the virtual GIC interface is open"
        );
    }

    /// Loads a REC's, but for those that it is given when it uses them.
    pub(super) fn load(&mut self, rec: &RecContext) {
        self.el1 = rec.el1.clone();
        self.timers = rec.timers.clone();
        self.gic = rec.gic.clone();
        self.sp_el0 = rec.sp_el0;
        self.pauth = rec.pauth;
        self.vsesr = rec.vsesr;
    }

    /// Saves a REC's, likewise, as they read at `now`.
    pub(super) fn save(&self, rec: &mut RecContext, now: u64) {
        rec.el1 = self.el1.clone();
        rec.timers = self.timers.clone();
        rec.timers.cntp_ctl = timer_control(rec.timers.cntp_ctl, rec.timers.cntp_cval, now);
        rec.timers.cntv_ctl = timer_control(rec.timers.cntv_ctl, rec.timers.cntv_cval, now);
        rec.gic = self.gic.clone();
        rec.gic.misr = misr(&rec.gic);
        rec.sp_el0 = self.sp_el0;
        rec.pauth = self.pauth;
    }

    /// Closes the virtual GIC interface.
    pub(super) fn close_gic(&mut self) {
        self.gic.hcr &= !ICH_HCR_EN;
    }

    /// Outputs of the timers at `now`.
    pub(super) fn timer_lines(&self, now: u64) -> TimerLines {
        let asserted = |ctl, cval| timer_control(ctl, cval, now) & 7 == 5;
        TimerLines {
            virt: asserted(self.timers.cntv_ctl, self.timers.cntv_cval),
            phys: asserted(self.timers.cntp_ctl, self.timers.cntp_cval),
        }
    }
}

/// Makes the fields unusable that are stale once the REC has run.
pub(super) fn poison(rec: &mut RecContext) {
    fill(&mut rec.el1);
    fill(&mut rec.timers);
    fill(&mut rec.gic);
    rec.sp_el0 = POISON;
    fill(&mut rec.pauth);
}

/// A timer's control register as it reads: ENABLE, IMASK and, once its time has come, ISTATUS.
pub(super) fn timer_control(ctl: u64, cval: u64, now: u64) -> u64 {
    let ctl = ctl & 3;
    let condition = ctl & 1 != 0 && now >= cval;
    ctl | u64::from(condition) << 2
}

/// `ICH_MISR_EL2`, as far as it concerns U (underflow) and NP (no pending).
fn misr(gic: &GicState) -> u64 {
    let valid = gic.lrs.iter().filter(|&&lr| lr >> 62 != 0).count();
    let pending = gic.lrs.iter().filter(|&&lr| lr >> 62 & 1 != 0).count();
    let underflow = gic.hcr & 1 << 1 != 0 && valid < 2;
    let none_pending = gic.hcr & 1 << 3 != 0 && pending == 0;
    u64::from(underflow) << 1 | u64::from(none_pending) << 3
}

/// A structure whose every 64-bit word is one above the one before.
fn numbered<T: FromZeros + FromBytes + IntoBytes>(next: &mut u64) -> T {
    let mut value = T::new_zeroed();
    for word in value.as_mut_bytes().chunks_exact_mut(8) {
        *next += 1;
        word.copy_from_slice(&next.to_ne_bytes());
    }
    value
}

fn fill<T: FromBytes + IntoBytes>(value: &mut T) {
    for word in value.as_mut_bytes().chunks_exact_mut(8) {
        word.copy_from_slice(&POISON.to_ne_bytes());
    }
}
