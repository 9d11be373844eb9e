// SPDX-License-Identifier: BSD-3-Clause
//! Realm Translation Tables, a file for each command.

pub mod create;
pub mod destroy;
pub mod fold;
pub mod init_ripas;
pub mod read_entry;
pub mod set_ripas;
pub mod unprotected;

use crate::check::Check;
use crate::realm::{Realm, entry_size};
use crate::rmi;
use rmm_abi::rmi::{Ripas, RttEntryState};

const UNASSIGNED: u64 = RttEntryState::Unassigned as u64;
const ASSIGNED: u64 = RttEntryState::Assigned as u64;
const TABLE: u64 = RttEntryState::Table as u64;
const EMPTY: u64 = Ripas::Empty as u64;
const RAM: u64 = Ripas::Ram as u64;
const DESTROYED: u64 = Ripas::Destroyed as u64;

/// Bytes that an entry at a level stands for.
const MIB_2: u64 = entry_size(2);
const GIB: u64 = entry_size(1);
const GIB_512: u64 = entry_size(0);

/// Checks one entry: where the walk ends, state, descriptor, RIPAS.
pub fn check_entry(realm: &Realm, ipa: u64, level: u64, wanted: [u64; 4]) -> Check {
    let out = rmi::rtt_read_entry(realm.rd, ipa, level).ok("RMI_RTT_READ_ENTRY")?;
    if out != wanted {
        crate::check::fail!("entry of {ipa:#x} at level {level}: {out:x?}, wanted {wanted:x?}");
    }
    Ok(())
}
