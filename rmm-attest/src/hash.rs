// SPDX-License-Identifier: BSD-3-Clause
//! The hash algorithms of Realm measurements.

use sha2::{Digest, Sha256, Sha512};

/// A machine that can hash.
///
/// A message is the concatenation of its parts, so that a caller need not build it in memory.
pub trait Hash {
    /// SHA-256 (FIPS 180-4) of the concatenated parts.
    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32];

    /// SHA-512 (FIPS 180-4) of the concatenated parts.
    fn sha512(&self, parts: &[&[u8]]) -> [u8; 64];
}

/// Hashing in portable code.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftHash;

impl Hash for SoftHash {
    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        digest::<Sha256>(parts).into()
    }

    fn sha512(&self, parts: &[&[u8]]) -> [u8; 64] {
        digest::<Sha512>(parts).into()
    }
}

/// Digest `D` of the concatenated parts.
fn digest<D: Digest>(parts: &[&[u8]]) -> sha2::digest::Output<D> {
    let mut state = D::new();
    for part in parts {
        state.update(part);
    }
    state.finalize()
}
