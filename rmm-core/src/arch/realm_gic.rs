// SPDX-License-Identifier: BSD-3-Clause
//! The virtual GIC CPU interface in the world switch (specification A6.1).
//!
//! The Host saves and reloads its own `ICH_*` around a call; it only relies on `ICH_HCR_EL2.En`
//! being 0 afterwards. List registers keep the REC's values, which the exit record tells anyway;
//! active priorities, which it does not tell, are cleared. `ICC_PMR_EL1` stays the Host's: a
//! physical interrupt that it masks does not end a Realm's run.

use super::realm_regs::{for_some, isb, mrs, msr};
use crate::machine::GicState;

/// `ICH_HCR_EL2.En`.
const HCR_EN: u64 = 1;
/// `ICC_SRE_EL2`: SRE, DFB, DIB, Enable.
const SRE: u64 = 0xF;

/// The GIC CPU interface of this CPU.
#[repr(C)]
pub(super) struct GicInterface {
    /// List registers, 1 to 16.
    list_registers: usize,
    /// Registers of each group of active priorities: 1, 2 or 4.
    priority_registers: usize,
    /// EL3 leaves `ICC_SRE_EL2`, `ICH_HCR_EL2` and `ICH_VMCR_EL2` as the Host has them: these are
    /// its values while a REC is entered.
    shared: bool,
    sre: u64,
    hcr: u64,
    vmcr: u64,
}

/// `$with!(n, register)` for each list register that there is.
macro_rules! for_list_registers {
    ($count:expr, $with:ident) => {
        for_some!($count, $with,
            0 "S3_4_C12_C12_0", 1 "S3_4_C12_C12_1", 2 "S3_4_C12_C12_2", 3 "S3_4_C12_C12_3",
            4 "S3_4_C12_C12_4", 5 "S3_4_C12_C12_5", 6 "S3_4_C12_C12_6", 7 "S3_4_C12_C12_7",
            8 "S3_4_C12_C13_0", 9 "S3_4_C12_C13_1", 10 "S3_4_C12_C13_2", 11 "S3_4_C12_C13_3",
            12 "S3_4_C12_C13_4", 13 "S3_4_C12_C13_5", 14 "S3_4_C12_C13_6", 15 "S3_4_C12_C13_7")
    };
}

/// `$with!(n, ICH_AP0R<n>_EL2, ICH_AP1R<n>_EL2)` for those that there are.
macro_rules! for_priority_registers {
    ($count:expr, $with:ident) => {
        for_some!($count, $with,
            0 "S3_4_C12_C8_0" "S3_4_C12_C9_0", 1 "S3_4_C12_C8_1" "S3_4_C12_C9_1",
            2 "S3_4_C12_C8_2" "S3_4_C12_C9_2", 3 "S3_4_C12_C8_3" "S3_4_C12_C9_3")
    };
}

impl GicInterface {
    /// Finds out what this CPU has, and closes the virtual interface unless it is the Host's.
    ///
    /// # Safety
    /// Runs at EL2 with no REC entered on this CPU.
    pub(super) unsafe fn init(&mut self, shared: bool) {
        self.shared = shared;
        let sre = mrs!(ICC_SRE_EL2);
        // SAFETY: the registers concern the GIC alone; what is the Host's is put back.
        unsafe {
            msr!(ICC_SRE_EL2, SRE);
            isb();
            let vtr = mrs!(ICH_VTR_EL2);
            self.list_registers = (vtr & 0x1F) as usize + 1;
            // PREbits: preemption bits minus 1.
            self.priority_registers = match vtr >> 26 & 7 {
                6.. => 4,
                5 => 2,
                _ => 1,
            };
            if shared {
                msr!(ICC_SRE_EL2, sre);
            } else {
                msr!(ICH_HCR_EL2, 0);
            }
        }
    }

    /// Loads the REC's registers.
    ///
    /// # Safety
    /// No REC is entered on this CPU; `gic.hcr` has only bits that are harmless to the Host.
    #[inline(always)]
    pub(super) unsafe fn enter(&mut self, gic: &GicState) {
        macro_rules! load_list {
            ($n:literal, $register:literal) => {
                msr!($register, gic.lrs[$n])
            };
        }
        macro_rules! load_priorities {
            ($n:literal, $group0:literal, $group1:literal) => {{
                msr!($group0, gic.ap0r[$n]);
                msr!($group1, gic.ap1r[$n]);
            }};
        }
        if self.shared {
            self.sre = mrs!(ICC_SRE_EL2);
            self.hcr = mrs!(ICH_HCR_EL2);
            self.vmcr = mrs!(ICH_VMCR_EL2);
        }
        // SAFETY: the registers exist, and concern virtual interrupts alone.
        unsafe {
            if self.shared {
                msr!(ICC_SRE_EL2, SRE);
            }
            msr!(ICH_VMCR_EL2, gic.vmcr);
            for_list_registers!(self.list_registers, load_list);
            for_priority_registers!(self.priority_registers, load_priorities);
            msr!(ICH_HCR_EL2, gic.hcr);
        }
    }

    /// Saves the REC's registers and closes the interface.
    ///
    /// # Safety
    /// The REC of `gic` is entered on this CPU.
    #[inline(always)]
    pub(super) unsafe fn leave(&mut self, gic: &mut GicState) {
        macro_rules! save_list {
            ($n:literal, $register:literal) => {
                gic.lrs[$n] = mrs!($register)
            };
        }
        macro_rules! save_priorities {
            ($n:literal, $group0:literal, $group1:literal) => {{
                gic.ap0r[$n] = mrs!($group0);
                gic.ap1r[$n] = mrs!($group1);
                msr!($group0, 0);
                msr!($group1, 0);
            }};
        }
        gic.hcr = mrs!(ICH_HCR_EL2);
        gic.vmcr = mrs!(ICH_VMCR_EL2);
        gic.misr = mrs!(ICH_MISR_EL2);
        for_list_registers!(self.list_registers, save_list);
        // SAFETY: as for `enter`.
        unsafe {
            for_priority_registers!(self.priority_registers, save_priorities);
            if self.shared {
                msr!(ICH_HCR_EL2, self.hcr & !HCR_EN);
                msr!(ICH_VMCR_EL2, self.vmcr);
                msr!(ICC_SRE_EL2, self.sre);
            } else {
                msr!(ICH_HCR_EL2, 0);
            }
        }
    }
}
