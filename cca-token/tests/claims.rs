// SPDX-License-Identifier: BSD-3-Clause
//! Correctly signed tokens with wrong contents: each claim missing, doubled, of another type or size; keys,
//! profiles, algorithms and values that the policy does not accept.
#![cfg(feature = "verifier")]

mod support;

use cca_token::hash::HashAlgorithm;
use cca_token::keys::PublicKey;
use cca_token::platform::Lifecycle;
use cca_token::token::Token;
use cca_token::verify::{CHECKS, ExpectedComponent, Outcome, Policy, Report, Verdict};
use support::*;

fn complaint(recipe: &Recipe) -> String {
    Token::parse(&recipe.token())
        .expect_err("malformed claims")
        .to_string()
}

fn refusal(report: &Report) -> &str {
    match &report.verdict {
        Verdict::Refused(why) => why,
        verdict => panic!("not refused: {verdict}"),
    }
}

/// Checks that `recipe` is well-formed and refused, and that the reason begins with `check`.
fn refused(recipe: &Recipe, policy: &Policy, check: &str) {
    let report = judge(&recipe.token(), policy);
    let why = refusal(&report);
    assert!(why.starts_with(&format!("{check}: ")), "{check}: {why}");
}

#[test]
fn the_default_verifies() {
    let recipe = Recipe::default();
    let report = judge(&recipe.token(), &recipe.policy());
    assert_eq!(report.verdict, Verdict::Verified, "{report:?}");
    let names: Vec<_> = report.checks.iter().map(|check| check.name).collect();
    assert_eq!(names, CHECKS);
}

/// Runs `change` on each claim of either token. `optional` says which may be missing.
fn each_claim(change: impl Fn(&mut Claims, usize), check: impl Fn(u64, &Recipe)) {
    let good = Recipe::default();
    for at in 0..good.platform.len() {
        let mut recipe = good.clone();
        change(&mut recipe.platform, at);
        check(good.platform[at].0, &recipe);
    }
    for at in 0..good.realm.len() {
        let mut recipe = good.clone();
        change(&mut recipe.realm, at);
        check(good.realm[at].0, &recipe);
    }
}

#[test]
fn each_claim_missing() {
    let seen = std::cell::Cell::new(0);
    each_claim(
        |claims, at| {
            claims.remove(at);
        },
        |label, recipe| {
            seen.set(seen.get() + 1);
            match Token::parse(&recipe.token()) {
                // The Realm profile alone is optional.
                Ok(token) => assert!(label == 265 && token.realm_claims.profile.is_none()),
                Err(error) => {
                    assert!(error.what.contains(&format!("claim {label} (")), "{error}");
                    assert!(error.what.contains("is missing"), "{error}");
                }
            }
        },
    );
    assert_eq!(seen.get(), 16);
}

#[test]
fn each_claim_twice() {
    each_claim(
        |claims, at| claims.push(claims[at].clone()),
        |label, recipe| {
            let error = complaint(recipe);
            assert!(error.contains(&format!("the key {label} twice")), "{error}");
        },
    );
}

#[test]
fn each_claim_of_another_type() {
    let values = [
        uint(1),
        vec![0x20],
        bstr(&[]),
        bstr(&[1; 31]),
        tstr("x"),
        array(&[]),
        map(&[]),
        tag(1, &bstr(&[1; 32])),
        vec![0xf5],
        vec![0xf6],
        vec![0xf7],
        vec![0xf9, 0x3c, 0x00],
    ];
    for value in values {
        let seen = std::cell::Cell::new(0);
        each_claim(
            |claims, at| claims[at].1 = value.clone(),
            |label, recipe| match Token::parse(&recipe.token()) {
                Err(error) => {
                    seen.set(seen.get() + 1);
                    assert!(error.what.contains(&format!("claim {label} (")), "{error}");
                    // The offset is that of the value.
                    assert_eq!(recipe.token()[error.offset], value[0], "{error}");
                }
                // The type fits, but the value is none that verifies.
                Ok(token) => {
                    let report = cca_token::verify::verify(&token, &recipe.policy());
                    let harmless = label == 2401 || label == 2395;
                    assert!(
                        harmless || report.verdict != Verdict::Verified,
                        "{label}: {value:02x?}"
                    );
                }
            },
        );
        assert!(seen.get() >= 8, "{value:02x?}: {}", seen.get());
    }
}

