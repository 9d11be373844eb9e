// SPDX-License-Identifier: BSD-3-Clause
//! Attestation tokens: their bytes, and every way to generate them.

mod keys;
mod structure;
mod vectors;

use rmm_abi::el3::TokenSignResponse;
use rmm_abi::rmi::HashAlgorithm;
use rmm_attest::{
    Attestation, Form, Measurement, Progress, RealmAttestationKey, RealmClaims, Signer,
    TokenContext,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// The private key of RFC 6979, A.2.6.
const SECRET: &str = "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8\
                      96d5724e4c70a825f872c9ea60d2edf5";

/// The random part of the instance identifier.
const INSTANCE: [u8; 32] = [0x1D; 32];

/// Steps of a signature.
const STEPS: usize = 133;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|n| u8::from_str_radix(&hex[n..n + 2], 16).unwrap())
        .collect()
}

fn key() -> RealmAttestationKey {
    RealmAttestationKey::new(&bytes(SECRET).try_into().unwrap()).unwrap()
}

/// The bytes first, first + 3, first + 6 and so on, modulo 256.
fn fill(first: usize, size: usize) -> Vec<u8> {
    (0..size)
        .map(|n| (first + 3 * n).to_le_bytes()[0])
        .collect()
}

fn filled<const N: usize>(first: usize) -> [u8; N] {
    fill(first, N).try_into().unwrap()
}

/// A Realm with a value of its own in each claim.
#[derive(Clone)]
struct Realm {
    challenge: [u8; 64],
    rpv: [u8; 64],
    algorithm: HashAlgorithm,
    measurements: [Measurement; 5],
}

impl Realm {
    fn new(algorithm: HashAlgorithm) -> Self {
        let size = match algorithm {
            HashAlgorithm::Sha256 => 32,
            HashAlgorithm::Sha384 => 48,
            HashAlgorithm::Sha512 => 64,
        };
        Self {
            challenge: filled(0x10),
            rpv: filled(0x20),
            algorithm,
            measurements: [0x30, 0x40, 0x50, 0x60, 0x70].map(|first| {
                let mut value = Measurement(filled(first));
                value.0[size..].fill(0);
                value
            }),
        }
    }

    fn claims(&self) -> RealmClaims<'_> {
        RealmClaims {
            challenge: &self.challenge,
            rpv: &self.rpv,
            algorithm: self.algorithm,
            measurements: &self.measurements,
            instance: &INSTANCE,
            lfa_policy: 1,
        }
    }
}

/// A context whose token has begun, and the upper bound on its size.
fn begun(attestation: &Attestation, realm: &Realm) -> (TokenContext, usize) {
    begun_in(&Form::RMM_1_0, attestation, realm)
}

/// As [`begun`], in this form.
fn begun_in(form: &Form, attestation: &Attestation, realm: &Realm) -> (TokenContext, usize) {
    let mut context = TokenContext::new_zeroed();
    let bound = context.init(attestation, form, &realm.claims(), 1);
    (context, bound)
}

/// Does all steps, in other memory each. Returns their number.
fn sign(context: &mut TokenContext, attestation: &Attestation) -> usize {
    for step in 1..=STEPS {
        match context.step(attestation) {
            Progress::Ready => return step,
            Progress::Working => {}
            other => panic!("{other:?} in step {step}"),
        }
        *context = TokenContext::read_from_bytes(context.as_bytes()).unwrap();
    }
    panic!("no end");
}

/// A context whose token is ready.
fn ready(attestation: &Attestation, realm: &Realm) -> TokenContext {
    let (mut context, _) = begun(attestation, realm);
    sign(&mut context, attestation);
    context
}

/// Reads the rest of a token in pieces of a size.
fn read(context: &mut TokenContext, attestation: &Attestation, size: usize) -> Vec<u8> {
    let mut token = Vec::new();
    loop {
        assert!(context.in_progress());
        let piece = context.piece(attestation, size);
        let now = piece.parts.concat();
        assert_eq!(now.len(), piece.size);
        assert!(piece.size <= size);
        token.extend(&now);
        if context.deliver(attestation, now.len()) {
            assert!(!context.in_progress());
            return token;
        }
        assert_eq!(now.len(), size, "only the last piece is short");
    }
}

