// SPDX-License-Identifier: BSD-3-Clause
//! Tokens made to measure: every claim can be left out, doubled or replaced.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the ranges are matched before"
)]

use cca_token::hash::HashAlgorithm;
use cca_token::keys::{PublicKey, read_anchors};
use cca_token::token::Token;
use cca_token::verify::{Policy, Report, verify};
use p384::ecdsa::SigningKey;
use p384::ecdsa::signature::Signer as _;

/// A token of `tests/golden`, made by `tests/make_golden.py`.
pub fn golden(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect(name)
}

/// The path of a file of `tests/golden`.
pub fn path(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The trust anchors of `tests/golden`.
pub fn anchors(name: &str) -> Vec<PublicKey> {
    read_anchors(&golden(name)).expect(name)
}

/// The bytes `first`, `first` + 1, and so on.
pub fn pattern(first: u8, size: usize) -> Vec<u8> {
    (0..size).map(|i| first.wrapping_add(i as u8)).collect()
}

/// The same as an array.
pub fn patterned<const N: usize>(first: u8) -> [u8; N] {
    pattern(first, N).try_into().expect("N bytes")
}

/// Trusts the ES384 key of `tests/golden` and expects what its tokens have.
pub fn policy() -> Policy {
    Policy {
        anchors: anchors("cpak-es384.pem"),
        challenge: Some(patterned(0x10)),
        rims: Some(vec![pattern(0x20, 32)]),
        rpv: Some(patterned(0x80)),
        rems: [0x30, 0x31, 0x32, 0x33].map(|first| Some(pattern(first, 32))),
        ..Policy::default()
    }
}

/// Judges well-formed bytes.
pub fn judge(token: &[u8], policy: &Policy) -> Report {
    verify(&Token::parse(token).expect("a well-formed token"), policy)
}

/// The head of a CBOR item.
pub fn head(major: u8, number: u64) -> Vec<u8> {
    let major = major << 5;
    match number {
        0..24 => vec![major | number as u8],
        24..0x100 => vec![major | 24, number as u8],
        0x100..0x1_0000 => [&[major | 25][..], &(number as u16).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &number.to_be_bytes()].concat(),
    }
}

/// An unsigned integer.
pub fn uint(number: u64) -> Vec<u8> {
    head(0, number)
}

/// A byte string.
pub fn bstr(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len() as u64), bytes.to_vec()].concat()
}

/// A text string.
pub fn tstr(text: &str) -> Vec<u8> {
    [head(3, text.len() as u64), text.into()].concat()
}

/// An array of items.
pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

/// A map of entries.
pub fn map(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = head(5, entries.len() as u64);
    for (key, value) in entries {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    out
}

/// A tagged item.
pub fn tag(number: u64, item: &[u8]) -> Vec<u8> {
    [head(6, number), item.to_vec()].concat()
}

/// Claims by label, with encoded values.
pub type Claims = Vec<(u64, Vec<u8>)>;

/// The ingredients of a token.
#[derive(Clone)]
pub struct Recipe {
    pub cpak: SigningKey,
    pub rak: SigningKey,
    pub platform: Claims,
    pub realm: Claims,
}

/// The COSE_Key of a P-384 key.
pub fn cose_key(key: &SigningKey) -> Vec<u8> {
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(48);
    map(&[
        (uint(1), uint(2)),
        (vec![0x20], uint(2)),
        (vec![0x21], bstr(x)),
        (vec![0x22], bstr(y)),
    ])
}

/// A P-384 key made of a small number.
pub fn signing_key(number: u8) -> SigningKey {
    let mut scalar = [0; 48];
    scalar[47] = number;
    SigningKey::from_slice(&scalar).expect("a valid scalar")
}

impl Default for Recipe {
    /// A token of RMM 1.0 that [`Recipe::policy`] accepts.
    fn default() -> Self {
        let rak = signing_key(9);
        let public = cose_key(&rak);
        let component = map(&[
            (uint(2), bstr(&pattern(1, 32))),
            (uint(5), bstr(&pattern(2, 32))),
        ]);
        let rems: Vec<_> = (0x30..0x34)
            .map(|first| bstr(&pattern(first, 32)))
            .collect();
        Self {
            cpak: signing_key(7),
            platform: vec![
                (265, tstr("tag:arm.com,2023:cca_platform#1.0.0")),
                (10, bstr(&HashAlgorithm::Sha256.digest(&public))),
                (2396, bstr(&pattern(0xa0, 32))),
                (256, bstr(&[&[1][..], &pattern(0xc0, 32)].concat())),
                (2401, bstr(&[0xcf])),
                (2395, uint(0x3000)),
                (2399, array(&[component])),
                (2402, tstr("sha-256")),
            ],
            realm: vec![
                (10, bstr(&pattern(0x10, 64))),
                (265, tstr("tag:arm.com,2023:realm#1.0.0")),
                (44235, bstr(&pattern(0x80, 64))),
                (44236, tstr("sha-256")),
                (44237, bstr(&public)),
                (44238, bstr(&pattern(0x20, 32))),
                (44239, array(&rems)),
                (44240, tstr("sha-256")),
            ],
            rak,
        }
    }
}

impl Recipe {
    /// The policy that accepts the default.
    pub fn policy(&self) -> Policy {
        let point = self.cpak.verifying_key().to_sec1_point(false);
        Policy {
            anchors: vec![PublicKey::from_raw(point.as_bytes(), 0).expect("a key")],
            ..policy()
        }
    }

    /// The token, correctly signed.
    pub fn token(&self) -> Vec<u8> {
        let body = map(&[
            (uint(44234), bstr(&sign1(&self.cpak, &self.platform))),
            (uint(44241), bstr(&sign1(&self.rak, &self.realm))),
        ]);
        tag(399, &body)
    }
}

/// Replaces a claim.
pub fn set(claims: &mut Claims, label: u64, value: Vec<u8>) {
    let claim = claims.iter_mut().find(|(known, _)| *known == label);
    claim.expect("a claim to replace").1 = value;
}

/// The claims, signed with ES384.
pub fn sign1(key: &SigningKey, claims: &Claims) -> Vec<u8> {
    let entries: Vec<_> = claims
        .iter()
        .map(|(label, value)| (uint(*label), value.clone()))
        .collect();
    signed(key, &[0xa1, 0x01, 0x38, 0x22], &map(&entries))
}

/// Any payload, signed with ES384 whatever the protected header says.
pub fn signed(key: &SigningKey, protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let message = array(&[
        tstr("Signature1"),
        bstr(protected),
        bstr(&[]),
        bstr(payload),
    ]);
    let signature: p384::ecdsa::Signature = key.sign(&message);
    let items = [
        bstr(protected),
        map(&[]),
        bstr(payload),
        bstr(&signature.to_bytes()),
    ];
    tag(18, &array(&items))
}
