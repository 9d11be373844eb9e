// SPDX-License-Identifier: BSD-3-Clause
//! What a relying party reads from strangers: tokens, keys, launch descriptions. Any bytes give an
//! error or a value, and no bytes but a signed token pass the check of the signature.
#![no_main]

use cca_token::keys::{PublicKey, read_anchors};
use cca_token::launch::description;
use cca_token::platform::PlatformClaims;
use cca_token::realm::RealmClaims;
use cca_token::seal::Secret;
use cca_token::token::Token;
use cca_token::verify::{Policy, Verdict, realm_key, verify};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// Trusts one key, whose private half nobody has here.
static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    anchors: read_anchors(include_bytes!(
        "../../cca-token/tests/golden/cpak-es384.pem"
    ))
    .expect("a key"),
    allow_test_keys: true,
    ..Policy::default()
});

/// The token that this key has signed.
static SIGNED: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    signed(
        &Token::parse(include_bytes!("../../cca-token/tests/golden/rel0.cbor")).expect("a token"),
    )
});

/// What the signatures of a token are of.
fn signed(token: &Token) -> [Vec<u8>; 2] {
    [&token.platform, &token.realm].map(|part| part.signed_bytes())
}

/// A secret with which nothing was sealed.
static SECRET: LazyLock<Secret> =
    LazyLock::new(|| Secret::from_bytes(&[7; 32]).expect("the size of a secret"));

fuzz_target!(|input: &[u8]| {
    if let Ok(token) = Token::parse(input) {
        let _key = realm_key(&token);
        let report = verify(&token, &POLICY);
        assert!(
            report.verdict != Verdict::Verified || signed(&token) == *SIGNED,
            "a forged token"
        );
    }
    let _claims = PlatformClaims::parse(input, 0);
    let _claims = RealmClaims::parse(input, 0);
    let _key = PublicKey::from_cose_key(input, 0);
    let _key = PublicKey::from_raw(input, 0);
    let _anchors = read_anchors(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let _description = description::parse(text);
    }
    assert!(SECRET.open(input).is_err(), "a forged secret");
});
