// SPDX-License-Identifier: BSD-3-Clause
//! Registers of a REC from exit to entry, those that are switched on first use among them.
//!
//! That the Host's are back after each exit is checked at every call.

use super::{assert_reason, for_each_exit, leave_for_each_reason, with_recs};
use rmm_abi::rmi::{RealmFlags, RecExitReason};
use rmm_core::fake::{After, Config, Host, RealmCpu, TestRealm, features};
use rmm_core::machine::CpuFeatures;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use zerocopy::{FromBytes, IntoBytes};

/// Fills a structure of registers with values of this REC's.
fn fill<T: FromBytes + IntoBytes>(registers: &mut T, rec: usize) {
    for (n, word) in registers.as_mut_bytes().chunks_exact_mut(8).enumerate() {
        let value = (rec as u64 + 1) << 32 | n as u64;
        word.copy_from_slice(&value.to_le_bytes());
    }
}

#[track_caller]
fn assert_filled<T: FromBytes + IntoBytes + zerocopy::Immutable>(registers: &T, rec: usize) {
    for (n, word) in registers.as_bytes().chunks_exact(8).enumerate() {
        let value = (rec as u64 + 1) << 32 | n as u64;
        assert_eq!(word, value.to_le_bytes(), "word {n}");
    }
}

/// Two RECs do `first`, leave, and do `second`, in turns; each with a machine of its own.
fn in_turns<F, G>(realm: &TestRealm<'_>, script: fn(RealmCpu, usize) -> F, exits: usize)
where
    F: Future<Output = G> + Send + 'static,
    G: Send,
{
    for rec in [0, 1] {
        realm.script(rec, move |cpu| async move {
            let _done = script(cpu, rec).await;
        });
    }
    for _ in 0..=exits {
        for rec in [0, 1] {
            assert_reason(&realm.enter(rec), RecExitReason::Irq);
        }
    }
}

#[test]
fn el1_registers_and_keys() {
    let host = Host::new();
    in_turns(
        &with_recs(&host, 2),
        |cpu, rec| async move {
            cpu.el1(|el1| {
                fill(el1, rec);
                // What these bits do is another matter.
                el1.mdscr &= !(1 << 15);
            });
            cpu.own(|sp_el0, keys| {
                *sp_el0 = rec as u64;
                fill(keys, rec);
            });
            for _ in 0..2 {
                cpu.irq().await;
                cpu.el1(|el1| assert_filled(el1, rec));
                cpu.own(|sp_el0, keys| {
                    assert_eq!(*sp_el0, rec as u64);
                    assert_filled(keys, rec);
                });
            }
        },
        2,
    );
}

// Conformance: RMI_REC_ENTER registers_kept
#[test]
fn general_registers_pc_and_pstate() {
    let host = Host::new();
    in_turns(
        &with_recs(&host, 2),
        |cpu, rec| async move {
            cpu.context(|context| {
                fill(&mut context.gprs, rec);
                context.pstate = 0xA000_03C4;
                context.pc = 0x7777_0000 + rec as u64;
            });
            cpu.irq().await;
            cpu.context(|context| {
                assert_filled(&context.gprs, rec);
                assert_eq!(context.pstate, 0xA000_03C4);
                assert_eq!(context.pc, 0x7777_0000 + rec as u64);
            });
        },
        1,
    );
}

#[test]
fn an_injected_exception_sees_the_registers_of_now() {
    let host = Host::new();
    let realm = with_recs(&host, 1);
    realm.script(0, |cpu| async move {
        for n in 1..4 {
            let vbar = n << 16;
            cpu.el1(|el1| (el1.vbar, el1.tcr) = (vbar, n));
            // RIPAS EMPTY: the monitor has the Realm take an abort.
            let taken = cpu.read(0x1_0000).await.expect_err("SEA");
            assert_eq!(taken.vector, 0x200);
            cpu.el1(|el1| {
                assert_eq!((el1.vbar, el1.tcr), (vbar, n), "others stay");
                assert_eq!((el1.elr, el1.esr), (taken.elr, taken.esr));
            });
        }
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: Exceptions and accesses that do not exit simd
#[test]
fn simd() {
    let host = Host::new();
    in_turns(
        &with_recs(&host, 2),
        |cpu, rec| async move {
            cpu.irq().await;
            cpu.simd(|simd| {
                assert_eq!(simd.q, [[0; 2]; 32], "nobody else's");
                fill(simd, rec);
            })
            .await
            .expect("FP/SIMD");
            // Not used in between: not moved.
            for _ in 0..3 {
                cpu.irq().await;
            }
            cpu.simd(|simd| assert_filled(simd, rec))
                .await
                .expect("FP/SIMD");
            let sve = cpu.sve(|_, _| ()).await;
            assert!(sve.is_err(), "no SVE in this Realm");
        },
        4,
    );
}

/// A machine with SVE, a PMU, and Realms that have both.
fn rich() -> Host {
    let mut features = CpuFeatures {
        sve_vl: Some(3),
        pmu_counters: Some(6),
        ..features()
    };
    features.id.pfr0 |= 1 << 32;
    features.id.zfr0 = 1;
    features.id.dfr0 |= 6 << 8;
    Host::with(Config {
        features,
        ..Config::default()
    })
}

fn rich_realm(host: &Host) -> TestRealm<'_> {
    let realm = host.realm().params(|p| {
        p.flags = (RealmFlags::SVE | RealmFlags::PMU).bits();
        p.sve_vl = 1;
        p.pmu_num_ctrs = 4;
    });
    let realm = realm.create();
    for _ in 0..2 {
        let _rec = realm.rec(true);
    }
    realm.data(0, &[]);
    realm.activate();
    realm
}

// Conformance: Exceptions and accesses that do not exit sve
// Conformance: Bugs others fixed sve_pffr
#[test]
fn sve() {
    let host = rich();
    in_turns(
        &rich_realm(&host),
        |cpu, rec| async move {
            cpu.sve(|z, rest| {
                assert!(z.iter().all(|half| half.0 == [0; 4096]));
                assert_eq!((rest.p, rest.ffr, rest.zcr), ([0; 512], [0; 32], 0));
                z.iter_mut().for_each(|half| fill(half, rec));
                fill(rest, rec);
            })
            .await
            .expect("SVE");
            cpu.irq().await;
            cpu.irq().await;
            cpu.sve(|z, rest| {
                z.iter().for_each(|half| assert_filled(half, rec));
                assert_filled(rest, rec);
            })
            .await
            .expect("SVE");
        },
        2,
    );
}

// Conformance: Exceptions and accesses that do not exit breakpoints
#[test]
fn breakpoints() {
    let host = Host::new();
    in_turns(
        &with_recs(&host, 2),
        |cpu, rec| async move {
            cpu.debug(|debug| {
                assert_eq!(debug.as_bytes(), [0; 512]);
                fill(debug, rec);
            })
            .await
            .expect("debug registers");
            cpu.irq().await;
            cpu.irq().await;
            cpu.debug(|debug| assert_filled(debug, rec))
                .await
                .expect("debug registers");
        },
        2,
    );
}

#[test]
fn breakpoints_that_act_are_there_from_the_entry_on() {
    let host = Host::new();
    let realm = with_recs(&host, 1);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.mdscr |= 1 << 15);
        cpu.irq().await;
        assert!(cpu.has_debug(), "MDSCR_EL1.MDE is set");
        cpu.el1(|el1| el1.mdscr &= !(1 << 15));
        cpu.irq().await;
        assert!(!cpu.has_debug());
    });
    for _ in 0..3 {
        assert_reason(&realm.enter(0), RecExitReason::Irq);
    }
}

