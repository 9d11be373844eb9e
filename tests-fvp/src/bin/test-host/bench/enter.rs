// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_ENTER by what ends it. The Realm's part of each is a loop of a few instructions.

use super::around::add_recs;
use super::{REPEAT, Share, Table};
use crate::arch::mrs;
use crate::check::{Check, ensure_eq};
use crate::gic;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, describe, enter, enter_with};
use crate::rmi;
use rmm_abi::rmi::{RecEnter, RecEnterFlags, RecExitReason, fid};
use rmm_abi::rsi;
use tests_fvp::protocol::layout;

/// `mov x0, x4`, `mov x1, x5`, `smc #0`, and back: a call for ever.
const CALL: &[u32] = &[0xAA04_03E0, 0xAA05_03E1, 0xD400_0003, 0x17FF_FFFD];
/// `ldr x1, [x0]`, and back.
const LOAD: &[u32] = &[0xF940_0001, 0x17FF_FFFF];
/// `wfi`, and back.
const WFI: &[u32] = &[0xD503_207F, 0x17FF_FFFF];
/// `b .`.
const SPIN: &[u32] = &[0x1400_0000];

/// A loop, and how often and how it is entered.
struct Case {
    name: &'static str,
    code: &'static [u32],
    /// X0 to X5.
    gprs: [u64; 6],
    /// From the second entry on.
    entry: RecEnter,
    reason: RecExitReason,
    /// Instructions of the Realm between one exit and the next.
    own: u64,
}

/// Ticks from a timer's start to its expiry: longer than the way into the Realm.
const EXPIRY: u64 = 50_000;

pub fn exits(table: &mut Table) -> Check {
    let unprotected = Config::DEFAULT.unprotected();
    let cases = [
        Case {
            name: "RMI_REC_ENTER to host call",
            code: CALL,
            gprs: [
                0,
                0,
                0,
                0,
                rsi::fid::RSI_HOST_CALL,
                layout::BASE + GRANULE / 2,
            ],
            entry: enter(),
            reason: RecExitReason::HostCall,
            own: 4,
        },
        Case {
            name: "RMI_REC_ENTER to MMIO read",
            code: LOAD,
            gprs: [unprotected, 0, 0, 0, 0, 0],
            entry: enter_with(RecEnterFlags::EMUL_MMIO),
            reason: RecExitReason::Sync,
            own: 2,
        },
        Case {
            name: "RMI_REC_ENTER to WFI",
            code: WFI,
            gprs: [0; 6],
            entry: enter_with(RecEnterFlags::TRAP_WFI),
            reason: RecExitReason::Sync,
            own: 2,
        },
        Case {
            name: "RMI_REC_ENTER to stage 2 fault",
            code: LOAD,
            // The first page without memory in a table that is there.
            gprs: [layout::BASE + GRANULE, 0, 0, 0, 0, 0],
            entry: enter(),
            reason: RecExitReason::Sync,
            own: 1,
        },
    ];
    for case in &cases {
        let realm = realm_of(table, case.code, &case.gprs)?;
        let rec = &realm.recs[0];
        // Until the first exit the Realm runs more than its loop.
        let mut first = enter();
        first.flags = case.entry.flags & RecEnterFlags::TRAP_WFI.bits();
        enter_to(rec, &first, case.reason)?;
        for _ in 0..REPEAT {
            enter_to(rec, &case.entry, case.reason)?;
            let ticks = rmi::ticks(fid::RMI_REC_ENTER) - case.own;
            table.note(Share::Enter, case.name, ticks);
        }
        realm.finish()?;
    }
    interrupts(table)
}

/// Interrupts of the Host: one that is pending already, and one that the Realm's run meets.
fn interrupts(table: &mut Table) -> Check {
    let realm = realm_of(table, SPIN, &[])?;
    let rec = &realm.recs[0];
    for _ in 0..REPEAT {
        gic::send_sgi(mrs!("mpidr_el1"));
        enter_to(rec, &enter(), RecExitReason::Irq)?;
        table.note_call(
            "RMI_REC_ENTER with a Host interrupt pending",
            fid::RMI_REC_ENTER,
        );
        ensure_eq!(gic::taken().unwrap_or(0), gic::SGI, "interrupt taken");
    }
    for n in 0..REPEAT {
        // Not in step with the Realm's loop.
        gic::start_timer(EXPIRY + n);
        let expiry = mrs!("cnthp_cval_el2");
        enter_to(rec, &enter(), RecExitReason::Irq)?;
        table.note(
            Share::Return,
            "Host timer expiry in the Realm until the Host runs",
            rmi::returned().wrapping_sub(expiry),
        );
        ensure_eq!(gic::taken().unwrap_or(0), gic::EL2_TIMER, "interrupt taken");
    }
    realm.finish()
}

/// A Realm of one loop; the page behind its code is RAM without memory.
fn realm_of(table: &Table, code: &[u32], gprs: &[u64]) -> Check<Realm> {
    let config = Config::default();
    let mut realm = Realm::of_code(&config, code, gprs)?;
    add_recs(&mut realm, &table.bench, 0)?;
    realm.init_ripas(layout::BASE + GRANULE, layout::BASE + 2 * GRANULE)?;
    realm.activate()?;
    Ok(realm)
}

/// Enters, and checks why the Realm left.
fn enter_to(rec: &Rec, with: &RecEnter, reason: RecExitReason) -> Check {
    let exit = rec.enter(with)?;
    ensure_eq!(exit.exit_reason, reason as u8, "{}", describe(&exit));
    Ok(())
}
