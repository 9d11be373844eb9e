// SPDX-License-Identifier: BSD-3-Clause
//! The table of fixups that the linker collects, see [`crate::encoding::fixup`].

use crate::encoding::fixup::{self, Fixup};

unsafe extern "C" {
    #[link_name = "__fixups_start"]
    static FIXUPS_START: [Fixup; 0];
    #[link_name = "__fixups_end"]
    static FIXUPS_END: [Fixup; 0];
}

/// Where to go on after a synchronous exception at `elr`; `None` if no entry expects it.
pub fn target(elr: u64, esr: u64, far: u64) -> Option<u64> {
    let (start, end) = (&raw const FIXUPS_START, &raw const FIXUPS_END);
    let (start, end) = (start.cast::<Fixup>(), end.cast::<Fixup>());
    // SAFETY: the linker script puts the two symbols around a whole number of entries.
    let fixups = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    fixup::target(fixups, elr, esr, far)
}
