// SPDX-License-Identifier: BSD-3-Clause
//! A token's contents for people and for programs.

use serde_json::{Map, Value, json};

use cca_token::hex::encode;
use cca_token::keys::TEST_KEYS;
use cca_token::platform::Lifecycle;
use cca_token::token::{Envelope, Token};
use cca_token::verify::realm_key;

/// Everything in the token, as JSON.
pub fn json(token: &Token) -> Value {
    let platform = &token.platform_claims;
    let realm = &token.realm_claims;
    let components: Vec<Value> = platform
        .components
        .iter()
        .map(|component| {
            json!({
                "type": component.kind,
                "measurement": encode(&component.measurement),
                "version": component.version,
                "signer-id": encode(&component.signer_id),
                "hash-algorithm": component.hash_algorithm,
            })
        })
        .collect();
    json!({
        "tag": match token.envelope { Envelope::Tag399 => 399, Envelope::Tag907 => 907 },
        "platform": {
            "algorithm": token.platform.algorithm.to_string(),
            "key-id": token.platform.key_id.as_deref().map(encode),
            "profile": platform.profile,
            "challenge": encode(&platform.challenge),
            "implementation-id": encode(&platform.implementation_id),
            "instance-id": encode(&platform.instance_id),
            "config": encode(&platform.config),
            "lifecycle": platform.lifecycle,
            "lifecycle-state": Lifecycle::of(platform.lifecycle).map(|state| state.to_string()),
            "hash-algorithm": platform.hash_algorithm,
            "verification-service": platform.verification_service,
            "software-components": components,
            "unknown": unknown(&platform.unknown),
        },
        "realm": {
            "algorithm": token.realm.algorithm.to_string(),
            "key-id": token.realm.key_id.as_deref().map(encode),
            "profile": realm.profile,
            "challenge": encode(&realm.challenge),
            "rpv": encode(&realm.rpv),
            "hash-algorithm": realm.hash_algorithm,
            "public-key": encode(&realm.public_key),
            "public-key-fingerprint": realm_key(token).ok().map(|key| encode(&key.fingerprint())),
            "public-key-hash-algorithm": realm.key_hash_algorithm,
            "rim": encode(&realm.rim),
            "rem": realm.rems.iter().map(|rem| encode(rem)).collect::<Vec<_>>(),
            "unknown": unknown(&realm.unknown),
        },
    })
}

fn unknown(claims: &[(String, String)]) -> Value {
    let claims = claims
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().into()));
    Value::Object(claims.collect::<Map<_, _>>())
}

/// Prints everything in the token. Text from the token is quoted, so that it cannot steer a terminal.
pub fn print(token: &Token) {
    let platform = &token.platform_claims;
    let realm = &token.realm_claims;
    let line = |name: &str, value: &dyn std::fmt::Display| println!("  {name:<26}{value}");
    let text = |value: &Option<String>| {
        value
            .as_ref()
            .map_or("absent".into(), |text| format!("{text:?}"))
    };

    println!("platform token");
    line("signature", &token.platform.algorithm);
    if let Some(id) = &token.platform.key_id {
        line("key id", &encode(id));
    }
    line("profile", &format_args!("{:?}", platform.profile));
    line("challenge", &encode(&platform.challenge));
    line("implementation id", &encode(&platform.implementation_id));
    line("instance id", &encode(&platform.instance_id));
    line("config", &encode(&platform.config));
    let state =
        Lifecycle::of(platform.lifecycle).map_or("unknown range".into(), |state| state.to_string());
    line(
        "lifecycle",
        &format_args!("{:#06x}, {state}", platform.lifecycle),
    );
    line(
        "hash algorithm",
        &format_args!("{:?}", platform.hash_algorithm),
    );
    line(
        "verification service",
        &text(&platform.verification_service),
    );
    for (i, component) in platform.components.iter().enumerate() {
        println!("  software component {i}");
        line("  type", &text(&component.kind));
        line("  version", &text(&component.version));
        line("  measurement", &encode(&component.measurement));
        line("  signer id", &encode(&component.signer_id));
        line("  hash algorithm", &text(&component.hash_algorithm));
    }
    for (key, value) in &platform.unknown {
        line(&format!("unknown claim {}", key), value);
    }

    println!("Realm token");
    line("signature", &token.realm.algorithm);
    if let Some(id) = &token.realm.key_id {
        line("key id", &encode(id));
    }
    line("profile", &text(&realm.profile));
    line("challenge", &encode(&realm.challenge));
    line("personalization value", &encode(&realm.rpv));
    line(
        "hash algorithm",
        &format_args!("{:?}", realm.hash_algorithm),
    );
    match realm_key(token) {
        Ok(key) => {
            line("public key", &key.curve());
            line("  fingerprint", &encode(&key.fingerprint()));
            if let Some(name) = key.name_among(TEST_KEYS) {
                line(
                    "  beware",
                    &format_args!("{name}: a test key, with which anybody can sign"),
                );
            }
        }
        Err(error) => line("public key", &format_args!("unusable: {error}")),
    }
    line(
        "public key hash algorithm",
        &format_args!("{:?}", realm.key_hash_algorithm),
    );
    line("RIM", &encode(&realm.rim));
    for (i, rem) in realm.rems.iter().enumerate() {
        line(&format!("REM[{i}]"), &encode(rem));
    }
    for (key, value) in &realm.unknown {
        line(&format!("unknown claim {}", key), value);
    }
}
