// SPDX-License-Identifier: BSD-3-Clause
//! Physical addresses, the granule table, typed lock guards and the memory trait.
//!
//! Every 4 KiB Granule of DRAM has one word in the [`GranuleTable`]: a lock, the lifecycle state of
//! the Granule and a reference count. Rights to a Granule are values ("tokens"): holding the value is
//! the proof of the right, and its drop ends the right.
//!
//! # Which token permits what
//!
//! | token | made by | permits |
//! |---|---|---|
//! | [`Locked<Undelegated>`] | [`GranuleTable::lock`] | asking EL3 to move the Granule to Realm PAS, then [`Locked::wipe_into_delegated`] |
//! | [`Locked<Delegated>`] | lock, or wiping | [`Locked::new_content`] to write the content, [`Locked::transition`] to the next state. The content is all zero whenever the Granule is unlocked |
//! | [`NewContent`] | [`Locked::new_content`] | reading and writing the content; a drop before [`NewContent::commit`] wipes it |
//! | [`Locked<Rd>`] | lock | reading and writing the content; changing the count of RECs |
//! | [`Locked<Rec>`] | lock | reading the fixed head; the body only if the REC is not pinned |
//! | [`Pinned`] | [`Locked::pin`], count 0 | without a lock: reading the head, reading and writing the body and the REC_AUX Granules. The REC is RUNNING |
//! | [`Locked<RecAux>`] | lock, with its REC locked and not pinned | [`Locked::wipe_unused_into_delegated`] |
//! | [`Locked<Rtt>`] | lock, hand over hand | reading and writing the entries, which table walkers read at any time |
//! | [`Locked<Data>`] | lock, with its RTT locked | copying bytes in and out; never a reference, because the Realm writes them at any time |
//! | [`NsGranule`] | [`GranuleTable::ns_granule`] | copies that may fault, because the Host changes content and PAS at any time |
//!
//! # Lock order
//!
//! 1. Granules that an RMI command names by address (UNDELEGATED, DELEGATED, RD, REC), all of them in
//!    ascending address order: [`GranuleTable::lock_pair`], [`GranuleTable::lock_many`]. The address
//!    decides, and not the state, because the state is known only once the Granule is locked.
//! 2. RTTs, reached from an RD or a REC: the start level first, then each child before its parent is
//!    unlocked, never three at a time. RMI_REALM_DESTROY, when no walk can start any more, locks
//!    start-level RTTs in ascending address order and keeps those that it has wiped locked meanwhile.
//! 3. The DATA Granule of a locked leaf RTT; one at a time.
//! 4. REC_AUX Granules of a locked REC; one at a time.
//!
//! CPUs that wait for a Granule get it in the order in which they came: one that unlocks it and comes back
//! is behind them. So a wait ends, at the latest, after each other CPU has had the Granule once.
//!
//! While a lock is held, no lock of an earlier line is waited for: [`GranuleTable::try_lock`] does not
//! wait. A Granule that turns out to be in
//! another state than claimed is unlocked at once, and nothing is waited for before that. In test
//! builds each thread that stands for a CPU records what it has locked, and a lock out of order
//! panics. `make loom` checks the memory orderings of the words themselves.
//!
//! The state changes only under the lock and with count 0. The count grows only under the lock. The
//! counts of an RD and of a pinned REC may fall without it. Whether a Realm is ACTIVE changes only under
//! the lock of its RD, and is read without it: an entry of a REC locks nothing of the Realm but the REC.
//!
//! # Inlining
//!
//! `#[inline(always)]` stands only where the compiler otherwise makes a call of it, which was measured
//! to cost RMI commands instructions: the functions that each lock or each walk goes through.
#![cfg_attr(not(any(test, feature = "fake")), no_std)]

mod addr;
mod bug;
mod content;
mod data;
mod lock;
mod memory;
mod ns;
mod order;
mod queue;
mod rec;
mod rtt;
mod set;
mod speculation;
mod state;
mod sync;
mod table;
mod window;

#[cfg(any(test, feature = "fake"))]
pub mod fake;

#[cfg(test)]
mod tests;

pub use addr::{GRANULE_SHIFT, GRANULE_SIZE, Ipa, Pa};
pub use content::NewContent;
pub use lock::Locked;
pub use memory::{Memory, NsFault, zero_by_words};
pub use ns::NsGranule;
pub use queue::Waiter;
pub use rec::{AuxGranules, Pinned, REC_BODY_SIZE, REC_HEAD_SIZE, RecWindow};
pub use rtt::OpenRtt;
pub use set::{DelegatedSet, MAX_SET};
pub use state::{
    Data, Delegated, Exclusive, GranuleState, HasContent, NextState, RTT_ENTRIES, Rd, Rec, RecAux,
    RefCounted, Rtt, Shared, State, Undelegated,
};
pub use sync::Word;
pub use table::{Bank, GranuleError, GranuleTable, MAX_BANKS, MAX_EXTENT, TableError};
pub use window::{Content, View, Window};
