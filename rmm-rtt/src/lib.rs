// SPDX-License-Identifier: BSD-3-Clause
//! Stage 2 translation tables (RTT) of a Realm.
//!
//! An operation starts at a [`Root`]: the start-level table for an IPA, locked. Its caller may
//! then unlock the RD that it found [`Stage2`] in. The operation walks on hand over hand, checks
//! everything, and only then changes anything: one that fails has changed nothing.
//!
//! Errors carry the level that the walk reached ([`RttError`]) and, where the specification wants
//! it, the `top` that tells the Host how far nothing is mapped ([`TopError`]). What status a
//! command makes of them is its own affair.
//!
//! # Reference counts
//! The count of an RTT is the number of its entries that are TABLE or, in the Protected half,
//! ASSIGNED: the RTT is live exactly if it is not 0. ASSIGNED_NS does not count.
//!
//! # TLB
//! An entry that was valid is invalidated in all TLBs before the operation returns or the memory
//! behind it is wiped, and between the two writes where a valid entry gives way to another valid
//! one (break-before-make). Where a table is removed, the whole range it translated is
//! invalidated, and with it what walkers remember of the table. During break-before-make another
//! CPU that runs the Realm may take a fault for which [`classify`] then finds a valid entry: that
//! access is to be tried again.
#![cfg_attr(not(test), no_std)]

mod access;
mod create;
mod data;
mod destroy;
mod entry;
mod error;
mod fold;
mod read;
mod ripas;
mod stage2;
mod start;
mod unprotected;
mod walk;

#[cfg(test)]
mod tests;

pub use access::{NotMapped, RealmGranule, access};
pub use create::create;
pub use data::{DataSlot, Unmapped, data_slot, unmap_data};
pub use destroy::{Destroyed, destroy};
pub use entry::{Entry, NsDesc};
pub use error::{RttError, TopError};
pub use fold::fold;
pub use read::{EntryReport, classify, read_entry, ripas_extent};
pub use ripas::{init_ripas, set_ripas};
pub use stage2::{ENTRIES, MIN_IPA_WIDTH, Stage2, entry_size};
pub use start::{Live, MAX_START_TABLES, destroy_start_tables, init_start_tables};
pub use unprotected::{map_unprotected, unmap_unprotected};
pub use walk::{Root, root};
