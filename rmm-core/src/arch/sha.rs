// SPDX-License-Identifier: BSD-3-Clause
//! SHA-256 and SHA-512 by the CPU's instructions (FEAT_SHA256, FEAT_SHA512).
//!
//! They work on vector registers, which belong to the Host or, while FP/SIMD is lent, to the Realm.
//! [`ShaUnit::hashing`] opens them to EL2, saves the few that are used, and loads them again: whole Z
//! registers if the CPU has SVE, since a write to Vn clears the rest of Zn. The instructions change
//! nothing else: not P, FFR, FPSR, FPCR, ZA or ZT0.
//!
//! Hashing is portable if the CPU does not have the instructions, if the Host is in streaming mode, where
//! they may be illegal, or if EL3 keeps a register closed that must be saved or examined first.

use super::optional::Optional;
use super::registers::*;
use crate::encoding::sha::{Schedule256, Schedule512, schedule256, schedule512};
use crate::encoding::traps::{CPTR_FP, CPTR_SME, CPTR_SVE};
use core::arch::global_asm;
use core::mem::MaybeUninit;
use rmm_attest::{Compress, Hasher, KnownBlock, SoftHash};

global_asm!(include_str!("sha.S"), options(raw));

// SAFETY: compiled code uses no vector registers. The functions that save access no more than their
// operand, whatever the vector length is. Without access to the registers all of them end in an
// exception of the monitor.
unsafe extern "C" {
    safe fn sha_save_z(to: &mut MaybeUninit<Saved>);
    safe fn sha_save_q(to: &mut MaybeUninit<Saved>);
    /// # Safety
    /// `sha_save_z` has saved `from` at this vector length.
    unsafe fn sha_load_z(from: &MaybeUninit<Saved>);
    /// # Safety
    /// `sha_save_q` has saved `from`.
    unsafe fn sha_load_q(from: &MaybeUninit<Saved>);
    /// # Safety
    /// `count` blocks, at least one, are at `blocks`.
    unsafe fn sha256_blocks(
        state: &mut [u32; 8],
        blocks: *const [u8; 64],
        count: usize,
        constants: &Schedule256,
    );
    /// # Safety
    /// As [`sha256_blocks`].
    unsafe fn sha512_blocks(
        state: &mut [u64; 8],
        blocks: *const [u8; 128],
        count: usize,
        constants: &Schedule512,
    );
    /// `times` is not 0.
    safe fn sha256_known_blocks(state: &mut [u32; 8], schedule: &Schedule256, times: usize);
    /// `times` is not 0.
    safe fn sha512_known_blocks(state: &mut [u64; 8], schedule: &Schedule512, times: usize);
}

/// Registers that `sha.S` uses: Z0 to Z16.
const REGISTERS: usize = 17;

/// Their content, at any vector length: at most 2048 bits.
#[repr(C, align(16))]
struct Saved([[u8; 256]; REGISTERS]);

/// The schedules of the blocks that are known in advance.
struct Schedules<T> {
    /// The constants.
    zero: T,
    end_of_descriptor: T,
    end_of_granule: T,
}

impl<T> Schedules<T> {
    const fn of(&self, block: KnownBlock) -> &T {
        match block {
            KnownBlock::Zero => &self.zero,
            KnownBlock::EndOfDescriptor => &self.end_of_descriptor,
            KnownBlock::EndOfGranule => &self.end_of_granule,
        }
    }
}

static SCHEDULES_256: Schedules<Schedule256> = Schedules {
    zero: schedule256(&KnownBlock::Zero.sha256()),
    end_of_descriptor: schedule256(&KnownBlock::EndOfDescriptor.sha256()),
    end_of_granule: schedule256(&KnownBlock::EndOfGranule.sha256()),
};

static SCHEDULES_512: Schedules<Schedule512> = Schedules {
    zero: schedule512(&KnownBlock::Zero.sha512()),
    end_of_descriptor: schedule512(&KnownBlock::EndOfDescriptor.sha512()),
    end_of_granule: schedule512(&KnownBlock::EndOfGranule.sha512()),
};

/// What this CPU has.
pub(super) struct ShaUnit {
    /// The instructions of SHA-256, and all registers that must be saved or examined.
    sha256: bool,
    /// Those of SHA-512 too.
    sha512: bool,
    has_sve: bool,
    has_sme: bool,
    /// The bits of `CPTR_EL2` that open all of the above.
    opened: u64,
}

