// SPDX-License-Identifier: BSD-3-Clause
//! The RSI commands (specification B5.3).
//!
//! A command whose structure in Realm memory is not there fails with RSI_ERROR_INPUT if the RIPAS
//! is EMPTY, since the Realm gave that memory up itself; else the Host has to bring it, and the REC
//! exits with an emulated abort.

use crate::{
    Abort, AccessError, Context, Exit, Gprs, Outcome, Token, done, is_aligned, is_protected,
    set_results,
};
use rmm_abi::rmi::Ripas;
use rmm_abi::rsi::*;
use zerocopy::{IntoBytes, transmute};

/// Size of a Granule in bytes.
const GRANULE: u64 = rmm_abi::GRANULE_SIZE as u64;

/// Zeroes for the reserved parts of structures.
static ZEROES: [u8; 0x370] = [0; 0x370];

/// The command fails.
fn error(regs: &mut Gprs, status: u64) -> Outcome {
    done(regs, &[status])
}

/// The command fails because an input is bad.
fn error_input(regs: &mut Gprs) -> Outcome {
    error(regs, RSI_ERROR_INPUT)
}

/// The command cannot access its structure at `ipa`.
fn no_access(regs: &mut Gprs, ipa: u64, access: AccessError) -> Outcome {
    match access {
        AccessError::Empty { .. } => error_input(regs),
        AccessError::NotMapped { .. } => Outcome::Abort(access.abort(ipa)),
    }
}

/// RSI_VERSION (specification B5.3.10, B2). With one revision implemented, `lower` and `higher` are
/// that revision whatever the Realm asks for. Reserved bits of the request are ignored.
pub(crate) fn version(regs: &mut Gprs) -> Outcome {
    const REVISION: u64 = 0x7FFF_FFFF;
    let status = match regs[1] & REVISION {
        RSI_VERSION_1_0 => RSI_SUCCESS,
        _ => RSI_ERROR_INPUT,
    };
    done(regs, &[status, RSI_VERSION_1_0, RSI_VERSION_1_0])
}

/// RSI_FEATURES (specification B5.3.3). Every feature register of RSI 1.0 is zero.
pub(crate) fn features(regs: &mut Gprs) -> Outcome {
    done(regs, &[RSI_SUCCESS, 0])
}

/// Measurement index from a register, if it is one.
fn measurement_index(reg: u64) -> Option<usize> {
    usize::try_from(reg)
        .ok()
        .filter(|_| reg <= MAX_MEASUREMENT_INDEX)
}

/// RSI_MEASUREMENT_READ (specification B5.3.8).
pub(crate) fn measurement_read(ctx: &impl Context, regs: &mut Gprs) -> Outcome {
    let Some(index) = measurement_index(regs[1]) else {
        return error_input(regs);
    };
    let words: [u64; 8] = transmute!(ctx.measurement(index));
    set_results(regs, &[RSI_SUCCESS]);
    regs[1..9].copy_from_slice(&words);
    Outcome::Return
}

/// RSI_MEASUREMENT_EXTEND (specification B5.3.7).
pub(crate) fn measurement_extend(ctx: &mut impl Context, regs: &mut Gprs) -> Outcome {
    let (index, size) = (regs[1], regs[2]);
    let value: [u8; MEASUREMENT_SIZE] = transmute!(words_from(regs, 3));
    let index = measurement_index(index).filter(|_| index != RIM_INDEX);
    let value = usize::try_from(size)
        .ok()
        .and_then(|size| value.get(..size));
    let (Some(index), Some(value)) = (index, value) else {
        return error_input(regs);
    };
    ctx.extend_measurement(index, value);
    done(regs, &[RSI_SUCCESS])
}

/// Eight registers from X`first` on.
fn words_from(regs: &Gprs, first: usize) -> [u64; 8] {
    core::array::from_fn(|n| regs[first + n])
}

/// RSI_ATTESTATION_TOKEN_INIT (specification B5.3.2). Has no failure conditions.
pub(crate) fn attestation_token_init(ctx: &mut impl Context, regs: &mut Gprs) -> Outcome {
    let challenge: [u8; CHALLENGE_SIZE] = transmute!(words_from(regs, 1));
    let upper_bound = ctx.token_init(&challenge);
    done(regs, &[RSI_SUCCESS, upper_bound])
}

/// RSI_ATTESTATION_TOKEN_CONTINUE (specification B5.3.1).
pub(crate) fn attestation_token_continue(ctx: &mut impl Context, regs: &mut Gprs) -> Outcome {
    let (ipa, offset, size) = (regs[1], regs[2], regs[3]);
    if !is_aligned(ipa, GRANULE)
        || !is_protected(ctx, ipa)
        || offset >= GRANULE
        || size > GRANULE - offset
    {
        return error_input(regs);
    }
    if !ctx.token_in_progress() {
        return error(regs, RSI_ERROR_STATE);
    }
    if size == 0 {
        return done(regs, &[RSI_INCOMPLETE, 0]);
    }
    match ctx.token_continue(ipa | offset, size) {
        Ok(Token::More) => done(regs, &[RSI_INCOMPLETE, size]),
        Ok(Token::Last { len }) => done(regs, &[RSI_SUCCESS, len]),
        Ok(Token::Failed) => error(regs, RSI_ERROR_UNKNOWN),
        Ok(Token::Interrupted) => {
            set_results(regs, &[RSI_INCOMPLETE, 0]);
            Outcome::Exit(Exit::Irq)
        }
        Err(access) => no_access(regs, ipa, access),
    }
}

