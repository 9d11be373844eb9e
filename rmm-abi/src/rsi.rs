// SPDX-License-Identifier: BSD-3-Clause
//! Realm Services Interface 1.0 (specification B5), and 1.1 as far as it needs neither planes nor devices.

use crate::{GRANULE_SIZE, assert_layout};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Function identifiers (specification B5.3).
pub mod fid {
    /// `RSI_VERSION`.
    pub const RSI_VERSION: u64 = 0xC400_0190;
    /// `RSI_FEATURES`.
    pub const RSI_FEATURES: u64 = 0xC400_0191;
    /// `RSI_MEASUREMENT_READ`.
    pub const RSI_MEASUREMENT_READ: u64 = 0xC400_0192;
    /// `RSI_MEASUREMENT_EXTEND`.
    pub const RSI_MEASUREMENT_EXTEND: u64 = 0xC400_0193;
    /// `RSI_ATTESTATION_TOKEN_INIT`.
    pub const RSI_ATTESTATION_TOKEN_INIT: u64 = 0xC400_0194;
    /// `RSI_ATTESTATION_TOKEN_CONTINUE`.
    pub const RSI_ATTESTATION_TOKEN_CONTINUE: u64 = 0xC400_0195;
    /// `RSI_REALM_CONFIG`.
    pub const RSI_REALM_CONFIG: u64 = 0xC400_0196;
    /// `RSI_IPA_STATE_SET`.
    pub const RSI_IPA_STATE_SET: u64 = 0xC400_0197;
    /// `RSI_IPA_STATE_GET`.
    pub const RSI_IPA_STATE_GET: u64 = 0xC400_0198;
    /// `RSI_HOST_CALL`.
    pub const RSI_HOST_CALL: u64 = 0xC400_0199;
}

/// Command completed.
pub const RSI_SUCCESS: u64 = 0;
/// The value of a command input was bad.
pub const RSI_ERROR_INPUT: u64 = 1;
/// The state of the Realm or REC does not permit the command.
pub const RSI_ERROR_STATE: u64 = 2;
/// The operation is not finished; call again.
pub const RSI_INCOMPLETE: u64 = 3;
/// The operation failed for an unknown or implementation-defined reason.
pub const RSI_ERROR_UNKNOWN: u64 = 4;

/// `RsiInterfaceVersion` 1.0: minor in `[15:0]`, major in `[30:16]`.
pub const RSI_VERSION_1_0: u64 = 0x1_0000;
/// `RsiInterfaceVersion` 1.1.
pub const RSI_VERSION_1_1: u64 = 0x1_0001;

/// `RsiResponse`: the Host accepted the request.
pub const RSI_ACCEPT: u64 = 0;
/// `RsiResponse`: the Host rejected the request.
pub const RSI_REJECT: u64 = 1;

/// Measurement index of the RIM; 1 to [`MAX_MEASUREMENT_INDEX`] are REM 0 to 3.
pub const RIM_INDEX: u64 = 0;
/// Largest measurement index.
pub const MAX_MEASUREMENT_INDEX: u64 = 4;
/// Size of a measurement, in bytes; zeroes follow a shorter digest.
pub const MEASUREMENT_SIZE: usize = 64;
/// Size of the challenge of an attestation token, in bytes.
pub const CHALLENGE_SIZE: usize = 64;

/// `RsiRipasChangeFlags.destroyed`: RIPAS may also change away from DESTROYED.
pub const RIPAS_CHANGE_DESTROYED: u64 = 1;

/// `RsiRipas` (specification B5.4.6), 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RsiRipas {
    /// Not used by the Realm.
    Empty = 0,
    /// Private memory of the Realm.
    Ram = 1,
    /// The Host has destroyed the content. Reported, never requested.
    Destroyed = 2,
    /// Device memory. No command of RSI 1.0 produces it.
    Dev = 3,
}

impl TryFrom<u8> for RsiRipas {
    /// The reserved encoding.
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            0 => Ok(Self::Empty),
            1 => Ok(Self::Ram),
            2 => Ok(Self::Destroyed),
            3 => Ok(Self::Dev),
            other => Err(other),
        }
    }
}

/// `RsiHostCall` (specification B5.4.3), 256 bytes, aligned to its size in Realm memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HostCall {
    /// Immediate value, opaque to the RMM.
    pub imm: u16,
    /// Should be zero.
    pub _reserved: [u8; 6],
    /// X0 to X30: at the exit the values for the Host, at the next entry the values of the Host.
    pub gprs: [u64; 31],
}

assert_layout!(HostCall, 0x100, { imm: 0, gprs: 8 });

/// `RsiRealmConfig` (specification B5.4.5), one Granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RealmConfig {
    /// IPA width of the Realm in bits, including the Unprotected half.
    pub ipa_width: u64,
    /// `RsiHashAlgorithm`: 0 is SHA-256, 1 is SHA-512, 2 is SHA-384 (RSI 1.1).
    pub hash_algo: u8,
    /// Must be zero.
    pub _reserved0: [u8; 0x1F7],
    /// Realm Personalization Value.
    pub rpv: [u8; 64],
    /// Must be zero.
    pub _reserved1: [u8; 0xDC0],
}

assert_layout!(RealmConfig, GRANULE_SIZE, { ipa_width: 0, hash_algo: 8, rpv: 0x200 });
