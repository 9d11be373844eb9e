// SPDX-License-Identifier: BSD-3-Clause
//! Aborts of a Realm by the state of memory: which are exits, with which exit record, and which the
//! Realm takes itself (A4.3.4.2, A4.3.4.3, A5.2, A5.3.1).

use super::{set_vectors, share_with};
use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use rmm_core::fake::{
    Host, LINEAR_MAP, MIB, PAGE, RealmAccess, RealmCpu, Status, Taken, TestRealm, assert_reason,
    assert_record, entry_flags, esr,
};
use rmm_granule::fake::Pas;

const INJECT_SEA: RecEnterFlags = RecEnterFlags::INJECT_SEA;

/// The page behind that of [`RealmBuilder::with_page`](rmm_core::fake::RealmBuilder::with_page), in
/// the same RTT.
const NEXT: u64 = PAGE;

/// Asserts that the Realm took a Synchronous External Abort for an access to `ipa`, with these bits
/// of the ISS.
pub fn assert_sea(taken: Taken, class: u64, iss: u64, ipa: u64) {
    let esr = class | esr::SAME_EL | esr::IL | iss | esr::EA | esr::EXTERNAL;
    assert_eq!(taken.esr, esr, "{:#x}", taken.esr);
    assert_eq!(taken.far, LINEAR_MAP | ipa);
    assert_eq!((taken.vector, taken.spsr), (0x200, 0x3C5));
    assert_eq!(taken.pstate & 0x3FF, 0x3C5);
}

/// Asserts that the Realm takes external aborts for a load, a store and a fetch at `ipa`.
async fn assert_all_sea(cpu: &RealmCpu, ipa: u64) {
    let pc = || cpu.context(|context| context.pc);
    let (start, taken) = (pc(), cpu.read(ipa).await.expect_err("SEA"));
    assert_sea(taken, esr::DATA_ABORT, 0, ipa);
    assert_eq!(taken.elr, start);
    let taken = cpu.write(ipa, 1).await.expect_err("SEA");
    assert_sea(taken, esr::DATA_ABORT, esr::WNR, ipa);
    let taken = cpu.fetch(ipa).await.expect_err("SEA");
    assert_sea(taken, esr::INSTRUCTION_ABORT, 0, ipa);
    assert_eq!(taken.elr, LINEAR_MAP | ipa);
}

/// Enters REC 0; asserts that it exits due to an abort of this class with a translation fault of
/// this level at a Protected IPA.
fn assert_protected_exit(realm: &TestRealm<'_>, class: u64, level: i64, ipa: u64) {
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = class | esr::translation_fault(level);
        exit.hpfar = ipa >> 8;
    });
}

// Conformance: Exceptions and accesses that do not exit empty_data, empty_fetch
// Conformance: Bugs others fixed pc_after_injection, pstate_after_injection
#[test]
fn protected_empty_is_an_external_abort() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.data_unknown(NEXT);
    realm.activate();
    let last = realm.unprotected() - PAGE;
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        // UNASSIGNED at level 3, at level 0, ASSIGNED.
        for ipa in [0, last, NEXT] {
            assert_all_sea(&cpu, ipa).await;
        }
    });
    // The Host sees none of them.
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: REC exits non_emulatable_protected_ram
// Conformance: Exceptions and accesses that do not exit ram
#[test]
fn protected_unassigned_ram_exits() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    realm.ram(0, PAGE);
    realm.ram(4 * MIB, 6 * MIB);
    realm.activate();
    realm.script(0, |cpu| async move {
        cpu.mark(0);
        for ipa in [0x123 & !7, 4 * MIB + 0x5678] {
            cpu.write(ipa, 0x4242).await.expect("RAM");
            assert_eq!(cpu.read(ipa).await, Ok(0x4242));
            cpu.fetch(ipa).await.expect("RAM");
        }
    });
    assert_protected_exit(&realm, esr::DATA_ABORT, 3, 0);
    assert_protected_exit(&realm, esr::DATA_ABORT, 3, 0);
    realm.data_unknown(0);
    assert_protected_exit(&realm, esr::DATA_ABORT, 2, 4 * MIB + 0x5000);
    realm.data_unknown(4 * MIB + 0x5000);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: REC exits non_emulatable_protected_destroyed, instruction_abort
