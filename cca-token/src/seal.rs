// SPDX-License-Identifier: BSD-3-Clause
//! The secret that a relying party releases, and files encrypted with it.
//!
//! A sealed file is the eight bytes `CCASEAL1`, a random nonce of 24 bytes, and the content encrypted with
//! XChaCha20-Poly1305, with the first eight bytes as associated data.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Size in bytes of a secret.
pub const SECRET_SIZE: usize = 32;

const MAGIC: &[u8; 8] = b"CCASEAL1";
const NONCE_SIZE: usize = 24;

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The operating system has no random numbers.
    #[error("no random numbers from the operating system")]
    NoRandomness,
    /// The file is not a sealed one.
    #[error("not a sealed file")]
    NotSealed,
    /// The secret is another, or the file was changed.
    #[error("the secret does not open the file, or the file was changed")]
    WrongSecret,
    /// The file is too large for the cipher.
    #[error("the file is too large")]
    TooLarge,
}

/// Fills an array from the operating system.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::NoRandomness)?;
    Ok(bytes)
}

/// A secret. It is wiped when it is no longer used, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<[u8; SECRET_SIZE]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A new one, from the operating system's random numbers.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn new() -> Result<Self, Error> {
        random().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The secret of these bytes; `None` if they are not [`SECRET_SIZE`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes
            .try_into()
            .ok()
            .map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; SECRET_SIZE] {
        &self.0
    }

    /// Encrypts `content`.
    ///
    /// # Errors
    /// [`Error::NoRandomness`], [`Error::TooLarge`].
    pub fn seal(&self, content: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce = random::<NONCE_SIZE>()?;
        let payload = Payload {
            msg: content,
            aad: MAGIC,
        };
        let encrypted = XChaCha20Poly1305::new((&*self.0).into())
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::TooLarge)?;
        Ok([&MAGIC[..], &nonce, &encrypted].concat())
    }

    /// Decrypts what [`seal`](Self::seal) made.
    ///
    /// # Errors
    /// [`Error::NotSealed`], [`Error::WrongSecret`].
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let rest = sealed.strip_prefix(MAGIC).ok_or(Error::NotSealed)?;
        let (nonce, encrypted) = rest
            .split_first_chunk::<NONCE_SIZE>()
            .ok_or(Error::NotSealed)?;
        let payload = Payload {
            msg: encrypted,
            aad: MAGIC,
        };
        XChaCha20Poly1305::new((&*self.0).into())
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| Error::WrongSecret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens() {
        let secret = Secret::new().expect("randomness");
        for content in [&b""[..], b"x", &[7; 100_000]] {
            let sealed = secret.seal(content).expect("sealed");
            assert_eq!(secret.open(&sealed).as_deref(), Ok(content));
            assert_ne!(
                secret.seal(content).expect("sealed"),
                sealed,
                "another nonce each time"
            );
            let other = Secret::new().expect("randomness");
            assert_eq!(other.open(&sealed), Err(Error::WrongSecret));
        }
        let sealed = secret.seal(b"content").expect("sealed");
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(secret.open(&bad).is_err(), "byte {at}");
            assert!(secret.open(&sealed[..at]).is_err(), "{at} bytes");
        }
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
