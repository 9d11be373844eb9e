// SPDX-License-Identifier: BSD-3-Clause
//! What an attestation token costs, and how long an interrupt of the Host waits meanwhile.
//!
//! Challenge and measurements are always the same, and signatures are deterministic: all tokens of a
//! Realm take the same instructions.

use super::{REPEAT, Share, Table};
use crate::arch::mrs;
use crate::check::{Check, ensure, ensure_eq, fail};
use crate::gic;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, describe, enter};
use crate::rmi;
use rmm_abi::rmi::RecExitReason;
use rmm_abi::rsi::{RSI_SUCCESS, fid};
use tests_fvp::protocol::layout;

/// Where the Realm has its tokens, and the structure of its host call.
const BUFFER: u64 = layout::BASE + GRANULE;
const HOST_CALL: u64 = layout::BASE + GRANULE / 2;

/// Gets token after token. X0 to X4: the three function identifiers, [`BUFFER`], [`HOST_CALL`].
/// After each token a host call has status, bytes and ticks from before
/// RSI_ATTESTATION_TOKEN_INIT until after the last RSI_ATTESTATION_TOKEN_CONTINUE.
const TOKENS: &[u32] = &[
    0xAA00_03F4, // mov x20, x0
    0xAA01_03F5, // mov x21, x1
    0xAA02_03F6, // mov x22, x2
    0xAA03_03F7, // mov x23, x3
    0xAA04_03F8, // mov x24, x4
    0xAA1F_03F9, // 1: mov x25, xzr
    0xAA14_03E0, // mov x0, x20
    0xAA1F_03E1, // mov x1, xzr
    0xAA1F_03E2, // mov x2, xzr
    0xAA1F_03E3, // mov x3, xzr
    0xAA1F_03E4, // mov x4, xzr
    0xD503_3FDF, // isb
    0xD53B_E05A, // mrs x26, cntvct_el0
    0xD400_0003, // smc #0
    0xAA15_03E0, // 2: mov x0, x21
    0xAA17_03E1, // mov x1, x23
    0xAA19_03E2, // mov x2, x25
    0xD282_0003, // mov x3, #4096
    0xCB19_0063, // sub x3, x3, x25
    0xD400_0003, // smc #0
    0x8B01_0339, // add x25, x25, x1
    0xF100_0C1F, // cmp x0, #RSI_INCOMPLETE
    0x54FF_FF00, // b.eq 2b
    0xD503_3FDF, // isb
    0xD53B_E05B, // mrs x27, cntvct_el0
    0xCB1A_037B, // sub x27, x27, x26
    0xA900_E700, // stp x0, x25, [x24, #8]
    0xF900_0F1B, // str x27, [x24, #24]
    0xAA16_03E0, // mov x0, x22
    0xAA18_03E1, // mov x1, x24
    0xD400_0003, // smc #0
    0x17FF_FFE6, // b 1b
];

/// Ticks between two interrupts of the Host: 1 kHz if a tick is a nanosecond.
const HOST_TICK: u64 = 1_000_000;

/// Interrupts at different instants of a token.
const INSTANTS: u64 = 1000;

/// Ticks from the start of the timer until the Realm signs: longer than the way into the Realm.
const WAY_IN: u64 = 6_000;

/// The timer expires up to so many ticks later: longer than a step of a signature.
const SPREAD: u64 = 40_000;

pub fn tokens(table: &mut Table) -> Check {
    for (hash, alone, ticking) in [
        (
            0,
            "attestation token, SHA-256",
            "attestation token, SHA-256, with a Host tick",
        ),
        (
            1,
            "attestation token, SHA-512",
            "attestation token, SHA-512, with a Host tick",
        ),
    ] {
        let realm = attesting(hash)?;
        let rec = &realm.recs[0];
        for _ in 0..REPEAT / 2 {
            let Exit::Token(ticks) = run(rec)? else {
                return Err("an interrupt".into());
            };
            table.note(Share::None, alone, ticks);
        }
        for _ in 0..REPEAT / 2 {
            let ticks = loop {
                gic::start_timer(HOST_TICK);
                match run(rec)? {
                    Exit::Token(ticks) => break ticks,
                    Exit::Irq => ensure_eq!(gic::taken().unwrap_or(0), gic::EL2_TIMER, "taken"),
                }
            };
            gic::stop_timer();
            table.note(Share::None, ticking, ticks);
        }
        realm.finish()?;
    }
    waits(table)
}

/// Interrupts at [`INSTANTS`] different instants.
fn waits(table: &mut Table) -> Check {
    let realm = attesting(0)?;
    let rec = &realm.recs[0];
    let (mut instants, mut sum, mut longest) = (0, 0, 0);
    while instants < INSTANTS {
        let before = instants;
        loop {
            // The golden ratio spreads the instants evenly, whatever their number.
            let phase = instants * 0x9E37 % 0x1_0000;
            gic::start_timer(WAY_IN + phase * SPREAD / 0x1_0000);
            let expiry = mrs!("cnthp_cval_el2");
            match run(rec)? {
                Exit::Token(_) => break,
                Exit::Irq => {
                    let wait = rmi::returned().wrapping_sub(expiry);
                    ensure_eq!(gic::taken().unwrap_or(0), gic::EL2_TIMER, "taken");
                    (instants, sum, longest) = (instants + 1, sum + wait, wait.max(longest));
                }
            }
        }
        gic::stop_timer();
        gic::taken();
        ensure!(instants > before, "a token without an interrupt");
    }
    let rows = [
        ("Host interrupt waits during a token, longest", longest),
        ("Host interrupt waits during a token, mean", sum / instants),
    ];
    for (name, ticks) in rows {
        table.note(Share::Return, name, ticks);
    }
    realm.finish()
}

/// Why the Realm has left.
enum Exit {
    /// It has a token, in so many ticks.
    Token(u64),
    Irq,
}

fn run(rec: &Rec) -> Check<Exit> {
    let exit = rec.enter(&enter())?;
    match RecExitReason::try_from(exit.exit_reason) {
        Ok(RecExitReason::Irq) => Ok(Exit::Irq),
        Ok(RecExitReason::HostCall) => {
            let [status, bytes, ticks, ..] = exit.gprs;
            ensure_eq!(status, RSI_SUCCESS, "RSI_ATTESTATION_TOKEN_CONTINUE");
            ensure!(bytes > 0, "a token of no bytes");
            Ok(Exit::Token(ticks))
        }
        _ => fail!("{}", describe(&exit)),
    }
}

/// A Realm that runs [`TOKENS`].
fn attesting(hash: u8) -> Check<Realm> {
    let config = Config {
        hash,
        ..Config::DEFAULT
    };
    let gprs = [
        fid::RSI_ATTESTATION_TOKEN_INIT,
        fid::RSI_ATTESTATION_TOKEN_CONTINUE,
        fid::RSI_HOST_CALL,
        BUFFER,
        HOST_CALL,
    ];
    let mut realm = Realm::of_code(&config, TOKENS, &gprs)?;
    realm.init_ripas(BUFFER, BUFFER + GRANULE)?;
    realm.add_unknown(BUFFER)?;
    realm.activate()?;
    Ok(realm)
}