/// The whole token of a Realm.
fn token(attestation: &Attestation, realm: &Realm) -> Vec<u8> {
    read(&mut ready(attestation, realm), attestation, 4096)
}

/// Asserts that no token is in progress and nothing is left of one.
#[track_caller]
fn assert_dropped(context: &TokenContext, attestation: &Attestation) {
    assert!(!context.in_progress());
    assert_eq!(context.piece(attestation, 4096).size, 0);
    assert!(
        context.as_bytes().iter().all(|byte| *byte == 0),
        "not wiped"
    );
}

#[test]
fn tokens_are_those_of_another_program() {
    let platform_token = fill(0x80, 300);
    for (algorithm, vector) in [
        (HashAlgorithm::Sha256, vectors::SHA_256),
        (HashAlgorithm::Sha512, vectors::SHA_512),
    ] {
        let attestation = Attestation::new(Signer::Monitor(key()), &platform_token);
        let (mut context, bound) = begun(&attestation, &Realm::new(algorithm));
        assert_eq!(bound, bytes(vector).len(), "the bound is exact");
        assert_eq!(sign(&mut context, &attestation), STEPS);
        assert_eq!(read(&mut context, &attestation, 4096), bytes(vector));
        assert_dropped(&context, &attestation);
    }
}

#[test]
fn token_comes_in_pieces_of_any_size() {
    let realm = Realm::new(HashAlgorithm::Sha256);
    for platform_size in [1, 300, 16384] {
        let platform_token = fill(0, platform_size);
        let attestation = Attestation::new(Signer::Monitor(key()), &platform_token);
        let context = ready(&attestation, &realm);
        let whole = token(&attestation, &realm);
        let mut size = 1;
        while size <= 4096 {
            let mut context = TokenContext::read_from_bytes(context.as_bytes()).unwrap();
            assert_eq!(read(&mut context, &attestation, size), whole, "size {size}");
            // Every size for the short token, some for the long ones.
            size += if platform_size == 300 {
                1
            } else {
                size.min(100)
            };
        }
    }
}

#[test]
fn token_is_read_from_any_offset() {
    let platform_token = fill(0x80, 300);
    let attestation = Attestation::new(Signer::Monitor(key()), &platform_token);
    let realm = Realm::new(HashAlgorithm::Sha512);
    let context = ready(&attestation, &realm);
    let whole = token(&attestation, &realm);
    for offset in 1..whole.len() {
        let mut context = TokenContext::read_from_bytes(context.as_bytes()).unwrap();
        assert_eq!(
            context.piece(&attestation, offset).parts.concat(),
            whole[..offset]
        );
        assert!(!context.deliver(&attestation, offset));
        assert_eq!(context.piece(&attestation, 0).size, 0);
        assert_eq!(
            context.piece(&attestation, 1).parts.concat(),
            whole[offset..=offset]
        );
        assert_eq!(read(&mut context, &attestation, 4096), whole[offset..]);
    }
}

#[test]
fn nothing_is_read_before_the_token_is_ready() {
    let attestation = Attestation::new(Signer::Monitor(key()), &[1]);
    assert_dropped(&TokenContext::new_zeroed(), &attestation);
    let (mut context, _) = begun(&attestation, &Realm::new(HashAlgorithm::Sha256));
    for _ in 0..STEPS {
        assert_eq!(context.piece(&attestation, 4096).size, 0);
        context.step(&attestation);
    }
    assert_ne!(context.piece(&attestation, 4096).size, 0);
    assert_eq!(
        context.step(&attestation),
        Progress::Ready,
        "further steps do nothing"
    );
    assert_eq!(
        read(&mut context, &attestation, 4096),
        token(&attestation, &Realm::new(HashAlgorithm::Sha256))
    );
}

