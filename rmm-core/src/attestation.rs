// SPDX-License-Identifier: BSD-3-Clause
//! What attestation needs from EL3 (RMM-EL3 interface): key and platform token at boot, and
//! signatures where EL3 keeps the key.

#[cfg(test)]
mod tests;

use crate::boot::El3Interface;
use crate::el3::SharedPage;
use crate::machine::CallEl3;
use core::fmt;
use rmm_abi::el3::{self, error, fid};
use rmm_attest::{Attestation, PRIVATE_KEY_SIZE, PUBLIC_POINT_SIZE, RealmAttestationKey};
use rmm_attest::{RealmPublicKey, Signer, SoftHash};
use rmm_granule::GRANULE_SIZE;
use zeroize::Zeroizing;

/// Longest platform token, in bytes.
pub const MAX_PLATFORM_TOKEN: usize = 16 << 10;

/// How often a call that EL3 answers with E_RMM_AGAIN is made at most. EL3 may wait for another
/// processor that makes the platform token: at a microsecond a call this is a second.
const MAX_TRIES: u32 = 1_000_000;

/// Why there is no attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// EL3 refuses the key, with this status.
    NoKey(i64),
    /// What EL3 returns is not a key on P-384.
    BadKey,
    /// EL3 refuses the platform token, with this status.
    NoToken(i64),
    /// EL3 delivers the first piece of the platform token and refuses the next, with this status. TF-A
    /// up to 2.15 does so.
    NoMorePieces(i64),
    /// The platform token is longer than [`MAX_PLATFORM_TOKEN`].
    LongToken,
    /// What EL3 returns is not a platform token.
    BadToken,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey(status) => write!(f, "EL3 refuses the Realm attestation key ({status})"),
            Self::BadKey => f.write_str("the Realm attestation key of EL3 is not valid"),
            Self::NoToken(status) => write!(f, "EL3 refuses the platform token ({status})"),
            Self::NoMorePieces(status) => write!(
                f,
                "EL3 delivers only the first piece of the platform token ({status})"
            ),
            Self::LongToken => write!(
                f,
                "the platform token of EL3 is longer than {MAX_PLATFORM_TOKEN} bytes"
            ),
            Self::BadToken => f.write_str("the platform token of EL3 is not valid"),
        }
    }
}

/// Fetches key and platform token from EL3. `memory` keeps the platform token.
///
/// # Errors
/// EL3 does not have them, or what it returns is not valid.
pub fn fetch<'a>(
    machine: &impl CallEl3,
    interface: El3Interface,
    page: &mut SharedPage,
    memory: &'a mut [u8; MAX_PLATFORM_TOKEN],
) -> Result<Attestation<'a>, Unavailable> {
    let signer = if signs(machine, interface) {
        Signer::El3(public_key(machine, page)?)
    } else {
        Signer::Monitor(private_key(machine, page)?)
    };
    let challenge = signer.public().hash(&SoftHash);
    let size = platform_token(machine, interface, page, &challenge, memory)?;
    let (token, _) = memory.split_at(size);
    if !rmm_attest::is_platform_token(token) {
        return Err(Unavailable::BadToken);
    }
    Ok(Attestation::new(signer, token))
}

/// Whether EL3 signs tokens.
fn signs(machine: &impl CallEl3, interface: El3Interface) -> bool {
    if !interface.has_features() {
        return false;
    }
    let [status, features, ..] = machine.call_el3(fid::RMM_EL3_FEATURES, [0; 4]);
    status.cast_signed() == error::OK && features & el3::FEATURE_TOKEN_SIGN != 0
}

/// The private key. It does not stay in the page.
fn private_key(
    machine: &impl CallEl3,
    page: &mut SharedPage,
) -> Result<RealmAttestationKey, Unavailable> {
    let args = [page.pa(), GRANULE_SIZE as u64, el3::CURVE_P384, 0];
    let result = page.call(machine, fid::RMM_ATTEST_GET_REALM_KEY, args);
    let mut secret = Zeroizing::new([0; PRIVATE_KEY_SIZE]);
    page.read(&mut *secret);
    page.wipe();
    let [size, _] = result.map_err(Unavailable::NoKey)?;
    if size != PRIVATE_KEY_SIZE as u64 {
        return Err(Unavailable::BadKey);
    }
    RealmAttestationKey::new(&secret).map_err(|_invalid| Unavailable::BadKey)
}

/// The public key of the private key that EL3 keeps.
fn public_key(
    machine: &impl CallEl3,
    page: &mut SharedPage,
) -> Result<RealmPublicKey, Unavailable> {
    let args = [
        el3::TOKEN_SIGN_GET_PUBLIC_KEY,
        page.pa(),
        GRANULE_SIZE as u64,
        el3::CURVE_P384,
    ];
    let result = page.call(machine, fid::RMM_EL3_TOKEN_SIGN, args);
    let [size, _] = result.map_err(Unavailable::NoKey)?;
    if size != PUBLIC_POINT_SIZE as u64 {
        return Err(Unavailable::BadKey);
    }
    let mut point = [0; PUBLIC_POINT_SIZE];
    page.read(&mut point);
    RealmPublicKey::new(&point).map_err(|_invalid| Unavailable::BadKey)
}

/// Writes the platform token for this challenge to `memory`, piece by piece; its size in bytes.
fn platform_token(
    machine: &impl CallEl3,
    interface: El3Interface,
    page: &mut SharedPage,
    challenge: &[u8; 32],
    memory: &mut [u8; MAX_PLATFORM_TOKEN],
) -> Result<usize, Unavailable> {
    let mut size = 0;
    // Each piece has at least a byte, so that the loop ends.
    loop {
        // A challenge of no bytes asks for the next piece.
        let challenge_size = if size == 0 { challenge.len() as u64 } else { 0 };
        let args = [page.pa(), GRANULE_SIZE as u64, challenge_size, 0];
        let [piece, remaining] = again(|| {
            if size == 0 {
                page.write(challenge);
            }
            page.call(machine, fid::RMM_ATTEST_GET_PLAT_TOKEN, args)
        })
        .map_err(|status| match size {
            0 => Unavailable::NoToken(status),
            _ => Unavailable::NoMorePieces(status),
        })?;
        let piece = usize::try_from(piece).map_err(|_| Unavailable::BadToken)?;
        if piece == 0 || piece > GRANULE_SIZE {
            return Err(Unavailable::BadToken);
        }
        let (_, rest) = memory.split_at_mut(size);
        let bytes = rest.get_mut(..piece).ok_or(Unavailable::LongToken)?;
        page.read(bytes);
        size += piece;
        if !interface.token_in_pieces() || remaining == 0 {
            return Ok(size);
        }
    }
}

/// Makes a call until EL3 does not answer E_RMM_AGAIN any more, or for too long.
fn again<T>(mut call: impl FnMut() -> Result<T, i64>) -> Result<T, i64> {
    for _ in 0..MAX_TRIES {
        match call() {
            Err(error::AGAIN) => core::hint::spin_loop(),
            result => return result,
        }
    }
    Err(error::AGAIN)
}
