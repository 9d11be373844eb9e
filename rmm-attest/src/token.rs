// SPDX-License-Identifier: BSD-3-Clause
//! Generation of an attestation token (specification A7.2).
//!
//! # Memory
//! [`TokenContext`] is all that a REC needs: a plain structure of fixed size, for an auxiliary Granule
//! of the REC, valid when it is all zero. Nothing is allocated. It stores the Realm token and the few
//! bytes around the platform token; the platform token is the same for all Realms and stays where boot
//! has put it. [`TokenContext::piece`] refers to both, so the whole token is never put together.
//!
//! # States
//!
//! ```text
//!                init
//!   no token ----------+-- Monitor: signing ---------- last step -----------+
//!      ^               |                                                    v
//!      |               +-- EL3: to request -> requested -> signature() -> ready
//!      |               |                                                    |
//!      |               +-- no keys: failed -- step                          | last byte
//!      +----------------------------------------+---------------------------+
//! ```
//!
//! `init` is allowed in every state. It captures the claims, so a measurement that is extended later
//! does not change the token, and computes the digest that is to be signed.
//!
//! # Steps
//! A signature takes millions of instructions, and the monitor runs with interrupts masked. So the
//! computation is cut into steps, after each of which the caller looks for a pending interrupt. All
//! state between two steps is in the context: the REC may leave the CPU, enter another one, or be
//! destroyed. The alternative, to preempt the computation at any instruction, needs a second stack, a
//! way to switch to it, and a proof that no lock and no state of the CPU is held at that moment. Steps
//! need none of that; the price is that multiplication and inversion are done here, in `ecdsa`, and not
//! by the crate `p384`.

use crate::claims::{self, Form, RealmClaims, SIGNATURE_SIZE};
use crate::ecdsa::{Bytes, Signing, Step};
use crate::{RealmAttestationKey, RealmPublicKey};
use rmm_abi::el3::{HASH_ALG_SHA_384, SIGN_ALG_ECDSA_P384, TokenSignRequest, TokenSignResponse};
use sha2::{Digest, Sha384};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Who signs Realm tokens.
pub enum Signer {
    /// The monitor.
    Monitor(RealmAttestationKey),
    /// EL3, by RMM_EL3_TOKEN_SIGN. It has the private key for this public key.
    El3(RealmPublicKey),
}

impl Signer {
    /// The Realm Attestation Key.
    #[must_use]
    pub const fn public(&self) -> &RealmPublicKey {
        match self {
            Self::Monitor(key) => key.public(),
            Self::El3(key) => key,
        }
    }
}

/// What all tokens have in common; it does not change after boot.
pub struct Attestation<'a> {
    signer: Option<Signer>,
    platform_token: &'a [u8],
}

impl<'a> Attestation<'a> {
    /// Attestation with this signer and this platform token.
    #[must_use]
    pub const fn new(signer: Signer, platform_token: &'a [u8]) -> Self {
        Self {
            signer: Some(signer),
            platform_token,
        }
    }

    /// No attestation: there is no key or no platform token, so every generation fails.
    #[must_use]
    pub const fn unavailable() -> Self {
        Self {
            signer: None,
            platform_token: &[],
        }
    }
}

/// Result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More steps follow.
    Working,
    /// The caller has to give EL3 the [request](TokenContext::signature_request) for a signature.
    ToRequest,
    /// The caller has to get the [signature](TokenContext::signature) from EL3.
    Requested,
    /// The token is ready.
    Ready,
    /// The token cannot be generated. No token is in progress any more.
    Failed,
}

/// Bytes of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes, one part after the other. Parts may be empty.
    pub parts: [&'a [u8]; 3],
    /// Number of bytes.
    pub size: usize,
}

/// Room for all of a token but the platform token, in bytes; a multiple of 8.
pub(crate) const BUFFER_SIZE: usize = 832;

/// Values of [`TokenContext::phase`].
mod phase {
    /// No token is in progress.
    pub const IDLE: u8 = 0;
    /// The monitor signs.
    pub const SIGNING: u8 = 1;
    /// EL3 has not got the request for a signature.
    pub const TO_REQUEST: u8 = 2;
    /// EL3 has got the request for a signature.
    pub const REQUESTED: u8 = 3;
    /// The token is ready.
    pub const READY: u8 = 4;
    /// The next step reports that there is no token.
    pub const FAILED: u8 = 5;
    /// EL3 has got the request for a signature, and may have lost it or its answer: it has to get the
    /// request again.
    pub const TO_REPEAT: u8 = 6;
}

