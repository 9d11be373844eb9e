// SPDX-License-Identifier: BSD-3-Clause
//! The encrypted secret: HPKE (RFC 9180) in base mode with X25519, HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! The context of the encryption is the challenge and a hash of the token, so a release can be decrypted only
//! by the guest whose token led to it. Its body is the encapsulated key and the ciphertext.

use std::fmt;

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::KEY_SIZE;
use crate::seal::{self, SECRET_SIZE, Secret};

type Sender = AeadCtxS<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;
type Receiver = AeadCtxR<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;

const ENCAPSULATED: usize = 32;
const TAG: usize = 16;

/// Size in bytes of a release.
pub const RELEASE_SIZE: usize = ENCAPSULATED + SECRET_SIZE + TAG;

/// Size in bytes of the proof of receipt.
pub const PROOF_SIZE: usize = 32;

const DOMAIN: &[u8] = b"cca-token: released secret, version 1";
const PROOF: &[u8] = b"received";

/// A release that cannot be made or decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The guest's key is not one of X25519 that can be encrypted to.
    #[error("the guest's public key is unusable")]
    Key,
    /// The release is not for this guest and token, or it was changed.
    #[error("the release is not for this guest and token, or it was changed")]
    Release,
}

fn info(challenge: &[u8; 64], token: &[u8]) -> Vec<u8> {
    [DOMAIN, challenge, &Sha256::digest(token)].concat()
}

/// The guest's key, made anew for each exchange.
pub struct GuestKey {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: [u8; KEY_SIZE],
}

impl fmt::Debug for GuestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestKey({})", crate::hex::encode(&self.public))
    }
}

impl GuestKey {
    /// A new key, from the operating system's random numbers.
    ///
    /// # Errors
    /// [`seal::Error::NoRandomness`].
    pub fn new() -> Result<Self, seal::Error> {
        let material = Zeroizing::new(seal::random::<32>()?);
        let (private, public) = X25519HkdfSha256::derive_keypair(&*material);
        Ok(Self {
            private,
            public: public.to_bytes().into(),
        })
    }

    /// The public half.
    pub fn public(&self) -> &[u8; KEY_SIZE] {
        &self.public
    }

    /// Decrypts a release. Returns the secret and the proof of receipt.
    ///
    /// # Errors
    /// [`Error::Release`].
    pub fn open(
        &self,
        challenge: &[u8; 64],
        token: &[u8],
        release: &[u8],
    ) -> Result<(Secret, [u8; PROOF_SIZE]), Error> {
        let (encapsulated, encrypted) = release
            .split_first_chunk::<ENCAPSULATED>()
            .ok_or(Error::Release)?;
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| Error::Release)?;
        let mut context: Receiver = setup_receiver(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            &info(challenge, token),
        )
        .map_err(|_| Error::Release)?;
        let secret = context
            .open(encrypted, &[])
            .map(Zeroizing::new)
            .map_err(|_| Error::Release)?;
        let secret = Secret::from_bytes(&secret).ok_or(Error::Release)?;
        let mut proof = [0; PROOF_SIZE];
        context
            .export(PROOF, &mut proof)
            .map_err(|_| Error::Release)?;
        Ok((secret, proof))
    }
}

/// Encrypts `secret` to the guest's key. Returns the release and the proof of receipt to expect.
///
/// # Errors
/// [`Error::Key`].
pub fn release(
    key: &[u8; KEY_SIZE],
    challenge: &[u8; 64],
    token: &[u8],
    secret: &Secret,
) -> Result<(Vec<u8>, [u8; PROOF_SIZE]), Error> {
    let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(key).map_err(|_| Error::Key)?;
    let (encapsulated, mut context): (_, Sender) =
        setup_sender(&OpModeS::Base, &key, &info(challenge, token)).map_err(|_| Error::Key)?;
    let encrypted = context.seal(secret.bytes(), &[]).map_err(|_| Error::Key)?;
    let mut proof = [0; PROOF_SIZE];
    context.export(PROOF, &mut proof).map_err(|_| Error::Key)?;
    Ok(([&encapsulated.to_bytes()[..], &encrypted].concat(), proof))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_for_one_guest_challenge_and_token() {
        let guest = GuestKey::new().expect("randomness");
        let secret = Secret::new().expect("randomness");
        let (release, proof) =
            release(guest.public(), &[1; 64], b"token", &secret).expect("a good key");
        assert_eq!(release.len(), RELEASE_SIZE);
        assert_eq!(
            guest.open(&[1; 64], b"token", &release),
            Ok((secret, proof))
        );

        let other = GuestKey::new().expect("randomness");
        assert_eq!(
            other.open(&[1; 64], b"token", &release),
            Err(Error::Release)
        );
        assert_eq!(
            guest.open(&[2; 64], b"token", &release),
            Err(Error::Release)
        );
        assert_eq!(
            guest.open(&[1; 64], b"other", &release),
            Err(Error::Release)
        );
        for at in 0..release.len() {
            let mut bad = release.clone();
            bad[at] ^= 1;
            assert!(guest.open(&[1; 64], b"token", &bad).is_err(), "byte {at}");
            assert!(
                guest.open(&[1; 64], b"token", &release[..at]).is_err(),
                "{at} bytes"
            );
        }
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        let secret = Secret::new().expect("randomness");
        for key in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(
                release(&key, &[0; 64], b"", &secret).err(),
                Some(Error::Key)
            );
        }
    }
}
