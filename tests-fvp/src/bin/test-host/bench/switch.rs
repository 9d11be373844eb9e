// SPDX-License-Identifier: BSD-3-Clause
//! What it costs to enter a REC of another Realm than before.

use super::{REPEAT, Table};
use crate::check::{Check, ensure_eq};
use crate::realm::{Config, Realm};
use crate::rec::enter_with;
use rmm_abi::rmi::{RecEnterFlags, RecExitReason, fid};

/// `wfi`, and back.
const WFI: &[u32] = &[0xD503_207F, 0x17FF_FFFF];

/// VMIDs that nothing else has, and distances from the first: a neighbour, and two that look alike to
/// whoever remembers a few bits of them.
const VMID: u16 = 0x80;
const SWITCHES: [(u16, &str); 3] = [
    (1, "RMI_REC_ENTER to WFI, two Realms by turns"),
    (
        16,
        "RMI_REC_ENTER to WFI, two Realms by turns, VMIDs 16 apart",
    ),
    (
        64,
        "RMI_REC_ENTER to WFI, two Realms by turns, VMIDs 64 apart",
    ),
];

pub fn between_realms(table: &mut Table) -> Check {
    for (distance, name) in SWITCHES {
        let first = waiting(VMID)?;
        let second = waiting(VMID + distance)?;
        for n in 0..REPEAT {
            for realm in [&first, &second] {
                let exit = realm.recs[0].enter(&enter_with(RecEnterFlags::TRAP_WFI))?;
                ensure_eq!(exit.exit_reason, RecExitReason::Sync as u8, "{name}");
                if n > 0 {
                    table.note_call(name, fid::RMI_REC_ENTER);
                }
            }
        }
        first.finish()?;
        second.finish()?;
    }
    Ok(())
}

/// A Realm that waits for ever.
fn waiting(vmid: u16) -> Check<Realm> {
    let config = Config {
        vmid: Some(vmid),
        ..Config::DEFAULT
    };
    let realm = Realm::of_code(&config, WFI, &[])?;
    realm.activate()?;
    Ok(realm)
}
