// SPDX-License-Identifier: BSD-3-Clause
//! Attestation tokens as a Realm gets them, from a monitor that signs itself.

mod el3;
mod interrupted;
mod memory;
mod unavailable;

use super::attested::{Expected, el3, extend, host_of, init, platform_token, proceed, rest, token};
use rmm_abi::rmi::{HashAlgorithm, RecExitReason};
use rmm_abi::rsi::*;
use rmm_core::fake::{
    El3Attestation, Host, PAGE, RealmCpu, TestRealm, assert_reason, assert_record,
};

/// RPV of [`measured`], in each byte.
const RPV: u8 = 0xAB;

/// An ACTIVE Realm with `recs` runnable RECs and a page of memory, zero, at IPA 0.
fn measured(host: &Host, algorithm: HashAlgorithm, recs: usize) -> TestRealm<'_> {
    let realm = host.realm().hash(algorithm).params(|p| p.rpv = [RPV; 64]);
    realm.with_page(recs)
}

/// What the Realm of [`measured`] says of itself, for the challenge of a byte.
async fn expected(cpu: &RealmCpu, challenge: u8) -> Expected {
    Expected::of(cpu, challenge, RPV, HashAlgorithm::Sha256).await
}

/// Runs the only REC of a Realm of [`measured`] to the end of its script.
fn run<F>(host: &Host, script: impl FnOnce(RealmCpu) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let realm = measured(host, HashAlgorithm::Sha256, 1);
    realm.script(0, script);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: RSI_ATTESTATION_TOKEN_INIT size, challenge
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE complete
// Conformance: Attestation tokens collection, sign1, realm_challenge, rpv, rim, rems, hash_algorithm
// Conformance: Attestation tokens public_key, binding, profile
#[test]
fn tokens_verify() {
    let host = host_of(el3());
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        let realm = measured(&host, algorithm, 1);
        realm.script(0, move |cpu| async move {
            for first in [1, 2] {
                extend(&cpu, 1, 7).await;
                extend(&cpu, 4, 8).await;
                let expected = Expected::of(&cpu, first, RPV, algorithm).await;
                assert_ne!(expected.measurements[1], expected.measurements[2]);
                let found = token(&cpu, first, 0).await;
                expected.assert_verified(&found);
                let (status, size) = proceed(&cpu, 0, 0, PAGE).await;
                assert_eq!((status, size), (RSI_ERROR_STATE, 0), "complete");
            }
        });
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    }
}

