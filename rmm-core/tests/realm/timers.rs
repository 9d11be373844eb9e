// SPDX-License-Identifier: BSD-3-Clause
//! The EL1 timers of a Realm (A6.2).

use rmm_abi::rmi::{RecExit, RecExitReason};
use rmm_core::fake::{Host, RealmCpu, Timer, TimerRegister, assert_record};
use std::cell::Cell;

const ENABLE: u64 = 1;
const IMASK: u64 = 2;
const ISTATUS: u64 = 4;

const BOTH: [Timer; 2] = [Timer::Virtual, Timer::Physical];

/// A list register with an interrupt that is pending.
const PENDING: u64 = 1 << 62 | 27;
/// A list register with an interrupt that is active.
const ACTIVE: u64 = 2 << 62 | 27;

/// Sets the first list register in an exit record.
fn set_list(exit: &mut RecExit, lr: u64) {
    exit.gicv3_lrs[0] = lr;
}

/// Sets the fields of one timer in an exit record.
fn set_timer(exit: &mut RecExit, which: Timer, ctl: u64, cval: u64) {
    match which {
        Timer::Virtual => (exit.cntv_ctl, exit.cntv_cval) = (ctl, cval),
        Timer::Physical => (exit.cntp_ctl, exit.cntp_cval) = (ctl, cval),
    }
}

// Conformance: REC exits timer
#[test]
fn exit_when_a_timer_fires() {
    for which in BOTH {
        let host = Host::new();
        let realm = host.realm().with_page(1);
        let due = host.board().now() + 100;
        realm.script(0, move |cpu| async move {
            cpu.set_timer(which, ENABLE, due).await;
            cpu.read(0).await.expect("not due yet");
            cpu.meanwhile(|host| host.board().advance(100));
            // The interrupt arrives at this instruction, and does not arrive again.
            cpu.read(0).await.expect("RAM");
            cpu.read(0).await.expect("RAM");
        });
        for _ in 0..2 {
            assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
                set_timer(exit, which, ENABLE | ISTATUS, due);
            });
        }
    }
}

// Conformance: REC exits timer
#[test]
fn exit_when_a_timer_is_quiet_again() {
    for which in BOTH {
        let host = Host::new();
        let realm = host.realm().with_page(1);
        let due = host.board().now();
        realm.script(0, move |cpu| async move {
            cpu.set_timer(which, ENABLE, due).await;
            cpu.read(0).await.expect("RAM");
            // The monitor reads the timer before it resumes the Realm after the MRS.
            cpu.set_timer(which, ENABLE | IMASK, due).await;
            let _value = cpu.mrs([3, 0, 0, 4, 0]).await;
            cpu.irq().await;
        });
        let fired = realm.enter(0);
        assert_record(&fired, RecExitReason::Irq, |exit| {
            set_timer(exit, which, ENABLE | ISTATUS, due);
        });
        // The Host has made the timer's interrupt pending: it takes it back at the first exit.
        for lr in [PENDING, 0, 0] {
            let exit = realm.enter_with(0, |entry| entry.gicv3_lrs[0] = lr);
            assert_record(&exit, RecExitReason::Irq, |exit| {
                set_timer(exit, which, ENABLE | IMASK | ISTATUS, due);
                set_list(exit, lr);
            });
        }
    }
}

// Conformance: REC exits timer
#[test]
fn no_exit_when_a_timer_is_quiet_again_unless_an_interrupt_is_pending() {
    // No interrupt, an active one, and one that is active and pending.
    for (lr, exits) in [(0, false), (ACTIVE, false), (ACTIVE | PENDING, true)] {
        for which in BOTH {
            let host = Host::new();
            let realm = host.realm().with_page(1);
            let due = host.board().now();
            realm.script(0, move |cpu| async move {
                cpu.set_timer(which, ENABLE, due).await;
                cpu.read(0).await.expect("RAM");
                cpu.write_timer(which, TimerRegister::Cval, due + 50).await;
                cpu.read(0).await.expect("not due yet");
                cpu.meanwhile(|host| host.board().advance(50));
                // It fires again: an exit, whether or not the Host has seen it quiet.
                cpu.read(0).await.expect("RAM");
                cpu.fiq().await;
            });
            assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
                set_timer(exit, which, ENABLE | ISTATUS, due);
            });
            let enter = || realm.enter_with(0, |entry| entry.gicv3_lrs[0] = lr);
            if exits {
                assert_record(&enter(), RecExitReason::Irq, |exit| {
                    set_timer(exit, which, ENABLE, due + 50);
                    set_list(exit, lr);
                });
            }
            for reason in [RecExitReason::Irq, RecExitReason::Fiq, RecExitReason::Irq] {
                assert_record(&enter(), reason, |exit| {
                    set_timer(exit, which, ENABLE | ISTATUS, due + 50);
                    set_list(exit, lr);
                });
            }
        }
    }
}

