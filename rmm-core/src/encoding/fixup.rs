// SPDX-License-Identifier: BSD-3-Clause
//! The table of the monitor's instructions that may take an exception, and where the monitor goes on
//! then.

use super::fields::ESR_EL2;
use super::syndrome;

/// An entry of the section `.fixups`: an exception of `class` from `start` to before `end` leads to
/// `target`.
#[repr(C)]
pub struct Fixup {
    /// Address of the first instruction.
    pub start: u64,
    /// Address behind the last instruction.
    pub end: u64,
    /// Where to go on.
    pub target: u64,
    /// `ESR_EL2.EC`, and [`ANYWHERE`].
    pub class: u64,
}

/// Flag of the class of a data abort that is expected at any address. Without it only one at
/// Non-secure memory is.
const ANYWHERE: u64 = 1 << 8;
/// Class of an access to Non-secure memory that faults.
pub const DATA_ABORT: u64 = ESR_EL2::EC::Value::DataAbortCurrentEL as u64;
/// Class of an address translation instruction whose walk meets an external abort.
pub const WALK_ABORT: u64 = DATA_ABORT | ANYWHERE;
/// Class of an access to a register that EL3 keeps closed, or that does not exist.
pub const UNDEFINED: u64 = ESR_EL2::EC::Value::Unknown as u64;
/// Class of a vector instruction that streaming mode does not permit, or that traps by `CPTR_EL2.SMEN`.
pub const STREAMING: u64 = 0x1D;
/// Class of an SVE instruction that traps by `CPTR_EL2.ZEN`.
pub const SVE: u64 = 0x19;

/// Where to go on after a synchronous exception at `elr`; `None` if no entry expects it.
pub fn target(fixups: &[Fixup], elr: u64, esr: u64, far: u64) -> Option<u64> {
    let class = ESR_EL2::EC.read(esr);
    let is_own = class == DATA_ABORT && !syndrome::may_be_foreign(esr, far);
    let is_expected =
        |fixup: &Fixup| fixup.class == class && !is_own || fixup.class == class | ANYWHERE;
    fixups
        .iter()
        .find(|fixup| (fixup.start..fixup.end).contains(&elr) && is_expected(fixup))
        .map(|fixup| fixup.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::space::private::{DATA, NS_WINDOWS, va};

    const FIXUPS: [Fixup; 6] = [
        Fixup {
            start: 0x1000,
            end: 0x1010,
            target: 0x1040,
            class: DATA_ABORT,
        },
        Fixup {
            start: 0x2000,
            end: 0x2004,
            target: 0x2008,
            class: UNDEFINED,
        },
        Fixup {
            start: 0x3000,
            end: 0x3004,
            target: 0x3008,
            class: WALK_ABORT,
        },
        // The same place, of another class.
        Fixup {
            start: 0x2000,
            end: 0x2004,
            target: 0x200C,
            class: DATA_ABORT,
        },
        // Two classes lead to different places.
        Fixup {
            start: 0x4000,
            end: 0x4004,
            target: 0x4008,
            class: STREAMING,
        },
        Fixup {
            start: 0x4000,
            end: 0x4004,
            target: 0x4004,
            class: SVE,
        },
    ];

    /// D24.2.46: EC 31:26, IL 25, FnV 10, DFSC 5:0. EC 0b100101 is a data abort from the same level,
    /// 0b000000 an unknown reason, 0b100100 a data abort from a lower level.
    const ABORT: u64 = 0b10_0101 << 26 | 1 << 25;
    const FNV: u64 = 1 << 10;
    const UNKNOWN: u64 = 1 << 25;

    #[test]
    fn an_entry_is_for_its_place_and_its_class() {
        let (ns, own) = (va(NS_WINDOWS) as u64, va(DATA) as u64);
        let external = ABORT | 0x10;
        for (elr, esr, far, expected) in [
            (0x0FFC, ABORT, ns, None),
            (0x1000, ABORT, ns, Some(0x1040)),
            (0x100C, external, ns, Some(0x1040)),
            (0x1010, ABORT, ns, None),
            (0x1000, UNKNOWN, ns, None),
            (0x1000, 0b10_0100 << 26, ns, None),
            // The monitor's own memory: a bug, unless nobody knows the address.
            (0x1000, ABORT, own, None),
            (0x1000, external | FNV, own, Some(0x1040)),
            (0x2000, UNKNOWN, 0, Some(0x2008)),
            (0x2000, UNKNOWN, own, Some(0x2008)),
            (0x2000, ABORT, ns, Some(0x200C)),
            (0x2004, UNKNOWN, 0, None),
            // A walk of the Realm's tables: FAR is an address of the Realm.
            (0x3000, external, 0x1234, Some(0x3008)),
            (0x3000, external, own, Some(0x3008)),
            (0x3000, UNKNOWN, 0x1234, None),
            // D24.2.46: 0b011101 is a trap of SME, 0b011001 one of SVE.
            (0x4000, 0b01_1101 << 26 | 1 << 25, 0, Some(0x4008)),
            (0x4000, 0b01_1001 << 26 | 1 << 25, 0, Some(0x4004)),
            (0x4000, 0b00_0111 << 26 | 1 << 25, 0, None),
        ] {
            let found = target(&FIXUPS, elr, esr, far);
            assert_eq!(found, expected, "{elr:#x} {esr:#x} {far:#x}");
        }
        assert_eq!(target(&[], 0x1000, ABORT, ns), None);
    }
}
