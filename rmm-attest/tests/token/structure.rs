// SPDX-License-Identifier: BSD-3-Clause
//! The structure of a token, as a relying party decodes it (specification A7.2.3).

use super::*;
use ciborium::Value;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha384};

fn decode(bytes: &[u8]) -> Value {
    ciborium::from_reader(bytes).unwrap()
}

fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// The value of an integer key, which must stand once in the map.
#[track_caller]
fn entry(map: &Value, key: i64) -> &Value {
    let found: Vec<_> = map
        .as_map()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name == Value::from(key))
        .collect();
    assert_eq!(found.len(), 1, "key {key}");
    &found[0].1
}

/// The content of a COSE_Sign1: protected, payload, signature.
fn sign1(bytes: &[u8]) -> [Vec<u8>; 3] {
    let value = decode(bytes);
    let (tag, body) = value.as_tag().unwrap();
    assert_eq!(tag, 18);
    let [protected, unprotected, payload, signature] = &body.as_array().unwrap()[..] else {
        panic!("not four items");
    };
    assert_eq!(unprotected, &Value::Map(Vec::new()));
    [protected, payload, signature].map(|item| item.as_bytes().unwrap().clone())
}

/// Digest of the signed bytes of a COSE_Sign1 (RFC 9052, 4.4).
pub fn signed_digest(bytes: &[u8]) -> [u8; 48] {
    let [protected, payload, _] = sign1(bytes);
    let signed = Value::Array(vec![
        "Signature1".into(),
        protected.into(),
        Value::Bytes(Vec::new()),
        payload.into(),
    ]);
    Sha384::digest(encode(&signed)).into()
}

/// The two tokens, after a check of what is around them.
fn tokens(token: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let value = decode(token);
    assert_eq!(encode(&value), token, "definite lengths, shortest heads");
    let (tag, map) = value.as_tag().unwrap();
    assert_eq!(tag, 399);
    assert_eq!(map.as_map().unwrap().len(), 2);
    assert_eq!(
        map.as_map().unwrap()[0].0,
        44234.into(),
        "the platform token is first"
    );
    let bytes = |key| entry(map, key).as_bytes().unwrap().clone();
    (bytes(44234), bytes(44241))
}

fn check(algorithm: HashAlgorithm, platform_size: usize) {
    let platform_token = fill(0, platform_size);
    let attestation = Attestation::new(Signer::Monitor(key()), &platform_token);
    let realm = Realm::new(algorithm);
    let (size, name, overhead) = match algorithm {
        HashAlgorithm::Sha256 => (32, "sha-256", 606),
        HashAlgorithm::Sha512 => (64, "sha-512", 766),
        HashAlgorithm::Sha384 => panic!("not in RMI 1.0"),
    };
    let token = token(&attestation, &realm);
    if (256..65536).contains(&platform_size) {
        assert_eq!(token.len(), platform_size + overhead);
    }
    let (platform, realm_token) = tokens(&token);
    assert_eq!(platform, platform_token);

    let [protected, payload, signature] = sign1(&realm_token);
    let header = decode(&protected);
    assert_eq!(header, Value::Map(vec![(1.into(), (-35).into())]), "ES384");
    assert_eq!(signature.len(), 96);

    let claims = decode(&payload);
    assert_eq!(claims.as_map().unwrap().len(), 8);
    let bytes = |key| entry(&claims, key).as_bytes().unwrap().clone();
    assert_eq!(bytes(10), realm.challenge);
    assert_eq!(entry(&claims, 265), &"tag:arm.com,2023:realm#1.0.0".into());
    assert_eq!(bytes(44235), realm.rpv);
    assert_eq!(entry(&claims, 44236), &name.into());
    assert_eq!(entry(&claims, 44240), &"sha-256".into());
    assert_eq!(bytes(44238), realm.measurements[0].0[..size]);
    let rems = entry(&claims, 44239).as_array().unwrap();
    assert_eq!(rems.len(), 4);
    for (rem, value) in rems.iter().zip(&realm.measurements[1..]) {
        assert_eq!(rem.as_bytes().unwrap(), &value.0[..size]);
    }

    // The key of the claim, whose hash binds the platform token, verifies the signature.
    assert_eq!(bytes(44237), key().public().cose_key());
    verify(&bytes(44237), &realm_token, &signature);
}

