// SPDX-License-Identifier: BSD-3-Clause
//! The Power State Coordination Interface (Arm DEN0022) as the RMM offers it to a Realm.

/// Function identifiers.
pub mod fid {
    /// `PSCI_VERSION`.
    pub const PSCI_VERSION: u64 = 0x8400_0000;
    /// `PSCI_CPU_OFF`.
    pub const PSCI_CPU_OFF: u64 = 0x8400_0002;
    /// `PSCI_SYSTEM_OFF`.
    pub const PSCI_SYSTEM_OFF: u64 = 0x8400_0008;
    /// `PSCI_SYSTEM_RESET`.
    pub const PSCI_SYSTEM_RESET: u64 = 0x8400_0009;
    /// `PSCI_FEATURES`.
    pub const PSCI_FEATURES: u64 = 0x8400_000A;
    /// `PSCI_CPU_SUSPEND`, SMC64.
    pub const PSCI_CPU_SUSPEND: u64 = 0xC400_0001;
    /// `PSCI_CPU_ON`, SMC64.
    pub const PSCI_CPU_ON: u64 = 0xC400_0003;
    /// `PSCI_AFFINITY_INFO`, SMC64.
    pub const PSCI_AFFINITY_INFO: u64 = 0xC400_0004;
}

/// Version 1.1 as `PSCI_VERSION` returns it.
pub const VERSION_1_1: u64 = 0x1_0001;

/// `PSCI_SUCCESS`.
pub const SUCCESS: u64 = 0;
/// `PSCI_NOT_SUPPORTED`, -1, sign-extended to 64 bits as all errors are.
pub const NOT_SUPPORTED: u64 = (-1i64).cast_unsigned();
/// `PSCI_INVALID_PARAMETERS`, -2.
pub const INVALID_PARAMETERS: u64 = (-2i64).cast_unsigned();
/// `PSCI_DENIED`, -3.
pub const DENIED: u64 = (-3i64).cast_unsigned();
/// `PSCI_ALREADY_ON`, -4.
pub const ALREADY_ON: u64 = (-4i64).cast_unsigned();
/// `PSCI_ON_PENDING`, -5.
pub const ON_PENDING: u64 = (-5i64).cast_unsigned();
/// `PSCI_INTERNAL_FAILURE`, -6.
pub const INTERNAL_FAILURE: u64 = (-6i64).cast_unsigned();
/// `PSCI_NOT_PRESENT`, -7.
pub const NOT_PRESENT: u64 = (-7i64).cast_unsigned();
/// `PSCI_DISABLED`, -8.
pub const DISABLED: u64 = (-8i64).cast_unsigned();
/// `PSCI_INVALID_ADDRESS`, -9.
pub const INVALID_ADDRESS: u64 = (-9i64).cast_unsigned();

/// Result of `PSCI_AFFINITY_INFO`: the processing element is on.
pub const AFFINITY_ON: u64 = 0;
/// Result of `PSCI_AFFINITY_INFO`: the processing element is off.
pub const AFFINITY_OFF: u64 = 1;
