// SPDX-License-Identifier: BSD-3-Clause
//! FP, SIMD, SVE and SME state in the world switch (specification A3.1.3).
//!
//! The vector registers hold the Host's state until they are lent to the Realm, when it first uses them
//! after an entry, and again from the exit on; EL3 switches none of this. A Realm without SVE uses Q0
//! to Q31, FPSR and FPCR. A Realm with SVE uses all that SVE has, at the Realm's vector length.
//! Everything else stays trapped. State that a Realm cannot reach stays in place:
//!
//! | state | while lent |
//! |---|---|
//! | Z0 to Z31, P0 to P15, FFR | if the Host says that it keeps no SVE state (the SVE hint of SMCCC) and is not in streaming mode, Q0 to Q31 are saved alone, and the rest is zero afterwards |
//! | Z0 to Z31 | else saved at the Host's vector length (`ZCR_EL2.LEN`, or `SMCR_EL2.LEN` in streaming mode): a write to Qn clears the rest of Zn |
//! | Q0 to Q31 | saved if the CPU has no SVE |
//! | P0 to P15, FFR | saved if the Realm has SVE; else in place, or saved if the Host is in streaming mode, whose end clears them. FFR of streaming mode only where it exists (FEAT_SME_FA64) |
//! | FPSR, FPCR | saved |
//! | PSTATE.SM (`SVCR`) | 0; set again for the Host. RMI_REC_ENTER is refused in a mode that cannot be ended without loss |
//! | FPMR | trapped (`HCRX_EL2.EnFPM` = 0); saved if the Host is in streaming mode, since a change of mode clears it |
//! | PSTATE.ZA, ZA, ZT0 | in place |
//! | `ZCR_EL2`, `ZCR_EL1` | saved if the Realm has SVE; else in place |
//! | `SMCR_EL2`, `SMCR_EL1`, `TPIDR2_EL0` | in place |
//!
//! [`vectors`](crate::encoding::vectors) has what changes if EL3 keeps some of it closed.

use super::optional::Optional;
use super::registers::*;
use crate::encoding::fixup;
use crate::encoding::traps::{CPTR_ALL_TRAPPED, CPTR_FP, CPTR_SME, CPTR_SVE};
use crate::encoding::vectors::Unended;
use crate::machine::{SimdState, SveState, ZRegisters};
use core::arch::global_asm;
use core::mem::offset_of;

global_asm!(
    include_str!("simd.S"),
    streaming = const fixup::STREAMING,
    sve = const fixup::SVE,
);

// SAFETY: compiled code uses none of the registers. Whatever the vector length is, the functions access
// no more than their operand, which is aligned to 16 bytes. Without access to the registers they end
// in an exception of the monitor.
unsafe extern "C" {
    safe fn simd_is_legal() -> u64;
    safe fn simd_traps_as_sme() -> u64;
    safe fn simd_save_q(to: &mut [[u64; 2]; 32]);
    safe fn simd_load_q(from: &[[u64; 2]; 32]);
    safe fn simd_save_z(to: &mut AllZ);
    safe fn simd_load_z(from: &AllZ);
    safe fn simd_save_z_low(to: &mut ZRegisters);
    safe fn simd_load_z_low(from: &ZRegisters);
    safe fn simd_save_z_high(to: &mut ZRegisters);
    safe fn simd_load_z_high(from: &ZRegisters);
    safe fn simd_save_p(to: &mut [u8; 512]);
    safe fn simd_load_p(from: &[u8; 512]);
    safe fn simd_save_ffr(to: &mut [u8; 32]);
    safe fn simd_load_ffr(from: &[u8; 32]);
    safe fn simd_clear();
    safe fn simd_vector_bytes() -> u64;
    safe fn simd_start_streaming();
    safe fn simd_stop_streaming();
}

/// Bytes of the longest vectors that the architecture permits: 2048 bits.
const MAX_VECTOR: usize = 256;

/// Z0 to Z31, at any vector length.
#[repr(C, align(16))]
struct AllZ {
    /// Q0 to Q31, in place of the Z registers on a CPU that has none.
    q: [[u64; 2]; 32],
    beyond: [u8; 32 * (MAX_VECTOR - 16)],
}

