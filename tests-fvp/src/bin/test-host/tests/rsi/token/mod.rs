// SPDX-License-Identifier: BSD-3-Clause
//! RSI_ATTESTATION_TOKEN_INIT and RSI_ATTESTATION_TOKEN_CONTINUE. The runner verifies each token.

mod expected;

use super::{PAGE, refused, with_pages};
use crate::check::{Check, ensure, ensure_eq, fail};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, Step, check_exit, command, describe, enter, exit_record};
use crate::tests::exit::{DATA_ABORT, TRANSLATION_3, abort_record};
use crate::tests::smp::{self, on_second, result};
use crate::tests::{Test, needs};
use crate::{arch, gic};
use alloc::vec::Vec;
use core::cell::Cell;
use expected::Expected;
use rmm_abi::rmi::RecExitReason;
use rmm_abi::rsi;
use rsi::{RSI_ERROR_INPUT, RSI_ERROR_STATE, RSI_INCOMPLETE, RSI_SUCCESS, fid};
use tests_fvp::protocol::{MODE_COMMANDS, Op};

pub const TESTS: &[Test] = &[
    ("rsi.token_wrong", token_wrong),
    ("rsi.token", token),
    ("rsi.token_restart", token_restart),
    ("rsi.token_interrupted", token_interrupted),
    ("rsi.token_moves", token_moves),
    ("rsi.token_two_cpus", token_two_cpus),
    ("rsi.token_not_mapped", token_not_mapped),
    ("rsi.token_destroyed", token_destroyed),
];

const CONTINUE: u64 = fid::RSI_ATTESTATION_TOKEN_CONTINUE;

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

/// Bytes of Realm memory, read by the Realm.
fn read(rec: &Rec, ipa: u64, size: u64) -> Check<Vec<u8>> {
    let start = ipa & !7;
    let mut bytes = Vec::new();
    for word in (start..ipa + size).step_by(8) {
        bytes.extend(rec.load(word)?.to_le_bytes());
    }
    let skipped = (ipa - start) as usize;
    Ok(bytes[skipped..skipped + size as usize].to_vec())
}

/// One RSI_ATTESTATION_TOKEN_CONTINUE, during which the Host's timer may fire after some
/// microseconds. Status and size.
fn part(rec: &Rec, [ipa, offset, size]: [u64; 3], timer: Option<u64>) -> Check<(u64, u64)> {
    let arguments = [CONTINUE, ipa, offset, size];
    let mut entry = command(Op::Smc, &arguments);
    let ticks = timer.map(|microseconds| arch::ticks(1) * microseconds / 1000);
    let mut entries = 1;
    let outcome = loop {
        if let Some(ticks) = ticks {
            // On a slow machine the interrupt may come before the call.
            gic::start_timer(entries * ticks);
        }
        entries += 1;
        match rec.step(&entry)? {
            Step::Done(reply) => break reply,
            Step::Exit(exit) if exit.exit_reason == RecExitReason::Irq as u8 => {
                check_exit(&exit, &exit_record(RecExitReason::Irq))?;
                gic::taken();
                entry = enter();
            }
            Step::Exit(exit) => fail!("{}", describe(&exit)),
        }
    };
    gic::stop_timer();
    gic::taken();
    ensure_eq!(outcome.esr, 0, "exception");
    ensure_eq!(outcome.values[9], 0, "registers that changed");
    ensure!(
        outcome.values[2..4] == [0; 2],
        "X2 and X3 of {arguments:x?}"
    );
    Ok((outcome.values[0], outcome.values[1]))
}

/// The token in progress, in pieces of these sizes, of which the last is repeated, at various offsets.
fn pieces(rec: &Rec, mut sizes: &[u64]) -> Check<Vec<u8>> {
    let mut token = Vec::new();
    loop {
        let size = sizes[0];
        if sizes.len() > 1 {
            sizes = &sizes[1..];
        }
        let offset = (GRANULE - size) & (token.len() as u64 + 5);
        let (status, length) = part(rec, [PAGE, offset, size], None)?;
        token.extend(read(rec, PAGE + offset, length)?);
        match status {
            RSI_SUCCESS => return Ok(token),
            RSI_INCOMPLETE => ensure_eq!(length, size, "bytes of a piece"),
            _ => fail!("status {status:#x}"),
        }
    }
}

