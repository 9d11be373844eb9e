// SPDX-License-Identifier: BSD-3-Clause
//! What the syndrome of an abort says, beyond the state of memory: fault statuses, external aborts,
//! accesses beyond the IPA space, and faults whose cause is gone.

use super::aborts::*;
use super::{MIB, assert_reason, assert_record, flags, with_page};
use rmm_abi::rmi::{RecEnterFlags, RecExit, RecExitReason};
use rmm_core::fake::{Access, After, Config, Host, PAGE, Status, Taken, features};
use rmm_core::machine::CpuFeatures;

#[test]
fn a_permission_fault_whose_address_is_not_found_is_tried_again() {
    let host = Host::new();
    let realm = with_page(&host);
    let ipa = share_with(&realm, 1);
    realm.script(0, move |cpu| async move {
        let store = Access::store(ipa).unresolved_at_first();
        cpu.access(store).await.expect("emulated");
    });
    // Only the second time does the Host learn of it.
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    assert_eq!(exit.hpfar, ipa >> 8);
    let exit = realm.enter_with(0, flags(RecEnterFlags::EMUL_MMIO));
    assert_reason(&exit, RecExitReason::Irq);
}

#[test]
fn faults_that_are_mended_by_now_are_tried_again() {
    let host = Host::new();
    let realm = with_page(&host);
    let ipa = realm.unprotected();
    realm.share(ipa, host.page());
    realm.script(0, move |cpu| async move {
        cpu.mark(0);
        let load = Access::load(0).iss();
        for (class, iss, ipa) in [
            (DATA_ABORT, load, 0),
            (INSTRUCTION_ABORT, 0, 0),
            (DATA_ABORT, load, ipa),
        ] {
            let esr = class | IL | iss | translation(3);
            let after = cpu.sync(esr, VA | ipa, ipa >> 8).await;
            assert_eq!(after, After::Again);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn what_the_host_maps_beyond_the_address_space_is_not_emulatable() {
    let host = Host::new();
    let realm = with_page(&host);
    let ipa = realm.unprotected();
    realm.share(ipa, host.page());
    realm.script(0, move |cpu| async move {
        // An Address Size fault of stage 2, level 3.
        let esr = DATA_ABORT | IL | Access::store(ipa).iss() | 0x03;
        let after = cpu.sync(esr, VA | ipa, ipa >> 8).await;
        assert_eq!(after, After::Again);
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = DATA_ABORT | 0x03;
        exit.hpfar = ipa >> 8;
    });
    let (status, _) = realm.try_enter(0, flags(RecEnterFlags::EMUL_MMIO));
    assert_eq!(status, Status::Rec);
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn faults_of_alignment_and_of_atomics_are_the_realms() {
    let host = Host::new();
    let realm = with_page(&host);
    let ipa = realm.unprotected();
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        for status in [0x21, 0x35] {
            let esr = DATA_ABORT | IL | Access::store(ipa).iss() | status;
            let After::Taken(taken) = cpu.sync(esr, VA | ipa, 0).await else {
                panic!("the Realm's own fault");
            };
            assert_eq!(taken.esr & 0x3F, status);
            assert_eq!(taken.esr >> 26, 0x25);
            assert_eq!((taken.far, taken.vector), (VA | ipa, 0x200));
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// Asserts that the Realm took a stage 1 Address Size Fault.
fn assert_size_fault(taken: Taken, lower_class: u64, kept: u64, level: u64, far: u64) {
    let esr = (lower_class + SAME_EL) | IL | kept | level;
    assert_eq!((taken.esr, taken.far), (esr, far), "{:#x}", taken.esr);
}

// Conformance: Exceptions and accesses that do not exit beyond_stage_1_off
#[test]
fn beyond_the_ipa_space_with_stage_1_off() {
    let host = Host::new();
    let realm = with_page(&host);
    let end = realm.end();
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        for ipa in [end, end + 0x1238, 1 << 47] {
            let load = Access::load(ipa).at(ipa);
            let taken = cpu.access(load).await.expect_err("size fault");
            assert_size_fault(taken, DATA_ABORT, 0, 0, ipa);
            let store = Access::store(ipa).at(ipa).without_syndrome();
            let taken = cpu.access(store).await.expect_err("size fault");
            assert_size_fault(taken, DATA_ABORT, WNR, 0, ipa);
            let taken = cpu.fetch(ipa).await.expect_err("size fault");
            assert_size_fault(taken, INSTRUCTION_ABORT, 0, 0, VA | ipa);
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
        // VA of 39 bits: level 1 at page 1, level 2 at page 2, level 3 at page 3.
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
            let load = Access::load(end | va).at(va);
            let taken = cpu.access(load).await.expect_err("size fault");
            assert_size_fault(taken, DATA_ABORT, 0, level, va);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn beyond_the_ipa_space_but_not_any_more() {
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
        let load = Access::load(end).iss();
        let abort = DATA_ABORT | IL | load | translation(0);
        // Stage 1 ends at an invalid entry by now.
        assert_eq!(cpu.sync(abort, 0, end >> 8).await, After::Again);
        // Tables in memory of the Host, which the monitor does not read: a level all the same.
        cpu.el1(|el1| el1.ttbr0 = shared);
        let After::Taken(taken) = cpu.sync(abort, 0, end >> 8).await else {
            panic!("a size fault");
        };
        assert_size_fault(taken, DATA_ABORT, 0, 3, 0);
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn a_fault_on_the_walk_of_stage_1() {
    let host = Host::new();
    let realm = with_page(&host);
    let ipa = share_with(&realm, 0);
    const S1PTW: u64 = 1 << 7;
    realm.script(0, move |cpu| async move {
        // Here HPFAR_EL2 is valid for a permission fault, too.
        let esr = DATA_ABORT | IL | S1PTW | permission(3);
        let after = cpu.sync(esr, VA | 0x123, ipa >> 8).await;
        assert_eq!(after, After::Again);
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = DATA_ABORT | permission(3);
        exit.hpfar = ipa >> 8;
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn statuses_of_every_level() {
    let host = Host::with(Config {
        features: CpuFeatures {
            pa_bits: 52,
            lpa2: true,
            ..features()
        },
        ..Config::default()
    });
    let realm = host.realm().params(|p| p.flags = 1).ipa(52, -1, 1);
    let realm = realm.active(1);
    // The highest bit that an IPA can have.
    let ipa = realm.unprotected();
    assert_eq!(ipa, 1 << 51);
    let load = Access::load(ipa);
    let abort = move |status| DATA_ABORT | IL | load.iss() | status;
    let translations = [0x2B, 0x04, 0x05, 0x06, 0x07];
    let access_flag = [0x08, 0x09, 0x0A, 0x0B];
    let address_size = [0x29, 0x00, 0x01, 0x02, 0x03];
    let all = [&translations[..], &access_flag, &address_size].concat();
    let statuses = all.clone();
    realm.script(0, move |cpu| async move {
        let _value = cpu.access(load).await;
        for status in statuses {
            // NS, bit 63, is not for the Host.
            let after = cpu.sync(abort(status), VA, ipa >> 8 | 1 << 63).await;
            assert_eq!(after, After::Again);
        }
    });
    let expected = |status| {
        move |exit: &mut RecExit| {
            exit.esr = DATA_ABORT | ISV | 3 << 22 | SF | status;
            exit.hpfar = ipa >> 8;
        }
    };
    assert_record(&realm.enter(0), RecExitReason::Sync, expected(0x2B));
    let exit = realm.enter_with(0, flags(RecEnterFlags::EMUL_MMIO));
    assert_record(&exit, RecExitReason::Sync, expected(all[0]));
    for status in &all[1..] {
        assert_record(&realm.enter(0), RecExitReason::Sync, expected(*status));
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

#[test]
fn other_fault_statuses_are_external_aborts() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        // Reserved ones.
        for status in [0x1F, 0x22, 0x3F] {
            let esr = DATA_ABORT | IL | Access::load(0).iss() | status;
            let After::Taken(taken) = cpu.sync(esr, VA | 0x18, 0).await else {
                panic!("an external abort");
            };
            assert_sea(taken, DATA_ABORT, 0, 0x18);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn a_tlb_conflict_is_tried_again() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        for class in [DATA_ABORT, INSTRUCTION_ABORT] {
            assert_eq!(cpu.sync(class | IL | 0x30, VA, 0).await, After::Again);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn external_aborts_of_each_kind() {
    let host = Host::new();
    let realm = with_page(&host);
    // On the access, and on the walk at each level.
    let statuses = [0x10, 0x13, 0x14, 0x15, 0x16, 0x17];
    realm.script(0, move |cpu| async move {
        for status in statuses {
            for class in [DATA_ABORT, INSTRUCTION_ABORT] {
                let esr = class | IL | 3 << 11 | status;
                assert_eq!(cpu.sync(esr, VA, 0).await, After::Again);
            }
        }
    });
    for status in statuses {
        for class in [DATA_ABORT, INSTRUCTION_ABORT] {
            assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
                exit.esr = class | 3 << 11 | status;
            });
        }
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// A Data Abort for an external abort with this SET.
fn external(set: u64) -> u64 {
    DATA_ABORT | IL | ISV | 3 << 22 | SF | set << 11 | 1 << 9 | 0x10
}

#[test]
fn external_aborts_of_the_hardware() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        let After::Taken(taken) = cpu.sync(external(0), VA | 0x18, 0).await else {
            panic!("recoverable: the Realm is told");
        };
        assert_sea(taken, DATA_ABORT, 0, 0x18);
        let after = cpu.sync(external(3), VA | 0x18, 0).await;
        assert_eq!(after, After::Again, "restartable");
    });
    for set in [0, 3] {
        assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
            exit.esr = DATA_ABORT | set << 11 | 1 << 9 | 0x10;
        });
    }
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
#[should_panic(expected = "uncontained external abort")]
fn an_external_abort_that_is_not_contained() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        let _after = cpu.sync(external(2), 0, 0).await;
    });
    let _exit = realm.enter(0);
}
