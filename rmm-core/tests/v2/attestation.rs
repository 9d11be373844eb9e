// SPDX-License-Identifier: BSD-3-Clause
//! What a relying party learns of a Realm: measurement and token by dialect.

#[path = "../support/attested.rs"]
mod attested;

use attested::{el3, token};
use ciborium::Value;
use rmm_abi::el3::Version;
use rmm_abi::rmi::HashAlgorithm;
use rmm_attest::{Measurement, SoftHash, rim};
use rmm_core::fake::v2::{Host2, TestRealm2};
use rmm_core::fake::{Config, El3Attestation, PAGE, Status};
use rmm_core::realm::Realm;
use rmm_granule::Pa;
use std::sync::{Arc, Mutex};
use zerocopy::FromBytes;

fn machine() -> Config {
    Config {
        attestation: Some(El3Attestation {
            interface: Version::new(2, 0),
            ..el3()
        }),
        ..Config::v2()
    }
}

/// The value of an integer key of a map.
fn entry(map: &Value, key: i64) -> Option<&Value> {
    let map = map.as_map().expect("a map");
    map.iter()
        .find(|(name, _)| *name == Value::from(key))
        .map(|(_, value)| value)
}

/// Tag of a token, and the claims of its Realm part.
fn decode(token: &[u8]) -> (u64, Value) {
    let value: Value = ciborium::from_reader(token).expect("CBOR");
    let (tag, map) = value.as_tag().expect("a tag");
    let part = entry(map, 44241).expect("a Realm token");
    let bytes = match part.as_array() {
        Some(pair) => pair[1].as_bytes(),
        None => part.as_bytes(),
    };
    let sign1: Value = ciborium::from_reader(&bytes.expect("bytes")[..]).expect("CBOR");
    let (_, parts) = sign1.as_tag().expect("a tag");
    let payload = parts.as_array().expect("an array")[2]
        .as_bytes()
        .expect("bytes");
    (tag, ciborium::from_reader(&payload[..]).expect("CBOR"))
}

/// The token of a Realm.
fn token_of(realm: &TestRealm2<'_>, rec: usize) -> Vec<u8> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let result = found.clone();
    realm.script(rec, |cpu| async move {
        let token = token(&cpu, 7, 0).await;
        *result.lock().expect("no panic") = token;
    });
    let _exit = realm.enter(rec);
    let token = found.lock().expect("no panic").clone();
    assert!(!token.is_empty());
    token
}

// Conformance: 2.0 RMI_REALM_CREATE claims
#[test]
fn a_token_says_which_interface_made_the_realm() {
    let host = Host2::with(machine());
    let mut instances = Vec::new();
    for lfa in [0, 1] {
        let realm = host
            .realm()
            .params(|params| {
                params.rpv = [0x5A; 64];
                params.hash_algo = HashAlgorithm::Sha384 as u8;
                params.flags0 = lfa << 5;
            })
            .create();
        let rec = realm.rec(true);
        realm.data(0, &[]);
        realm.activate();
        let (tag, claims) = decode(&token_of(&realm, rec));
        assert_eq!(tag, 907);
        let claim = |key| entry(&claims, key).expect("a claim");
        assert_eq!(claim(265), &"tag:arm.com,2024:realm#2.0.0".into());
        assert_eq!(claim(44236), &"sha-384".into());
        assert_eq!(claim(44235).as_bytes().expect("bytes")[..], [0x5A; 64]);
        assert_eq!(claim(44243), &0.into());
        assert_eq!(claim(44244), &lfa.into());
        assert_eq!(claim(44238).as_bytes().expect("bytes").len(), 48);
        let instance = claim(256).as_bytes().expect("bytes");
        assert_eq!((instance.len(), instance[0]), (33, 1));
        instances.push(instance.clone());
    }
    assert_ne!(instances[0], instances[1]);
}

/// The RIM in an RD.
fn rim_of(realm: &TestRealm2<'_>) -> Measurement {
    let content = realm.host.board().memory.peek(Pa(realm.rd));
    let (realm, _) = Realm::read_from_prefix(&content).expect("an RD");
    realm.measurements[0]
}

// Conformance: 2.0 RMI_REALM_CREATE rim, hash_algo
// Conformance: 2.0 RMI_REC_CREATE rim
// Conformance: 2.0 RMI_RTT_DATA_MAP_INIT rim
// Conformance: 2.0 RMI_RTT_DATA_MAP not_measured
// Conformance: 2.0 RMI_RTT_INIT_RIPAS not_measured
#[test]
fn the_rim_begins_with_zero_and_has_data_and_runnable_recs() {
    let host = Host2::new();
    for algorithm in [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ] {
        let realm = host
            .realm()
            .params(|params| params.hash_algo = algorithm as u8)
            .create();
        assert_eq!(rim_of(&realm), Measurement::ZERO);
        realm.tables(0, 3);
        let (status, _) = host.rtt_init_ripas(realm.rd, 0, 4 * PAGE);
        assert_eq!(status, Status::Success);
        assert_eq!(rim_of(&realm), Measurement::ZERO, "RIPAS is not measured");
        let data = realm.granule();
        let src = host.page_with(&[9; 4096]);
        let status = host.rtt_data_map_init(realm.rd, data, PAGE, src, 1);
        assert_eq!(status, Status::Success);
        let content = Measurement::of(&SoftHash, algorithm, &[9; 4096]);
        let zero = Measurement::ZERO;
        let expected = rim::data_create(&SoftHash, algorithm, &zero, PAGE, 1, &content);
        assert_eq!(rim_of(&realm), expected);
        let _rec = realm.rec(false);
        assert_eq!(rim_of(&realm), expected, "a REC that is not runnable");
        let _rec = realm.rec(true);
        assert_ne!(rim_of(&realm), expected);
        let after = rim_of(&realm);
        let other = realm.granule();
        let reply = host.rtt_data_map(realm.rd, 2 * PAGE..3 * PAGE, 1, other | 1 << 2);
        assert_eq!(reply.0, Status::Success);
        assert_eq!(
            rim_of(&realm),
            after,
            "memory without content is not measured"
        );
    }
}

// Conformance: 2.0 RMI_REALM_CREATE entropy
#[test]
fn no_realm_without_entropy() {
    let host = Host2::new();
    host.board().set_entropy(false);
    let params = host.realm().prepared();
    let rd = host.granule();
    let page = host.page_with(zerocopy::IntoBytes::as_bytes(&params));
    assert_eq!(host.realm_create(rd, page), Status::Global);
    host.board().set_entropy(true);
    assert_eq!(host.realm_create(rd, page), Status::Success);
    assert_eq!(host.realm_terminate(rd), Status::Success);
    assert_eq!(host.realm_destroy(rd), Status::Success);
}

#[test]
fn sha_384_is_reserved_in_1_0() {
    let host = rmm_core::fake::Host::new();
    let params = host
        .realm()
        .params(|params| params.hash_algo = 2)
        .prepared();
    let page = host.page_with(zerocopy::IntoBytes::as_bytes(&params));
    assert_eq!(host.realm_create(host.granule(), page), Status::Input);
}
