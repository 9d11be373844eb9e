// SPDX-License-Identifier: BSD-3-Clause
//! The virtual GIC CPU interface of a REC: what the Host may set at entry and sees at exit
//! (specification A6.1).

use crate::machine::{CpuFeatures, GicState};
use rmm_abi::rmi::{GICV3_HCR_EOI_COUNT_MASK, GICV3_HCR_HOST_MASK, MAX_GIC_LRS, RecEnter, RecExit};

/// Bits of `ICH_HCR_EL2` that are set while a Realm runs: En, vSGIEOICount, DVIM.
pub const HCR_FORCED: u64 = 1 << 0 | 1 << 8 | 1 << 15;

/// State, bits 63:62; zero is invalid.
const LR_STATE: u64 = 3 << 62;
/// HW: the virtual interrupt is backed by a physical one.
const LR_HW: u64 = 1 << 61;
/// Bits the architecture reserves, and pINTID except its EOI bit (41): without HW it has no other
/// meaning.
const LR_RES0: u64 = 0xF << 56 | 0x7 << 45 | 0x1FFF << 32 & !(1 << 41);
const LR_PRIORITY_SHIFT: u32 = 48;

/// The fields of an entry that concern the GIC, copied from Host memory.
#[derive(Clone, Copy)]
pub struct GicEntry {
    /// `gicv3_hcr`.
    pub hcr: u64,
    /// `gicv3_lrs`.
    pub lrs: [u64; MAX_GIC_LRS],
}

impl From<&RecEnter> for GicEntry {
    fn from(enter: &RecEnter) -> Self {
        Self {
            hcr: enter.gicv3_hcr,
            lrs: enter.gicv3_lrs,
        }
    }
}

/// Number of list registers in use.
fn num_lrs(features: &CpuFeatures) -> usize {
    (usize::from(features.gic_num_lrs) + 1).min(MAX_GIC_LRS)
}

/// Whether the Host's values are valid (`rec_gicv3`).
#[must_use]
pub fn is_valid(entry: &GicEntry, features: &CpuFeatures) -> bool {
    if entry.hcr & !GICV3_HCR_HOST_MASK != 0 {
        return false;
    }
    let lrs = &entry.lrs[..num_lrs(features)];
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

/// Loads valid values of the Host into the REC.
pub fn accept(entry: &GicEntry, features: &CpuFeatures, gic: &mut GicState) {
    gic.hcr = gic.hcr & GICV3_HCR_EOI_COUNT_MASK | entry.hcr & GICV3_HCR_HOST_MASK | HCR_FORCED;
    let used = num_lrs(features);
    for (n, (to, from)) in gic.lrs.iter_mut().zip(&entry.lrs).enumerate() {
        *to = if n < used { *from } else { 0 };
    }
}

/// Reports the REC's state to the Host.
pub fn report(gic: &GicState, exit: &mut RecExit) {
    exit.gicv3_hcr = gic.hcr & (GICV3_HCR_EOI_COUNT_MASK | GICV3_HCR_HOST_MASK);
    exit.gicv3_lrs = gic.lrs;
    exit.gicv3_misr = gic.misr;
    exit.gicv3_vmcr = gic.vmcr;
}
