// SPDX-License-Identifier: BSD-3-Clause
//! Secure Monitor Calls, with every register that SMCCC lets a call use.

use core::arch::asm;

/// X0 to X17, as given to a call or as returned by it.
pub type Registers = [u64; 18];

/// Counter ticks at which a call was made, and at which it had returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// Right before the SMC.
    pub before: u64,
    /// Right after it.
    pub after: u64,
}

impl Ticks {
    /// How many ticks passed. [`overhead`] of them are the measurement's own.
    #[must_use]
    pub fn passed(self) -> u64 {
        self.after.wrapping_sub(self.before)
    }
}

/// Performs a Secure Monitor Call.
///
/// # Safety
///
/// The call must not take memory away, or write memory, that the caller still holds references to.
#[must_use]
pub unsafe fn smc(input: &Registers) -> Registers {
    // SAFETY: as the caller promises.
    unsafe { timed_smc(input) }.0
}

/// Performs a Secure Monitor Call and reads the physical counter right before and after it.
///
/// # Safety
///
/// As for [`smc`].
#[must_use]
pub unsafe fn timed_smc(input: &Registers) -> (Registers, Ticks) {
    let mut r = *input;
    let mut ticks = Ticks::default();
    // SAFETY: SMCCC preserves X18 to X30 and SP; the rest is the caller's promise. Memory is
    // clobbered, since the callee may write what the caller shares with it.
    unsafe {
        asm!(
            "isb",
            "mrs x20, cntpct_el0",
            "smc #0",
            "isb",
            "mrs x21, cntpct_el0",
            inlateout("x0") r[0], inlateout("x1") r[1], inlateout("x2") r[2],
            inlateout("x3") r[3], inlateout("x4") r[4], inlateout("x5") r[5],
            inlateout("x6") r[6], inlateout("x7") r[7], inlateout("x8") r[8],
            inlateout("x9") r[9], inlateout("x10") r[10], inlateout("x11") r[11],
            inlateout("x12") r[12], inlateout("x13") r[13], inlateout("x14") r[14],
            inlateout("x15") r[15], inlateout("x16") r[16], inlateout("x17") r[17],
            out("x20") ticks.before, out("x21") ticks.after,
            options(nostack),
        );
    }
    (r, ticks)
}

/// As [`timed_smc`], between the two marks of the plugin `qemu-trace`, which records what is executed
/// between them. The marks are instructions without effect.
///
/// # Safety
///
/// As for [`smc`].
#[must_use]
pub unsafe fn marked_smc(input: &Registers) -> (Registers, Ticks) {
    // SAFETY: `orr xzr, xzr, x7, lsl #17`.
    unsafe { asm!(".inst 0xAA0747FF", options(nostack)) };
    // SAFETY: as the caller promises.
    let result = unsafe { timed_smc(input) };
    // SAFETY: `orr xzr, xzr, x7, lsl #18`.
    unsafe { asm!(".inst 0xAA074BFF", options(nostack)) };
    result
}

/// Ticks that pass between the two readings of [`timed_smc`] besides the call.
#[must_use]
pub fn overhead() -> u64 {
    let mut ticks = Ticks::default();
    // SAFETY: reads a counter.
    unsafe {
        asm!(
            "isb",
            "mrs {before}, cntpct_el0",
            "isb",
            "mrs {after}, cntpct_el0",
            before = out(reg) ticks.before, after = out(reg) ticks.after,
            options(nostack),
        );
    }
    ticks.passed()
}
