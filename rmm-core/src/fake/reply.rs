// SPDX-License-Identifier: BSD-3-Clause
//! What RMI commands return, and their names.

use rmm_abi::rmi::{fid, v2};

/// Status of a command, decoded from X0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `RMI_SUCCESS`.
    Success,
    /// `RMI_ERROR_INPUT`.
    Input,
    /// `RMI_ERROR_REALM` with this index.
    Realm(u8),
    /// `RMI_ERROR_REC`.
    Rec,
    /// `RMI_ERROR_RTT` with this level.
    Rtt(i8),
    /// `RMI_BUSY`.
    Busy,
    /// `RMI_ERROR_GLOBAL`.
    Global,
    /// `RMI_ERROR_GPT`.
    Gpt,
    /// X0 is all ones: the function identifier is that of no command.
    NotSupported,
}

impl Status {
    /// Decodes X0.
    ///
    /// # Panics
    /// If X0 is not a status word.
    #[must_use]
    pub fn of(x0: u64) -> Self {
        if x0 == u64::MAX {
            return Self::NotSupported;
        }
        assert_eq!(x0 >> 16, 0, "not a status word: {x0:#x}");
        let [code, index, ..] = x0.to_le_bytes();
        match (code, index) {
            (0, 0) => Self::Success,
            (1, 0) => Self::Input,
            (2, _) => Self::Realm(index),
            (3, 0) => Self::Rec,
            (4, _) => Self::Rtt(index.cast_signed()),
            (10, 0) => Self::Busy,
            (11, 0) => Self::Global,
            (15, 0) => Self::Gpt,
            _ => panic!("not a status word: {x0:#x}"),
        }
    }
}

/// Result of an RMI call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// X0, decoded.
    pub status: Status,
    /// X0 to X7.
    pub x: [u64; 8],
}

/// Outputs of RMI_RTT_READ_ENTRY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryReport {
    /// `walk_level`.
    pub level: i64,
    /// `state`: 0 UNASSIGNED, 1 ASSIGNED, 2 TABLE.
    pub state: u64,
    /// `desc`.
    pub desc: u64,
    /// `ripas`: 0 EMPTY, 1 RAM, 2 DESTROYED.
    pub ripas: u64,
}

impl EntryReport {
    /// The outputs in X1 to X4.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        Self {
            level: reply.x[1].cast_signed(),
            state: reply.x[2],
            desc: reply.x[3],
            ripas: reply.x[4],
        }
    }

    /// The address in `desc`, whose bits 9:8 are bits 51:50 of the address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.desc & 0x3_FFFF_FFFF_F000 | (self.desc >> 8 & 3) << 50
    }

    /// An entry in state UNASSIGNED.
    #[must_use]
    pub fn unassigned(level: i64, ripas: u64) -> Self {
        Self {
            level,
            state: 0,
            desc: 0,
            ripas,
        }
    }

    /// An entry in state ASSIGNED.
    #[must_use]
    pub fn assigned(level: i64, desc: u64, ripas: u64) -> Self {
        Self {
            level,
            state: 1,
            desc,
            ripas,
        }
    }

    /// A TABLE entry.
    #[must_use]
    pub fn table(level: i64, desc: u64) -> Self {
        Self {
            level,
            state: 2,
            desc,
            ripas: 0,
        }
    }
}

/// Name of the command with this function identifier, without `RMI_`; the number if there is none.
#[must_use]
pub fn command_name(function: u64) -> String {
    let name = match function {
        fid::RMI_VERSION => "VERSION",
        fid::RMI_GRANULE_DELEGATE => "GRANULE_DELEGATE",
        fid::RMI_GRANULE_UNDELEGATE => "GRANULE_UNDELEGATE",
        fid::RMI_DATA_CREATE => "DATA_CREATE",
        fid::RMI_DATA_CREATE_UNKNOWN => "DATA_CREATE_UNKNOWN",
        fid::RMI_DATA_DESTROY => "DATA_DESTROY",
        fid::RMI_REALM_ACTIVATE => "REALM_ACTIVATE",
        fid::RMI_REALM_CREATE => "REALM_CREATE",
        fid::RMI_REALM_DESTROY => "REALM_DESTROY",
        fid::RMI_REC_CREATE => "REC_CREATE",
        fid::RMI_REC_DESTROY => "REC_DESTROY",
        fid::RMI_REC_ENTER => "REC_ENTER",
        fid::RMI_RTT_CREATE => "RTT_CREATE",
        fid::RMI_RTT_DESTROY => "RTT_DESTROY",
        fid::RMI_RTT_MAP_UNPROTECTED => "RTT_MAP_UNPROTECTED",
        fid::RMI_RTT_READ_ENTRY => "RTT_READ_ENTRY",
        fid::RMI_RTT_UNMAP_UNPROTECTED => "RTT_UNMAP_UNPROTECTED",
        fid::RMI_PSCI_COMPLETE => "PSCI_COMPLETE",
        fid::RMI_FEATURES => "FEATURES",
        fid::RMI_RTT_FOLD => "RTT_FOLD",
        fid::RMI_REC_AUX_COUNT => "REC_AUX_COUNT",
        fid::RMI_RTT_INIT_RIPAS => "RTT_INIT_RIPAS",
        fid::RMI_RTT_SET_RIPAS => "RTT_SET_RIPAS",
        v2::fid::RMI_RMM_CONFIG_SET => "RMM_CONFIG_SET",
        v2::fid::RMI_RMM_CONFIG_GET => "RMM_CONFIG_GET",
        v2::fid::RMI_RMM_STATE_GET => "RMM_STATE_GET",
        v2::fid::RMI_RMM_ACTIVATE => "RMM_ACTIVATE",
        v2::fid::RMI_RMM_DEACTIVATE => "RMM_DEACTIVATE",
        v2::fid::RMI_GRANULE_TRACKING_GET => "GRANULE_TRACKING_GET",
        v2::fid::RMI_GRANULE_RANGE_DELEGATE => "GRANULE_RANGE_DELEGATE",
        v2::fid::RMI_GRANULE_RANGE_UNDELEGATE => "GRANULE_RANGE_UNDELEGATE",
        v2::fid::RMI_GPT_INFO => "GPT_INFO",
        v2::fid::RMI_GPT_L1_CREATE => "GPT_L1_CREATE",
        v2::fid::RMI_REALM_TERMINATE => "REALM_TERMINATE",
        v2::fid::RMI_RTT_DATA_MAP => "RTT_DATA_MAP",
        v2::fid::RMI_RTT_DATA_UNMAP => "RTT_DATA_UNMAP",
        v2::fid::RMI_RTT_UNPROT_MAP => "RTT_UNPROT_MAP",
        v2::fid::RMI_RTT_UNPROT_UNMAP => "RTT_UNPROT_UNMAP",
        v2::fid::RMI_OP_CONTINUE => "OP_CONTINUE",
        v2::fid::RMI_OP_MEM_DONATE => "OP_MEM_DONATE",
        v2::fid::RMI_OP_MEM_RECLAIM => "OP_MEM_RECLAIM",
        v2::fid::RMI_OP_CANCEL => "OP_CANCEL",
        _ => return format!("{function:#x}"),
    };
    name.into()
}
