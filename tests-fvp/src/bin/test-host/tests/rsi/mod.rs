// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor does for a Realm: RSI, a file for each group of commands.

pub mod host_call;
pub mod ipa_state;
pub mod measurement;
pub mod realm_config;
pub mod token;

use crate::check::{Check, ensure, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::Rec;
use crate::tests::Test;
use crate::tests::exit::running;
use rmm_abi::{rsi, smccc};
use rsi::{RSI_ERROR_INPUT, RSI_SUCCESS, fid};
use tests_fvp::protocol::{MODE_COMMANDS, layout};

pub const TESTS: &[Test] = &[
    ("rsi.version", version),
    ("rsi.features", features),
    ("rsi.not_supported", not_supported),
];

/// Memory of the tests, in the image's level 3 table.
pub const PAGE: u64 = layout::BASE + layout::SIZE;

/// A running Realm with a few pages of memory behind its image.
pub fn with_pages(count: u64, config: &Config) -> Check<Realm> {
    let mut realm = Realm::loaded(config)?;
    realm.init_ripas(PAGE, PAGE + count * GRANULE)?;
    for n in 0..count {
        realm.add_unknown(PAGE + n * GRANULE)?;
    }
    realm.add_rec(true, &[MODE_COMMANDS, config.unprotected()])?;
    realm.activate()?;
    realm.boot()?;
    Ok(realm)
}

/// A call without results: this is its status, and X1 to X3 are zero.
pub fn refused(rec: &Rec, arguments: &[u64], status: u64) -> Check {
    let values = rec.call(arguments)?;
    ensure_eq!(values[0], status, "call {arguments:x?}");
    ensure!(
        values[1..4] == [0; 3],
        "call {arguments:x?}: X1 to X3 {:x?}",
        &values[1..4]
    );
    Ok(())
}

// Conformance: RSI_VERSION supported, unsupported
fn version() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    for (requested, status) in [
        (rsi::RSI_VERSION_1_0, RSI_SUCCESS),
        (0, RSI_ERROR_INPUT),
        (0xFFFF, RSI_ERROR_INPUT),
        (0x1_FFFF, RSI_ERROR_INPUT),
        (0x7FFF_0000, RSI_ERROR_INPUT),
    ] {
        let values = rec.call(&[fid::RSI_VERSION, requested])?;
        ensure_eq!(values[0], status, "request of {requested:#x}");
        ensure_eq!(values[1], rsi::RSI_VERSION_1_0, "lower for {requested:#x}");
        ensure_eq!(values[2], rsi::RSI_VERSION_1_0, "higher for {requested:#x}");
        ensure_eq!(values[3], 0, "X3 for {requested:#x}");
    }
    realm.finish()
}

// Conformance: RSI_FEATURES zero
// Conformance: RSI calls unused_outputs
fn features() -> Check {
    let realm = running()?;
    for index in [0, 1, 1 << 32, u64::MAX] {
        let values = realm.recs[0].call(&[fid::RSI_FEATURES, index])?;
        ensure_eq!(values[0], RSI_SUCCESS, "index {index:#x}");
        ensure!(values[1..4] == [0; 3], "value of {index:#x}, X2, X3");
    }
    realm.finish()
}

/// Calls that are no RSI: unassigned, RMI, SMC32 forms, others' services.
// Conformance: Exceptions and accesses that do not exit other_smc
// Conformance: RSI calls sve_hint, smccc_version
fn not_supported() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    for fid in [
        0xC400_018F,
        0xC400_019A,
        0xC400_01AF,
        0xC400_0150,
        0xC400_015C,
        0xC400_0151,
        0x8400_0190,
        0xC400_01B0,
        0xC400_01CF,
        0x8000_0001,
        0x8400_0050,
        0x8600_0000,
        0xC600_0000,
        0x0000_0000,
        0xFFFF_FFFF,
    ] {
        refused(rec, &[fid, 1, 2, 3], smccc::NOT_SUPPORTED)?;
    }
    // The SVE hint belongs to no command; SMCCC_VERSION is at least 1.2.
    let values = rec.call(&[fid::RSI_VERSION | smccc::SVE_HINT, rsi::RSI_VERSION_1_0])?;
    ensure_eq!(values[0], RSI_SUCCESS, "RSI_VERSION with the SVE hint");
    let values = rec.call(&[smccc::SMCCC_VERSION])?;
    ensure!(
        (smccc::VERSION_1_2..0x2_0000).contains(&values[0]),
        "SMCCC_VERSION {values:x?}"
    );
    realm.finish()
}
