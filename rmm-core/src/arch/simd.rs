// SPDX-License-Identifier: BSD-3-Clause
//! FP, SIMD, SVE and SME state in the world switch (specification A3.1.3).
//!
//! The vector registers are the Host's until the Realm uses them for the first time after an
//! entry, and again from the exit on; EL3 does not switch any of this. A Realm without SVE uses
//! Q0 to Q31, FPSR and FPCR, one with SVE all that SVE has, at its vector length; everything else
//! stays trapped. What a Realm cannot reach stays in place:
//!
//! | state | while the Realm uses FP/SIMD |
//! |---|---|
//! | Z0 to Z31 | saved at the Host's vector length (`ZCR_EL2.LEN`, or `SMCR_EL2.LEN` in streaming mode): a write to Qn clears the rest of Zn |
//! | Q0 to Q31 | saved if there is no SVE |
//! | P0 to P15, FFR | saved if the Realm has SVE; else in place, or saved if the Host is in streaming mode, whose end clears them. FFR of streaming mode only if there is one (`SMCR_EL2.FA64`) |
//! | FPSR, FPCR | saved |
//! | PSTATE.SM (`SVCR`) | 0; set again for the Host |
//! | FPMR | trapped (`HCRX_EL2.EnFPM` = 0); saved if the Host is in streaming mode, whose ends clear it |
//! | PSTATE.ZA, ZA, ZT0 | in place |
//! | `ZCR_EL2`, `ZCR_EL1` | saved if the Realm has SVE; else in place |
//! | `SMCR_EL2`, `SMCR_EL1`, `TPIDR2_EL0` | in place |

use super::optional::Optional;
use super::registers::*;
use crate::machine::{SimdState, SveState, ZRegisters};
use core::arch::global_asm;
use core::mem::offset_of;

global_asm!(include_str!("simd.S"));

unsafe extern "C" {
    fn simd_save_q(to: *mut [[u64; 2]; 32]);
    fn simd_load_q(from: *const [[u64; 2]; 32]);
    fn simd_save_z(to: *mut [u8; 8192]);
    fn simd_load_z(from: *const [u8; 8192]);
    fn simd_save_z_low(to: *mut [u8; 4096]);
    fn simd_load_z_low(from: *const [u8; 4096]);
    fn simd_save_z_high(to: *mut [u8; 4096]);
    fn simd_load_z_high(from: *const [u8; 4096]);
    fn simd_save_p(to: *mut [u8; 512]);
    fn simd_load_p(from: *const [u8; 512]);
    fn simd_save_ffr(to: *mut [u8; 32]);
    fn simd_load_ffr(from: *const [u8; 32]);
    fn simd_clear();
    fn simd_vector_bytes() -> u64;
    fn simd_start_streaming();
    fn simd_stop_streaming();
}

/// `CPTR_EL2` (E2H form): TAM and TTA, the activity monitors and trace registers, which no Realm
/// has; FP/SIMD, SVE and SME trapped too.
pub(super) const CPTR_ALL_TRAPPED: u64 = set!(CPTR_EL2: TAM | TTA);
/// `CPTR_EL2`: FP/SIMD is not trapped.
pub(super) const CPTR_FP: u64 = set!(CPTR_EL2: FPEN);
/// `CPTR_EL2`: SVE is not trapped.
pub(super) const CPTR_SVE: u64 = set!(CPTR_EL2: ZEN);
/// `CPTR_EL2`: SME is not trapped.
pub(super) const CPTR_SME: u64 = set!(CPTR_EL2: SMEN);

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
    /// `FPMR`, of a Host in streaming mode.
    fpmr: u64,
    /// The Host was in streaming mode.
    streaming: bool,
    /// P0 to P15 are saved.
    predicates: bool,
    /// FFR is saved.
    ffr_saved: bool,
    /// The Host's `ZCR_EL2` while a Realm with SVE uses it.
    zcr_el2: u64,
    /// `ZCR_EL1`, likewise.
    zcr_el1: u64,
    has_sve: bool,
    has_sme: bool,
    has_fa64: bool,
    has_fpmr: bool,
}

