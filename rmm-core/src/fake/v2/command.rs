// SPDX-License-Identifier: BSD-3-Clause
//! The RMI 2.0 commands as functions.

use crate::fake::config::Config;
use crate::fake::constants::PAGE;
use crate::fake::host::Host;
use crate::fake::reply::{Reply, Status};
use rmm_abi::el3::Version;
use rmm_abi::rmi::v2::{RMI_VERSION_2_0, RmmConfig, fid};
use rmm_granule::GRANULE_SIZE;
use std::ops::{Deref, Range};

/// A Host that speaks RMI 2.0. Dereferences to the Host for everything that does not depend on that.
#[derive(Default)]
pub struct Host2(Host);

impl Deref for Host2 {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

/// Status and outputs of a command that unmaps a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmapReply {
    /// Status.
    pub status: Status,
    /// `out_top`.
    pub top: u64,
    /// `out_range`.
    pub range: u64,
    /// `out_count`.
    pub count: u64,
}

impl UnmapReply {
    /// Nothing was unmapped up to `top`.
    #[must_use]
    pub fn nothing(top: u64) -> Self {
        Self {
            status: Status::Success,
            top,
            range: 0,
            count: 0,
        }
    }

    /// The command has failed.
    #[must_use]
    pub fn failed(status: Status) -> Self {
        Self {
            status,
            top: 0,
            range: 0,
            count: 0,
        }
    }

    /// This range was unmapped up to `top`.
    #[must_use]
    pub fn single(top: u64, range: u64) -> Self {
        Self {
            range,
            ..Self::nothing(top)
        }
    }

    /// This number of ranges was unmapped up to `top`.
    #[must_use]
    pub fn list(top: u64, count: u64) -> Self {
        Self {
            count,
            ..Self::nothing(top)
        }
    }
}

impl Config {
    /// As the default, under an EL3 that can carry RMI 2.0.
    #[must_use]
    pub fn v2() -> Self {
        Self {
            interface: Version::new(2, 0),
            ..Self::default()
        }
    }
}

impl Host2 {
    /// A Host that has asked for 2.0 and activated the RMM, on an ordinary machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Config::v2())
    }

    /// As [`Host2::new`], on this machine.
    ///
    /// # Panics
    /// If the monitor refuses.
    #[must_use]
    pub fn with(config: Config) -> Self {
        let host = Self::before_activation(config);
        assert_eq!(host.rmm_activate(), Status::Success);
        host
    }

    /// A Host that has asked for 2.0, and done nothing else.
    ///
    /// # Panics
    /// If the monitor refuses.
    #[must_use]
    pub fn before_activation(config: Config) -> Self {
        let host = Host::with(config);
        assert_eq!(host.version(RMI_VERSION_2_0).0, Status::Success);
        Self(host)
    }

    /// A Host that speaks 2.0 from now on.
    #[must_use]
    pub fn of(host: Host) -> Self {
        Self(host)
    }

    fn status(&self, function: u64, args: &[u64]) -> Status {
        self.call(function, args).status
    }
}

#[allow(missing_docs, reason = "each is the RMI command of its name")]
impl Host2 {
    pub fn rmm_config_set(&self, config_ptr: u64) -> Status {
        self.status(fid::RMI_RMM_CONFIG_SET, &[config_ptr])
    }

    /// Returns the status and the configuration, if the page is Non-secure.
    pub fn rmm_config_get(&self, config_ptr: u64) -> (Status, Option<RmmConfig>) {
        let status = self.status(fid::RMI_RMM_CONFIG_GET, &[config_ptr]);
        let config = (status == Status::Success).then(|| self.get(config_ptr));
        (status, config)
    }

    pub fn rmm_activate(&self) -> Status {
        self.status(fid::RMI_RMM_ACTIVATE, &[])
    }

    pub fn rmm_deactivate(&self) -> Status {
        self.status(fid::RMI_RMM_DEACTIVATE, &[])
    }

    /// Returns the status and the state.
    pub fn rmm_state_get(&self) -> (Status, u64) {
        let Reply { status, x } = self.call(fid::RMI_RMM_STATE_GET, &[]);
        (status, x[1])
    }

    /// Returns the status, category, state and `out_top`.
    pub fn granule_tracking_get(&self, base: u64, top: u64) -> (Status, u64, u64, u64) {
        let Reply { status, x } = self.call(fid::RMI_GRANULE_TRACKING_GET, &[base, top]);
        (status, x[1], x[2], x[3])
    }

    /// Returns the status and `out_top`.
    pub fn granule_range_delegate(&self, base: u64, top: u64) -> (Status, u64) {
        self.with_top(fid::RMI_GRANULE_RANGE_DELEGATE, &[base, top])
    }

