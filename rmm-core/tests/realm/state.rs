// SPDX-License-Identifier: BSD-3-Clause
//! Registers of a REC from exit to entry, including those that are lent on first use.
//!
//! The fake machine checks at each call that the registers of the Host are restored.

use super::{full_host, full_realm, set_vectors};
use rmm_abi::rmi::RecExitReason;
use rmm_abi::rmi::fid::RMI_REC_ENTER;
use rmm_core::fake::{After, Host, RealmCpu, Status, TestRealm, assert_reason, esr};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Fills a structure of registers with values that differ for each word and each REC.
fn fill<T: FromBytes + IntoBytes>(registers: &mut T, rec: usize) {
    for (n, word) in registers.as_mut_bytes().chunks_exact_mut(8).enumerate() {
        let value = (rec as u64 + 1) << 32 | n as u64;
        word.copy_from_slice(&value.to_le_bytes());
    }
}

#[track_caller]
fn assert_filled<T: FromBytes + IntoBytes + Immutable>(registers: &T, rec: usize) {
    for (n, word) in registers.as_bytes().chunks_exact(8).enumerate() {
        let value = (rec as u64 + 1) << 32 | n as u64;
        assert_eq!(word, value.to_le_bytes(), "word {n}");
    }
}

/// Runs `script` in two RECs of `realm` in turns, until it ends after this number of exits.
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
        &host.realm().with_page(2),
        |cpu, rec| async move {
            cpu.el1(|el1| {
                fill(el1, rec);
                // MDE would lend the debug registers.
                el1.mdscr &= !(1 << 15);
            });
            cpu.sp_el0_and_keys(|sp_el0, keys| {
                *sp_el0 = rec as u64;
                fill(keys, rec);
            });
            for _ in 0..2 {
                cpu.irq().await;
                cpu.el1(|el1| assert_filled(el1, rec));
                cpu.sp_el0_and_keys(|sp_el0, keys| {
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
        &host.realm().with_page(2),
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
fn an_injected_exception_uses_the_current_registers() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        for n in 1..4 {
            let vbar = n << 16;
            cpu.el1(|el1| (el1.vbar, el1.tcr) = (vbar, n));
            // RIPAS EMPTY: the monitor injects an external abort.
            let taken = cpu.read(0x1_0000).await.expect_err("SEA");
            assert_eq!(taken.vector, 0x200);
            cpu.el1(|el1| {
                assert_eq!(
                    (el1.vbar, el1.tcr),
                    (vbar, n),
                    "other registers must not change"
                );
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
        &host.realm().with_page(2),
        |cpu, rec| async move {
            cpu.irq().await;
            cpu.simd(|simd| {
                assert_eq!(simd.q, [[0; 2]; 32], "registers of somebody else");
                fill(simd, rec);
            })
            .await
            .expect("FP/SIMD");
            // Not used in between, and so not lent.
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

// Conformance: Exceptions and accesses that do not exit sve
// Conformance: Bugs others fixed sve_pffr
#[test]
fn sve() {
    let host = full_host();
    in_turns(
        &full_realm(&host).with_page(2),
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
        &host.realm().with_page(2),
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
fn enabled_breakpoints_and_single_step_are_lent_at_entry() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        // MDSCR_EL1.MDE and SS.
        for bit in [15, 0] {
            cpu.el1(|el1| el1.mdscr |= 1 << bit);
            cpu.irq().await;
            assert!(cpu.has_debug(), "bit {bit} is set");
            cpu.el1(|el1| el1.mdscr &= !(1 << bit));
            cpu.irq().await;
            assert!(!cpu.has_debug());
        }
    });
    for _ in 0..5 {
        assert_reason(&realm.enter(0), RecExitReason::Irq);
    }
}

/// Registers that are lent do not trap; whatever still traps is undefined.
#[test]
fn traps_of_what_is_lent() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        cpu.simd(|_| ()).await.expect("FP/SIMD");
        for class in [0x07, 0x19, 0x1D] {
            let After::Taken(taken) = cpu.sync(class << 26 | esr::IL, 0, 0).await else {
                panic!("class {class:#x} is not undefined");
            };
            assert_eq!((taken.esr, taken.vector), (esr::IL, 0x200));
        }
        cpu.debug(|_| ()).await.expect("debug registers");
        // The OS lock reads as unlocked, and a write is ignored.
        let (oslar, oslsr) = ([2, 0, 1, 0, 4], [2, 0, 1, 1, 4]);
        cpu.msr(oslar, 0x5EC_0001).await.expect("ignored");
        assert_eq!(cpu.gprs()[2], 0x5EC_0001);
        assert_eq!(cpu.mrs(oslsr).await.expect("OSLSR_EL1"), 1 << 3);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);

    let host = full_host();
    let realm = full_realm(&host).with_page(2);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        cpu.pmu(|_| ()).await.expect("PMU");
        let taken = cpu.mrs([3, 3, 9, 12, 0]).await.expect_err("undefined");
        assert_eq!((taken.esr, taken.vector), (esr::IL, 0x200));
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// The world switch compares serial numbers to know whose translations a CPU holds.
#[test]
fn each_rec_has_a_serial_number() {
    let host = Host::new();
    let seen = Arc::new(Mutex::new(HashSet::new()));
    for _ in 0..2 {
        let realm = host.realm().with_page(2);
        for rec in 0..2 {
            let seen = seen.clone();
            realm.script(rec, |cpu| async move {
                let serial = cpu.context(|context| context.serial);
                assert!(
                    seen.lock().expect("a set").insert(serial),
                    "serial number {serial} twice"
                );
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
        &host.realm().with_page(2),
        |cpu, rec| async move {
            for _ in 0..2 {
                assert!(cpu.has_simd(), "FP/SIMD must be lent at entry");
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

/// A Host that says by the SVE hint that it keeps no SVE state gets back its Q registers, and zero for the
/// rest if the Realm has used it. The next call without the hint restores everything.
#[test]
fn a_host_without_sve_state() {
    const HINT: u64 = rmm_abi::smccc::SVE_HINT;
    for has_sve in [false, true] {
        let host = full_host();
        let builder = if has_sve {
            full_realm(&host)
        } else {
            host.realm()
        };
        let realm = builder.with_page(1);
        realm.script(0, move |cpu| async move {
            for n in 0..4 {
                if has_sve {
                    let used = cpu.sve(|z, rest| {
                        z.iter_mut().for_each(|half| fill(half, n));
                        fill(rest, n);
                    });
                    used.await.expect("SVE");
                } else {
                    cpu.simd(|simd| fill(simd, n)).await.expect("FP/SIMD");
                }
                cpu.irq().await;
            }
        });
        let (rec, run) = (realm.rec_of(0).rec, realm.rec_of(0).run);
        for (hint, cleared) in [(0, 0), (HINT, 1), (0, 1), (HINT, 2), (HINT, 2)] {
            realm.prepare(run, |_| ());
            let reply = host.call_unchecked(RMI_REC_ENTER | hint, &[rec, run]);
            assert_eq!(reply.status, Status::Success);
            assert_eq!(host.board().sve_cleared(), cleared, "SVE {has_sve}");
        }
    }
}

// Conformance: Exceptions and accesses that do not exit pmu
// Conformance: Bugs others fixed pmu_host
#[test]
fn pmu() {
    let host = full_host();
    in_turns(
        &full_realm(&host).with_page(2),
        |cpu, rec| async move {
            cpu.pmu(|pmu| {
                // Not the registers of the Host, none of which is zero.
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

// Conformance: Exceptions and accesses that do not exit pmu, sve
#[test]
fn neither_pmu_nor_sve_for_a_realm_without() {
    let host = full_host();
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
    let host = full_host();
    in_turns(
        &full_realm(&host).with_page(2),
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
