// SPDX-License-Identifier: BSD-3-Clause
//! How a relying party releases a secret to an attested Realm, over any carrier of bytes.
//!
//! The carrier, the Host among it, is not trusted: it can read, change, drop and repeat everything.
//!
//! | from | message | body |
//! |---|---|---|
//! | guest | hello | a fresh X25519 public key, 32 bytes |
//! | relying party | nonce | 32 random bytes |
//! | guest | token | a CCA token whose challenge is [`challenge`] of nonce and key |
//! | relying party | release | [`release`]: the secret, encrypted to the key; or |
//! | relying party | refused | nothing |
//! | guest | received | proof that the guest could decrypt |
//!
//! The token proves that the Realm with this RIM chose the key now, because its challenge is a hash of key
//! and nonce. So the secret can be decrypted in that Realm alone, whoever carries the messages.
//! The guest repeats hello and token until there is an answer, and the relying party repeats its answers, so
//! lost messages only cost time.
//!
//! The guest does not authenticate the relying party: a Host can pretend to be one and release a secret of its
//! own choice. It learns nothing by that, but a guest must not take whatever a released secret opens for the
//! relying party's word.
//!
//! [`carrier`] has the framing, [`guest`] and `party` the two sides.

pub mod carrier;
pub mod guest;
#[cfg(feature = "verifier")]
pub mod party;
pub mod release;

use sha2::{Digest, Sha512};

/// Size in bytes of the guest's public key.
pub const KEY_SIZE: usize = 32;

/// Size in bytes of the relying party's nonce.
pub const NONCE_SIZE: usize = 32;

/// What the hash is for, so that no other use of a token has the same challenge.
const DOMAIN: &[u8] = b"cca-token: release of a secret, version 1";

/// The challenge of the token: SHA-512 of a domain string, nonce and key. All parts have fixed sizes.
pub fn challenge(nonce: &[u8; NONCE_SIZE], key: &[u8; KEY_SIZE]) -> [u8; 64] {
    Sha512::new()
        .chain_update(DOMAIN)
        .chain_update(nonce)
        .chain_update(key)
        .finalize()
        .into()
}
