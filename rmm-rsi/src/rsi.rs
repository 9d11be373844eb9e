// SPDX-License-Identifier: BSD-3-Clause
//! The RSI commands (specification B5.3).
//!
//! The comment behind a check is the ID of the failure condition in the specification.
//!
//! Realm memory that a command needs may be absent. If its RIPAS is EMPTY, the Realm itself has given
//! it up and the command fails with RSI_ERROR_INPUT. Otherwise the Host has to provide it, and the REC
//! exits with an emulated abort.

use crate::{
    Abort, AccessError, Context, Exit, Failure, Gprs, Outcome, TokenPiece, TokenStep, done,
    is_aligned, is_protected, set_results,
};
use core::mem::offset_of;
use rmm_abi::rmi::Ripas;
use rmm_abi::rsi::*;
use zerocopy::{IntoBytes, transmute};

/// Size of a Granule in bytes.
const GRANULE: u64 = rmm_abi::GRANULE_SIZE as u64;

/// Size of `RsiHostCall` in bytes, and its alignment in Realm memory.
const HOST_CALL_SIZE: u64 = size_of::<HostCall>() as u64;

/// The command fails with RSI_ERROR_INPUT unless `condition` holds.
fn require(condition: bool) -> Result<(), Failure> {
    crate::require(condition, RSI_ERROR_INPUT)
}

/// Ends a command that cannot access Realm memory at `ipa`.
fn no_access(ipa: u64, error: AccessError) -> Result<Outcome, Failure> {
    match error {
        AccessError::Empty { .. } => Err(Failure(RSI_ERROR_INPUT)),
        AccessError::NotMapped { .. } => Ok(Outcome::Abort(error.abort(ipa))),
    }
}

/// RSI_VERSION (specification B5.3.10, B2). Where 1.0 is the only revision, `lower` and `higher` are that
/// revision for every request. Reserved bits of the request are ignored.
pub(crate) fn version(ctx: &impl Context, regs: &mut Gprs) -> Outcome {
    const REVISION: u64 = 0x7FFF_FFFF;
    let requested = regs[1] & REVISION;
    let higher = if ctx.has_rsi_1_1() {
        RSI_VERSION_1_1
    } else {
        RSI_VERSION_1_0
    };
    let (status, lower) = match requested {
        RSI_VERSION_1_0 => (RSI_SUCCESS, RSI_VERSION_1_0),
        // A request for less than 1.0 gets the highest revision.
        requested if requested == higher => (RSI_SUCCESS, higher),
        _ => (RSI_ERROR_INPUT, higher),
    };
    done(regs, &[status, lower, higher])
}

/// RSI_FEATURES (specification B5.3.3). Every feature register is zero: of RSI 1.0 by definition, of 1.1
/// because there are no devices.
pub(crate) fn features(regs: &mut Gprs) -> Outcome {
    done(regs, &[RSI_SUCCESS, 0])
}

/// RSI_MEASUREMENT_READ (specification B5.3.8).
pub(crate) fn measurement_read(ctx: &impl Context, regs: &mut Gprs) -> Result<Outcome, Failure> {
    let index = regs[1];
    require(index <= MAX_MEASUREMENT_INDEX)?; // index_bound
    let words: [u64; 8] = transmute!(ctx.measurement(narrow(index)?));
    set_results(regs, &[RSI_SUCCESS]);
    regs[1..9].copy_from_slice(&words);
    Ok(Outcome::Return)
}

/// RSI_MEASUREMENT_EXTEND (specification B5.3.7).
pub(crate) fn measurement_extend(
    ctx: &mut impl Context,
    regs: &mut Gprs,
) -> Result<Outcome, Failure> {
    let (index, size) = (regs[1], regs[2]);
    let value: [u8; MEASUREMENT_SIZE] = transmute!(words_from(regs, 3));
    require(index != RIM_INDEX && index <= MAX_MEASUREMENT_INDEX)?; // index_bound
    let value = value.get(..narrow(size)?);
    let value = value.ok_or(Failure(RSI_ERROR_INPUT))?; // size_bound
    ctx.extend_measurement(narrow(index)?, value);
    Ok(done(regs, &[RSI_SUCCESS]))
}

