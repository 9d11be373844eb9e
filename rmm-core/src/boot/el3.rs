// SPDX-License-Identifier: BSD-3-Clause
//! The versions of the RMM-EL3 interface, and what differs between them.

use rmm_abi::el3::Version;

/// The RMM-EL3 interface of EL3, whose version is among the boot arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct El3Interface {
    version: Version,
}

impl El3Interface {
    /// The interface of that version; `None` if this monitor does not support it.
    ///
    /// Supported are 0.1 and 2.0 and higher minor numbers of both, which only add to them. Major number 1
    /// was never released.
    #[must_use]
    pub const fn new(version: Version) -> Option<Self> {
        match (version.major, version.minor) {
            (0, 1..) | (2, _) => Some(Self { version }),
            _ => None,
        }
    }

    /// The version.
    #[must_use]
    pub const fn version(self) -> Version {
        self.version
    }

    const fn at_least(self, major: u16, minor: u16) -> bool {
        self.version.major > major || (self.version.major == major && self.version.minor >= minor)
    }

    /// EL3 does not bank `ICC_SRE_EL2`, `ICH_HCR_EL2` and `ICH_VMCR_EL2`: they hold the Host's values
    /// while the monitor runs, which restores what it changes.
    #[must_use]
    pub const fn shares_gic_registers(self) -> bool {
        self.at_least(2, 0)
    }

    /// EL3 forwards all RMI 2.0 calls, and leaves the registers of the virtual GIC interface as the Host
    /// has set them.
    #[must_use]
    pub const fn carries_rmi_2(self) -> bool {
        self.at_least(2, 0)
    }

    /// EL3 banks the pointer authentication keys, and the instructions do not trap to EL3.
    #[must_use]
    pub const fn banks_pauth_keys(self) -> bool {
        self.at_least(0, 2)
    }

    /// EL3 banks `BRBCR_EL2`, or keeps branch records closed to Realm world.
    #[must_use]
    pub const fn banks_branch_records(self) -> bool {
        self.at_least(0, 4)
    }

    /// EL3 may leave MPAM open to Realm world.
    #[must_use]
    pub const fn opens_mpam(self) -> bool {
        self.at_least(0, 6)
    }

    /// The platform token may come in pieces, and X2 says how much is left.
    #[must_use]
    pub const fn token_in_pieces(self) -> bool {
        self.at_least(0, 3)
    }

    /// RMM_EL3_FEATURES exists.
    #[must_use]
    pub const fn has_features(self) -> bool {
        self.at_least(0, 4)
    }

    /// RMM_RESERVE_MEMORY exists; it may still answer that it has no memory.
    #[must_use]
    pub const fn has_reserve_memory(self) -> bool {
        self.at_least(0, 7)
    }

    /// EL3 keeps an activation token for each CPU: it passes the token at boot and receives it with
    /// RMM_BOOT_COMPLETE.
    #[must_use]
    pub const fn has_activation_token(self) -> bool {
        self.at_least(0, 8)
    }
}