#[test]
fn values_out_of_range() {
    let good = Recipe::default();
    for (label, value, why) in [
        (2395, uint(0x1_0000), "more than 16 bits"),
        (2395, uint(0x3100), "outside every range"),
        (2395, uint(0x7000), "outside every range"),
        (256, bstr(&[2; 33]), "does not begin with 01"),
        (256, bstr(&[1; 32]), "has 32 bytes, not 33"),
        (2399, array(&[]), "is empty"),
        (
            2399,
            array(&[uint(1)]),
            "software component is an unsigned integer",
        ),
        (
            2399,
            array(&[map(&[(uint(2), bstr(&[0; 32]))])]),
            "claim 5 (component signer id) is missing",
        ),
        (
            2399,
            array(&[map(&[(uint(5), bstr(&[0; 32]))])]),
            "claim 2 (component measurement) is missing",
        ),
        (
            2399,
            array(&[map(&[(uint(2), bstr(&[0; 20]))])]),
            "has 20 bytes, not 32, 48, 64",
        ),
        (10, bstr(&[0; 33]), "has 33 bytes"),
    ] {
        let mut recipe = good.clone();
        set(&mut recipe.platform, label, value);
        assert!(
            complaint(&recipe).contains(why),
            "{why}: {}",
            complaint(&recipe)
        );
    }
    let rem = bstr(&[0; 32]);
    for (label, value, why) in [
        (44239, array(&vec![rem.clone(); 3]), "has 3 entries, not 4"),
        (44239, array(&vec![rem.clone(); 5]), "has 5 entries, not 4"),
        (
            44239,
            array(&[rem.clone(), rem.clone(), rem.clone(), uint(1)]),
            "not a byte string",
        ),
        (44239, array(&vec![bstr(&[0; 31]); 4]), "has 31 bytes"),
        (10, bstr(&[0; 32]), "has 32 bytes, not 64"),
        (44235, bstr(&[0; 65]), "has 65 bytes, not 64"),
    ] {
        let mut recipe = good.clone();
        set(&mut recipe.realm, label, value);
        assert!(
            complaint(&recipe).contains(why),
            "{why}: {}",
            complaint(&recipe)
        );
    }
}

#[test]
fn keys_that_do_not_belong() {
    let good = Recipe::default();
    let mut recipe = good.clone();
    recipe.cpak = signing_key(8);
    refused(&recipe, &good.policy(), "platform-signature");

    let mut recipe = good.clone();
    recipe.rak = signing_key(8); // the claim still holds the other
    refused(&recipe, &good.policy(), "realm-signature");

    let mut recipe = good.clone();
    recipe.rak = signing_key(8);
    set(&mut recipe.realm, 44237, bstr(&cose_key(&recipe.rak)));
    refused(&recipe, &good.policy(), "realm-key-binding");

    // The platform token of one platform with the Realm token of another.
    let mut recipe = good.clone();
    set(&mut recipe.platform, 10, bstr(&[0; 32]));
    refused(&recipe, &good.policy(), "realm-key-binding");
}

#[test]
fn the_binding_is_by_the_named_hash() {
    let good = Recipe::default();
    let public = cose_key(&good.rak);
    for hash in [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ] {
        let mut recipe = good.clone();
        set(&mut recipe.realm, 44240, tstr(&hash.to_string()));
        set(&mut recipe.platform, 10, bstr(&hash.digest(&public)));
        assert_eq!(
            judge(&recipe.token(), &good.policy()).verdict,
            Verdict::Verified,
            "{hash}"
        );
        set(&mut recipe.realm, 44240, tstr("md5"));
        refused(&recipe, &good.policy(), "realm-key-binding");
    }
    let mut recipe = good.clone();
    set(&mut recipe.realm, 44240, tstr("sha-512"));
    refused(&recipe, &good.policy(), "realm-key-binding");
    // Not the hash of the byte string's head and content, nor of the bare point.
    let point = good.rak.verifying_key().to_sec1_point(false);
    for wrong in [bstr(&public), point.as_bytes().to_vec()] {
        let mut recipe = good.clone();
        set(
            &mut recipe.platform,
            10,
            bstr(&HashAlgorithm::Sha256.digest(&wrong)),
        );
        refused(&recipe, &good.policy(), "realm-key-binding");
    }
}

