// SPDX-License-Identifier: BSD-3-Clause
//! The virtual GIC CPU interface of a REC: what a Host may put there at an entry (specification
//! A6.1).

use crate::machine::{CpuFeatures, GicState};
use rmm_abi::rmi::{GICV3_HCR_EOI_COUNT_MASK, GICV3_HCR_HOST_MASK, MAX_GIC_LRS};

/// Bits of `ICH_HCR_EL2` that are set while a Realm runs: En, vSGIEOICount, DVIM.
pub const HCR_FORCED: u64 = 1 << 0 | 1 << 8 | 1 << 15;

/// State, bits 63:62; zero is invalid.
const LR_STATE: u64 = 3 << 62;
/// HW: the virtual interrupt is backed by a physical one.
const LR_HW: u64 = 1 << 61;
/// NMI: the virtual interrupt has Superpriority, and the priority mask of a Realm, which knows of no such
/// interrupts, does not hold it back. Reserved without FEAT_GICv3_NMI.
const LR_NMI: u64 = 1 << 59;
/// What no list register may have in a Realm of RMI 2.0, whose Host loads them itself.
pub const LR_REFUSED: u64 = LR_HW | LR_NMI;
/// Bits the architecture reserves, NMI, and pINTID except its EOI bit (41): without HW it has no other
/// meaning.
const LR_RES0: u64 = 0xF << 56 | 0x7 << 45 | 0x1FFF << 32 & !(1 << 41);
const LR_PRIORITY_SHIFT: u32 = 48;

/// Number of list registers of the CPUs.
#[must_use]
pub fn num_lrs(features: &CpuFeatures) -> usize {
    (usize::from(features.gic_num_lrs) + 1).min(MAX_GIC_LRS)
}

/// Whether these values of a Host for `ICH_HCR_EL2` and `ICH_LR<n>_EL2` are valid (`rec_gicv3`).
#[must_use]
pub fn is_valid(hcr: u64, lrs: &[u64; MAX_GIC_LRS], features: &CpuFeatures) -> bool {
    if hcr & !GICV3_HCR_HOST_MASK != 0 {
        return false;
    }
    let lrs = &lrs[..num_lrs(features)];
    lrs.iter().enumerate().all(|(n, &lr)| {
        is_valid_lr(lr, features)
            && (lr & LR_STATE == 0 || !lrs[..n].iter().any(|&other| same_interrupt(lr, other)))
    })
}

/// Both list registers hold the same virtual interrupt.
fn same_interrupt(a: u64, b: u64) -> bool {
    b & LR_STATE != 0 && a & 0xFFFF_FFFF == b & 0xFFFF_FFFF
}

/// An architecturally valid value of `ICH_LR<n>_EL2` with HW = 0.
fn is_valid_lr(lr: u64, features: &CpuFeatures) -> bool {
    if lr & LR_HW != 0 {
        return false;
    }
    if lr & LR_STATE == 0 {
        return true;
    }
    let unused_priority_bits = 8_u32.saturating_sub(u32::from(features.gic_pri_bits));
    let priority_res0 = (0xFF_u64 >> (8 - unused_priority_bits)) << LR_PRIORITY_SHIFT;
    lr & (LR_RES0 | priority_res0) == 0 && is_valid_vintid(lr & 0xFFFF_FFFF, features)
}

fn is_valid_vintid(id: u64, features: &CpuFeatures) -> bool {
    let max_lpi = if features.gic_id_24 {
        (1 << 24) - 1
    } else {
        (1 << 16) - 1
    };
    match id {
        0..=1019 => true,
        1056..=1119 | 4096..=5119 => features.gic_ext_range,
        8192.. => id <= max_lpi,
        _ => false,
    }
}