/// A register as an index or a size.
fn narrow(reg: u64) -> Result<usize, Failure> {
    usize::try_from(reg).map_err(|_| Failure(RSI_ERROR_INPUT))
}

/// Eight registers from X`first` on.
fn words_from(regs: &Gprs, first: usize) -> [u64; 8] {
    core::array::from_fn(|n| regs[first + n])
}

/// RSI_ATTESTATION_TOKEN_INIT (specification B5.3.2).
pub(crate) fn attestation_token_init(ctx: &mut impl Context, regs: &mut Gprs) -> Outcome {
    let challenge: [u8; CHALLENGE_SIZE] = transmute!(words_from(regs, 1));
    let upper_bound = ctx.token_init(&challenge);
    done(regs, &[RSI_SUCCESS, upper_bound])
}

/// RSI_ATTESTATION_TOKEN_CONTINUE (specification B5.3.1).
pub(crate) fn attestation_token_continue(
    ctx: &mut impl Context,
    regs: &mut Gprs,
) -> Result<Outcome, Failure> {
    let (ipa, offset, size) = (regs[1], regs[2], regs[3]);
    require(is_aligned(ipa, GRANULE))?; // addr_align
    require(is_protected(ctx, ipa))?; // addr_bound
    require(offset < GRANULE)?; // offset_bound
    require(size <= GRANULE - offset)?; // size_overflow, size_bound
    crate::require(ctx.token_in_progress(), RSI_ERROR_STATE)?; // state
    if size == 0 {
        return Ok(done(regs, &[RSI_INCOMPLETE, 0]));
    }
    loop {
        match ctx.token_step() {
            TokenStep::Ready => break,
            TokenStep::Failed => return Err(Failure(RSI_ERROR_UNKNOWN)), // unknown
            TokenStep::Waiting => return Ok(done(regs, &[RSI_INCOMPLETE, 0])),
            // One step is done before an interrupt is looked for, so that the generation advances even
            // if an interrupt is pending at every call.
            TokenStep::Working if ctx.interrupt_pending() => {
                set_results(regs, &[RSI_INCOMPLETE, 0]);
                return Ok(Outcome::Exit(Exit::Irq));
            }
            TokenStep::Working => {}
        }
    }
    match ctx.token_write(ipa | offset, size) {
        Ok(TokenPiece::More) => Ok(done(regs, &[RSI_INCOMPLETE, size])),
        Ok(TokenPiece::Last { len }) => Ok(done(regs, &[RSI_SUCCESS, len])),
        Err(error) => no_access(ipa, error),
    }
}

/// RSI_REALM_CONFIG (specification B5.3.9).
pub(crate) fn realm_config(ctx: &mut impl Context, regs: &mut Gprs) -> Result<Outcome, Failure> {
    let ipa = regs[1];
    require(is_aligned(ipa, GRANULE))?; // addr_align
    require(is_protected(ctx, ipa))?; // addr_bound
    match write_realm_config(ctx, ipa) {
        Ok(()) => Ok(done(regs, &[RSI_SUCCESS])),
        Err(error) => no_access(ipa, error),
    }
}

/// Writes `RsiRealmConfig`: a whole Granule, with zeroes in the reserved bytes.
fn write_realm_config(ctx: &mut impl Context, ipa: u64) -> Result<(), AccessError> {
    // One word after the other.
    const { assert!(offset_of!(RealmConfig, ipa_width) + 8 == offset_of!(RealmConfig, hash_algo)) }
    let words = [u64::from(ctx.ipa_width()), u64::from(ctx.hash_algorithm())];
    let rpv = ctx.rpv();
    ctx.write_whole(
        ipa,
        &[
            (offset_of!(RealmConfig, ipa_width), words.as_bytes()),
            (offset_of!(RealmConfig, rpv), &rpv),
        ],
    )
}

