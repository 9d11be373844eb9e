// SPDX-License-Identifier: BSD-3-Clause
//! EL3 that has no key or no token, or one that is of no use: the monitor boots, Realms run, and get no
//! token.

use super::super::attested::{rak, rak_point, sign, signing_el3};
use super::{el3, host_of, init, platform_token, proceed, run};
use rmm_abi::el3::{Version, error, fid};
use rmm_abi::rsi::fid::RSI_VERSION;
use rmm_abi::rsi::*;
use rmm_core::fake::{El3Attestation, Host, PAGE};

/// Asserts that Realms run and get no token, again and again.
fn no_token(host: &Host, why: &'static str) {
    run(host, move |cpu| async move {
        assert_eq!(
            cpu.smc(&[RSI_VERSION, RSI_VERSION_1_0]).await[0],
            RSI_SUCCESS
        );
        for _ in 0..2 {
            assert_ne!(init(&cpu, 1).await, 0, "{why}");
            assert_eq!(proceed(&cpu, 0, 0, 0).await, (RSI_INCOMPLETE, 0), "{why}");
            let result = proceed(&cpu, 0, 0, PAGE).await;
            assert_eq!(result, (RSI_ERROR_UNKNOWN, 0), "{why}");
            let result = proceed(&cpu, 0, 0, PAGE).await;
            assert_eq!(result, (RSI_ERROR_STATE, 0), "{why}");
        }
        assert_eq!(cpu.read(0).await, Ok(0), "nothing is written");
    });
    // The key does not stay where EL3 has left it.
    let page = host.board().el3.shared_page_content();
    let key = rak();
    let (_, secret) = key.split_at(40);
    assert!(
        page.windows(secret.len()).all(|part| part != secret),
        "{why}"
    );
}

/// Order of the group of P-384.
const ORDER: [u8; 48] = [
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC7, 0x63, 0x4D, 0x81, 0xF4, 0x37, 0x2D, 0xDF,
    0x58, 0x1A, 0x0D, 0xB2, 0x48, 0xB0, 0xA7, 0x7A, 0xEC, 0xEC, 0x19, 0x6A, 0xCC, 0xC5, 0x29, 0x73,
];

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown
// Conformance: Realm attestation key invalid
#[test]
fn keys_of_no_use() {
    let key = rak();
    let longer = [&key[..], &[1]].concat();
    for (key, why) in [
        (&[][..], "no key"),
        (&key[1..], "short"),
        (&longer, "long"),
        (&[0; 48], "zero"),
        (&ORDER, "the order"),
        (&[0xFF; 48], "above the order"),
    ] {
        let host = host_of(El3Attestation {
            key: key.to_vec(),
            ..el3()
        });
        no_token(&host, why);
        assert_eq!(host.board().el3.shared_page_content(), [0; 4096], "{why}");
    }
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown
// Conformance: Platform token from EL3 malformed, length
#[test]
fn platform_tokens_of_no_use() {
    let token = platform_token(0);
    let (half, _) = token.split_at(token.len() / 2);
    let (cut, _) = token.split_at(token.len() - 1);
    let mut corrupt = token.clone();
    corrupt[0] = 0xD1;
    let more = [&token[..], &[0]].concat();
    for (token, why) in [
        (&[][..], "no token"),
        (&[0; 100], "zeroes"),
        (half, "half"),
        (cut, "a byte too few"),
        (&more, "a byte too many"),
        (&corrupt, "another tag"),
        (&platform_token(16385), "too long"),
    ] {
        no_token(
            &host_of(El3Attestation {
                platform_token: token.to_vec(),
                ..el3()
            }),
            why,
        );
    }
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown
// Conformance: Realm attestation key refused
// Conformance: Platform token from EL3 refused, again
#[test]
fn el3_refuses() {
    for status in [error::UNK, error::INVAL, error::BAD_ADDR, error::AGAIN] {
        for function in [
            fid::RMM_ATTEST_GET_REALM_KEY,
            fid::RMM_ATTEST_GET_PLAT_TOKEN,
        ] {
            no_token(
                &host_of(El3Attestation {
                    fails: Some((function, status)),
                    ..el3()
                }),
                "refused",
            );
        }
        no_token(
            &host_of(El3Attestation {
                fails: Some((fid::RMM_EL3_TOKEN_SIGN, status)),
                ..signing_el3()
            }),
            "the public key is refused",
        );
    }
    no_token(
        &host_of(El3Attestation {
            platform_token: platform_token(5000),
            refuses_later_pieces: true,
            ..el3()
        }),
        "the second piece is refused",
    );
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown
// Conformance: Signatures by EL3 public_key
#[test]
fn public_keys_of_no_use() {
    for (offset, why) in [(0, "compressed"), (1, "not on the curve"), (96, "likewise")] {
        let mut point = rak_point();
        point[offset] ^= 1;
        no_token(
            &host_of(El3Attestation {
                signs: Some((sign, point)),
                ..el3()
            }),
            why,
        );
    }
}

/// Interfaces up to 0.3 have no signatures by EL3, and up to 0.2 no second piece: X2 says nothing.
// Conformance: Platform token from EL3 version
// Conformance: Signatures by EL3 version
#[test]
fn older_interfaces() {
    for minor in [1, 2, 3] {
        let host = host_of(El3Attestation {
            interface: Version::new(0, minor),
            ..el3()
        });
        run(&host, |cpu| async move {
            let expected = super::expected(&cpu, 1).await;
            let found = super::token(&cpu, 1, 0).await;
            expected.assert_verified(&found);
        });
        let features = |(function, _): &(u64, _)| *function == fid::RMM_EL3_FEATURES;
        assert!(!host.board().el3.take_calls().iter().any(features));
    }
    no_token(
        &host_of(El3Attestation {
            interface: Version::new(0, 2),
            platform_token: platform_token(4097),
            ..el3()
        }),
        "only the first piece",
    );
}
