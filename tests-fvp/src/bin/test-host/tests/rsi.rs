// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor does for a Realm: the RSI.

use super::Test;
use super::exit::running;
use crate::check::{Check, ensure, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, check_exit, enter, enter_with, exit_record};
use crate::rmi;
use alloc::format;
use alloc::string::String;
use rmm_abi::rmi::{DataFlags, FeatureRegister0, RecEnterFlags, RecExitReason};
use rmm_abi::{rsi, smccc};
use rsi::fid;
use rsi::{RSI_ERROR_INPUT, RSI_ERROR_STATE, RSI_ERROR_UNKNOWN, RSI_INCOMPLETE, RSI_SUCCESS};
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout};

pub const TESTS: &[Test] = &[
    ("rsi.version", version),
    ("rsi.features", features),
    ("rsi.not_supported", not_supported),
    ("rsi.realm_config", realm_config),
    ("rsi.realm_config_wrong", realm_config_wrong),
    ("rsi.realm_config_not_mapped", realm_config_not_mapped),
    ("rsi.host_call_wrong", host_call_wrong),
    ("rsi.host_call_not_mapped", host_call_not_mapped),
    ("rsi.measurements", measurements),
    ("rsi.extensions", extensions),
    ("rsi.rim", rim),
    ("rsi.rim_of_steps", rim_of_steps),
    ("rsi.token_wrong", token_wrong),
    ("rsi.token_fails", token_fails),
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
    // The page is DESTROYED: the Host alone cannot mend that.
    check_exit(&rec.exit_of_entry(&answer)?, &wanted)?;
    realm.finish()
}

fn measurement(rec: &Rec, index: u64) -> Check<[u64; 8]> {
    let values = rec.call(&[fid::RSI_MEASUREMENT_READ, index])?;
    ensure_eq!(values[0], RSI_SUCCESS, "RSI_MEASUREMENT_READ {index}");
    let mut words = [0; 8];
    words.copy_from_slice(&values[1..9]);
    Ok(words)
}

fn extend(rec: &Rec, index: u64, size: u64, word: u64) -> Check<u64> {
    let mut arguments = [word; 11];
    arguments[..3].copy_from_slice(&[fid::RSI_MEASUREMENT_EXTEND, index, size]);
    Ok(rec.call(&arguments)?[0])
}

/// A REM of zeroes extended by nothing, then by bytes 0 to 4, then by 64 bytes of 0xFF: SHA-256
/// and SHA-512, made by an independent program.
const EXTENDED: [[&str; 3]; 2] = [
    [
        "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925",
        "73a5f44a325787128f76e25955cbcde790c917d5406985c55cca9c0a495c5f5d",
        "e4299c49214f7067ab574a0155bb63327d30f8ac8793250e3115d7929b3b4b0a",
    ],
    [
        "7be9fda48f4179e611c698a73cff09faf72869431efee6eaad14de0cb44bbf66\
         503f752b7a8eb17083355f3ce6eb7d2806f236b25af96a24e22b887405c20081",
        "273359b44514011b3301e091bffd6598d05a00b18232bb618d1929a9a844afa3\
         cf5e4334b4cf9180f2a683cb5e46cb3dcc73570ad27d84a391fdd3cb352da7b5",
        "62d63a8797162a446bd81798c05a9fcd811fa6e1f1940986b3c06f47b989fb85\
         a89bd317a4602dd09c4c144ad19df95193bb5aef0c246e267c1cec3dac6e0714",
    ],
];

