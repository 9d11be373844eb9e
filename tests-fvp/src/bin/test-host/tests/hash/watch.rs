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
    /// The same with `SMCR_EL2.FA64`, which makes all instructions legal, and FFR exist, if EL3 agrees.
    FullStreaming(u64),
}

/// `SMCR_EL2.FA64`.
const FA64: u64 = 1 << 31;

impl Watch {
    /// All that this CPU can do; at least one.
    pub fn all() -> impl Iterator<Item = Self> {
        let sve = needs::host_sve().is_ok();
        let lengths = [0, 1, 15];
        let sve = lengths.into_iter().filter(move |_| sve).map(Self::Sve);
        core::iter::once(Self::Vectors)
            .chain(sve)
            .chain(Self::all_streaming([1, 15]))
    }

    /// Streaming mode at these vector lengths, if the Host can use it, without and with all instructions.
    pub fn all_streaming<const N: usize>(lengths: [u64; N]) -> impl Iterator<Item = Self> {
        let sme = streaming().is_ok();
        // ID_AA64SMFR0_EL1.FA64
        let full = sme && mrs!("s3_0_c0_c4_5") >> 63 != 0;
        let some = lengths.into_iter().filter(move |_| sme);
        let full = lengths.into_iter().filter(move |_| full);
        some.map(Self::Streaming)
            .chain(full.map(Self::FullStreaming))
    }

    pub fn is_streaming(self) -> bool {
        matches!(self, Self::Streaming(_) | Self::FullStreaming(_))
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
                Self::Streaming(length) | Self::FullStreaming(length) => {
                    let is_full = matches!(self, Self::FullStreaming(_));
                    // SMCR_EL2
                    msr!("s3_4_c1_c2_6", length | if is_full { FA64 } else { 0 });
                    isb();
                    // SMSTART SM
                    asm!(".inst 0xD503437F", options(nostack));
                    if arch::is_full_a64() {
                        registers::sve_set(seed);
                    } else {
                        registers::streaming_set(seed);
                    }
                }
            }
        }
        let result = call();
        // SAFETY: as above.
        let different = unsafe {
            match self {
                Self::Vectors => registers::vectors_check(seed),
                Self::Sve(_) => registers::sve_check(seed),
                Self::Streaming(_) | Self::FullStreaming(_) => {
                    // SVCR
                    let is_streaming = mrs!("s3_3_c4_c2_2") & 1 != 0;
                    let different = if !is_streaming {
                        u64::MAX
                    } else if arch::is_full_a64() {
                        registers::sve_check(seed)
                    } else {
                        registers::streaming_check(seed)
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
