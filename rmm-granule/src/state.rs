// SPDX-License-Identifier: BSD-3-Clause
//! Lifecycle states of a Granule, as values and as types.

/// Lock bit of a Granule's word.
pub(crate) const LOCK: u16 = 1 << 15;
/// Position of the state in a Granule's word.
const STATE_SHIFT: u32 = 12;
/// State bits of a Granule's word.
pub(crate) const STATE_MASK: u16 = 7 << STATE_SHIFT;
/// Reference count bits of a Granule's word.
pub(crate) const COUNT_MASK: u16 = (1 << STATE_SHIFT) - 1;

/// Lifecycle state of a Granule (RmmGranuleLifecycleState).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum GranuleState {
    /// Not in Realm PAS: the Host's, or another world's.
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

mod sealed {
    pub trait Sealed {}
}

/// A lifecycle state as a type.
pub trait State: sealed::Sealed {
    /// The state as a value.
    const STATE: GranuleState;
}

/// A state that a DELEGATED Granule can enter.
pub trait Purpose: State {}

/// A state that a Granule leaves by being wiped, and is DELEGATED then.
pub trait Wiped: State {}

/// A state whose reference count the lock holder changes.
pub trait Counted: State {}

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident: $($capability:ident),*;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl sealed::Sealed for $name {}
        impl State for $name {
            const STATE: GranuleState = GranuleState::$name;
        }
        $(impl $capability for $name {})*
    )*};
}

states! {
    /// UNDELEGATED: not in Realm PAS.
    Undelegated: Purpose, Wiped;
    /// DELEGATED: in Realm PAS, in no use.
    Delegated: ;
    /// RD: Realm descriptor. Its count is the number of RECs of the Realm.
    Rd: Purpose, Wiped, Counted;
    /// REC: Realm Execution Context. Its count is 1 while it is RUNNING, else 0.
    Rec: Purpose, Wiped;
    /// REC_AUX: auxiliary Granule of a REC.
    RecAux: Purpose, Wiped;
    /// RTT: Realm translation table. Its count is the number of its live entries, without ASSIGNED_NS.
    Rtt: Purpose, Wiped, Counted;
    /// DATA: memory of a Realm.
    Data: Purpose, Wiped;
}
