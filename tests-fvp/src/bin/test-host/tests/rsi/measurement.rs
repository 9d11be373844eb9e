// SPDX-License-Identifier: BSD-3-Clause
//! RSI_MEASUREMENT_READ, RSI_MEASUREMENT_EXTEND, and what the RIM is made of.

use super::{PAGE, refused, with_pages};
use crate::check::{Check, ensure, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::Rec;
use crate::rmi;
use crate::tests::Test;
use alloc::format;
use alloc::string::String;
use rmm_abi::rmi::DataFlags;
use rmm_abi::rsi;
use rsi::{RSI_ERROR_INPUT, RSI_SUCCESS, fid};
use tests_fvp::protocol::MODE_COMMANDS;

pub const TESTS: &[Test] = &[
    ("rsi.measurement_extend", extensions),
    ("rsi.measurement_read", measurements),
    ("rsi.measurement_rim", rim),
    ("rsi.measurement_rim_of_steps", rim_of_steps),
];

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
        // Bytes above the size have no effect.
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

/// The RIMs of two Realms differ if, and only if, they were created in different ways.
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
