// SPDX-License-Identifier: BSD-3-Clause
//! Secure Monitor Calls, with every register that SMCCC lets a call use.

use core::arch::asm;

/// X0 to X17, as given to a call or as returned by it.
pub type Registers = [u64; 18];

/// Performs a Secure Monitor Call.
///
/// # Safety
///
/// The call must not take memory away, or write memory, that the caller still holds references to.
#[must_use]
pub unsafe fn smc(input: &Registers) -> Registers {
    let mut r = *input;
    // SAFETY: SMCCC preserves X18 to X30 and SP; the rest is the caller's promise. Memory is
    // clobbered, since the callee may write what the caller shares with it.
    unsafe {
        asm!(
            "smc #0",
            inlateout("x0") r[0], inlateout("x1") r[1], inlateout("x2") r[2],
            inlateout("x3") r[3], inlateout("x4") r[4], inlateout("x5") r[5],
            inlateout("x6") r[6], inlateout("x7") r[7], inlateout("x8") r[8],
            inlateout("x9") r[9], inlateout("x10") r[10], inlateout("x11") r[11],
            inlateout("x12") r[12], inlateout("x13") r[13], inlateout("x14") r[14],
            inlateout("x15") r[15], inlateout("x16") r[16], inlateout("x17") r[17],
            options(nostack),
        );
    }
    r
}