/// Unanswered attempts to get a signature after which the answer counts as lost. EL3 may hand the
/// request to another processor, which takes milliseconds, and a Realm may try every microsecond.
const PATIENCE: u32 = 1 << 16;

/// Generation of a token for one REC. All zero: no token is in progress.
///
/// It holds secrets while the monitor signs. Whoever discards it without
/// [`end`](TokenContext::end) wipes its memory.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TokenContext {
    /// Ticket of the request to EL3.
    ticket: u64,
    /// Bytes of the token that the Realm has got.
    delivered: u32,
    /// Unanswered attempts to get the signature from EL3.
    unanswered: u32,
    /// Bytes of `buffer` before the platform token.
    prefix: u16,
    /// Bytes of `buffer` that are used.
    len: u16,
    /// See [`phase`].
    phase: u8,
    _zero: u8,
    signing: Signing,
    /// The token without the platform token; the signature is at its end.
    buffer: [u8; BUFFER_SIZE],
}

impl TokenContext {
    /// Begins a token, and drops the one in progress. Returns an upper bound on the size of the token,
    /// in bytes.
    ///
    /// `ticket` identifies the request to EL3: each call has another one, over all RECs, so that the
    /// answer to a request of a dropped token is not taken for that of another.
    pub fn init(
        &mut self,
        attestation: &Attestation,
        form: &Form,
        claims: &RealmClaims,
        ticket: u64,
    ) -> usize {
        self.end();
        self.ticket = ticket;
        self.phase = self
            .write(attestation, form, claims)
            .unwrap_or(phase::FAILED);
        match self.phase {
            phase::FAILED => BUFFER_SIZE + attestation.platform_token.len(),
            _ => usize::from(self.len) + attestation.platform_token.len(),
        }
    }

    /// Writes the token, but for the signature. Returns the next phase; `None` if it cannot be written.
    fn write(
        &mut self,
        attestation: &Attestation,
        form: &Form,
        claims: &RealmClaims,
    ) -> Option<u8> {
        let signer = attestation.signer.as_ref()?;
        let platform_size = attestation.platform_token.len();
        let layout = claims::write(
            &mut self.buffer,
            form,
            claims,
            signer.public(),
            platform_size,
        )?;
        self.prefix = layout.prefix.try_into().ok()?;
        self.len = layout.len.try_into().ok()?;
        self.signing
            .begin(&digest(self.buffer.get(layout.payload)?));
        Some(match signer {
            Signer::Monitor(_) => phase::SIGNING,
            Signer::El3(_) => phase::TO_REQUEST,
        })
    }

    /// Drops the token in progress.
    pub fn end(&mut self) {
        self.signing.wipe();
        self.zero();
    }

    /// Whether a token is in progress (`attest_state`).
    #[must_use]
    pub const fn in_progress(&self) -> bool {
        self.phase != phase::IDLE
    }

    /// Does one step of the token in progress. `attestation` is that of [`TokenContext::init`].
    pub fn step(&mut self, attestation: &Attestation) -> Progress {
        match (self.phase, &attestation.signer) {
            (phase::SIGNING, Some(Signer::Monitor(key))) => match self.signing.step(key.secret()) {
                Step::Working => return Progress::Working,
                Step::Signed(signature) => {
                    if self.put_signature(&signature).is_some() {
                        return Progress::Ready;
                    }
                }
                Step::Failed => {}
            },
            (phase::TO_REQUEST | phase::TO_REPEAT, _) => return Progress::ToRequest,
            (phase::REQUESTED, _) => return Progress::Requested,
            (phase::READY, _) => return Progress::Ready,
            _ => {}
        }
        self.end();
        Progress::Failed
    }

