// SPDX-License-Identifier: BSD-3-Clause
//! Several CPUs on the tables of one Realm.

use super::*;
use rmm_granule::fake::Done;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

const ROUNDS: usize = if cfg!(miri) { 3 } else { 300 };

/// The parts of a Realm that threads share; each thread has its own CPU.
struct Shared<'a> {
    memory: &'a Arc<FakeMemory>,
    granules: &'static GranuleTable,
    s2: Stage2,
    regs: Stage2Regs,
}

impl Shared<'_> {
    fn start(&self, ipa: u64) -> StartRtt<'static> {
        start_rtt(&self.s2, self.granules, Ipa(ipa)).unwrap()
    }
}

fn with_threads(realm: &Realm, f: impl Fn(Shared<'_>)) {
    let Realm {
        memory,
        granules,
        s2,
        ..
    } = realm;
    f(Shared {
        memory,
        granules,
        s2: *s2,
        regs: realm.regs(),
    });
}

#[test]
fn walks_in_one_tree_do_not_disturb_each_other() {
    let realm = Realm::plain();
    // Keeps the RTT that all threads share live.
    realm.tables(511 * GIB, 2);
    let spare: Vec<Vec<u64>> = (0..3)
        .map(|_| (0..3).map(|_| realm.granule().pa().0).collect())
        .collect();
    with_threads(&realm, |shared| {
        thread::scope(|scope| {
            let shared = &shared;
            for (n, spare) in spare.iter().enumerate() {
                scope.spawn(move || {
                    let cpu = shared.memory.cpu();
                    let ipa = n as u64 * GIB;
                    let lock = |n: usize| shared.granules.lock::<Delegated>(spare[n]).unwrap();
                    for _ in 0..ROUNDS {
                        for (n, level) in [(0, 2), (1, 3)] {
                            let table = lock(n);
                            create(shared.start(ipa), &cpu, level, table).unwrap();
                        }
                        let data = lock(2);
                        let slot = data_slot(shared.start(ipa), &cpu).unwrap();
                        slot.map_ram(data.transition());
                        let found = shared.memory.translate_cached(&shared.regs, ipa).unwrap();
                        assert_eq!(found.pa, Pa(spare[2]));
                        let unmapped = unmap_data(shared.start(ipa), &cpu).unwrap();
                        drop(unmapped.wipe(&cpu));
                        destroy(shared.start(ipa), &cpu, 3).unwrap();
                        destroy(shared.start(ipa), &cpu, 2).unwrap();
                    }
                });
            }
            scope.spawn(move || {
                let cpu = shared.memory.cpu();
                for _ in 0..ROUNDS {
                    assert_eq!(destroy(shared.start(0), &cpu, 1), Err(with_top(1, 0)));
                    assert_eq!(fold(shared.start(0), &cpu, 1), Err(rtt(1)));
                }
            });
        });
    });
    for ipa in [0, GIB, 2 * GIB] {
        assert_eq!(
            realm.entry(ipa),
            (1, RttEntry::Unassigned { ripas: DESTROYED })
        );
    }
}

#[test]
fn a_parent_stays_locked_until_its_child_is() {
    let realm = Realm::plain();
    realm.tables(0, 2);
    let (started, got) = (AtomicBool::new(false), AtomicBool::new(false));
    with_threads(&realm, |shared| {
        let held = shared.start(0).walk(&realm.cpu, 2);
        thread::scope(|scope| {
            let (shared, started, got) = (&shared, &started, &got);
            scope.spawn(move || {
                let start = shared.start(0);
                started.store(true, Ordering::Release);
                assert_eq!(read_entry(start, &shared.memory.cpu(), 2).level, 2);
            });
            while !started.load(Ordering::Acquire) {
                thread::yield_now();
            }
            // The walk waits for the child; another one cannot overtake it.
            scope.spawn(move || {
                let level = read_entry(shared.start(0), &shared.memory.cpu(), 1).level;
                assert_eq!(level, 1);
                got.store(true, Ordering::Release);
            });
            thread::sleep(Duration::from_millis(30));
            let early = got.load(Ordering::Acquire);
            drop(held);
            assert!(!early, "the parent was unlocked too early");
        });
    });
}

#[test]
fn an_rtt_is_not_destroyed_during_a_walk_through_it() {
    let realm = Realm::plain();
    realm.tables(0, 2);
    let spare = realm.granule().pa().0;
    let done = AtomicBool::new(false);
    with_threads(&realm, |shared| {
        thread::scope(|scope| {
            let (shared, done) = (&shared, &done);
            scope.spawn(move || {
                let _end = Done(done);
                let cpu = shared.memory.cpu();
                for _ in 0..20 * ROUNDS {
                    let rtt = shared.granules.lock(spare).unwrap();
                    create(shared.start(0), &cpu, 3, rtt).unwrap();
                    destroy(shared.start(0), &cpu, 3).unwrap();
                }
            });
            for _ in 0..2 {
                scope.spawn(move || {
                    let cpu = shared.memory.cpu();
                    while !done.load(Ordering::Relaxed) {
                        let level = read_entry(shared.start(PAGE), &cpu, 3).level;
                        assert!(level == 2 || level == 3);
                    }
                });
            }
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn a_running_realm_survives_folding() {
    let realm = Realm::plain();
    realm.block(2 * MIB, BLOCKS.base, RAM);
    let spare = realm.granule().pa().0;
    let done = AtomicBool::new(false);
    with_threads(&realm, |shared| {
        thread::scope(|scope| {
            let (shared, done) = (&shared, &done);
            scope.spawn(move || {
                let _end = Done(done);
                let cpu = shared.memory.cpu();
                for _ in 0..ROUNDS {
                    let rtt = shared.granules.lock(spare).unwrap();
                    create(shared.start(2 * MIB), &cpu, 3, rtt).unwrap();
                    fold(shared.start(2 * MIB), &cpu, 3).unwrap();
                }
            });
            for first in [0, 100] {
                scope.spawn(move || {
                    let cpu = shared.memory.cpu();
                    let mut n = first;
                    while !done.load(Ordering::Relaxed) {
                        let ipa = 2 * MIB + n % 512 * PAGE;
                        match shared.memory.translate_cached(&shared.regs, ipa) {
                            Ok(found) => assert_eq!(found.pa.0, BLOCKS.base + n % 512 * PAGE),
                            // Between break and make: a walk then finds the new entry.
                            Err(fault) => {
                                assert_eq!(
                                    fault,
                                    Fault {
                                        level: 2,
                                        kind: FaultKind::Translation
                                    }
                                );
                                let (_, entry) = find_entry(shared.start(ipa), &cpu);
                                assert!(matches!(entry, RttEntry::Assigned { ripas: RAM, .. }));
                            }
                        }
                        n += 1;
                    }
                });
            }
        });
    });
}

#[test]
fn a_page_is_mapped_once() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    let spare = [realm.granule().pa().0, realm.granule().pa().0];
    for _ in 0..ROUNDS {
        let won = AtomicU64::new(0);
        with_threads(&realm, |shared| {
            thread::scope(|scope| {
                for pa in spare {
                    let (shared, won) = (&shared, &won);
                    scope.spawn(move || {
                        let cpu = shared.memory.cpu();
                        let data = shared.granules.lock::<Delegated>(pa).unwrap();
                        if let Ok(slot) = data_slot(shared.start(0), &cpu) {
                            slot.map_ram(data.transition());
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
        });
        assert_eq!(won.into_inner(), 1);
        realm.unmap(0).unwrap();
    }
}

#[test]
fn memory_in_use_by_the_monitor_is_not_unmapped() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    let pa = realm.map_ram(0).unwrap();
    with_threads(&realm, |shared| {
        thread::scope(|scope| {
            let shared = &shared;
            let writer = scope.spawn(move || {
                let cpu = shared.memory.cpu();
                for _ in 0..ROUNDS {
                    if let Ok(granule) = lock_realm_granule(shared.start(0), &cpu) {
                        granule.write(&cpu, 0, &[0xff; 64]);
                    }
                }
            });
            let cpu = shared.memory.cpu();
            let unmapped = unmap_data(shared.start(0), &cpu).unwrap();
            drop(unmapped.wipe(&cpu));
            writer.join().unwrap();
        });
    });
    assert!(realm.is_clean(pa));
}
