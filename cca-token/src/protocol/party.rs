// SPDX-License-Identifier: BSD-3-Clause
//! The relying party's side.

use std::time::Instant;

use super::carrier::{Carrier, Error as CarrierError, Kind};
use super::release::{PROOF_SIZE, release};
use super::{KEY_SIZE, NONCE_SIZE, challenge};
use crate::seal::{self, Secret};
use crate::token::Token;
use crate::verify::{Policy, Report, Verdict, verify};

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The token was verified and the secret released.
    Released {
        /// Whether the guest proved that it has the secret.
        received: bool,
    },
    /// The token was refused, and why. The secret was withheld.
    Refused(String),
}

/// What happens while an exchange goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// A guest said hello with this key.
    Hello(&'a [u8; KEY_SIZE]),
    /// It sent this as its token, which has to be for this challenge.
    Token(&'a [u8], &'a [u8; 64]),
    /// Its token was verified; the secret follows.
    Verified(&'a Token, &'a Report),
    /// The secret was sent.
    Released,
}

/// Why an exchange did not end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No token came.
    #[error(transparent)]
    Carrier(#[from] CarrierError),
    /// No nonce could be made.
    #[error(transparent)]
    Randomness(#[from] seal::Error),
}

/// A guest that said hello.
struct Guest {
    key: [u8; KEY_SIZE],
    nonce: [u8; NONCE_SIZE],
}

/// Serves one guest: `secret` is released only if its token satisfies `policy`, whose challenge is replaced
/// by that of this exchange, and only to the key that the token vouches for.
///
/// # Errors
/// See [`Error`]; nothing is waited for after `deadline`.
pub fn serve(
    carrier: &mut Carrier,
    policy: &Policy,
    secret: &Secret,
    deadline: Instant,
    mut on_event: impl FnMut(Event<'_>),
) -> Result<Ended, Error> {
    let mut guest: Option<Guest> = None;
    loop {
        let message = carrier.receive(deadline)?;
        match (message.kind, &guest) {
            (Kind::Hello, known) => {
                let Ok(key) = <[u8; KEY_SIZE]>::try_from(message.body) else {
                    continue;
                };
                // A repeated hello gets the same nonce: the guest may be at work on its token already.
                let nonce = match known {
                    Some(guest) if guest.key == key => guest.nonce,
                    _ => {
                        on_event(Event::Hello(&key));
                        seal::random()?
                    }
                };
                carrier.send(Kind::Nonce, &nonce)?;
                guest = Some(Guest { key, nonce });
            }
            (Kind::Token, Some(guest)) => {
                let challenge = challenge(&guest.nonce, &guest.key);
                on_event(Event::Token(&message.body, &challenge));
                let made = judge(&message.body, policy, challenge).and_then(|judged| {
                    let made = release(&guest.key, &challenge, &message.body, secret);
                    made.map(|made| (judged, made)).map_err(|e| e.to_string())
                });
                return match made {
                    Ok(((token, report), (release, proof))) => {
                        on_event(Event::Verified(&token, &report));
                        carrier.send(Kind::Release, &release)?;
                        on_event(Event::Released);
                        let received = wait_for_receipt(carrier, &release, &proof, deadline);
                        Ok(Ended::Released { received })
                    }
                    Err(why) => {
                        // The refusal is a courtesy; that the secret is withheld does not depend on it.
                        let _ = carrier.send(Kind::Refused, &[]);
                        Ok(Ended::Refused(why))
                    }
                };
            }
            _ => {}
        }
    }
}

/// The token and its report, if `policy` and `challenge` verify it; otherwise why not.
fn judge(token: &[u8], policy: &Policy, challenge: [u8; 64]) -> Result<(Token, Report), String> {
    let token = Token::parse(token).map_err(|e| format!("malformed: {e}"))?;
    let policy = Policy {
        challenge: Some(challenge),
        ..policy.clone()
    };
    let report = verify(&token, &policy);
    match report.verdict {
        Verdict::Verified => Ok((token, report)),
        Verdict::Refused(why) => Err(why),
        Verdict::PlatformNotAuthenticated => Err("the platform is not authenticated".into()),
    }
}

/// Whether the guest proves in time that it has the secret. A repeated token gets the release again.
fn wait_for_receipt(
    carrier: &mut Carrier,
    release: &[u8],
    proof: &[u8; PROOF_SIZE],
    deadline: Instant,
) -> bool {
    loop {
        match carrier.receive(deadline) {
            Ok(message) if message.kind == Kind::Received && message.body == proof => return true,
            Ok(message) if message.kind == Kind::Token => {
                if carrier.send(Kind::Release, release).is_err() {
                    return false;
                }
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