// Conformance: Bugs others fixed syndrome_masks
#[test]
fn protected_destroyed_exits() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    for page in [0, 1] {
        realm.data(page * PAGE, &[]);
        let (status, _, _) = host.data_destroy(realm.rd, page * PAGE);
        assert_eq!(status, Status::Success);
    }
    // ASSIGNED, DESTROYED.
    realm.data_unknown(PAGE);
    realm.tables(2 * MIB, 3);
    assert_eq!(host.rtt_destroy(realm.rd, 2 * MIB, 3).0, Status::Success);
    realm.activate();
    let addresses = [(0, 3), (PAGE, 3), (2 * MIB, 2)];
    for (ipa, level) in addresses {
        realm.script(0, move |cpu| async move {
            let _value = cpu.read(ipa).await;
        });
        assert_protected_exit(&realm, esr::DATA_ABORT, level, ipa);
        realm.script(0, move |cpu| async move {
            let _done = cpu.write(ipa, 7).await;
        });
        // The Host does not see WnR.
        assert_protected_exit(&realm, esr::DATA_ABORT, level, ipa);
        realm.script(0, move |cpu| async move {
            let _done = cpu.fetch(ipa).await;
        });
        assert_protected_exit(&realm, esr::INSTRUCTION_ABORT, level, ipa);
    }
    realm.allow_unfinished_scripts();
}

// Conformance: RMI_REC_ENTER inject_sea_ignored, rec_mmio
#[test]
fn protected_abort_cannot_be_emulated_or_injected() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    realm.ram(0, PAGE);
    realm.activate();
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        cpu.access(RealmAccess::load(0x88).bytes(2).signed().register(7))
            .await
            .expect("RAM");
    });
    assert_protected_exit(&realm, esr::DATA_ABORT, 3, 0);
    let (status, _) = realm.try_enter(0, entry_flags(RecEnterFlags::EMUL_MMIO));
    assert_eq!(status, Status::Rec);
    // inject_sea has no effect at a Protected IPA.
    let exit = realm.enter_with(0, entry_flags(INJECT_SEA));
    assert_record(&exit, RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::translation_fault(3);
    });
    realm.data_unknown(0);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: REC exits emulatable_read, emulatable_write
#[test]
fn unprotected_unassigned_is_emulatable() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected() + 0x3_4568;
    realm.script(0, move |cpu| async move {
        cpu.mark(0);
        let load = RealmAccess::load(ipa).bytes(2).signed().w().register(19);
        cpu.access(load).await.expect("emulated");
        assert_eq!(cpu.gprs()[19], 0xFFFF_8001);
        cpu.access(RealmAccess::store(ipa).bytes(4).register(20))
            .await
            .expect("emulated");
        let mut gprs = cpu.gprs();
        gprs[19] = 0x5EC_0013;
        for (n, gpr) in (0..).zip(gprs) {
            assert_eq!(gpr, 0x5EC_0000 | n, "X{n}");
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        // Neither SSE, SRT nor esr::IL.
        exit.esr = esr::DATA_ABORT | esr::ISV | esr::sas(2) | esr::translation_fault(0);
        exit.far = 0x568;
        exit.hpfar = ipa >> 12 << 4;
    });
    let exit = realm.enter_with(0, |enter| {
        enter.flags = RecEnterFlags::EMUL_MMIO.bits();
        enter.gprs[0] = 0xFFFF_FFFF_1234_8001;
    });
    assert_record(&exit, RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT
            | esr::ISV
            | esr::sas(4)
            | esr::SF
            | esr::WNR
            | esr::translation_fault(0);
        exit.far = 0x568;
        exit.hpfar = ipa >> 12 << 4;
        exit.gprs[0] = 0x5EC_0014;
    });
    let exit = realm.enter_with(0, entry_flags(RecEnterFlags::EMUL_MMIO));
    assert_record(&exit, RecExitReason::Irq, |_| ());
}

