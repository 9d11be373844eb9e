// SPDX-License-Identifier: BSD-3-Clause
//! Instructions of the monitor that may take an exception, and where it goes on if they do.

use super::ns;
use super::registers::*;

unsafe extern "C" {
    /// The fixups that the linker collects.
    #[link_name = "__fixups_start"]
    static FIXUPS_START: [Fixup; 0];
    #[link_name = "__fixups_end"]
    static FIXUPS_END: [Fixup; 0];
}

/// An entry of the section `.fixups`: from `start` to before `end` an exception of this class
/// leads to `target`.
#[repr(C)]
struct Fixup {
    start: u64,
    end: u64,
    target: u64,
    /// `ESR_EL2.EC`, and [`ANYWHERE`].
    class: u64,
}

/// Flag of the class of a data abort: whatever `FAR_EL2` says. Without it only one at Non-secure
/// memory is expected.
const ANYWHERE: u64 = 1 << 8;
/// Class of an access to Non-secure memory that faults.
pub const DATA_ABORT: u64 = ESR_EL2::EC::Value::DataAbortCurrentEL as u64;
/// Class of an address translation instruction whose walk meets an external abort.
pub const WALK_ABORT: u64 = DATA_ABORT | ANYWHERE;
/// Class of an access to a register that EL3 keeps closed, and of one that does not exist.
pub const UNDEFINED: u64 = ESR_EL2::EC::Value::Unknown as u64;

/// Where to go on after a synchronous exception at `elr`; `None` if nobody expects it.
#[must_use]
pub fn target(elr: u64, esr: u64, far: u64) -> Option<u64> {
    let class = ESR_EL2::EC.read(esr);
    let is_own = class == DATA_ABORT && !ns::may_be_foreign(esr, far);
    let expected =
        |fixup: &Fixup| fixup.class == class && !is_own || fixup.class == class | ANYWHERE;
    let (start, end) = (&raw const FIXUPS_START, &raw const FIXUPS_END);
    let (start, end) = (start.cast::<Fixup>(), end.cast::<Fixup>());
    // SAFETY: the linker script puts the two symbols around a whole number of entries.
    let fixups = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    fixups
        .iter()
        .find(|fixup| (fixup.start..fixup.end).contains(&elr) && expected(fixup))
        .map(|fixup| fixup.target)
}
