// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_ENTER: failure conditions, their order, and fields of the entry record without a rule.
//!
//! The effects of an entry on the Realm are tests of `rmm-core/tests/realm`.

use rmm_abi::psci::AFFINITY_OFF;
use rmm_abi::psci::fid::{PSCI_AFFINITY_INFO, PSCI_CPU_OFF};
use rmm_abi::rmi::{RecEnter, RecEnterFlags, RecExitReason, RecRun};
use rmm_core::fake::{
    BadAddress, Host, RealmAccess, Samples, Status, assert_reason, assert_record, entry_flags,
};
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;
use zerocopy::{FromZeros, IntoBytes};

const EMUL_MMIO: RecEnterFlags = RecEnterFlags::EMUL_MMIO;
const INJECT_SEA: RecEnterFlags = RecEnterFlags::INJECT_SEA;

// Conformance: RMI_REC_ENTER run_align, run_bound, run_pas
#[test]
fn run_align_bound_pas() {
    let host = Host::new();
    let samples = Samples::new(&host);
    samples.realm.activate();
    let rec = samples.realm.rec_pa(0);
    for bad in samples.bad_ns(&[]) {
        assert_eq!(host.rec_enter(rec, bad.pa), Status::Input, "{bad:x?}");
    }
    assert_eq!(host.rec_enter(rec, samples.undelegated), Status::Success);
}

// Conformance: RMI_REC_ENTER rec_align, rec_bound, rec_gran_state, rec<others
#[test]
fn rec_align_bound_gran_state() {
    let host = Host::new();
    let samples = Samples::new(&host);
    samples.realm.activate();
    let run = host.page();
    for bad in samples.bad(GranuleState::Rec) {
        assert_eq!(host.rec_enter(bad.pa, run), Status::Input, "{bad:x?}");
    }
    let rec = samples.good(GranuleState::Rec);
    assert_eq!(host.rec_enter(rec, run), Status::Success);
}

/// EL3 lets the Host use streaming mode and the monitor not: no Realm runs in the Host's mode.
#[test]
fn streaming_mode_that_el3_hides() {
    let host = Host::new();
    let samples = Samples::new(&host);
    samples.realm.activate();
    let (rec, run) = (samples.realm.rec_pa(0), host.page());
    host.board().close_sme();
    assert_eq!(host.rec_enter(rec, run), Status::Success);
    host.board().set_streaming(true);
    for _ in 0..2 {
        assert_eq!(host.rec_enter(rec, run), Status::Input);
    }
    host.board().set_streaming(false);
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
        // The specification has no order between this and rec_runnable; the answer is the same
        // each time.
        assert_eq!(status, Status::Realm(0));
    }
}

// Conformance: RMI_REC_ENTER system_off
#[test]
fn system_off() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
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
    let realm = host.realm().with_page(1);
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
        let _never = cpu.smc(&[PSCI_CPU_OFF]).await;
    });
    realm.allow_unfinished_scripts();
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Rec);
}

// Conformance: RMI_REC_ENTER rec_psci
#[test]
fn rec_psci() {
    let host = Host::new();
    let realm = host.realm().active(2);
    realm.script(0, |cpu| async move {
        let gprs = cpu.smc(&[PSCI_AFFINITY_INFO, 1, 0]).await;
        assert_eq!(gprs[0], AFFINITY_OFF);
    });
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Rec);
    let status = host.psci_complete(realm.rec_pa(0), realm.rec_pa(1), 0);
    assert_eq!(status, Status::Success);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// Asserts that an entry with these GIC fields fails and changes no list register of the REC.