/// Each difference from what the relying party expects is one that it sees.
#[test]
fn other_tokens_do_not_verify() {
    run(&host_of(el3()), |cpu| async move {
        let expected = expected(&cpu, 1).await;
        let found = token(&cpu, 1, 0).await;
        let refused = |change: &dyn Fn(&mut Expected)| {
            let mut other = expected.clone();
            change(&mut other);
            assert_ne!(other, expected);
            let (good, bad) = (expected.report(&found), other.report(&found));
            assert_ne!(good.verdict, bad.verdict);
        };
        refused(&|other| other.challenge[63] ^= 1);
        refused(&|other| other.rpv[63] ^= 1);
        for n in 0..5 {
            refused(&|other| other.measurements[n][31] ^= 1);
        }
    });
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE state
#[test]
fn continue_without_init() {
    run(&host_of(el3()), |cpu| async move {
        for size in [0, 1, PAGE] {
            let result = proceed(&cpu, 0, 0, size).await;
            assert_eq!(result, (RSI_ERROR_STATE, 0));
        }
    });
}

// Conformance: RSI_ATTESTATION_TOKEN_INIT restart
#[test]
fn init_ends_the_token_in_progress() {
    run(&host_of(el3()), |cpu| async move {
        let expected = expected(&cpu, 9).await;
        // Begun; ready; delivered in part.
        for delivered in [None, Some(0), Some(1), Some(1000)] {
            let _bound = init(&cpu, 1).await;
            if let Some(size) = delivered {
                let result = proceed(&cpu, 0, 0, size).await;
                assert_eq!(result, (RSI_INCOMPLETE, size));
            }
            let found = token(&cpu, 9, 0).await;
            expected.assert_verified(&found);
        }
    });
}

/// The token shows the measurements of the call that began it.
// Conformance: Attestation tokens sampled
#[test]
fn rem_extended_after_init() {
    let host = host_of(el3());
    let realm = measured(&host, HashAlgorithm::Sha256, 2);
    realm.script(0, |cpu| async move {
        let at_init = expected(&cpu, 1).await;
        let _bound = init(&cpu, 1).await;
        extend(&cpu, 1, 1).await;
        // Meanwhile another REC extends another one.
        cpu.irq().await;
        let result = proceed(&cpu, 0, 0, 1).await;
        assert_eq!(result, (RSI_INCOMPLETE, 1));
        let first = cpu.read_bytes(0, 1).await.expect("memory");
        extend(&cpu, 3, 1).await;
        let found = [first, rest(&cpu, 0).await].concat();
        at_init.assert_verified(&found);
        let now = expected(&cpu, 1).await;
        for n in 1..4 {
            assert_ne!(now.measurements[n], at_init.measurements[n]);
        }
    });
    realm.script(1, |cpu| async move { extend(&cpu, 2, 1).await });
    for rec in [0, 1, 0] {
        assert_record(&realm.enter(rec), RecExitReason::Irq, |_| ());
    }
}

// Conformance: Attestation tokens per_rec
#[test]
fn each_rec_has_a_token_of_its_own() {
    let host = host_of(el3());
    let realm = measured(&host, HashAlgorithm::Sha256, 2);
    for rec in [0, 1] {
        realm.script(rec, move |cpu| async move {
            let challenge = if rec == 0 { 1 } else { 2 };
            let expected = expected(&cpu, challenge).await;
            let _bound = init(&cpu, challenge).await;
            cpu.irq().await;
            let result = proceed(&cpu, 0, 0, 10).await;
            assert_eq!(result, (RSI_INCOMPLETE, 10));
            let first = cpu.read_bytes(0, 10).await.expect("memory");
            cpu.irq().await;
            let found = [first, rest(&cpu, 0).await].concat();
            expected.assert_verified(&found);
        });
    }
    for rec in [0, 1, 0, 1, 1, 0] {
        assert_reason(&realm.enter(rec), RecExitReason::Irq);
    }
}

/// The platform token may be larger than the page that EL3 shares with the monitor.
// Conformance: Platform token from EL3 pieces, length
#[test]
fn platform_tokens_of_all_sizes() {
    for (size, piece) in [(0, 1), (0, 100), (4096, 4096), (4097, 4096), (16384, 4096)] {
        let host = host_of(El3Attestation {
            platform_token: platform_token(size),
            piece,
            ..el3()
        });
        run(&host, move |cpu| async move {
            let expected = expected(&cpu, 1).await;
            let found = token(&cpu, 1, 0).await;
            assert!(found.len() > size);
            expected.assert_verified(&found);
        });
    }
}

/// What EL3 has handed over is nowhere but in the monitor.
// Conformance: Realm attestation key wiped
#[test]
fn the_key_does_not_stay_in_the_shared_page() {
    let host = host_of(el3());
    let key = super::attested::rak();
    let (_, end) = key.split_at(40);
    let is_clean = |bytes: &[u8]| bytes.windows(end.len()).all(|part| part != end);
    assert!(is_clean(&host.board().el3.shared_page_content()));
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        let _token = token(&cpu, 1, 0).await;
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    assert!(is_clean(&host.board().el3.shared_page_content()));
    for aux in realm.rec_of(0).aux {
        assert!(is_clean(&host.board().memory.peek(rmm_granule::Pa(aux))));
    }
}
