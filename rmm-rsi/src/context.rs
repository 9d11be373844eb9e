// SPDX-License-Identifier: BSD-3-Clause
//! What a call needs of the REC that makes it and of its Realm.

use crate::Abort;
use rmm_abi::rmi::{HashAlgorithm, Ripas};
use rmm_abi::rsi::{CHALLENGE_SIZE, MEASUREMENT_SIZE};

/// One REC of one Realm at the moment of a call.
pub trait Context {
    /// IPA width of the Realm in bits, the Unprotected half included.
    fn ipa_width(&self) -> u32;

    /// Hash algorithm of the Realm's measurements.
    fn hash_algorithm(&self) -> HashAlgorithm;

    /// Realm Personalization Value.
    fn rpv(&self) -> [u8; 64];

    /// `SMCCC_VERSION` of this platform: at least 1.2, with FEAT_SVE 1.3, with FEAT_SME 1.4.
    fn smccc_version(&self) -> u64;

    /// Measurement `index`, 0 (the RIM) to 4; a short digest is followed by zeroes.
    fn measurement(&self, index: usize) -> [u8; MEASUREMENT_SIZE];

    /// Extends measurement `index`, 1 to 4, by `value`, 0 to 64 bytes. Reading the old value and
    /// writing the new one are one step as seen from the Realm's other RECs.
    fn extend_measurement(&mut self, index: usize, value: &[u8]);

    /// RIPAS at `base`, and an IPA above `base` up to which it is the same. The IPA may lie beyond
    /// `top`; no entry from `top` on need be looked at. Both are Granule boundaries, Protected.
    fn ripas_extent(&self, base: u64, top: u64) -> (u64, Ripas);

    /// Reads Realm memory from `ipa` on into the parts, one after the other. The range is Protected
    /// and does not cross a Granule. If it cannot be accessed, no part has changed.
    fn read(&mut self, ipa: u64, parts: &mut [&mut [u8]]) -> Result<(), AccessError>;

    /// Writes the parts, one after the other, to Realm memory from `ipa` on. The range is Protected
    /// and does not cross a Granule. If it cannot be accessed, the memory has not changed.
    fn write(&mut self, ipa: u64, parts: &[&[u8]]) -> Result<(), AccessError>;

    /// Index of the calling REC, by which its MPIDR is named.
    fn rec_index(&self) -> u64;

    /// Whether the Realm has a REC of this index.
    fn rec_exists(&self, index: u64) -> bool;

    /// Begins a token generation for `challenge` and ends the one in progress, if any; gives an
    /// upper bound on the size of the token, in bytes. The token has the measurements of this
    /// moment. Cannot fail: what goes wrong is kept for [`Context::token_continue`] to tell.
    fn token_init(&mut self, challenge: &[u8; CHALLENGE_SIZE]) -> u64;

    /// Whether a token generation is in progress: begun, and its last byte not yet delivered.
    fn token_in_progress(&self) -> bool;

    /// Generates the token as far as that has not been done, then writes up to `size` bytes of it
    /// to Realm memory at `ipa`. `size` is 1 to 4096; the range is as in [`Context::write`]. If the
    /// memory cannot be accessed, no byte counts as delivered.
    fn token_continue(&mut self, ipa: u64, size: u64) -> Result<Token, AccessError>;
}

/// Why Realm memory cannot be accessed: the RTT entry is not ASSIGNED with RIPAS RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// RIPAS is EMPTY.
    Empty {
        /// RTT level at which the walk ended, -1 to 3.
        level: i8,
    },
    /// RIPAS is RAM or DESTROYED.
    NotMapped {
        /// RTT level at which the walk ended, -1 to 3.
        level: i8,
    },
}

impl AccessError {
    /// The abort that an access to `ipa` would have met.
    pub(crate) fn abort(self, ipa: u64) -> Abort {
        let (Self::Empty { level } | Self::NotMapped { level }) = self;
        Abort { ipa, level }
    }
}

/// How far [`Context::token_continue`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// `size` bytes are written and more remain.
    More,
    /// `len` bytes, the last ones, are written. The generation is no longer in progress.
    Last {
        /// Number of bytes, at most `size`.
        len: u64,
    },
    /// A physical interrupt is pending; nothing is written.
    Interrupted,
    /// The token cannot be generated. The generation is no longer in progress.
    Failed,
}
