// SPDX-License-Identifier: BSD-3-Clause
//! Guards on threads that stand for CPUs.

use super::*;
use crate::state::{LOCK, WANTED};
use crate::{Data, GRANULE_SIZE, GranuleError, Pa, zero_by_words};
use std::array;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const ROUNDS: u64 = if cfg!(miri) { 20 } else { 2000 };
const CPUS: u64 = 4;

#[test]
fn a_lock_excludes() {
    let m = machine();
    drop(m.delegated(0).transition::<Rd>());
    thread::scope(|scope| {
        for _ in 0..CPUS {
            scope.spawn(|| {
                let cpu = m.cpu();
                for _ in 0..ROUNDS {
                    let mut rd = m.table.lock::<Rd>(page(0)).unwrap();
                    rd.map(&cpu)[0] += 1;
                }
            });
        }
    });
    let mut rd = m.table.lock::<Rd>(page(0)).unwrap();
    assert_eq!(rd.map(&m.cpu())[0], CPUS * ROUNDS);
}

#[test]
fn counts_fall_while_others_lock() {
    let m = machine();
    // A count does not reach further than 1023.
    const HALF: u64 = ROUNDS / 2;
    let rounds = u16::try_from(HALF).unwrap();
    let rd = m.delegated(0).transition::<Rd>();
    rd.add_refs(1);
    drop(rd);
    for _ in 0..2 {
        m.table.lock::<Rd>(page(0)).unwrap().add_refs(rounds);
        thread::scope(|scope| {
            scope.spawn(|| (0..HALF).for_each(|_| m.table.remove_rd_ref(Pa(page(0)))));
            scope.spawn(|| (0..HALF).for_each(|_| drop(m.table.lock::<Rd>(page(0)))));
        });
        assert_eq!(m.table.lock::<Rd>(page(0)).unwrap().refs(), 1);
    }
}

/// A lock that is free belongs to those who wait for it.
#[test]
fn a_try_does_not_come_before_those_who_wait() {
    let m = machine();
    drop(m.delegated(0));
    let (word, _) = m.table.find(page(0)).unwrap();
    word.fetch_or(WANTED, Ordering::Relaxed);
    assert!(m.table.try_lock::<Delegated>(page(0)).is_none());
    assert_eq!(word.fetch_and(!WANTED, Ordering::Relaxed) & LOCK, 0);
    let tried = m.table.try_lock::<Delegated>(page(0));
    assert!(matches!(tried, Some(Ok(_))));
}

#[test]
fn pairs_in_opposite_order_do_not_deadlock() {
    let m = machine();
    drop((
        m.delegated(0).transition::<Rd>(),
        m.delegated(1).transition::<Rd>(),
    ));
    thread::scope(|scope| {
        for (a, b) in [(page(0), page(1)), (page(1), page(0))] {
            let m = &m;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    drop(m.table.lock_pair::<Rd, Rd>(a, b).unwrap());
                }
            });
        }
    });
}

#[test]
fn sets_in_any_order_do_not_deadlock() {
    let m = machine();
    for n in 0..6 {
        drop(m.delegated(n));
    }
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let m = &m;
            scope.spawn(move || {
                let named: Vec<u64> = (1..6).map(|n| page((n * (cpu + 1) + cpu) % 6)).collect();
                for _ in 0..ROUNDS {
                    // Some fail because of an alias: nothing stays locked either.
                    drop(m.table.lock_many::<Delegated>(page(cpu), &named));
                }
            });
        }
    });
    let all: Vec<u64> = (1..6).map(page).collect();
    assert_eq!(
        m.table
            .lock_many::<Delegated>(page(0), &all)
            .unwrap()
            .1
            .count(),
        5
    );
}

#[test]
fn a_rec_runs_on_one_cpu() {
    let m = machine();
    drop(m.delegated(0).transition::<Rec>());
    let running = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CPUS {
            scope.spawn(|| {
                let cpu = m.cpu();
                for _ in 0..ROUNDS {
                    let mut pinned = loop {
                        match m.table.lock::<Rec>(page(0)).unwrap().pin() {
                            Ok(pinned) => break pinned,
                            Err(_running) => thread::yield_now(),
                        }
                    };
                    assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0);
                    let (mut rec, _) = pinned.map_with_aux(&cpu);
                    rec[0] += 1;
                    running.fetch_sub(1, Ordering::Relaxed);
                }
            });
        }
    });
    let mut rec = m.table.lock::<Rec>(page(0)).unwrap();
    assert_eq!(rec.map(&m.cpu()).unwrap()[0], CPUS * ROUNDS);
}