fn refuses_gic(what: &str, fields: impl FnOnce(&mut RecEnter)) {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        let lrs = cpu.gic(|gic| gic.lrs);
        assert_eq!(lrs, [0; 16], "loaded by a failed entry");
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
    refuses_gic("the same vINTID twice", |enter| {
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
    let exit = realm.enter_with(0, |enter| {
        enter.gicv3_hcr = 0x40FE;
        enter.gicv3_lrs[0] = 1 << 62 | 1 << 60 | 0xA0 << 48 | 27;
        enter.gicv3_lrs[1] = 3 << 62 | 1 << 41 | 8192;
        // The CPU has four list registers.
        enter.gicv3_lrs[4..].fill(u64::MAX);
    });
    assert_eq!(exit.gicv3_lrs[4..], [0; 12]);
}

// Conformance: RMI_REC_ENTER rec_mmio, rec_mmio_both
// Conformance: Bugs others fixed emul_and_sea, stale_isv
#[test]
fn rec_mmio() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        cpu.irq().await;
        let exclusive = RealmAccess::load(device).without_syndrome();
        cpu.access(exclusive).await.expect("shared memory");
    });
    let refused = |what: &str| {
        for also in [EMUL_MMIO, EMUL_MMIO | INJECT_SEA] {
            let (status, _) = realm.try_enter(0, entry_flags(also));
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
fn rec_mmio_at_the_second_entry() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
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
    assert_eq!(realm.try_enter(0, entry_flags(EMUL_MMIO)).0, Status::Rec);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn a_failed_entry_keeps_the_pending_access() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let device = realm.unprotected();
    realm.script(0, move |cpu| async move {
        assert_eq!(cpu.read(device).await, Ok(9));
    });
    assert_reason(&realm.enter(0), RecExitReason::Sync);
    // rec_gicv3, while the flag is right.
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
fn run_moves_to_another_pas_while_the_realm_runs() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let run = realm.rec_of(0).run;
    realm.script(0, move |cpu| async move {
        cpu.write(0, 1).await.expect("RAM");
        cpu.meanwhile(|host| host.move_to(run, Pas::Secure));
        cpu.irq().await;
        assert_eq!(cpu.read(0).await, Ok(1), "the Realm has run");
    });
    host.leniently(|| {
        realm.prepare(run, |_| ());
        assert_eq!(host.rec_enter(realm.rec_pa(0), run), Status::Input);
    });
    host.move_to(run, Pas::NonSecure);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
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

/// Asserts that an entry of `rec` with `record` fails with `status`, but with INPUT while one of
/// the addresses is bad. The memory at a bad address has the same content, if it is Host memory.
fn assert_addresses_first(host: &Host, record: &RecRun, rec: u64, status: Status) {
    let samples = Samples::new(host);
    let run = host.page_with(record.as_bytes());
    let bad = samples.bad_ns(record.as_bytes());
    assert_bad_addresses(host, &bad, rec, run);
    assert_eq!(host.rec_enter(rec, run), status, "the right addresses");
}

fn assert_bad_addresses(host: &Host, records: &[BadAddress], rec: u64, run: u64) {
    for bad in records.iter().chain(&Samples::unaligned(run)) {
        assert_eq!(host.rec_enter(rec, bad.pa), Status::Input, "run {bad:x?}");
    }
    for bad in Samples::unaligned(rec) {
        assert_eq!(host.rec_enter(bad.pa, run), Status::Input, "rec {bad:x?}");
    }
}

// Conformance: RMI_REC_ENTER run<realm_new, rec_align<realm_new
#[test]
fn addresses_before_realm_new() {
    let host = Host::new();
    let realm = host.realm().create();
    let rec = realm.rec_pa(realm.rec(true));
    assert_addresses_first(&host, &RecRun::new_zeroed(), rec, Status::Realm(0));
}

// Conformance: RMI_REC_ENTER run<system_off, rec_align<system_off
#[test]
fn addresses_before_system_off() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.turn_off();
    assert_addresses_first(
        &host,
        &RecRun::new_zeroed(),
        realm.rec_pa(0),
        Status::Realm(1),
    );
}

// Conformance: RMI_REC_ENTER run<rec_state, rec_align<rec_state
#[test]
fn addresses_before_rec_state() {
    let host = Host::new();
    let samples = Samples::new(&host);
    let (bad, run) = (samples.bad_ns(&[]), host.page());
    let realm = host.realm().active(1);
    let rec = realm.rec_pa(0);
    realm.script(0, move |cpu| async move {
        cpu.meanwhile(|host| {
            assert_bad_addresses(host, &bad, rec, run);
            assert_eq!(host.rec_enter(rec, run), Status::Rec, "RUNNING");
        });
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REC_ENTER run<rec_runnable, rec_align<rec_runnable
#[test]
fn addresses_before_rec_runnable() {
    let host = Host::new();
    let realm = host.realm().active(2);
    assert_addresses_first(&host, &RecRun::new_zeroed(), realm.rec_pa(1), Status::Rec);
    realm.script(0, |cpu| async move {
        let _never = cpu.smc(&[PSCI_CPU_OFF]).await;
    });
    realm.allow_unfinished_scripts();
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    assert_addresses_first(&host, &RecRun::new_zeroed(), realm.rec_pa(0), Status::Rec);
}

// Conformance: RMI_REC_ENTER run<rec_psci, rec_align<rec_psci
#[test]
fn addresses_before_rec_psci() {
    let host = Host::new();
    let realm = host.realm().active(2);
    realm.script(0, |cpu| async move {
        let _gprs = cpu.smc(&[PSCI_AFFINITY_INFO, 1, 0]).await;
    });
    realm.allow_unfinished_scripts();
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    assert_addresses_first(&host, &RecRun::new_zeroed(), realm.rec_pa(0), Status::Rec);
}

// Conformance: RMI_REC_ENTER run<rec_gicv3, rec_align<rec_gicv3
#[test]
fn addresses_before_rec_gicv3() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let mut record = RecRun::new_zeroed();
    record.enter.gicv3_hcr = 1;
    assert_addresses_first(&host, &record, realm.rec_pa(0), Status::Rec);
}

// Conformance: RMI_REC_ENTER run<rec_mmio, rec_align<rec_mmio
#[test]
fn addresses_before_rec_mmio() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let mut record = RecRun::new_zeroed();
    record.enter.flags = RecEnterFlags::EMUL_MMIO.bits();
    assert_addresses_first(&host, &record, realm.rec_pa(0), Status::Rec);
}
