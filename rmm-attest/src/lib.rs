// SPDX-License-Identifier: BSD-3-Clause
//! Attestation of Realms (specification A7).
//!
//! # Measurements
//! A Realm has one Realm Initial Measurement, the RIM, which covers how the Host built the Realm until
//! its activation ([`rim`]), and four Realm Extensible Measurements, the REMs, which the Realm itself
//! extends ([`rem`]). [`Hash`] computes them. The functions are pure: they return the new value of a
//! measurement.
//!
//! # Tokens
//! A token has two parts. The platform token comes from EL3 at boot. The Realm token has the
//! measurements of one Realm and the challenge of a relying party, and is signed with the Realm
//! Attestation Key ([`RealmAttestationKey`]); its challenge, the hash of the public key, binds the
//! platform token to that key. Boot makes an [`Attestation`] of both, and each REC has a
//! [`TokenContext`], which builds a token in short steps.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod cbor;
mod claims;
mod ecdsa;
mod hash;
mod key;
mod measurement;
mod platform;
pub mod rem;
pub mod rim;
mod token;

pub use claims::{Form, RealmClaims};
pub use hash::{Compress, Hash, Hasher, KnownBlock, SoftHash};
pub use key::{
    InvalidKey, PRIVATE_KEY_SIZE, PUBLIC_POINT_SIZE, RealmAttestationKey, RealmPublicKey,
};
pub use measurement::Measurement;
pub use platform::is_platform_token;
pub use token::{Attestation, Piece, Progress, Signer, TokenContext};