#[test]
fn one_of_two_gets_a_granule() {
    let m = machine();
    let won = AtomicUsize::new(0);
    for n in 0..if cfg!(miri) { 8 } else { 60 } {
        drop(m.delegated(n));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    if let Ok(granule) = m.table.lock::<Delegated>(page(n)) {
                        drop(granule.transition::<Data>());
                        won.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(won.swap(0, Ordering::Relaxed), 1);
    }
}

/// Whether any CPU has locked the Granule.
fn is_locked(m: &Machine, n: u64) -> bool {
    let (word, _) = m.table.find(page(n)).unwrap();
    word.load(Ordering::Relaxed) & LOCK != 0
}

/// Whoever waits for a Granule gets it in the order in which they came. A CPU that unlocks it and locks it
/// again at once comes after all that waited.
#[test]
fn waiters_come_in_order() {
    let m = machine();
    drop(m.delegated(0).transition::<Rd>());
    let (word, _) = m.table.find(page(0)).unwrap();
    for _ in 0..if cfg!(miri) { 2 } else { 100 } {
        let order = Mutex::new(Vec::new());
        let take = |cpu: u64| {
            let rd = m.table.lock::<Rd>(page(0)).unwrap();
            order.lock().unwrap().push(cpu);
            drop(rd);
        };
        let first = m.table.lock::<Rd>(page(0)).unwrap();
        thread::scope(|scope| {
            for cpu in 1..CPUS {
                let take = &take;
                scope.spawn(move || {
                    take(cpu);
                    take(cpu);
                });
                while (m.table.waiting(word) as u64) < cpu {
                    thread::yield_now();
                }
                assert!(m.table.is_wanted(page(0)));
                assert!(m.table.try_lock::<Rd>(page(0)).is_none());
            }
            drop(first);
            take(0);
        });
        assert_eq!(order.into_inner().unwrap()[..3], [1, 2, 3]);
        assert!(!m.table.is_wanted(page(0)), "nobody waits any more");
    }
}

/// A Granule that is in another state than the waiter claims goes on to the next one.
#[test]
fn a_waiter_with_a_wrong_claim_leaves() {
    let m = machine();
    drop(m.delegated(0).transition::<Rd>());
    let (word, _) = m.table.find(page(0)).unwrap();
    let first = m.table.lock::<Rd>(page(0)).unwrap();
    thread::scope(|scope| {
        let wrong = scope.spawn(|| m.table.lock::<Rec>(page(0)).err());
        while m.table.waiting(word) < 1 {
            thread::yield_now();
        }
        let right = scope.spawn(|| m.table.lock::<Rd>(page(0)).map(drop));
        while m.table.waiting(word) < 2 {
            thread::yield_now();
        }
        drop(first);
        assert_eq!(wrong.join().unwrap(), Some(GranuleError::WrongState));
        assert_eq!(right.join().unwrap(), Ok(()));
    });
    assert!(!m.table.is_wanted(page(0)));
}

#[test]
fn higher_granules_wait_for_lower_ones() {
    let m = machine();
    for n in 0..4 {
        drop(m.delegated(n));
    }
    let lock: [&(dyn Fn() + Sync); 3] = [
        &|| {
            drop(
                m.table
                    .lock_pair::<Delegated, Delegated>(page(3), page(0))
                    .unwrap(),
            )
        },
        &|| {
            drop(
                m.table
                    .lock_pair::<Delegated, Delegated>(page(0), page(3))
                    .unwrap(),
            )
        },
        &|| {
            drop(
                m.table
                    .lock_many::<Delegated>(page(3), &[page(2), page(0), page(1)])
                    .unwrap(),
            )
        },
    ];
    for lock in lock {
        let started = AtomicUsize::new(0);
        let lowest = m.table.lock::<Delegated>(page(0)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                started.store(1, Ordering::Release);
                lock();
            });
            while started.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            let held = (1..4).find(|n| is_locked(&m, *n));
            drop(lowest);
            assert_eq!(held, None, "locked before a lower one");
        });
    }
}

/// A Realm may access a page while the monitor fills it with zero bytes. Miri and `make tsan` find a plain
/// write.
#[test]
fn a_page_is_read_while_it_is_zeroed() {
    let page: [AtomicU64; GRANULE_SIZE / 8] = array::from_fn(|_| AtomicU64::new(u64::MAX));
    let words = || page.iter().map(|word| word.load(Ordering::Relaxed));
    thread::scope(|scope| {
        scope.spawn(|| {
            while words().any(|word| word != 0) {
                assert!(words().all(|word| word == 0 || word == u64::MAX));
            }
        });
        // SAFETY: the page is as large as a Granule, and the other thread accesses it by atomics alone.
        unsafe { zero_by_words(NonNull::from(&page).cast()) };
    });
    assert!(words().all(|word| word == 0));
}
