// SPDX-License-Identifier: BSD-3-Clause
//! RSI and PSCI: the services of the monitor for a Realm (specification B5, B6).
//!
//! When a REC executes SMC, the monitor calls [`handle`] with the registers of the REC and a
//! [`Context`], which is the REC and its Realm as this crate sees them. The [`Outcome`] says whether
//! the Realm continues or the REC exits to the Host. Calls that the Host answers are completed at the
//! next entry by [`complete_host_call`], [`complete_ripas_change`] or [`psci::complete`].
//!
//! # Registers
//! A call that returns to the Realm has its status in X0 and its other results from X1 on. X1 to X3
//! are zero if they have no result. X4 to X30 are preserved if they have no result: the SMC Calling
//! Convention says so and guests rely on it, although the RMM specification B1.2 demands zero up to
//! X16. The constant `ZEROED` selects between the two.
//!
//! # Order of checks
//! No RSI or PSCI command defines an order of its failure conditions. A call that fails changes
//! nothing but its result registers.
#![no_std]
#![forbid(unsafe_code)]

mod context;
mod outcome;
pub mod psci;
mod rsi;

pub use context::{AccessError, Context, TokenPiece, TokenStep};
pub use outcome::{Abort, Exit, Outcome, PsciEffect};
pub use rsi::{RipasChange, complete_host_call, complete_ripas_change};

use rmm_abi::{rsi::fid as rsi_fid, smccc};

/// General-purpose registers X0 to X30.
pub type Gprs = [u64; 31];

/// Serves an SMC of a Realm.
///
/// `regs` are the registers of the REC, with the function identifier in X0. `exit` is `gprs` of the
/// exit record (`RmiRecExit`), `None` before: a REC exit due to Host call or PSCI writes it, other
/// calls leave it.
pub fn handle(ctx: &mut impl Context, regs: &mut Gprs, exit: &mut Option<Gprs>) -> Outcome {
    let result = match function(regs) {
        rsi_fid::RSI_VERSION => Ok(rsi::version(ctx, regs)),
        rsi_fid::RSI_FEATURES => Ok(rsi::features(regs)),
        rsi_fid::RSI_MEASUREMENT_READ => rsi::measurement_read(ctx, regs),
        rsi_fid::RSI_MEASUREMENT_EXTEND => rsi::measurement_extend(ctx, regs),
        rsi_fid::RSI_ATTESTATION_TOKEN_INIT => Ok(rsi::attestation_token_init(ctx, regs)),
        rsi_fid::RSI_ATTESTATION_TOKEN_CONTINUE => rsi::attestation_token_continue(ctx, regs),
        rsi_fid::RSI_REALM_CONFIG => rsi::realm_config(ctx, regs),
        rsi_fid::RSI_IPA_STATE_SET => rsi::ipa_state_set(ctx, regs),
        rsi_fid::RSI_IPA_STATE_GET => rsi::ipa_state_get(ctx, regs),
        rsi_fid::RSI_HOST_CALL => rsi::host_call(ctx, regs, exit),
        smccc::SMCCC_VERSION => Ok(done(regs, &[ctx.smccc_version()])),
        _ => psci::handle(ctx, regs, exit),
    };
    result.unwrap_or_else(|Failure(status)| done(regs, &[status]))
}

/// A command fails with this status.
struct Failure(u64);

/// The command fails with `status` unless `condition` holds.
fn require(condition: bool, status: u64) -> Result<(), Failure> {
    if condition {
        Ok(())
    } else {
        Err(Failure(status))
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

/// Number of registers, from X0 on, that are zero on return if they have no result: 4 according to the
/// SMC Calling Convention, 17 according to specification B1.2.
const ZEROED: usize = 4;

/// Returns to the Realm with `results` from X0 on.
fn done(regs: &mut Gprs, results: &[u64]) -> Outcome {
    set_results(regs, results);
    Outcome::Return
}

/// Writes `results` from X0 on, and zero to the rest of the first [`ZEROED`] registers.
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
