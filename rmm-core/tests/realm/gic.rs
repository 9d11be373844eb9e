// SPDX-License-Identifier: BSD-3-Clause
//! The virtual GIC interface at entry and exit (A6.1).

use super::{
    assert_reason, assert_record, for_each_exit, leave_for_each_reason, with_page, with_recs,
};
use rmm_abi::rmi::{RecEnter, RecExitReason};
use rmm_core::fake::Host;

const PENDING: u64 = 1 << 62;
const GROUP_1: u64 = 1 << 60;

// Conformance: RMI_REC_ENTER gic_entry
// Conformance: Virtual GIC and timers eoi_count
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
    let realm = with_page(&host);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        cpu.gic(|gic| gic.vmcr = 0x55);
        leave_for_each_reason(&cpu, device).await;
    });
    let fill = |enter: &mut RecEnter| enter.gicv3_lrs[1] = PENDING | 99;
    for_each_exit(&realm, fill, |exit, reason| {
        assert_eq!(exit.gicv3_lrs[1], PENDING | 99, "{reason:?}");
        assert_eq!(exit.gicv3_vmcr, 0x55, "{reason:?}");
    });
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