    /// The request for EL3, after [`Progress::ToRequest`]; else `None`. `cookie` identifies the REC.
    #[must_use]
    pub fn signature_request(&self, cookie: u64) -> Option<TokenSignRequest> {
        if !matches!(self.phase, phase::TO_REQUEST | phase::TO_REPEAT) {
            return None;
        }
        let mut request = TokenSignRequest::new_zeroed();
        request.sign_alg = SIGN_ALG_ECDSA_P384;
        request.cookie = cookie;
        request.ticket = self.ticket;
        request.hash_alg = HASH_ALG_SHA_384;
        for (to, from) in request.hash.iter_mut().zip(self.signing.digest()) {
            *to = *from;
        }
        Some(request)
    }

    /// EL3 has got the request.
    pub fn requested(&mut self) {
        if matches!(self.phase, phase::TO_REQUEST | phase::TO_REPEAT) {
            self.phase = phase::REQUESTED;
        }
    }

    /// The ticket of the request.
    #[must_use]
    pub const fn ticket(&self) -> u64 {
        self.ticket
    }

    /// EL3 has no answer yet. After many such attempts the answer counts as lost, and the request has to
    /// be repeated.
    pub fn unanswered(&mut self) {
        if self.phase == phase::REQUESTED {
            self.unanswered = self.unanswered.saturating_add(1);
            if self.unanswered >= PATIENCE {
                self.unanswered = 0;
                self.phase = phase::TO_REPEAT;
            }
        }
    }

    /// Takes the answer of EL3, which has got the request. The answer to another request changes
    /// nothing. The next step tells whether the signature was good.
    pub fn signature(&mut self, response: &TokenSignResponse) {
        let was_requested = matches!(self.phase, phase::REQUESTED | phase::TO_REPEAT);
        if !was_requested || response.ticket != self.ticket {
            return;
        }
        let signature = response.signature.first_chunk();
        let signature = signature.filter(|_| usize::from(response.sig_len) == SIGNATURE_SIZE);
        if signature
            .and_then(|signature| self.put_signature(signature))
            .is_none()
        {
            self.phase = phase::FAILED;
        }
    }

    /// Completes the token.
    fn put_signature(&mut self, signature: &[u8; SIGNATURE_SIZE]) -> Option<()> {
        let token = self.buffer.get_mut(..usize::from(self.len))?;
        *token.last_chunk_mut()? = *signature;
        self.phase = phase::READY;
        Some(())
    }

    /// The next bytes of the token: `size` bytes, or the rest of the token if it has fewer. No bytes if
    /// the token is not ready.
    #[must_use]
    pub fn piece<'a>(&'a self, attestation: &'a Attestation, size: usize) -> Piece<'a> {
        let mut skip = self.delivered();
        let mut room = size;
        let parts = self.token(attestation).map(|part| {
            let (skipped, rest) = part.split_at(skip.min(part.len()));
            skip -= skipped.len();
            let (part, _) = rest.split_at(room.min(rest.len()));
            room -= part.len();
            part
        });
        Piece {
            parts,
            size: size - room,
        }
    }

    /// The Realm has got `size` bytes of a [`piece`](TokenContext::piece). After the last byte no token
    /// is in progress any more, and the result is true.
    pub fn deliver(&mut self, attestation: &Attestation, size: usize) -> bool {
        let total: usize = self.token(attestation).iter().map(|part| part.len()).sum();
        let delivered = self.delivered().saturating_add(size);
        match u32::try_from(delivered) {
            Ok(bytes) if delivered < total => {
                self.delivered = bytes;
                false
            }
            _ => {
                self.end();
                true
            }
        }
    }

    fn delivered(&self) -> usize {
        usize::try_from(self.delivered).unwrap_or(usize::MAX)
    }

    /// The whole token in parts, if it is ready; else nothing.
    fn token<'a>(&'a self, attestation: &'a Attestation) -> [&'a [u8]; 3] {
        if self.phase != phase::READY {
            return [&[]; 3];
        }
        let buffer = self.buffer.get(..usize::from(self.len)).unwrap_or(&[]);
        let (prefix, rest) = buffer.split_at(buffer.len().min(usize::from(self.prefix)));
        [prefix, attestation.platform_token, rest]
    }
}

/// SHA-384 of the signed bytes of a token.
fn digest(payload: &[u8]) -> Bytes {
    let mut hash = Sha384::new();
    for part in claims::signed(payload) {
        hash.update(part);
    }
    hash.finalize().into()
}