/// What the Realm has been given traps no more, so what still does is for nobody.
#[test]
fn traps_of_what_has_been_given() {
    let host = Host::new();
    let realm = with_recs(&host, 1);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.vbar = 0x8_0000);
        cpu.simd(|_| ()).await.expect("FP/SIMD");
        for class in [0x07, 0x19, 0x1D] {
            let After::Taken(taken) = cpu.sync(class << 26 | 1 << 25, 0, 0).await else {
                panic!("class {class:#x}: undefined");
            };
            assert_eq!((taken.esr, taken.vector), (1 << 25, 0x200));
        }
        cpu.debug(|_| ()).await.expect("debug registers");
        // The OS lock: a write is ignored, and changes no register; it reads as open.
        let (oslar, oslsr) = ([2, 0, 1, 0, 4], [2, 0, 1, 1, 4]);
        cpu.msr(oslar, 0x5EC_0001).await.expect("ignored");
        assert_eq!(cpu.gprs()[2], 0x5EC_0001);
        assert_eq!(cpu.mrs(oslsr).await.expect("OSLSR_EL1"), 1 << 3);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);

    let host = rich();
    let realm = rich_realm(&host);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.vbar = 0x8_0000);
        cpu.pmu(|_| ()).await.expect("PMU");
        let taken = cpu.mrs([3, 3, 9, 12, 0]).await.expect_err("undefined");
        assert_eq!((taken.esr, taken.vector), (1 << 25, 0x200));
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// The world switch knows by it whose translations a CPU holds.
#[test]
fn each_rec_has_a_serial_number() {
    let host = Host::new();
    let seen = Arc::new(Mutex::new(HashSet::new()));
    for _ in 0..2 {
        let realm = with_recs(&host, 2);
        for rec in 0..2 {
            let seen = seen.clone();
            realm.script(rec, |cpu| async move {
                let serial = cpu.context(|context| context.serial);
                assert!(seen.lock().expect("a set").insert(serial), "{serial} again");
            });
            assert_reason(&realm.enter(rec), RecExitReason::Irq);
        }
    }
    assert_eq!(seen.lock().expect("a set").len(), 4);
}

