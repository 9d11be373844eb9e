// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_ENTER: failure conditions, their order, and the first entry.

use super::{assert_reason, assert_record, flags, with_page, with_recs};
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::psci;
use rmm_abi::rmi::{RecEnter, RecEnterFlags, RecExitReason};
use rmm_core::fake::{Access, Host, Status, Zoo};
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;

const EMUL_MMIO: RecEnterFlags = RecEnterFlags::EMUL_MMIO;
const INJECT_SEA: RecEnterFlags = RecEnterFlags::INJECT_SEA;

// Conformance: RMI_REC_ENTER run_align, run_bound, run_pas
#[test]
fn run_align_bound_pas() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    zoo.realm.activate();
    let rec = zoo.realm.rec_pa(0);
    for bad in zoo.bad_ns(&[]) {
        assert_eq!(host.rec_enter(rec, bad.pa), Status::Input, "{bad:x?}");
    }
    assert_eq!(host.rec_enter(rec, zoo.undelegated), Status::Success);
}

// Conformance: RMI_REC_ENTER rec_align, rec_bound, rec_gran_state, rec<others
#[test]
fn rec_align_bound_gran_state() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    zoo.realm.activate();
    let run = host.page();
    for bad in zoo.bad(GranuleState::Rec) {
        assert_eq!(host.rec_enter(bad.pa, run), Status::Input, "{bad:x?}");
    }
    let rec = zoo.good(GranuleState::Rec);
    assert_eq!(host.rec_enter(rec, run), Status::Success);
}

// Conformance: RMI_REC_ENTER realm_new
#[test]
fn realm_new() {
    let host = Host::new();
    let realm = host.realm().create();
    let (_first, _second) = (realm.rec(true), realm.rec(false));
    for rec in [0, 1] {
        let (status, _) = realm.try_enter(rec, |_| ());
        // rec_runnable has no order against it; the answer is always the same.
        assert_eq!(status, Status::Realm(0));
    }
}

// Conformance: RMI_REC_ENTER system_off
#[test]
fn system_off() {
    let host = Host::new();
    let realm = with_recs(&host, 2);
    realm.turn_off();
    for rec in [0, 1] {
        let (status, _) = realm.try_enter(rec, |_| ());
        assert_eq!(status, Status::Realm(1));
    }
}