// Conformance: REC exits timer
#[test]
fn exit_at_once_if_a_timer_fired_between_entries() {
    for which in BOTH {
        let host = Host::new();
        let realm = host.realm().with_page(1);
        let due = host.board().now() + 10;
        realm.script(0, move |cpu| async move {
            cpu.set_timer(which, ENABLE, due).await;
            cpu.irq().await;
            assert!(cpu.now() >= due);
            cpu.mark(0);
            cpu.fiq().await;
        });
        assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
            set_timer(exit, which, ENABLE, due);
        });
        host.board().advance(10);
        // The first of these entries does not run the Realm, whose FIQ comes in the second.
        for reason in [RecExitReason::Irq, RecExitReason::Fiq, RecExitReason::Irq] {
            assert_record(&realm.enter(0), reason, |exit| {
                set_timer(exit, which, ENABLE | ISTATUS, due);
            });
        }
    }
}

#[test]
fn no_exit_for_masked_or_disabled_timers() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let due = host.board().now();
    realm.script(0, move |cpu| async move {
        cpu.set_timer(Timer::Virtual, ENABLE | IMASK, due).await;
        cpu.set_timer(Timer::Physical, IMASK, due).await;
        for _ in 0..3 {
            cpu.read(0).await.expect("RAM");
            let _value = cpu.mrs([3, 0, 0, 4, 0]).await;
        }
        cpu.fiq().await;
    });
    for reason in [RecExitReason::Fiq, RecExitReason::Irq] {
        assert_record(&realm.enter(0), reason, |exit| {
            set_timer(exit, Timer::Virtual, ENABLE | IMASK | ISTATUS, due);
            set_timer(exit, Timer::Physical, IMASK, due);
        });
    }
}

// Conformance: Exceptions and accesses that do not exit timers
// Conformance: Bugs others fixed exit_state
#[test]
fn each_rec_has_its_own_timers_and_so_has_the_host() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
    let later = host.board().now() + 1_000_000;
    for rec in [0, 1] {
        let due = later + rec as u64;
        realm.script(rec, move |cpu| async move {
            cpu.set_timer(Timer::Virtual, ENABLE, due).await;
            cpu.set_timer(Timer::Physical, ENABLE, due + 100).await;
            cpu.irq().await;
        });
    }
    for rec in [0, 1, 0, 1] {
        let due = later + rec as u64;
        assert_record(&realm.enter(rec), RecExitReason::Irq, |exit| {
            set_timer(exit, Timer::Virtual, ENABLE, due);
            set_timer(exit, Timer::Physical, ENABLE, due + 100);
        });
    }
}

/// The registers by which a Realm makes its timer quiet, due again 50 ticks after `now`.
async fn set_anew(cpu: &RealmCpu, which: Timer, how: usize, now: u64) {
    match how {
        0 => cpu.write_timer(which, TimerRegister::Cval, now + 50).await,
        1 => cpu.write_timer(which, TimerRegister::Tval, 50).await,
        _ => {
            cpu.write_timer(which, TimerRegister::Ctl, 0).await;
            cpu.write_timer(which, TimerRegister::Cval, now + 50).await;
            cpu.write_timer(which, TimerRegister::Ctl, ENABLE).await;
        }
    }
}

// Conformance: REC exits timer
#[test]
fn exit_when_a_timer_fires_again_while_its_signal_is_masked() {
    for which in BOTH {
        for how in 0..3 {
            let host = Host::new();
            let realm = host.realm().with_page(1);
            let due = host.board().now();
            realm.script(0, move |cpu| async move {
                cpu.set_timer(which, ENABLE, due).await;
                cpu.read(0).await.expect("RAM");
                // Entered again: the output is asserted, the Host knows, the signal is masked.
                let ctl = cpu.read_timer(which, TimerRegister::Ctl).await;
                assert_eq!(ctl, ENABLE | ISTATUS);
                assert_eq!(cpu.read_timer(which, TimerRegister::Cval).await, due);
                assert_eq!(cpu.read_timer(which, TimerRegister::Tval).await, 0);
                set_anew(&cpu, which, how, due).await;
                cpu.read(0).await.expect("RAM");
                cpu.meanwhile(|host| host.board().advance(50));
                // The second expiry interrupts here.
                cpu.read(0).await.expect("RAM");
                cpu.set_timer(which, 0, 0).await;
                cpu.irq().await;
            });
            // The Host makes an interrupt pending when the timer fires, which the Realm does not take.
            let lr = Cell::new(0);
            let expect = |ctl, cval| {
                let exit = realm.enter_with(0, |entry| entry.gicv3_lrs[0] = lr.get());
                assert_record(&exit, RecExitReason::Irq, |exit| {
                    set_timer(exit, which, ctl, cval);
                    set_list(exit, lr.get());
                });
                lr.set(if ctl & ISTATUS != 0 { PENDING } else { 0 });
            };
            expect(ENABLE | ISTATUS, due);
            // The output falls: the Host sees that, too.
            if how == 2 {
                expect(0, due);
            } else {
                expect(ENABLE, due + 50);
            }
            expect(ENABLE | ISTATUS, due + 50);
            for _ in 0..3 {
                expect(0, 0);
            }
        }
    }
}