    /// Returns the status and `out_top`.
    pub fn granule_range_undelegate(&self, base: u64, top: u64) -> (Status, u64) {
        self.with_top(fid::RMI_GRANULE_RANGE_UNDELEGATE, &[base, top])
    }

    /// Returns the status, `out_top` and the kind.
    pub fn gpt_info(&self, base: u64, top: u64) -> (Status, u64, u64) {
        let Reply { status, x } = self.call(fid::RMI_GPT_INFO, &[base, top]);
        (status, x[1], x[2])
    }

    pub fn gpt_l1_create(&self, addr: u64) -> Status {
        self.status(fid::RMI_GPT_L1_CREATE, &[addr])
    }

    pub fn realm_terminate(&self, rd: u64) -> Status {
        self.status(fid::RMI_REALM_TERMINATE, &[rd])
    }

    pub fn rtt_data_map_init(&self, rd: u64, data: u64, ipa: u64, src: u64, flags: u64) -> Status {
        self.status(fid::RMI_RTT_DATA_MAP_INIT, &[rd, data, ipa, src, flags])
    }

    /// Returns the status and `out_top`.
    pub fn rtt_data_map(
        &self,
        rd: u64,
        range: Range<u64>,
        flags: u64,
        oaddr: u64,
    ) -> (Status, u64) {
        let args = [rd, range.start, range.end, flags, oaddr];
        self.with_top(fid::RMI_RTT_DATA_MAP, &args)
    }

    pub fn rtt_data_unmap(&self, rd: u64, range: Range<u64>, flags: u64, oaddr: u64) -> UnmapReply {
        self.unmap(fid::RMI_RTT_DATA_UNMAP, rd, range, flags, oaddr)
    }

    /// Returns the status and `out_top`.
    pub fn rtt_unprot_map(
        &self,
        rd: u64,
        range: Range<u64>,
        flags: u64,
        oaddr: u64,
    ) -> (Status, u64) {
        let args = [rd, range.start, range.end, flags, oaddr];
        self.with_top(fid::RMI_RTT_UNPROT_MAP, &args)
    }

    pub fn rtt_unprot_unmap(
        &self,
        rd: u64,
        range: Range<u64>,
        flags: u64,
        oaddr: u64,
    ) -> UnmapReply {
        self.unmap(fid::RMI_RTT_UNPROT_UNMAP, rd, range, flags, oaddr)
    }

    /// RMI_PSCI_COMPLETE in the form from 2.0-bet2 on.
    pub fn psci_complete_2(&self, calling_rec: u64, status: i64) -> Status {
        let args = [calling_rec, status.cast_unsigned()];
        self.status(fid::RMI_PSCI_COMPLETE, &args)
    }

    fn unmap(
        &self,
        function: u64,
        rd: u64,
        range: Range<u64>,
        flags: u64,
        oaddr: u64,
    ) -> UnmapReply {
        let args = [rd, range.start, range.end, flags, oaddr];
        let Reply { status, x } = self.call(function, &args);
        UnmapReply {
            status,
            top: x[1],
            range: x[2],
            count: x[3],
        }
    }

    fn with_top(&self, function: u64, args: &[u64]) -> (Status, u64) {
        let Reply { status, x } = self.call(function, args);
        (status, x[1])
    }
}

impl Host2 {
    /// Delegates `[base, top)`, in as many calls as it takes.
    ///
    /// # Panics
    /// If the monitor refuses, or a call makes no progress.
    pub fn delegate_range(&self, base: u64, top: u64) {
        let mut next = base;
        while next < top {
            let (status, out_top) = self.granule_range_delegate(next, top);
            assert_eq!(status, Status::Success, "{next:#x}");
            assert!(out_top > next && out_top <= top, "{out_top:#x}");
            next = out_top;
        }
    }

    /// Undelegates `[base, top)`, in as many calls as it takes, and asserts that it comes back all zero.
    ///
    /// # Panics
    /// If the monitor refuses, a call makes no progress, or something is not zero.
    pub fn undelegate_range(&self, base: u64, top: u64) {
        let mut next = base;
        while next < top {
            let (status, out_top) = self.granule_range_undelegate(next, top);
            assert_eq!(status, Status::Success, "{next:#x}");
            assert!(out_top > next && out_top <= top, "{out_top:#x}");
            for pa in (next..out_top).step_by(GRANULE_SIZE) {
                let content = self.read(pa, GRANULE_SIZE);
                assert!(content.iter().all(|byte| *byte == 0), "{pa:#x}");
            }
            next = out_top;
        }
    }

    /// A new page, delegated.
    #[must_use]
    pub fn granule(&self) -> u64 {
        let pa = self.page();
        self.delegate_range(pa, pa + PAGE);
        pa
    }
}