/// The Host's vector registers of this CPU while they are lent to a Realm.
#[repr(C, align(16))]
pub(super) struct HostSimd {
    z: AllZ,
    /// P0 to P15.
    p: [u8; 16 * MAX_VECTOR / 8],
    ffr: [u8; MAX_VECTOR / 8],
    fpsr: u64,
    fpcr: u64,
    /// `FPMR`, of a Host in streaming mode.
    fpmr: u64,
    /// The Host keeps no SVE state but Q0 to Q31.
    q_alone: bool,
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
    unended: Unended,
    opened_to_look: u64,
}

const _: () = {
    assert!(size_of::<AllZ>() == 32 * MAX_VECTOR);
    assert!(size_of::<ZRegisters>() == 16 * MAX_VECTOR && align_of::<ZRegisters>() == 16);
    assert!(offset_of!(HostSimd, p).is_multiple_of(16));
    assert!(offset_of!(HostSimd, ffr).is_multiple_of(16));
    assert!(offset_of!(SimdState, q).is_multiple_of(16));
    assert!(offset_of!(SveState, p).is_multiple_of(16));
    assert!(offset_of!(SveState, ffr).is_multiple_of(16));
};

/// The longest SVE vectors of this CPU that EL3 permits, in units of 128 bits minus 1; `None` without
/// SVE.
pub(super) fn sve_vl(open: &Optional) -> Option<u8> {
    if !open.vectors.sve {
        return None;
    }
    // Opens SVE to this code for a moment; the Host's vector length is restored.
    let cptr = CPTR_EL2.get();
    CPTR_EL2.set(cptr | CPTR_FP | CPTR_SVE);
    isb();
    let zcr = ZCR_EL2.get();
    ZCR_EL2.write(ZCR_EL2::LEN.val(MAX_VECTOR as u64 / 16 - 1));
    isb();
    let bytes = simd_vector_bytes();
    ZCR_EL2.set(zcr);
    CPTR_EL2.set(cptr);
    isb();
    u8::try_from(bytes / 16).ok()?.checked_sub(1)
}

impl HostSimd {
    /// Finds out what this CPU has.
    pub(super) fn init(&mut self, open: &Optional) {
        let plan = open.vectors;
        self.has_sve = plan.sve;
        self.has_sme = plan.sme;
        self.has_fa64 = plan.fa64;
        self.has_fpmr = plan.fpmr;
        self.unended = plan.unended;
        self.opened_to_look = plan.opened_to_look();
    }

    /// Decides what is saved when the registers are lent: Q0 to Q31 alone, or all that the Host has.
    #[inline]
    pub(super) fn keep_q_alone(&mut self, alone: bool) {
        self.q_alone = alone;
    }

