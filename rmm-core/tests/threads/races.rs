// SPDX-License-Identifier: BSD-3-Clause
//! Races that exactly one CPU wins, and data that changes while a command reads it.

use super::racing::{CPUS, ROUNDS, in_rounds};
use super::watched;
use rmm_abi::psci;
use rmm_abi::rmi::{RecEnterFlags, RecExitReason, RecRun};
use rmm_core::fake::{Host, MIB, Status, TestRealm, audit};
use rmm_core::realm::Realm;
use rmm_granule::Pa;
use rmm_granule::fake::Done;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// In each round all CPUs call `attempt` at the same time, and exactly one must succeed; then one
/// CPU calls `undo`.
fn one_winner(
    host: &Host,
    attempt: impl Fn(&Host, usize) -> Status + Sync,
    undo: impl Fn(&Host) + Sync,
) {
    let winners = AtomicUsize::new(0);
    let work = |host: &Host, cpu: usize| {
        if attempt(host, cpu) == Status::Success {
            winners.fetch_add(1, Ordering::Relaxed);
        }
    };
    in_rounds(host, work, |host| {
        assert_eq!(winners.swap(0, Ordering::Relaxed), 1);
        undo(host);
    });
    let _counts = audit(host);
}

#[test]
fn granule_delegate() {
    let host = Host::new();
    let page = host.page();
    let attempt = |host: &Host, _| host.granule_delegate(page);
    one_winner(&host, attempt, |host| host.undelegate(page));
}

#[test]
fn granule_undelegate() {
    let host = Host::new();
    let page = host.granule();
    let attempt = |host: &Host, _| host.granule_undelegate(page);
    one_winner(&host, attempt, |host| host.delegate(page));
}

#[test]
fn one_granule_for_several_purposes() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let (rd, granule) = (realm.rd, realm.granule());
    let params = host.realm().prepared();
    let params = host.page_with(params.as_bytes());
    let attempt = |host: &Host, cpu| match cpu {
        0 => host.data_create_unknown(rd, granule, 0),
        1 => host.rtt_create(rd, granule, 2 * MIB, 3),
        2 => host.realm_create(granule, params),
        _ => host.granule_undelegate(granule),
    };
    one_winner(&host, attempt, |host| {
        let undone = [
            host.data_destroy(rd, 0).0,
            host.rtt_destroy(rd, 2 * MIB, 3).0,
            host.realm_destroy(granule),
            host.granule_delegate(granule),
        ];
        let successes = undone.iter().filter(|s| **s == Status::Success);
        assert_eq!(successes.count(), 1);
    });
}

#[test]
fn one_page_of_the_realm() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let granules: Vec<u64> = (0..CPUS).map(|_| realm.granule()).collect();
    let (rd, src) = (realm.rd, host.page());
    let attempt = |host: &Host, cpu: usize| {
        if cpu.is_multiple_of(2) {
            host.data_create(rd, granules[cpu], 0, src, 1)
        } else {
            host.data_create_unknown(rd, granules[cpu], 0)
        }
    };
    let undo = |host: &Host| assert_eq!(host.data_destroy(rd, 0).0, Status::Success);
    one_winner(&host, attempt, undo);
}

#[test]
fn data_destroy() {
    let host = Host::new();
    let realm = host.realm().create();
    let (rd, data) = (realm.rd, realm.data_unknown(0));
    let attempt = |host: &Host, _| host.data_destroy(rd, 0).0;
    one_winner(&host, attempt, |host| {
        assert_eq!(host.data_create_unknown(rd, data, 0), Status::Success);
    });
}

#[test]
fn one_table() {
    let host = Host::new();
    let realm = host.realm().create();
    let granules: Vec<u64> = (0..CPUS).map(|_| realm.granule()).collect();
    let rd = realm.rd;
    let attempt = |host: &Host, cpu: usize| host.rtt_create(rd, granules[cpu], 0, 1);
    let undo = |host: &Host| assert_eq!(host.rtt_destroy(rd, 0, 1).0, Status::Success);
    one_winner(&host, attempt, undo);
}

