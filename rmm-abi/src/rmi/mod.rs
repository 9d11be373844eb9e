// SPDX-License-Identifier: BSD-3-Clause
//! Realm Management Interface 1.0 (specification B4), and [`v2`], the interface 2.0.

mod feature;
mod structs;
mod types;
pub mod v2;

pub use crate::mpidr::{index_to_mpidr, mpidr_to_index};
pub use feature::FeatureRegister0;
pub use structs::{RealmParams, RecEnter, RecExit, RecParams, RecRun};
pub use types::{
    DataFlags, HashAlgorithm, RealmFlags, RecCreateFlags, RecEnterFlags, RecExitReason, Ripas,
    RttEntryState,
};

/// Function identifiers (specification B4.3).
pub mod fid {
    /// `RMI_VERSION`.
    pub const RMI_VERSION: u64 = 0xC400_0150;
    /// `RMI_GRANULE_DELEGATE`.
    pub const RMI_GRANULE_DELEGATE: u64 = 0xC400_0151;
    /// `RMI_GRANULE_UNDELEGATE`.
    pub const RMI_GRANULE_UNDELEGATE: u64 = 0xC400_0152;
    /// `RMI_DATA_CREATE`.
    pub const RMI_DATA_CREATE: u64 = 0xC400_0153;
    /// `RMI_DATA_CREATE_UNKNOWN`.
    pub const RMI_DATA_CREATE_UNKNOWN: u64 = 0xC400_0154;
    /// `RMI_DATA_DESTROY`.
    pub const RMI_DATA_DESTROY: u64 = 0xC400_0155;
    /// `RMI_REALM_ACTIVATE`.
    pub const RMI_REALM_ACTIVATE: u64 = 0xC400_0157;
    /// `RMI_REALM_CREATE`.
    pub const RMI_REALM_CREATE: u64 = 0xC400_0158;
    /// `RMI_REALM_DESTROY`.
    pub const RMI_REALM_DESTROY: u64 = 0xC400_0159;
    /// `RMI_REC_CREATE`.
    pub const RMI_REC_CREATE: u64 = 0xC400_015A;
    /// `RMI_REC_DESTROY`.
    pub const RMI_REC_DESTROY: u64 = 0xC400_015B;
    /// `RMI_REC_ENTER`.
    pub const RMI_REC_ENTER: u64 = 0xC400_015C;
    /// `RMI_RTT_CREATE`.
    pub const RMI_RTT_CREATE: u64 = 0xC400_015D;
    /// `RMI_RTT_DESTROY`.
    pub const RMI_RTT_DESTROY: u64 = 0xC400_015E;
    /// `RMI_RTT_MAP_UNPROTECTED`.
    pub const RMI_RTT_MAP_UNPROTECTED: u64 = 0xC400_015F;
    /// `RMI_RTT_READ_ENTRY`.
    pub const RMI_RTT_READ_ENTRY: u64 = 0xC400_0161;
    /// `RMI_RTT_UNMAP_UNPROTECTED`.
    pub const RMI_RTT_UNMAP_UNPROTECTED: u64 = 0xC400_0162;
    /// `RMI_PSCI_COMPLETE`.
    pub const RMI_PSCI_COMPLETE: u64 = 0xC400_0164;
    /// `RMI_FEATURES`.
    pub const RMI_FEATURES: u64 = 0xC400_0165;
    /// `RMI_RTT_FOLD`.
    pub const RMI_RTT_FOLD: u64 = 0xC400_0166;
    /// `RMI_REC_AUX_COUNT`.
    pub const RMI_REC_AUX_COUNT: u64 = 0xC400_0167;
    /// `RMI_RTT_INIT_RIPAS`.
    pub const RMI_RTT_INIT_RIPAS: u64 = 0xC400_0168;
    /// `RMI_RTT_SET_RIPAS`.
    pub const RMI_RTT_SET_RIPAS: u64 = 0xC400_0169;
}

/// Command completed.
pub const RMI_SUCCESS: u64 = 0;
/// The value of a command input was bad.
pub const RMI_ERROR_INPUT: u64 = 1;
/// An attribute of a Realm does not permit the command.
pub const RMI_ERROR_REALM: u64 = 2;
/// An attribute of a REC does not permit the command.
pub const RMI_ERROR_REC: u64 = 3;
/// A walk of the Realm Translation Table ended early, or at an entry in a wrong state. The index
/// of the status word is the level reached.
pub const RMI_ERROR_RTT: u64 = 4;

/// X0 of a call to a function that the RMM does not implement.
pub const SMCCC_NOT_SUPPORTED: u64 = crate::smccc::NOT_SUPPORTED;

/// `RmiInterfaceVersion` 1.0: minor in `[15:0]`, major in `[30:16]`.
pub const RMI_VERSION_1_0: u64 = 0x1_0000;

/// Largest number of auxiliary Granules of a REC.
pub const MAX_REC_AUX: usize = 16;

/// Number of general-purpose registers that [`RecParams`] initialises.
pub const REC_CREATE_NR_GPRS: usize = 8;

/// Number of GICv3 list registers in [`RecEnter`] and [`RecExit`].
pub const MAX_GIC_LRS: usize = 16;

/// Number of general-purpose registers in [`RecEnter`] and [`RecExit`], X0 to X30.
pub const REC_EXIT_NR_GPRS: usize = 31;

/// The bits of ICH_HCR_EL2 that the Host controls: UIE, LRENPIE, NPIE, VGrp0EIE, VGrp0DIE,
/// VGrp1EIE, VGrp1DIE (bits 1 to 7) and TDIR (bit 14).
pub const GICV3_HCR_HOST_MASK: u64 = 0x40FE;

/// EOIcount, the field of ICH_HCR_EL2 that the Host sees at exit in addition to the bits it controls.
pub const GICV3_HCR_EOI_COUNT_MASK: u64 = 0xF800_0000;

/// Status word of a command: status in `[7:0]`, index in `[15:8]`. An index wider than 8 bits,
/// such as RTT level -1, is cut.
#[must_use]
pub const fn status(code: u64, index: u64) -> u64 {
    (code & 0xFF) | (index & 0xFF) << 8
}

/// Status code of a status word.
#[must_use]
pub const fn status_code(word: u64) -> u64 {
    word & 0xFF
}

/// Index of a status word.
#[must_use]
pub const fn status_index(word: u64) -> u64 {
    word >> 8 & 0xFF
}
