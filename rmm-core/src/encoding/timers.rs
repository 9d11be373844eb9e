// SPDX-License-Identifier: BSD-3-Clause
//! The EL1 timers: `CNTHCTL_EL2` while a Realm runs, and their interrupts.

use super::fields::*;

/// `CNTHCTL_EL2`: EL1 and EL0 use counters and EL1 timers freely; no offsets.
pub const CNTHCTL_BASE: u64 = set!(CNTHCTL_EL2: EL1PTEN | EL1PCTEN);
/// The signal of the EL1 virtual timer is masked.
const CNTVMASK: u64 = set!(CNTHCTL_EL2: CNTVMASK);
/// The signal of the EL1 physical timer is masked.
const CNTPMASK: u64 = set!(CNTHCTL_EL2: CNTPMASK);
/// [`CNTHCTL_BASE`] with these bits inverted: the signal of the EL1 virtual timer is masked, and its
/// registers trap (FEAT_ECV, which every CPU with RME has).
pub const VIRTUAL_MASKED: u64 = CNTVMASK | set!(CNTHCTL_EL2: EL1TVT);
/// The same for the EL1 physical timer, whose registers trap if EL1PTEN is clear.
pub const PHYSICAL_MASKED: u64 = CNTPMASK | set!(CNTHCTL_EL2: EL1PTEN);

/// INTID of the EL1 virtual timer.
const VIRTUAL_TIMER_PPI: u64 = 27;
/// INTID of the EL1 physical timer.
const PHYSICAL_TIMER_PPI: u64 = 30;

/// Whether `hppir` (`ICC_HPPIR1_EL1`) says that the interrupt of a timer is pending whose signal one of
/// these `masks` masks.
#[inline]
pub fn is_pending(hppir: u64, masks: u64) -> bool {
    match hppir {
        VIRTUAL_TIMER_PPI => masks & CNTVMASK != 0,
        PHYSICAL_TIMER_PPI => masks & CNTPMASK != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::bits;

    /// D24.10.2 with E2H: EL1PCTEN 10, EL1PTEN 11, ECV 12, EL1TVT 13, CNTVMASK 18, CNTPMASK 19.
    #[test]
    fn cnthctl() {
        assert_eq!(CNTHCTL_BASE, bits([10, 11]));
        assert_eq!(CNTHCTL_BASE ^ VIRTUAL_MASKED, bits([10, 11, 13, 18]));
        assert_eq!(CNTHCTL_BASE ^ PHYSICAL_MASKED, bits([10, 19]));
    }

    /// The base system architecture gives the EL1 timers the PPIs 27 (virtual) and 30 (physical).
    #[test]
    fn pending_interrupts() {
        let both = bits([18, 19]);
        for (hppir, masks, expected) in [
            (27, both, true),
            (30, both, true),
            (27, bits([18]), true),
            (27, bits([19]), false),
            (30, bits([18]), false),
            (30, bits([19]), true),
            (27, 0, false),
            // The EL2 physical timer, and no interrupt.
            (26, both, false),
            (1023, both, false),
        ] {
            assert_eq!(is_pending(hppir, masks), expected, "{hppir} {masks:#x}");
        }
    }
}