impl ShaUnit {
    /// Finds out what the CPU that executes this has.
    pub(super) fn new(open: &Optional) -> Self {
        let plan = open.vectors;
        let (sve, sme) = (plan.sve, plan.svcr);
        let sha2 = ID_AA64ISAR0_EL1.read(ID_AA64ISAR0_EL1::SHA2);
        let is_open = plan.fp && !plan.sve_closed && !plan.sme_closed;
        let mut opened = CPTR_FP;
        if sve {
            opened |= CPTR_SVE;
        }
        if sme {
            opened |= CPTR_SME;
        }
        Self {
            sha256: is_open && sha2 >= 1,
            sha512: is_open && sha2 >= 2,
            has_sve: sve,
            has_sme: sme,
            opened,
        }
    }

    /// Calls `work` with the instructions, or with portable code. No REC enters or leaves this CPU
    /// meanwhile, and nothing is lent or reclaimed.
    #[inline]
    pub(super) fn hashing<R>(&self, work: impl FnOnce(&Hasher<'_>) -> R) -> R {
        let mut saved = MaybeUninit::uninit();
        let cptr = CPTR_EL2.get();
        let is_open = self.open(cptr);
        if is_open {
            self.save(&mut saved);
        }
        let opened = Opened(self);
        // One call of `work`, or there would be two copies of it.
        let result = work(&Hasher::new(if is_open { &opened } else { &SoftHash }));
        if is_open {
            // SAFETY: saved above. The vector length is what it was: nothing writes ZCR_EL2 here, and the
            // Host is not in streaming mode.
            unsafe { self.load(&saved) };
            // In effect when EL1 or EL0 run.
            CPTR_EL2.set(cptr);
        }
        result
    }

    /// Saves the registers that `sha.S` uses.
    #[inline]
    fn save(&self, to: &mut MaybeUninit<Saved>) {
        if self.has_sve {
            sha_save_z(to);
        } else {
            sha_save_q(to);
        }
    }

    /// Loads them.
    ///
    /// # Safety
    /// [`ShaUnit::save`] has saved them, at this vector length.
    #[inline]
    unsafe fn load(&self, from: &MaybeUninit<Saved>) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.has_sve {
                sha_load_z(from);
            } else {
                sha_load_q(from);
            }
        }
    }

    /// Opens the registers to EL2, unless hashing has to be portable. `cptr`: `CPTR_EL2`.
    #[inline]
    fn open(&self, cptr: u64) -> bool {
        if !self.sha256 {
            return false;
        }
        CPTR_EL2.set(cptr | self.opened);
        isb();
        if self.has_sme && SVCR.is_set(SVCR::SM) {
            CPTR_EL2.set(cptr);
            return false;
        }
        true
    }
}

/// The instructions, while the registers are saved and open.
struct Opened<'a>(&'a ShaUnit);

impl Compress for Opened<'_> {
    fn sha256(&self, state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        if !blocks.is_empty() {
            // SAFETY: the blocks are a slice that is not empty.
            unsafe {
                sha256_blocks(state, blocks.as_ptr(), blocks.len(), &SCHEDULES_256.zero);
            }
        }
    }

    fn sha512(&self, state: &mut [u64; 8], blocks: &[[u8; 128]]) {
        if !self.0.sha512 {
            SoftHash.sha512(state, blocks);
        } else if !blocks.is_empty() {
            // SAFETY: the blocks are a slice that is not empty.
            unsafe {
                sha512_blocks(state, blocks.as_ptr(), blocks.len(), &SCHEDULES_512.zero);
            }
        }
    }

    fn sha256_known(&self, state: &mut [u32; 8], block: KnownBlock, times: usize) {
        if times > 0 {
            sha256_known_blocks(state, SCHEDULES_256.of(block), times);
        }
    }

    fn sha512_known(&self, state: &mut [u64; 8], block: KnownBlock, times: usize) {
        if !self.0.sha512 {
            SoftHash.sha512_known(state, block, times);
        } else if times > 0 {
            sha512_known_blocks(state, SCHEDULES_512.of(block), times);
        }
    }
}
