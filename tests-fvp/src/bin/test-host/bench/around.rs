// SPDX-License-Identifier: BSD-3-Clause
//! What surrounds the measured Realms and must not change what their calls cost: other Realms, and
//! memory that is in use.

use crate::board;
use crate::check::{Check, ensure};
use crate::console::line;
use crate::params::{self, Bench};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm, entry_size};
use crate::rec::enter;
use crate::rmi;
use rmm_abi::rmi::RecExitReason;
use tests_fvp::protocol::layout;

/// `ldr x1, [x0]`, `b .`.
const CODE: [u32; 2] = [0xF940_0001, 0x1400_0000];
/// The VMIDs of the other Realms; the measured ones have VMIDs below.
const FIRST_VMID: u16 = 0x100;
/// Memory that neither Host nor monitor has a use for: behind the monitor's, and behind the pool.
const BEHIND_MONITOR: u64 = board::MONITOR.end;

/// One of so many granules is memory of a Realm.
const DATA: u64 = 16;
/// Granules after which a line says that this is no hang.
const PROGRESS: usize = 0x8000;

/// Makes what must not change the cost. It stays to the end.
pub fn prepare(bench: &Bench) -> Check {
    for n in 1..bench.realms {
        let config = Config {
            vmid: Some(FIRST_VMID + n as u16),
            ..Config::DEFAULT
        };
        let realm = Realm::of_code(&config, &CODE, &[config.unprotected()])?;
        realm.activate()?;
        let exit = realm.recs[0].enter(&enter())?;
        ensure!(
            exit.exit_reason == RecExitReason::Sync as u8,
            "exit reason {}",
            exit.exit_reason
        );
        core::mem::forget(realm);
    }
    if bench.fill {
        fill()?;
    }
    Ok(())
}

/// The granules of the machine that nothing else uses.
fn unused() -> impl Iterator<Item = u64> {
    let end = board::BANK.start + params::get().memory;
    let ranges = [
        BEHIND_MONITOR..board::PARAMETERS.unwrap_or(BEHIND_MONITOR),
        board::POOL.end..end.min(board::BANK.end),
    ];
    let granules = ranges
        .into_iter()
        .flat_map(|range| range.step_by(GRANULE as usize));
    granules.enumerate().map(|(n, granule)| {
        if n.is_multiple_of(PROGRESS) {
            line!("host: {n} granules in use");
        }
        granule
    })
}

/// All memory of the machine that nothing else uses is delegated, and one granule in [`DATA`] is memory of
/// a Realm: more of them would take minutes.
fn fill() -> Check {
    let mut realm = Realm::new(&Config {
        vmid: Some(FIRST_VMID),
        ..Config::DEFAULT
    })?;
    for (n, granule) in (0..).zip(unused()) {
        rmi::delegate(granule).ok("RMI_GRANULE_DELEGATE")?;
        if n % DATA == 0 {
            let ipa = layout::BASE + n / DATA * GRANULE;
            if ipa.is_multiple_of(entry_size(2)) {
                realm.add_tables(ipa, 3)?;
            }
            rmi::data_create_unknown(realm.rd, granule, ipa).ok("RMI_DATA_CREATE_UNKNOWN")?;
        }
    }
    core::mem::forget(realm);
    Ok(())
}

/// Adds RECs that are never entered to a Realm in the making, until it has as many as the parameters ask
/// for, less `further`, which the caller adds.
pub fn add_recs(realm: &mut Realm, bench: &Bench, further: u64) -> Check {
    while realm.recs.len() as u64 + further < bench.recs {
        realm.add_rec(false, &[])?;
    }
    Ok(())
}
