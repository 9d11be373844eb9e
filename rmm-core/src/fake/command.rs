// SPDX-License-Identifier: BSD-3-Clause
//! The RMI commands as functions.

use super::host::Host;
use super::reply::{EntryReport, Status};
use rmm_abi::rmi::fid;
use rmm_granule::fake::Pas;
use rmm_granule::{GRANULE_SIZE, Pa};

/// A level as an argument.
fn arg(level: i64) -> u64 {
    level.cast_unsigned()
}

#[allow(missing_docs, reason = "each is the RMI command of its name")]
impl Host {
    /// Returns the status, the lower and the higher version.
    pub fn version(&self, req: u64) -> (Status, u64, u64) {
        let reply = self.call(fid::RMI_VERSION, &[req]);
        (reply.status, reply.x[1], reply.x[2])
    }

    /// Returns the status and the register.
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

    /// Returns the status and the count.
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

    /// Returns the status, `data` and `top`.
    pub fn data_destroy(&self, rd: u64, ipa: u64) -> (Status, u64, u64) {
        let reply = self.call(fid::RMI_DATA_DESTROY, &[rd, ipa]);
        (reply.status, reply.x[1], reply.x[2])
    }

    pub fn rtt_create(&self, rd: u64, rtt: u64, ipa: u64, level: i64) -> Status {
        self.call(fid::RMI_RTT_CREATE, &[rd, rtt, ipa, arg(level)])
            .status
    }

    /// Returns the status, `rtt` and `top`.
    pub fn rtt_destroy(&self, rd: u64, ipa: u64, level: i64) -> (Status, u64, u64) {
        let reply = self.call(fid::RMI_RTT_DESTROY, &[rd, ipa, arg(level)]);
        (reply.status, reply.x[1], reply.x[2])
    }

    /// Returns the status and `rtt`.
    pub fn rtt_fold(&self, rd: u64, ipa: u64, level: i64) -> (Status, u64) {
        let reply = self.call(fid::RMI_RTT_FOLD, &[rd, ipa, arg(level)]);
        (reply.status, reply.x[1])
    }

    pub fn rtt_map_unprotected(&self, rd: u64, ipa: u64, level: i64, desc: u64) -> Status {
        self.call(fid::RMI_RTT_MAP_UNPROTECTED, &[rd, ipa, arg(level), desc])
            .status
    }

    /// Returns the status and `top`.
    pub fn rtt_unmap_unprotected(&self, rd: u64, ipa: u64, level: i64) -> (Status, u64) {
        let reply = self.call(fid::RMI_RTT_UNMAP_UNPROTECTED, &[rd, ipa, arg(level)]);
        (reply.status, reply.x[1])
    }

    pub fn rtt_read_entry(&self, rd: u64, ipa: u64, level: i64) -> (Status, EntryReport) {
        let reply = self.call(fid::RMI_RTT_READ_ENTRY, &[rd, ipa, arg(level)]);
        (reply.status, EntryReport::of(&reply))
    }

    /// Returns the status and `out_top`.
    pub fn rtt_init_ripas(&self, rd: u64, base: u64, top: u64) -> (Status, u64) {
        let reply = self.call(fid::RMI_RTT_INIT_RIPAS, &[rd, base, top]);
        (reply.status, reply.x[1])
    }

    /// Returns the status and `out_top`.
    pub fn rtt_set_ripas(&self, rd: u64, rec: u64, base: u64, top: u64) -> (Status, u64) {
        let reply = self.call(fid::RMI_RTT_SET_RIPAS, &[rd, rec, base, top]);
        (reply.status, reply.x[1])
    }
}

impl Host {
    /// A new page, delegated.
    #[must_use]
    pub fn granule(&self) -> u64 {
        let pa = self.page();
        self.delegate(pa);
        pa
    }

    /// Delegates a page.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn delegate(&self, pa: u64) {
        assert_eq!(self.granule_delegate(pa), Status::Success, "{pa:#x}");
    }

    /// Undelegates a page and asserts that it comes back Non-secure and all zero.
    ///
    /// # Panics
    /// If the monitor refuses, or if the page does not come back like this.
    pub fn undelegate(&self, pa: u64) {
        assert_eq!(self.granule_undelegate(pa), Status::Success, "{pa:#x}");
        assert_eq!(self.board().memory.pas(Pa(pa)), Some(Pas::NonSecure));
        let content = self.read(pa, GRANULE_SIZE);
        assert!(content == [0; GRANULE_SIZE], "{pa:#x}");
    }
}