/// RSI_REALM_CONFIG (specification B5.3.9).
pub(crate) fn realm_config(ctx: &mut impl Context, regs: &mut Gprs) -> Outcome {
    let ipa = regs[1];
    if !is_aligned(ipa, GRANULE) || !is_protected(ctx, ipa) {
        return error_input(regs);
    }
    match write_realm_config(ctx, ipa) {
        Ok(()) => done(regs, &[RSI_SUCCESS]),
        Err(access) => no_access(regs, ipa, access),
    }
}

/// Writes `RsiRealmConfig`, a whole Granule, its reserved bytes zero.
fn write_realm_config(ctx: &mut impl Context, ipa: u64) -> Result<(), AccessError> {
    const RPV: usize = core::mem::offset_of!(RealmConfig, rpv);
    const {
        assert!(RPV + 64 + 4 * ZEROES.len() == rmm_abi::GRANULE_SIZE);
    }
    let ipa_width = u64::from(ctx.ipa_width());
    let hash_algo = u64::from(ctx.hash_algorithm());
    let (to_rpv, _) = ZEROES.split_at(RPV - 16);
    let rpv = ctx.rpv();
    let page: [&[u8]; 8] = [
        ipa_width.as_bytes(),
        hash_algo.as_bytes(),
        to_rpv,
        &rpv,
        &ZEROES,
        &ZEROES,
        &ZEROES,
        &ZEROES,
    ];
    ctx.write(ipa, &page)
}

/// RSI_IPA_STATE_SET (specification B5.3.6).
pub(crate) fn ipa_state_set(ctx: &impl Context, regs: &mut Gprs) -> Outcome {
    let (base, top, flags) = (regs[1], regs[2], regs[4]);
    let ripas = match regs[3] & 0xFF {
        0 => Ripas::Empty,
        1 => Ripas::Ram,
        _ => return error_input(regs),
    };
    if !is_protected_range(ctx, base, top) {
        return error_input(regs);
    }
    let change_destroyed = flags & RIPAS_CHANGE_DESTROYED != 0;
    Outcome::Exit(Exit::RipasChange {
        base,
        top,
        ripas,
        change_destroyed,
    })
}

/// RSI_IPA_STATE_GET (specification B5.3.5).
pub(crate) fn ipa_state_get(ctx: &impl Context, regs: &mut Gprs) -> Outcome {
    let (base, top) = (regs[1], regs[2]);
    if !is_protected_range(ctx, base, top) {
        return error_input(regs);
    }
    let (out_top, ripas) = ctx.ripas_extent(base, top);
    done(regs, &[RSI_SUCCESS, out_top.min(top), ripas.into()])
}

/// Whether `[base, top)` is a range of whole Granules, not empty, all Protected.
fn is_protected_range(ctx: &impl Context, base: u64, top: u64) -> bool {
    is_aligned(base, GRANULE)
        && is_aligned(top, GRANULE)
        && base < top
        && is_protected(ctx, base)
        && is_protected(ctx, top - 1)
}

/// RSI_HOST_CALL (specification B5.3.4).
pub(crate) fn host_call(ctx: &mut impl Context, regs: &mut Gprs, exit: &mut Gprs) -> Outcome {
    let ipa = regs[1];
    if !is_aligned(ipa, HOST_CALL_ALIGN) || !is_protected(ctx, ipa) {
        return error_input(regs);
    }
    let mut imm = 0u16;
    let mut reserved = [0u8; 6];
    match ctx.read(
        ipa,
        &mut [imm.as_mut_bytes(), &mut reserved, exit.as_mut_bytes()],
    ) {
        Ok(()) => Outcome::Exit(Exit::HostCall { imm }),
        Err(access) => no_access(regs, ipa, access),
    }
}

/// Finishes a pending Host call at entry (specification A4.2.2): the Host's `gprs` go to the
/// structure that X1 of the REC still points to, and the call returns RSI_SUCCESS.
///
/// # Errors
/// The structure is not there. Nothing has changed: the call stays pending, and the REC exits with
/// the emulated abort without having run. That the RIPAS is EMPTY makes no difference here.
pub fn complete_host_call(
    ctx: &mut impl Context,
    regs: &mut Gprs,
    gprs: &Gprs,
) -> Result<(), Abort> {
    const GPRS: u64 = core::mem::offset_of!(HostCall, gprs) as u64;
    let ipa = regs[1];
    ctx.write(ipa | GPRS, &[gprs.as_bytes()])
        .map_err(|access| access.abort(ipa))?;
    set_results(regs, &[RSI_SUCCESS]);
    Ok(())
}

/// A RIPAS change as the REC remembers it at entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RipasChange {
    /// `ripas_addr`: the first IPA that the Host has not processed.
    pub addr: u64,
    /// `ripas_top`: the IPA after the last of the request.
    pub top: u64,
    /// `ripas_value`: the requested RIPAS.
    pub ripas: Ripas,
}

/// Finishes a pending RIPAS change at entry (specification A5.4): the Realm learns how far the Host
/// went, and whether it rejected the rest, which it can only do to a change to RAM.
pub fn complete_ripas_change(regs: &mut Gprs, change: &RipasChange, rejected: bool) {
    let response = if rejected && change.ripas == Ripas::Ram && change.addr != change.top {
        RSI_REJECT
    } else {
        RSI_ACCEPT
    };
    set_results(regs, &[RSI_SUCCESS, change.addr, response]);
}
