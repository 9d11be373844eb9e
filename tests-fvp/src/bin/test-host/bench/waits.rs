// SPDX-License-Identifier: BSD-3-Clause
//! How long an interrupt of the Host waits while the longest of all commands runs, and what the command
//! takes in the portable code.

use super::commands::{HASHED, Hashed};
use super::{Share, Table};
use crate::arch::mrs;
use crate::check::{Check, Stop, ensure_eq};
use crate::gic;
use crate::realm::{Config, Realm, entry_size};
use crate::rmi;
use crate::tests::hash::Watch;
use rmm_abi::rmi::fid;
use tests_fvp::protocol::layout;

const MIB_2: u64 = entry_size(2);

/// Ticks from the start of the timer until it expires: the monitor has just begun; it is in the middle
/// of the command.
const PHASES: [u64; 2] = [1_500, 100_000];

pub fn waits(table: &mut Table) -> Check {
    for hashed in &HASHED {
        let mut realm = Realm::new(&config(hashed.hash))?;
        let mut base = layout::BASE;
        let mut longest = 0;
        for phase in PHASES {
            realm.add_tables(base, 3)?;
            gic::start_timer(phase);
            let expiry = mrs!("cnthp_cval_el2");
            rmi::rtt_init_ripas(realm.rd, base, base + MIB_2).ok("RMI_RTT_INIT_RIPAS")?;
            longest = rmi::returned().wrapping_sub(expiry).max(longest);
            ensure_eq!(gic::taken().unwrap_or(0), gic::EL2_TIMER, "taken");
            base += MIB_2;
        }
        table.note(Share::Return, hashed.waits, longest);
        realm.finish()?;
    }
    // Of all groups: this one is the last, and only the portable code takes longer.
    let row = "longest RMI call but RMI_REC_ENTER";
    table.note(Share::Call, row, rmi::longest());
    for hashed in &HASHED {
        portable(table, hashed)?;
    }
    Ok(())
}

fn config(hash: u8) -> Config {
    Config {
        hash,
        ..Config::DEFAULT
    }
}

/// The portable code hashes for a Host in streaming mode, which must not use the CPU's instructions.
fn portable(table: &mut Table, hashed: &Hashed) -> Check {
    let watch = match Watch::streaming() {
        Ok(watch) => watch,
        Err(Stop::Skipped(_)) => return Ok(()),
        Err(why) => return Err(why),
    };
    let (name, base) = (hashed.portable, layout::BASE);
    let mut realm = Realm::new(&config(hashed.hash))?;
    realm.add_tables(base, 3)?;
    watch.around(1, name, || {
        rmi::rtt_init_ripas(realm.rd, base, base + MIB_2).ok("RMI_RTT_INIT_RIPAS")
    })?;
    table.note_call(name, fid::RMI_RTT_INIT_RIPAS);
    realm.finish()
}
