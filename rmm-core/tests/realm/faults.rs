// SPDX-License-Identifier: BSD-3-Clause
//! Aborts of a Realm by their syndrome: fault statuses, external aborts, accesses beyond the IPA
//! space, and faults whose cause has gone.

use super::aborts::assert_sea;
use super::{set_vectors, share_with};
use rmm_abi::rmi::{RecEnterFlags, RecExit, RecExitReason};
use rmm_core::fake::{
    After, Host, LINEAR_MAP, MIB, PAGE, RealmAccess, Status, Taken, assert_reason, assert_record,
    entry_flags, esr, lpa2_features,
};
use rmm_granule::Ipa;
use rmm_granule::fake::Invalidation;

#[test]
fn permission_fault_at_a_va_that_does_not_translate_now() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = share_with(&realm, 1);
    realm.script(0, move |cpu| async move {
        let store = RealmAccess::store(ipa).unresolved_at_first();
        cpu.access(store).await.expect("emulated");
    });
    // The access is tried again; only then does the monitor know the IPA.
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!(exit.hpfar, ipa >> 8);
    let exit = realm.enter_with(0, entry_flags(RecEnterFlags::EMUL_MMIO));
    assert_reason(&exit, RecExitReason::Irq);
}

#[test]
fn faults_at_an_ipa_that_is_mapped_now() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected();
    realm.share(ipa, host.page());
    realm.script(0, move |cpu| async move {
        cpu.mark(0);
        let load = RealmAccess::load(0).iss();
        for (class, iss, ipa) in [
            (esr::DATA_ABORT, load, 0),
            (esr::INSTRUCTION_ABORT, 0, 0),
            (esr::DATA_ABORT, load, ipa),
        ] {
            let esr = class | esr::IL | iss | esr::translation_fault(3);
            let after = cpu.sync(esr, LINEAR_MAP | ipa, ipa >> 8).await;
            assert_eq!(after, After::Again);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn unprotected_ipa_mapped_beyond_the_physical_address_space() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected();
    realm.share(ipa, host.page());
    realm.script(0, move |cpu| async move {
        // An Address Size fault of stage 2, level 3.
        let esr = esr::DATA_ABORT | esr::IL | RealmAccess::store(ipa).iss() | 0x03;
        let after = cpu.sync(esr, LINEAR_MAP | ipa, ipa >> 8).await;
        assert_eq!(after, After::Again);
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | 0x03;
        exit.hpfar = ipa >> 8;
    });
    let (status, _) = realm.try_enter(0, entry_flags(RecEnterFlags::EMUL_MMIO));
    assert_eq!(status, Status::Rec);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn faults_of_alignment_and_of_atomics() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = realm.unprotected();
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        for status in [0x21, 0x35] {
            let esr = esr::DATA_ABORT | esr::IL | RealmAccess::store(ipa).iss() | status;
            let After::Taken(taken) = cpu.sync(esr, LINEAR_MAP | ipa, 0).await else {
                panic!("not taken by the Realm");
            };
            assert_eq!(taken.esr & 0x3F, status);
            assert_eq!(taken.esr >> 26, 0x25);
            assert_eq!((taken.far, taken.vector), (LINEAR_MAP | ipa, 0x200));
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// Asserts that the Realm took a stage 1 Address Size Fault, with these bits of the ISS.
fn assert_size_fault(taken: Taken, class: u64, iss: u64, level: u64, far: u64) {
    let esr = class | esr::SAME_EL | esr::IL | iss | level;
    assert_eq!((taken.esr, taken.far), (esr, far), "{:#x}", taken.esr);
}

// Conformance: Exceptions and accesses that do not exit beyond_stage_1_off
#[test]
fn beyond_the_ipa_space_with_stage_1_off() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let end = realm.end();
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        for ipa in [end, end + 0x1238, 1 << 47] {
            let load = RealmAccess::load(ipa).at(ipa);
            let taken = cpu.access(load).await.expect_err("size fault");
            assert_size_fault(taken, esr::DATA_ABORT, 0, 0, ipa);
            let store = RealmAccess::store(ipa).at(ipa).without_syndrome();
            let taken = cpu.access(store).await.expect_err("size fault");
            assert_size_fault(taken, esr::DATA_ABORT, esr::WNR, 0, ipa);
            let taken = cpu.fetch(ipa).await.expect_err("size fault");
            assert_size_fault(taken, esr::INSTRUCTION_ABORT, 0, 0, LINEAR_MAP | ipa);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: Exceptions and accesses that do not exit beyond_stage_1_on
#[test]
fn beyond_the_ipa_space_by_a_stage_1_table() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    for page in 0..4 {
        realm.data(page * PAGE, &[]);
    }
    realm.activate();
    let end = realm.end();
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        // 39-bit VAs: table of level 1 in page 1, of level 2 in page 2, of level 3 in page 3.
        let entry = |page: u64, value: u64| (page * PAGE, value);
        for (at, value) in [
            entry(1, (2 * PAGE) | 3),
            entry(2, (3 * PAGE) | 3),
            entry(3, end | 3),
            // A block at level 2, and at level 1.
            (2 * PAGE + 8, end | 1),
            (PAGE + 8, 1 << 41 | 1),
        ] {
            cpu.write(at, value).await.expect("RAM");
        }
        cpu.el1(|el1| {
            el1.tcr = 25;
            el1.ttbr0 = PAGE;
            el1.sctlr |= 1;
        });
        for (va, level) in [(0x18, 3), (2 * MIB, 2), (1 << 30, 1)] {
            let load = RealmAccess::load(end | va).at(va);
            let taken = cpu.access(load).await.expect_err("size fault");
            assert_size_fault(taken, esr::DATA_ABORT, 0, level, va);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn beyond_the_ipa_space_but_stage_1_has_changed() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    for page in 0..4 {
        realm.data(page * PAGE, &[]);
    }
    realm.activate();
    let (end, shared) = (realm.end(), realm.unprotected());
    realm.share(shared, host.page());
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        cpu.el1(|el1| (el1.tcr, el1.ttbr0, el1.sctlr) = (25, PAGE, el1.sctlr | 1));
        let load = RealmAccess::load(end).iss();
        let abort = esr::DATA_ABORT | esr::IL | load | esr::translation_fault(0);
        // The walk of stage 1 ends at an invalid entry now.
        assert_eq!(cpu.sync(abort, 0, end >> 8).await, After::Again);
        // Tables in Host memory: the monitor does not read them and reports level 3.
        cpu.el1(|el1| el1.ttbr0 = shared);
        let After::Taken(taken) = cpu.sync(abort, 0, end >> 8).await else {
            panic!("not taken by the Realm");
        };
        assert_size_fault(taken, esr::DATA_ABORT, 0, 3, 0);
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn fault_on_the_walk_of_stage_1() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let ipa = share_with(&realm, 0);
    realm.script(0, move |cpu| async move {
        // HPFAR_EL2 is valid if a permission fault meets the walk of stage 1.
        let esr = esr::DATA_ABORT | esr::IL | esr::S1PTW | esr::permission_fault(3);
        let after = cpu.sync(esr, LINEAR_MAP | 0x123, ipa >> 8).await;
        assert_eq!(after, After::Again);
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::permission_fault(3);
        exit.hpfar = ipa >> 8;
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn statuses_of_every_level() {
    let host = Host::with_features(lpa2_features());
    let realm = host.realm().params(|p| p.flags = 1).ipa(52, -1, 1);
    let realm = realm.active(1);
    // The highest bit that an IPA can have.
    let ipa = realm.unprotected();
    assert_eq!(ipa, 1 << 51);
    let load = RealmAccess::load(ipa);
    let abort = move |status| esr::DATA_ABORT | esr::IL | load.iss() | status;
    let translations = [0x2B, 0x04, 0x05, 0x06, 0x07];
    let access_flag = [0x08, 0x09, 0x0A, 0x0B];
    let address_size = [0x29, 0x00, 0x01, 0x02, 0x03];
    let all = [&translations[..], &access_flag, &address_size].concat();
    let statuses = all.clone();
    realm.script(0, move |cpu| async move {
        let _value = cpu.access(load).await;
        for status in statuses {
            // The Host does not see NS (bit 63).
            let after = cpu
                .sync(abort(status), LINEAR_MAP, ipa >> 8 | 1 << 63)
                .await;
            assert_eq!(after, After::Again);
        }
    });
    let expected = |status| {
        move |exit: &mut RecExit| {
            exit.esr = esr::DATA_ABORT | esr::ISV | esr::sas(8) | esr::SF | status;
            exit.hpfar = ipa >> 8;
        }
    };
    assert_record(&realm.enter(0), RecExitReason::Sync, expected(0x2B));
    let exit = realm.enter_with(0, entry_flags(RecEnterFlags::EMUL_MMIO));
    assert_record(&exit, RecExitReason::Sync, expected(all[0]));
    for status in &all[1..] {
        assert_record(&realm.enter(0), RecExitReason::Sync, expected(*status));
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: Exceptions and accesses that do not exit granule_protection
#[test]
fn granule_protection_faults_are_the_realms_own() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        // On a walk of stage 1, level -1 to 3; on the access.
        for status in 0x23..=0x28 {
            for class in [esr::DATA_ABORT, esr::INSTRUCTION_ABORT] {
                let esr = class | esr::IL | RealmAccess::load(0).iss() | status;
                let After::Taken(taken) = cpu.sync(esr, LINEAR_MAP | 0x18, 0).await else {
                    panic!("{status:#x} is not taken by the Realm");
                };
                // The same abort without a change of Exception level.
                assert_eq!(taken.esr, (class + (1 << 26)) | esr::IL | status);
                assert_eq!(taken.far, LINEAR_MAP | 0x18);
            }
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// What neither a Realm nor stage 2 can cause ends the Realm and nothing else.
#[test]
fn fault_statuses_that_nothing_here_can_cause() {
    // Tag check, reserved, 128-bit tables, lockdown.
    for status in [0x11, 0x19, 0x22, 0x2C, 0x34, 0x3F] {
        for class in [esr::DATA_ABORT, esr::INSTRUCTION_ABORT] {
            let host = Host::new();
            let realm = host.realm().with_page(2);
            realm.allow_unfinished_scripts();
            realm.script(0, move |cpu| async move {
                let _never = cpu.sync(class | esr::IL | status, LINEAR_MAP, 0).await;
            });
            assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
                exit.esr = class | status;
            });
            for rec in 0..2 {
                assert_eq!(realm.try_enter(rec, |_| ()).0, Status::Realm(1));
            }
        }
    }
}

#[test]
fn tlb_conflict() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        for class in [esr::DATA_ABORT, esr::INSTRUCTION_ABORT] {
            assert_eq!(
                cpu.sync(class | esr::IL | 0x30, LINEAR_MAP, 0).await,
                After::Again
            );
        }
    });
    let memory = &host.board().memory;
    let before = memory.invalidations().len();
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    let invalidations = memory.invalidations();
    assert_eq!(invalidations.len(), before + 2);
    for invalidation in &invalidations[before..] {
        let all = (realm.params.vmid, Ipa(0), realm.end());
        let Invalidation {
            vmid, base, size, ..
        } = *invalidation;
        assert_eq!((vmid, base, size), all);
    }
}

/// Nothing that a Realm may execute refuses a fetch, so it does not matter at which IPA it was.
#[test]
fn permission_faults_of_a_fetch() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        for status in 0x0C..=0x0F {
            let esr = esr::INSTRUCTION_ABORT | esr::IL | status;
            let After::Taken(taken) = cpu.sync(esr, LINEAR_MAP, 0).await else {
                panic!("{status:#x}: not taken by the Realm");
            };
            assert_sea(taken, esr::INSTRUCTION_ABORT, 0, 0);
            cpu.context(|context| context.pstate = 0x3C5);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn external_aborts_of_each_status() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    // On the access; on the walk at each level.
    let statuses = [0x10, 0x13, 0x14, 0x15, 0x16, 0x17];
    realm.script(0, move |cpu| async move {
        for status in statuses {
            for class in [esr::DATA_ABORT, esr::INSTRUCTION_ABORT] {
                let esr = class | esr::IL | 3 << 11 | status;
                assert_eq!(cpu.sync(esr, LINEAR_MAP, 0).await, After::Again);
            }
        }
    });
    for status in statuses {
        for class in [esr::DATA_ABORT, esr::INSTRUCTION_ABORT] {
            assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
                exit.esr = class | 3 << 11 | status;
            });
        }
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// `ESR_EL2` of a synchronous external abort with this SET.
fn external(set: u64) -> u64 {
    esr::DATA_ABORT
        | esr::IL
        | esr::ISV
        | esr::sas(8)
        | esr::SF
        | set << 11
        | esr::EA
        | esr::EXTERNAL
}

#[test]
fn external_aborts_recoverable_and_restartable() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        let After::Taken(taken) = cpu.sync(external(0), LINEAR_MAP | 0x18, 0).await else {
            panic!("not taken by the Realm, although it is recoverable");
        };
        assert_sea(taken, esr::DATA_ABORT, 0, 0x18);
        let after = cpu.sync(external(3), LINEAR_MAP | 0x18, 0).await;
        assert_eq!(after, After::Again, "restartable");
    });
    for set in [0, 3] {
        assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
            exit.esr = esr::DATA_ABORT | set << 11 | esr::EA | esr::EXTERNAL;
        });
    }
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
#[should_panic(expected = "uncontained external abort")]
fn external_abort_uncontained() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        let _after = cpu.sync(external(2), 0, 0).await;
    });
    let _exit = realm.enter(0);
}
