// SPDX-License-Identifier: BSD-3-Clause
//! RSI_HOST_CALL.

use super::{PAGE, refused};
use crate::check::{Check, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{check_exit, enter, exit_record};
use crate::tests::Test;
use crate::tests::exit::running;
use rmm_abi::rmi::RecExitReason;
use rmm_abi::rsi;
use rsi::{RSI_ERROR_INPUT, fid};
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout};

pub const TESTS: &[Test] = &[
    ("rsi.host_call_wrong", host_call_wrong),
    ("rsi.host_call_not_mapped", host_call_not_mapped),
];

// Conformance: RSI_HOST_CALL addr_align, addr_bound, empty
fn host_call_wrong() -> Check {
    let realm = running()?;
    let half = realm.config.unprotected();
    let base = layout::BASE;
    for ipa in [
        base + 1,
        base + 8,
        base + 0x80,
        half,
        half + 0x100,
        2 * half,
        1 << 52,
        !0xFF,
    ] {
        refused(&realm.recs[0], &[fid::RSI_HOST_CALL, ipa], RSI_ERROR_INPUT)?;
    }
    // RIPAS EMPTY.
    refused(&realm.recs[0], &[fid::RSI_HOST_CALL, PAGE], RSI_ERROR_INPUT)?;
    realm.finish()
}

/// The structure's page is missing at the call, and again when the Host answers.
// Conformance: RSI_HOST_CALL not_mapped
// Conformance: RMI_REC_ENTER host_call_not_mapped
fn host_call_not_mapped() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    let mut wanted = exit_record(RecExitReason::Sync);
    wanted.esr = 0x24 << 26 | 7;
    wanted.hpfar = PAGE >> 8;
    let exit = rec.exit_of(Op::Smc, &[fid::RSI_HOST_CALL, PAGE + 0x100])?;
    check_exit(&exit, &wanted)?;
    realm.add_unknown(PAGE)?;
    let exit = rec.enter(&enter())?;
    let reason = exit.exit_reason;
    ensure_eq!(reason, RecExitReason::HostCall as u8, "exit reason");
    ensure_eq!(exit.imm, 0, "imm of a page without content");
    realm.remove_page(PAGE)?;
    let mut answer = enter();
    answer.gprs[5] = 0x1234;
    check_exit(&rec.exit_of_entry(&answer)?, &wanted)?;
    // The page is DESTROYED: the Host alone cannot repair that.
    check_exit(&rec.exit_of_entry(&answer)?, &wanted)?;
    realm.finish()
}