const _: () = {
    assert!(offset_of!(HostSimd, z).is_multiple_of(16));
    assert!(offset_of!(HostSimd, p).is_multiple_of(16));
    assert!(offset_of!(HostSimd, ffr).is_multiple_of(16));
    assert!(offset_of!(SimdState, q).is_multiple_of(16));
    assert!(offset_of!(SveState, p).is_multiple_of(16));
    assert!(offset_of!(SveState, ffr).is_multiple_of(16));
};

/// The longest SVE vectors of this CPU that EL3 permits, in units of 128 bits minus 1; none: no
/// SVE.
pub(super) fn sve_vl(open: &Optional) -> Option<u8> {
    if !open.sve {
        return None;
    }
    // Opens SVE to this code for a moment; the Host's vector length is put back.
    let cptr = CPTR_EL2.get();
    CPTR_EL2.set(cptr | CPTR_FP | CPTR_SVE);
    isb();
    let zcr = ZCR_EL2.get();
    ZCR_EL2.write(ZCR_EL2::LEN.val(MAX_VECTOR as u64 / 16 - 1));
    isb();
    // SAFETY: the CPU has SVE, and it is open.
    let bytes = unsafe { simd_vector_bytes() };
    ZCR_EL2.set(zcr);
    CPTR_EL2.set(cptr);
    isb();
    u8::try_from(bytes / 16).ok()?.checked_sub(1)
}

impl HostSimd {
    /// Finds out what this CPU has.
    pub(super) fn init(&mut self, open: &Optional) {
        self.has_sve = open.sve;
        self.has_sme = open.sme;
        self.has_fpmr = open.fpmr;
        self.has_fa64 = self.has_sme && ID_AA64SMFR0_EL1.is_set(ID_AA64SMFR0_EL1::FA64);
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
        CPTR_EL2.set(cptr);
        isb();
    }

    /// Saves the Host's state; its P and FFR outside streaming mode only if the REC has its own.
    ///
    /// # Safety
    /// The registers are open and the Host's. Each exists: `init` has seen its feature. The arrays
    /// are as long as the longest vectors, aligned, and this CPU's own.
    unsafe fn save_host(&mut self, predicates: bool) {
        // SAFETY: by the contract.
        unsafe {
            self.fpsr = FPSR.get();
            self.fpcr = FPCR.get();
            self.streaming = self.has_sme && SVCR.is_set(SVCR::SM);
            self.predicates = self.streaming || predicates;
            self.ffr_saved =
                predicates && !self.streaming || self.streaming && self.has_streaming_ffr();
            if self.has_sve || self.streaming {
                simd_save_z(&raw mut self.z);
            } else {
                simd_save_q((&raw mut self.z).cast());
            }
            if self.predicates {
                simd_save_p(&raw mut self.p);
            }
            if self.ffr_saved {
                simd_save_ffr(&raw mut self.ffr);
            }
            if self.streaming {
                if self.has_fpmr {
                    self.fpmr = FPMR.get();
                }
                simd_stop_streaming();
            }
        }
    }

    /// Loads what [`HostSimd::save_host`] saved, at the same vector length.
    ///
    /// # Safety
    /// The registers are open, and no one's any more.
    unsafe fn load_host(&self) {
        // SAFETY: what was saved is loaded by the instructions that match.
        unsafe {
            if self.streaming {
                simd_start_streaming();
                if self.has_fpmr {
                    FPMR.set(self.fpmr);
                }
            }
            if self.ffr_saved {
                simd_load_ffr(&raw const self.ffr);
            }
            if self.predicates {
                simd_load_p(&raw const self.p);
            }
            if self.has_sve || self.streaming {
                simd_load_z(&raw const self.z);
            } else {
                simd_load_q((&raw const self.z).cast());
            }
            FPSR.set(self.fpsr);
            FPCR.set(self.fpcr);
            CPTR_EL2.set(CPTR_ALL_TRAPPED);
        }
    }

