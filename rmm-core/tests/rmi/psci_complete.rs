// SPDX-License-Identifier: BSD-3-Clause
//! RMI_PSCI_COMPLETE.

use rmm_abi::psci::fid::*;
use rmm_abi::psci::*;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{Host, Samples, Status, TestRealm, assert_psci, assert_reason, assert_record};
use rmm_granule::GranuleState;

const DENIED_ARG: i64 = DENIED.cast_signed();

fn complete(realm: &TestRealm<'_>, target: usize, status: i64) -> Status {
    let (calling, target) = (realm.rec_pa(0), realm.rec_pa(target));
    realm.host.psci_complete(calling, target, status)
}

/// Lets REC 0 make this PSCI call, which RMI_PSCI_COMPLETE has to complete.
fn request(realm: &TestRealm<'_>, args: [u64; 4]) {
    realm.script(0, move |cpu| async move {
        let _gprs = cpu.smc(&args).await;
    });
    realm.allow_unfinished_scripts();
    assert_reason(&realm.enter(0), RecExitReason::Psci);
}

// Conformance: RMI_PSCI_COMPLETE alias
// Conformance: Bugs others fixed alias
#[test]
fn alias() {
    let host = Host::new();
    let realm = host.realm().active(2);
    request(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    assert_eq!(complete(&realm, 0, 0), Status::Input);
    assert_eq!(complete(&realm, 1, 0), Status::Success);
}

// Conformance: RMI_PSCI_COMPLETE calling_align, calling_bound, calling_state, target_align
// Conformance: RMI_PSCI_COMPLETE target_bound, target_state
#[test]
fn calling_and_target_align_bound_state() {
    let host = Host::new();
    let samples = Samples::new(&host);
    let realm = host.realm().active(2);
    request(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    // Unaligned addresses are in the right RECs.
    let (calling, target) = (realm.rec_pa(0), realm.rec_pa(1));
    let others = samples.bad(GranuleState::Rec);
    for bad in others.iter().chain(&Samples::unaligned(calling)) {
        let status = host.psci_complete(bad.pa, target, 0);
        assert_eq!(status, Status::Input, "calling {bad:x?}");
    }
    for bad in others.iter().chain(&Samples::unaligned(target)) {
        let status = host.psci_complete(calling, bad.pa, 0);
        assert_eq!(status, Status::Input, "target {bad:x?}");
    }
    assert_eq!(complete(&realm, 1, 0), Status::Success);
}

// Conformance: RMI_PSCI_COMPLETE pending
// Conformance: RMI_REC_CREATE nothing_pending
#[test]
fn pending() {
    let host = Host::new();
    let realm = host.realm().active(2);
    assert_eq!(complete(&realm, 1, 0), Status::Input, "never entered");
    request(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    assert_eq!(complete(&realm, 1, 0), Status::Success);
    assert_eq!(complete(&realm, 1, 0), Status::Input, "completed");
    let (calling, target) = (realm.rec_pa(0), realm.rec_pa(1));
    realm.script(0, move |cpu| async move {
        let status = cpu.meanwhile(|host| host.psci_complete(calling, target, 0));
        assert_eq!(status, Status::Input, "RUNNING");
        // A call without MPIDR needs no completion.
        let _gprs = cpu.smc(&[PSCI_CPU_SUSPEND]).await;
    });
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    assert_eq!(complete(&realm, 1, 0), Status::Input);
}

/// A Host that chooses the first registers of a REC cannot feign a request by them.
// Conformance: RMI_PSCI_COMPLETE pending
#[test]
fn registers_that_look_like_a_request() {
    let host = Host::new();
    let realm = host.realm().create();
    for (index, runnable) in [(0, true), (1, false)] {
        let mut params = realm.rec_params(index, runnable);
        (params.gprs[0], params.gprs[1]) = (PSCI_CPU_ON, 1);
        let _rec = realm.rec_with(&params);
    }
    realm.activate();
    assert_eq!(complete(&realm, 1, 0), Status::Input);
    let (status, _) = realm.try_enter(1, |_| ());
    assert_eq!(status, Status::Rec, "not runnable");
}

// Conformance: RMI_PSCI_COMPLETE owner
#[test]
fn owner() {
    let host = Host::new();
    let (first, second) = (host.realm().active(2), host.realm().active(2));
    request(&first, [PSCI_CPU_ON, 1, 0, 0]);
    let status = host.psci_complete(first.rec_pa(0), second.rec_pa(1), 0);
    assert_eq!(status, Status::Input);
    assert_eq!(complete(&first, 1, 0), Status::Success);
}

// Conformance: RMI_PSCI_COMPLETE target
#[test]
fn target() {
    let host = Host::new();
    let realm = host.realm().active(3);
    request(&realm, [PSCI_CPU_ON, 1, 0, 0]);
    assert_eq!(complete(&realm, 2, 0), Status::Input);
    assert_eq!(complete(&realm, 1, 0), Status::Success);
}

// Conformance: RMI_PSCI_COMPLETE status
#[test]
fn status() {
    let host = Host::new();
    for (function, also) in [(PSCI_CPU_ON, Some(-3)), (PSCI_AFFINITY_INFO, None)] {
        let realm = host.realm().active(2);
        request(&realm, [function, 1, 0, 0]);
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
fn while_the_target_runs() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
    request(&realm, [PSCI_CPU_ON, 1, 0, 0]);
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
}

// Conformance: PSCI_CPU_ON exit
// Conformance: RMI_PSCI_COMPLETE cpu_on, caller
// Conformance: RMI_REC_ENTER psci_answer
#[test]
fn cpu_on_starts_the_target() {
    let host = Host::new();
    let realm = host.realm().active(3);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.sctlr |= 1 << 25);
        // The specification declares the context with 32 bits, but all 64 reach the target.
        let context = 0xC0DE_0000_1234_5678;
        cpu.call_returns(&[PSCI_CPU_ON, 2, 0x8000, context], SUCCESS)
            .await;
        cpu.call_returns(&[PSCI_CPU_ON, 2, 0x8000, 0], ALREADY_ON)
            .await;
    });
    realm.script(2, |cpu| async move {
        let mut expected = [0; 31];
        expected[0] = 0xC0DE_0000_1234_5678;
        assert_eq!(cpu.gprs(), expected);
        cpu.context(|context| assert_eq!((context.pc, context.pstate), (0x8000, 0x3C5)));
        cpu.el1(|el1| {
            assert_eq!(el1.sctlr >> 25 & 1, 1, "EE as in the caller");
            assert_eq!(el1.sctlr & 1, 0);
        });
    });
    assert_psci(&realm.enter(0), &[PSCI_CPU_ON, 2, 0x8000, 0x1234_5678]);
    assert_eq!(realm.try_enter(2, |_| ()).0, Status::Rec, "not yet");
    assert_eq!(complete(&realm, 2, 0), Status::Success);
    assert_reason(&realm.enter(2), RecExitReason::Irq);
    assert_psci(&realm.enter(0), &[PSCI_CPU_ON, 2, 0x8000]);
    assert_eq!(complete(&realm, 2, 0), Status::Success);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_PSCI_COMPLETE cpu_on
#[test]
fn cpu_on_of_a_rec_that_ran_before() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
    realm.script(1, |cpu| async move {
        cpu.mark(0);
        cpu.el1(|el1| (el1.vbar, el1.tcr, el1.sctlr) = (0x8_0000, 25, 1));
        let _never = cpu.smc(&[PSCI_CPU_OFF]).await;
    });
    assert_psci(&realm.enter(1), &[PSCI_CPU_OFF]);
    realm.script(1, |cpu| async move {
        assert_eq!(cpu.gprs()[1..], [0; 30]);
        cpu.el1(|el1| assert_eq!((el1.vbar, el1.tcr, el1.sctlr & 1), (0, 0, 0)));
    });
    realm.script(0, |cpu| async move {
        cpu.call_returns(&[PSCI_CPU_ON, 1, 0x9000, 7], SUCCESS)
            .await;
    });
    assert_psci(&realm.enter(0), &[PSCI_CPU_ON, 1, 0x9000, 7]);
    assert_eq!(complete(&realm, 1, 0), Status::Success);
    assert_reason(&realm.enter(1), RecExitReason::Irq);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_PSCI_COMPLETE cpu_on_denied
#[test]
fn cpu_on_denied() {
    let host = Host::new();
    let realm = host.realm().active(2);
    realm.script(0, |cpu| async move {
        cpu.call_returns(&[PSCI_CPU_ON, 1, 0, 0], DENIED).await;
    });
    assert_psci(&realm.enter(0), &[PSCI_CPU_ON, 1, 0]);
    assert_eq!(complete(&realm, 1, DENIED_ARG), Status::Success);
    assert_eq!(realm.try_enter(1, |_| ()).0, Status::Rec, "still off");
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_PSCI_COMPLETE status, cpu_on_already
#[test]
fn cpu_on_of_a_runnable_rec_cannot_be_denied() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
    realm.script(0, |cpu| async move {
        cpu.call_returns(&[PSCI_CPU_ON, 1, 0, 0], ALREADY_ON).await;
    });
    assert_psci(&realm.enter(0), &[PSCI_CPU_ON, 1]);
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
        cpu.call_returns(&[PSCI_AFFINITY_INFO, 1, 0], AFFINITY_OFF)
            .await;
        cpu.call_returns(&[PSCI_AFFINITY_INFO, 2, 0], AFFINITY_ON)
            .await;
        // Bits of MPIDR_EL1 that are not part of a REC index are ignored.
        let named = 1 << 63 | 1 << 31 | 1 << 30 | 1 << 24 | 0xF0 | 1;
        cpu.call_returns(&[PSCI_AFFINITY_INFO, named, 0], AFFINITY_OFF)
            .await;
    });
    for target in [1, 2, 1] {
        assert_psci(&realm.enter(0), &[PSCI_AFFINITY_INFO, target as u64, 0]);
        assert_eq!(complete(&realm, target, DENIED_ARG), Status::Input);
        assert_eq!(complete(&realm, target, 0), Status::Success);
    }
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn a_target_of_index_16() {
    let host = Host::new();
    let realm = host.realm().active(18);
    realm.script(0, |cpu| async move {
        cpu.call_returns(&[PSCI_AFFINITY_INFO, 0x100, 0], AFFINITY_OFF)
            .await;
        cpu.call_returns(&[PSCI_AFFINITY_INFO, 0x10, 0], AFFINITY_ON)
            .await;
        cpu.call_returns(&[PSCI_AFFINITY_INFO, 0x102, 0], INVALID_PARAMETERS)
            .await;
    });
    assert_psci(&realm.enter(0), &[PSCI_AFFINITY_INFO, 0x100]);
    assert_eq!(complete(&realm, 16, 0), Status::Success);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}
