// SPDX-License-Identifier: BSD-3-Clause
//! The calling REC and its Realm, as this crate needs them.

use crate::Abort;
use rmm_abi::rmi::{HashAlgorithm, Ripas};
use rmm_abi::rsi::{CHALLENGE_SIZE, MEASUREMENT_SIZE};

/// The calling REC and its Realm.
pub trait Context {
    /// IPA width of the Realm in bits, including the Unprotected half.
    fn ipa_width(&self) -> u32;

    /// Hash algorithm of the Realm's measurements.
    fn hash_algorithm(&self) -> HashAlgorithm;

    /// Realm Personalization Value.
    fn rpv(&self) -> [u8; 64];

    /// Whether the Realm may use RSI 1.1 besides 1.0.
    fn has_rsi_1_1(&self) -> bool;

    /// `SMCCC_VERSION` of this platform: at least 1.2, 1.3 with FEAT_SVE, 1.4 with FEAT_SME.
    fn smccc_version(&self) -> u64;

    /// Measurement `index`, 0 (the RIM) to 4; zeroes follow a short digest.
    fn measurement(&self, index: usize) -> [u8; MEASUREMENT_SIZE];

    /// Extends measurement `index`, 1 to 4, by `value`, 0 to 64 bytes. It is one atomic step for the
    /// other RECs of the Realm.
    fn extend_measurement(&mut self, index: usize, value: &[u8]);

    /// RIPAS at `base`, and an IPA above `base` up to which the RIPAS is the same. `base` and `top` are
    /// Granule boundaries in the Protected half. The IPA may be greater than `top`, but the search may
    /// stop there.
    fn ripas_extent(&self, base: u64, top: u64) -> (u64, Ripas);

    /// Reads Realm memory from `ipa` on into the parts, one after the other. The range is Protected
    /// and lies in one Granule. On an error no part has changed.
    fn read(&mut self, ipa: u64, parts: &mut [&mut [u8]]) -> Result<(), AccessError>;

    /// Writes the parts, one after the other, to Realm memory from `ipa` on. The range is Protected
    /// and lies in one Granule. On an error the memory has not changed.
    fn write(&mut self, ipa: u64, parts: &[&[u8]]) -> Result<(), AccessError>;

    /// Writes a whole Granule of Realm memory, which is Protected: the parts, each from its offset on, and
    /// zero bytes. On an error the memory has not changed.
    fn write_whole(&mut self, ipa: u64, parts: &[(usize, &[u8])]) -> Result<(), AccessError>;

    /// Index of the calling REC, which its MPIDR encodes.
    fn rec_index(&self) -> u64;

    /// Whether the Realm has a REC with this index.
    fn rec_exists(&self, index: u64) -> bool;

    /// Whether the REC with this index, which is not the calling one, is on; `None` if only the Host can
    /// tell.
    fn rec_is_on(&self, index: u64) -> Option<bool>;

    /// Begins the generation of a token with this challenge, and ends the one in progress on this REC.
    /// The token has the measurements of this moment. Returns an upper bound on its size, in bytes.
    ///
    /// This cannot fail: [`Context::token_step`] reports that there can be no token.
    fn token_init(&mut self, challenge: &[u8; CHALLENGE_SIZE]) -> u64;

    /// Whether a token generation is in progress (`attest_state`): it has begun, and the Realm does not
    /// have all bytes of the token yet.
    fn token_in_progress(&self) -> bool;

    /// Does one step of the generation in progress, short enough that a pending interrupt can wait for
    /// its end. A generation has a limited number of steps.
    fn token_step(&mut self) -> TokenStep;

    /// Whether a physical interrupt is pending on this CPU.
    fn interrupt_pending(&self) -> bool;

    /// Writes the next bytes of the token, which is [ready](TokenStep::Ready), to Realm memory at `ipa`:
    /// `size` bytes, or the rest of the token if it has fewer. `size` is 1 to 4096; the range is as in
    /// [`Context::write`]. On an error the same bytes are next again.
    fn token_write(&mut self, ipa: u64, size: u64) -> Result<TokenPiece, AccessError>;
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

/// Result of [`Context::token_step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStep {
    /// More steps follow.
    Working,
    /// The token is ready. Further steps do nothing.
    Ready,
    /// The next step has to wait for another agent, which may take long.
    Waiting,
    /// The token cannot be generated. The generation is no longer in progress.
    Failed,
}

/// Result of [`Context::token_write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPiece {
    /// `size` bytes are written, and more remain.
    More,
    /// The last `len` bytes are written, at most `size`. The generation is no longer in progress.
    Last {
        /// Number of bytes.
        len: u64,
    },
}
