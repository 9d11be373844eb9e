// SPDX-License-Identifier: BSD-3-Clause
//! RSI_ATTESTATION_TOKEN_INIT and RSI_ATTESTATION_TOKEN_CONTINUE.

use super::{PAGE, refused, with_pages};
use crate::arch::ticks;
use crate::check::{Check, ensure, ensure_eq, fail};
use crate::gic;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, Step, check_exit, command, enter};
use crate::tests::Test;
use crate::tests::exit::{DATA_ABORT, TRANSLATION_3, abort_record};
use crate::tests::irq::check_irq;
use alloc::vec::Vec;
use rmm_abi::rsi;
use rsi::{RSI_ERROR_INPUT, RSI_ERROR_STATE, RSI_INCOMPLETE, RSI_SUCCESS, fid};
use tests_fvp::protocol::{MODE_COMMANDS, Op, pattern};

pub const TESTS: &[Test] = &[
    ("rsi.token_wrong", token_wrong),
    ("rsi.token_delivered", token_delivered),
    ("rsi.token_interrupted", token_interrupted),
    ("rsi.token_not_mapped", token_not_mapped),
];

/// How a token begins: tag 399, a map of two, the first of them the platform token.
const TAG: [u8; 7] = [0xD9, 0x01, 0x8F, 0xA2, 0x19, 0xAC, 0xCA];

// Conformance: RSI_ATTESTATION_TOKEN_INIT size
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE addr_align, addr_bound, offset_bound, size_bound
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE size_overflow, state, empty
fn token_wrong() -> Check {
    let realm = with_pages(1, &Config::default())?;
    let rec = &realm.recs[0];
    let half = realm.config.unprotected();
    let carry_on = fid::RSI_ATTESTATION_TOKEN_CONTINUE;
    refused(rec, &[carry_on, PAGE, 0, GRANULE], RSI_ERROR_STATE)?;
    let init = rec.call(&[fid::RSI_ATTESTATION_TOKEN_INIT, 1, 2, 3, 4, 5, 6, 7, 8])?;
    ensure_eq!(init[0], RSI_SUCCESS, "RSI_ATTESTATION_TOKEN_INIT");
    ensure!(init[1] > 0, "upper bound {:#x}", init[1]);
    for (ipa, offset, size) in [
        (PAGE + 1, 0, 16),
        (PAGE, GRANULE, 0),
        (PAGE, GRANULE, 1),
        (PAGE, 0, GRANULE + 1),
        (PAGE, 8, GRANULE),
        (PAGE, 8, u64::MAX),
        (PAGE, u64::MAX, 8),
        (half, 0, 16),
        (2 * half, 0, 16),
        // RIPAS EMPTY.
        (PAGE + GRANULE, 0, 16),
    ] {
        refused(rec, &[carry_on, ipa, offset, size], RSI_ERROR_INPUT)?;
    }
    realm.finish()
}

/// The bytes that the Realm finds in its page.
fn page_of(rec: &Rec, bytes: u64) -> Check<Vec<u8>> {
    let mut content = Vec::new();
    for n in 0..bytes.div_ceil(8) {
        content.extend(rec.load(PAGE + 8 * n)?.to_le_bytes());
    }
    content.truncate(bytes as usize);
    Ok(content)
}

/// A whole token, in parts of at most `part` bytes, with what RSI_ATTESTATION_TOKEN_INIT says it
/// may have at most.
fn token(rec: &Rec, challenge: &[u64; 8], part: u64) -> Check<(Vec<u8>, u64)> {
    let mut init = [fid::RSI_ATTESTATION_TOKEN_INIT; 9];
    init[1..].copy_from_slice(challenge);
    let values = rec.call(&init)?;
    ensure_eq!(values[0], RSI_SUCCESS, "RSI_ATTESTATION_TOKEN_INIT");
    let (bound, mut token) = (values[1], Vec::new());
    loop {
        let mut filled = 0;
        let done = loop {
            let size = part.min(GRANULE - filled);
            let values = rec.call(&[fid::RSI_ATTESTATION_TOKEN_CONTINUE, PAGE, filled, size])?;
            ensure!(values[1] <= size, "{} bytes of {size}", values[1]);
            filled += values[1];
            match values[0] {
                RSI_SUCCESS => break true,
                RSI_INCOMPLETE if filled < GRANULE => {}
                RSI_INCOMPLETE => break false,
                status => fail!("RSI_ATTESTATION_TOKEN_CONTINUE: {status}"),
            }
        };
        token.extend(page_of(rec, filled)?);
        if done {
            return Ok((token, bound));
        }
    }
}

fn contains(token: &[u8], part: &[u8]) -> bool {
    token.windows(part.len()).any(|window| window == part)
}

