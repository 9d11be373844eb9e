// SPDX-License-Identifier: BSD-3-Clause
//! The dialects of EL3: what depends on the version of the RMM-EL3 interface.

use rmm_abi::el3::Version;

/// The RMM-EL3 interface that EL3 speaks, as its boot arguments announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct El3Interface {
    version: Version,
}

impl El3Interface {
    /// The interface of that version; `None` if this monitor does not speak it.
    ///
    /// Spoken are 0.1 up and 2.0 up; a higher minor number only adds. Major number 1 was never
    /// released, so nothing is known of it.
    #[must_use]
    pub const fn new(version: Version) -> Option<Self> {
        match (version.major, version.minor) {
            (0, 1..) | (2, _) => Some(Self { version }),
            _ => None,
        }
    }

    /// The version EL3 announced.
    #[must_use]
    pub const fn version(self) -> Version {
        self.version
    }

    const fn at_least(self, major: u16, minor: u16) -> bool {
        self.version.major > major || (self.version.major == major && self.version.minor >= minor)
    }

    /// How many result registers of an RMI command reach the Host, from X0 up.
    ///
    /// The one behind the command's own results and those after it must hold what the Host passed
    /// in them: X4 before 2.0, X4 to X7 since.
    #[must_use]
    pub const fn result_registers(self) -> usize {
        if self.at_least(2, 0) { 8 } else { 5 }
    }

    /// `ICC_SRE_EL2`, `ICH_HCR_EL2` and `ICH_VMCR_EL2` are the Host's also while the monitor runs:
    /// whoever changes them restores them.
    #[must_use]
    pub const fn shares_gic_registers(self) -> bool {
        self.at_least(2, 0)
    }

    /// Pointer authentication keys are banked, and its instructions do not trap to EL3.
    #[must_use]
    pub const fn banks_pauth_keys(self) -> bool {
        self.at_least(0, 2)
    }

    /// `BRBCR_EL2` is banked, or branch records are kept from Realm world.
    #[must_use]
    pub const fn banks_branch_records(self) -> bool {
        self.at_least(0, 4)
    }

    /// MPAM is not kept from Realm world as a matter of course.
    #[must_use]
    pub const fn opens_mpam(self) -> bool {
        self.at_least(0, 6)
    }

    /// The platform token may come in pieces, and X2 tells how much is left.
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

    /// EL3 keeps an activation token for each CPU: passes it at boot and takes it with
    /// RMM_BOOT_COMPLETE.
    #[must_use]
    pub const fn has_activation_token(self) -> bool {
        self.at_least(0, 8)
    }
}