#[test]
fn a_host_in_streaming_mode() {
    let host = Host::new();
    host.board().set_streaming(true);
    in_turns(
        &with_recs(&host, 2),
        |cpu, rec| async move {
            for _ in 0..2 {
                assert!(cpu.has_simd(), "streaming mode is not for the Realm");
                cpu.simd(|simd| fill(simd, rec)).await.expect("FP/SIMD");
                cpu.irq().await;
                cpu.simd(|simd| assert_filled(simd, rec))
                    .await
                    .expect("FP/SIMD");
            }
        },
        2,
    );
}

// Conformance: Exceptions and accesses that do not exit pmu
// Conformance: Bugs others fixed pmu_host
#[test]
fn pmu() {
    let host = rich();
    in_turns(
        &rich_realm(&host),
        |cpu, rec| async move {
            cpu.pmu(|pmu| {
                // Nothing of the Host's, whose registers all have values.
                assert_eq!((pmu.ccntr, pmu.evcntr), (0, [0; 31]));
                assert_eq!((pmu.ovsset, pmu.intenset, pmu.cntenset), (0, 0, 0));
                assert_eq!((pmu.selr, pmu.ccfiltr, pmu.evtyper), (0, 0, [0; 31]));
                fill(pmu, rec);
                pmu.pmcr &= !1;
            })
            .await
            .expect("PMU");
            cpu.irq().await;
            cpu.irq().await;
            cpu.pmu(|pmu| {
                assert_eq!(pmu.pmcr, (rec as u64 + 1) << 32);
                assert_eq!(pmu.evcntr[3], (rec as u64 + 1) << 32 | 11);
            })
            .await
            .expect("PMU");
        },
        2,
    );
}

// Conformance: REC exits always
#[test]
fn pmu_overflow_status() {
    let host = rich();
    let realm = rich_realm(&host);
    // E, overflow, interrupt enable, counter enable; status.
    let rows = [
        (1, 1, 1, 1, 1),
        (0, 1, 1, 1, 0),
        (1, 0, 1, 1, 0),
        (1, 1, 0, 1, 0),
        // Nobody counts any more, and yet the interrupt is asserted.
        (1, 1, 1, 0, 1),
        (1, 2, 1, 3, 0),
        (1, 1 << 31, 1 << 31, 1 << 31, 1),
    ];
    realm.script(0, move |cpu| async move {
        for (e, ovsset, intenset, cntenset, _) in rows {
            cpu.pmu(|pmu| {
                (pmu.pmcr, pmu.ovsset) = (e, ovsset);
                (pmu.intenset, pmu.cntenset) = (intenset, cntenset);
            })
            .await
            .expect("PMU");
            cpu.irq().await;
            // Counting goes on by itself.
            assert_eq!(cpu.has_pmu(), e == 1);
        }
    });
    for (.., status) in rows {
        assert_eq!(realm.enter(0).pmu_ovf_status, status);
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: REC exits always
#[test]
fn pmu_overflow_at_every_exit() {
    let host = rich();
    for status in [0, 1] {
        let realm = rich_realm(&host);
        let device = realm.unprotected();
        realm.script(0, move |cpu| async move {
            cpu.pmu(|pmu| {
                (pmu.pmcr, pmu.ovsset) = (1, status);
                (pmu.intenset, pmu.cntenset) = (1, 1);
            })
            .await
            .expect("PMU");
            leave_for_each_reason(&cpu, device).await;
        });
        for_each_exit(
            &realm,
            |_| (),
            |exit, reason| {
                assert_eq!(u64::from(exit.pmu_ovf_status), status, "{reason:?}");
            },
        );
    }
}

// Conformance: Exceptions and accesses that do not exit pmu, sve
#[test]
fn no_pmu_where_the_realm_has_none() {
    let host = rich();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        assert!(cpu.pmu(|_| ()).await.is_err());
        assert!(cpu.sve(|_, _| ()).await.is_err());
    });
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Irq);
    assert_eq!(exit.pmu_ovf_status, 0);
}

#[test]
fn everything_at_once() {
    let host = rich();
    in_turns(
        &rich_realm(&host),
        |cpu, rec| async move {
            cpu.sve(|z, _| fill(&mut z[1], rec)).await.expect("SVE");
            cpu.pmu(|pmu| pmu.ccntr = rec as u64).await.expect("PMU");
            cpu.debug(|debug| debug.bvr[15] = rec as u64)
                .await
                .expect("debug registers");
            cpu.irq().await;
            cpu.debug(|debug| assert_eq!(debug.bvr[15], rec as u64))
                .await
                .expect("debug registers");
            cpu.sve(|z, _| assert_filled(&z[1], rec))
                .await
                .expect("SVE");
            let count = cpu.pmu(|pmu| pmu.ccntr).await.expect("PMU");
            assert_eq!(count, rec as u64);
        },
        1,
    );
}
