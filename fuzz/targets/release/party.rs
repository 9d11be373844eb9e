// SPDX-License-Identifier: BSD-3-Clause
//! A relying party, and whatever a Host and its guests send to it.

use super::attested::{anchor, platform_token, rak};
use super::stream::{Script, Sent, message};
use arbitrary::Arbitrary;
use cca_token::protocol::carrier::{AtEnd, Carrier, Kind, Side};
use cca_token::protocol::challenge;
use cca_token::protocol::party::{Ended, Event, serve};
use cca_token::protocol::release::GuestKey;
use cca_token::seal::Secret;
use cca_token::token::Token;
use cca_token::verify::Policy;
use rmm_abi::rmi::HashAlgorithm;
use rmm_attest::{
    Attestation, Form, Measurement, Progress, RealmAttestationKey, RealmClaims, Signer,
    TokenContext,
};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use zerocopy::FromZeros;

/// Most messages.
const MESSAGES: usize = 12;

/// Trusts the key that signs platform tokens here.
static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    anchors: vec![anchor()],
    ..Policy::default()
});

/// What guests and the Host send.
#[derive(Arbitrary, Debug)]
pub struct Guests {
    messages: Vec<Sends>,
}

/// A message, or something like it.
#[derive(Arbitrary, Debug)]
enum Sends {
    /// Hello with the key of the guest, or with the other guest's.
    Hello(bool),
    AnyHello(Vec<u8>),
    /// A token for the last key and nonce.
    Token,
    /// That for another nonce.
    StaleToken,
    /// The token, with changes.
    Changed(Vec<(u16, u8)>),
    AnyToken(Vec<u8>),
    /// Proof that the guest has the secret, or something else.
    Received(bool),
    /// A message of the other side.
    Own(Vec<u8>),
    Noise(Vec<u8>),
    /// The last message, with a character changed.
    Damaged(u16, u8),
    Again,
}

/// What has been sent, and what it must lead to.
#[derive(Default)]
struct Made {
    last: Vec<u8>,
    /// The key of the last hello, and how many nonces there must be by now.
    hello: Option<[u8; 32]>,
    nonces: usize,
    /// Good tokens, each with its challenge.
    tokens: Vec<([u8; 64], Vec<u8>)>,
    /// A token was sent: it ends the exchange, and there are no more nonces.
    is_over: bool,
    sent_proof: bool,
}

/// A token as a monitor makes it for this challenge.
fn token(challenge: &[u8; 64]) -> Vec<u8> {
    static ATTESTATION: LazyLock<Attestation<'static>> = LazyLock::new(|| {
        let key = RealmAttestationKey::new(&rak()).expect("a key");
        let token = Box::leak(platform_token(0).into_boxed_slice());
        Attestation::new(Signer::Monitor(key), token)
    });
    let claims = RealmClaims {
        challenge,
        rpv: &[0; 64],
        algorithm: HashAlgorithm::Sha256,
        measurements: &[Measurement::ZERO; 5],
        instance: &[0; 32],
        lfa_policy: 0,
    };
    let mut context = TokenContext::new_zeroed();
    let size = context.init(&ATTESTATION, &Form::RMM_1_0, &claims, 1);
    while context.step(&ATTESTATION) == Progress::Working {}
    context.piece(&ATTESTATION, size).parts.concat()
}

/// What the signatures of a token are of.
fn signed(token: &[u8]) -> Option<[Vec<u8>; 2]> {
    let token = Token::parse(token).ok()?;
    Some([token.platform.signed_bytes(), token.realm.signed_bytes()])
}

