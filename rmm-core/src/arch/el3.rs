// SPDX-License-Identifier: BSD-3-Clause
//! Calls to EL3.

use core::arch::asm;
use rmm_abi::el3::fid;

/// A call to EL3: function identifier, X1 to X4; returns X0 to X3.
#[inline]
pub fn call(function: u64, [x1, x2, x3, x4]: [u64; 4]) -> [u64; 4] {
    let (mut r0, mut r1, mut r2, mut r3) = (function, x1, x2, x3);
    // SAFETY: EL3 preserves every register that is not a result. A call may change the PAS of memory
    // and the shared buffer; the compiler assumes that all memory changes.
    unsafe {
        asm!(
            "smc #0",
            inout("x0") r0,
            inout("x1") r1,
            inout("x2") r2,
            inout("x3") r3,
            inout("x4") x4 => _,
            options(nostack)
        );
    }
    [r0, r1, r2, r3]
}

/// RMM_BOOT_COMPLETE: `status`, and the CPU's activation token. Returns X0 to X7 of the first RMI call
/// on this CPU. Does not return if `status` is a failure.
pub fn boot_complete(status: i64, token: u64) -> [u64; 8] {
    yield_cpu(
        fid::RMM_BOOT_COMPLETE,
        [status.cast_unsigned(), token, 0, 0, 0, 0, 0, 0],
    )
}

/// RMM_RMI_REQ_COMPLETE: the results of an RMI call. Returns the next call on this CPU.
#[inline]
pub fn request_complete(results: [u64; 8]) -> [u64; 8] {
    yield_cpu(fid::RMM_RMI_REQ_COMPLETE, results)
}

/// Leaves the CPU to the Normal world with X1 to X8; returns X0 to X7 of the next RMI call.
#[inline]
fn yield_cpu(function: u64, x1_up: [u64; 8]) -> [u64; 8] {
    let [mut r1, mut r2, mut r3, mut r4, mut r5, mut r6, mut r7, r8] = x1_up;
    let mut r0 = function;
    // SAFETY: as in `call`; EL3 preserves X8 to X30, SP and the EL2 registers until it returns with the
    // next request in X0 to X7.
    unsafe {
        asm!(
            "smc #0",
            inout("x0") r0,
            inout("x1") r1,
            inout("x2") r2,
            inout("x3") r3,
            inout("x4") r4,
            inout("x5") r5,
            inout("x6") r6,
            inout("x7") r7,
            inout("x8") r8 => _,
            options(nostack)
        );
    }
    [r0, r1, r2, r3, r4, r5, r6, r7]
}
