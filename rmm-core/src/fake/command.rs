// SPDX-License-Identifier: BSD-3-Clause
//! The RMI commands as functions.

use super::Host;
use rmm_abi::rmi::fid;

/// A command's status word.
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
    /// X0 of something that is no command.
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
        assert_eq!(x0 >> 16, 0, "no status word: {x0:#x}");
        let [code, index, ..] = x0.to_le_bytes();
        match (code, index) {
            (0, 0) => Self::Success,
            (1, 0) => Self::Input,
            (2, _) => Self::Realm(index),
            (3, 0) => Self::Rec,
            (4, _) => Self::Rtt(index.cast_signed()),
            _ => panic!("no status word: {x0:#x}"),
        }
    }
}

/// What RMI_RTT_READ_ENTRY returns.
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
    /// An entry without memory.
    #[must_use]
    pub fn unassigned(level: i64, ripas: u64) -> Self {
        Self {
            level,
            state: 0,
            desc: 0,
            ripas,
        }
    }

    /// An entry with memory at the address in `desc`.
    #[must_use]
    pub fn assigned(level: i64, desc: u64, ripas: u64) -> Self {
        Self {
            level,
            state: 1,
            desc,
            ripas,
        }
    }

    /// An entry that refers to the table at `desc`.
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

/// A level as an argument.
fn arg(level: i64) -> u64 {
    level.cast_unsigned()
}

#[allow(missing_docs, reason = "each is the RMI command of its name")]
impl Host {
    pub fn version(&self, req: u64) -> (Status, u64, u64) {
        let reply = self.call(fid::RMI_VERSION, &[req]);
        (reply.status, reply.x[1], reply.x[2])
    }

    pub fn features(&self, index: u64) -> (Status, u64) {
        let reply = self.call(fid::RMI_FEATURES, &[index]);
        (reply.status, reply.x[1])
    }

    pub fn granule_delegate(&self, addr: u64) -> Status {
        self.call(fid::RMI_GRANULE_DELEGATE, &[addr]).status
    }

    pub fn granule_undelegate(&self, addr: u64) -> Status {
        self.call(fid::RMI_GRANULE_UNDELEGATE, &[addr]).status
    }

    pub fn realm_create(&self, rd: u64, params_ptr: u64) -> Status {
        self.call(fid::RMI_REALM_CREATE, &[rd, params_ptr]).status
    }

    pub fn realm_activate(&self, rd: u64) -> Status {
        self.call(fid::RMI_REALM_ACTIVATE, &[rd]).status
    }

    pub fn realm_destroy(&self, rd: u64) -> Status {
        self.call(fid::RMI_REALM_DESTROY, &[rd]).status
    }

    pub fn rec_aux_count(&self, rd: u64) -> (Status, u64) {
        let reply = self.call(fid::RMI_REC_AUX_COUNT, &[rd]);
        (reply.status, reply.x[1])
    }

    pub fn rec_create(&self, rd: u64, rec: u64, params_ptr: u64) -> Status {
        self.call(fid::RMI_REC_CREATE, &[rd, rec, params_ptr])
            .status
    }

    pub fn rec_destroy(&self, rec: u64) -> Status {
        self.call(fid::RMI_REC_DESTROY, &[rec]).status
    }

    pub fn rec_enter(&self, rec: u64, run_ptr: u64) -> Status {
        self.call(fid::RMI_REC_ENTER, &[rec, run_ptr]).status
    }

    pub fn psci_complete(&self, calling_rec: u64, target_rec: u64, status: i64) -> Status {
        let args = [calling_rec, target_rec, status.cast_unsigned()];
        self.call(fid::RMI_PSCI_COMPLETE, &args).status
    }

    pub fn data_create(&self, rd: u64, data: u64, ipa: u64, src: u64, flags: u64) -> Status {
        self.call(fid::RMI_DATA_CREATE, &[rd, data, ipa, src, flags])
            .status
    }

    pub fn data_create_unknown(&self, rd: u64, data: u64, ipa: u64) -> Status {
        self.call(fid::RMI_DATA_CREATE_UNKNOWN, &[rd, data, ipa])
            .status
    }

    /// Status, data, top.
    pub fn data_destroy(&self, rd: u64, ipa: u64) -> (Status, u64, u64) {
        let reply = self.call(fid::RMI_DATA_DESTROY, &[rd, ipa]);
        (reply.status, reply.x[1], reply.x[2])
    }

    pub fn rtt_create(&self, rd: u64, rtt: u64, ipa: u64, level: i64) -> Status {
        self.call(fid::RMI_RTT_CREATE, &[rd, rtt, ipa, arg(level)])
            .status
    }

    /// Status, rtt, top.
    pub fn rtt_destroy(&self, rd: u64, ipa: u64, level: i64) -> (Status, u64, u64) {
        let reply = self.call(fid::RMI_RTT_DESTROY, &[rd, ipa, arg(level)]);
        (reply.status, reply.x[1], reply.x[2])
    }

    /// Status, rtt.
    pub fn rtt_fold(&self, rd: u64, ipa: u64, level: i64) -> (Status, u64) {
        let reply = self.call(fid::RMI_RTT_FOLD, &[rd, ipa, arg(level)]);
        (reply.status, reply.x[1])
    }

    pub fn rtt_map_unprotected(&self, rd: u64, ipa: u64, level: i64, desc: u64) -> Status {
        self.call(fid::RMI_RTT_MAP_UNPROTECTED, &[rd, ipa, arg(level), desc])
            .status
    }

    /// Status, top.
    pub fn rtt_unmap_unprotected(&self, rd: u64, ipa: u64, level: i64) -> (Status, u64) {
        let reply = self.call(fid::RMI_RTT_UNMAP_UNPROTECTED, &[rd, ipa, arg(level)]);
        (reply.status, reply.x[1])
    }

    pub fn rtt_read_entry(&self, rd: u64, ipa: u64, level: i64) -> (Status, EntryReport) {
        let reply = self.call(fid::RMI_RTT_READ_ENTRY, &[rd, ipa, arg(level)]);
        let report = EntryReport {
            level: reply.x[1].cast_signed(),
            state: reply.x[2],
            desc: reply.x[3],
            ripas: reply.x[4],
        };
        (reply.status, report)
    }

    /// Status, out_top.
    pub fn rtt_init_ripas(&self, rd: u64, base: u64, top: u64) -> (Status, u64) {
        let reply = self.call(fid::RMI_RTT_INIT_RIPAS, &[rd, base, top]);
        (reply.status, reply.x[1])
    }

    /// Status, out_top.
    pub fn rtt_set_ripas(&self, rd: u64, rec: u64, base: u64, top: u64) -> (Status, u64) {
        let reply = self.call(fid::RMI_RTT_SET_RIPAS, &[rd, rec, base, top]);
        (reply.status, reply.x[1])
    }
}
