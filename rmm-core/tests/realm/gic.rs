// SPDX-License-Identifier: BSD-3-Clause
//! The virtual GIC interface at entry and exit (A6.1).

use super::{assert_reason, assert_record, with_page, with_recs};
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::Host;

const PENDING: u64 = 1 << 62;
const GROUP_1: u64 = 1 << 60;

// Conformance: RMI_REC_ENTER gic_entry
#[test]
fn list_registers_come_and_go() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.gic(|gic| {
            let mut expected = [0; 16];
            expected[0] = PENDING | GROUP_1 | 0xA0 << 48 | 27;
            expected[3] = PENDING | 42;
            assert_eq!(gic.lrs, expected);
            // En, vSGIEOICount, DVIM, and what the Host asked for.
            assert_eq!(gic.hcr, 0x8101 | 0x4002);
            // The Realm takes the first interrupt and has done with the other.
            gic.lrs[0] ^= 3 << 62;
            gic.lrs[3] = 0;
            gic.hcr |= 5 << 27;
            gic.vmcr = 0x7_0000_0000;
        });
        cpu.irq().await;
        cpu.gic(|gic| {
            assert_eq!(gic.lrs, [0; 16], "as the Host gives them");
            assert_eq!(gic.hcr, 0x8101 | 5 << 27, "EOIcount is the Realm's");
            assert_eq!(gic.vmcr, 0x7_0000_0000, "the Realm's own");
        });
    });
    let exit = realm.enter_with(0, |enter| {
        enter.gicv3_hcr = 0x4002;
        enter.gicv3_lrs[0] = PENDING | GROUP_1 | 0xA0 << 48 | 27;
        enter.gicv3_lrs[3] = PENDING | 42;
    });
    assert_record(&exit, RecExitReason::Irq, |exit| {
        exit.gicv3_hcr = 0x4002 | 5 << 27;
        exit.gicv3_lrs[0] = 2 << 62 | GROUP_1 | 0xA0 << 48 | 27;
        // Underflow: fewer than two are valid.
        exit.gicv3_misr = 1 << 1;
        exit.gicv3_vmcr = 0x7_0000_0000;
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
        exit.gicv3_hcr = 5 << 27;
        exit.gicv3_vmcr = 0x7_0000_0000;
    });
}

// Conformance: RMI_REC_ENTER gic_entry
#[test]
fn each_bit_of_hcr_that_is_the_hosts() {
    let host = Host::new();
    let realm = with_page(&host);
    for bit in [1, 2, 3, 4, 5, 6, 7, 14] {
        realm.script(0, move |cpu| async move {
            assert_eq!(cpu.gic(|gic| gic.hcr), 0x8101 | 1 << bit);
        });
        let exit = realm.enter_with(0, |enter| enter.gicv3_hcr = 1 << bit);
        assert_reason(&exit, RecExitReason::Irq);
        assert_eq!(exit.gicv3_hcr, 1 << bit);
    }
}

// Conformance: REC exits always
#[test]
fn every_exit_reports() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        cpu.gic(|gic| gic.vmcr = 0x55);
        cpu.irq().await;
        cpu.fiq().await;
        cpu.read(device).await.expect("emulated");
        let set = rmm_abi::rsi::fid::RSI_IPA_STATE_SET;
        let _gprs = cpu.smc(&[set, 0, 4096, 1, 0]).await;
        let _gprs = cpu.smc(&[rmm_abi::rsi::fid::RSI_HOST_CALL, 0]).await;
        let _gprs = cpu.smc(&[rmm_abi::psci::fid::PSCI_CPU_SUSPEND]).await;
        cpu.serror(0x2F << 26 | 6 << 10 | 0x11).await;
    });
    for (reason, flags) in [
        (RecExitReason::Irq, 0),
        (RecExitReason::Fiq, 0),
        (RecExitReason::Sync, 0),
        (RecExitReason::RipasChange, 1),
        (RecExitReason::HostCall, 0),
        (RecExitReason::Psci, 0),
        (RecExitReason::SError, 0),
    ] {
        let exit = realm.enter_with(0, |enter| {
            enter.flags = flags;
            enter.gicv3_lrs[1] = PENDING | 99;
        });
        assert_reason(&exit, reason);
        assert_eq!(exit.gicv3_lrs[1], PENDING | 99, "{reason:?}");
        assert_eq!(exit.gicv3_vmcr, 0x55, "{reason:?}");
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn an_exit_without_a_run_reports_what_the_host_gave() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.gic(|gic| gic.vmcr = 0x66);
        let _gprs = cpu.smc(&[rmm_abi::rsi::fid::RSI_HOST_CALL, 0]).await;
    });
    assert_reason(&realm.enter(0), RecExitReason::HostCall);
    let (_, data, _) = host.data_destroy(realm.rd, 0);
    assert_ne!(data, 0);
    let exit = realm.enter_with(0, |enter| enter.gicv3_lrs[0] = PENDING | 7);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!((exit.gicv3_lrs[0], exit.gicv3_vmcr), (PENDING | 7, 0x66));
    realm.may_be_unfinished();
}

#[test]
fn each_rec_has_its_own() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
    for rec in [0, 1] {
        realm.script(rec, move |cpu| async move {
            let own = 0x1000 + rec as u64;
            cpu.gic(|gic| (gic.vmcr, gic.ap1r[0], gic.ap0r[1]) = (own, own, own));
            cpu.irq().await;
            cpu.gic(|gic| assert_eq!((gic.vmcr, gic.ap1r[0], gic.ap0r[1]), (own, own, own)));
        });
    }
    for rec in [0, 1, 0, 1] {
        let exit = realm.enter(rec);
        assert_eq!(exit.gicv3_vmcr, 0x1000 + rec as u64);
    }
}