/// Verifies the signature of a Realm token with the key of its claim.
fn verify(cose_key: &[u8], realm_token: &[u8], signature: &[u8]) {
    let cose_key = decode(cose_key);
    assert_eq!(entry(&cose_key, 1), &2.into());
    assert_eq!(entry(&cose_key, -1), &2.into());
    let [x, y] = [-2, -3].map(|key| entry(&cose_key, key).as_bytes().unwrap().clone());
    let point = [vec![4], x, y].concat();
    VerifyingKey::from_sec1_bytes(&point)
        .unwrap()
        .verify_prehash(
            &signed_digest(realm_token),
            &Signature::from_slice(signature).unwrap(),
        )
        .unwrap();
}

// Conformance: Attestation tokens collection, sign1, realm_challenge, profile, rpv, hash_algorithm
// Conformance: Attestation tokens public_key, rim, rems
#[test]
fn every_claim_is_where_the_specification_has_it() {
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        for platform_size in [0, 1, 23, 24, 255, 256, 2000, 16384] {
            check(algorithm, platform_size);
        }
    }
}

#[test]
fn a_token_of_2_0() {
    let platform_token = fill(0, 2000);
    let attestation = Attestation::new(Signer::Monitor(key()), &platform_token);
    let algorithms = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ];
    for (algorithm, size, name) in [(0, 32, "sha-256"), (1, 48, "sha-384"), (2, 64, "sha-512")] {
        let realm = Realm::new(algorithms[algorithm]);
        let (mut context, bound) = begun_in(&Form::RMM_2_0, &attestation, &realm);
        sign(&mut context, &attestation);
        let token = read(&mut context, &attestation, 4096);
        assert_eq!(token.len(), bound);

        let value = decode(&token);
        assert_eq!(encode(&value), token, "definite lengths, shortest heads");
        let (tag, map) = value.as_tag().unwrap();
        assert_eq!((tag, map.as_map().unwrap().len()), (907, 2));
        let part = |key| {
            let [format, bytes] = &entry(map, key).as_array().unwrap()[..] else {
                panic!("not two items");
            };
            assert_eq!(format, &263.into(), "the content format of a CWT in COSE");
            bytes.as_bytes().unwrap().clone()
        };
        assert_eq!(part(44234), platform_token);
        let realm_token = part(44241);
        let [_, payload, signature] = sign1(&realm_token);
        let claims = decode(&payload);
        assert_eq!(claims.as_map().unwrap().len(), 11);
        let bytes = |key| entry(&claims, key).as_bytes().unwrap().clone();
        assert_eq!(bytes(10), realm.challenge);
        assert_eq!(bytes(256), [&[1][..], &INSTANCE].concat());
        assert_eq!(entry(&claims, 265), &"tag:arm.com,2024:realm#2.0.0".into());
        assert_eq!(bytes(44235), realm.rpv);
        assert_eq!(entry(&claims, 44236), &name.into());
        assert_eq!(entry(&claims, 44240), &"sha-256".into());
        assert_eq!(bytes(44237), key().public().cose_key());
        assert_eq!(bytes(44238), realm.measurements[0].0[..size]);
        let rems = entry(&claims, 44239).as_array().unwrap();
        for (rem, value) in rems.iter().zip(&realm.measurements[1..]) {
            assert_eq!(rem.as_bytes().unwrap(), &value.0[..size]);
        }
        assert_eq!(entry(&claims, 44243), &0.into(), "MEC policy: shared");
        assert_eq!(entry(&claims, 44244), &1.into(), "LFA policy: allowed");

        verify(&bytes(44237), &realm_token, &signature);
    }
}

#[test]
fn every_claim_is_signed() {
    let attestation = Attestation::new(Signer::Monitor(key()), &[1]);
    let digest = |realm: &Realm| {
        let (_, realm_token) = tokens(&token(&attestation, realm));
        signed_digest(&realm_token)
    };
    let realm = Realm::new(HashAlgorithm::Sha512);
    let changes: [fn(&mut Realm); 8] = [
        |realm| realm.challenge[63] ^= 1,
        |realm| realm.rpv[63] ^= 1,
        |realm| realm.algorithm = HashAlgorithm::Sha256,
        |realm| realm.measurements[0].0[63] ^= 1,
        |realm| realm.measurements[1].0[63] ^= 1,
        |realm| realm.measurements[2].0[63] ^= 1,
        |realm| realm.measurements[3].0[63] ^= 1,
        |realm| realm.measurements[4].0[63] ^= 1,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut other = realm.clone();
        change(&mut other);
        assert_ne!(digest(&other), digest(&realm), "change {n}");
    }
}