/// Puts valid values of the Host into the state of a REC. List registers that the CPUs do not
/// have stay zero.
pub fn accept(hcr: u64, lrs: &[u64; MAX_GIC_LRS], features: &CpuFeatures, gic: &mut GicState) {
    gic.hcr = gic.hcr & GICV3_HCR_EOI_COUNT_MASK | hcr & GICV3_HCR_HOST_MASK | HCR_FORCED;
    for (to, from) in gic.lrs.iter_mut().zip(lrs).take(num_lrs(features)) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::features;
    use zerocopy::FromZeros;

    const PENDING: u64 = 1 << 62;

    fn valid(hcr: u64, first: u64, rest: &[u64]) -> bool {
        let mut lrs = [0; MAX_GIC_LRS];
        lrs[0] = first;
        for (to, from) in lrs.iter_mut().skip(1).zip(rest) {
            *to = *from;
        }
        is_valid(hcr, &lrs, &features())
    }

    #[test]
    fn hcr_has_the_hosts_bits_alone() {
        for bit in 0..64 {
            let host = matches!(bit, 1..=7 | 14);
            assert_eq!(valid(1 << bit, 0, &[]), host, "bit {bit}");
        }
    }

    #[test]
    fn list_registers() {
        for (lr, is_valid) in [
            (0, true),
            (PENDING | 27, true),
            (3 << 62 | 1 << 60 | 0xA8 << 48 | 27, true),
            // HW, in each state.
            (1 << 61, false),
            (1 << 62 | 1 << 61 | 27, false),
            (2 << 62 | 1 << 61 | 27, false),
            (3 << 62 | 1 << 61 | 27, false),
            // pINTID: the EOI bit alone.
            (PENDING | 1 << 41 | 27, true),
            (PENDING | 1 << 40 | 27, false),
            (PENDING | 1 << 32 | 27, false),
            // Priority bits that are not implemented.
            (PENDING | 0x04 << 48 | 27, false),
            (PENDING | 0x08 << 48 | 27, true),
            // Reserved bits.
            (PENDING | 1 << 45 | 27, false),
            (PENDING | 1 << 56 | 27, false),
            (PENDING | 1 << 59 | 27, false),
            // vINTIDs.
            (PENDING | 1019, true),
            (PENDING | 1020, false),
            (PENDING | 1056, false),
            (PENDING | 4096, false),
            (PENDING | 8191, false),
            (PENDING | 8192, true),
            (PENDING | 0xFFFF, true),
            (PENDING | 0x1_0000, false),
        ] {
            assert_eq!(valid(0, lr, &[]), is_valid, "{lr:#x}");
        }
    }

    #[test]
    fn extended_ranges_and_24_bits_where_there_are_some() {
        let wide = CpuFeatures {
            gic_id_24: true,
            gic_ext_range: true,
            ..features()
        };
        for (id, is_valid) in [
            (1055, false),
            (1056, true),
            (1119, true),
            (1120, false),
            (4096, true),
            (5119, true),
            (5120, false),
            (0xFF_FFFF, true),
            (0x100_0000, false),
        ] {
            assert_eq!(is_valid_lr(PENDING | id, &wide), is_valid, "{id}");
        }
    }

    #[test]
    fn an_interrupt_is_listed_once() {
        assert!(!valid(0, PENDING | 27, &[0, PENDING | 27]));
        assert!(
            valid(0, PENDING | 27, &[27, PENDING | 30]),
            "an invalid one does not count"
        );
        // Beyond the list registers that there are.
        assert!(valid(0, PENDING | 27, &[0, 0, 0, PENDING | 27]));
        assert!(valid(0, 0, &[0, 0, 0, 1 << 61]));
    }

    #[test]
    fn the_rec_keeps_eoi_count_and_the_forced_bits() {
        let mut gic = GicState::new_zeroed();
        gic.hcr = 3 << 27 | HCR_FORCED | 1 << 2;
        let lrs = [5; MAX_GIC_LRS];
        accept(1 << 14, &lrs, &features(), &mut gic);
        assert_eq!(gic.hcr, 3 << 27 | 1 << 14 | HCR_FORCED);
        assert_eq!((gic.lrs[3], gic.lrs[4]), (5, 0));
    }
}
