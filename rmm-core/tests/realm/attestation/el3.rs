// SPDX-License-Identifier: BSD-3-Clause
//! Tokens that EL3 signs.

use super::super::attested::signing_el3;
use super::{expected, host_of, init, measured, proceed, rest, run, token};
use rmm_abi::el3::{TOKEN_SIGN_PULL, TOKEN_SIGN_PUSH, error, fid};
use rmm_abi::rmi::{HashAlgorithm, RecExitReason};
use rmm_abi::rsi::*;
use rmm_core::fake::{El3Attestation, Host, PAGE, RealmCpu, Status, assert_reason, assert_record};

/// EL3 that signs when it is asked for the signature once more than `again` times.
fn slow(again: u32) -> El3Attestation {
    El3Attestation {
        again,
        ..signing_el3()
    }
}

/// As [`slow`], with memory for one request at a time.
fn narrow(again: u32) -> El3Attestation {
    El3Attestation {
        queue: 1,
        ..slow(again)
    }
}

/// Calls of EL3 since the last time: how many pushes, how many pulls.
fn signing_calls(host: &Host) -> (usize, usize) {
    let calls = host.board().el3.take_calls();
    let count = |wanted: u64| {
        let calls = calls.iter();
        let calls = calls.filter(|(function, _)| *function == fid::RMM_EL3_TOKEN_SIGN);
        calls.filter(|(_, args)| args[0] == wanted).count()
    };
    (count(TOKEN_SIGN_PUSH), count(TOKEN_SIGN_PULL))
}

/// Asks for the next bytes until there are any: how often there were none.
async fn wait(cpu: &RealmCpu) -> usize {
    let mut count = 0;
    loop {
        match proceed(cpu, 0, 0, 1).await {
            (RSI_INCOMPLETE, 0) => count += 1,
            result => {
                assert_eq!(result, (RSI_INCOMPLETE, 1));
                return count;
            }
        }
    }
}

// Conformance: Signatures by EL3 push, pull
// Conformance: Realm attestation key el3_signs
#[test]
fn tokens_verify() {
    let host = host_of(signing_el3());
    let calls = host.board().el3.take_calls();
    let function = |wanted| calls.iter().any(|(function, _)| *function == wanted);
    assert!(function(fid::RMM_EL3_TOKEN_SIGN));
    assert!(!function(fid::RMM_ATTEST_GET_REALM_KEY));
    run(&host, |cpu| async move {
        for challenge in [1, 2] {
            let expected = expected(&cpu, challenge).await;
            let found = token(&cpu, challenge, 0).await;
            expected.assert_verified(&found);
        }
    });
    assert_eq!(signing_calls(&host), (2, 2));
}

/// While EL3 has no answer, the Realm runs: no REC exit, and no wait in the monitor.
// Conformance: Signatures by EL3 again
#[test]
fn el3_takes_its_time() {
    let host = host_of(slow(5));
    run(&host, |cpu| async move {
        let expected = expected(&cpu, 1).await;
        let _bound = init(&cpu, 1).await;
        for _ in 0..5 {
            assert_eq!(proceed(&cpu, 0, 0, PAGE).await, (RSI_INCOMPLETE, 0));
        }
        let found = rest(&cpu, 0).await;
        expected.assert_verified(&found);
    });
    assert_eq!(signing_calls(&host), (1, 6));
}

/// A response to a request of another REC waits for it, whichever CPU and REC pulls it.
// Conformance: Signatures by EL3 mailbox
#[test]
fn the_response_to_another_rec() {
    let host = host_of(slow(1));
    let realms = [0, 1].map(|_| measured(&host, HashAlgorithm::Sha256, 1));
    for (realm, challenge) in realms.iter().zip([1, 2]) {
        realm.script(0, move |cpu| async move {
            let expected = expected(&cpu, challenge).await;
            let _bound = init(&cpu, challenge).await;
            // The first pull finds no answer, later ones find the oldest.
            assert_eq!(proceed(&cpu, 0, 0, PAGE).await, (RSI_INCOMPLETE, 0));
            cpu.irq().await;
            let found = rest(&cpu, 0).await;
            expected.assert_verified(&found);
        });
    }
    for realm in &realms {
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    }
    // Both responses: the first is not for this REC.
    assert_record(&realms[1].enter(0), RecExitReason::Irq, |_| ());
    let (pushes, pulls) = signing_calls(&host);
    assert_eq!(pushes, 2);
    assert!(pulls >= 4, "{pulls}");
    assert_record(&realms[0].enter(0), RecExitReason::Irq, |_| ());
    assert_eq!(signing_calls(&host), (0, 0), "it waits in the mailbox");
}

