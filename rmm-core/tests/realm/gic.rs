// SPDX-License-Identifier: BSD-3-Clause
//! The virtual GIC interface at entry and exit (A6.1).

use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{Host, assert_reason, assert_record};

const PENDING: u64 = 1 << 62;
const GROUP_1: u64 = 1 << 60;

// Conformance: RMI_REC_ENTER gic_entry
// Conformance: Virtual GIC and timers eoi_count
#[test]
fn list_registers_from_entry_to_exit() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        cpu.gic(|gic| {
            let mut expected = [0; 16];
            expected[0] = PENDING | GROUP_1 | 0xA0 << 48 | 27;
            expected[3] = PENDING | 42;
            assert_eq!(gic.lrs, expected);
            // En, vSGIEOICount, DVIM, and the bits of the entry record.
            assert_eq!(gic.hcr, 0x8101 | 0x4002);
            // The first interrupt becomes active, the other inactive.
            gic.lrs[0] ^= 3 << 62;
            gic.lrs[3] = 0;
            gic.hcr |= 5 << 27;
            gic.vmcr = 0x7_0000_0000;
        });
        cpu.irq().await;
        cpu.gic(|gic| {
            assert_eq!(gic.lrs, [0; 16], "those of the entry record");
            assert_eq!(gic.hcr, 0x8101 | 5 << 27, "EOIcount of the Realm");
            assert_eq!(gic.vmcr, 0x7_0000_0000, "unchanged");
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
        // Underflow: fewer than two list registers are valid.
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
fn each_bit_of_hcr_that_the_host_controls() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    for bit in [1, 2, 3, 4, 5, 6, 7, 14] {
        realm.script(0, move |cpu| async move {
            assert_eq!(cpu.gic(|gic| gic.hcr), 0x8101 | 1 << bit);
        });
        let exit = realm.enter_with(0, |enter| enter.gicv3_hcr = 1 << bit);
        assert_reason(&exit, RecExitReason::Irq);
        assert_eq!(exit.gicv3_hcr, 1 << bit);
    }
}

#[test]
fn each_rec_has_its_own_registers() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
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
