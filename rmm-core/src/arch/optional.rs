// SPDX-License-Identifier: BSD-3-Clause
//! Features whose registers the monitor uses where Realm world has them. The ID registers say which
//! ones the CPU has; which of them EL3 leaves open, only a read of a register shows.
//!
//! SMCCC_ARCH_FEATURE_AVAILABILITY would answer as well, but not every EL3 has it, and debug builds
//! of TF-A 2.15 may stop at the question.

use super::registers::*;
use crate::boot::{BootError, El3Interface};
use crate::encoding::features::has_pauth;
use crate::encoding::traps::{CPTR_FP, CPTR_SME, CPTR_SVE, has_pmu};
use crate::encoding::vectors::{Features, Open, Plan, Unended};
use log::warn;

/// Features of this CPU that EL3 leaves open to Realm world.
#[derive(Clone, Copy, Debug)]
pub struct Optional {
    /// What follows from FP/SIMD, SVE, SME and `FPMR`.
    pub vectors: Plan,
    /// A PMU of Arm's architecture.
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
    /// The keys of pointer authentication, and with them its instructions.
    pub pauth: bool,
}

impl Optional {
    /// The features of the CPU that executes this, while it boots.
    pub fn find(el3: El3Interface) -> Self {
        let pfr0 = ID_AA64PFR0_EL1.get();
        let dfr0 = ID_AA64DFR0_EL1.get();
        let has = Features::new(
            pfr0,
            ID_AA64PFR1_EL1.get(),
            ID_AA64PFR2_EL1.get(),
            ID_AA64SMFR0_EL1.get(),
        );
        let fgt = ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::FGT);
        let has_mpam = ID_AA64PFR0_EL1::MPAM.is_set(pfr0)
            || ID_AA64PFR1_EL1.is_set(ID_AA64PFR1_EL1::MPAM_frac);
        let monitor_cptr = CPTR_EL2.get();
        let mut opened = monitor_cptr | CPTR_FP;
        if has.sve {
            opened |= CPTR_SVE;
        }
        if has.sme {
            opened |= CPTR_SME;
        }
        CPTR_EL2.set(opened);
        isb();
        let vectors = Open {
            fp: is_open!(FPSR),
            sve: has.sve && is_open!(ZCR_EL2),
            // EL3 opens TPIDR2_EL0 and SVCR together, and not every EL3 survives the trap of SVCR.
            sme: has.sme && is_open!(TPIDR2_EL0) && is_open!(SVCR),
            fpmr: has.fpmr && is_open!(FPMR),
        };
        let open = Self {
            vectors: Plan::new(has, vectors),
            pmu: has_pmu(dfr0) && is_open!(PMCR_EL0),
            fgt: fgt > 0 && is_open!(HFGRTR_EL2),
            fgt2: fgt > 1 && is_open!(HFGRTR2_EL2),
            gcs: ID_AA64PFR1_EL1.is_set(ID_AA64PFR1_EL1::GCS) && is_open!(GCSCR_EL12),
            hcx: ID_AA64MMFR1_EL1.is_set(ID_AA64MMFR1_EL1::HCX) && is_open!(HCRX_EL2),
            brbe: ID_AA64DFR0_EL1::BRBE.is_set(dfr0) && is_open!(BRBCR_EL12),
            // An older EL3 keeps MPAM closed, and may not survive the trap.
            mpam: has_mpam && el3.opens_mpam() && is_open!(MPAM2_EL2),
            // An older EL3 does not bank the keys, and may not survive the trap.
            pauth: has_pauth(ID_AA64ISAR1_EL1.get(), ID_AA64ISAR2_EL1.get())
                && el3.banks_pauth_keys()
                && is_open!(APIAKEYLO_EL1),
        };
        CPTR_EL2.set(monitor_cptr);
        isb();
        open
    }

    /// Refuses a CPU on which features cannot be hidden from Realms: most registers of features
    /// newer than `HFGRTR_EL2` are trapped by it alone. And one whose vector registers cannot be saved.
    ///
    /// # Errors
    /// The CPU has `HFGRTR_EL2`, and EL3 keeps it closed; or there is no FP/SIMD.
    pub fn check(&self) -> Result<(), BootError> {
        if !self.fgt && ID_AA64MMFR0_EL1.is_set(ID_AA64MMFR0_EL1::FGT) {
            return Err(BootError::Other("EL3 keeps the fine-grained traps closed"));
        }
        if !self.vectors.fp {
            return Err(BootError::Other("EL3 keeps FP/SIMD closed"));
        }
        Ok(())
    }

    /// Reports what a Host must not do because of what EL3 keeps closed.
    pub fn warn(&self) {
        if self.vectors.sve_closed {
            warn!("EL3 keeps SVE closed: the Host must not use it");
        }
        if self.vectors.unended != Unended::Never {
            warn!("EL3 keeps SME or FPMR closed: no REC runs while the Host is in streaming mode");
        }
    }
}