/// A token has the challenge, the personalization and the RIM; it comes in parts of any size, and
/// then no more.
// Conformance: RSI_ATTESTATION_TOKEN_INIT challenge, restart
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE incomplete, complete, size_zero, state
fn token_delivered() -> Check {
    let config = Config::default();
    let realm = with_pages(1, &config)?;
    let rec = &realm.recs[0];
    let rim = rec.call(&[fid::RSI_MEASUREMENT_READ, 0])?;
    let rim: Vec<u8> = rim[1..5]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let more = [fid::RSI_ATTESTATION_TOKEN_CONTINUE, PAGE, 0, GRANULE];
    let mut lengths = Vec::new();
    for (seed, part) in [(1, GRANULE), (2, 100), (3, 1000)] {
        let challenge: [u64; 8] = core::array::from_fn(|n| pattern(seed, n as u64));
        let (token, bound) = token(rec, &challenge, part)?;
        ensure!(
            token.len() as u64 <= bound,
            "{} bytes of at most {bound}",
            token.len()
        );
        ensure!(
            token.starts_with(&TAG),
            "the token begins {:x?}",
            &token[..token.len().min(8)]
        );
        let challenge: Vec<u8> = challenge
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        ensure!(contains(&token, &challenge), "no challenge in the token");
        ensure!(
            contains(&token, &config.rpv),
            "no personalization in the token"
        );
        ensure!(contains(&token, &rim), "no RIM in the token");
        lengths.push(token.len());
        // Nothing is left to deliver.
        refused(rec, &more, RSI_ERROR_STATE)?;
    }
    ensure!(
        lengths.iter().all(|length| *length == lengths[0]),
        "lengths {lengths:?}"
    );
    // A part of no bytes is none; and a token that is begun again has the new challenge alone.
    rec.call(&[fid::RSI_ATTESTATION_TOKEN_INIT, 0x5EC2E7])?;
    refused(rec, &[more[0], PAGE, 0, 0], RSI_INCOMPLETE)?;
    let challenge = [0x1234; 8];
    let (token, _) = token(rec, &challenge, GRANULE)?;
    ensure!(
        !contains(&token, &0x5EC2E7_u64.to_le_bytes()),
        "the first challenge"
    );
    realm.finish()
}

/// One call of RSI_ATTESTATION_TOKEN_CONTINUE, with an interrupt of the Host so many ticks after
/// each entry. Returns X0, X1 and whether an interrupt ended a run of the REC.
fn interrupted_call(rec: &Rec, delay: u64) -> Check<(u64, u64, bool)> {
    let arguments = [fid::RSI_ATTESTATION_TOKEN_CONTINUE, PAGE, 0, GRANULE];
    let mut with = command(Op::Smc, &arguments);
    let mut interrupted = false;
    loop {
        gic::start_timer(delay);
        let step = rec.step(&with);
        gic::taken();
        gic::stop_timer();
        match step? {
            Step::Done(reply) => return Ok((reply.values[0], reply.values[1], interrupted)),
            Step::Exit(exit) => check_irq(&exit)?,
        }
        (with, interrupted) = (enter(), true);
    }
}

/// The Host's interrupts are not kept waiting until a token is made: they end the call early.
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE interrupted
fn token_interrupted() -> Check {
    let realm = with_pages(1, &Config::default())?;
    let rec = &realm.recs[0];
    let mut early = 0;
    // Interrupts at many places of the call; on a slow machine some come before it.
    for n in 1..100 {
        let init = rec.call(&[fid::RSI_ATTESTATION_TOKEN_INIT, n])?;
        ensure_eq!(init[0], RSI_SUCCESS, "RSI_ATTESTATION_TOKEN_INIT");
        loop {
            match interrupted_call(rec, ticks(1) / 20 * n)? {
                (RSI_INCOMPLETE, 0, interrupted) => early += u64::from(interrupted),
                (RSI_INCOMPLETE, _, _) => {}
                (RSI_SUCCESS, bytes, _) => {
                    ensure!(bytes > 0, "a token of no bytes");
                    break;
                }
                (status, _, _) => fail!("RSI_ATTESTATION_TOKEN_CONTINUE: {status}"),
            }
        }
        if early > 3 {
            return realm.finish();
        }
    }
    fail!("{early} interrupts during the call");
}

/// RAM that the Host has not provided: it is asked for, and the token is there afterwards.
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE not_mapped
fn token_not_mapped() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    rec.call(&[fid::RSI_ATTESTATION_TOKEN_INIT, 7])?;
    let arguments = [fid::RSI_ATTESTATION_TOKEN_CONTINUE, PAGE, 0, GRANULE];
    let exit = rec.exit_of(Op::Smc, &arguments)?;
    check_exit(&exit, &abort_record(DATA_ABORT, TRANSLATION_3, PAGE))?;
    realm.add_unknown(PAGE)?;
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(
        reply.values[0],
        RSI_SUCCESS,
        "RSI_ATTESTATION_TOKEN_CONTINUE"
    );
    let token = page_of(&rec, reply.values[1])?;
    ensure!(
        token.starts_with(&TAG),
        "the token begins {:x?}",
        token.first()
    );
    realm.finish()
}
