// SPDX-License-Identifier: BSD-3-Clause
//! Instruction caches: what a Realm fetches is what was written.

use super::registers::*;
use core::arch::asm;
use rmm_granule::GRANULE_SIZE;

/// Makes the content of a Granule, just written, what every CPU that executes it fetches, whatever
/// the Granule held before.
#[inline]
pub fn publish_instructions(granule: &[u8; GRANULE_SIZE]) {
    let ctr = CTR_EL0.get();
    if !CTR_EL0::IDC.is_set(ctr) {
        let line = 4_usize << CTR_EL0::DminLine.read(ctr);
        for at in granule.iter().step_by(line) {
            // SAFETY: cleans a line of the Granule to the point of unification.
            unsafe {
                asm!("dc cvau, {}", in(reg) core::ptr::from_ref(at), options(nostack, preserves_flags));
            }
        }
    }
    // Until the content is there.
    barrier::dsb(barrier::ISH);
    if !CTR_EL0::DIC.is_set(ctr) {
        // SAFETY: forgets instructions on all CPUs; the Realm's address of the Granule, by which
        // they may be kept, is not known here.
        unsafe {
            asm!(
                "ic ialluis",
                "dsb ish",
                "isb",
                options(nostack, preserves_flags)
            )
        };
    }
}
