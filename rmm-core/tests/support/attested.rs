// SPDX-License-Identifier: BSD-3-Clause
//! Machines whose EL3 has a key and a platform token, Realms that ask for tokens, and a relying party.
#![allow(dead_code, reason = "each test program uses a part")]

use cca_token::keys::PublicKey;
use cca_token::token::Token;
use cca_token::verify::{Policy, Report, Verdict, verify};
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey};

use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi::fid::{
    RSI_ATTESTATION_TOKEN_CONTINUE, RSI_ATTESTATION_TOKEN_INIT, RSI_MEASUREMENT_EXTEND,
    RSI_MEASUREMENT_READ,
};
use rmm_abi::rsi::{RSI_INCOMPLETE, RSI_SUCCESS};
use rmm_core::fake::{Config, El3Attestation, Host, PAGE, RealmCpu};
use sha2::{Digest, Sha256, Sha384};

/// Looks at pending interrupts during a signature of the monitor: one after each step but the last.
pub const LOOKS: usize = 132;

/// A key made of a number.
fn scalar(number: u64) -> [u8; 48] {
    let mut scalar = [0; 48];
    scalar[40..].copy_from_slice(&number.to_be_bytes());
    scalar
}

/// The private Realm attestation key of EL3.
pub fn rak() -> [u8; 48] {
    scalar(0x5EC2_E75E_C2E7_5EC2)
}

fn signing_key(number: u64) -> SigningKey {
    SigningKey::from_slice(&scalar(number)).expect("a key")
}

/// Signs a digest with [`rak`], as EL3 does.
pub fn sign(digest: &[u8; 48]) -> [u8; 96] {
    let key = SigningKey::from_slice(&rak()).expect("a key");
    let signature: Signature = key.sign_prehash(digest).expect("a digest");
    signature.to_bytes().into()
}

fn point(key: &SigningKey) -> [u8; 97] {
    let point = key.verifying_key().to_sec1_point(false);
    point.as_bytes().try_into().expect("uncompressed")
}

/// The public key of [`rak`], an uncompressed point.
pub fn rak_point() -> [u8; 97] {
    point(&SigningKey::from_slice(&rak()).expect("a key"))
}

/// The key that signs platform tokens.
fn platform_key() -> SigningKey {
    signing_key(7)
}

/// The key that platform tokens verify with.
pub fn anchor() -> PublicKey {
    PublicKey::from_raw(&point(&platform_key()), 0).expect("a key")
}

/// The head of a CBOR item.
fn head(major: u8, number: usize) -> Vec<u8> {
    let major = major << 5;
    match (u8::try_from(number), u16::try_from(number)) {
        (Ok(number @ 0..24), _) => vec![major | number],
        (Ok(number), _) => vec![major | 24, number],
        (_, Ok(number)) => [&[major | 25][..], &number.to_be_bytes()].concat(),
        _ => panic!("{number} is not needed"),
    }
}

fn bytes(content: &[u8]) -> Vec<u8> {
    [head(2, content.len()), content.to_vec()].concat()
}

fn text(content: &str) -> Vec<u8> {
    [head(3, content.len()), content.into()].concat()
}

/// A platform token for [`rak`] of `size` bytes; of its least size if that is larger.
pub fn platform_token(size: usize) -> Vec<u8> {
    let token = |padding: usize| {
        let [_, coordinates @ ..] = rak_point();
        let (x, y) = coordinates.split_at(48);
        let cose_key = [
            &[0xA4, 1, 2, 0x20, 2, 0x21][..],
            &bytes(x),
            &[0x22],
            &bytes(y),
        ];
        let challenge = Sha256::digest(cose_key.concat());
        let component = [&[0xA2, 2][..], &bytes(&[2; 32]), &[5], &bytes(&[5; 32])].concat();
        let claims = [
            (265, text("tag:arm.com,2023:cca_platform#1.0.0")),
            (10, bytes(&challenge)),
            (2396, bytes(&[3; 32])),
            (256, bytes(&[1; 33])),
            (2401, bytes(&[9])),
            (2395, head(0, 0x3000)),
            (2399, [vec![0x81], component].concat()),
            (2402, text("sha-256")),
            // No claim that anybody knows.
            (60_000, bytes(&vec![0x77; padding])),
        ];
        let mut payload = head(5, claims.len());
        for (key, value) in claims {
            payload.extend([head(0, key), value].concat());
        }
        let protected = [0x44, 0xA1, 0x01, 0x38, 0x22];
        let payload = bytes(&payload);
        let signed = [b"\x84\x6ASignature1", &protected[..], &[0x40], &payload].concat();
        let signature: Signature = platform_key()
            .sign_prehash(&Sha384::digest(signed))
            .expect("a digest");
        let signature = bytes(&signature.to_bytes());
        [&[0xD2, 0x84][..], &protected, &[0xA0], &payload, &signature].concat()
    };
    // From 256 bytes on all heads have the same size.
    let least = token(256).len();
    let token = token(256 + size.saturating_sub(least));
    assert_eq!(token.len(), size.max(least));
    token
}

/// EL3 with [`rak`] and a short platform token.
pub fn el3() -> El3Attestation {
    El3Attestation::new(&rak(), &platform_token(0))
}

/// As [`el3`], and EL3 signs.
pub fn signing_el3() -> El3Attestation {
    El3Attestation {
        signs: Some((sign, rak_point())),
        ..el3()
    }
}

/// The Host of a machine with this EL3.
pub fn host_of(el3: El3Attestation) -> Host {
    Host::with(Config {
        attestation: Some(el3),
        ..Config::default()
    })
}

/// What a Realm says of itself, by other calls than those for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub challenge: [u8; 64],
    pub rpv: [u8; 64],
    pub algorithm: HashAlgorithm,
    /// RIM, REM 0 to 3.
    pub measurements: [Vec<u8>; 5],
}

