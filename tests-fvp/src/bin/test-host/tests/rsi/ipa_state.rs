// SPDX-License-Identifier: BSD-3-Clause
//! RSI_IPA_STATE_GET and RSI_IPA_STATE_SET: what the Realm reads and asks for.

use crate::check::{Check, ensure, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{check_exit, enter, enter_with, exit_record};
use crate::rmi;
use crate::tests::Test;
use crate::tests::exit::running;
use crate::tests::rsi::{PAGE, refused, with_pages};
use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use rmm_abi::rsi::{self, RSI_ERROR_INPUT, RSI_SUCCESS, fid};
use tests_fvp::protocol::{Access, MODE_COMMANDS, Op, layout};

pub const TESTS: &[Test] = &[
    ("rsi.ipa_state_get", ipa_state_get),
    ("rsi.ipa_state_get_wrong", ipa_state_get_wrong),
    ("rsi.ipa_state_set", ipa_state_set),
    ("rsi.ipa_state_set_reject", ipa_state_set_reject),
    ("rsi.ipa_state_set_destroyed", ipa_state_set_destroyed),
    ("rsi.ipa_state_set_wrong", ipa_state_set_wrong),
];

const EMPTY: u64 = rsi::RsiRipas::Empty as u64;
const RAM: u64 = rsi::RsiRipas::Ram as u64;
const DESTROYED: u64 = rsi::RsiRipas::Destroyed as u64;

// Conformance: RSI_IPA_STATE_GET ripas, out_top
fn ipa_state_get() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, PAGE + 4 * GRANULE)?;
    realm.add_unknown(PAGE + 2 * GRANULE)?;
    realm.add_unknown(PAGE + 6 * GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    realm.remove_page(PAGE + 2 * GRANULE)?;
    let half = realm.config.unprotected();
    // The whole range by as many calls as it takes.
    let check = |base: u64, top: u64, wanted: u64| {
        let mut at = base;
        while at < top {
            let values = rec.call(&[fid::RSI_IPA_STATE_GET, at, top])?;
            ensure_eq!(values[0], RSI_SUCCESS, "RSI_IPA_STATE_GET {at:#x}");
            ensure_eq!(values[2], wanted, "RIPAS at {at:#x}");
            ensure!(
                values[1] > at && values[1] <= top,
                "out_top {:#x} of {at:#x}",
                values[1]
            );
            ensure_eq!(values[3], 0, "X3");
            at = values[1];
        }
        Check::Ok(())
    };
    check(layout::BASE, PAGE + 2 * GRANULE, RAM)?;
    check(PAGE + 2 * GRANULE, PAGE + 3 * GRANULE, DESTROYED)?;
    check(PAGE + 3 * GRANULE, PAGE + 4 * GRANULE, RAM)?;
    check(PAGE + 4 * GRANULE, PAGE + 8 * GRANULE, EMPTY)?;
    check(0, layout::BASE, EMPTY)?;
    check(half - GRANULE, half, EMPTY)?;
    // A range whose parts differ ends before the first difference.
    let values = rec.call(&[fid::RSI_IPA_STATE_GET, PAGE + GRANULE, half])?;
    ensure_eq!(values[1], PAGE + 2 * GRANULE, "out_top");
    realm.finish()
}

// Conformance: RSI_IPA_STATE_GET base_align, base_bound, top_align, top_bound, size_valid
fn ipa_state_get_wrong() -> Check {
    let realm = running()?;
    let half = realm.config.unprotected();
    for (base, top) in [
        (PAGE + 1, PAGE + GRANULE),
        (PAGE, PAGE + GRANULE + 8),
        (PAGE, PAGE),
        (PAGE + GRANULE, PAGE),
        (half, half + GRANULE),
        (half - GRANULE, half + GRANULE),
        (PAGE, 1 << 63),
        (0, 0),
        (!0xFFF, 0),
    ] {
        refused(
            &realm.recs[0],
            &[fid::RSI_IPA_STATE_GET, base, top],
            RSI_ERROR_INPUT,
        )?;
    }
    realm.finish()
}

