// SPDX-License-Identifier: BSD-3-Clause
//! FP, SIMD, SVE and SME state in the world switch (specification A3.1.3).
//!
//! The vector registers are the Host's until the Realm uses them for the first time after an
//! entry, and again from the exit on; EL3 does not switch any of this. A Realm has no SVE: it uses
//! Q0 to Q31, FPSR and FPCR, everything else stays trapped. What it cannot reach stays in place:
//!
//! | state | while the Realm uses FP/SIMD |
//! |---|---|
//! | Z0 to Z31 | saved at the Host's vector length (`ZCR_EL2.LEN`, or `SMCR_EL2.LEN` in streaming mode): a write to Qn clears the rest of Zn |
//! | Q0 to Q31 | saved if there is no SVE |
//! | P0 to P15, FFR | in place; saved if the Host is in streaming mode, whose end clears them. FFR then only if the streaming mode has it (`SMCR_EL2.FA64`) |
//! | FPSR, FPCR | saved |
//! | PSTATE.SM (`SVCR`) | 0; set again for the Host |
//! | PSTATE.ZA, ZA, ZT0 | in place |
//! | `ZCR_EL2`, `SMCR_EL2`, `ZCR_EL1`, `SMCR_EL1`, `TPIDR2_EL0` | in place |

use super::realm_regs::{field, isb, mrs, msr};
use crate::machine::SimdState;
use core::arch::global_asm;
use core::mem::offset_of;

global_asm!(include_str!("simd.S"));

unsafe extern "C" {
    fn simd_save_q(to: *mut [[u64; 2]; 32]);
    fn simd_load_q(from: *const [[u64; 2]; 32]);
    fn simd_save_z(to: *mut [u8; 8192]);
    fn simd_load_z(from: *const [u8; 8192]);
    fn simd_save_p(to: *mut [u8; 512]);
    fn simd_load_p(from: *const [u8; 512]);
    fn simd_save_ffr(to: *mut [u8; 32]);
    fn simd_load_ffr(from: *const [u8; 32]);
    fn simd_start_streaming();
    fn simd_stop_streaming();
}

/// `CPTR_EL2` (E2H form): TAM and TTA, the activity monitors and trace registers, which no Realm
/// has; FP/SIMD, SVE and SME trapped too.
pub(super) const CPTR_ALL_TRAPPED: u64 = 1 << 30 | 1 << 28;
/// `CPTR_EL2.FPEN`: FP/SIMD is not trapped.
const CPTR_FP: u64 = 0b11 << 20;
/// `CPTR_EL2.ZEN`: SVE is not trapped.
const CPTR_SVE: u64 = 0b11 << 16;
/// `CPTR_EL2.SMEN`: SME is not trapped.
const CPTR_SME: u64 = 0b11 << 24;

/// `SVCR.SM`: streaming mode.
const SVCR_SM: u64 = 1;
/// `SMCR_EL2.FA64`: all instructions are legal in streaming mode.
const SMCR_FA64: u64 = 1 << 31;
/// `ID_AA64SMFR0_EL1.FA64`.
const SMFR0_FA64: u64 = 1 << 63;

/// Vectors of 2048 bits, the longest there are.
const MAX_VECTOR: usize = 256;

/// This CPU's vector registers while they are not the Host's.
#[repr(C, align(16))]
pub(super) struct HostSimd {
    /// Z0 to Z31 at the Host's vector length, or Q0 to Q31.
    z: [u8; 32 * MAX_VECTOR],
    /// P0 to P15.
    p: [u8; 16 * MAX_VECTOR / 8],
    ffr: [u8; MAX_VECTOR / 8],
    fpsr: u64,
    fpcr: u64,
    /// The Host was in streaming mode.
    streaming: bool,
    /// Its streaming mode has FFR.
    streaming_ffr: bool,
    has_sve: bool,
    has_sme: bool,
    has_fa64: bool,
}

const _: () = {
    assert!(offset_of!(HostSimd, z).is_multiple_of(16));
    assert!(offset_of!(HostSimd, p).is_multiple_of(16));
    assert!(offset_of!(HostSimd, ffr).is_multiple_of(16));
    assert!(offset_of!(SimdState, q).is_multiple_of(16));
};

impl HostSimd {
    /// Finds out what this CPU has.
    pub(super) fn init(&mut self) {
        self.has_sve = field(mrs!(ID_AA64PFR0_EL1), 32) != 0;
        self.has_sme = field(mrs!(ID_AA64PFR1_EL1), 24) != 0;
        self.has_fa64 = self.has_sme && mrs!(ID_AA64SMFR0_EL1) & SMFR0_FA64 != 0;
    }

    /// Opens all there is to EL2.
    ///
    /// # Safety
    /// A REC is entered, and does not run before `CPTR_EL2` is closed to it again.
    #[inline(always)]
    unsafe fn open(&self) {
        let mut cptr = CPTR_ALL_TRAPPED | CPTR_FP;
        if self.has_sve {
            cptr |= CPTR_SVE;
        }
        if self.has_sme {
            cptr |= CPTR_SME;
        }
        // SAFETY: takes traps away from this very code, by the contract.
        unsafe { msr!(CPTR_EL2, cptr) };
        isb();
    }

    /// Saves the Host's state, loads the REC's and lets the Realm use it.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the vector registers are the Host's.
    pub(super) unsafe fn give(&mut self, rec: &SimdState) {
        // SAFETY: the REC does not run here. Each register exists: `init` has seen its feature.
        // The arrays are as long as the longest vectors, aligned, and this CPU's own.
        unsafe {
            self.open();
            self.fpsr = mrs!(FPSR);
            self.fpcr = mrs!(FPCR);
            self.streaming = self.has_sme && mrs!(SVCR) & SVCR_SM != 0;
            if self.streaming {
                simd_save_z(&raw mut self.z);
                simd_save_p(&raw mut self.p);
                self.streaming_ffr = self.has_fa64 && mrs!(SMCR_EL2) & SMCR_FA64 != 0;
                if self.streaming_ffr {
                    simd_save_ffr(&raw mut self.ffr);
                }
                simd_stop_streaming();
            } else if self.has_sve {
                simd_save_z(&raw mut self.z);
            } else {
                simd_save_q((&raw mut self.z).cast());
            }
            simd_load_q(&raw const rec.q);
            msr!(FPSR, rec.fpsr);
            msr!(FPCR, rec.fpcr);
            // In effect when the Realm runs.
            msr!(CPTR_EL2, CPTR_ALL_TRAPPED | CPTR_FP);
        }
    }

    /// Saves the REC's state, loads the Host's and traps FP/SIMD again.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the vector registers are its, by [`HostSimd::give`].
    pub(super) unsafe fn take(&mut self, rec: &mut SimdState) {
        // SAFETY: as in `give`; what it has saved is loaded by the instructions that match, at the
        // same vector length.
        unsafe {
            self.open();
            rec.fpsr = mrs!(FPSR);
            rec.fpcr = mrs!(FPCR);
            simd_save_q(&raw mut rec.q);
            if self.streaming {
                simd_start_streaming();
                if self.streaming_ffr {
                    simd_load_ffr(&raw const self.ffr);
                }
                simd_load_p(&raw const self.p);
                simd_load_z(&raw const self.z);
            } else if self.has_sve {
                simd_load_z(&raw const self.z);
            } else {
                simd_load_q((&raw const self.z).cast());
            }
            msr!(FPSR, self.fpsr);
            msr!(FPCR, self.fpcr);
            msr!(CPTR_EL2, CPTR_ALL_TRAPPED);
        }
    }
}
