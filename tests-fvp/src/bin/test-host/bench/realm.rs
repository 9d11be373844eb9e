// SPDX-License-Identifier: BSD-3-Clause
//! What a Realm's calls cost: RSI as the Realm sees it, and the RMI commands that answer one.

use super::{REPEAT, Share, Table};
use crate::check::{Check, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm, entry_size};
use crate::rec::{Rec, enter};
use crate::rmi;
use rmm_abi::psci;
use rmm_abi::rmi::fid;
use rmm_abi::rsi::{self, RSI_SUCCESS, RsiRipas};
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout};

/// A page behind the image, in the image's level 3 table.
const PAGE: u64 = layout::BASE + layout::SIZE;
const MIB_2: u64 = entry_size(2);
/// Memory of a table of its own.
const BLOCK: u64 = layout::BASE + MIB_2;

/// RMI_RTT_SET_RIPAS and RMI_PSCI_COMPLETE.
pub fn requests(table: &mut Table) -> Check {
    for _ in 0..REPEAT / 2 {
        let realm = commanded(table, &Config::DEFAULT, 2)?;
        let [rec, other, ..] = &realm.recs[..] else {
            return Err("not two RECs".into());
        };
        for ripas in [RsiRipas::Ram, RsiRipas::Empty] {
            set_ripas(&realm, rec, PAGE, PAGE + GRANULE, ripas)?;
            table.note_call("RMI_RTT_SET_RIPAS 1 page", fid::RMI_RTT_SET_RIPAS);
            set_ripas(&realm, rec, BLOCK, BLOCK + MIB_2, ripas)?;
            table.note_call("RMI_RTT_SET_RIPAS 512 pages", fid::RMI_RTT_SET_RIPAS);
        }
        let entry = rec.value_of(Op::EntryPoint, &[])?;
        rec.exit_of(Op::Smc, &[psci::fid::PSCI_CPU_ON, 1, entry, 0])?;
        rmi::psci_complete(rec.pa, other.pa, psci::SUCCESS).ok("RMI_PSCI_COMPLETE")?;
        table.note_call("RMI_PSCI_COMPLETE", fid::RMI_PSCI_COMPLETE);
        rec.finish_with(&enter())?;
        realm.finish()?;
    }
    Ok(())
}

/// The Realm asks for a RIPAS, and the Host does all of it in one call.
fn set_ripas(realm: &Realm, rec: &Rec, base: u64, top: u64, ripas: RsiRipas) -> Check {
    let request = [rsi::fid::RSI_IPA_STATE_SET, base, top, ripas as u64, 0];
    rec.exit_of(Op::Smc, &request)?;
    let answer = rmi::rtt_set_ripas(realm.rd, rec.pa, base, top);
    ensure_eq!(answer.ok("RMI_RTT_SET_RIPAS")?[0], top, "out_top");
    rec.finish_with(&enter()).map(drop)
}

/// Calls from the first instruction of the SMC to the one after it.
pub fn calls(table: &mut Table) -> Check {
    let mut realm = commanded(table, &Config::DEFAULT, 1)?;
    realm.add_unknown(PAGE)?;
    let rec = realm.recs.first().ok_or("no REC")?;
    // Private memory for the answer of RSI_REALM_CONFIG.
    set_ripas(&realm, rec, PAGE, PAGE + GRANULE, RsiRipas::Ram)?;
    let get = rsi::fid::RSI_IPA_STATE_GET;
    for _ in 0..REPEAT {
        let version = [rsi::fid::RSI_VERSION, rsi::RSI_VERSION_1_0];
        timed(table, rec, "RSI_VERSION", &version)?;
        let config = [rsi::fid::RSI_REALM_CONFIG, PAGE];
        timed(table, rec, "RSI_REALM_CONFIG", &config)?;
        timed(table, rec, "RSI_FEATURES", &[rsi::fid::RSI_FEATURES, 0])?;
        let read = [rsi::fid::RSI_MEASUREMENT_READ, 0];
        timed(table, rec, "RSI_MEASUREMENT_READ", &read)?;
        let one = [get, PAGE, PAGE + GRANULE];
        timed(table, rec, "RSI_IPA_STATE_GET 1 page", &one)?;
        let all = [get, BLOCK, BLOCK + MIB_2];
        timed(table, rec, "RSI_IPA_STATE_GET 512 pages", &all)?;
    }
    realm.finish()?;
    for (hash, name) in [
        (0, "RSI_MEASUREMENT_EXTEND 64 bytes, SHA-256"),
        (1, "RSI_MEASUREMENT_EXTEND 64 bytes, SHA-512"),
    ] {
        let config = Config {
            hash,
            ..Config::DEFAULT
        };
        let realm = commanded(table, &config, 1)?;
        let extend = [
            rsi::fid::RSI_MEASUREMENT_EXTEND,
            1,
            64,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
        ];
        for _ in 0..REPEAT {
            timed(table, &realm.recs[0], name, &extend)?;
        }
        realm.finish()?;
    }
    Ok(())
}

/// One call of the Realm, which must succeed.
fn timed(table: &mut Table, rec: &Rec, name: &'static str, arguments: &[u64]) -> Check {
    let values = rec.values_of(Op::TimedSmc, arguments)?;
    ensure_eq!(values[0], RSI_SUCCESS, "{name}");
    table.note(Share::None, name, values[1]);
    Ok(())
}

/// A Realm whose first REC waits for commands, and with an empty table behind the image.
fn commanded(table: &Table, config: &Config, recs: u64) -> Check<Realm> {
    let recs = recs.max(table.bench.recs);
    let mut realm = Realm::running(config, recs, MODE_COMMANDS)?;
    realm.add_tables(BLOCK, 3)?;
    realm.boot()?;
    Ok(realm)
}