// Conformance: RSI_ATTESTATION_TOKEN_INIT restart, challenge
#[test]
fn init_at_any_step_begins_anew() {
    let platform_token = fill(0x80, 300);
    let attestation = Attestation::new(Signer::Monitor(key()), &platform_token);
    let first = Realm {
        challenge: [0xEE; 64],
        ..Realm::new(HashAlgorithm::Sha512)
    };
    let second = Realm::new(HashAlgorithm::Sha256);
    let (fresh, _) = begun(&attestation, &second);
    // The last two: a token that is ready, and one that the Realm has a part of.
    for done in 0..=STEPS + 1 {
        let (mut context, _) = begun(&attestation, &first);
        for _ in 0..done {
            context.step(&attestation);
        }
        if done > STEPS {
            assert!(!context.deliver(&attestation, 500));
        }
        let bound = context.init(&attestation, &Form::RMM_1_0, &second.claims(), 1);
        assert_eq!(bound, vectors::SHA_256.len() / 2);
        assert!(context.as_bytes() == fresh.as_bytes(), "step {done}");
    }
    let mut context = TokenContext::read_from_bytes(fresh.as_bytes()).unwrap();
    sign(&mut context, &attestation);
    assert_eq!(
        read(&mut context, &attestation, 4096),
        bytes(vectors::SHA_256)
    );
}