/// RSI_IPA_STATE_SET (specification B5.3.6).
pub(crate) fn ipa_state_set(ctx: &impl Context, regs: &mut Gprs) -> Result<Outcome, Failure> {
    let (base, top, flags) = (regs[1], regs[2], regs[4]);
    let [ripas, ..] = regs[3].to_le_bytes();
    let ripas = match RsiRipas::try_from(ripas) {
        Ok(RsiRipas::Empty) => Ripas::Empty,
        Ok(RsiRipas::Ram) => Ripas::Ram,
        _ => return Err(Failure(RSI_ERROR_INPUT)), // ripas_valid
    };
    require(is_aligned(base, GRANULE))?; // base_align
    require(is_aligned(top, GRANULE))?; // top_align
    require(base < top)?; // size_valid
    require(is_protected_range(ctx, base, top))?; // rgn_bound
    Ok(Outcome::Exit(Exit::RipasChange {
        base,
        top,
        ripas,
        change_destroyed: flags & RIPAS_CHANGE_DESTROYED != 0,
    }))
}

/// RSI_IPA_STATE_GET (specification B5.3.5).
pub(crate) fn ipa_state_get(ctx: &impl Context, regs: &mut Gprs) -> Result<Outcome, Failure> {
    let (base, top) = (regs[1], regs[2]);
    require(is_aligned(base, GRANULE))?; // base_align
    require(is_aligned(top, GRANULE))?; // end_align
    require(base < top)?; // size_valid
    require(is_protected_range(ctx, base, top))?; // rgn_bound
    let (out_top, ripas) = ctx.ripas_extent(base, top);
    Ok(done(regs, &[RSI_SUCCESS, out_top.min(top), ripas.into()]))
}

/// Whether `[base, top)`, which is not empty, is Protected (specification B3.6).
fn is_protected_range(ctx: &impl Context, base: u64, top: u64) -> bool {
    is_protected(ctx, base) && is_protected(ctx, top - 1)
}

/// RSI_HOST_CALL (specification B5.3.4).
pub(crate) fn host_call(
    ctx: &mut impl Context,
    regs: &mut Gprs,
    exit: &mut Option<Gprs>,
) -> Result<Outcome, Failure> {
    let ipa = regs[1];
    require(is_aligned(ipa, HOST_CALL_SIZE))?; // addr_align
    require(is_protected(ctx, ipa))?; // addr_bound
    // The immediate, in the low bits, and reserved bytes.
    let mut head = 0u64;
    let gprs = exit.insert([0; 31]);
    match ctx.read(ipa, &mut [head.as_mut_bytes(), gprs.as_mut_bytes()]) {
        Ok(()) => Ok(Outcome::Exit(Exit::HostCall {
            imm: (head & 0xFFFF) as u16,
        })),
        Err(error) => {
            *exit = None;
            no_access(ipa, error)
        }
    }
}

/// Completes a pending Host call at entry (specification A4.2.2): writes `gprs` of the entry record to
/// the structure, whose IPA is still in X1 of the REC, and returns RSI_SUCCESS to the Realm.
///
/// # Errors
/// The structure cannot be accessed. Nothing has changed: the call stays pending, and the REC exits
/// with the emulated abort without having run. This is so for RIPAS EMPTY too.
pub fn complete_host_call(
    ctx: &mut impl Context,
    regs: &mut Gprs,
    gprs: &Gprs,
) -> Result<(), Abort> {
    const GPRS: u64 = offset_of!(HostCall, gprs) as u64;
    let ipa = regs[1];
    ctx.write(ipa | GPRS, &[gprs.as_bytes()])
        .map_err(|error| error.abort(ipa))?;
    set_results(regs, &[RSI_SUCCESS]);
    Ok(())
}

/// A pending RIPAS change of a REC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RipasChange {
    /// `ripas_addr`: the first IPA that the Host has not changed.
    pub addr: u64,
    /// `ripas_top`: the first IPA beyond the request.
    pub top: u64,
    /// `ripas_value`: the requested RIPAS.
    pub ripas: Ripas,
}

/// Completes a pending RIPAS change at entry (specification A5.4). X1 reports the first IPA that has
/// not changed, X2 whether the Host rejected the rest. The Host can only reject a change to RAM.
///
/// `rejected` is `RmiRecEnterFlags.ripas_response` of the entry.
pub fn complete_ripas_change(regs: &mut Gprs, change: &RipasChange, rejected: bool) {
    let response = if rejected && change.ripas == Ripas::Ram && change.addr != change.top {
        RSI_REJECT
    } else {
        RSI_ACCEPT
    };
    set_results(regs, &[RSI_SUCCESS, change.addr, response]);
}
