// SPDX-License-Identifier: BSD-3-Clause
//! Stage 2 translation tables (RTT) of a Realm.
//!
//! An operation starts at a [`StartRtt`]: the start-level RTT for an IPA, locked. Once the caller has it,
//! it may unlock the RD that [`Stage2`] came from. The operation walks hand over hand, checks
//! everything, and only then changes anything. One that fails has changed nothing.
//!
//! Errors carry the level that the walk reached ([`RttError`]) and, where the command has this output,
//! `top`: an IPA up to which the Host finds nothing live ([`TopError`]). Checks of a command that are
//! failure conditions of the specification are marked with its names for them: `rtt_walk`,
//! `rtte_state` and so on. The checks of IPA, level and alignment come before, in the caller.
//!
//! # Reference counts
//! The count of an RTT is the number of its entries that are TABLE or, in the Protected half,
//! ASSIGNED: the RTT is live if and only if the count is not 0. ASSIGNED_NS does not count.
//!
//! # TLB
//! If an operation changes a valid entry, it invalidates it in the TLBs of all CPUs before it returns
//! and before the memory behind the entry is wiped; and, if the new entry is valid too, before that is
//! written (break-before-make). If it removes an RTT, it invalidates the whole range of the RTT, which
//! also covers what walkers cache of the RTT itself. During break-before-make another CPU that runs
//! the Realm may take a fault for which [`find_entry`] then finds a valid entry: the access must be
//! tried again.
//!
//! # Inlining
//! `#[inline(always)]` stands only where the compiler otherwise makes a call of it, which was measured
//! to cost commands instructions: the walk, and the work on the entry that it reaches.
#![cfg_attr(not(test), no_std)]

mod access;
mod create;
mod data;
mod destroy;
mod entry;
mod error;
mod fold;
mod range;
mod read;
mod ripas;
mod scan;
mod stage2;
mod start;
mod unprotected;
mod walk;

#[cfg(test)]
mod tests;

pub use access::{NotMapped, RealmGranule, lock_realm_granule};
pub use create::create;
pub use data::{DataSlot, Unmapped, data_slot, unmap_data};
pub use destroy::{Destroyed, destroy};
pub use entry::{NsDesc, RttEntry};
pub use error::{RttError, TopError};
pub use fold::fold;
pub use range::{
    MAX_DATA_BLOCK, MapError, map_data_range, map_unprotected_range, unmap_data_range,
    unmap_unprotected_range,
};
pub use read::{EntryReport, find_entry, read_entry, ripas_extent};
pub use ripas::{Change, init_ripas, set_ripas};
pub use stage2::{MAX_START_TABLES, MIN_IPA_WIDTH, PAGE_LEVEL, Stage2, entry_size};
pub use start::{LiveRtt, destroy_start_tables, init_start_tables};
pub use unprotected::{map_unprotected, unmap_unprotected};
pub use walk::{StartRtt, start_rtt};