impl Sends {
    /// The bytes for the stream.
    fn bytes(&self, keys: &[GuestKey; 2], out: &Sent, secret: &Secret, made: &mut Made) -> Vec<u8> {
        match self {
            Self::Hello(other) => {
                let key = *keys[usize::from(*other)].public();
                made.nonces += 1;
                made.hello = Some(key);
                message(Side::Guest, Kind::Hello, &key)
            }
            Self::AnyHello(bytes) => {
                if let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) {
                    made.nonces += 1;
                    made.hello = Some(key);
                }
                message(Side::Guest, Kind::Hello, bytes)
            }
            Self::Token => made.good_token(out, false),
            Self::StaleToken => made.good_token(out, true),
            Self::Changed(changes) => {
                let _message = made.good_token(out, false);
                let Some((_, token)) = made.tokens.last() else {
                    return Vec::new();
                };
                let mut token = token.clone();
                for (at, bits) in changes {
                    let at = usize::from(*at) % token.len();
                    token[at] ^= bits;
                }
                message(Side::Guest, Kind::Token, &token)
            }
            Self::AnyToken(bytes) => {
                made.is_over |= made.hello.is_some();
                message(Side::Guest, Kind::Token, bytes)
            }
            Self::Received(right) => made.proof(keys, out, secret, *right),
            Self::Own(bytes) => message(Side::Party, Kind::Release, bytes),
            Self::Noise(bytes) => bytes.clone(),
            Self::Damaged(at, bits) => {
                let mut bytes = made.last.clone();
                if !bytes.is_empty() {
                    let at = usize::from(*at) % bytes.len();
                    bytes[at] ^= bits;
                }
                bytes
            }
            Self::Again => made.last.clone(),
        }
    }
}

impl Made {
    /// The nonce for the last hello.
    fn nonce(&self, out: &Sent) -> Option<[u8; 32]> {
        self.hello?;
        let nonces = out.wait(Side::Guest, Kind::Nonce, self.nonces);
        nonces.last()?.as_slice().try_into().ok()
    }

    fn good_token(&mut self, out: &Sent, stale: bool) -> Vec<u8> {
        let nonce = if self.is_over { None } else { self.nonce(out) };
        let (Some(key), Some(mut nonce)) = (self.hello, nonce) else {
            return Vec::new();
        };
        self.is_over = true;
        if stale {
            nonce[0] ^= 1;
        }
        let challenge = challenge(&nonce, &key);
        let token = token(&challenge);
        let message = message(Side::Guest, Kind::Token, &token);
        self.tokens.push((challenge, token));
        message
    }

    /// The proof of receipt.
    fn proof(&mut self, keys: &[GuestKey; 2], out: &Sent, secret: &Secret, right: bool) -> Vec<u8> {
        let is_released = String::from_utf8_lossy(&out.bytes()).contains(" release ");
        if !right || !is_released {
            return message(Side::Guest, Kind::Received, &[0; 32]);
        }
        let releases = out.wait(Side::Guest, Kind::Release, 1);
        for (challenge, token) in &self.tokens {
            for key in keys {
                if let Ok((opened, proof)) = key.open(challenge, token, &releases[0]) {
                    assert!(opened == *secret, "another secret");
                    self.sent_proof = true;
                    return message(Side::Guest, Kind::Received, &proof);
                }
            }
        }
        Vec::new()
    }
}

impl Guests {
    /// The secret is released for a good token of this exchange alone, to the guest that it is of.
    pub fn check(self) {
        let keys = [0, 1].map(|_| GuestKey::new().expect("randomness"));
        let secret = Secret::from_bytes(&[0x5E; 32]).expect("its size");
        let out = Sent::default();
        let made = Arc::new(Mutex::new(Made::default()));
        let mut messages = self.messages.into_iter().take(MESSAGES);
        let input = {
            let (out, made, secret) = (out.clone(), made.clone(), secret.clone());
            Script::new(move || {
                let next = messages.next()?;
                let mut made = made.lock().expect("no panic");
                let mut bytes = next.bytes(&keys, &out, &secret, &mut made);
                // Noise may end within a line.
                bytes.push(b'\n');
                made.last.clone_from(&bytes);
                Some(bytes)
            })
        };
        let mut carrier = Carrier::new(Side::Party, input, out.clone(), AtEnd::Closed);
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut judged = None;
        let mut is_verified = false;
        let ended = serve(
            &mut carrier,
            &POLICY,
            &secret,
            deadline,
            |event| match event {
                Event::Token(bytes, challenge) => judged = Some((bytes.to_vec(), *challenge)),
                Event::Verified(..) => is_verified = true,
                _ => {}
            },
        );
        let released = matches!(ended, Ok(Ended::Released { .. }));
        assert!(is_verified || !released, "released without a token");
        let made = made.lock().expect("the other thread has not failed");
        if is_verified {
            let (bytes, challenge) = judged.expect("a token");
            let content = signed(&bytes);
            let is_good = made.tokens.iter().any(|(own, token)| {
                *own == challenge && content.is_some() && signed(token) == content
            });
            assert!(is_good, "a forged token");
        }
        if let Ok(Ended::Released { received: true }) = ended {
            assert!(made.sent_proof, "received without a proof");
        }
    }
}