/// The request of a token that was dropped keeps its place with EL3 until somebody pulls its
/// response, which fits nobody.
// Conformance: Signatures by EL3 dropped, full
#[test]
fn the_response_to_a_dropped_token() {
    // The REC begins another token.
    let host = host_of(narrow(1));
    run(&host, |cpu| async move {
        for challenge in 1..20 {
            let _bound = init(&cpu, challenge).await;
            assert_eq!(proceed(&cpu, 0, 0, PAGE).await, (RSI_INCOMPLETE, 0));
        }
        let expected = expected(&cpu, 20).await;
        let found = token(&cpu, 20, 0).await;
        expected.assert_verified(&found);
    });
    // The REC is destroyed.
    for narrow in [narrow(1), slow(3)] {
        let host = host_of(narrow);
        for _ in 0..6 {
            let realm = measured(&host, HashAlgorithm::Sha256, 1);
            realm.script(0, |cpu| async move {
                let _bound = init(&cpu, 1).await;
                assert_eq!(proceed(&cpu, 0, 0, PAGE).await, (RSI_INCOMPLETE, 0));
            });
            assert_reason(&realm.enter(0), RecExitReason::Irq);
            assert_eq!(host.rec_destroy(realm.rec_pa(0)), Status::Success);
        }
        run(&host, |cpu| async move {
            let expected = expected(&cpu, 2).await;
            let found = token(&cpu, 2, 0).await;
            expected.assert_verified(&found);
        });
    }
}

// Conformance: Signatures by EL3 full
#[test]
fn el3_has_room_for_one_request() {
    let host = host_of(narrow(2));
    let realm = measured(&host, HashAlgorithm::Sha256, 3);
    for rec in 0..3 {
        realm.script(rec, |cpu| async move {
            let challenge = u8::try_from(cpu.now() & 0x7F).expect("seven bits");
            let expected = expected(&cpu, challenge).await;
            let bound = init(&cpu, challenge).await;
            let mut found = Vec::new();
            while (found.len() as u64) < bound {
                let (_, size) = proceed(&cpu, 0, 0, PAGE).await;
                let size = usize::try_from(size).expect("a page");
                found.extend(cpu.read_bytes(0, size).await.expect("memory"));
                cpu.irq().await;
            }
            expected.assert_verified(&found);
        });
    }
    for n in 0..30 {
        host.board().advance(1);
        assert_record(&realm.enter(n % 3), RecExitReason::Irq, |_| ());
    }
}

/// EL3 loses a response, or the mailbox overflows: the request is repeated.
// Conformance: Signatures by EL3 lost
#[test]
fn a_lost_response() {
    let host = host_of(El3Attestation {
        loses: 2,
        ..signing_el3()
    });
    run(&host, |cpu| async move {
        let expected = expected(&cpu, 1).await;
        let _bound = init(&cpu, 1).await;
        assert!(host_waits(wait(&cpu).await));
        let first = cpu.read_bytes(0, 1).await.expect("memory");
        let found = [first, rest(&cpu, 0).await].concat();
        expected.assert_verified(&found);
    });
    assert_eq!(signing_calls(&host).0, 3);
}

/// Not so soon that a slow EL3 gets every request many times.
fn host_waits(times: usize) -> bool {
    (20_000..1_000_000).contains(&times)
}

/// EL3 answers so late that the request was repeated: the first answer is as good, and the second
/// changes nothing.
// Conformance: Signatures by EL3 lost
#[test]
fn a_late_response() {
    let host = host_of(slow(100_000));
    run(&host, |cpu| async move {
        let expected = expected(&cpu, 1).await;
        let _bound = init(&cpu, 1).await;
        assert!(host_waits(wait(&cpu).await));
        let first = cpu.read_bytes(0, 1).await.expect("memory");
        let found = [first, rest(&cpu, 0).await].concat();
        expected.assert_verified(&found);
    });
    let (pushes, _) = signing_calls(&host);
    assert_eq!(pushes, 2);
    // The next token meets the second answer.
    run(&host, |cpu| async move {
        let expected = expected(&cpu, 2).await;
        let _bound = init(&cpu, 2).await;
        let _times = wait(&cpu).await;
        let first = cpu.read_bytes(0, 1).await.expect("memory");
        let found = [first, rest(&cpu, 0).await].concat();
        expected.assert_verified(&found);
    });
}

/// Asserts that the next token fails and the one after it does not.
async fn fails_once(cpu: &RealmCpu) {
    let _bound = init(cpu, 1).await;
    let result = proceed(cpu, 0, 0, PAGE).await;
    assert_eq!(result, (RSI_ERROR_UNKNOWN, 0));
    let result = proceed(cpu, 0, 0, PAGE).await;
    assert_eq!(result, (RSI_ERROR_STATE, 0));
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown
// Conformance: Signatures by EL3 signature
#[test]
fn signatures_of_another_size() {
    for signature_size in [0, 95, 97, 512, 513, u16::MAX] {
        let host = host_of(El3Attestation {
            signature_size,
            ..signing_el3()
        });
        run(&host, |cpu| async move {
            for _ in 0..2 {
                fails_once(&cpu).await;
            }
        });
    }
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown
// Conformance: Signatures by EL3 error
#[test]
fn el3_fails() {
    for operation in [TOKEN_SIGN_PUSH, TOKEN_SIGN_PULL] {
        for status in [
            error::UNK,
            error::INVAL,
            error::BAD_ADDR,
            error::BAD_PAS,
            -100,
        ] {
            let host = host_of(signing_el3());
            host.board().el3.set_hook(move |function, [wanted, ..]| {
                let fails = function == fid::RMM_EL3_TOKEN_SIGN && wanted == operation;
                fails.then_some(status)
            });
            run(&host, |cpu| async move { fails_once(&cpu).await });
            host.board().el3.clear_hook();
            run(&host, |cpu| async move {
                let expected = expected(&cpu, 2).await;
                let found = token(&cpu, 2, 0).await;
                expected.assert_verified(&found);
            });
        }
    }
}
