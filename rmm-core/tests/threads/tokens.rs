// SPDX-License-Identifier: BSD-3-Clause
//! Attestation tokens that several CPUs generate at once.

use super::attested::{Expected, el3, extend, host_of, init, rest, signing_el3};
use super::watched;
use rmm_abi::rmi::HashAlgorithm;
use rmm_core::fake::{El3Attestation, Host, PAGE, Status, TestRealm, audit};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

const CPUS: usize = 3;
/// Tokens of each REC.
const TOKENS: u8 = if cfg!(miri) { 1 } else { 4 };

/// A Realm with a REC for each CPU, which all ask for tokens, each in a page of its own; how many of
/// the RECs are done.
fn asking(host: &Host) -> (TestRealm<'_>, Arc<AtomicUsize>) {
    let realm = host.realm().params(|p| p.rpv = [0xAB; 64]).create();
    for n in 0..CPUS {
        let _rec = realm.rec(true);
        realm.data(n as u64 * PAGE, &[]);
    }
    realm.activate();
    let done = Arc::new(AtomicUsize::new(0));
    for n in 0..CPUS {
        let done = done.clone();
        realm.script(n, move |cpu| async move {
            for challenge in 0..TOKENS {
                let challenge = challenge * 16 + u8::try_from(n).expect("few");
                // Only this REC extends this REM, so of the others the token has any value.
                extend(&cpu, n as u64 + 1, u64::from(challenge)).await;
                let now = Expected::of(&cpu, challenge, 0xAB, HashAlgorithm::Sha256).await;
                let _bound = init(&cpu, challenge).await;
                let token = rest(&cpu, n as u64 * PAGE).await;
                now.assert_verified_but_for(&token, |rem| rem != n);
            }
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    (realm, done)
}

/// All CPUs sign, a step each in turn, and in each turn every REC is on another CPU.
#[test]
fn signatures_that_go_round() {
    let host = host_of(el3());
    let (realm, done) = asking(&host);
    host.board().set_look_hook(|_, _| true);
    let (turn, board) = (Barrier::new(CPUS), host.board());
    let recs: Vec<_> = (0..CPUS).map(|n| realm.rec_of(n)).collect();
    for rec in &recs {
        realm.prepare(rec.run, |_| ());
    }
    watched(|| {
        host.leniently(|| {
            thread::scope(|scope| {
                for cpu in 0..CPUS {
                    let (turn, done, recs) = (&turn, &done, &recs);
                    scope.spawn(move || {
                        let host = Host::of_board(board, cpu + 1);
                        for n in 0.. {
                            turn.wait();
                            let is_done = done.load(Ordering::Relaxed) == CPUS;
                            turn.wait();
                            if is_done {
                                break;
                            }
                            let rec = &recs[(cpu + n) % CPUS];
                            assert_eq!(host.rec_enter(rec.rec, rec.run), Status::Success);
                            host.set_irq(false);
                        }
                    });
                }
            });
        });
    });
    let _counts = audit(&host);
}

/// Each CPU has a REC, which it runs to the end of its tokens.
fn at_once(el3: El3Attestation) {
    let host = host_of(el3);
    let (realm, done) = asking(&host);
    let board = host.board();
    let recs: Vec<_> = (0..CPUS).map(|n| realm.rec_of(n)).collect();
    for rec in &recs {
        realm.prepare(rec.run, |_| ());
    }
    watched(|| {
        host.leniently(|| {
            thread::scope(|scope| {
                for (cpu, rec) in recs.iter().enumerate() {
                    scope.spawn(move || {
                        let host = Host::of_board(board, cpu + 1);
                        assert_eq!(host.rec_enter(rec.rec, rec.run), Status::Success);
                    });
                }
            });
        });
    });
    assert_eq!(done.load(Ordering::Relaxed), CPUS);
    let _counts = audit(&host);
}

#[test]
fn the_monitor_signs() {
    at_once(el3());
}

// Conformance: Signatures by EL3 mailbox, full
#[test]
fn el3_signs() {
    for (queue, again) in [(1, 0), (1, 3), (8, 0), (8, 3)] {
        at_once(El3Attestation {
            queue,
            again,
            ..signing_el3()
        });
    }
}
