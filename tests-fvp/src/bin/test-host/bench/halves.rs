// SPDX-License-Identifier: BSD-3-Clause
//! Both halves of a stay in a Realm, by what ends it: from the Host's SMC to the Realm's first instruction,
//! and from the Realm's last instruction to the Host's next. The Realm reads the counter (`halves.s`).

use super::around::add_recs;
use super::{REPEAT, Share, Table};
use crate::check::{Check, ensure_eq};
use crate::gic;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{describe, enter, enter_with};
use crate::rmi;
use core::arch::global_asm;
use rmm_abi::psci;
use rmm_abi::rmi::{RecEnter, RecEnterFlags, RecExit, RecExitReason};
use rmm_abi::rsi::{self, RsiRipas};
use tests_fvp::protocol::layout;

global_asm!(include_str!("halves.s"));

/// Declares the loops, and a function that has the instructions of each.
macro_rules! loops {
    ($($name:ident: $start:ident..$end:ident,)+) => {
        unsafe extern "C" {
            $(static $start: u32; static $end: u32;)+
        }
        $(
            fn $name() -> &'static [u32] {
                let (start, end) = (&raw const $start, &raw const $end);
                // SAFETY: the instructions between two symbols of the image, which nobody writes.
                unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
            }
        )+
    };
}

loops! {
    host_call: halves_host_call..halves_host_call_end,
    call: halves_call..halves_call_end,
    load: halves_load..halves_load_end,
    store: halves_store..halves_store_end,
    wfi: halves_wfi..halves_wfi_end,
    spin: halves_spin..halves_spin_end,
}

/// The structure of the Realm's host calls.
const STRUCTURE: u64 = layout::BASE + GRANULE / 2;
/// Pages of RAM behind the code: one without memory for each repetition, and one more.
const RAM: u64 = layout::BASE + GRANULE;
const RAM_END: u64 = RAM + (REPEAT + 1) * GRANULE;

/// Instructions of the Realm in a way out: reading the counter, and the one that leaves.
const OUT: u64 = 2;
/// In a way in: the barrier before it reads the counter.
const IN: u64 = 1;

