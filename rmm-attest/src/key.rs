// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Attestation Key (RAK).

use crate::Hash;
use crate::ecdsa::{self, Bytes, SIZE};
use crate::hash::{Part, Sha256, digest};
use p384::elliptic_curve::PrimeField;
use p384::elliptic_curve::zeroize::{Zeroize, ZeroizeOnDrop};
use p384::{PublicKey, Scalar};
use zerocopy::{Immutable, IntoBytes, Unaligned};

/// Size of a private key in bytes.
pub const PRIVATE_KEY_SIZE: usize = SIZE;

/// Size of a public key as EL3 has it, in bytes: 0x04, x and y.
pub const PUBLIC_POINT_SIZE: usize = 1 + 2 * SIZE;

/// The bytes are not a key on P-384.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey;

/// The private key with its public key. Dropping it wipes the private key.
///
/// Nothing formats the private key:
/// ```compile_fail,E0277
/// fn can_be_formatted<T: core::fmt::Debug>() {}
/// can_be_formatted::<rmm_attest::RealmAttestationKey>();
/// ```
pub struct RealmAttestationKey {
    secret: Scalar,
    public: RealmPublicKey,
}

impl RealmAttestationKey {
    /// Takes a private key, big-endian, and derives the public key from it, which takes long. The
    /// caller wipes `secret`.
    ///
    /// # Errors
    /// The key is zero or not below the order of the group.
    pub fn new(secret: &[u8; PRIVATE_KEY_SIZE]) -> Result<Self, InvalidKey> {
        let secret: Option<Scalar> = Scalar::from_repr((*secret).into()).into();
        let secret = secret.ok_or(InvalidKey)?;
        let (x, y) = ecdsa::public_point(&secret).ok_or(InvalidKey)?;
        Ok(Self {
            secret,
            public: RealmPublicKey::from_coordinates(&x, &y),
        })
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &RealmPublicKey {
        &self.public
    }

    /// The private key.
    pub(crate) const fn secret(&self) -> &Scalar {
        &self.secret
    }
}

impl Drop for RealmAttestationKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ZeroizeOnDrop for RealmAttestationKey {}

/// The public key, in the form that tokens and the hash of the key need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmPublicKey(CoseKey);

/// A COSE_Key (RFC 9052) in CBOR.
#[derive(Clone, Debug, PartialEq, Eq, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct CoseKey {
    head: [u8; 8],
    x: Bytes,
    head_of_y: [u8; 3],
    y: Bytes,
}

impl RealmPublicKey {
    /// Takes a public key as EL3 has it: an uncompressed point (SEC 1).
    ///
    /// # Errors
    /// The bytes are not an uncompressed point of the curve.
    pub fn new(point: &[u8; PUBLIC_POINT_SIZE]) -> Result<Self, InvalidKey> {
        PublicKey::from_sec1_bytes(point).map_err(|_| InvalidKey)?;
        let [_, coordinates @ ..] = point;
        let (x, y) = coordinates.split_at(SIZE);
        match (x.try_into(), y.try_into()) {
            (Ok(x), Ok(y)) => Ok(Self::from_coordinates(x, y)),
            _ => Err(InvalidKey),
        }
    }

    fn from_coordinates(x: &Bytes, y: &Bytes) -> Self {
        Self(CoseKey {
            // A map of 4: kty (1) is EC2 (2), crv (-1) is P-384 (2), x (-2) is a byte string of 48,
            head: [0xA4, 0x01, 0x02, 0x20, 0x02, 0x21, 0x58, 0x30],
            x: *x,
            // y (-3) is a byte string of 48.
            head_of_y: [0x22, 0x58, 0x30],
            y: *y,
        })
    }

    /// The key as a COSE_Key: the content of its claim.
    #[must_use]
    pub fn cose_key(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The hash that binds the platform token to the key, and is the challenge of the platform token:
    /// SHA-256 of the COSE_Key.
    #[must_use]
    pub fn hash(&self, hash: &impl Hash) -> [u8; 32] {
        hash.hashing(|hasher| digest(hasher, Sha256, &[Part::Bytes(self.cose_key())]))
    }
}
