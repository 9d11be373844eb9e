// SPDX-License-Identifier: BSD-3-Clause
//! A Realm's EL1 timers (A6.2).

use super::{assert_record, for_each_exit, leave_for_each_reason, with_page, with_recs};
use rmm_abi::rmi::{RecExit, RecExitReason};
use rmm_core::fake::{Host, Timer};

const ENABLE: u64 = 1;
const IMASK: u64 = 2;
const ISTATUS: u64 = 4;

const BOTH: [Timer; 2] = [Timer::Virtual, Timer::Physical];

/// Fills in what the record says of one timer.
fn timer(exit: &mut RecExit, which: Timer, ctl: u64, cval: u64) {
    match which {
        Timer::Virtual => (exit.cntv_ctl, exit.cntv_cval) = (ctl, cval),
        Timer::Physical => (exit.cntp_ctl, exit.cntp_cval) = (ctl, cval),
    }
}

// Conformance: REC exits timer
#[test]
fn the_host_learns_when_a_timer_fires() {
    for which in BOTH {
        let host = Host::new();
        let realm = with_recs(&host, 1);
        let due = host.board().now() + 100;
        realm.script(0, move |cpu| async move {
            cpu.set_timer(which, ENABLE, due);
            cpu.read(0).await.expect("not due yet");
            cpu.meanwhile(|host| host.board().advance(100));
            // The interrupt arrives here; it does not arrive again.
            cpu.read(0).await.expect("RAM");
            cpu.read(0).await.expect("RAM");
        });
        for _ in 0..2 {
            assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
                timer(exit, which, ENABLE | ISTATUS, due);
            });
        }
    }
}

// Conformance: REC exits timer
#[test]
fn the_host_learns_when_a_timer_is_quiet_again() {
    for which in BOTH {
        let host = Host::new();
        let realm = with_recs(&host, 1);
        let due = host.board().now();
        realm.script(0, move |cpu| async move {
            cpu.set_timer(which, ENABLE, due);
            cpu.read(0).await.expect("RAM");
            // Masked: the monitor sees it when it looks the next time.
            cpu.set_timer(which, ENABLE | IMASK, due);
            let _value = cpu.mrs([3, 0, 0, 4, 0]).await;
            cpu.irq().await;
        });
        let fired = realm.enter(0);
        assert_record(&fired, RecExitReason::Irq, |exit| {
            timer(exit, which, ENABLE | ISTATUS, due);
        });
        for _ in 0..3 {
            assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
                timer(exit, which, ENABLE | IMASK | ISTATUS, due);
            });
        }
    }
}

// Conformance: REC exits timer
#[test]
fn a_timer_that_fires_between_entries_leaves_at_once() {
    for which in BOTH {
        let host = Host::new();
        let realm = with_recs(&host, 1);
        let due = host.board().now() + 10;
        realm.script(0, move |cpu| async move {
            cpu.set_timer(which, ENABLE, due);
            cpu.irq().await;
            assert!(cpu.now() >= due);
            cpu.mark(0);
            cpu.fiq().await;
        });
        assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
            timer(exit, which, ENABLE, due);
        });
        host.board().advance(10);
        // Without running: the FIQ comes only then.
        for reason in [RecExitReason::Irq, RecExitReason::Fiq, RecExitReason::Irq] {
            assert_record(&realm.enter(0), reason, |exit| {
                timer(exit, which, ENABLE | ISTATUS, due);
            });
        }
    }
}

#[test]
fn masked_or_disabled_timers_do_not_leave() {
    let host = Host::new();
    let realm = with_recs(&host, 1);
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
            timer(exit, Timer::Virtual, ENABLE | IMASK | ISTATUS, due);
            timer(exit, Timer::Physical, IMASK, due);
        });
    }
}

// Conformance: Exceptions and accesses that do not exit timers
// Conformance: Bugs others fixed exit_state
#[test]
fn each_rec_has_its_own_and_the_hosts_are_back() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
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
            timer(exit, Timer::Virtual, ENABLE, due);
            timer(exit, Timer::Physical, ENABLE, due + 100);
        });
    }
}

// Conformance: REC exits always
#[test]
fn every_exit_reports() {
    let host = Host::new();
    let realm = with_page(&host);
    let due = host.board().now() + 1_000_000;
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        cpu.set_timer(Timer::Physical, ENABLE, due);
        cpu.set_timer(Timer::Virtual, ENABLE | IMASK, due + 1);
        leave_for_each_reason(&cpu, device).await;
    });
    for_each_exit(
        &realm,
        |_| (),
        |exit, reason| {
            let physical = (exit.cntp_ctl, exit.cntp_cval);
            assert_eq!(physical, (ENABLE, due), "{reason:?}");
            let virt = (exit.cntv_ctl, exit.cntv_cval);
            assert_eq!(virt, (ENABLE | IMASK, due + 1), "{reason:?}");
        },
    );
}
