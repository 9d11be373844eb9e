// SPDX-License-Identifier: BSD-3-Clause
//! The memory of a REC besides head and body, in which Granules it is, and safe access to it while the
//! REC is RUNNING.
//!
//! | of a Realm of RMI 1.0, auxiliary Granule | holds |
//! |---|---|
//! | 0 | the attestation token: [`TokenContext`] |
//! | 1 | without SVE Q0 to Q31: [`SimdState`]; with SVE Z0 to Z15: [`ZRegisters`] |
//! | 2, with SVE | Z16 to Z31: [`ZRegisters`] |
//! | 3, with SVE | predicates and control registers: [`SveState`] |
//!
//! A Host of RMI 2.0 passes no auxiliary Granules. There, [`TokenContext`] and [`SimdState`] lie in the REC
//! itself, behind its body. Both have the same offset in whichever Granule they are, so that access to
//! them does not depend on it.

use crate::machine::{Machine, SimdState, SveState, ZRegisters};
use crate::monitor::ThisCpu;
use crate::realm::Resources;
use crate::rec::{RecBody, RecHead};
use rmm_attest::TokenContext;
use rmm_granule::{AuxGranules, Content, GRANULE_SIZE, Pinned, REC_HEAD_SIZE, Window};

const TOKEN: usize = 0;
const SIMD: usize = 1;
const Z_LOW: usize = 1;
const Z_HIGH: usize = 2;
const SVE: usize = 3;

const TOKEN_OFFSET: usize = REC_HEAD_SIZE + size_of::<RecBody>();
const SIMD_OFFSET: usize =
    (TOKEN_OFFSET + size_of::<TokenContext>()).next_multiple_of(align_of::<SimdState>());

const _: () = {
    assert!(SIMD + 1 == Resources::AUX_COUNT);
    assert!(SVE + 1 == Resources::AUX_COUNT_WITH_SVE);
    assert!(SIMD_OFFSET + size_of::<SimdState>() <= GRANULE_SIZE);
};

/// All memory of a RUNNING REC besides head and body.
pub struct RecAux<'a, M: Machine> {
    granules: AuxGranules<'a, M>,
    head: &'a RecHead,
}

/// Calls `work` with head, body and auxiliary Granules of a RUNNING REC.
pub fn with_rec<M: Machine, R>(
    cpu: &ThisCpu<'_, M>,
    rec: &mut Pinned<'_, RecHead, RecBody>,
    work: impl FnOnce(&RecHead, &mut RecBody, &mut RecAux<'_, M>) -> R,
) -> R {
    let (mut rec, granules) = rec.map_with_aux(cpu.machine);
    let (head, body) = rec.split();
    work(head, body, &mut RecAux { granules, head })
}

impl<M: Machine> RecAux<'_, M> {
    /// The Granules by purpose, for different owners.
    pub fn split(&mut self) -> (VectorAux<'_, M>, TokenAux<'_, M>) {
        (VectorAux { aux: self }, TokenAux { aux: self })
    }

    /// Opens what is at `OFFSET` in Granule `n`.
    ///
    /// # Safety
    /// No other window onto it is open. `OFFSET` is behind the body unless `n` is always an auxiliary
    /// Granule.
    unsafe fn open<T: Content, const OFFSET: usize>(&self, n: usize) -> Window<'_, M, T, OFFSET> {
        // SAFETY: the Granule is the REC or a REC_AUX Granule of it, by `with_rec`. The rest is the
        // caller's promise.
        unsafe { self.granules.map(self.head.aux_granule(n)) }
    }
}

/// The Granules for FP/SIMD and SVE registers.
pub struct VectorAux<'a, M: Machine> {
    aux: &'a RecAux<'a, M>,
}

/// Windows onto the SVE registers.
pub struct SveWindows<'a, M: Machine> {
    /// Z0 to Z15.
    pub low: Window<'a, M, ZRegisters>,
    /// Z16 to Z31.
    pub high: Window<'a, M, ZRegisters>,
    /// The other SVE registers.
    pub rest: Window<'a, M, SveState>,
}

impl<M: Machine> VectorAux<'_, M> {
    /// Opens the FP/SIMD registers of a REC without SVE.
    pub fn simd(&mut self) -> Window<'_, M, SimdState, SIMD_OFFSET> {
        // SAFETY: only this value opens it, and is borrowed while the window is open. It is behind the
        // body.
        unsafe { self.aux.open(SIMD) }
    }

    /// Opens the registers of a REC with SVE.
    pub fn sve(&mut self) -> SveWindows<'_, M> {
        // SAFETY: as for `simd`; these are three auxiliary Granules.
        unsafe {
            SveWindows {
                low: self.aux.open(Z_LOW),
                high: self.aux.open(Z_HIGH),
                rest: self.aux.open(SVE),
            }
        }
    }
}

/// The Granule for the attestation token.
pub struct TokenAux<'a, M: Machine> {
    aux: &'a RecAux<'a, M>,
}

impl<M: Machine> TokenAux<'_, M> {
    /// The same access for a shorter time.
    pub fn reborrow(&mut self) -> TokenAux<'_, M> {
        TokenAux { aux: self.aux }
    }

    /// Whether a token is in progress (`attest_state`).
    pub fn is_in_progress(&self) -> bool {
        // SAFETY: only this value opens it. It is borrowed here, so any other window is open for
        // reading, too. It is behind the body.
        unsafe { self.aux.open::<TokenContext, TOKEN_OFFSET>(TOKEN) }.in_progress()
    }

    /// Opens the token.
    pub fn token(&mut self) -> Window<'_, M, TokenContext, TOKEN_OFFSET> {
        // SAFETY: only this value opens it, and is borrowed while the window is open. It is behind the
        // body.
        unsafe { self.aux.open(TOKEN) }
    }
}
