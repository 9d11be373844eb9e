// SPDX-License-Identifier: BSD-3-Clause
//! The value of a measurement.

use crate::Hash;
use crate::hash::{Part, Sha256, Sha512, digest, digest_384};
use rmm_abi::rmi::HashAlgorithm;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `RmmRealmMeasurement` (specification C1.17): 512 bits. A shorter digest fills the low bytes and
/// zeroes the rest.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Measurement(pub [u8; 64]);

impl Measurement {
    /// The initial value of a REM, and the hash of content that is not measured.
    pub const ZERO: Self = Self([0; 64]);

    /// Hashes bytes with the algorithm of a Realm.
    #[must_use]
    pub fn of(hash: &impl Hash, algorithm: HashAlgorithm, bytes: &[u8]) -> Self {
        Self::of_parts(hash, algorithm, &[Part::Bytes(bytes)])
    }

    /// As [`Measurement::of`], for the concatenated parts.
    pub(crate) fn of_parts(hash: &impl Hash, algorithm: HashAlgorithm, parts: &[Part<'_>]) -> Self {
        hash.hashing(|hasher| match algorithm {
            HashAlgorithm::Sha256 => {
                let mut value = Self::ZERO;
                let (low, _) = value.0.split_at_mut(digest_size(algorithm));
                low.copy_from_slice(&digest(hasher, Sha256, parts));
                value
            }
            HashAlgorithm::Sha384 => {
                let mut value = Self::ZERO;
                let (low, _) = value.0.split_at_mut(digest_size(algorithm));
                low.copy_from_slice(&digest_384(hasher, parts));
                value
            }
            HashAlgorithm::Sha512 => Self(digest(hasher, Sha512, parts)),
        })
    }

    /// The digest: the first 32 bytes for SHA-256, 48 for SHA-384, all 64 for SHA-512.
    #[must_use]
    pub fn digest(&self, algorithm: HashAlgorithm) -> &[u8] {
        self.0.split_at(digest_size(algorithm)).0
    }
}

/// Size of a digest in bytes.
const fn digest_size(algorithm: HashAlgorithm) -> usize {
    match algorithm {
        HashAlgorithm::Sha256 => 32,
        HashAlgorithm::Sha384 => 48,
        HashAlgorithm::Sha512 => 64,
    }
}