#[test]
fn each_profile_has_its_key_encoding() {
    let good = Recipe::default();
    let raw = good
        .rak
        .verifying_key()
        .to_sec1_point(false)
        .as_bytes()
        .to_vec();
    let with_key = |recipe: &mut Recipe, key: &[u8]| {
        set(&mut recipe.realm, 44237, bstr(key));
        set(
            &mut recipe.platform,
            10,
            bstr(&HashAlgorithm::Sha256.digest(key)),
        );
    };
    // Old platform profile, no Realm profile: a raw point and nothing else.
    let mut old = good.clone();
    set(&mut old.platform, 265, tstr("http://arm.com/CCA-SSD/1.0.0"));
    old.realm.retain(|(label, _)| *label != 265);
    refused(&old, &good.policy(), "realm-key");
    with_key(&mut old, &raw);
    assert_eq!(
        judge(&old.token(), &good.policy()).verdict,
        Verdict::Verified
    );
    // RMM 1.0, with or without Realm profile: a COSE_Key and nothing else.
    for keep in [true, false] {
        let mut new = good.clone();
        new.realm.retain(|(label, _)| keep || *label != 265);
        assert_eq!(
            judge(&new.token(), &good.policy()).verdict,
            Verdict::Verified
        );
        with_key(&mut new, &raw);
        refused(&new, &good.policy(), "realm-key");
    }
    for (claims, check) in [(0, "platform-profile"), (1, "realm-profile")] {
        let mut recipe = good.clone();
        let claims = if claims == 0 {
            &mut recipe.platform
        } else {
            &mut recipe.realm
        };
        set(claims, 265, tstr("tag:arm.com,2099:other#9"));
        refused(&recipe, &good.policy(), check);
    }
}

#[test]
fn the_realm_key_is_on_p384() {
    let good = Recipe::default();
    let scalar = p256::ecdsa::SigningKey::from_slice(&[3; 32]).expect("a key");
    let point = scalar.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let key = map(&[
        (uint(1), uint(2)),
        (vec![0x20], uint(1)),
        (vec![0x21], bstr(x)),
        (vec![0x22], bstr(y)),
    ]);
    let mut recipe = good.clone();
    set(&mut recipe.realm, 44237, bstr(&key));
    set(
        &mut recipe.platform,
        10,
        bstr(&HashAlgorithm::Sha256.digest(&key)),
    );
    refused(&recipe, &good.policy(), "realm-key");
}

#[test]
fn hash_algorithms_fit_the_measurements() {
    let good = Recipe::default();
    for name in ["sha-512", "SHA-256", "sha256", ""] {
        let mut recipe = good.clone();
        set(&mut recipe.realm, 44236, tstr(name));
        refused(&recipe, &good.policy(), "realm-hash-algorithm");
        let mut recipe = good.clone();
        set(&mut recipe.platform, 2402, tstr(name));
        refused(&recipe, &good.policy(), "platform-hash-algorithms");
    }
    let mut recipe = good.clone();
    set(&mut recipe.realm, 44238, bstr(&[0; 64]));
    refused(&recipe, &good.policy(), "realm-hash-algorithm");
    let component = |hash: &str| {
        map(&[
            (uint(2), bstr(&[1; 48])),
            (uint(5), bstr(&[2; 32])),
            (uint(6), tstr(hash)),
        ])
    };
    let mut recipe = good.clone();
    set(&mut recipe.platform, 2399, array(&[component("sha-384")]));
    assert_eq!(
        judge(&recipe.token(), &good.policy()).verdict,
        Verdict::Verified
    );
    for hash in ["sha-256", "other"] {
        set(&mut recipe.platform, 2399, array(&[component(hash)]));
        refused(&recipe, &good.policy(), "platform-hash-algorithms");
    }
}

