// SPDX-License-Identifier: BSD-3-Clause
//! Realm Management Interface 2.0, as far as a Host of Linux needs it (DEN0137 2.0-bet3).
//!
//! What both interfaces share is in [`rmi`](crate::rmi): names there that are not here, such as
//! [`Ripas`](crate::rmi::Ripas) and [`RecCreateFlags`](crate::rmi::RecCreateFlags), are the same.

mod feature;
mod range;
mod structs;

pub use feature::{FeatureRegister0, FeatureRegister1};
pub use range::{AddressRange, AddressType, MapFlags, MemoryState, UnmapFlags};
pub use structs::{RealmParams, RecEnter, RecExit, RecParams, RecRun, RmmConfig};

use bitflags::bitflags;

/// Function identifiers (specification B4.5).
pub mod fid {
    pub use crate::rmi::fid::{
        RMI_FEATURES, RMI_PSCI_COMPLETE, RMI_REALM_ACTIVATE, RMI_REALM_CREATE, RMI_REALM_DESTROY,
        RMI_REC_CREATE, RMI_REC_DESTROY, RMI_REC_ENTER, RMI_RTT_CREATE, RMI_RTT_DESTROY,
        RMI_RTT_FOLD, RMI_RTT_INIT_RIPAS, RMI_RTT_READ_ENTRY, RMI_RTT_SET_RIPAS, RMI_VERSION,
    };

    /// `RMI_RTT_DATA_MAP_INIT`; RMI_DATA_CREATE of 1.0 has the same identifier.
    pub const RMI_RTT_DATA_MAP_INIT: u64 = 0xC400_0153;
    /// `RMI_RMM_CONFIG_SET`.
    pub const RMI_RMM_CONFIG_SET: u64 = 0xC400_016E;
    /// `RMI_GRANULE_TRACKING_GET`.
    pub const RMI_GRANULE_TRACKING_GET: u64 = 0xC400_01E1;
    /// `RMI_RMM_CONFIG_GET`.
    pub const RMI_RMM_CONFIG_GET: u64 = 0xC400_01EC;
    /// `RMI_RMM_STATE_GET`.
    pub const RMI_RMM_STATE_GET: u64 = 0xC400_01EE;
    /// `RMI_GRANULE_RANGE_DELEGATE`.
    pub const RMI_GRANULE_RANGE_DELEGATE: u64 = 0xC400_01F1;
    /// `RMI_GRANULE_RANGE_UNDELEGATE`.
    pub const RMI_GRANULE_RANGE_UNDELEGATE: u64 = 0xC400_01F2;
    /// `RMI_GPT_L1_CREATE`.
    pub const RMI_GPT_L1_CREATE: u64 = 0xC400_01F3;
    /// `RMI_RTT_DATA_MAP`.
    pub const RMI_RTT_DATA_MAP: u64 = 0xC400_01F5;
    /// `RMI_RTT_DATA_UNMAP`.
    pub const RMI_RTT_DATA_UNMAP: u64 = 0xC400_01F6;
    /// `RMI_RTT_UNPROT_MAP`.
    pub const RMI_RTT_UNPROT_MAP: u64 = 0xC400_01FB;
    /// `RMI_RTT_UNPROT_UNMAP`.
    pub const RMI_RTT_UNPROT_UNMAP: u64 = 0xC400_01FC;
    /// `RMI_REALM_TERMINATE`.
    pub const RMI_REALM_TERMINATE: u64 = 0xC400_0201;
    /// `RMI_RMM_ACTIVATE`.
    pub const RMI_RMM_ACTIVATE: u64 = 0xC400_0202;
    /// `RMI_OP_CONTINUE`.
    pub const RMI_OP_CONTINUE: u64 = 0xC400_0203;
    /// `RMI_OP_MEM_DONATE`.
    pub const RMI_OP_MEM_DONATE: u64 = 0xC400_0208;
    /// `RMI_OP_MEM_RECLAIM`.
    pub const RMI_OP_MEM_RECLAIM: u64 = 0xC400_0209;
    /// `RMI_OP_CANCEL`.
    pub const RMI_OP_CANCEL: u64 = 0xC400_020A;
    /// `RMI_RMM_DEACTIVATE`.
    pub const RMI_RMM_DEACTIVATE: u64 = 0xC400_020F;
    /// `RMI_GPT_INFO`.
    pub const RMI_GPT_INFO: u64 = 0xC400_0211;
}

/// `RmiInterfaceVersion` 2.0.
pub const RMI_VERSION_2_0: u64 = 0x2_0000;

/// Something passing does not permit the command; the Host tries again.
pub const RMI_BUSY: u64 = 10;
/// A pool of the RMM is empty, or the state of the RMM does not permit the command. Statuses 0 to 4
/// are those of 1.0.
pub const RMI_ERROR_GLOBAL: u64 = 11;
/// A stateful operation is open.
pub const RMI_INCOMPLETE: u64 = 13;
/// The state of the GPT does not permit the command.
pub const RMI_ERROR_GPT: u64 = 15;

/// States of the RMM, as RMI_RMM_STATE_GET reports them.
pub mod rmm_state {
    /// Not active: it can be configured.
    pub const INIT: u64 = 0;
    /// Active: it serves all commands.
    pub const ACTIVE: u64 = 2;
}

/// Tracking of granules, as RMI_GRANULE_TRACKING_GET reports it.
pub mod tracking {
    /// Category: conventional memory.
    pub const CONVENTIONAL: u64 = 0;
    /// State: never tracked.
    pub const RESERVED: u64 = 0;
    /// State: each granule is tracked.
    pub const FINE: u64 = 2;
}

/// Kinds of level 1 granule protection tables, as RMI_GPT_INFO reports them.
pub mod gpt {
    /// Made by the firmware.
    pub const PLATFORM: u64 = 1;
}

bitflags! {
    /// `RmiRealmFlags0`, in [`RealmParams`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RealmFlags0: u64 {
        /// The Realm uses 52-bit addresses (FEAT_LPA2).
        const LPA2 = 1 << 0;
        /// The Realm has SVE.
        const SVE = 1 << 1;
        /// The Realm has a PMU.
        const PMU = 1 << 2;
        /// The Realm has assigned devices.
        const DA = 1 << 3;
    }
}

impl RealmFlags0 {
    /// The LFA policy: 0, a live activation of firmware is not allowed; 1, it is. 2 and 3 are
    /// reserved.
    #[must_use]
    pub const fn lfa_policy(self) -> u64 {
        self.bits() >> 5 & 3
    }

    /// The MEC policy: 0, the Realm shares a memory encryption context; 1, it has its own. 2 and 3 are
    /// reserved.
    #[must_use]
    pub const fn mec_policy(self) -> u64 {
        self.bits() >> 7 & 3
    }
}

bitflags! {
    /// `RmiRealmFlags1`, in [`RealmParams`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RealmFlags1: u64 {
        /// Each plane has an RTT tree of its own.
        const RTT_TREE_PER_PLANE = 1 << 0;
        /// Stage 2 permissions are indirect.
        const INDIRECT_S2AP = 1 << 1;
        /// The Realm has ATS.
        const ATS = 1 << 2;
    }
}
