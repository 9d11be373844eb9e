// SPDX-License-Identifier: BSD-3-Clause
//! An index that a Host chooses, made harmless to code that the CPU executes speculatively.

/// `index`, which is less than `length`. Where the CPU has predicted a check of that wrongly and runs
/// ahead, zero: the load that follows then stays inside the array, whatever the Host asked for.
#[inline(always)]
pub(crate) fn bounded(index: usize, length: usize) -> usize {
    debug_assert!(index < length, "not checked");
    #[cfg(target_os = "none")]
    {
        let bounded;
        // SAFETY: arithmetic. CSDB: no instruction behind it works with a predicted result of CSEL.
        unsafe {
            core::arch::asm!(
                "cmp {index}, {length}",
                "csel {bounded}, {index}, xzr, lo",
                "csdb",
                index = in(reg) index,
                length = in(reg) length,
                bounded = lateout(reg) bounded,
                options(pure, nomem, nostack)
            );
        }
        bounded
    }
    #[cfg(not(target_os = "none"))]
    index
}