#[test]
fn lifecycle_is_a_matter_of_policy() {
    let good = Recipe::default();
    for (value, state) in [
        (0x0000, "unknown"),
        (0x10ff, "assembly-and-test"),
        (0x2000, "platform-rot-provisioning"),
        (0x4001, "non-platform-rot-debug"),
        (0x5000, "recoverable-platform-rot-debug"),
        (0x60ff, "decommissioned"),
    ] {
        let mut recipe = good.clone();
        set(&mut recipe.platform, 2395, uint(value));
        let mut policy = good.policy();
        refused(&recipe, &policy, "lifecycle");
        policy.lifecycles = vec![Lifecycle::named(state).expect("a state")];
        assert_eq!(judge(&recipe.token(), &policy).verdict, Verdict::Verified);
        assert_eq!(
            refusal(&judge(&good.token(), &policy)),
            "lifecycle: secured (0x3000) is not accepted"
        );
    }
    for low in [0x3000, 0x30ff] {
        let mut recipe = good.clone();
        set(&mut recipe.platform, 2395, uint(low));
        assert_eq!(
            judge(&recipe.token(), &good.policy()).verdict,
            Verdict::Verified
        );
    }
}

#[test]
fn expectations_are_met_or_refused() {
    let recipe = Recipe::default();
    let token = recipe.token();
    let changed = |change: &dyn Fn(&mut Policy)| {
        let mut policy = recipe.policy();
        change(&mut policy);
        judge(&token, &policy)
    };
    let component = ExpectedComponent {
        measurement: pattern(1, 32),
        signer_id: pattern(2, 32),
    };
    type Change<'a> = &'a dyn Fn(&mut Policy);
    let accepted: [Change<'_>; 5] = [
        &|p| p.rims = Some(vec![pattern(0, 32), pattern(0x20, 32)]),
        &|p| p.rems = [None, Some(pattern(0x31, 32)), None, None],
        &|p| p.implementation_ids = Some(vec![[0; 32], patterned(0xa0)]),
        &|p| p.components = Some(vec![component.clone()]),
        &|p| {
            let mut id = [1; 33];
            id[1..].copy_from_slice(&pattern(0xc0, 32));
            p.instance_ids = Some(vec![id]);
        },
    ];
    for change in accepted {
        assert_eq!(changed(change).verdict, Verdict::Verified);
    }
    let refused: [(Change<'_>, &str); 10] = [
        (&|p| p.challenge = Some(patterned(0x11)), "challenge"),
        (&|p| p.rims = Some(vec![]), "rim"),
        (&|p| p.rims = Some(vec![pattern(0x21, 32)]), "rim"),
        (&|p| p.rims = Some(vec![pattern(0x20, 31)]), "rim"),
        (&|p| p.rems[3] = Some(pattern(0x32, 32)), "rem"),
        (&|p| p.rpv = Some([0; 64]), "rpv"),
        (
            &|p| p.implementation_ids = Some(vec![[0; 32]]),
            "implementation-id",
        ),
        (&|p| p.instance_ids = Some(vec![[1; 33]]), "instance-id"),
        (&|p| p.components = Some(vec![]), "software-components"),
        (
            &|p| {
                p.components = Some(vec![ExpectedComponent {
                    signer_id: pattern(3, 32),
                    ..component.clone()
                }]);
            },
            "software-components",
        ),
    ];
    for (change, check) in refused {
        let report = changed(change);
        assert!(
            refusal(&report).starts_with(&format!("{check}: ")),
            "{report:?}"
        );
    }
    // One run shows all differences.
    let report = changed(&|p| {
        p.challenge = Some([0; 64]);
        p.rpv = Some([0; 64]);
    });
    let failed = report
        .checks
        .iter()
        .filter(|c| matches!(c.outcome, Outcome::Failed(_)));
    assert_eq!(
        failed.map(|c| c.name).collect::<Vec<_>>(),
        ["challenge", "rpv"]
    );
}

#[test]
fn nothing_is_said_of_claims_without_trust() {
    let mut recipe = Recipe::default();
    let policy = recipe.policy();
    recipe.cpak = signing_key(8);
    let report = judge(&recipe.token(), &policy);
    let reached = report
        .checks
        .iter()
        .filter(|c| c.outcome != Outcome::NotReached)
        .count();
    assert_eq!(reached, 2, "{report:?}");
    assert_eq!(report.checks.len(), CHECKS.len());
}

#[test]
fn test_keys_need_the_word() {
    let recipe = Recipe::default();
    let fingerprint = |key: &p384::ecdsa::SigningKey| {
        let point = key.verifying_key().to_sec1_point(false);
        PublicKey::from_raw(point.as_bytes(), 0)
            .expect("a key")
            .fingerprint()
    };
    for (key, check) in [
        (&recipe.cpak, "platform-signature"),
        (&recipe.rak, "realm-key"),
    ] {
        let mut policy = recipe.policy();
        policy.test_keys = Box::leak(Box::new([(fingerprint(key), "a known key")]));
        refused(&recipe, &policy, check);
        let report = judge(&recipe.token(), &policy);
        assert!(refusal(&report).contains("a known key: a test key"));
        assert!(report.test_keys.is_empty(), "refused, not accepted");
        policy.allow_test_keys = true;
        let report = judge(&recipe.token(), &policy);
        assert_eq!(report.verdict, Verdict::Verified);
        assert_eq!(report.test_keys, ["a known key"]);
    }
}

#[test]
fn the_protected_header_counts() {
    let recipe = Recipe::default();
    let payload = {
        let entries: Vec<_> = recipe
            .realm
            .iter()
            .map(|(l, v)| (uint(*l), v.clone()))
            .collect();
        map(&entries)
    };
    let with = |realm: Vec<u8>| {
        let platform = sign1(&recipe.cpak, &recipe.platform);
        tag(
            399,
            &map(&[(uint(44234), bstr(&platform)), (uint(44241), bstr(&realm))]),
        )
    };
    // Another algorithm than the key's, or none that is known.
    for protected in [&[0xa1, 0x01, 0x26][..], &[0xa1, 0x01, 0x38, 0x23]] {
        let error = Token::parse(&with(signed(&recipe.rak, protected, &payload)));
        assert!(
            error
                .expect_err("a signature of another size")
                .what
                .contains("signature has 96 bytes")
        );
    }
    let longer = [0xa2, 0x01, 0x38, 0x22, 0x18, 0x64, 0x00];
    let report = judge(
        &with(signed(&recipe.rak, &longer, &payload)),
        &recipe.policy(),
    );
    assert_eq!(
        report.verdict,
        Verdict::Verified,
        "an unknown header that is not critical"
    );
}

#[test]
fn envelopes_are_checked() {
    let recipe = Recipe::default();
    let platform = bstr(&sign1(&recipe.cpak, &recipe.platform));
    let realm = bstr(&sign1(&recipe.rak, &recipe.realm));
    let entry = |label, item: &[u8]| (uint(label), item.to_vec());
    let cmw = |kind: Vec<u8>, item: &[u8]| array(&[kind, item.to_vec()]);
    let both = [entry(44234, &platform), entry(44241, &realm)];
    let good_cmw = [
        entry(44234, &cmw(uint(263), &platform)),
        entry(44241, &cmw(tstr("application/eat+cwt"), &realm)),
    ];
    assert_eq!(
        judge(&tag(907, &map(&good_cmw)), &recipe.policy()).verdict,
        Verdict::Verified
    );
    let swapped = [both[1].clone(), both[0].clone()];
    assert_eq!(
        judge(&tag(399, &map(&swapped)), &recipe.policy()).verdict,
        Verdict::Verified
    );
    for (token, why) in [
        (map(&both), "a map is no CCA token"),
        (tag(400, &map(&both)), "tag 400"),
        (tag(399, &array(&[])), "an array, not a map"),
        (
            tag(399, &map(&both[..1])),
            "claim 44241 (Realm token) is missing",
        ),
        (
            tag(399, &map(&both[1..])),
            "claim 44234 (platform token) is missing",
        ),
        (
            tag(
                399,
                &map(&[both[0].clone(), both[1].clone(), entry(1, &platform)]),
            ),
            "unknown entry 1",
        ),
        (tag(399, &map(&[both[0].clone(), both[0].clone()])), "twice"),
        (tag(399, &map(&good_cmw)), "is an array, not a byte string"),
        (tag(907, &map(&both)), "is a byte string, not an array"),
        (
            tag(
                907,
                &map(&[good_cmw[0].clone(), entry(44241, &cmw(uint(264), &realm))]),
            ),
            "unknown type 264",
        ),
        (
            tag(
                907,
                &map(&[good_cmw[0].clone(), entry(44241, &array(&[uint(263)]))]),
            ),
            "two or three items",
        ),
    ] {
        let error = Token::parse(&token).expect_err(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

/// A Realm that was made through RMI 2.0.
fn recipe_2_0() -> Recipe {
    let mut recipe = Recipe::default();
    set(&mut recipe.realm, 265, tstr("tag:arm.com,2024:realm#2.0.0"));
    recipe.realm.push((44243, uint(0)));
    recipe.realm.push((44244, uint(1)));
    recipe
}

/// As [`Recipe::token`], in the envelope of 2.0.
fn token_2_0(recipe: &Recipe) -> Vec<u8> {
    let part = |key, claims| array(&[uint(263), bstr(&sign1(key, claims))]);
    let body = map(&[
        (uint(44234), part(&recipe.cpak, &recipe.platform)),
        (uint(44241), part(&recipe.rak, &recipe.realm)),
    ]);
    tag(907, &body)
}

#[test]
fn a_realm_of_rmi_2_0() {
    let mut recipe = recipe_2_0();
    let id = [&[1][..], &pattern(0x50, 32)].concat();
    recipe.realm.push((256, bstr(&id)));
    let token = Token::parse(&token_2_0(&recipe)).expect("a token of 2.0");
    let claims = &token.realm_claims;
    assert_eq!((claims.mec_policy, claims.lfa_policy), (Some(0), Some(1)));
    assert_eq!(claims.instance_id, Some(id));
    assert!(claims.unknown.is_empty(), "{:?}", claims.unknown);
    let report = judge(&token_2_0(&recipe), &recipe.policy());
    assert_eq!(report.verdict, Verdict::Verified, "{report:?}");

    // The profile of 2.0 in the envelope of 1.0.
    refused(&recipe, &recipe.policy(), "realm-profile");

    for missing in [44243, 44244] {
        let mut recipe = recipe_2_0();
        recipe.realm.retain(|(label, _)| *label != missing);
        let error = Token::parse(&token_2_0(&recipe)).expect_err("a claim less");
        let expected = format!("claim {missing} ");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[test]
fn measurements_of_48_bytes() {
    let mut recipe = recipe_2_0();
    let measurement = |first| pattern(first, 48);
    let rems: Vec<_> = (0x30..0x34)
        .map(|first| bstr(&measurement(first)))
        .collect();
    set(&mut recipe.realm, 44236, tstr("sha-384"));
    set(&mut recipe.realm, 44238, bstr(&measurement(0x20)));
    let mut policy = recipe.policy();
    policy.rims = Some(vec![measurement(0x20)]);
    policy.rems = [0x30, 0x31, 0x32, 0x33].map(|first| Some(measurement(first)));
    let report = judge(&token_2_0(&recipe), &policy);
    assert!(refusal(&report).starts_with("realm-hash-algorithm: "));
    set(&mut recipe.realm, 44239, array(&rems));
    let report = judge(&token_2_0(&recipe), &policy);
    assert_eq!(report.verdict, Verdict::Verified, "{report:?}");
}

#[test]
fn claims_of_2_0_are_unknown_in_1_0() {
    let mut recipe = Recipe::default();
    recipe.realm.push((44243, tstr("whatever")));
    let report = judge(&recipe.token(), &recipe.policy());
    assert_eq!(report.verdict, Verdict::Verified, "{report:?}");
    let token = Token::parse(&recipe.token()).expect("a token");
    assert_eq!(token.realm_claims.mec_policy, None);
    assert_eq!(token.realm_claims.unknown.len(), 1);
}
