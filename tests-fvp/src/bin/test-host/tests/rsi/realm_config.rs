// SPDX-License-Identifier: BSD-3-Clause
//! RSI_REALM_CONFIG.

use super::{PAGE, refused, with_pages};
use crate::check::{Check, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{check_exit, enter, enter_with, exit_record};
use crate::rmi;
use crate::tests::Test;
use crate::tests::exit::running;
use rmm_abi::rmi::{FeatureRegister0, RecEnterFlags, RecExitReason};
use rmm_abi::rsi;
use rsi::{RSI_ERROR_INPUT, RSI_SUCCESS, fid};
use tests_fvp::protocol::{MODE_COMMANDS, Op};

pub const TESTS: &[Test] = &[
    ("rsi.realm_config", realm_config),
    ("rsi.realm_config_wrong", realm_config_wrong),
    ("rsi.realm_config_not_mapped", realm_config_not_mapped),
];

// Conformance: RSI_REALM_CONFIG content
// Conformance: RMI_REALM_CREATE config
fn realm_config() -> Check {
    let features = FeatureRegister0::from_bits(rmi::features(0).ok("RMI_FEATURES")?[0]);
    let wide = features.s2sz().min(44) as u8;
    for (hash, s2sz) in [(0, 40), (1, wide)] {
        let mut config = Config {
            hash,
            s2sz,
            ..Config::default()
        };
        for (n, byte) in (0..).zip(&mut config.rpv) {
            *byte = n ^ 0xC3;
        }
        let realm = with_pages(1, &config)?;
        let rec = &realm.recs[0];
        rec.value_of(Op::MemFill, &[PAGE, GRANULE, 3])?;
        refused(rec, &[fid::RSI_REALM_CONFIG, PAGE], RSI_SUCCESS)?;
        ensure_eq!(rec.load(PAGE)?, u64::from(config.s2sz), "ipa_width");
        ensure_eq!(
            rec.load(PAGE + 8)?,
            u64::from(hash),
            "hash_algo, and zeroes behind it"
        );
        for n in 0..8 {
            let mut wanted = [0; 8];
            wanted.copy_from_slice(&config.rpv[8 * n..8 * n + 8]);
            let found = rec.load(PAGE + 0x200 + 8 * n as u64)?;
            ensure_eq!(found, u64::from_le_bytes(wanted), "rpv at {n}");
        }
        // Whatever was there is gone.
        let reserved = rec.value_of(Op::CountNonZero, &[PAGE + 0x10, 0x1F0])?
            + rec.value_of(Op::CountNonZero, &[PAGE + 0x240, GRANULE - 0x240])?;
        ensure_eq!(reserved, 0, "reserved bytes that are not zero");
        realm.finish()?;
    }
    Ok(())
}

// Conformance: RSI_REALM_CONFIG ipa_align, ipa_bound, empty
// Conformance: RSI calls unused_outputs
fn realm_config_wrong() -> Check {
    let realm = running()?;
    let half = realm.config.unprotected();
    for ipa in [
        PAGE + 1,
        PAGE + 0x800,
        half,
        half + GRANULE,
        2 * half,
        1 << 52,
        !0xFFF,
    ] {
        refused(
            &realm.recs[0],
            &[fid::RSI_REALM_CONFIG, ipa],
            RSI_ERROR_INPUT,
        )?;
    }
    // RIPAS EMPTY.
    refused(
        &realm.recs[0],
        &[fid::RSI_REALM_CONFIG, PAGE],
        RSI_ERROR_INPUT,
    )?;
    realm.finish()
}

/// RAM that the Host has not provided: it is asked for, as by a load.
// Conformance: RSI_REALM_CONFIG not_mapped
// Conformance: RSI calls retry
fn realm_config_not_mapped() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();
    let exit = rec.exit_of(Op::Smc, &[fid::RSI_REALM_CONFIG, PAGE])?;
    let mut wanted = exit_record(RecExitReason::Sync);
    wanted.esr = 0x24 << 26 | 7;
    wanted.hpfar = PAGE >> 8;
    check_exit(&exit, &wanted)?;
    rec.try_enter(&enter_with(RecEnterFlags::EMUL_MMIO))
        .rec("emul_mmio")?;
    check_exit(&rec.exit_of_entry(&enter())?, &wanted)?;
    realm.add_unknown(PAGE)?;
    let mut answer = enter();
    answer.gprs.fill(u64::MAX);
    let reply = rec.finish_with(&answer)?;
    ensure_eq!(reply.values[0], RSI_SUCCESS, "RSI_REALM_CONFIG");
    ensure_eq!(reply.values[9], 0, "registers that changed");
    ensure_eq!(rec.load(PAGE)?, 40, "ipa_width");
    realm.finish()
}