// Conformance: RMI_REC_ENTER rec_state
#[test]
fn rec_state() {
    let host = Host::new();
    let realm = with_page(&host);
    let (rec, run) = (realm.rec_pa(0), host.page());
    realm.script(0, move |cpu| async move {
        let status = cpu.meanwhile(|host| host.rec_enter(rec, run));
        assert_eq!(status, Status::Rec);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REC_ENTER rec_runnable
#[test]
fn rec_runnable() {
    let host = Host::new();
    let realm = host.realm().active(2);
    assert_eq!(realm.try_enter(1, |_| ()).0, Status::Rec);
    realm.script(0, |cpu| async move {
        let _never = cpu.smc(&[psci::fid::PSCI_CPU_OFF]).await;
    });
    realm.may_be_unfinished();
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Rec);
}

// Conformance: RMI_REC_ENTER rec_psci
#[test]
fn rec_psci() {
    let host = Host::new();
    let realm = host.realm().active(2);
    realm.script(0, |cpu| async move {
        let gprs = cpu.smc(&[psci::fid::PSCI_AFFINITY_INFO, 1, 0]).await;
        assert_eq!(gprs[0], psci::AFFINITY_OFF);
    });
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Rec);
    let status = host.psci_complete(realm.rec_pa(0), realm.rec_pa(1), 0);
    assert_eq!(status, Status::Success);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// Asserts that entry fails for these values of the GIC, and leaves no trace.
fn refuses_gic(what: &str, fields: impl FnOnce(&mut RecEnter)) {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        let lrs = cpu.gic(|gic| gic.lrs);
        assert_eq!(lrs, [0; 16], "of a failed entry");
    });
    assert_eq!(realm.try_enter(0, fields).0, Status::Rec, "{what}");
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REC_ENTER rec_gicv3
// Conformance: Bugs others fixed ich_hcr_mbz
#[test]
fn rec_gicv3() {
    for bit in [0, 8, 9, 10, 11, 12, 13, 15, 16, 26, 27, 31, 32, 63] {
        refuses_gic("hcr", |enter| enter.gicv3_hcr = 1 << bit);
    }
    let pending = 1 << 62;
    for (what, lr) in [
        ("HW", pending | 1 << 61 | 27),
        ("HW, active", 2 << 62 | 1 << 61 | 27),
        ("HW, pending and active", 3 << 62 | 1 << 61 | 27),
        ("HW, invalid", 1 << 61),
        ("pINTID", pending | 1 << 32 | 27),
        ("priority", pending | 1 << 48 | 27),
        ("vINTID", pending | 1020),
        ("RES0", pending | 1 << 45 | 27),
    ] {
        for n in [0, 3] {
            refuses_gic(what, |enter| {
                enter.gicv3_lrs[0] = pending | 1 << 60 | 30;
                enter.gicv3_lrs[n] = lr;
            });
        }
    }
    refuses_gic("twice", |enter| {
        (enter.gicv3_lrs[1], enter.gicv3_lrs[2]) = (pending | 27, pending | 27);
    });
}

// Conformance: Virtual GIC and timers spare_list_registers
#[test]
fn rec_gicv3_accepts() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        cpu.gic(|gic| assert_eq!(gic.lrs[4..], [0; 12]));
    });
    let beyond = realm.enter_with(0, |enter| {
        enter.gicv3_hcr = 0x40FE;
        enter.gicv3_lrs[0] = 1 << 62 | 1 << 60 | 0xA0 << 48 | 27;
        enter.gicv3_lrs[1] = 3 << 62 | 1 << 41 | 8192;
        // There are four list registers.
        enter.gicv3_lrs[4..].fill(u64::MAX);
    });
    assert_eq!(beyond.gicv3_lrs[4..], [0; 12]);
}

// Conformance: RMI_REC_ENTER rec_mmio, rec_mmio_both
// Conformance: Bugs others fixed emul_and_sea, stale_isv
#[test]
fn rec_mmio() {
    let host = Host::new();
    let realm = with_page(&host);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        cpu.irq().await;
        let exclusive = Access::load(device).without_syndrome();
        cpu.access(exclusive).await.expect("mapped in the end");
    });
    let refused = |what: &str| {
        for also in [EMUL_MMIO, EMUL_MMIO | INJECT_SEA] {
            let (status, _) = realm.try_enter(0, flags(also));
            assert_eq!(status, Status::Rec, "{what}");
        }
    };
    refused("never entered");
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    refused("IRQ");
    assert_reason(&realm.enter(0), RecExitReason::Sync);
    refused("not emulatable");
    realm.share(device, host.page());
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: Bugs others fixed stale_isv
#[test]
fn emul_mmio_is_good_for_one_entry() {
    let host = Host::new();
    let realm = with_page(&host);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        assert_eq!(cpu.read(device).await, Ok(7));
        cpu.irq().await;
    });
    assert_reason(&realm.enter(0), RecExitReason::Sync);
    let exit = realm.enter_with(0, |enter| {
        enter.flags = EMUL_MMIO.bits();
        enter.gprs[0] = 7;
    });
    assert_reason(&exit, RecExitReason::Irq);
    assert_eq!(realm.try_enter(0, flags(EMUL_MMIO)).0, Status::Rec);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn a_failed_entry_keeps_what_is_pending() {
    let host = Host::new();
    let realm = with_page(&host);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        assert_eq!(cpu.read(device).await, Ok(9));
    });
    assert_reason(&realm.enter(0), RecExitReason::Sync);
    // Both flags are right, the GIC is not.
    let (status, _) = realm.try_enter(0, |enter| {
        enter.flags = EMUL_MMIO.bits();
        enter.gicv3_hcr = 1;
    });
    assert_eq!(status, Status::Rec);
    let exit = realm.enter_with(0, |enter| {
        enter.flags = EMUL_MMIO.bits();
        enter.gprs[0] = 9;
    });
    assert_reason(&exit, RecExitReason::Irq);
}