struct Case {
    /// The rows of the way out and of the way in.
    names: [&'static str; 2],
    code: fn() -> &'static [u32],
    /// X2 to X5.
    gprs: [u64; 4],
    /// The entry that leads to the exit, and the one after it.
    entries: [RecEnter; 2],
    reason: RecExitReason,
    /// Memory is to be provided for the page that the Realm loads from.
    provide: bool,
}

pub fn halves(table: &mut Table) -> Check {
    let unprotected = Config::DEFAULT.unprotected();
    let ripas = RsiRipas::Ram as u64;
    let plain = [enter(), enter()];
    let emulated = [enter(), enter_with(RecEnterFlags::EMUL_MMIO)];
    let cases = [
        Case {
            names: ["REC exit by a host call", "REC entry after a host call"],
            code: host_call,
            gprs: [0; 4],
            entries: plain,
            reason: RecExitReason::HostCall,
            provide: false,
        },
        Case {
            names: ["REC exit by a PSCI call", "REC entry after a PSCI call"],
            code: call,
            gprs: [psci::fid::PSCI_CPU_SUSPEND, 0, 0, 0],
            entries: plain,
            reason: RecExitReason::Psci,
            provide: false,
        },
        Case {
            names: [
                "REC exit by a RIPAS change",
                "REC entry after a RIPAS change",
            ],
            code: call,
            gprs: [rsi::fid::RSI_IPA_STATE_SET, RAM, RAM_END, ripas],
            entries: plain,
            reason: RecExitReason::RipasChange,
            provide: false,
        },
        Case {
            names: ["REC exit by an MMIO read", "REC entry after an MMIO read"],
            code: load,
            gprs: [unprotected, 0, 0, 0],
            entries: emulated,
            reason: RecExitReason::Sync,
            provide: false,
        },
        Case {
            names: ["REC exit by an MMIO write", "REC entry after an MMIO write"],
            code: store,
            gprs: [unprotected, 0, 0, 0],
            entries: emulated,
            reason: RecExitReason::Sync,
            provide: false,
        },
        Case {
            names: ["REC exit by WFI", "REC entry after WFI"],
            code: wfi,
            gprs: [0; 4],
            entries: [enter_with(RecEnterFlags::TRAP_WFI), enter()],
            reason: RecExitReason::Sync,
            provide: false,
        },
        Case {
            names: [
                "REC exit by a stage 2 fault",
                "REC entry after a stage 2 fault",
            ],
            code: load,
            gprs: [RAM, GRANULE, 0, 0],
            entries: plain,
            reason: RecExitReason::Sync,
            provide: true,
        },
    ];
    for case in &cases {
        measure(table, case)?;
    }
    interrupt(table)
}

/// A Realm that runs a loop.
fn realm_of(table: &Table, code: &[u32], gprs: &[u64; 4]) -> Check<Realm> {
    let [x2, x3, x4, x5] = *gprs;
    let gprs = [rsi::fid::RSI_HOST_CALL, STRUCTURE, x2, x3, x4, x5];
    let mut realm = Realm::of_code(&Config::DEFAULT, code, &gprs)?;
    realm.init_ripas(RAM, RAM_END)?;
    add_recs(&mut realm, &table.bench, 0)?;
    realm.activate()?;
    Ok(realm)
}

/// The two readings of the Realm's counter that a host call reports.
fn report(exit: &RecExit) -> Check<[u64; 2]> {
    ensure_eq!(
        exit.exit_reason,
        RecExitReason::HostCall as u8,
        "{}",
        describe(exit)
    );
    Ok([exit.gprs[0], exit.gprs[1]])
}

fn measure(table: &mut Table, case: &Case) -> Check {
    let mut realm = realm_of(table, (case.code)(), &case.gprs)?;
    let [leading, after] = &case.entries;
    let pages = (RAM..RAM_END).step_by(GRANULE as usize);
    for page in pages.take(REPEAT as usize) {
        let exit = realm.recs[0].enter(leading)?;
        let returned = rmi::returned();
        ensure_eq!(exit.exit_reason, case.reason as u8, "{}", describe(&exit));
        if case.provide {
            realm.add_unknown(page)?;
        }
        let [left, back] = report(&realm.recs[0].enter(after)?)?;
        let [out, way_in] = case.names;
        table.note(Share::Return, out, returned.wrapping_sub(left) - OUT);
        // A load that has faulted is executed once more.
        let own = IN + u64::from(case.provide);
        let ticks = back.wrapping_sub(rmi::called()) - own;
        table.note(Share::Forward, way_in, ticks);
    }
    realm.finish()
}

/// Ticks from the timer's start to its expiry: longer than the way into the Realm.
const EXPIRY: u64 = 50_000;

/// The way in after an interrupt: the shortest of some, since the Realm does not read the counter with
/// each instruction. The way out is that from the timer's expiry.
fn interrupt(table: &mut Table) -> Check {
    let realm = realm_of(table, spin(), &[0; 4])?;
    let rec = &realm.recs[0];
    let mut shortest = u64::MAX;
    for n in 0..REPEAT {
        gic::start_timer(EXPIRY + n);
        let exit = rec.enter(&enter())?;
        ensure_eq!(
            exit.exit_reason,
            RecExitReason::Irq as u8,
            "{}",
            describe(&exit)
        );
        ensure_eq!(gic::taken().unwrap_or(0), gic::EL2_TIMER, "interrupt taken");
        let [_, back] = report(&rec.enter(&enter())?)?;
        shortest = shortest.min(back.wrapping_sub(rmi::called()));
    }
    table.note(Share::Forward, "REC entry after an interrupt", shortest);
    realm.finish()
}