#[test]
fn token_is_dropped_at_any_step() {
    let attestation = Attestation::new(Signer::Monitor(key()), &[1]);
    for done in 0..=STEPS {
        let (mut context, _) = begun(&attestation, &Realm::new(HashAlgorithm::Sha512));
        for _ in 0..done {
            context.step(&attestation);
        }
        context.end();
        assert_dropped(&context, &attestation);
    }
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown
#[test]
fn without_keys_there_is_no_token() {
    let attestation = Attestation::unavailable();
    let (mut context, bound) = begun(&attestation, &Realm::new(HashAlgorithm::Sha256));
    assert!(context.in_progress(), "INIT succeeds");
    assert!(bound > 0);
    assert_eq!(context.step(&attestation), Progress::Failed);
    assert_dropped(&context, &attestation);
}

#[test]
fn memory_that_is_no_state_gives_no_token() {
    let attestation = Attestation::new(Signer::Monitor(key()), &[1]);
    for byte in [0x80, 0xFF] {
        let mut context = TokenContext::new_zeroed();
        context.as_mut_bytes().fill(byte);
        assert_eq!(context.piece(&attestation, 4096).size, 0);
        assert_eq!(context.step(&attestation), Progress::Failed);
        assert_dropped(&context, &attestation);
    }
    // No token is in progress.
    let mut context = TokenContext::new_zeroed();
    assert_eq!(context.step(&attestation), Progress::Failed);
}

/// A signature of EL3.
fn response(ticket: u64, signature: &[u8]) -> TokenSignResponse {
    let mut response = TokenSignResponse::new_zeroed();
    response.ticket = ticket;
    response.sig_len = signature.len().try_into().unwrap();
    response.signature[..signature.len()].copy_from_slice(signature);
    response
}

/// The signature of the token for SHA-256, and its digest.
fn signature_and_digest() -> (Vec<u8>, Vec<u8>) {
    let token = bytes(vectors::SHA_256);
    let realm = &token[token.len() - 590..];
    (
        realm[590 - 96..].to_vec(),
        structure::signed_digest(realm).to_vec(),
    )
}

#[test]
fn el3_signs() {
    let platform_token = fill(0x80, 300);
    let attestation = Attestation::new(Signer::El3(key().public().clone()), &platform_token);
    let (mut context, _) = begun(&attestation, &Realm::new(HashAlgorithm::Sha256));
    let (signature, digest) = signature_and_digest();

    // The request stays until EL3 has it.
    for _ in 0..2 {
        assert_eq!(context.step(&attestation), Progress::ToRequest);
        let request = context.signature_request(0x1_2345_6000).unwrap();
        assert_eq!((request.sign_alg, request.hash_alg), (0, 1));
        assert_eq!((request.cookie, request.ticket), (0x1_2345_6000, 1));
        assert_eq!(request.hash[..48], digest);
        assert_eq!(request.hash[48..], [0; 16]);
    }
    context.requested();
    assert_eq!(context.signature_request(0), None);
    for _ in 0..2 {
        assert_eq!(context.step(&attestation), Progress::Requested);
        // The signature for another token.
        context.signature(&response(2, &[0xEE; 96]));
    }
    assert_eq!(context.piece(&attestation, 4096).size, 0);

    context.signature(&response(1, &signature));
    assert_eq!(context.step(&attestation), Progress::Ready);
    // It is signed once.
    context.signature(&response(1, &[0xEE; 96]));
    assert_eq!(
        read(&mut context, &attestation, 4096),
        bytes(vectors::SHA_256)
    );
}

#[test]
fn answer_that_was_not_asked_for_changes_nothing() {
    let attestation = Attestation::new(Signer::El3(key().public().clone()), &[1]);
    let answer = response(1, &[0xEE; 96]);
    let mut idle = TokenContext::new_zeroed();
    idle.signature(&answer);
    idle.requested();
    assert!(!idle.in_progress());

    let (mut context, _) = begun(&attestation, &Realm::new(HashAlgorithm::Sha256));
    context.signature(&answer);
    assert_eq!(context.step(&attestation), Progress::ToRequest);

    // The token that the answer is for has been dropped.
    context.requested();
    let realm = Realm::new(HashAlgorithm::Sha256);
    context.init(&attestation, &Form::RMM_1_0, &realm.claims(), 2);
    context.signature(&answer);
    assert_eq!(context.step(&attestation), Progress::ToRequest);
    context.requested();
    context.signature(&answer);
    assert_eq!(context.step(&attestation), Progress::Requested);

    // Nor does the monitor take it while it signs itself.
    let attestation = Attestation::new(Signer::Monitor(key()), &[1]);
    let (mut context, _) = begun(&attestation, &realm);
    context.requested();
    context.signature(&answer);
    assert_eq!(context.step(&attestation), Progress::Working);
    assert_eq!(context.signature_request(0), None);
}

#[test]
fn answer_of_a_wrong_size_ends_the_generation() {
    let attestation = Attestation::new(Signer::El3(key().public().clone()), &[1]);
    for size in [0, 95, 97, 512] {
        let (mut context, _) = begun(&attestation, &Realm::new(HashAlgorithm::Sha256));
        context.requested();
        context.signature(&response(1, &vec![0xEE; size]));
        assert!(context.in_progress());
        assert_eq!(context.step(&attestation), Progress::Failed);
        assert_dropped(&context, &attestation);
    }
}

// Conformance: Signatures by EL3 lost
#[test]
fn request_without_answer_is_repeated() {
    let attestation = Attestation::new(Signer::El3(key().public().clone()), &[1]);
    let realm = Realm::new(HashAlgorithm::Sha256);
    let (mut context, _) = begun(&attestation, &realm);
    // No answer can be missing before there is a request.
    for _ in 0..100_000 {
        context.unanswered();
    }
    let request = context.signature_request(5).unwrap();
    for _ in 0..2 {
        context.requested();
        let mut times = 0;
        while context.signature_request(5).is_none() {
            assert_eq!(context.step(&attestation), Progress::Requested);
            context.unanswered();
            times += 1;
        }
        assert_eq!(times, 1 << 16);
        assert_eq!(context.step(&attestation), Progress::ToRequest);
        assert_eq!(context.signature_request(5), Some(request));
    }
    // The answer to the request that was thought lost is as good, before EL3 gets it again or after.
    for repeated in [false, true] {
        let mut context = TokenContext::read_from_bytes(context.as_bytes()).unwrap();
        if repeated {
            context.requested();
        }
        context.signature(&response(2, &[0xEE; 96]));
        context.signature(&response(1, &[0xDD; 96]));
        assert_eq!(context.step(&attestation), Progress::Ready);
        let token = read(&mut context, &attestation, 4096);
        assert_eq!(token[token.len() - 96..], [0xDD; 96]);
    }
    // Another token does not inherit it.
    context.init(&attestation, &Form::RMM_1_0, &realm.claims(), 7);
    context.signature(&response(7, &[0xDD; 96]));
    assert_eq!(context.step(&attestation), Progress::ToRequest);
}
