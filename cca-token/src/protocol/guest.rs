// SPDX-License-Identifier: BSD-3-Clause
//! The guest's side.

use std::time::{Duration, Instant};

use super::carrier::{Carrier, Error as CarrierError, Kind, Message};
use super::release::GuestKey;
use super::{NONCE_SIZE, challenge, release};
use crate::seal::{self, Secret};

/// How long the guest tries.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// When it gives up.
    pub deadline: Instant,
    /// How long it waits for an answer before it repeats itself. An answer takes as long as making a token.
    pub repeat: Duration,
}

impl Patience {
    /// Tries for `time`, and repeats every 5 seconds.
    pub fn new(time: Duration) -> Self {
        Self {
            deadline: Instant::now() + time,
            repeat: Duration::from_secs(5),
        }
    }
}

/// Where tokens come from.
pub trait TokenSource {
    /// A CCA token for this challenge.
    ///
    /// # Errors
    /// Why there is none.
    fn token(&mut self, challenge: &[u8; 64]) -> Result<Vec<u8>, String>;
}

/// Why the guest has no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No message could be exchanged.
    #[error(transparent)]
    Carrier(#[from] CarrierError),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] seal::Error),
    /// There is no token.
    #[error("no token: {0}")]
    Token(String),
    /// The relying party refused.
    #[error("the relying party refused")]
    Refused,
    /// What the relying party sent cannot be decrypted.
    #[error(transparent)]
    Release(#[from] release::Error),
}

/// Attests to the relying party and gets the secret. `progress` is called with the size of the
/// token before it is sent.
///
/// # Errors
/// See [`Error`]; nothing is waited for after the deadline.
pub fn obtain(
    carrier: &mut Carrier,
    source: &mut dyn TokenSource,
    patience: Patience,
    mut progress: impl FnMut(usize),
) -> Result<Secret, Error> {
    let key = GuestKey::new()?;
    let nonce = request(carrier, Kind::Hello, key.public(), patience, |answer| {
        match answer.kind {
            // The relying party's answers to repeated requests may come late, and again.
            Kind::Nonce => <[u8; NONCE_SIZE]>::try_from(answer.body).ok(),
            _ => None,
        }
    })?;
    let challenge = challenge(&nonce, key.public());
    let token = source.token(&challenge).map_err(Error::Token)?;
    progress(token.len());
    let release = request(
        carrier,
        Kind::Token,
        &token,
        patience,
        |answer| match answer.kind {
            Kind::Release => Some(Some(answer.body)),
            Kind::Refused => Some(None),
            _ => None,
        },
    )?;
    let release = release.ok_or(Error::Refused)?;
    let (secret, proof) = key.open(&challenge, &token, &release)?;
    carrier.send(Kind::Received, &proof)?;
    Ok(secret)
}

/// Sends a message, again and again, until `accept` takes an answer.
fn request<T>(
    carrier: &mut Carrier,
    kind: Kind,
    body: &[u8],
    patience: Patience,
    mut accept: impl FnMut(Message) -> Option<T>,
) -> Result<T, CarrierError> {
    loop {
        carrier.send(kind, body)?;
        let repeat = patience.deadline.min(Instant::now() + patience.repeat);
        loop {
            match carrier.receive(repeat) {
                Ok(answer) => {
                    if let Some(accepted) = accept(answer) {
                        return Ok(accepted);
                    }
                }
                Err(CarrierError::Timeout) if Instant::now() < patience.deadline => break,
                Err(error) => return Err(error),
            }
        }
    }
}