    /// Whether the Host is in streaming mode.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the vector registers are the Host's.
    #[inline(always)]
    pub(super) unsafe fn is_streaming(&self) -> bool {
        if !self.has_sme {
            return false;
        }
        // Opens SME to this code for a moment.
        CPTR_EL2.set(CPTR_ALL_TRAPPED | CPTR_FP | CPTR_SME);
        isb();
        let streaming = SVCR.is_set(SVCR::SM);
        CPTR_EL2.set(CPTR_ALL_TRAPPED);
        streaming
    }

    /// Whether the Host's streaming mode has FFR.
    fn has_streaming_ffr(&self) -> bool {
        self.has_fa64 && SMCR_EL2.is_set(SMCR_EL2::FA64)
    }

    /// Saves the Host's state, loads the REC's and lets the Realm use it.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the vector registers are the Host's.
    pub(super) unsafe fn lend(&mut self, rec: &SimdState) {
        // SAFETY: the REC does not run here; its Realm has no SVE.
        unsafe {
            self.open();
            self.save_host(false);
            simd_load_q(&raw const rec.q);
            FPSR.set(rec.fpsr);
            FPCR.set(rec.fpcr);
            // In effect when the Realm runs.
            CPTR_EL2.set(CPTR_ALL_TRAPPED | CPTR_FP);
        }
    }

    /// Saves the REC's state, loads the Host's and traps FP/SIMD again.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the vector registers are its, by [`HostSimd::lend`].
    pub(super) unsafe fn reclaim(&mut self, rec: &mut SimdState) {
        // SAFETY: as in `lend`.
        unsafe {
            self.open();
            rec.fpsr = FPSR.get();
            rec.fpcr = FPCR.get();
            simd_save_q(&raw mut rec.q);
            self.load_host();
        }
    }

    /// As [`HostSimd::lend`], for a Realm with SVE; `vl` as in `ZCR_EL2.LEN`.
    ///
    /// # Safety
    /// A REC is entered on this CPU, which has SVE, and the vector registers are the Host's.
    pub(super) unsafe fn lend_sve(&mut self, vl: u8, z: [&ZRegisters; 2], rest: &SveState) {
        // SAFETY: as in `lend`. Half of the vectors fit a Granule at the greatest length.
        unsafe {
            self.open();
            self.save_host(true);
            self.zcr_el2 = ZCR_EL2.get();
            self.zcr_el1 = ZCR_EL12.get();
            ZCR_EL2.set(vl.into());
            isb();
            simd_load_ffr(&raw const rest.ffr);
            simd_load_p(&raw const rest.p);
            simd_load_z_low(&raw const z[0].0);
            simd_load_z_high(&raw const z[1].0);
            FPSR.set(rest.fpsr);
            FPCR.set(rest.fpcr);
            ZCR_EL12.set(rest.zcr);
            CPTR_EL2.set(CPTR_ALL_TRAPPED | CPTR_FP | CPTR_SVE);
        }
    }

    /// As [`HostSimd::reclaim`], for a Realm with SVE.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the vector registers are its, by [`HostSimd::lend_sve`]
    /// with the same `vl`.
    pub(super) unsafe fn reclaim_sve(&mut self, z: [&mut ZRegisters; 2], rest: &mut SveState) {
        let [low, high] = z;
        // SAFETY: as in `lend_sve`. `ZCR_EL2` still has the Realm's length.
        unsafe {
            self.open();
            rest.fpsr = FPSR.get();
            rest.fpcr = FPCR.get();
            rest.zcr = ZCR_EL12.get();
            simd_save_z_low(&raw mut low.0);
            simd_save_z_high(&raw mut high.0);
            simd_save_p(&raw mut rest.p);
            simd_save_ffr(&raw mut rest.ffr);
            // What lies beyond the Host's vector length stays, and would show if it grew.
            simd_clear();
            ZCR_EL2.set(self.zcr_el2);
            ZCR_EL12.set(self.zcr_el1);
            isb();
            self.load_host();
        }
    }
}
