// SPDX-License-Identifier: BSD-3-Clause
//! Features whose registers the monitor uses where Realm world has them. The ID registers tell
//! what this CPU has; what of it EL3 leaves open, a read tells.
//!
//! SMCCC_ARCH_FEATURE_AVAILABILITY would tell, too, but not every EL3 has it, and debug builds of
//! TF-A 2.15 may stop at the question.

use super::fixup::UNDEFINED;
use super::realm_pmu;
use super::registers::*;
use super::simd::{CPTR_FP, CPTR_SME, CPTR_SVE};
use crate::boot::{BootError, El3Interface};
use core::arch::asm;

/// Features of this CPU that EL3 leaves open to Realm world.
#[derive(Clone, Copy, Debug)]
pub struct Optional {
    /// SVE.
    pub sve: bool,
    /// SME.
    pub sme: bool,
    /// `FPMR`.
    pub fpmr: bool,
    /// PMU of Arm's.
    pub pmu: bool,
    /// `HFG*_EL2` and `HDFG*_EL2`.
    pub fgt: bool,
    /// `HFG*2_EL2` and `HDFG*2_EL2`.
    pub fgt2: bool,
    /// Guarded Control Stacks.
    pub gcs: bool,
    /// `HCRX_EL2`.
    pub hcx: bool,
    /// Branch records.
    pub brbe: bool,
    /// MPAM.
    pub mpam: bool,
}

impl Optional {
    /// Finds out, on the CPU that executes this.
    ///
    /// # Safety
    /// Runs at EL2 while the CPU boots, after EL2's vectors are there.
    #[must_use]
    pub unsafe fn find(el3: El3Interface) -> Self {
        let pfr0 = ID_AA64PFR0_EL1.get();
        let has_sve = ID_AA64PFR0_EL1::SVE.is_set(pfr0);
        let has_sme = ID_AA64PFR1_EL1.is_set(PFR1_SME);
        let fgt = MMFR0_FGT.read(ID_AA64MMFR0_EL1.get());
        let has_mpam = ID_AA64PFR0_EL1.is_set(PFR0_MPAM) || ID_AA64PFR1_EL1.is_set(PFR1_MPAM_frac);
        let monitor_cptr = CPTR_EL2.get();
        let mut opened = monitor_cptr | CPTR_FP;
        if has_sve {
            opened |= CPTR_SVE;
        }
        if has_sme {
            opened |= CPTR_SME;
        }
        CPTR_EL2.set(opened);
        isb();
        let open = Self {
            sve: has_sve && probe(&ZCR_EL2),
            // EL3 opens TPIDR2_EL0 and SVCR together, and not every EL3 survives the trap of SVCR.
            sme: has_sme && probe(&TPIDR2_EL0) && probe(&SVCR),
            fpmr: ID_AA64PFR2_EL1.is_set(ID_AA64PFR2_EL1::FPMR) && probe(&FPMR),
            pmu: realm_pmu::is_implemented() && probe(&PMCR_EL0),
            fgt: fgt > 0 && probe(&HFGRTR_EL2),
            fgt2: fgt > 1 && probe(&HFGRTR2_EL2),
            gcs: ID_AA64PFR1_EL1.is_set(PFR1_GCS) && probe(&GCSCR_EL12),
            hcx: ID_AA64MMFR1_EL1.is_set(MMFR1_HCX) && probe(&HCRX_EL2),
            brbe: ID_AA64DFR0_EL1.is_set(ID_AA64DFR0_EL1::BRBE) && probe(&BRBCR_EL12),
            // Before that version EL3 keeps it closed, and may not survive the trap.
            mpam: has_mpam && el3.opens_mpam() && probe(&MPAM2_EL2),
        };
        CPTR_EL2.set(monitor_cptr);
        isb();
        open
    }

    /// Whether Realms can be kept from what is hidden from them: of features that are newer than
    /// `HFGRTR_EL2` most registers are trapped by it alone.
    ///
    /// # Errors
    /// The CPU has it, and EL3 keeps it closed.
    pub fn judge(&self) -> Result<(), BootError> {
        if !self.fgt && ID_AA64MMFR0_EL1.is_set(MMFR0_FGT) {
            return Err(BootError::Other("EL3 keeps the fine-grained traps closed"));
        }
        Ok(())
    }
}

/// Whether the register can be read: EL3 answers the trap of one that it keeps closed with an
/// Undefined Instruction exception.
fn probe<const OP0: u8, const OP1: u8, const CRN: u8, const CRM: u8, const OP2: u8, R>(
    _: &Register<OP0, OP1, CRN, CRM, OP2, R>,
) -> bool {
    let mut is_open = 0_u64;
    // SAFETY: reading one of the registers above changes nothing. An exception of the read is
    // expected, by the entry in the table, and leaves all registers as they are.
    unsafe {
        asm!(
            "2: mrs {value}, S{op0}_{op1}_C{crn}_C{crm}_{op2}",
            "3: mov {is_open}, #1",
            "4:",
            ".pushsection .fixups, \"a\"",
            ".balign 8",
            ".quad 2b, 3b, 4b, {undefined}",
            ".popsection",
            value = out(reg) _,
            is_open = inout(reg) is_open,
            op0 = const OP0,
            op1 = const OP1,
            crn = const CRN,
            crm = const CRM,
            op2 = const OP2,
            undefined = const UNDEFINED,
            options(nomem, nostack, preserves_flags)
        );
    }
    is_open != 0
}