/// A measurement as it lies in memory, in hexadecimal.
fn hex(words: &[u64; 8]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

// Conformance: RSI_MEASUREMENT_EXTEND value
// Conformance: RSI_MEASUREMENT_READ value
fn extensions() -> Check {
    for (hash, expected) in (0..).zip(EXTENDED) {
        let config = Config {
            hash,
            ..Config::default()
        };
        let realm = with_pages(0, &config)?;
        let rec = &realm.recs[0];
        // What lies above the bytes given does not matter.
        let five = 0xEEEE_EE04_0302_0100;
        for ((size, word), expected) in [(0, 0x77), (5, five), (64, u64::MAX)]
            .into_iter()
            .zip(expected)
        {
            ensure_eq!(extend(rec, 3, size, word)?, RSI_SUCCESS, "extend by {size}");
            let found = hex(&measurement(rec, 3)?);
            let wanted = format!("{expected:0<128}");
            ensure!(
                found == wanted,
                "REM of algorithm {hash} after {size} bytes: {found}, wanted {wanted}"
            );
        }
        realm.finish()?;
    }
    Ok(())
}

// Conformance: RSI_MEASUREMENT_READ index, value
// Conformance: RSI_MEASUREMENT_EXTEND index, size
// Conformance: RMI_REALM_CREATE measurements
fn measurements() -> Check {
    for hash in [0, 1] {
        let config = Config {
            hash,
            ..Config::default()
        };
        let realm = with_pages(1, &config)?;
        let rec = &realm.recs[0];
        let rim = measurement(rec, 0)?;
        ensure!(rim != [0; 8], "RIM is zero");
        let words = if hash == 0 { 4 } else { 8 };
        ensure!(
            rim[words..].iter().all(|word| *word == 0),
            "RIM of SHA-256 is too long"
        );
        for index in 1..=4 {
            ensure!(
                measurement(rec, index)? == [0; 8],
                "REM {index} is not zero"
            );
        }
        for (index, size) in [
            (0, 8),
            (5, 8),
            (u64::MAX, 8),
            (1, 65),
            (1, 1 << 32),
            (1, u64::MAX),
        ] {
            ensure_eq!(
                extend(rec, index, size, 1)?,
                RSI_ERROR_INPUT,
                "extend {index} by {size}"
            );
        }
        refused(rec, &[fid::RSI_MEASUREMENT_READ, 5], RSI_ERROR_INPUT)?;
        refused(rec, &[fid::RSI_MEASUREMENT_READ, 1 << 32], RSI_ERROR_INPUT)?;
        let mut seen = alloc::vec![[0; 8]];
        for size in [0, 1, 8, 63, 64] {
            ensure_eq!(
                extend(rec, 2, size, 0x1122_3344_5566_7788)?,
                RSI_SUCCESS,
                "extend"
            );
            let rem = measurement(rec, 2)?;
            ensure!(!seen.contains(&rem), "REM after {size} bytes is not new");
            ensure!(
                rem[words..].iter().all(|word| *word == 0),
                "REM of SHA-256 is too long"
            );
            seen.push(rem);
        }
        ensure!(measurement(rec, 1)? == [0; 8], "another REM has changed");
        ensure!(measurement(rec, 0)? == rim, "RIM has changed");
        realm.finish()?;
    }
    Ok(())
}

/// The RIM tells Realms apart that were made in different ways, and only those.
// Conformance: RMI_REC_CREATE rim_runnable
// Conformance: RMI_DATA_CREATE rim_measured, rim_unmeasured
fn rim() -> Check {
    let rim_of = |config: &Config, content: &[u8], flags: DataFlags, gpr: u64| {
        let mut realm = Realm::loaded(config)?;
        realm.init_ripas(PAGE, PAGE + GRANULE)?;
        realm.add_page(PAGE, content, flags.bits())?;
        realm.add_rec(true, &[MODE_COMMANDS, config.unprotected(), gpr])?;
        realm.activate()?;
        let rim = measurement(realm.boot()?, 0)?;
        realm.finish()?;
        Check::Ok(rim)
    };
    let config = Config::default();
    let measured = DataFlags::MEASURE;
    let first = rim_of(&config, b"content", measured, 0)?;
    ensure!(
        rim_of(&config, b"content", measured, 0)? == first,
        "two equal Realms differ"
    );
    let personal = Config {
        rpv: [1; 64],
        ..config
    };
    let same = rim_of(&personal, b"content", measured, 0)?;
    ensure!(same == first, "the personalization value is measured");
    let different = [
        ("content", rim_of(&config, b"Content", measured, 0)?),
        ("flags", rim_of(&config, b"content", DataFlags::empty(), 0)?),
        ("register", rim_of(&config, b"content", measured, 1)?),
    ];
    for (what, rim) in different {
        ensure!(rim != first, "{what} is not measured");
    }
    let unmeasured = rim_of(&config, b"Content", DataFlags::empty(), 0)?;
    ensure!(
        unmeasured == different[1].1,
        "content is measured without being asked for"
    );
    Ok(())
}

/// Which steps of a Realm's making are measured, and that one RMI_RTT_INIT_RIPAS of two entries
/// is measured like two of one.
// Conformance: RMI_REC_CREATE rim_runnable, rim_not_runnable
// Conformance: RMI_DATA_CREATE_UNKNOWN rim
// Conformance: RMI_RTT_INIT_RIPAS rim
fn rim_of_steps() -> Check {
    fn init(realm: &Realm, base: u64, top: u64) -> Check {
        let out = rmi::rtt_init_ripas(realm.rd, base, top).ok("RMI_RTT_INIT_RIPAS")?;
        ensure_eq!(out[0], top, "out_top");
        Ok(())
    }
    let rim_of = |steps: fn(&mut Realm) -> Check| {
        let mut realm = Realm::loaded(&Config::default())?;
        realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
        steps(&mut realm)?;
        realm.activate()?;
        let rim = measurement(realm.boot()?, 0)?;
        realm.finish()?;
        Check::Ok(rim)
    };
    let plain = rim_of(|_| Ok(()))?;
    let not_runnable = rim_of(|realm| realm.add_rec(false, &[7]).map(drop))?;
    ensure!(not_runnable == plain, "a REC not runnable is measured");
    let runnable = rim_of(|realm| realm.add_rec(true, &[7]).map(drop))?;
    ensure!(runnable != plain, "a runnable REC is not measured");
    let unknown = rim_of(|realm| realm.add_unknown(PAGE).map(drop))?;
    ensure!(unknown == plain, "a page without content is measured");
    let twice = rim_of(|realm| {
        init(realm, PAGE, PAGE + GRANULE)?;
        init(realm, PAGE + GRANULE, PAGE + 2 * GRANULE)
    })?;
    ensure!(twice != plain, "RMI_RTT_INIT_RIPAS is not measured");
    let at_once = rim_of(|realm| init(realm, PAGE, PAGE + 2 * GRANULE))?;
    ensure!(at_once == twice, "two entries are not measured one by one");
    let again = rim_of(|realm| {
        init(realm, PAGE, PAGE + 2 * GRANULE)?;
        init(realm, PAGE + GRANULE, PAGE + 2 * GRANULE)
    })?;
    ensure!(again != at_once, "an entry that is RAM is not measured");
    Ok(())
}

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
