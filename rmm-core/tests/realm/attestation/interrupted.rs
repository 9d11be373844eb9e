// SPDX-License-Identifier: BSD-3-Clause
//! A signature that does not come to its end at once: interrupts, other CPUs, and a REC that goes.

use super::super::attested::LOOKS;
use super::{Expected, RPV, el3, expected, host_of, init, measured, proceed, rest, token};
use rmm_abi::psci::fid::PSCI_SYSTEM_OFF;
use rmm_abi::rmi::{HashAlgorithm, RecExitReason};
use rmm_abi::rsi::*;
use rmm_core::fake::{
    Host, PAGE, RealmCpu, Status, TestRealm, assert_reason, assert_record, audit,
};
use rmm_granule::{GRANULE_SIZE, Pa};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The rest of the token, where each call that signs may be interrupted; how many were.
async fn interrupted(cpu: &RealmCpu) -> (Vec<u8>, usize) {
    let mut count = 0;
    loop {
        match proceed(cpu, 0, 0, PAGE).await {
            (RSI_INCOMPLETE, 0) => count += 1,
            (RSI_SUCCESS, size) => {
                let length = usize::try_from(size).expect("a page");
                let token = cpu.read_bytes(0, length).await.expect("memory");
                return (token, count);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A Host interrupt at every place where the monitor looks for one; the REC continues on another CPU
/// each time.
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE interrupted
#[test]
fn at_every_step() {
    let host = host_of(el3());
    let realm = measured(&host, HashAlgorithm::Sha512, 1);
    realm.script(0, |cpu| async move {
        let expected = Expected::of(&cpu, 1, RPV, HashAlgorithm::Sha512).await;
        let _bound = init(&cpu, 1).await;
        let (found, count) = interrupted(&cpu).await;
        assert_eq!(count, LOOKS);
        expected.assert_verified(&found);
    });
    host.board().set_look_hook(|board, cpu| {
        assert!(board.has_independent_timing(cpu), "PSTATE.DIT");
        true
    });
    let cpus = [1, 2, 3].map(|cpu| Host::of_board(host.board(), cpu));
    let rec = realm.rec_of(0);
    for n in 0..=LOOKS {
        let there = &cpus[n % cpus.len()];
        realm.prepare(rec.run, |_| ());
        assert_eq!(there.rec_enter(rec.rec, rec.run), Status::Success);
        let record: rmm_abi::rmi::RecRun = host.get(rec.run);
        assert_record(&record.exit, RecExitReason::Irq, |_| ());
        there.set_irq(false);
    }
}

/// What the Host does on another CPU while a REC signs: it neither waits nor gets a Granule.
#[test]
fn a_host_that_does_not_wait() {
    let host = host_of(el3());
    let realm = measured(&host, HashAlgorithm::Sha256, 2);
    realm.script(0, |cpu| async move {
        let expected = expected(&cpu, 1).await;
        let found = token(&cpu, 1, 0).await;
        expected.assert_verified(&found);
    });
    // The other REC asks for a token, too.
    realm.script(1, |cpu| async move {
        loop {
            let _bound = init(&cpu, 2).await;
            cpu.irq().await;
        }
    });
    realm.allow_unfinished_scripts();
    let (board, looks) = (host.board().clone(), Arc::new(AtomicUsize::new(0)));
    let (rd, signing, other) = (realm.rd, realm.rec_of(0), realm.rec_of(1));
    realm.prepare(other.run, |_| ());
    host.board().set_look_hook({
        let looks = looks.clone();
        move |_, _| {
            looks.fetch_add(1, Ordering::Relaxed);
            for (pa, word) in board.words() {
                assert!(!word.is_locked(), "{pa:#x} is locked");
            }
            let there = Host::of_board(&board, 3);
            assert_eq!(there.rec_destroy(signing.rec), Status::Rec);
            assert_eq!(there.rec_enter(signing.rec, other.run), Status::Rec);
            assert_eq!(there.realm_destroy(rd), Status::Realm(0));
            for aux in &signing.aux {
                assert_eq!(there.granule_undelegate(*aux), Status::Input);
            }
            assert_eq!(there.rtt_read_entry(rd, 0, 3).0, Status::Success);
            assert_eq!(there.rec_enter(other.rec, other.run), Status::Success);
            false
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    assert_eq!(looks.load(Ordering::Relaxed), LOOKS);
    // The hook holds the board.
    host.board().set_look_hook(|_, _| false);
}

/// With the interrupt pending all the time the Realm does not run, and the token does not suffer.
#[test]
fn an_interrupt_that_stays() {
    let host = host_of(el3());
    let realm = measured(&host, HashAlgorithm::Sha256, 1);
    realm.script(0, |cpu| async move {
        let expected = expected(&cpu, 1).await;
        let _bound = init(&cpu, 1).await;
        let (found, count) = interrupted(&cpu).await;
        assert_eq!(count, 1);
        expected.assert_verified(&found);
    });
    let looks = Arc::new(AtomicUsize::new(0));
    host.board().set_look_hook({
        let looks = looks.clone();
        move |_, _| looks.fetch_add(1, Ordering::Relaxed) == 70
    });
    for _ in 0..5 {
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
        assert_eq!(looks.load(Ordering::Relaxed), 71);
    }
    host.set_irq(false);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    assert_eq!(looks.load(Ordering::Relaxed), LOOKS);
}

/// An FIQ ends a signature, too; the Host finds it pending.
#[test]
fn a_pending_fiq() {
    let host = host_of(el3());
    let realm = measured(&host, HashAlgorithm::Sha256, 1);
    realm.script(0, |cpu| async move {
        let _bound = init(&cpu, 1).await;
        cpu.irq().await;
        assert_eq!(proceed(&cpu, 0, 0, 1).await, (RSI_INCOMPLETE, 1));
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    host.set_fiq(true);
    assert_record(&realm.enter(0), RecExitReason::Fiq, |_| ());
    host.set_fiq(false);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// The Host's interrupt comes with the `n`th look, and once.
fn raise_at(host: &Host, n: usize) {
    let mut looks = 0;
    host.board().set_look_hook(move |_, _| {
        looks += 1;
        looks == n
    });
}

/// A Realm of two RECs, of which REC 0 has left in the middle of a signature: after `steps` of them.
fn in_the_middle(host: &Host, steps: usize) -> TestRealm<'_> {
    let realm = measured(host, HashAlgorithm::Sha256, 2);
    realm.script(0, |cpu| async move {
        let _bound = init(&cpu, 1).await;
        let _result = proceed(&cpu, 0, 0, 1).await;
        cpu.irq().await;
    });
    realm.allow_unfinished_scripts();
    raise_at(host, steps);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    host.set_irq(false);
    let [aux, ..] = realm.rec_of(0).aux[..] else {
        panic!("no auxiliary Granule");
    };
    assert_ne!(host.board().memory.peek(Pa(aux)), [0; GRANULE_SIZE]);
    realm
}

// Conformance: Attestation tokens wiped
#[test]
fn rec_destroyed_in_the_middle() {
    let host = host_of(el3());
    for steps in [1, 2, 3, 4, 50, 99, 100, 115, 116, 117, LOOKS, LOOKS + 1] {
        host.leniently(|| {
            let realm = in_the_middle(&host, steps);
            let rec = realm.rec_of(0);
            assert_eq!(host.rec_destroy(rec.rec), Status::Success);
            let _counts = audit(&host);
            for pa in [&[rec.rec][..], &rec.aux].concat() {
                assert_eq!(host.board().memory.peek(Pa(pa)), [0; GRANULE_SIZE]);
                // The Host reads it, too.
                host.undelegate(pa);
            }
            // The other REC does not notice.
            realm.script(1, |cpu| async move {
                let expected = expected(&cpu, 2).await;
                let found = token(&cpu, 2, 0).await;
                expected.assert_verified(&found);
            });
            assert_record(&realm.enter(1), RecExitReason::Irq, |_| ());
        });
    }
}

// Conformance: Attestation tokens wiped
#[test]
fn realm_that_ends_in_the_middle() {
    let host = host_of(el3());
    let realm = in_the_middle(&host, 60);
    realm.script(1, |cpu| async move {
        let _never = cpu.smc(&[PSCI_SYSTEM_OFF]).await;
    });
    assert_reason(&realm.enter(1), RecExitReason::Psci);
    let (status, _) = realm.try_enter(0, |_| ());
    assert_eq!(status, Status::Realm(1), "SYSTEM_OFF");
    // Its memory and its tables go first, then it, with all Granules zero.
    realm.destroy();
}

/// A Granule that was in the middle of a signature serves another REC, which finds no token.
// Conformance: RMI_REC_CREATE nothing_pending
#[test]
fn granules_of_a_signature_are_used_again() {
    let host = host_of(el3());
    let first = in_the_middle(&host, 60);
    let (old, params) = (first.rec_of(0), first.params.rpv);
    assert_eq!(host.rec_destroy(old.rec), Status::Success);
    let second = host.realm().params(|p| p.rpv = params).create();
    let mut params = second.rec_params(0, true);
    params.aux[..old.aux.len()].copy_from_slice(&old.aux);
    let _rec = second.rec_with(&params);
    second.data(0, &[]);
    second.activate();
    second.script(0, |cpu| async move {
        assert_eq!(proceed(&cpu, 0, 0, PAGE).await, (RSI_ERROR_STATE, 0));
        let expected = expected(&cpu, 2).await;
        let _bound = init(&cpu, 2).await;
        let found = rest(&cpu, 0).await;
        expected.assert_verified(&found);
    });
    assert_record(&second.enter(0), RecExitReason::Irq, |_| ());
    second.destroy();
}

// Conformance: RSI_ATTESTATION_TOKEN_INIT restart
#[test]
fn init_in_the_middle() {
    let host = host_of(el3());
    for steps in [1, 3, 50, 100, LOOKS] {
        let realm = measured(&host, HashAlgorithm::Sha256, 1);
        realm.script(0, |cpu| async move {
            let expected = expected(&cpu, 2).await;
            let _bound = init(&cpu, 1).await;
            assert_eq!(proceed(&cpu, 0, 0, PAGE).await, (RSI_INCOMPLETE, 0));
            let found = token(&cpu, 2, 0).await;
            expected.assert_verified(&found);
        });
        raise_at(&host, steps);
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
        host.set_irq(false);
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    }
}
