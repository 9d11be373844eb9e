// SPDX-License-Identifier: BSD-3-Clause
//! The EL1 timers of a Realm (A6.2).

use rmm_abi::rmi::{RecExit, RecExitReason};
use rmm_core::fake::{Host, Timer, assert_record};

const ENABLE: u64 = 1;
const IMASK: u64 = 2;
const ISTATUS: u64 = 4;

const BOTH: [Timer; 2] = [Timer::Virtual, Timer::Physical];

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
            cpu.set_timer(which, ENABLE, due);
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
            cpu.set_timer(which, ENABLE, due);
            cpu.read(0).await.expect("RAM");
            // The monitor reads the timer before it resumes the Realm after the MRS.
            cpu.set_timer(which, ENABLE | IMASK, due);
            let _value = cpu.mrs([3, 0, 0, 4, 0]).await;
            cpu.irq().await;
        });
        let fired = realm.enter(0);
        assert_record(&fired, RecExitReason::Irq, |exit| {
            set_timer(exit, which, ENABLE | ISTATUS, due);
        });
        for _ in 0..3 {
            assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
                set_timer(exit, which, ENABLE | IMASK | ISTATUS, due);
            });
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
            cpu.set_timer(which, ENABLE, due);
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
        cpu.set_timer(Timer::Virtual, ENABLE | IMASK, due);
        cpu.set_timer(Timer::Physical, IMASK, due);
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
            cpu.set_timer(Timer::Virtual, ENABLE, due);
            cpu.set_timer(Timer::Physical, ENABLE, due + 100);
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
