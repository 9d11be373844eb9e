// SPDX-License-Identifier: BSD-3-Clause
//! RSI_ATTESTATION_TOKEN_INIT and RSI_ATTESTATION_TOKEN_CONTINUE.

use super::{PAGE, refused, with_pages};
use crate::check::{Check, ensure, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::Config;
use crate::tests::Test;
use rmm_abi::rsi;
use rsi::{RSI_ERROR_INPUT, RSI_ERROR_STATE, RSI_ERROR_UNKNOWN, RSI_INCOMPLETE, RSI_SUCCESS, fid};

pub const TESTS: &[Test] = &[
    ("rsi.token_wrong", token_wrong),
    ("rsi.token_fails", token_fails),
];

// Conformance: RSI_ATTESTATION_TOKEN_INIT size
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE addr_align, addr_bound, offset_bound, size_bound
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE size_overflow, state
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
    ] {
        refused(rec, &[carry_on, ipa, offset, size], RSI_ERROR_INPUT)?;
    }
    realm.finish()
}

/// Without a token builder a token is begun and asked for like any other, and its making fails.
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown, size_zero, state
fn token_fails() -> Check {
    let realm = with_pages(1, &Config::default())?;
    let rec = &realm.recs[0];
    let part = |size| [fid::RSI_ATTESTATION_TOKEN_CONTINUE, PAGE, 0, size];
    for challenge in [1, 2] {
        let init = rec.call(&[fid::RSI_ATTESTATION_TOKEN_INIT, challenge])?;
        ensure_eq!(init[0], RSI_SUCCESS, "RSI_ATTESTATION_TOKEN_INIT");
        refused(rec, &part(0), RSI_INCOMPLETE)?;
        refused(rec, &part(GRANULE), RSI_ERROR_UNKNOWN)?;
        // Nothing is left to deliver.
        refused(rec, &part(GRANULE), RSI_ERROR_STATE)?;
    }
    realm.finish()
}
