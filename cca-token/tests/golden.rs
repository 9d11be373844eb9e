// SPDX-License-Identifier: BSD-3-Clause
//! Tokens that another program made: they verify, and no change of them does.
#![cfg(feature = "verifier")]

mod support;

use cca_token::token::{Envelope, MAX_TOKEN, Token};
use cca_token::verify::{Policy, Verdict, verify};
use proptest::prelude::*;
use support::{anchors, golden, judge, pattern, policy};

const TOKENS: [&str; 10] = [
    "rel0",
    "rel0-sha512",
    "rel0-no-realm-profile",
    "rel0-es256",
    "rel0-es512",
    "old-profile",
    "cmw",
    "odd",
    "odd-unknown",
    "unknown",
];

fn policy_for(name: &str) -> Policy {
    let mut policy = policy();
    policy.anchors = anchors("cpaks.jwks");
    if name.ends_with("sha512") {
        policy.rims = Some(vec![pattern(0x20, 64)]);
        policy.rems = [0x30, 0x31, 0x32, 0x33].map(|first| Some(pattern(first, 64)));
    }
    policy
}

#[test]
fn all_of_them_verify() {
    for name in TOKENS {
        let bytes = golden(&format!("{name}.cbor"));
        let token = Token::parse(&bytes).expect(name);
        let report = verify(&token, &policy_for(name));
        assert_eq!(report.verdict, Verdict::Verified, "{name}: {report:?}");
        assert_eq!(token.envelope == Envelope::Tag907, name == "cmw");
        let unknown = [
            token.platform_claims.unknown.len(),
            token.realm_claims.unknown.len(),
        ];
        assert_eq!(
            unknown,
            [if name.ends_with("unknown") { 3 } else { 0 }; 2],
            "{name}"
        );
    }
}

#[test]
fn claims_are_as_made() {
    let token = Token::parse(&golden("odd-unknown.cbor")).expect("a token");
    let platform = &token.platform_claims;
    assert_eq!(platform.lifecycle, 0x3003);
    assert_eq!(platform.implementation_id.to_vec(), pattern(0xa0, 32));
    assert_eq!(platform.components.len(), 3);
    assert_eq!(platform.components[1].kind.as_deref(), Some("BL2"));
    assert_eq!(platform.components[2].kind, None);
    assert_eq!(
        platform.verification_service.as_deref(),
        Some("https://verifier.example/")
    );
    assert_eq!(token.realm_claims.rems[3], pattern(0x33, 32));
    assert_eq!(
        token.realm_claims.unknown[0],
        ("70000".to_string(), "[1, {\"a\": null}]".to_string())
    );
}

/// Every byte of every part: envelope, headers, claims, signatures.
#[test]
fn no_changed_byte_goes_unnoticed() {
    for name in ["rel0", "old-profile", "cmw", "odd"] {
        let good = golden(&format!("{name}.cbor"));
        let policy = policy_for(name);
        let (mut malformed, mut refused) = (0, 0);
        for at in 0..good.len() {
            // Both for one token: verifying takes milliseconds.
            let changes: &[u8] = if name == "rel0" {
                &[0x01, 0x80]
            } else {
                &[0x01]
            };
            for change in changes {
                let mut bad = good.clone();
                bad[at] ^= change;
                match Token::parse(&bad) {
                    Err(error) => {
                        assert!(error.offset <= bad.len(), "{name}, byte {at}: {error}");
                        malformed += 1;
                    }
                    Ok(token) => {
                        let verdict = verify(&token, &policy).verdict;
                        assert!(
                            matches!(verdict, Verdict::Refused(_)),
                            "{name}, byte {at}: {verdict}"
                        );
                        refused += 1;
                    }
                }
            }
        }
        assert!(
            malformed > 100 && refused > 500,
            "{name}: {malformed} and {refused}"
        );
    }
}

#[test]
fn every_truncation_says_where_it_ends() {
    for name in TOKENS {
        let good = golden(&format!("{name}.cbor"));
        for length in 0..good.len() {
            let error = Token::parse(&good[..length]).expect_err("a part of a token");
            assert_eq!(error.offset, length, "{name}: {error}");
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(
            Token::parse(&longer).expect_err("one byte more").offset,
            good.len()
        );
    }
}

#[test]
fn size_and_depth_are_bounded() {
    assert_eq!(
        Token::parse(&vec![0xd9; MAX_TOKEN + 1])
            .expect_err("too large")
            .offset,
        MAX_TOKEN
    );
    for filler in [0x81, 0xa1, 0xc1, 0x9f, 0xbf, 0x5f, 0xd2, 0x00, 0xff] {
        let deep = [vec![0xd9, 0x01, 0x8f], vec![filler; MAX_TOKEN - 3]].concat();
        let error = Token::parse(&deep).expect_err("nonsense");
        assert!(error.offset <= MAX_TOKEN, "{error}");
    }
}

#[test]
fn tokens_need_the_key_that_signed_them() {
    let mut policy = policy();
    for (name, key, good) in [
        ("rel0", "cpak-es384.pem", true),
        ("rel0", "cpak-es384.jwk", true),
        ("rel0", "cpak-es256.pem", false),
        ("rel0", "cpak-es512.pem", false),
        ("rel0-es256", "cpak-es256.pem", true),
        ("rel0-es512", "cpak-es512.pem", true),
        ("rel0-es512", "cpak-es384.pem", false),
    ] {
        policy.anchors = anchors(key);
        let report = judge(&golden(&format!("{name}.cbor")), &policy);
        assert_eq!(
            report.verdict == Verdict::Verified,
            good,
            "{name} by {key}: {report:?}"
        );
    }
    policy.anchors = Vec::new();
    let report = judge(&golden("rel0.cbor"), &policy);
    assert_eq!(report.verdict, Verdict::PlatformNotAuthenticated);
}

proptest! {
    #[test]
    fn noise_is_no_token(noise in prop::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(Token::parse(&noise).is_err());
    }

    #[test]
    fn damage_never_verifies(
        name in prop::sample::select(&TOKENS[..]),
        cut in any::<prop::sample::Index>(),
        gone in 0usize..40,
        put in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = golden(&format!("{name}.cbor"));
        let from = cut.index(bytes.len());
        let to = (from + gone).min(bytes.len());
        prop_assume!(bytes[from..to] != put[..]);
        bytes.splice(from..to, put);
        match Token::parse(&bytes) {
            Err(error) => prop_assert!(error.offset <= bytes.len()),
            Ok(token) => {
                let verdict = verify(&token, &policy_for(name)).verdict;
                prop_assert!(verdict != Verdict::Verified, "{:?}", verdict);
            }
        }
    }
}
