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
            "instance-id": realm.instance_id.as_deref().map(encode),
            "mec-policy": realm.mec_policy,
            "lfa-policy": realm.lfa_policy,
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

/// Lines of a name and a value.
struct Page(String);

impl Page {
    fn heading(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn line(&mut self, name: &str, value: &dyn std::fmt::Display) {
        self.heading(&format!("  {name:<26}{value}"));
    }
}

/// Everything in the token, as text. What comes from the token is quoted, so that it cannot steer a terminal.
pub fn text(token: &Token) -> String {
    let platform = &token.platform_claims;
    let realm = &token.realm_claims;
    let mut page = Page(String::new());
    let quoted = |value: &Option<String>| {
        value
            .as_ref()
            .map_or("absent".into(), |text| format!("{text:?}"))
    };

    page.heading("platform token");
    page.line("signature", &token.platform.algorithm);
    if let Some(id) = &token.platform.key_id {
        page.line("key id", &encode(id));
    }
    page.line("profile", &format_args!("{:?}", platform.profile));
    page.line("challenge", &encode(&platform.challenge));
    page.line("implementation id", &encode(&platform.implementation_id));
    page.line("instance id", &encode(&platform.instance_id));
    page.line("config", &encode(&platform.config));
    let state =
        Lifecycle::of(platform.lifecycle).map_or("unknown range".into(), |state| state.to_string());
    page.line(
        "lifecycle",
        &format_args!("{:#06x}, {state}", platform.lifecycle),
    );
    page.line(
        "hash algorithm",
        &format_args!("{:?}", platform.hash_algorithm),
    );
    page.line(
        "verification service",
        &quoted(&platform.verification_service),
    );
    for (i, component) in platform.components.iter().enumerate() {
        page.heading(&format!("  software component {i}"));
        page.line("  type", &quoted(&component.kind));
        page.line("  version", &quoted(&component.version));
        page.line("  measurement", &encode(&component.measurement));
        page.line("  signer id", &encode(&component.signer_id));
        page.line("  hash algorithm", &quoted(&component.hash_algorithm));
    }
    for (key, value) in &platform.unknown {
        page.line(&format!("unknown claim {}", key), value);
    }

    page.heading("Realm token");
    page.line("signature", &token.realm.algorithm);
    if let Some(id) = &token.realm.key_id {
        page.line("key id", &encode(id));
    }
    page.line("profile", &quoted(&realm.profile));
    page.line("challenge", &encode(&realm.challenge));
    page.line("personalization value", &encode(&realm.rpv));
    page.line(
        "hash algorithm",
        &format_args!("{:?}", realm.hash_algorithm),
    );
    match realm_key(token) {
        Ok(key) => {
            page.line("public key", &key.curve());
            page.line("  fingerprint", &encode(&key.fingerprint()));
            if let Some(name) = key.name_among(TEST_KEYS) {
                page.line(
                    "  beware",
                    &format_args!("{name}: a test key, with which anybody can sign"),
                );
            }
        }
        Err(error) => page.line("public key", &format_args!("unusable: {error}")),
    }
    page.line(
        "public key hash algorithm",
        &format_args!("{:?}", realm.key_hash_algorithm),
    );
    page.line("RIM", &encode(&realm.rim));
    for (i, rem) in realm.rems.iter().enumerate() {
        page.line(&format!("REM[{i}]"), &encode(rem));
    }
    if let Some(id) = &realm.instance_id {
        page.line("instance id", &encode(id));
    }
    let choice = |value: u16, names: [&str; 2]| match names.get(usize::from(value)) {
        Some(name) => format!("{value}, {name}"),
        None => format!("{value}, unknown"),
    };
    if let Some(policy) = realm.mec_policy {
        page.line("MEC policy", &choice(policy, ["shared", "private"]));
    }
    if let Some(policy) = realm.lfa_policy {
        page.line("LFA policy", &choice(policy, ["not allowed", "allowed"]));
    }
    for (key, value) in &realm.unknown {
        page.line(&format!("unknown claim {}", key), value);
    }
    page.0
}
