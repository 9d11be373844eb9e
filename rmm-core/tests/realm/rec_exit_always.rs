// SPDX-License-Identifier: BSD-3-Clause
//! Fields of the exit record that are valid at every REC exit: GIC, timers, PMU (A6.1, A6.2, A8.1).

use super::{full_host, full_realm};
use rmm_abi::psci::fid::PSCI_CPU_SUSPEND;
use rmm_abi::rmi::{RecEnter, RecEnterFlags, RecExit, RecExitReason};
use rmm_abi::rsi::fid::{RSI_HOST_CALL, RSI_IPA_STATE_SET};
use rmm_core::fake::{Host, PAGE, RAM, RealmCpu, Status, TestRealm, Timer, assert_reason, esr};

/// The script of REC 0 for [`for_each_exit`]: leaves once for each reason, at last by a host call
/// whose answer cannot be written. `device` is an Unprotected IPA.
async fn leave_for_each_reason(cpu: &RealmCpu, device: u64) {
    cpu.irq().await;
    cpu.fiq().await;
    cpu.read(device).await.expect("emulated");
    let set = [RSI_IPA_STATE_SET, 0, PAGE, RAM, 0];
    let _gprs = cpu.smc(&set).await;
    let _gprs = cpu.smc(&[PSCI_CPU_SUSPEND]).await;
    // Corrected, asynchronous.
    cpu.serror(esr::SERROR | 6 << 10 | 0x11).await;
    let _never = cpu.smc(&[RSI_HOST_CALL, 0]).await;
}

/// Enters REC 0, whose script ends with [`leave_for_each_reason`], with the fields that `fill`
/// writes, and calls `check` with the record of each exit. The last entry does not run the Realm.
fn for_each_exit(
    realm: &TestRealm<'_>,
    fill: impl Fn(&mut RecEnter),
    check: impl Fn(&RecExit, RecExitReason),
) {
    realm.allow_unfinished_scripts();
    let enter = |reason, flags: RecEnterFlags| {
        let exit = realm.enter_with(0, |enter| {
            fill(enter);
            enter.flags = flags.bits();
        });
        assert_reason(&exit, reason);
        check(&exit, reason);
    };
    for reason in [RecExitReason::Irq, RecExitReason::Fiq, RecExitReason::Sync] {
        enter(reason, RecEnterFlags::empty());
    }
    enter(RecExitReason::RipasChange, RecEnterFlags::EMUL_MMIO);
    for reason in [
        RecExitReason::Psci,
        RecExitReason::SError,
        RecExitReason::HostCall,
    ] {
        enter(reason, RecEnterFlags::empty());
    }
    let (status, ..) = realm.host.data_destroy(realm.rd, 0);
    assert_eq!(status, Status::Success);
    enter(RecExitReason::Sync, RecEnterFlags::empty());
}

const LR_PENDING: u64 = 1 << 62;

// Conformance: REC exits always
#[test]
fn gic() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        cpu.gic(|gic| gic.vmcr = 0x55);
        leave_for_each_reason(&cpu, device).await;
    });
    let fill = |enter: &mut RecEnter| enter.gicv3_lrs[1] = LR_PENDING | 99;
    for_each_exit(&realm, fill, |exit, reason| {
        assert_eq!(exit.gicv3_lrs[1], LR_PENDING | 99, "{reason:?}");
        assert_eq!(exit.gicv3_vmcr, 0x55, "{reason:?}");
    });
}

// Conformance: REC exits always
#[test]
fn timers() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let due = host.board().now() + 1_000_000;
    let device = realm.unprotected();
    let (enabled, masked) = (1, 3);
    realm.script(0, move |cpu| async move {
        cpu.set_timer(Timer::Physical, enabled, due).await;
        cpu.set_timer(Timer::Virtual, masked, due + 1).await;
        leave_for_each_reason(&cpu, device).await;
    });
    for_each_exit(
        &realm,
        |_| (),
        |exit, reason| {
            let physical = (exit.cntp_ctl, exit.cntp_cval);
            assert_eq!(physical, (enabled, due), "{reason:?}");
            let virt = (exit.cntv_ctl, exit.cntv_cval);
            assert_eq!(virt, (masked, due + 1), "{reason:?}");
        },
    );
}

// Conformance: REC exits always
#[test]
fn pmu() {
    let host = full_host();
    for status in [0, 1] {
        let realm = full_realm(&host).with_page(1);
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

// Conformance: REC exits always
#[test]
fn pmu_overflow_status() {
    let host = full_host();
    let realm = full_realm(&host).with_page(1);
    // E, overflow, interrupt enable, counter enable; status.
    let rows = [
        (1, 1, 1, 1, 1),
        (0, 1, 1, 1, 0),
        (1, 0, 1, 1, 0),
        (1, 1, 0, 1, 0),
        // No counter counts any more, but the interrupt is still asserted.
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
            // A PMU that counts is lent at entry.
            assert_eq!(cpu.has_pmu(), e == 1);
        }
    });
    for (.., status) in rows {
        assert_eq!(realm.enter(0).pmu_ovf_status, status);
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}