#[test]
fn alias() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let rec = realm.rec_pa(0);
    assert_eq!(host.rec_enter(rec, rec), Status::Input);
    assert_eq!(host.rec_enter(rec, realm.rd), Status::Input);
}

// Conformance: RMI_REC_ENTER run_late
#[test]
fn the_record_moved_away_while_the_realm_runs() {
    let host = Host::new();
    let realm = with_page(&host);
    let run = realm.rec_of(0).run;
    realm.script(0, move |cpu| async move {
        cpu.write(0, 1).await.expect("RAM");
        cpu.meanwhile(|host| host.move_to(run, Pas::Secure));
        cpu.irq().await;
        assert_eq!(cpu.read(0).await, Ok(1), "it has run");
    });
    host.leniently(|| {
        realm.prepare(run, |_| ());
        assert_eq!(host.rec_enter(realm.rec_pa(0), run), Status::Input);
    });
    host.move_to(run, Pas::NonSecure);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REC_CREATE registers, runnable, mpidr, nothing_pending
#[test]
fn the_first_entry() {
    let host = Host::new();
    let realm = host.realm().create();
    let mut params = realm.rec_params(0, true);
    params.pc = 0x1234_5678_9ABC;
    for (n, gpr) in (0..).zip(&mut params.gprs) {
        *gpr = 0x100 + n;
    }
    let _rec = realm.rec_with(&params);
    for index in 1..18 {
        let _rec = realm.rec(index == 17);
    }
    realm.activate();
    realm.script(0, |cpu| async move {
        let gprs = cpu.gprs();
        for (n, gpr) in (0..).zip(gprs) {
            assert_eq!(gpr, if n < 8 { 0x100 + n } else { 0 }, "X{n}");
        }
        cpu.context(|context| {
            assert_eq!(context.pc, 0x1234_5678_9ABC);
            assert_eq!(context.pstate, 0x3C5, "EL1h, DAIF masked");
            assert_eq!(context.vmpidr, index_to_mpidr_el1(0));
        });
        cpu.el1(|el1| {
            assert_eq!(el1.sctlr & 1, 0, "stage 1 off");
            assert_eq!(el1.sctlr >> 25 & 1, 0, "little-endian");
            assert_eq!((el1.vbar, el1.ttbr0, el1.tcr, el1.sp_el1), (0, 0, 0, 0));
        });
        cpu.own(|sp_el0, keys| assert_eq!((*sp_el0, *keys), (0, [0; 10])));
        let simd = cpu.simd(|simd| simd.q).await.expect("FP/SIMD");
        assert_eq!(simd, [[0; 2]; 32]);
    });
    realm.script(17, |cpu| async move {
        // Aff1 1, Aff0 1.
        assert_eq!(cpu.context(|context| context.vmpidr), 1 << 31 | 0x101);
    });
    for rec in [0, 17] {
        let exit = realm.enter(rec);
        assert_record(&exit, RecExitReason::Irq, |_| ());
    }
}

// Conformance: RMI_REC_ENTER other_fields, inject_sea_ignored
#[test]
fn entry_fields_without_a_rule_are_ignored() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        cpu.mark(0);
        let gprs = cpu.gprs();
        cpu.irq().await;
        assert_eq!(cpu.gprs(), gprs);
    });
    for _ in 0..2 {
        let exit = realm.enter_with(0, |enter| {
            enter.gprs = [0x666; 31];
            enter.flags = !0x1F | RecEnterFlags::RIPAS_RESPONSE.bits() | INJECT_SEA.bits();
            enter._reserved0 = [0xFF; 0x1F8];
            enter._reserved2 = [0xFF; 0x478];
        });
        assert_record(&exit, RecExitReason::Irq, |_| ());
    }
}

// Conformance: REC exits irq_pending
#[test]
fn an_interrupt_that_is_pending_leaves_at_once() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        assert!(cpu.context(|context| context.pc) != 0);
    });
    host.set_irq(true);
    for _ in 0..2 {
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    }
    host.set_irq(false);
    host.set_fiq(true);
    assert_record(&realm.enter(0), RecExitReason::Fiq, |_| ());
    host.set_fiq(false);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}
