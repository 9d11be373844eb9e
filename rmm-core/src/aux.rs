// SPDX-License-Identifier: BSD-3-Clause
//! The auxiliary Granules of a REC: which they are, and safe access to them while the REC is
//! RUNNING.
//!
//! | Granule | holds |
//! |---|---|
//! | 0 | the attestation token: [`TokenContext`] |
//! | 1 | without SVE Q0 to Q31: [`SimdState`]; with SVE Z0 to Z15: [`ZRegisters`] |
//! | 2, with SVE | Z16 to Z31: [`ZRegisters`] |
//! | 3, with SVE | predicates and control registers: [`SveState`] |

use crate::machine::{Machine, SimdState, SveState, ZRegisters};
use crate::monitor::ThisCpu;
use crate::realm::Resources;
use crate::rec::{RecBody, RecHead};
use rmm_attest::TokenContext;
use rmm_granule::{AuxGranules, Content, Pinned, Window};

const TOKEN: usize = 0;
const SIMD: usize = 1;
const Z_LOW: usize = 1;
const Z_HIGH: usize = 2;
const SVE: usize = 3;

const _: () = {
    assert!(SIMD + 1 == Resources::AUX_COUNT);
    assert!(SVE + 1 == Resources::AUX_COUNT_WITH_SVE);
};

/// All auxiliary Granules of a RUNNING REC.
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

    /// Opens auxiliary Granule `n`.
    ///
    /// # Safety
    /// No other window onto it is open.
    unsafe fn open<T: Content>(&self, n: usize) -> Window<'_, M, T> {
        // SAFETY: the Granule is a REC_AUX Granule of this REC, by `with_rec`. The rest is
        // the caller's promise.
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
    pub fn simd(&mut self) -> Window<'_, M, SimdState> {
        // SAFETY: only this value opens the Granule, and it is borrowed while the window is open.
        unsafe { self.aux.open(SIMD) }
    }

    /// Opens the registers of a REC with SVE.
    pub fn sve(&mut self) -> SveWindows<'_, M> {
        // SAFETY: as for `simd`; the three Granules are different ones.
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
        // SAFETY: only this value opens the Granule. It is borrowed here, so any other window is open
        // for reading, too.
        unsafe { self.aux.open::<TokenContext>(TOKEN) }.in_progress()
    }

    /// Opens the token.
    pub fn token(&mut self) -> Window<'_, M, TokenContext> {
        // SAFETY: only this value opens the Granule, and it is borrowed while the window is open.
        unsafe { self.aux.open(TOKEN) }
    }
}