#[test]
fn destroy_or_fold() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let (rd, rtt) = (realm.rd, realm.entry(0, 2).desc);
    let attempt = |host: &Host, cpu: usize| {
        if cpu.is_multiple_of(2) {
            host.rtt_destroy(rd, 0, 3).0
        } else {
            host.rtt_fold(rd, 0, 3).0
        }
    };
    let undo = |host: &Host| assert_eq!(host.rtt_create(rd, rtt, 0, 3), Status::Success);
    one_winner(&host, attempt, undo);
}

#[test]
fn map_unprotected() {
    let host = Host::new();
    let realm = host.realm().create();
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    let (rd, page) = (realm.rd, host.page());
    let attempt = |host: &Host, _| host.rtt_map_unprotected(rd, ipa, 3, page | 3 << 6);
    one_winner(&host, attempt, |host| {
        assert_eq!(host.rtt_unmap_unprotected(rd, ipa, 3).0, Status::Success);
    });
}

#[test]
fn one_vmid() {
    let host = Host::new();
    let vmid = host.board().new_vmid();
    let made: Vec<(u64, u64)> = (0..CPUS)
        .map(|_| {
            let params = host.realm().params(|p| p.vmid = vmid).prepared();
            (host.granule(), host.page_with(params.as_bytes()))
        })
        .collect();
    let attempt = |host: &Host, cpu: usize| host.realm_create(made[cpu].0, made[cpu].1);
    one_winner(&host, attempt, |host| {
        let destroyed = made
            .iter()
            .filter(|(rd, _)| host.realm_destroy(*rd) == Status::Success);
        assert_eq!(destroyed.count(), 1);
    });
}

#[test]
fn realm_destroy() {
    let host = Host::new();
    let params = host.realm().prepared();
    let (rd, params) = (host.granule(), host.page_with(params.as_bytes()));
    assert_eq!(host.realm_create(rd, params), Status::Success);
    let attempt = |host: &Host, _| host.realm_destroy(rd);
    one_winner(&host, attempt, |host| {
        assert_eq!(host.realm_create(rd, params), Status::Success);
    });
    assert_eq!(host.realm_destroy(rd), Status::Success);
}

#[test]
fn realm_activate() {
    let host = Host::new();
    let params = host.realm().prepared();
    let (rd, params) = (host.granule(), host.page_with(params.as_bytes()));
    assert_eq!(host.realm_create(rd, params), Status::Success);
    let attempt = |host: &Host, _| host.realm_activate(rd);
    one_winner(&host, attempt, |host| {
        assert_eq!(host.realm_destroy(rd), Status::Success);
        assert_eq!(host.realm_create(rd, params), Status::Success);
    });
    assert_eq!(host.realm_destroy(rd), Status::Success);
}

/// For each CPU a REC granule and a page of parameters, all for the same REC index.
fn rec_params(realm: &TestRealm<'_>, index: u64) -> Vec<(u64, u64)> {
    (0..CPUS)
        .map(|_| {
            let params = realm.rec_params(index, true);
            (realm.granule(), realm.host.page_with(params.as_bytes()))
        })
        .collect()
}

