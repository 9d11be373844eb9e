// SPDX-License-Identifier: BSD-3-Clause
//! The registers of a fake CPU that the world switch moves.

use crate::machine::{
    DebugState, El1State, GicState, PmuState, RecContext, SimdState, SveState, Timer, TimerLines,
    TimerRegister, TimerState, ZRegisters,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// The registers of a CPU, with the values of the Host or of the entered REC.
#[derive(Clone)]
pub(super) struct Registers {
    pub(super) el1: El1State,
    pub(super) timers: TimerState,
    pub(super) gic: GicState,
    pub(super) simd: SimdState,
    /// Z0 to Z31. The fake CPU keeps them apart from the Q registers in `simd`.
    pub(super) z: Box<[ZRegisters; 2]>,
    pub(super) sve: SveState,
    pub(super) debug: DebugState,
    pub(super) pmu: PmuState,
    pub(super) sp_el0: u64,
    pub(super) pauth: [u64; 10],
    pub(super) vsesr: u64,
}

/// Value of a stale field of a [`RecContext`]: only the CPU has the right one.
const POISON: u64 = 0xDEAD_0BAD_DEAD_0BAD;

/// `ICH_HCR_EL2.En`.
const ICH_HCR_EN: u64 = 1;

impl Registers {
    /// Registers of the Host on this CPU, each with another value.
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

    /// Asserts that these are the registers of the Host. Of the virtual GIC interface the monitor
    /// has to restore nothing; it must only be closed.
    pub(super) fn assert_host(&self, own: &Self) {
        let same = |what: &str, now: &[u8], before: &[u8]| {
            assert!(now == before, "the {what} of the Host are not restored");
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
            "the virtual GIC interface is still open"
        );
    }

    /// What the CPU does to SVE state that the Host does not keep, after it was lent: it is zero.
    pub(super) fn clear_sve(&mut self) {
        self.z.iter_mut().for_each(|half| half.0.fill(0));
        self.sve.p.fill(0);
        self.sve.ffr.fill(0);
    }

    /// After a call with the SVE hint: SVE state, which the Host does not keep, is zero or unchanged. The
    /// Host has new values in it from now on.
    pub(super) fn renew_sve(&mut self, own: &Self) {
        let mut zero = own.clone();
        zero.clear_sve();
        let is = |now: &[u8], own: &[u8], zero: &[u8]| now == own || now == zero;
        for n in 0..2 {
            let [now, own, zero] = [&*self, own, &zero].map(|registers| registers.z[n].as_bytes());
            assert!(is(now, own, zero), "Z registers of somebody else");
        }
        assert!(
            is(&self.sve.p, &own.sve.p, &zero.sve.p),
            "P registers of somebody else"
        );
        assert!(
            is(&self.sve.ffr, &own.sve.ffr, &zero.sve.ffr),
            "FFR of somebody else"
        );
        self.z = own.z.clone();
        (self.sve.p, self.sve.ffr) = (own.sve.p, own.sve.ffr);
    }

    /// Loads the registers of a REC, without those that are lent later.
    /// With `host_gic` the virtual GIC interface keeps the values of the Host.
    pub(super) fn load(&mut self, rec: &RecContext, host_gic: bool) {
        self.el1 = rec.el1.clone();
        self.timers = rec.timers.clone();
        if !host_gic {
            self.gic = rec.gic.clone();
        }
        self.sp_el0 = rec.sp_el0;
        self.pauth = rec.pauth;
        self.vsesr = rec.vsesr;
    }

    /// Saves the registers of a REC as they read at `now`, without those that are lent.
    pub(super) fn save(&self, rec: &mut RecContext, now: u64, host_gic: bool) {
        rec.el1 = self.el1.clone();
        rec.timers = self.timers.clone();
        rec.timers.cntp_ctl = timer_control(rec.timers.cntp_ctl, rec.timers.cntp_cval, now);
        rec.timers.cntv_ctl = timer_control(rec.timers.cntv_ctl, rec.timers.cntv_cval, now);
        rec.gic = if host_gic {
            // Not part of the REC then.
            GicState::new_zeroed()
        } else {
            self.gic.clone()
        };
        rec.gic.misr = misr(&rec.gic);
        rec.sp_el0 = self.sp_el0;
        rec.pauth = self.pauth;
    }

    /// Closes the virtual GIC interface.
    pub(super) fn close_gic(&mut self) {
        self.gic.hcr &= !ICH_HCR_EN;
    }

    /// Reads a register of a timer at `now`.
    pub(super) fn read_timer(&self, timer: Timer, register: TimerRegister, now: u64) -> u64 {
        let timers = &self.timers;
        let (ctl, cval) = match timer {
            Timer::Virtual => (timers.cntv_ctl, timers.cntv_cval),
            Timer::Physical => (timers.cntp_ctl, timers.cntp_cval),
        };
        match register {
            TimerRegister::Ctl => timer_control(ctl, cval, now),
            TimerRegister::Cval => cval,
            TimerRegister::Tval => cval.wrapping_sub(now) & 0xFFFF_FFFF,
        }
    }

    /// Writes a register of a timer at `now`.
    pub(super) fn write_timer(
        &mut self,
        timer: Timer,
        register: TimerRegister,
        value: u64,
        now: u64,
    ) {
        let timers = &mut self.timers;
        let (ctl, cval) = match timer {
            Timer::Virtual => (&mut timers.cntv_ctl, &mut timers.cntv_cval),
            Timer::Physical => (&mut timers.cntp_ctl, &mut timers.cntp_cval),
        };
        // TVAL is a signed number of 32 bits.
        let distance = ((value << 32).cast_signed() >> 32).cast_unsigned();
        match register {
            TimerRegister::Ctl => *ctl = value,
            TimerRegister::Cval => *cval = value,
            TimerRegister::Tval => *cval = now.wrapping_add(distance),
        }
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

/// Overwrites the fields that are stale once the REC has run.
pub(super) fn poison(rec: &mut RecContext) {
    fill(&mut rec.el1);
    fill(&mut rec.timers);
    fill(&mut rec.gic);
    rec.sp_el0 = POISON;
    fill(&mut rec.pauth);
}

/// The control register of a timer as it reads: ENABLE, IMASK, and ISTATUS if its condition is met.
pub(super) fn timer_control(ctl: u64, cval: u64, now: u64) -> u64 {
    let ctl = ctl & 3;
    let condition = ctl & 1 != 0 && now >= cval;
    ctl | u64::from(condition) << 2
}

/// `ICH_MISR_EL2`: its bits U (underflow) and NP (no pending).
fn misr(gic: &GicState) -> u64 {
    let valid = gic.lrs.iter().filter(|&&lr| lr >> 62 != 0).count();
    let pending = gic.lrs.iter().filter(|&&lr| lr >> 62 & 1 != 0).count();
    let underflow = gic.hcr & 1 << 1 != 0 && valid < 2;
    let none_pending = gic.hcr & 1 << 3 != 0 && pending == 0;
    u64::from(underflow) << 1 | u64::from(none_pending) << 3
}

/// A structure each 64-bit word of which is one more than the word before.
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
