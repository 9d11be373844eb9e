// SPDX-License-Identifier: BSD-3-Clause
//! RSI and PSCI: what a Realm may ask of the monitor, and what it gets for an answer
//! (specification B5, B6).
//!
//! A REC that executes SMC stops in the monitor, which calls [`handle`] with the registers of the
//! REC and a [`Context`], the view of this REC of this Realm at this moment. The [`Outcome`] tells
//! whether the Realm goes on or the REC exits to the Host. Calls that the Host answers are finished
//! at the next entry by [`complete_host_call`], [`complete_ripas_change`] or [`psci::complete`].
//!
//! # Registers
//! A call that returns to the Realm has its status in X0 and its other results in X1 and up; what
//! is left of X1 to X3 is zero. X4 to X30 are preserved where they carry no result, as the SMC
//! Calling Convention has it: guests rely on that, although the RMM specification B1.2 asks for
//! zero up to X16. The constant `ZEROED` is the switch.
//!
//! # Order of checks
//! No RSI or PSCI command defines an order of its failure conditions; those of a command here
//! mostly give the same status. A call that fails changes nothing but its result registers.
#![no_std]
#![forbid(unsafe_code)]

mod context;
mod outcome;
pub mod psci;
mod rsi;

pub use context::{AccessError, Context, Token};
pub use outcome::{Abort, Exit, Outcome, PsciEffect};
pub use rsi::{RipasChange, complete_host_call, complete_ripas_change};

use rmm_abi::{rsi::fid as rsi_fid, smccc};

/// General-purpose registers X0 to X30.
pub type Gprs = [u64; 31];

/// Serves an SMC of a Realm.
///
/// `regs` are the registers of the REC, X0 the function identifier. `exit` is `gprs` of the exit
/// record (`RmiRecExit`), all zero at the call: it is filled in for a REC exit due to Host call or
/// PSCI, and otherwise left alone.
pub fn handle(ctx: &mut impl Context, regs: &mut Gprs, exit: &mut Gprs) -> Outcome {
    match function(regs) {
        rsi_fid::RSI_VERSION => rsi::version(regs),
        rsi_fid::RSI_FEATURES => rsi::features(regs),
        rsi_fid::RSI_MEASUREMENT_READ => rsi::measurement_read(ctx, regs),
        rsi_fid::RSI_MEASUREMENT_EXTEND => rsi::measurement_extend(ctx, regs),
        rsi_fid::RSI_ATTESTATION_TOKEN_INIT => rsi::attestation_token_init(ctx, regs),
        rsi_fid::RSI_ATTESTATION_TOKEN_CONTINUE => rsi::attestation_token_continue(ctx, regs),
        rsi_fid::RSI_REALM_CONFIG => rsi::realm_config(ctx, regs),
        rsi_fid::RSI_IPA_STATE_SET => rsi::ipa_state_set(ctx, regs),
        rsi_fid::RSI_IPA_STATE_GET => rsi::ipa_state_get(ctx, regs),
        rsi_fid::RSI_HOST_CALL => rsi::host_call(ctx, regs, exit),
        smccc::SMCCC_VERSION => done(regs, &[ctx.smccc_version()]),
        _ => psci::handle(ctx, regs, exit).unwrap_or_else(|| done(regs, &[smccc::NOT_SUPPORTED])),
    }
}

/// The function identifier in W0, without the SVE hint.
fn function(regs: &Gprs) -> u64 {
    smccc::without_sve_hint(word(regs[0]))
}

/// The low 32 bits of a register.
fn word(reg: u64) -> u64 {
    reg & 0xFFFF_FFFF
}

/// Number of registers, counted from X0, that are zero on return if they carry no result. 17 is
/// what specification B1.2 says; 4 is what the SMC Calling Convention and its users say.
const ZEROED: usize = 4;

/// The call returns `results` in X0 and up.
fn done(regs: &mut Gprs, results: &[u64]) -> Outcome {
    set_results(regs, results);
    Outcome::Return
}

/// Writes `results` to X0 and up, and zero to the registers after them that must not keep a value.
fn set_results(regs: &mut Gprs, results: &[u64]) {
    let (zeroed, _) = regs.split_at_mut(ZEROED);
    zeroed.fill(0);
    for (reg, result) in regs.iter_mut().zip(results) {
        *reg = *result;
    }
}

/// Whether an IPA is Protected (specification B3.4): below half of the IPA space.
fn is_protected(ctx: &impl Context, ipa: u64) -> bool {
    let bits = ctx.ipa_width().saturating_sub(1);
    ipa.checked_shr(bits).unwrap_or(0) == 0
}

/// Whether an address is a multiple of `size`, a power of two.
fn is_aligned(address: u64, size: u64) -> bool {
    address & (size - 1) == 0
}
