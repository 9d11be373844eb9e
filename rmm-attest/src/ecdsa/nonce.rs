// SPDX-License-Identifier: BSD-3-Clause
//! Deterministic nonces (RFC 6979), with HMAC-SHA-384.

use super::{Bytes, SIZE};
use hmac::digest::{KeyInit, Mac};
use p384::elliptic_curve::{PrimeField, ops::Reduce};
use p384::{FieldBytes, Scalar};
use sha2::Sha384;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// State of the generator: the variables K and V of RFC 6979, section 3.2.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Generator {
    k: Bytes,
    v: Bytes,
}

impl Generator {
    /// The initial state: steps b and c.
    pub fn new() -> Self {
        Self {
            k: [0; SIZE],
            v: [1; SIZE],
        }
    }

    /// Seeds the generator with the secret key and the digest to be signed: steps d and e for round 0,
    /// steps f and g for round 1.
    pub fn seed(&mut self, round: u8, secret: &Scalar, digest: &Bytes) {
        let digest = Scalar::reduce(&FieldBytes::from(*digest));
        self.update(round, [&secret.to_repr(), &digest.to_repr()]);
    }

    /// The next candidate for a nonce, which is one if it is at least 1 and below the order: step h.
    pub fn candidate(&mut self) -> Bytes {
        self.v = mac(&self.k, &[&self.v]);
        self.v
    }

    /// Prepares the generator for another candidate after one that is not a nonce: end of step h.
    pub fn reject(&mut self) {
        self.update(0, [&[], &[]]);
    }

    fn update(&mut self, round: u8, [secret, digest]: [&[u8]; 2]) {
        self.k = mac(&self.k, &[&self.v, &[round], secret, digest]);
        self.v = mac(&self.k, &[&self.v]);
    }
}

/// HMAC-SHA-384 of the concatenated parts.
fn mac(key: &Bytes, parts: &[&[u8]]) -> Bytes {
    let mut block = hmac::digest::Key::<hmac::Hmac<Sha384>>::default();
    // HMAC pads a shorter key to the block size with zeroes.
    block[..SIZE].copy_from_slice(key);
    let mut mac = hmac::Hmac::<Sha384>::new(&block);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
