// SPDX-License-Identifier: BSD-3-Clause
//! The Host's vector registers while the monitor hashes.

use crate::arch::{self, isb, mrs, msr};
use crate::check::{Check, ensure_eq, skip};
use crate::tests::needs;
use core::arch::asm;
use tests_fvp::registers;

/// What the Host has in its vector registers during a call, and finds again after it.
#[derive(Clone, Copy, Debug)]
pub enum Watch {
    /// V0 to V31, FPCR and FPSR.
    Vectors,
    /// Z0 to Z31, P0 to P15 and FFR, at a vector length in units of 128 bits minus 1.
    Sve(u64),
    /// Z0 to Z31 and P0 to P15 in streaming mode, at a vector length like that.
    Streaming(u64),
}

impl Watch {
    /// All that this CPU can do; at least one.
    pub fn all() -> impl Iterator<Item = Self> {
        let sve = needs::host_sve().is_ok();
        let sme = streaming().is_ok();
        let lengths = [0, 1, 15];
        let sve = lengths.into_iter().filter(move |_| sve).map(Self::Sve);
        let sme = [1, 15].into_iter().filter(move |_| sme);
        core::iter::once(Self::Vectors)
            .chain(sve)
            .chain(sme.map(Self::Streaming))
    }

    /// Streaming mode, in which the monitor must not use the CPU's instructions for hashing.
    pub fn streaming() -> Check<Self> {
        streaming().map(|()| Self::Streaming(1))
    }

    /// Does `call` with the pattern of a seed in the registers, which must still be there afterwards.
    pub fn around<T>(self, seed: u64, what: &str, call: impl FnOnce() -> Check<T>) -> Check<T> {
        // SAFETY: the Host is built without vectors, which CPTR_EL2 does not trap; the CPU has what is
        // watched.
        unsafe {
            match self {
                Self::Vectors => registers::vectors_set(seed),
                Self::Sve(length) => {
                    // ZCR_EL2
                    msr!("s3_4_c1_c2_0", length);
                    isb();
                    registers::sve_set(seed);
                }
                Self::Streaming(length) => {
                    // SMCR_EL2, without FA64: instructions that streaming mode may lack are illegal.
                    msr!("s3_4_c1_c2_6", length);
                    isb();
                    // SMSTART SM
                    asm!(".inst 0xD503437F", options(nostack));
                    registers::streaming_set(seed);
                }
            }
        }
        let result = call();
        // SAFETY: as above.
        let different = unsafe {
            match self {
                Self::Vectors => registers::vectors_check(seed),
                Self::Sve(_) => registers::sve_check(seed),
                Self::Streaming(_) => {
                    // SVCR
                    let is_streaming = mrs!("s3_3_c4_c2_2") & 1 != 0;
                    let different = if is_streaming {
                        registers::streaming_check(seed)
                    } else {
                        u64::MAX
                    };
                    // SMSTOP SM
                    asm!(".inst 0xD503427F", options(nostack));
                    different
                }
            }
        };
        let result = result?;
        ensure_eq!(
            different,
            0,
            "{what}: {self:?}: the Host's registers differ"
        );
        Ok(result)
    }
}

/// Streaming mode.
pub fn streaming() -> Check {
    // ID_AA64PFR1_EL1.SME
    if mrs!("id_aa64pfr1_el1") >> 24 & 0xF == 0 {
        skip!("the CPU has no SME");
    }
    if !arch::is_sme_open() {
        skip!("EL3 keeps SME closed to the Normal world");
    }
    Ok(())
}