impl Expected {
    /// Of this Realm, for the challenge of this byte.
    pub async fn of(cpu: &RealmCpu, first: u8, rpv: u8, algorithm: HashAlgorithm) -> Self {
        let size = match algorithm {
            HashAlgorithm::Sha256 => 32,
            HashAlgorithm::Sha384 => 48,
            HashAlgorithm::Sha512 => 64,
        };
        let mut measurements = [const { Vec::new() }; 5];
        for (index, value) in (0..).zip(&mut measurements) {
            let gprs = cpu.smc(&[RSI_MEASUREMENT_READ, index]).await;
            value.extend(gprs[1..9].iter().flat_map(|x| x.to_le_bytes()).take(size));
        }
        Self {
            challenge: challenge(first),
            rpv: [rpv; 64],
            algorithm,
            measurements,
        }
    }

    /// As [`Expected::assert_verified`], whatever REMs other RECs have extended meanwhile.
    #[track_caller]
    pub fn assert_verified_but_for(&self, token: &[u8], is_others: impl Fn(usize) -> bool) {
        let mut expected = self.clone();
        let found = Token::parse(token).expect("a well-formed token");
        let [_, rems @ ..] = &mut expected.measurements;
        for (n, (rem, found)) in rems.iter_mut().zip(found.realm_claims.rems).enumerate() {
            if is_others(n) {
                *rem = found;
            }
        }
        expected.assert_verified(token);
    }

    fn policy(&self) -> Policy {
        let [rim, rems @ ..] = self.measurements.clone();
        Policy {
            anchors: vec![anchor()],
            challenge: Some(self.challenge),
            rims: Some(vec![rim]),
            rems: rems.map(Some),
            rpv: Some(self.rpv),
            ..Policy::default()
        }
    }

    /// What a relying party says of a token.
    pub fn report(&self, token: &[u8]) -> Report {
        let token = Token::parse(token).expect("a well-formed token");
        let name = match self.algorithm {
            HashAlgorithm::Sha256 => "sha-256",
            HashAlgorithm::Sha384 => "sha-384",
            HashAlgorithm::Sha512 => "sha-512",
        };
        assert_eq!(token.realm_claims.hash_algorithm, name);
        verify(&token, &self.policy())
    }

    /// Asserts that a token is of this Realm, for this challenge, signed by RAK and platform key.
    #[track_caller]
    pub fn assert_verified(&self, token: &[u8]) {
        let report = self.report(token);
        assert_eq!(report.verdict, Verdict::Verified, "{report:#?}");
    }
}

/// A challenge that begins with `first`; no two bytes of a register are equal.
pub fn challenge(first: u8) -> [u8; 64] {
    core::array::from_fn(|n| first.wrapping_add(3 * u8::try_from(n).expect("below 64")))
}

/// RSI_ATTESTATION_TOKEN_INIT with [`challenge`], which must succeed. The bound.
pub async fn init(cpu: &RealmCpu, first: u8) -> u64 {
    let mut args = [RSI_ATTESTATION_TOKEN_INIT; 9];
    let challenge = challenge(first);
    let (words, _) = challenge.as_chunks::<8>();
    for (arg, word) in args[1..].iter_mut().zip(words) {
        *arg = u64::from_le_bytes(*word);
    }
    cpu.mark(0);
    let before = cpu.gprs();
    let gprs = cpu.smc(&args).await;
    assert_eq!(gprs[0], RSI_SUCCESS);
    assert_eq!(gprs[2..4], [0, 0]);
    assert_eq!(gprs[4..9], args[4..]);
    assert_eq!(gprs[9..], before[9..]);
    gprs[1]
}

/// RSI_ATTESTATION_TOKEN_CONTINUE: status and size.
pub async fn proceed(cpu: &RealmCpu, ipa: u64, offset: u64, size: u64) -> (u64, u64) {
    cpu.mark(0);
    let before = cpu.gprs();
    let args = [RSI_ATTESTATION_TOKEN_CONTINUE, ipa, offset, size];
    let gprs = cpu.smc(&args).await;
    assert_eq!(gprs[2..4], [0, 0]);
    assert_eq!(gprs[4..], before[4..]);
    (gprs[0], gprs[1])
}

/// Calls without a result after which a Realm gives up. So many are never made for one token.
const PATIENCE: u32 = 1_000_000;

/// The rest of the token in progress, by way of the page at `ipa`.
pub async fn rest(cpu: &RealmCpu, ipa: u64) -> Vec<u8> {
    let mut token = Vec::new();
    for _ in 0..PATIENCE {
        let (status, size) = proceed(cpu, ipa, 0, PAGE).await;
        let length = usize::try_from(size).expect("a page");
        token.extend(cpu.read_bytes(ipa, length).await.expect("memory"));
        match status {
            RSI_SUCCESS => return token,
            RSI_INCOMPLETE => assert!(size == 0 || size == PAGE, "{size:#x} bytes"),
            _ => panic!("status {status}"),
        }
    }
    panic!("there is no token");
}

/// A whole token by way of the page at `ipa`, which must have the size that was announced.
pub async fn token(cpu: &RealmCpu, first: u8, ipa: u64) -> Vec<u8> {
    let bound = init(cpu, first).await;
    let token = rest(cpu, ipa).await;
    assert_eq!(token.len() as u64, bound);
    token
}

/// Extends a REM by one byte.
pub async fn extend(cpu: &RealmCpu, index: u64, value: u64) {
    let gprs = cpu.smc(&[RSI_MEASUREMENT_EXTEND, index, 1, value]).await;
    assert_eq!(gprs[0], RSI_SUCCESS);
}
