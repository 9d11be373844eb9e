// SPDX-License-Identifier: BSD-3-Clause
//! Lifecycle states of a Granule, as values and as types.
//!
//! The states RD and REC have the types of their content as parameters: the monitor names these once,
//! in an alias, and whoever opens such a Granule need not.

use crate::addr::GRANULE_SIZE;
use crate::window::Content;
use core::marker::PhantomData;

/// Lock bit of a Granule's word.
pub(crate) const LOCK: u16 = 1 << 15;
/// In the word of a Granule: CPUs wait for the lock in the queue.
pub(crate) const WANTED: u16 = 1 << 14;
/// Position of the state in a Granule's word.
const STATE_SHIFT: u32 = 11;
/// State bits of a Granule's word.
pub(crate) const STATE_MASK: u16 = 7 << STATE_SHIFT;
/// In the word of an RD: the Realm is ACTIVE.
pub(crate) const ACTIVE: u16 = 1 << 10;
/// Reference count bits of a Granule's word.
pub(crate) const COUNT_MASK: u16 = ACTIVE - 1;

/// Lifecycle state of a Granule (RmmGranuleLifecycleState).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum GranuleState {
    /// Not in Realm PAS: it belongs to the Host or to another world.
    Undelegated = 0,
    /// In Realm PAS, in no use; all zero whenever it is unlocked.
    Delegated = 1,
    /// Realm descriptor.
    Rd = 2,
    /// Realm Execution Context.
    Rec = 3,
    /// Auxiliary Granule of a REC.
    RecAux = 4,
    /// Realm translation table.
    Rtt = 5,
    /// Memory of a Realm.
    Data = 6,
    /// DRAM that can never be delegated: what the monitor and EL3 keep for themselves. Not a state of
    /// the specification, to which such memory is not delegable.
    NeverDelegable = 7,
}

impl GranuleState {
    /// The state bits of the word of a Granule in this state.
    pub(crate) const fn bits(self) -> u16 {
        (self as u16) << STATE_SHIFT
    }

    /// The state in the word of a Granule.
    pub(crate) const fn of(word: u16) -> Self {
        match (word & STATE_MASK) >> STATE_SHIFT {
            0 => Self::Undelegated,
            1 => Self::Delegated,
            2 => Self::Rd,
            3 => Self::Rec,
            4 => Self::RecAux,
            5 => Self::Rtt,
            6 => Self::Data,
            _ => Self::NeverDelegable,
        }
    }
}

/// Entries of an RTT.
pub const RTT_ENTRIES: usize = 512;

mod sealed {
    pub trait Sealed {}
}

/// A lifecycle state as a type.
pub trait State: sealed::Sealed {
    /// The state as a value.
    const STATE: GranuleState;
}

/// A state that can follow DELEGATED.
pub trait NextState: State {}

/// A state in which only the lock holder reaches the content, provided that the reference count is 0.
pub trait Exclusive: State {}

/// A state in which others may reach the content of a locked Granule: a Realm by its translations, table
/// walkers, or the CPU that runs a REC.
pub trait Shared: State {}

/// A state whose reference count the lock holder changes.
pub trait RefCounted: State {}

/// A state whose whole content is one value.
pub trait HasContent: NextState {
    /// The type of the content.
    type Content: Content;
}

/// UNDELEGATED: not in Realm PAS.
#[derive(Clone, Copy, Debug)]
pub struct Undelegated;

/// DELEGATED: in Realm PAS, in no use.
#[derive(Clone, Copy, Debug)]
pub struct Delegated;

/// RD: Realm descriptor with content `T`. Its count is the number of RECs of the Realm.
#[derive(Clone, Copy, Debug)]
pub struct Rd<T>(PhantomData<T>);

/// REC: Realm Execution Context with head `H` and body `B`. Its count is 1 while it is RUNNING, else 0.
#[derive(Clone, Copy, Debug)]
pub struct Rec<H, B>(PhantomData<(H, B)>);

/// REC_AUX: auxiliary Granule of a REC.
#[derive(Clone, Copy, Debug)]
pub struct RecAux;

/// RTT: Realm translation table. Its count is the number of its live entries, without ASSIGNED_NS.
#[derive(Clone, Copy, Debug)]
pub struct Rtt;

/// DATA: memory of a Realm.
#[derive(Clone, Copy, Debug)]
pub struct Data;

macro_rules! states {
    ($($state:ident: $($capability:ident),*;)*) => {$(
        impl sealed::Sealed for $state {}
        impl State for $state {
            const STATE: GranuleState = GranuleState::$state;
        }
        $(impl $capability for $state {})*
    )*};
}

states! {
    Undelegated: NextState, Exclusive;
    Delegated: ;
    RecAux: NextState, Shared;
    Rtt: NextState, Shared, RefCounted;
    Data: NextState, Shared;
}

impl<T: Content> sealed::Sealed for Rd<T> {}
impl<T: Content> State for Rd<T> {
    const STATE: GranuleState = GranuleState::Rd;
}
impl<T: Content> NextState for Rd<T> {}
impl<T: Content> Exclusive for Rd<T> {}
impl<T: Content> RefCounted for Rd<T> {}

impl<H: Content, B: Content> sealed::Sealed for Rec<H, B> {}
impl<H: Content, B: Content> State for Rec<H, B> {
    const STATE: GranuleState = GranuleState::Rec;
}
impl<H: Content, B: Content> NextState for Rec<H, B> {}
impl<H: Content, B: Content> Exclusive for Rec<H, B> {}

impl<T: Content> HasContent for Rd<T> {
    type Content = T;
}

impl HasContent for Rtt {
    type Content = [u64; RTT_ENTRIES];
}

impl HasContent for Data {
    type Content = [u8; GRANULE_SIZE];
}
