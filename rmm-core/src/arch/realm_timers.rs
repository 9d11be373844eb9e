// SPDX-License-Identifier: BSD-3-Clause
//! The EL1 timers in the world switch (specification A6.2).
//!
//! A timer of a Realm that is asserted would interrupt the run again at once. So its signal is masked
//! as long as it is asserted, and the run loop exits to the Host when an output changes. Meanwhile the
//! registers of that timer trap, because the Realm could make it quiet and have it fire again without
//! an interrupt.

use super::registers::*;
use crate::encoding::timers::{CNTHCTL_BASE, PHYSICAL_MASKED, VIRTUAL_MASKED, is_pending};
use crate::machine::{Timer, TimerLines, TimerRegister, TimerState};

/// How often to look whether the interrupt of a timer that was just masked is gone from the CPU
/// interface. It takes the time of a message between redistributor and CPU. Should it ever take longer,
/// the REC exits once more than necessary.
const MAX_POLLS: u32 = 1000;

/// Sets the registers that no REC changes.
pub(super) fn init() {
    CNTHCTL_EL2.set(CNTHCTL_BASE);
    CNTVOFF_EL2.clear();
}

/// Masks the hardware signal of each EL1 timer of the entered REC that is asserted, and traps its
/// registers; the reverse for the others. Returns which are asserted.
#[inline]
pub fn mask() -> TimerLines {
    let lines = TimerLines {
        virt: CNTV_CTL_EL02.matches_all(
            CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::IMASK::CLEAR + CNTV_CTL_EL0::ISTATUS::SET,
        ),
        phys: CNTP_CTL_EL02.matches_all(
            CNTP_CTL_EL0::ENABLE::SET + CNTP_CTL_EL0::IMASK::CLEAR + CNTP_CTL_EL0::ISTATUS::SET,
        ),
    };
    let mut cnthctl = CNTHCTL_BASE;
    if lines.virt {
        cnthctl ^= VIRTUAL_MASKED;
    }
    if lines.phys {
        cnthctl ^= PHYSICAL_MASKED;
    }
    let before = CNTHCTL_EL2.get();
    if cnthctl != before {
        set_masks(cnthctl, before);
    }
    lines
}

/// Changes the masks, and waits until an interrupt that is now masked is gone from the CPU interface.
#[cold]
fn set_masks(cnthctl: u64, before: u64) {
    CNTHCTL_EL2.set(cnthctl);
    isb();
    let new = cnthctl & !before;
    for _ in 0..MAX_POLLS {
        if !is_pending(ICC_HPPIR1_EL1.get(), new) {
            break;
        }
    }
}

/// Reads a register of an EL1 timer of the entered REC.
pub(super) fn read(timer: Timer, register: TimerRegister) -> u64 {
    match (timer, register) {
        (Timer::Virtual, TimerRegister::Ctl) => CNTV_CTL_EL02.get(),
        (Timer::Virtual, TimerRegister::Cval) => CNTV_CVAL_EL02.get(),
        (Timer::Virtual, TimerRegister::Tval) => CNTV_TVAL_EL02.get(),
        (Timer::Physical, TimerRegister::Ctl) => CNTP_CTL_EL02.get(),
        (Timer::Physical, TimerRegister::Cval) => CNTP_CVAL_EL02.get(),
        (Timer::Physical, TimerRegister::Tval) => CNTP_TVAL_EL02.get(),
    }
}

/// Writes a register of an EL1 timer of the entered REC.
pub(super) fn write(timer: Timer, register: TimerRegister, value: u64) {
    match (timer, register) {
        (Timer::Virtual, TimerRegister::Ctl) => CNTV_CTL_EL02.set(value),
        (Timer::Virtual, TimerRegister::Cval) => CNTV_CVAL_EL02.set(value),
        (Timer::Virtual, TimerRegister::Tval) => CNTV_TVAL_EL02.set(value),
        (Timer::Physical, TimerRegister::Ctl) => CNTP_CTL_EL02.set(value),
        (Timer::Physical, TimerRegister::Cval) => CNTP_CVAL_EL02.set(value),
        (Timer::Physical, TimerRegister::Tval) => CNTP_TVAL_EL02.set(value),
    }
    // So that the next look at the timer sees it.
    isb();
}

/// Saves the EL1 timers.
#[inline]
pub(super) fn save(timers: &mut TimerState) {
    timers.cntkctl = CNTKCTL_EL12.get();
    timers.cntp_ctl = CNTP_CTL_EL02.get();
    timers.cntp_cval = CNTP_CVAL_EL02.get();
    timers.cntv_ctl = CNTV_CTL_EL02.get();
    timers.cntv_cval = CNTV_CVAL_EL02.get();
}

/// Loads the EL1 timers. Compare values come before the controls: an enabled timer must not compare
/// with the other world's value.
#[inline]
pub(super) fn load(timers: &TimerState) {
    CNTKCTL_EL12.set(timers.cntkctl);
    CNTP_CVAL_EL02.set(timers.cntp_cval);
    CNTP_CTL_EL02.set(timers.cntp_ctl);
    CNTV_CVAL_EL02.set(timers.cntv_cval);
    CNTV_CTL_EL02.set(timers.cntv_ctl);
}
