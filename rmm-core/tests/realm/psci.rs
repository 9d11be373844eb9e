// SPDX-License-Identifier: BSD-3-Clause
//! PSCI calls of a Realm and RMI_PSCI_COMPLETE (A4.3.7, B4.3.7, B6.3).

use super::{assert_reason, assert_record, with_recs};
use rmm_abi::psci::fid::*;
use rmm_abi::psci::*;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{Host, PAGE, RealmCpu, Status, TestRealm, Zoo};
use rmm_granule::GranuleState;

const DENIED_ARG: i64 = DENIED.cast_signed();

/// A Realm with `count` RECs, of which the first is runnable.
fn realm(host: &Host, count: u64) -> TestRealm<'_> {
    host.realm().active(count)
}

fn complete(realm: &TestRealm<'_>, target: usize, status: i64) -> Status {
    let (calling, target) = (realm.rec_pa(0), realm.rec_pa(target));
    realm.host.psci_complete(calling, target, status)
}

/// Asserts that the exit is a PSCI call with these registers.
#[track_caller]
fn assert_psci(realm: &TestRealm<'_>, rec: usize, gprs: &[u64]) {
    assert_record(&realm.enter(rec), RecExitReason::Psci, |exit| {
        exit.gprs[..gprs.len()].copy_from_slice(gprs);
    });
}

/// Calls with marked registers; X0 is the result, X1 to X3 are zero and the rest stays.
async fn call(cpu: &RealmCpu, args: &[u64], result: u64) {
    cpu.mark(0);
    let before = cpu.gprs();
    let gprs = cpu.smc(args).await;
    assert_eq!(gprs[..4], [result, 0, 0, 0], "{args:x?}");
    let first = args.len().max(4);
    assert_eq!(gprs[first..], before[first..], "{args:x?}");
}

