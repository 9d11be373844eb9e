// SPDX-License-Identifier: BSD-3-Clause
//! A guest, and whatever a Host and relying parties send to it.

use super::stream::{Script, Sent, message};
use arbitrary::Arbitrary;
use cca_token::protocol::carrier::{AtEnd, Carrier, Kind, Side};
use cca_token::protocol::challenge;
use cca_token::protocol::guest::{Error, Patience, TokenSource, obtain};
use cca_token::protocol::release::release;
use cca_token::seal::Secret;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Most messages.
const MESSAGES: usize = 12;

/// What relying parties and the Host send.
#[derive(Arbitrary, Debug)]
pub struct Party {
    /// There is no token.
    fails: bool,
    messages: Vec<Sends>,
}

/// A message, or something like it.
#[derive(Arbitrary, Debug)]
enum Sends {
    Nonce(u8),
    AnyNonce(Vec<u8>),
    /// A secret, encrypted to the guest for its token.
    Release(u8),
    /// The same for another token or challenge.
    Other(u8, bool),
    /// The same, with changes.
    Changed(u8, Vec<(u16, u8)>),
    AnyRelease(Vec<u8>),
    Refused,
    Noise(Vec<u8>),
    Own(Vec<u8>),
}

/// What has been sent.
#[derive(Default)]
struct Made {
    /// The nonce that the guest takes: the first.
    nonce: Option<[u8; 32]>,
    /// Secrets that were released rightly.
    secrets: Vec<[u8; 32]>,
}

/// Makes tokens that contain their challenge.
struct Source {
    fails: bool,
}

/// What stands for a token.
fn token(challenge: &[u8; 64]) -> Vec<u8> {
    challenge.repeat(20)
}

impl TokenSource for Source {
    fn token(&mut self, challenge: &[u8; 64]) -> Result<Vec<u8>, String> {
        if self.fails {
            return Err("none".into());
        }
        Ok(token(challenge))
    }
}

impl Sends {
    fn bytes(&self, fails: bool, out: &Sent, made: &mut Made) -> Vec<u8> {
        let release = |made: &mut Made, byte, other| made.release(fails, out, byte, other);
        match self {
            Self::Nonce(byte) => made.nonce(&[*byte; 32]),
            Self::AnyNonce(bytes) => made.nonce(bytes),
            Self::Release(byte) => {
                let bytes = release(made, *byte, None);
                if !bytes.is_empty() {
                    made.secrets.push([*byte; 32]);
                }
                message(Side::Party, Kind::Release, &bytes)
            }
            Self::Other(byte, token) => {
                let bytes = release(made, *byte, Some(*token));
                message(Side::Party, Kind::Release, &bytes)
            }
            Self::Changed(byte, changes) => {
                let right = release(made, *byte, None);
                let mut bytes = right.clone();
                for (at, bits) in changes {
                    let count = bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(usize::from(*at) % count) {
                        *byte ^= bits;
                    }
                }
                if bytes == right && !bytes.is_empty() {
                    made.secrets.push([*byte; 32]);
                }
                message(Side::Party, Kind::Release, &bytes)
            }
            Self::AnyRelease(bytes) => message(Side::Party, Kind::Release, bytes),
            Self::Refused => message(Side::Party, Kind::Refused, &[]),
            Self::Noise(bytes) => bytes.clone(),
            Self::Own(bytes) => message(Side::Guest, Kind::Token, bytes),
        }
    }
}

impl Made {
    fn nonce(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.nonce.is_none() {
            self.nonce = bytes.try_into().ok();
        }
        message(Side::Party, Kind::Nonce, bytes)
    }

    /// A release for the guest, or for another token or challenge; nothing before the guest has a nonce.
    fn release(&self, fails: bool, out: &Sent, byte: u8, other: Option<bool>) -> Vec<u8> {
        let Some(nonce) = self.nonce.filter(|_| !fails) else {
            return Vec::new();
        };
        let hellos = out.wait(Side::Party, Kind::Hello, 1);
        let key = hellos[0].as_slice().try_into().expect("a key");
        let mut challenge = challenge(&nonce, &key);
        let mut token = token(&challenge);
        match other {
            None => {}
            Some(true) => token[0] ^= 1,
            Some(false) => challenge[63] ^= 1,
        }
        let secret = Secret::from_bytes(&[byte; 32]).expect("its size");
        let (release, _) = release(&key, &challenge, &token, &secret).expect("a good key");
        release
    }
}

impl Party {
    /// The guest takes no secret but one that was encrypted to it for its token.
    pub fn check(self) {
        let Self { fails, messages } = self;
        let (out, made) = (Sent::default(), Arc::new(Mutex::new(Made::default())));
        let mut messages = messages.into_iter().take(MESSAGES);
        let input = {
            let (out, made) = (out.clone(), made.clone());
            Script::new(move || {
                let next = messages.next()?;
                let mut bytes = next.bytes(fails, &out, &mut made.lock().expect("no panic"));
                bytes.push(b'\n');
                Some(bytes)
            })
        };
        let mut carrier = Carrier::new(Side::Guest, input, out, AtEnd::Closed);
        let patience = Patience::new(Duration::from_secs(10));
        let found = obtain(&mut carrier, &mut Source { fails }, patience, |_| ());
        let made = made.lock().expect("the other thread has not failed");
        match found {
            Ok(secret) => assert!(made.secrets.contains(secret.bytes()), "nobody's secret"),
            Err(Error::Token(_)) => assert!(fails),
            Err(_) => {}
        }
    }
}