/// A Realm with a page for its tokens and this hash algorithm.
fn attesting(hash: u8) -> Check<Realm> {
    let mut config = Config {
        hash,
        ..Config::default()
    };
    for (n, byte) in (0x20..).zip(&mut config.rpv) {
        *byte = n;
    }
    with_pages(1, &config)
}

/// Extends a REM by a word.
fn extend(rec: &Rec, index: u64, word: u64) -> Check {
    let values = rec.call(&[fid::RSI_MEASUREMENT_EXTEND, index, 8, word])?;
    ensure_eq!(values[0], RSI_SUCCESS, "RSI_MEASUREMENT_EXTEND");
    Ok(())
}

// Conformance: RSI_ATTESTATION_TOKEN_INIT size, challenge
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE incomplete, complete, size_zero, state
// Conformance: Attestation tokens collection, sign1, realm_challenge, profile, rpv, hash_algorithm
// Conformance: Attestation tokens public_key, rim, rems, binding, sampled
// Conformance: Realm attestation key call
fn token() -> Check {
    for hash in [0, 1] {
        let realm = attesting(hash)?;
        let rec = &realm.recs[0];
        extend(rec, 2, 7)?;
        for (seed, sizes) in [
            (1, &[GRANULE][..]),
            (2, &[1, 2, 3, 7, 8, 9, 250, 1000]),
            (3, &[GRANULE - 1, 1]),
            (4, &[100]),
        ] {
            let expected = Expected::of(rec, &realm.config, seed)?;
            let size = expected.init(rec)?;
            refused(rec, &[CONTINUE, PAGE, 0, 0], RSI_INCOMPLETE)?;
            // The token shows the measurements of its beginning.
            extend(rec, 4, seed)?;
            let token = pieces(rec, sizes)?;
            ensure_eq!(token.len() as u64, size, "bytes of the token");
            refused(rec, &[CONTINUE, PAGE, 0, GRANULE], RSI_ERROR_STATE)?;
            expected.judge(&token);
        }
        realm.finish()?;
    }
    Ok(())
}

/// A token that is ready, or delivered in part, gives way to another.
// Conformance: RSI_ATTESTATION_TOKEN_INIT restart
fn token_restart() -> Check {
    let realm = attesting(0)?;
    let rec = &realm.recs[0];
    let [first, second] = [1, 2].map(|seed| Expected::of(rec, &realm.config, seed));
    let (first, second) = (first?, second?);
    for size in [0, 1, 2000] {
        first.init(rec)?;
        let answer = part(rec, [PAGE, 0, size], None)?;
        ensure!(answer == (RSI_INCOMPLETE, size), "{size} bytes: {answer:?}");
        second.init(rec)?;
        second.judge(&pieces(rec, &[GRANULE])?);
    }
    realm.finish()
}

/// Interrupts of a signature without which a test says nothing. A signature takes millions of
/// instructions.
const ENOUGH: u64 = 3;