// Conformance: PSCI_VERSION version
// Conformance: PSCI_FEATURES supported, unsupported
// Conformance: PSCI_CPU_ON entry, mpidr, self
// Conformance: PSCI_AFFINITY_INFO lowest_level, mpidr, self
// Conformance: Other PSCI functions not_supported
#[test]
fn calls_that_do_not_exit() {
    let host = Host::new();
    let realm = realm(&host, 2);
    let (unprotected, end) = (realm.unprotected(), realm.end());
    realm.script(0, move |cpu| async move {
        call(&cpu, &[PSCI_VERSION], 0x1_0001).await;
        for supported in [
            PSCI_VERSION,
            PSCI_FEATURES,
            PSCI_CPU_SUSPEND,
            PSCI_CPU_OFF,
            PSCI_CPU_ON,
            PSCI_AFFINITY_INFO,
            PSCI_SYSTEM_OFF,
            PSCI_SYSTEM_RESET,
        ] {
            call(&cpu, &[PSCI_FEATURES, supported], SUCCESS).await;
        }
        for other in [0x8400_0003, 0xC400_000E, 0x8400_0014, 0xC400_0190] {
            call(&cpu, &[PSCI_FEATURES, other], NOT_SUPPORTED).await;
        }
        for other in [0x8400_0001, 0x8400_0003, 0x8400_0004, 0xC400_000E] {
            call(&cpu, &[other, 1, 0x1000, 2], NOT_SUPPORTED).await;
        }
        for entry in [unprotected, end, 1 << 63] {
            call(&cpu, &[PSCI_CPU_ON, 1, entry, 0], INVALID_ADDRESS).await;
        }
        call(&cpu, &[PSCI_CPU_ON, 2, 0x1000, 0], INVALID_PARAMETERS).await;
        call(&cpu, &[PSCI_CPU_ON, 0, 0x1000, 0], ALREADY_ON).await;
        call(&cpu, &[PSCI_AFFINITY_INFO, 0, 0], AFFINITY_ON).await;
        call(&cpu, &[PSCI_AFFINITY_INFO, 2, 0], INVALID_PARAMETERS).await;
        call(&cpu, &[PSCI_AFFINITY_INFO, 1, 1], INVALID_PARAMETERS).await;
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: RSI calls sve_hint
#[test]
fn sve_hint() {
    let host = Host::new();
    let realm = realm(&host, 1);
    realm.script(0, |cpu| async move {
        call(&cpu, &[PSCI_VERSION | 1 << 16], 0x1_0001).await;
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: PSCI_CPU_SUSPEND exit
// Conformance: REC exits psci
#[test]
fn cpu_suspend() {
    let host = Host::new();
    let realm = realm(&host, 1);
    realm.script(0, |cpu| async move {
        // The entry point is ignored.
        let args = [PSCI_CPU_SUSPEND, 0x1_0000, 0x5000, 0x77];
        call(&cpu, &args, SUCCESS).await;
    });
    assert_psci(&realm, 0, &[PSCI_CPU_SUSPEND, 0x1_0000, 0x5000, 0x77]);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: PSCI_CPU_OFF exit
#[test]
fn cpu_off() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
    realm.script(1, |cpu| async move {
        let _never = cpu.smc(&[PSCI_CPU_OFF]).await;
    });
    realm.may_be_unfinished();
    assert_psci(&realm, 1, &[PSCI_CPU_OFF]);
    assert_eq!(realm.try_enter(1, |_| ()).0, Status::Rec);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: PSCI_SYSTEM_OFF exit
// Conformance: PSCI_SYSTEM_RESET exit
#[test]
fn system_off_and_reset() {
    for function in [PSCI_SYSTEM_OFF, PSCI_SYSTEM_RESET] {
        let host = Host::new();
        let realm = with_recs(&host, 2);
        realm.script(0, move |cpu| async move {
            let _never = cpu.smc(&[function]).await;
        });
        realm.may_be_unfinished();
        assert_psci(&realm, 0, &[function]);
        for rec in [0, 1] {
            let (status, _) = realm.try_enter(rec, |_| ());
            assert_eq!(status, Status::Realm(1));
        }
    }
}

#[test]
fn a_rec_that_runs_when_another_ends_the_realm() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
    let second = realm.rec_of(1);
    realm.script(0, move |cpu| async move {
        let status = cpu.meanwhile(|host| host.rec_enter(second.rec, second.run));
        assert_eq!(status, Status::Success);
        cpu.write(0, 1).await.expect("runs on");
    });
    realm.script(1, |cpu| async move {
        let _never = cpu.smc(&[PSCI_SYSTEM_OFF]).await;
    });
    realm.may_be_unfinished();
    realm.prepare(realm.rec_of(1).run, |_| ());
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Realm(1));
}

// Conformance: PSCI_CPU_ON exit
// Conformance: RMI_PSCI_COMPLETE cpu_on, caller
// Conformance: RMI_REC_ENTER psci_answer
#[test]
fn cpu_on_starts_the_target() {
    let host = Host::new();
    let realm = realm(&host, 3);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.sctlr |= 1 << 25);
        // The context is declared with 32 bits, and handed on with 64.
        let context = 0xC0DE_0000_1234_5678;
        call(&cpu, &[PSCI_CPU_ON, 2, 0x8000, context], SUCCESS).await;
        call(&cpu, &[PSCI_CPU_ON, 2, 0x8000, 0], ALREADY_ON).await;
    });
    realm.script(2, |cpu| async move {
        let mut expected = [0; 31];
        expected[0] = 0xC0DE_0000_1234_5678;
        assert_eq!(cpu.gprs(), expected);
        cpu.context(|context| assert_eq!((context.pc, context.pstate), (0x8000, 0x3C5)));
        cpu.el1(|el1| {
            assert_eq!(el1.sctlr >> 25 & 1, 1, "EE as the caller's");
            assert_eq!(el1.sctlr & 1, 0);
        });
    });
    assert_psci(&realm, 0, &[PSCI_CPU_ON, 2, 0x8000, 0x1234_5678]);
    assert_eq!(realm.try_enter(2, |_| ()).0, Status::Rec, "not yet");
    assert_eq!(complete(&realm, 2, 0), Status::Success);
    assert_reason(&realm.enter(2), RecExitReason::Irq);
    assert_psci(&realm, 0, &[PSCI_CPU_ON, 2, 0x8000]);
    assert_eq!(complete(&realm, 2, 0), Status::Success);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_PSCI_COMPLETE cpu_on
#[test]
fn cpu_on_of_a_rec_that_ran_before() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
    realm.script(1, |cpu| async move {
        cpu.mark(0);
        cpu.el1(|el1| (el1.vbar, el1.tcr, el1.sctlr) = (0x8_0000, 25, 1));
        let _never = cpu.smc(&[PSCI_CPU_OFF]).await;
    });
    assert_psci(&realm, 1, &[PSCI_CPU_OFF]);
    realm.script(1, |cpu| async move {
        assert_eq!(cpu.gprs()[1..], [0; 30]);
        cpu.el1(|el1| assert_eq!((el1.vbar, el1.tcr, el1.sctlr & 1), (0, 0, 0)));
    });
    realm.script(0, |cpu| async move {
        call(&cpu, &[PSCI_CPU_ON, 1, 0x9000, 7], SUCCESS).await;
    });
    assert_psci(&realm, 0, &[PSCI_CPU_ON, 1, 0x9000, 7]);
    assert_eq!(complete(&realm, 1, 0), Status::Success);
    assert_reason(&realm.enter(1), RecExitReason::Irq);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_PSCI_COMPLETE cpu_on_denied
#[test]
fn cpu_on_denied() {
    let host = Host::new();
    let realm = realm(&host, 2);
    realm.script(0, |cpu| async move {
        call(&cpu, &[PSCI_CPU_ON, 1, 0, 0], DENIED).await;
    });
    assert_psci(&realm, 0, &[PSCI_CPU_ON, 1, 0]);
    assert_eq!(complete(&realm, 1, DENIED_ARG), Status::Success);
    assert_eq!(realm.try_enter(1, |_| ()).0, Status::Rec, "still off");
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_PSCI_COMPLETE status, cpu_on_already
#[test]
fn cpu_on_of_a_runnable_rec_cannot_be_denied() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
    realm.script(0, |cpu| async move {
        call(&cpu, &[PSCI_CPU_ON, 1, 0, 0], ALREADY_ON).await;
    });
    assert_psci(&realm, 0, &[PSCI_CPU_ON, 1]);
    assert_eq!(complete(&realm, 1, DENIED_ARG), Status::Input);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Rec, "still pending");
    assert_eq!(complete(&realm, 1, 0), Status::Success);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: PSCI_AFFINITY_INFO exit
// Conformance: RMI_PSCI_COMPLETE affinity_on, affinity_off, caller
#[test]
fn affinity_info() {
    let host = Host::new();
    let realm = host.realm().create();
    for runnable in [true, false, true] {
        let _rec = realm.rec(runnable);
    }
    realm.activate();
    realm.script(0, |cpu| async move {
        call(&cpu, &[PSCI_AFFINITY_INFO, 1, 0], AFFINITY_OFF).await;
        call(&cpu, &[PSCI_AFFINITY_INFO, 2, 0], AFFINITY_ON).await;
        // Bits of MPIDR_EL1 that name nothing.
        let named = 1 << 63 | 1 << 31 | 1 << 30 | 1 << 24 | 0xF0 | 1;
        call(&cpu, &[PSCI_AFFINITY_INFO, named, 0], AFFINITY_OFF).await;
    });
    for target in [1, 2, 1] {
        assert_psci(&realm, 0, &[PSCI_AFFINITY_INFO, target as u64, 0]);
        assert_eq!(complete(&realm, target, DENIED_ARG), Status::Input);
        assert_eq!(complete(&realm, target, 0), Status::Success);
    }
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn a_target_of_index_16() {
    let host = Host::new();
    let realm = realm(&host, 18);
    realm.script(0, |cpu| async move {
        call(&cpu, &[PSCI_AFFINITY_INFO, 0x100, 0], AFFINITY_OFF).await;
        call(&cpu, &[PSCI_AFFINITY_INFO, 0x10, 0], AFFINITY_ON).await;
        call(&cpu, &[PSCI_AFFINITY_INFO, 0x102, 0], INVALID_PARAMETERS).await;
    });
    assert_psci(&realm, 0, &[PSCI_AFFINITY_INFO, 0x100]);
    assert_eq!(complete(&realm, 16, 0), Status::Success);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// REC 0 of the Realm waits for the completion of this call, with all arguments from X1 up.
fn pending(realm: &TestRealm<'_>, args: [u64; 4]) {
    realm.script(0, move |cpu| async move {
        let _gprs = cpu.smc(&args).await;
    });
    realm.may_be_unfinished();
    assert_reason(&realm.enter(0), RecExitReason::Psci);
}

// Conformance: RMI_PSCI_COMPLETE alias
// Conformance: Bugs others fixed alias
#[test]
fn complete_alias() {
    let host = Host::new();
    let realm = realm(&host, 2);
    pending(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    assert_eq!(complete(&realm, 0, 0), Status::Input);
    assert_eq!(complete(&realm, 1, 0), Status::Success);
}

// Conformance: RMI_PSCI_COMPLETE calling_align, calling_bound, calling_state, target_align
// Conformance: RMI_PSCI_COMPLETE target_bound, target_state
#[test]
fn complete_calling_and_target_align_bound_state() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    let realm = realm(&host, 2);
    pending(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    // Next to a REC that waits, and to the one that it names.
    let (calling, target) = (realm.rec_pa(0), realm.rec_pa(1));
    let others = zoo.bad(GranuleState::Rec);
    for bad in others.iter().chain(&Zoo::unaligned(calling)) {
        let status = host.psci_complete(bad.pa, target, 0);
        assert_eq!(status, Status::Input, "calling {bad:x?}");
    }
    for bad in others.iter().chain(&Zoo::unaligned(target)) {
        let status = host.psci_complete(calling, bad.pa, 0);
        assert_eq!(status, Status::Input, "target {bad:x?}");
    }
    assert_eq!(complete(&realm, 1, 0), Status::Success);
}

// Conformance: RMI_PSCI_COMPLETE pending
// Conformance: RMI_REC_CREATE nothing_pending
#[test]
fn complete_pending() {
    let host = Host::new();
    let realm = realm(&host, 2);
    assert_eq!(complete(&realm, 1, 0), Status::Input, "never entered");
    pending(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    assert_eq!(complete(&realm, 1, 0), Status::Success);
    assert_eq!(complete(&realm, 1, 0), Status::Input, "completed");
    let (calling, target) = (realm.rec_pa(0), realm.rec_pa(1));
    realm.script(0, move |cpu| async move {
        let status = cpu.meanwhile(|host| host.psci_complete(calling, target, 0));
        assert_eq!(status, Status::Input, "RUNNING");
        // A call without an MPIDR needs no completion.
        let _gprs = cpu.smc(&[PSCI_CPU_SUSPEND]).await;
    });
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    assert_eq!(complete(&realm, 1, 0), Status::Input);
}

// Conformance: RMI_PSCI_COMPLETE owner
#[test]
fn complete_owner() {
    let host = Host::new();
    let (first, second) = (realm(&host, 2), realm(&host, 2));
    pending(&first, [PSCI_CPU_ON, 1, 0, 0]);
    let status = host.psci_complete(first.rec_pa(0), second.rec_pa(1), 0);
    assert_eq!(status, Status::Input);
    assert_eq!(complete(&first, 1, 0), Status::Success);
}

// Conformance: RMI_PSCI_COMPLETE target
#[test]
fn complete_target() {
    let host = Host::new();
    let realm = realm(&host, 3);
    pending(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    assert_eq!(complete(&realm, 2, 0), Status::Input);
    assert_eq!(complete(&realm, 1, 0), Status::Success);
}

// Conformance: RMI_PSCI_COMPLETE status
#[test]
fn complete_status() {
    let host = Host::new();
    for (function, also) in [(PSCI_CPU_ON, Some(-3)), (PSCI_AFFINITY_INFO, None)] {
        let realm = realm(&host, 2);
        pending(&realm, [function, 1, 0, 0]);
        for status in (-10..3).chain([1 << 32, i64::MIN, 0xFFFF_FFFD]) {
            if status != 0 && Some(status) != also {
                assert_eq!(complete(&realm, 1, status), Status::Input, "{status}");
            }
        }
        assert_eq!(complete(&realm, 1, also.unwrap_or(0)), Status::Success);
    }
}

// Conformance: RMI_PSCI_COMPLETE status, cpu_on_already
#[test]
fn complete_while_the_target_runs() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
    pending(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    let (calling, target) = (realm.rec_pa(0), realm.rec_pa(1));
    realm.script(1, move |cpu| async move {
        let complete = |status| cpu.meanwhile(|host| host.psci_complete(calling, target, status));
        assert_eq!(complete(DENIED_ARG), Status::Input, "a RUNNING REC is on");
        assert_eq!(complete(0), Status::Success);
    });
    assert_reason(&realm.enter(1), RecExitReason::Irq);
    realm.script(0, |cpu| async move {
        assert_eq!(cpu.gprs()[..4], [ALREADY_ON, 0, 0, 0]);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    assert_eq!(PAGE, 4096);
}
