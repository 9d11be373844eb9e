// SPDX-License-Identifier: BSD-3-Clause
//! Instruction caches: a Realm fetches what was written.

use super::registers::*;
use crate::encoding::features::data_line;
use core::arch::asm;
use rmm_granule::GRANULE_SIZE;

/// Makes every CPU fetch the content of a Granule that was just written, whatever the Granule held
/// before.
#[inline]
pub fn publish_instructions(granule: &[u8; GRANULE_SIZE]) {
    let ctr = CTR_EL0.get();
    if !CTR_EL0::IDC.is_set(ctr) {
        for line in granule.iter().step_by(data_line(ctr)) {
            // SAFETY: cleans a line of the Granule to the point of unification.
            unsafe {
                asm!(
                    "dc cvau, {line}",
                    line = in(reg) core::ptr::from_ref(line),
                    options(nostack, preserves_flags)
                );
            }
        }
    }
    // The content must be there before instruction caches forget the old one.
    barrier::dsb(barrier::ISH);
    if !CTR_EL0::DIC.is_set(ctr) {
        // By address would not do: instruction caches may keep lines by the Realm's address, which
        // is not known here.
        // SAFETY: forgets instructions on all CPUs.
        unsafe {
            asm!(
                "ic ialluis",
                "dsb ish",
                "isb",
                options(nostack, preserves_flags)
            );
        }
    }
}