    /// Opens all vector registers to EL2, and to the Realm if it ran before `CPTR_EL2` is set again.
    #[inline]
    fn open(&self) {
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

    /// Saves the Host's state; P and FFR outside streaming mode only if the REC has its own
    /// `predicates`. The registers are open.
    fn save_host(&mut self, predicates: bool) {
        self.fpsr = FPSR.get();
        self.fpcr = FPCR.get();
        self.streaming = self.has_sme && SVCR.is_set(SVCR::SM);
        // What the hint says concerns the state outside streaming mode.
        self.q_alone &= self.has_sve && !self.streaming;
        let predicates = predicates && !self.q_alone;
        self.predicates = self.streaming || predicates;
        self.ffr_saved =
            predicates && !self.streaming || self.streaming && self.has_streaming_ffr();
        if self.q_alone {
            simd_save_q(&mut self.z.q);
        } else if self.has_sve || self.streaming {
            simd_save_z(&mut self.z);
        } else {
            simd_save_q(&mut self.z.q);
        }
        if self.predicates {
            simd_save_p(&mut self.p);
        }
        if self.ffr_saved {
            simd_save_ffr(&mut self.ffr);
        }
        if self.streaming {
            if self.has_fpmr {
                self.fpmr = FPMR.get();
            }
            simd_stop_streaming();
        }
    }

    /// Loads what [`HostSimd::save_host`] saved, at the same vector length, and traps. The registers
    /// are open.
    fn load_host(&self) {
        if self.streaming {
            simd_start_streaming();
            if self.has_fpmr {
                FPMR.set(self.fpmr);
            }
        }
        if self.ffr_saved {
            simd_load_ffr(&self.ffr);
        }
        if self.predicates {
            simd_load_p(&self.p);
        }
        if self.q_alone {
            // At the Host's vector length, which may be longer than the Realm's.
            simd_clear();
            simd_load_q(&self.z.q);
        } else if self.has_sve || self.streaming {
            simd_load_z(&self.z);
        } else {
            simd_load_q(&self.z.q);
        }
        FPSR.set(self.fpsr);
        FPCR.set(self.fpcr);
        CPTR_EL2.set(CPTR_ALL_TRAPPED);
    }

    /// Whether the Host is in streaming mode. A REC is entered on this CPU, and FP/SIMD is not lent.
    #[inline]
    pub(super) fn is_streaming(&self) -> bool {
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

    /// Whether the Host is in a streaming mode that the monitor cannot end without loss. No REC is entered on
    /// this CPU.
    #[inline]
    pub(super) fn is_stuck_in_streaming(&self) -> bool {
        self.unended != Unended::Never && self.finds_streaming()
    }

    #[cold]
    fn finds_streaming(&self) -> bool {
        let cptr = CPTR_EL2.get();
        CPTR_EL2.set(cptr & !CPTR_SME | self.opened_to_look);
        isb();
        let is_streaming = match self.unended {
            Unended::Never => false,
            Unended::IllegalSimd => simd_is_legal() == 0,
            Unended::SveAsSme => simd_traps_as_sme() != 0,
        };
        CPTR_EL2.set(cptr);
        isb();
        is_streaming
    }

    /// Whether the Host's streaming mode has FFR. The CPU is in that mode, and the registers are open.
    fn has_streaming_ffr(&self) -> bool {
        // What EL3 has in `SMCR_EL3.FA64`, only an instruction shows.
        self.has_fa64 && SMCR_EL2.is_set(SMCR_EL2::FA64) && simd_is_legal() != 0
    }

    /// Saves the Host's state, loads the REC's and ends the trap. A REC is entered on this CPU, whose
    /// Realm has no SVE.
    pub(super) fn lend(&mut self, rec: &SimdState) {
        self.open();
        self.save_host(false);
        simd_load_q(&rec.q);
        FPSR.set(rec.fpsr);
        FPCR.set(rec.fpcr);
        // In effect when the Realm runs.
        CPTR_EL2.set(CPTR_ALL_TRAPPED | CPTR_FP);
    }

    /// Saves the REC's state after [`HostSimd::lend`], loads the Host's and traps again.
    pub(super) fn reclaim(&mut self, rec: &mut SimdState) {
        self.open();
        rec.fpsr = FPSR.get();
        rec.fpcr = FPCR.get();
        simd_save_q(&mut rec.q);
        self.load_host();
    }

    /// As [`HostSimd::lend`], for a Realm with SVE, which this CPU has; `vl` as in `ZCR_EL2.LEN`.
    pub(super) fn lend_sve(&mut self, vl: u8, z: [&ZRegisters; 2], rest: &SveState) {
        self.open();
        self.save_host(true);
        self.zcr_el2 = ZCR_EL2.get();
        self.zcr_el1 = ZCR_EL12.get();
        ZCR_EL2.set(vl.into());
        isb();
        // FFR first: it goes through P0.
        simd_load_ffr(&rest.ffr);
        simd_load_p(&rest.p);
        simd_load_z_low(z[0]);
        simd_load_z_high(z[1]);
        FPSR.set(rest.fpsr);
        FPCR.set(rest.fpcr);
        ZCR_EL12.set(rest.zcr);
        CPTR_EL2.set(CPTR_ALL_TRAPPED | CPTR_FP | CPTR_SVE);
    }

    /// Saves the REC's state after [`HostSimd::lend_sve`], loads the Host's and traps again. `ZCR_EL2`
    /// still has the Realm's vector length.
    pub(super) fn reclaim_sve(&mut self, z: [&mut ZRegisters; 2], rest: &mut SveState) {
        let [low, high] = z;
        self.open();
        rest.fpsr = FPSR.get();
        rest.fpcr = FPCR.get();
        rest.zcr = ZCR_EL12.get();
        simd_save_z_low(low);
        simd_save_z_high(high);
        simd_save_p(&mut rest.p);
        // FFR last: it goes through P0.
        simd_save_ffr(&mut rest.ffr);
        // The part beyond the Host's vector length is not loaded, and would show if the length grew.
        simd_clear();
        ZCR_EL2.set(self.zcr_el2);
        ZCR_EL12.set(self.zcr_el1);
        isb();
        self.load_host();
    }
}
