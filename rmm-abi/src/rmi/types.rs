// SPDX-License-Identifier: BSD-3-Clause
//! Enumerations and flag words of the RMI (specification B4.4).

use bitflags::bitflags;

/// Defines an 8-bit enumeration whose reserved encodings are refused by `TryFrom<u8>`.
macro_rules! enum8 {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $value:expr),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$vmeta])* $variant = $value),+
        }

        impl TryFrom<u8> for $name {
            /// The reserved encoding.
            type Error = u8;

            fn try_from(value: u8) -> Result<Self, u8> {
                match value {
                    $($value => Ok(Self::$variant),)+
                    other => Err(other),
                }
            }
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> u8 {
                value as u8
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> u64 {
                u64::from(value as u8)
            }
        }
    };
}

enum8! {
    /// `RmiRttEntryState`, state of an RTT entry as RMI_RTT_READ_ENTRY reports it. Both halves of the
    /// IPA space have the same encodings.
    RttEntryState {
        /// The entry has no Granule.
        Unassigned = 0,
        /// The entry has a Granule: DATA, or Host memory in the Unprotected half.
        Assigned = 1,
        /// The entry points to the next level RTT.
        Table = 2,
    }
}

enum8! {
    /// `RmiRipas`, Realm IPA state.
    Ripas {
        /// Not used by the Realm.
        Empty = 0,
        /// Private memory of the Realm.
        Ram = 1,
        /// The Host has destroyed the content.
        Destroyed = 2,
    }
}

enum8! {
    /// `RmiRecExitReason`.
    RecExitReason {
        /// Synchronous exception.
        Sync = 0,
        /// Physical IRQ.
        Irq = 1,
        /// Physical FIQ.
        Fiq = 2,
        /// PSCI call of the Realm.
        Psci = 3,
        /// RIPAS change requested by the Realm.
        RipasChange = 4,
        /// Host call of the Realm.
        HostCall = 5,
        /// SError interrupt.
        SError = 6,
    }
}

enum8! {
    /// `RmiHashAlgorithm`, algorithm of a Realm's measurements.
    HashAlgorithm {
        /// SHA-256, 32 bytes.
        Sha256 = 0,
        /// SHA-512, 64 bytes.
        Sha512 = 1,
        /// SHA-384, 48 bytes; reserved in RMI 1.0.
        Sha384 = 2,
    }
}

bitflags! {
    /// `RmiRealmFlags`, in [`RealmParams`](super::RealmParams).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RealmFlags: u64 {
        /// The Realm uses 52-bit addresses (FEAT_LPA2).
        const LPA2 = 1 << 0;
        /// The Realm has SVE.
        const SVE = 1 << 1;
        /// The Realm has a PMU.
        const PMU = 1 << 2;
    }
}

bitflags! {
    /// `RmiRecCreateFlags`, in [`RecParams`](super::RecParams).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RecCreateFlags: u64 {
        /// The REC may be entered without a `PSCI_CPU_ON` of another REC.
        const RUNNABLE = 1 << 0;
    }
}

bitflags! {
    /// `RmiRecEnterFlags`, in [`RecEnter`](super::RecEnter).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RecEnterFlags: u64 {
        /// The Host has emulated the access of the last exit.
        const EMUL_MMIO = 1 << 0;
        /// Inject a Synchronous External Abort.
        const INJECT_SEA = 1 << 1;
        /// Trap WFI and WFIT during this entry.
        const TRAP_WFI = 1 << 2;
        /// Trap WFE and WFET during this entry.
        const TRAP_WFE = 1 << 3;
        /// `RmiResponse` to a pending RIPAS change: set is REJECT.
        const RIPAS_RESPONSE = 1 << 4;
    }
}

bitflags! {
    /// `RmiDataFlags`, X5 of RMI_DATA_CREATE.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DataFlags: u64 {
        /// Measure the content.
        const MEASURE = 1 << 0;
    }
}
