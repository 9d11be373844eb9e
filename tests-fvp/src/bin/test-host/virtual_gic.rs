// SPDX-License-Identifier: BSD-3-Clause
//! The virtual CPU interface of the GIC. With RMI 2.0 it is the Host's: the Realm gets its interrupts from
//! registers that the Host loads before an entry and saves after it.

use crate::arch::{isb, mrs, msr};
use rmm_abi::rmi::MAX_GIC_LRS;

/// `ICH_HCR_EL2`: En, and the count of ended interrupts that were in no list register.
pub const EN: u64 = 1;
const EOI_COUNT: u64 = 0x1F << 27;

/// What a REC has in the interface while it is not entered.
#[derive(Clone, Copy, Default)]
pub struct VirtualGic {
    /// List registers.
    pub lrs: [u64; MAX_GIC_LRS],
    /// `ICH_HCR_EL2`.
    pub hcr: u64,
    /// `ICH_VMCR_EL2`.
    pub vmcr: u64,
    /// `ICH_MISR_EL2`, which can only be read.
    pub misr: u64,
    /// `ICH_AP0R<n>_EL2` and `ICH_AP1R<n>_EL2`.
    priorities: [u64; 8],
}

/// Calls `$with!(n, name)` for those registers of a list that the CPU has: the first `$count`.
macro_rules! first {
    ($count:expr, $with:ident, $($n:literal $name:literal)*) => {
        $(if $n < $count {
            $with!($n, $name);
        })*
    };
}

macro_rules! lists {
    ($with:ident) => {
        first!(list_registers(), $with,
            0 "ich_lr0_el2" 1 "ich_lr1_el2" 2 "ich_lr2_el2" 3 "ich_lr3_el2"
            4 "ich_lr4_el2" 5 "ich_lr5_el2" 6 "ich_lr6_el2" 7 "ich_lr7_el2"
            8 "ich_lr8_el2" 9 "ich_lr9_el2" 10 "ich_lr10_el2" 11 "ich_lr11_el2"
            12 "ich_lr12_el2" 13 "ich_lr13_el2" 14 "ich_lr14_el2" 15 "ich_lr15_el2")
    };
}

macro_rules! active_priorities {
    ($with:ident) => {
        first!(priority_registers(), $with,
            0 "ich_ap0r0_el2" 1 "ich_ap1r0_el2" 2 "ich_ap0r1_el2" 3 "ich_ap1r1_el2"
            4 "ich_ap0r2_el2" 5 "ich_ap1r2_el2" 6 "ich_ap0r3_el2" 7 "ich_ap1r3_el2")
    };
}

/// How many list registers the CPU has.
pub fn list_registers() -> usize {
    (mrs!("ich_vtr_el2") & 0x1F) as usize + 1
}

/// Whether a list register can hold an NMI (FEAT_GICv3_NMI). No REC is entered, and none has an interrupt there.
pub fn has_nmi() -> bool {
    const NMI: u64 = 1 << 59;
    msr!("ich_lr0_el2", NMI);
    let has_nmi = mrs!("ich_lr0_el2") & NMI != 0;
    msr!("ich_lr0_el2", 0);
    has_nmi
}

/// How many registers of active priorities, of both groups together.
fn priority_registers() -> usize {
    // PREbits: 5, 6 or 7, of which each register holds 2^5.
    let bits = (mrs!("ich_vtr_el2") >> 26 & 7) + 1;
    2 << bits.saturating_sub(5)
}

impl VirtualGic {
    /// Loads the registers, with the list registers and the `ICH_HCR_EL2` of an entry. The count of ended
    /// interrupts goes on.
    pub fn load(&self, lrs: &[u64; MAX_GIC_LRS], hcr: u64) {
        macro_rules! load {
            ($n:literal, $name:literal) => {
                msr!($name, lrs[$n])
            };
        }
        lists!(load);
        self.load_state(EN | hcr | self.hcr & EOI_COUNT);
    }

    fn load_state(&self, hcr: u64) {
        macro_rules! load {
            ($n:literal, $name:literal) => {
                msr!($name, self.priorities[$n])
            };
        }
        active_priorities!(load);
        msr!("ich_vmcr_el2", self.vmcr);
        msr!("ich_hcr_el2", hcr);
        isb();
    }

    /// Loads every register, as it is.
    pub fn load_all(&self) {
        macro_rules! load {
            ($n:literal, $name:literal) => {
                msr!($name, self.lrs[$n])
            };
        }
        lists!(load);
        self.load_state(self.hcr);
    }

    /// What the registers hold.
    pub fn save() -> Self {
        let mut found = Self::default();
        macro_rules! save_list {
            ($n:literal, $name:literal) => {
                found.lrs[$n] = mrs!($name)
            };
        }
        macro_rules! save_priorities {
            ($n:literal, $name:literal) => {
                found.priorities[$n] = mrs!($name)
            };
        }
        lists!(save_list);
        active_priorities!(save_priorities);
        found.hcr = mrs!("ich_hcr_el2");
        found.vmcr = mrs!("ich_vmcr_el2");
        found.misr = mrs!("ich_misr_el2");
        found
    }
}
