// SPDX-License-Identifier: BSD-3-Clause
//! Physical addresses, the granule table, typed lock guards and the memory trait.
//!
//! Every 4 KiB Granule of DRAM has one word in the [`GranuleTable`]: a lock, the Granule's
//! lifecycle state and a reference count. A guard is the proof that its holder may do something,
//! and its drop gives that right back.
//!
//! # Which token permits what
//!
//! | token | made from | permits |
//! |---|---|---|
//! | [`Locked<Undelegated>`] | [`GranuleTable::lock`] | asking EL3 to move the Granule to Realm PAS; then [`Locked::wipe_into_delegated`] |
//! | [`Locked<Delegated>`] | lock, or wiping | [`Locked::fill`] its content, [`Locked::transition`] to its next state. Content is all zero whenever it is unlocked |
//! | [`Filling`] | `Locked<Delegated>` | reading and writing the content; dropped before [`Filling::commit`] it wipes |
//! | [`Locked<Rd>`] | lock | reading and writing the content; changing the count of RECs |
//! | [`Locked<Rec>`] | lock | reading the fixed head; the body only while nobody has it pinned |
//! | [`Pinned`] | [`Locked::pin`], count 0 | reading the head, reading and writing the body with no lock held: the REC is RUNNING. Its REC_AUX Granules are the holder's too |
//! | [`Locked<RecAux>`] | lock, REC locked and not pinned | wiping |
//! | [`Locked<Rtt>`] | lock, hand over hand | reading and writing the entries; the hardware walker reads them at any time |
//! | [`Locked<Data>`] | lock, its RTT locked | copying bytes in and out; never a reference, because the Realm writes it at any time |
//! | [`NsGranule`] | [`GranuleTable::ns_granule`] | nothing but copies that may fault: the Host changes content and PAS at any time |
//!
//! # Lock order
//!
//! 1. Granules that an RMI command names by address (UNDELEGATED, DELEGATED, RD, REC), all of
//!    them in ascending address order: [`GranuleTable::lock_pair`], [`GranuleTable::lock_many`].
//!    What state the Host claims for an address is only known once it is locked, which is why the
//!    address and not the kind decides.
//! 2. RTTs, reached from an RD or a REC: root first, then child before parent is released, and
//!    never a third one. Of a Realm that ends, which nobody walks any more, start-level RTTs that
//!    are wiped may stay locked while the next one in ascending address order is waited for.
//! 3. The DATA Granule of a locked leaf RTT; one at a time.
//! 4. REC_AUX Granules of a locked REC; one at a time.
//!
//! No lock of an earlier line is waited for while one of a later line is held. A lock taken under
//! a wrong claim is released at once and nothing is waited for while it is held. In test builds
//! each thread that stands for a CPU keeps a record of what it holds, and a lock that is out of
//! order panics; the orderings of the words themselves are checked by `make loom`.
//!
//! State changes only under the lock and with count 0. Counts grow only under the lock; the count
//! of an RD and the one of a pinned REC fall without it.
#![cfg_attr(not(any(test, feature = "fake")), no_std)]

mod addr;
mod bug;
mod data;
mod fill;
mod lock;
mod memory;
mod ns;
mod order;
mod rec;
mod set;
mod state;
mod sync;
mod table;
mod window;

#[cfg(any(test, feature = "fake"))]
pub mod fake;

#[cfg(test)]
mod tests;

pub use addr::{GRANULE_SHIFT, GRANULE_SIZE, Ipa, Pa};
pub use fill::Filling;
pub use lock::Locked;
pub use memory::{Memory, NsFault};
pub use ns::NsGranule;
pub use rec::{Auxiliary, Pinned, REC_BODY_SIZE, REC_HEAD_SIZE, RecWindow};
pub use set::{DelegatedSet, MAX_SET};
pub use state::{
    Counted, Data, Delegated, GranuleState, Purpose, Rd, Rec, RecAux, Rtt, State, Undelegated,
    Wiped,
};
pub use sync::Word;
pub use table::{Bank, GranuleError, GranuleTable, MAX_BANKS, TableError};
pub use window::{Content, OpenRtt, View, Window};
