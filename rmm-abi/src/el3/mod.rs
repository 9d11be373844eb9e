// SPDX-License-Identifier: BSD-3-Clause
//! RMM-EL3 interface 0.1 to 2.0 and its boot manifest 0.1 to 0.5.

mod manifest;
mod sign;

pub use manifest::{
    BdfMapping, BootManifest, Console, List, MemoryBank, RootComplex, RootComplexList, RootPort,
    Smmu, checksum_holds, checksum_of, size_for,
};
pub use sign::{
    HASH_ALG_SHA_384, SIGN_ALG_ECDSA_P384, TOKEN_SIGN_GET_PUBLIC_KEY, TOKEN_SIGN_PULL,
    TOKEN_SIGN_PUSH, TokenSignRequest, TokenSignResponse,
};

/// Function identifiers, all called by the RMM.
pub mod fid {
    /// `RMM_RMI_REQ_COMPLETE`: results of an RMI command; returns with the next command.
    pub const RMM_RMI_REQ_COMPLETE: u64 = 0xC400_018F;
    /// `RMM_GTSI_DELEGATE`: a granule from Non-secure to Realm PAS.
    pub const RMM_GTSI_DELEGATE: u64 = 0xC400_01B0;
    /// `RMM_GTSI_UNDELEGATE`: a granule from Realm to Non-secure PAS.
    pub const RMM_GTSI_UNDELEGATE: u64 = 0xC400_01B1;
    /// `RMM_ATTEST_GET_REALM_KEY`.
    pub const RMM_ATTEST_GET_REALM_KEY: u64 = 0xC400_01B2;
    /// `RMM_ATTEST_GET_PLAT_TOKEN`.
    pub const RMM_ATTEST_GET_PLAT_TOKEN: u64 = 0xC400_01B3;
    /// `RMM_EL3_FEATURES`, since 0.4.
    pub const RMM_EL3_FEATURES: u64 = 0xC400_01B4;
    /// `RMM_EL3_TOKEN_SIGN`, since 0.4, if feature register 0 offers it.
    pub const RMM_EL3_TOKEN_SIGN: u64 = 0xC400_01B5;
    /// `RMM_MECID_KEY_UPDATE` (0.5 to 0.7) or `RMM_MEC_REFRESH` (since 0.8).
    pub const RMM_MEC_REFRESH: u64 = 0xC400_01B6;
    /// `RMM_IDE_KEY_PROG`, since 0.6.
    pub const RMM_IDE_KEY_PROG: u64 = 0xC400_01B7;
    /// `RMM_IDE_KEY_SET_GO`, since 0.6.
    pub const RMM_IDE_KEY_SET_GO: u64 = 0xC400_01B8;
    /// `RMM_IDE_KEY_SET_STOP`, since 0.6.
    pub const RMM_IDE_KEY_SET_STOP: u64 = 0xC400_01B9;
    /// `RMM_IDE_KM_PULL_RESPONSE`, since 0.6.
    pub const RMM_IDE_KM_PULL_RESPONSE: u64 = 0xC400_01BA;
    /// `RMM_RESERVE_MEMORY`, since 0.7.
    pub const RMM_RESERVE_MEMORY: u64 = 0xC400_01BB;
    /// `RMM_BOOT_COMPLETE`.
    pub const RMM_BOOT_COMPLETE: u64 = 0xC400_01CF;
}

/// Status of `RMM_BOOT_COMPLETE`, in X1.
pub mod boot {
    /// `E_RMM_BOOT_SUCCESS`.
    pub const SUCCESS: i64 = 0;
    /// `E_RMM_BOOT_UNKNOWN`: any other failure.
    pub const UNKNOWN: i64 = -1;
    /// `E_RMM_BOOT_VERSION_MISMATCH`: interface version not supported.
    pub const VERSION_MISMATCH: i64 = -2;
    /// `E_RMM_BOOT_CPUS_OUT_OF_RANGE`: more CPUs than the RMM supports.
    pub const CPUS_OUT_OF_RANGE: i64 = -3;
    /// `E_RMM_BOOT_CPU_ID_OUT_OF_RANGE`: CPU index not below the number of CPUs.
    pub const CPU_ID_OUT_OF_RANGE: i64 = -4;
    /// `E_RMM_BOOT_INVALID_SHARED_BUFFER`: the address of the shared buffer is zero or not aligned.
    pub const INVALID_SHARED_BUFFER: i64 = -5;
    /// `E_RMM_BOOT_MANIFEST_VERSION_NOT_SUPPORTED`.
    pub const MANIFEST_VERSION_NOT_SUPPORTED: i64 = -6;
    /// `E_RMM_BOOT_MANIFEST_DATA_ERROR`: the manifest breaks a rule.
    pub const MANIFEST_DATA_ERROR: i64 = -7;
}

/// Status of every other call, in X0 as a signed 64-bit number.
pub mod error {
    /// `E_RMM_OK`.
    pub const OK: i64 = 0;
    /// `E_RMM_UNK`: unknown, unsupported or failed.
    pub const UNK: i64 = -1;
    /// `E_RMM_BAD_ADDR`.
    pub const BAD_ADDR: i64 = -2;
    /// `E_RMM_BAD_PAS`.
    pub const BAD_PAS: i64 = -3;
    /// `E_RMM_NOMEM`.
    pub const NOMEM: i64 = -4;
    /// `E_RMM_INVAL`.
    pub const INVAL: i64 = -5;
    /// `E_RMM_AGAIN`, since 0.3.
    pub const AGAIN: i64 = -6;
    /// `E_RMM_FAULT`, since 0.6.
    pub const FAULT: i64 = -7;
    /// `E_RMM_IN_PROGRESS`, since 0.6.
    pub const IN_PROGRESS: i64 = -8;
}

/// Elliptic curve argument: NIST P-384.
pub const CURVE_P384: u64 = 0;

/// Bit of EL3 feature register 0: `RMM_EL3_TOKEN_SIGN` is available.
pub const FEATURE_TOKEN_SIGN: u64 = 1;

/// Version of the RMM-EL3 interface or of the boot manifest. Ordered by major, then minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major number: a change breaks compatibility. 15 bits.
    pub major: u16,
    /// Minor number: a change only adds.
    pub minor: u16,
}

impl Version {
    /// A version from its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Decodes minor `[15:0]` and major `[30:16]`; `None` if a higher bit is set.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fields are cut to their width"
    )]
    pub const fn decode(bits: u64) -> Option<Self> {
        if bits >> 31 != 0 {
            return None;
        }
        Some(Self {
            major: (bits >> 16) as u16,
            minor: bits as u16,
        })
    }

    /// Encodes; the inverse of [`Version::decode`].
    #[must_use]
    pub const fn encode(self) -> u64 {
        ((self.major & 0x7FFF) as u64) << 16 | self.minor as u64
    }
}