#[test]
fn one_rec_index() {
    let host = Host::new();
    let realm = host.realm().create();
    let rd = realm.rd;
    let made: Vec<_> = (0..ROUNDS as u64)
        .map(|index| host.leniently(|| rec_params(&realm, index)))
        .take(if cfg!(miri) { 2 } else { 100 })
        .collect();
    let round = AtomicUsize::new(0);
    watched(|| {
        host.leniently(|| {
            for recs in &made {
                let board = host.board();
                let successes: usize = thread::scope(|scope| {
                    let handles: Vec<_> = (1..CPUS)
                        .map(|cpu| {
                            scope.spawn(move || {
                                let host = Host::of_board(board, cpu);
                                let (rec, params) = recs[cpu];
                                usize::from(host.rec_create(rd, rec, params) == Status::Success)
                            })
                        })
                        .collect();
                    let results = handles.into_iter().map(|h| h.join().expect("no panic"));
                    results.sum()
                });
                assert_eq!(successes, 1, "round {}", round.load(Ordering::Relaxed));
                round.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
    assert_eq!(audit(&host).rec, made.len());
    for (rec, _) in made.iter().flatten() {
        let _destroyed = host.leniently(|| host.rec_destroy(*rec));
    }
}

#[test]
fn rec_enter() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let rec = realm.rec_pa(0);
    let runs: Vec<u64> = (0..CPUS).map(|_| host.page()).collect();
    let inside = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = inside.clone();
    realm.script(0, move |cpu| async move {
        loop {
            assert_eq!(
                counter.fetch_add(1, Ordering::SeqCst),
                0,
                "one CPU at a time"
            );
            thread::yield_now();
            counter.fetch_sub(1, Ordering::SeqCst);
            cpu.irq().await;
        }
    });
    realm.allow_unfinished_scripts();
    watched(|| {
        host.leniently(|| {
            let board = host.board();
            thread::scope(|scope| {
                for (cpu, run) in runs.iter().enumerate().skip(1) {
                    scope.spawn(move || {
                        let host = Host::of_board(board, cpu);
                        for _ in 0..ROUNDS {
                            let status = host.rec_enter(rec, *run);
                            assert!([Status::Success, Status::Rec].contains(&status));
                        }
                    });
                }
            });
        });
    });
    assert_eq!(inside.load(Ordering::SeqCst), 0);
}

/// RMI_REC_ENTER does not lock the RD. A REC is entered if its Realm is ACTIVE at some moment of the call.
#[test]
fn rec_enter_while_the_realm_starts_and_ends() {
    let host = Host::new();
    let rounds = if cfg!(miri) { 2 } else { 60 };
    let (mut too_early, mut too_late) = (0, 0);
    for _ in 0..rounds {
        let realm = host.leniently(|| host.realm().create());
        for rec in 0..CPUS - 1 {
            let _rec = host.leniently(|| realm.rec(true));
            realm.script(rec, move |cpu| async move {
                // The first one ends the Realm.
                cpu.irq().await;
                if rec == 0 {
                    cpu.smc_without_return(&[psci::fid::PSCI_SYSTEM_OFF]).await;
                }
                loop {
                    cpu.irq().await;
                }
            });
        }
        realm.allow_unfinished_scripts();
        let recs: Vec<_> = (0..CPUS - 1).map(|n| realm.rec_of(n)).collect();
        let (rd, start) = (realm.rd, Barrier::new(CPUS));
        let (is_active, has_ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let seen = Mutex::new(Vec::new());
        watched(|| {
            host.leniently(|| {
                let (board, start, seen) = (host.board(), &start, &seen);
                let (is_active, has_ended) = (&is_active, &has_ended);
                thread::scope(|scope| {
                    for (cpu, rec) in recs.iter().enumerate() {
                        scope.spawn(move || {
                            let host = Host::of_board(board, cpu + 1);
                            start.wait();
                            for n in 0.. {
                                if n >= 50 && has_ended.load(Ordering::Relaxed) {
                                    break;
                                }
                                let active = is_active.load(Ordering::Acquire);
                                let ended = has_ended.load(Ordering::Acquire);
                                let status = host.rec_enter(rec.rec, rec.run);
                                match status {
                                    Status::Success => assert!(!ended, "entered after the end"),
                                    Status::Realm(0) => assert!(!active, "refused though ACTIVE"),
                                    Status::Realm(1) => {}
                                    _ => panic!("{status:?}"),
                                }
                                seen.lock().unwrap().push(status);
                                let run: RecRun = host.get(rec.run);
                                if run.exit.exit_reason == RecExitReason::Psci as u8 {
                                    has_ended.store(true, Ordering::Release);
                                }
                            }
                        });
                    }
                    start.wait();
                    assert_eq!(host.realm_activate(rd), Status::Success);
                    is_active.store(true, Ordering::Release);
                });
            });
        });
        assert!(has_ended.load(Ordering::Relaxed));
        let seen = seen.into_inner().unwrap();
        let is_early = seen.contains(&Status::Realm(0));
        too_early += usize::from(is_early);
        too_late += usize::from(seen.contains(&Status::Realm(1)));
        drop(realm);
    }
    let _counts = audit(&host);
    assert!(too_late > 0, "no race was seen: {too_early} and {too_late}");
}

/// A REC that is destroyed as soon as it is there is counted out of its Realm only after it was counted in.
#[test]
fn rec_create_and_destroy() {
    let host = Host::new();
    let realm = host.realm().create();
    let (rd, count) = (realm.rd, if cfg!(miri) { 4 } else { 100 });
    let made: Vec<_> = host.leniently(|| {
        let new = |index| {
            let params = realm.rec_params(index, true);
            (realm.granule(), host.page_with(params.as_bytes()))
        };
        (0..count).map(new).collect()
    });
    let (done, destroyed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let board = host.board();
    watched(|| {
        host.leniently(|| {
            thread::scope(|scope| {
                for cpu in 1..CPUS {
                    let (made, done, destroyed) = (&made, &done, &destroyed);
                    scope.spawn(move || {
                        let host = Host::of_board(board, cpu);
                        while !done.load(Ordering::Relaxed) {
                            for (rec, _) in made {
                                if host.rec_destroy(*rec) == Status::Success {
                                    destroyed.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        }
                    });
                }
                let _done = Done(&done);
                for (rec, params) in &made {
                    assert_eq!(host.rec_create(rd, *rec, *params), Status::Success);
                }
            });
            for (rec, _) in &made {
                if host.rec_destroy(*rec) == Status::Success {
                    destroyed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    });
    assert_eq!(destroyed.into_inner(), made.len());
    let _counts = audit(&host);
}

#[test]
fn rec_destroy_and_enter() {
    let host = Host::new();
    let realm = host.realm().create();
    let rounds = if cfg!(miri) { 2 } else { 100 };
    for _ in 0..rounds {
        let _rec = host.leniently(|| realm.rec(true));
    }
    realm.activate();
    realm.allow_unfinished_scripts();
    let recs: Vec<_> = (0..rounds).map(|n| realm.rec_of(n)).collect();
    watched(|| {
        host.leniently(|| {
            let board = host.board();
            thread::scope(|scope| {
                for cpu in 1..CPUS {
                    let recs = &recs;
                    scope.spawn(move || {
                        let host = Host::of_board(board, cpu);
                        for rec in recs {
                            let status = if cpu == 1 {
                                host.rec_destroy(rec.rec)
                            } else {
                                host.rec_enter(rec.rec, rec.run)
                            };
                            let possible = [Status::Success, Status::Rec, Status::Input];
                            assert!(possible.contains(&status), "{status:?}");
                        }
                    });
                }
            });
        });
    });
    let _counts = audit(&host);
}

#[test]
fn cpu_on_while_the_target_turns_off() {
    let host = Host::new();
    let realm = host.realm().active(2);
    realm.script(0, |cpu| async move {
        for _ in 0..ROUNDS {
            let gprs = cpu.smc(&[psci::fid::PSCI_CPU_ON, 1, 0x8000, 5]).await;
            assert!([psci::SUCCESS, psci::ALREADY_ON].contains(&gprs[0]));
        }
    });
    realm.script(1, |cpu| async move {
        loop {
            cpu.smc_without_return(&[psci::fid::PSCI_CPU_OFF]).await;
            cpu.context(|context| assert_eq!((context.pc, context.gprs[0]), (0x8000, 5)));
        }
    });
    realm.allow_unfinished_scripts();
    let (first, second) = (realm.rec_of(0), realm.rec_of(1));
    watched(|| {
        host.leniently(|| {
            let board = host.board();
            thread::scope(|scope| {
                let target = &second;
                scope.spawn(move || {
                    let host = Host::of_board(board, 1);
                    for _ in 0..4 * ROUNDS {
                        let status = host.rec_enter(target.rec, target.run);
                        assert!([Status::Success, Status::Rec].contains(&status));
                    }
                });
                loop {
                    let exit = realm.enter(0);
                    if exit.exit_reason == RecExitReason::Irq as u8 {
                        break;
                    }
                    assert_eq!(exit.exit_reason, RecExitReason::Psci as u8);
                    let status = host.psci_complete(first.rec, second.rec, 0);
                    assert_eq!(status, Status::Success);
                }
            });
        });
    });
}

/// Calls `work` while another CPU keeps writing two contents to a page in turns. `work` finds a mixture of
/// these two.
fn while_page_changes(host: &Host, page: u64, contents: [&[u8]; 2], work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    host.write(page, contents[0]);
    let board = host.board();
    watched(|| {
        host.leniently(|| {
            thread::scope(|scope| {
                let done = &done;
                scope.spawn(move || {
                    let host = Host::of_board(board, 1);
                    while !done.load(Ordering::Relaxed) {
                        for content in contents {
                            host.write(page, content);
                        }
                    }
                });
                let _done = Done(done);
                work();
            });
        });
    });
}

#[test]
fn parameters_that_change_while_they_are_read() {
    let host = Host::new();
    let (rd, page) = (host.granule(), host.page());
    let one = host.realm().ipa(40, 0, 1).prepared();
    let other = host.realm().ipa(34, 2, 16).prepared();
    let content = |realm: u64| {
        let content = host.board().memory.peek(Pa(realm));
        let (rd, _) = Realm::read_from_prefix(&content).expect("an RD");
        (rd.stage2.ipa_width, rd.stage2.num_start, rd.measurements[0])
    };
    let [first, second] = [&one, &other].map(|params| {
        host.put(page, params);
        assert_eq!(host.realm_create(rd, page), Status::Success);
        let found = content(rd);
        assert_eq!(host.realm_destroy(rd), Status::Success);
        found
    });
    let contents = [one.as_bytes(), other.as_bytes()];
    while_page_changes(&host, page, contents, || {
        for _ in 0..10 * ROUNDS {
            // A mixture of both may be refused. A Realm that is created has the parameters that
            // were checked and measured.
            if host.realm_create(rd, page) == Status::Success {
                assert!([first, second].contains(&content(rd)));
                assert_eq!(host.realm_destroy(rd), Status::Success);
            }
        }
    });
    let _counts = audit(&host);
}

/// HW bit of a list register.
const HW: u64 = 1 << 61;

#[test]
fn an_entry_that_changes_while_it_is_read() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        loop {
            let value = cpu.read(device).await.expect("emulated");
            assert_eq!(value, 0x600D);
            let lr = cpu.gic(|gic| gic.lrs[0]);
            assert_eq!(lr & HW, 0, "a list register that was not checked");
        }
    });
    realm.allow_unfinished_scripts();
    let rec = realm.rec_of(0);
    let entry = |lr: u64| {
        let mut record = RecRun::new_zeroed();
        record.enter.flags = RecEnterFlags::EMUL_MMIO.bits();
        record.enter.gprs[0] = 0x600D;
        // One of the two records is valid.
        record.enter.gicv3_lrs[0] = lr;
        record
    };
    let (good, bad) = (entry(1 << 62 | 27), entry(1 << 62 | HW | 27));
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Sync as u8);
    let contents = [&good.as_bytes()[..0x800], &bad.as_bytes()[..0x800]];
    while_page_changes(&host, rec.run, contents, || {
        for _ in 0..10 * ROUNDS {
            let status = host.rec_enter(rec.rec, rec.run);
            assert!([Status::Success, Status::Rec].contains(&status));
        }
    });
}

#[test]
fn a_page_that_is_delegated_while_it_is_used() {
    let host = Host::new();
    let (realm, ready) = (host.realm().create(), host.realm().active(1));
    realm.tables(0, 3);
    let (rd, data, page) = (realm.rd, realm.granule(), host.page());
    let (new_rd, rec) = (realm.granule(), ready.rec_pa(0));
    let done = AtomicBool::new(false);
    let board = host.board();
    watched(|| {
        host.leniently(|| {
            thread::scope(|scope| {
                let done = &done;
                scope.spawn(move || {
                    let host = Host::of_board(board, 1);
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(host.granule_delegate(page), Status::Success);
                        thread::yield_now();
                        assert_eq!(host.granule_undelegate(page), Status::Success);
                        thread::yield_now();
                    }
                });
                let _done = Done(done);
                for _ in 0..10 * ROUNDS {
                    let entered = host.rec_enter(rec, page);
                    let created = host.data_create(rd, data, 0, page, 1);
                    for status in [entered, created] {
                        assert!([Status::Success, Status::Input].contains(&status));
                    }
                    if created == Status::Success {
                        assert_eq!(host.data_destroy(rd, 0).1, data);
                    }
                    // The parameters are all zero, if they can be read.
                    assert_eq!(host.realm_create(new_rd, page), Status::Input);
                }
            });
        });
    });
    let _counts = audit(&host);
}