/// RAM to EMPTY and back, in one step and in several.
// Conformance: RSI_IPA_STATE_SET exit, complete, incomplete
// Conformance: RMI_RTT_SET_RIPAS to_ram, to_empty, out_top, tlb
// Conformance: RMI_REC_ENTER ripas_answer
// Conformance: REC exits ripas_change
fn ipa_state_set() -> Check {
    let realm = with_pages(4, &Config::default())?;
    let (rd, rec) = (realm.rd, &realm.recs[0]);
    let top = PAGE + 4 * GRANULE;
    rec.store(PAGE, 0x5EC2E7)?;
    for (value, stop) in [
        (EMPTY, top),
        (RAM, PAGE + GRANULE),
        (EMPTY, PAGE + 3 * GRANULE),
        (RAM, top),
    ] {
        let exit = rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, PAGE, top, value, 0])?;
        let mut wanted = exit_record(RecExitReason::RipasChange);
        wanted.ripas_base = PAGE;
        wanted.ripas_top = top;
        wanted.ripas_value = value as u8;
        check_exit(&exit, &wanted)?;
        // In as many steps as the Host chooses.
        let mut base = PAGE;
        while base < stop {
            let out =
                rmi::rtt_set_ripas(rd, rec.pa, base, base + GRANULE).ok("RMI_RTT_SET_RIPAS")?;
            ensure_eq!(out[0], base + GRANULE, "out_top");
            base = out[0];
        }
        let reply = rec.finish_with(&enter())?;
        ensure_eq!(reply.values[0], RSI_SUCCESS, "RSI_IPA_STATE_SET");
        ensure_eq!(reply.values[1], stop, "new_base");
        ensure_eq!(reply.values[2], rsi::RSI_ACCEPT, "response");
        let values = rec.call(&[fid::RSI_IPA_STATE_GET, PAGE, PAGE + GRANULE])?;
        ensure_eq!(values[2], value, "RIPAS");
        // An address that is no RAM cannot be used.
        let reply = rec.reply_of(Op::Read, &[PAGE, Access::Double as u64])?;
        if value == EMPTY {
            ensure_eq!(
                reply.esr & 0x3F,
                0x10,
                "fault status of EMPTY, esr {:#x}",
                reply.esr
            );
        } else {
            ensure_eq!(reply.esr, 0, "exception of RAM");
            ensure_eq!(reply.values[0], 0x5EC2E7, "content of the same granule");
        }
    }
    realm.finish()
}

// Conformance: RSI_IPA_STATE_SET rejected, empty_not_rejected
fn ipa_state_set_reject() -> Check {
    let mut realm = running()?;
    let (rd, rec) = (realm.rd, realm.recs[0].clone());
    let top = PAGE + 2 * GRANULE;
    let reject = enter_with(RecEnterFlags::RIPAS_RESPONSE);
    // (value asked for, pages changed, response)
    for (value, pages, response) in [
        (RAM, 0, rsi::RSI_REJECT),
        (RAM, 1, rsi::RSI_REJECT),
        (EMPTY, 0, rsi::RSI_ACCEPT),
        (RAM, 2, rsi::RSI_ACCEPT),
    ] {
        rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, PAGE, top, value, 0])?;
        let end = PAGE + pages * GRANULE;
        if pages > 0 {
            rmi::rtt_set_ripas(rd, rec.pa, PAGE, end).ok("RMI_RTT_SET_RIPAS")?;
        }
        let reply = rec.finish_with(&reject)?;
        ensure_eq!(reply.values[0], RSI_SUCCESS, "RSI_IPA_STATE_SET");
        ensure_eq!(reply.values[1], end, "new_base after {pages} pages");
        ensure_eq!(reply.values[2], response, "response after {pages} pages");
    }
    // The memory is RAM now; the Host provides it.
    realm.add_unknown(PAGE)?;
    ensure_eq!(rec.load(PAGE)?, 0, "new memory");
    realm.finish()
}

/// DESTROYED is kept unless the Realm permits the change.
// Conformance: RMI_RTT_SET_RIPAS no_progress_destroyed, from_destroyed, stops
fn ipa_state_set_destroyed() -> Check {
    let mut realm = with_pages(3, &Config::default())?;
    let (rd, rec) = (realm.rd, realm.recs[0].clone());
    let (middle, top) = (PAGE + GRANULE, PAGE + 3 * GRANULE);
    realm.remove_page(middle)?;
    rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, PAGE, top, RAM, 0])?;
    let out = rmi::rtt_set_ripas(rd, rec.pa, PAGE, top).ok("RMI_RTT_SET_RIPAS")?;
    ensure_eq!(out[0], middle, "out_top before DESTROYED");
    rmi::rtt_set_ripas(rd, rec.pa, middle, top).rtt(3, "DESTROYED first")?;
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.values[1], middle, "new_base");
    let flags = rsi::RIPAS_CHANGE_DESTROYED;
    rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, middle, top, RAM, flags])?;
    let out = rmi::rtt_set_ripas(rd, rec.pa, middle, top).ok("RMI_RTT_SET_RIPAS")?;
    ensure_eq!(out[0], top, "out_top");
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.values[1], top, "new_base");
    realm.add_unknown(middle)?;
    ensure_eq!(rec.load(middle)?, 0, "new memory");
    realm.finish()
}

// Conformance: RSI_IPA_STATE_SET ripas_valid, base_align, top_align, size_valid, rgn_bound
fn ipa_state_set_wrong() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let half = realm.config.unprotected();
    for (base, top, value) in [
        (PAGE + 1, PAGE + GRANULE, RAM),
        (PAGE, PAGE + GRANULE + 8, RAM),
        (PAGE, PAGE, RAM),
        (PAGE + GRANULE, PAGE, RAM),
        (half, half + GRANULE, RAM),
        (half - GRANULE, half + GRANULE, RAM),
        (0, 1 << 63, RAM),
        (0, !0xFFF, EMPTY),
        (PAGE, PAGE + GRANULE, DESTROYED),
        (PAGE, PAGE + GRANULE, 3),
        (PAGE, PAGE + GRANULE, 0xFF),
    ] {
        let arguments = [fid::RSI_IPA_STATE_SET, base, top, value, 0];
        refused(rec, &arguments, RSI_ERROR_INPUT)?;
    }
    realm.finish()
}