#[test]
fn unprotected_levels() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected();
    for level in 0..4 {
        realm.tables(ipa, level);
        realm.script(0, move |cpu| async move {
            let _value = cpu.read(ipa).await;
        });
        assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
            exit.esr =
                esr::DATA_ABORT | esr::ISV | esr::sas(8) | esr::SF | esr::translation_fault(level);
            exit.hpfar = ipa >> 8;
        });
    }
    realm.allow_unfinished_scripts();
}

// Conformance: REC exits non_emulatable_unprotected
// Conformance: RMI_REC_ENTER inject_sea
#[test]
fn unprotected_without_syndrome_is_not_emulatable() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected() + 0x5678;
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        let store = RealmAccess::store(ipa).without_syndrome();
        let taken = cpu
            .access(store)
            .await
            .expect_err("SEA injected by the Host");
        assert_sea(taken, esr::DATA_ABORT, esr::WNR, ipa);
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::translation_fault(0);
        exit.hpfar = ipa >> 12 << 4;
    });
    let exit = realm.enter_with(0, entry_flags(INJECT_SEA));
    assert_record(&exit, RecExitReason::Irq, |_| ());
}

// Conformance: REC exits emulatable_permission, non_emulatable_unprotected
// Conformance: Exceptions and accesses that do not exit unprotected
#[test]
fn unprotected_permission_faults() {
    for s2ap in 0..4 {
        let host = Host::new();
        let realm = host.realm().with_page(1);
        let ipa = share_with(&realm, s2ap);
        for write in [false, true] {
            for syndrome in [true, false] {
                let mut access = if write {
                    RealmAccess::store(ipa + 8)
                } else {
                    RealmAccess::load(ipa + 8)
                };
                if !syndrome {
                    access = access.without_syndrome();
                }
                realm.script(0, move |cpu| async move {
                    cpu.set(3, 0x77);
                    let _done = cpu.access(access).await;
                    cpu.irq().await;
                });
                let exit = realm.enter(0);
                if s2ap >> u64::from(write) & 1 == 1 {
                    assert_record(&exit, RecExitReason::Irq, |_| ());
                    continue;
                }
                assert_record(&exit, RecExitReason::Sync, |exit| {
                    exit.esr = esr::DATA_ABORT | esr::permission_fault(3);
                    exit.hpfar = ipa >> 8;
                    if syndrome {
                        exit.esr |= esr::ISV | esr::sas(8) | esr::SF;
                        exit.far = 8;
                    }
                    if syndrome && write {
                        exit.esr |= esr::WNR;
                        exit.gprs[0] = 0x77;
                    }
                });
            }
        }
        realm.allow_unfinished_scripts();
    }
}