/// Gets a token with the Host's timer running; `step` makes each call. A machine that is busy
/// otherwise may miss a whole signature, so there are several attempts.
fn interrupted(
    rec: &Rec,
    expected: &Expected,
    step: impl Fn(&Rec, [u64; 3], Option<u64>) -> Check<(u64, u64)>,
) -> Check<Vec<u8>> {
    for _ in 0..100 {
        expected.init(rec)?;
        let mut count = 0;
        let size = loop {
            let microseconds = 100 + 37 * (count % 20);
            let (status, size) = step(rec, [PAGE, 0, GRANULE], Some(microseconds))?;
            match status {
                RSI_INCOMPLETE if size == 0 => count += 1,
                RSI_SUCCESS => break size,
                _ => fail!("status {status:#x}, {size} bytes"),
            }
        };
        if count >= ENOUGH {
            return read(rec, PAGE, size);
        }
    }
    fail!("no signature was interrupted {ENOUGH} times")
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE interrupted
fn token_interrupted() -> Check {
    let realm = attesting(1)?;
    let rec = &realm.recs[0];
    let expected = Expected::of(rec, &realm.config, 3)?;
    expected.judge(&interrupted(rec, &expected, part)?);
    realm.finish()
}

/// After each interrupt the REC continues on the other CPU.
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE interrupted
fn token_moves() -> Check {
    needs::second_cpu()?;
    let realm = attesting(0)?;
    let rec = &realm.recs[0];
    let expected = Expected::of(rec, &realm.config, 4)?;
    let here = Cell::new(true);
    let token = interrupted(rec, &expected, |rec, place, timer| {
        if here.replace(!here.get()) {
            return part(rec, place, timer);
        }
        let there = on_second(rec, move |rec| part(rec, place, timer))?;
        result(&there)?
    })?;
    expected.judge(&token);
    realm.finish()
}

/// Two RECs of a Realm ask at once, each on a CPU, with half a page each.
// Conformance: Attestation tokens per_rec
fn token_two_cpus() -> Check {
    needs::second_cpu()?;
    const HALF: u64 = GRANULE / 2;
    fn half(rec: &Rec, expected: &Expected, offset: u64) -> Check<Vec<u8>> {
        expected.init(rec)?;
        let mut token = Vec::new();
        loop {
            let (status, size) = part(rec, [PAGE, offset, HALF], None)?;
            token.extend(read(rec, PAGE + offset, size)?);
            match status {
                RSI_INCOMPLETE => ensure_eq!(size, HALF, "bytes of a piece"),
                RSI_SUCCESS => return Ok(token),
                _ => fail!("status {status:#x}"),
            }
        }
    }
    let realm = smp::two()?;
    let [first, second] = &realm.recs[..] else {
        return Err("not two RECs".into());
    };
    for seed in [1, 3, 5] {
        let ours = Expected::of(first, &realm.config, seed)?;
        let theirs = Expected::of(second, &realm.config, seed + 1)?;
        let there = {
            let theirs = theirs.clone();
            on_second(second, move |rec| half(rec, &theirs, HALF))?
        };
        let here = half(first, &ours, 0);
        theirs.judge(&result(&there)??);
        ours.judge(&here?);
    }
    realm.finish()
}

/// Memory that the Host has to provide first, and memory that the Realm has given up.
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE not_mapped, empty
// Conformance: RSI calls retry
fn token_not_mapped() -> Check {
    const MISSING: u64 = PAGE + GRANULE;
    const EMPTY: u64 = PAGE + 2 * GRANULE;
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, EMPTY)?;
    realm.add_unknown(PAGE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    let expected = Expected::of(&rec, &realm.config, 6)?;
    let size = expected.init(&rec)?;
    refused(&rec, &[CONTINUE, EMPTY, 0, 8], RSI_ERROR_INPUT)?;
    let exit = rec.exit_of(Op::Smc, &[CONTINUE, MISSING, 24, 16])?;
    let wanted = abort_record(DATA_ABORT, TRANSLATION_3, MISSING);
    check_exit(&exit, &wanted)?;
    check_exit(&rec.exit_of_entry(&enter())?, &wanted)?;
    realm.add_unknown(MISSING)?;
    let reply = rec.finish_with(&enter())?;
    ensure!(
        reply.values[..2] == [RSI_INCOMPLETE, 16],
        "status and size {:x?}",
        &reply.values[..2]
    );
    let mut token = read(&rec, MISSING + 24, 16)?;
    token.extend(pieces(&rec, &[GRANULE])?);
    ensure_eq!(token.len() as u64, size, "bytes of the token");
    expected.judge(&token);
    realm.finish()
}

/// A REC that goes in the middle of a signature leaves zeroes, and its Realm does, too.
// Conformance: Attestation tokens wiped
fn token_destroyed() -> Check {
    for microseconds in [50, 300, 2000, 9000] {
        let realm = attesting(0)?;
        let rec = &realm.recs[0];
        Expected::of(rec, &realm.config, 7)?.init(rec)?;
        part(rec, [PAGE, 0, 16], Some(microseconds))?;
        // Each granule that comes back is looked at.
        realm.finish()?;
    }
    Ok(())
}