// Conformance: Exceptions and accesses that do not exit unprotected
#[test]
fn unprotected_memory_is_shared() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let (ipa, page) = (realm.unprotected(), host.page_with(b"to Realm"));
    realm.share(ipa, page);
    realm.script(0, move |cpu| async move {
        let value = cpu.read(ipa).await.expect("shared");
        assert_eq!(value.to_le_bytes(), *b"to Realm");
        let reply = u64::from_le_bytes(*b"to Host.");
        cpu.write(ipa + 8, reply).await.expect("shared");
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    assert_eq!(host.read(page + 8, 8), b"to Host.");
}

// Conformance: Exceptions and accesses that do not exit unprotected_fetch
#[test]
fn unprotected_memory_is_never_executed() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let (mapped, unmapped) = (realm.unprotected(), realm.end() - PAGE);
    realm.share(mapped, host.page());
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        for ipa in [mapped, mapped + PAGE, unmapped] {
            let taken = cpu.fetch(ipa).await.expect_err("SEA");
            assert_sea(taken, esr::INSTRUCTION_ABORT, 0, ipa);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: Exceptions and accesses that do not exit granule_protection
#[test]
fn granule_protection_fault() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let (ipa, page) = (realm.unprotected(), host.page());
    realm.share(ipa, page);
    // The RD of the Realm, a device.
    realm.share(ipa + PAGE, realm.rd);
    realm.share(ipa + 2 * PAGE, 0x0900_0000);
    host.move_to(page, Pas::Secure);
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        for n in 0..3 {
            let taken = cpu.read(ipa + n * PAGE).await.expect_err("GPF");
            assert_eq!(taken.esr & 0x3F, esr::GRANULE_PROTECTION);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: RMI_REC_ENTER inject_sea, inject_sea_first
// Conformance: Bugs others fixed emul_and_sea, pc_after_injection
#[test]
fn inject_sea_after_each_unprotected_abort() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected() + 0x18;
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        let load = RealmAccess::load(ipa).bytes(1).signed().register(9);
        for (access, iss) in [
            (load, 0),
            (RealmAccess::store(ipa).register(31), esr::WNR),
            (load.without_syndrome(), 0),
        ] {
            cpu.mark(0);
            let pc = cpu.context(|context| context.pc);
            let taken = cpu.access(access).await.expect_err("SEA");
            // No syndrome at EL1: esr::ISV, SAS, SSE, SRT, esr::SF are zero.
            assert_sea(taken, esr::DATA_ABORT, iss, ipa);
            assert_eq!(taken.elr, pc, "the same instruction");
            for (n, gpr) in (0..).zip(cpu.gprs()) {
                assert_eq!(gpr, 0x5EC_0000 | n, "X{n}");
            }
        }
    });
    assert_reason(&realm.enter(0), RecExitReason::Sync);
    // inject_sea takes priority over emul_mmio.
    for (flag, next) in [
        (INJECT_SEA, RecExitReason::Sync),
        (INJECT_SEA | RecEnterFlags::EMUL_MMIO, RecExitReason::Sync),
        (INJECT_SEA, RecExitReason::Irq),
    ] {
        assert_reason(&realm.enter_with(0, entry_flags(flag)), next);
    }
}

// Conformance: RMI_REC_ENTER inject_sea_ignored
#[test]
fn inject_sea_at_the_second_entry() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected();
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        cpu.read(ipa).await.expect_err("SEA");
        cpu.irq().await;
        cpu.irq().await;
    });
    assert_reason(&realm.enter(0), RecExitReason::Sync);
    for _ in 0..3 {
        let exit = realm.enter_with(0, entry_flags(INJECT_SEA));
        assert_record(&exit, RecExitReason::Irq, |_| ());
    }
}

// Conformance: RMI_REC_ENTER neither_flag
#[test]
fn neither_flag() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected();
    realm.script(0, move |cpu| async move {
        assert_eq!(cpu.read(ipa).await, Ok(0x1111_1111_1111_1111));
    });
    let first = realm.enter(0);
    assert_eq!(realm.enter(0), first);
    realm.share(ipa, host.page_with(&[0x11; 8]));
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn aarch32_at_el0_is_not_emulated() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected();
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        cpu.context(|context| context.pstate = 0x10);
        let taken = cpu.read(ipa).await.expect_err("SEA injected by the Host");
        assert_eq!((taken.vector, taken.spsr), (0x600, 0x10));
        assert_eq!(taken.esr >> 26, 0x24, "from a lower level");
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::translation_fault(0);
        exit.hpfar = ipa >> 8;
    });
    let (status, _) = realm.try_enter(0, entry_flags(RecEnterFlags::EMUL_MMIO));
    assert_eq!(status, Status::Rec);
    assert_reason(
        &realm.enter_with(0, entry_flags(INJECT_SEA)),
        RecExitReason::Irq,
    );
}

#[test]
fn boundary_between_protected_and_unprotected() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    let boundary = realm.unprotected();
    realm.data(boundary - PAGE, &[]);
    realm.activate();
    realm.script(0, move |cpu| async move {
        cpu.write(boundary - 8, 5).await.expect("RAM");
        cpu.write(boundary, 6).await.expect("emulated");
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT
            | esr::ISV
            | esr::sas(8)
            | esr::SF
            | esr::WNR
            | esr::translation_fault(0);
        exit.hpfar = boundary >> 8;
        exit.gprs[0] = 6;
    });
    let exit = realm.enter_with(0, entry_flags(RecEnterFlags::EMUL_MMIO));
    assert_reason(&exit, RecExitReason::Irq);
}
