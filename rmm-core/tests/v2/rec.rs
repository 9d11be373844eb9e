// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_CREATE, RMI_REC_DESTROY, RMI_REC_ENTER.

use rmm_abi::rmi::v2::{RecExit, RecParams};
use rmm_abi::rmi::{RecEnterFlags, RecExitReason, index_to_mpidr};
use rmm_abi::{psci, rsi};
use rmm_core::fake::v2::{Host2, TestRealm2, rec_params};
use rmm_core::fake::{After, Config, PAGE, Status, esr, full_features};
use rmm_granule::GranuleState::{Delegated, Rec};
use zerocopy::{FromZeros, IntoBytes};

/// The answer to a REC with these parameters in this granule.
fn answer(realm: &TestRealm2<'_>, rec: u64, params: &RecParams) -> Status {
    let page = realm.host.page_with(params.as_bytes());
    realm.host.rec_create(realm.rd, rec, page)
}

/// Asserts that each byte of an exit record is zero, but for the reason and what `fill` writes: among
/// others the fields for the GIC of RMI 1.0.
#[track_caller]
fn assert_exit(exit: &RecExit, reason: RecExitReason, fill: impl FnOnce(&mut RecExit)) {
    let mut expected = RecExit::new_zeroed();
    expected.exit_reason = reason as u8;
    fill(&mut expected);
    let words = |record: &RecExit| -> Vec<(usize, u64)> {
        let words = record.as_bytes().chunks(8).enumerate();
        let words = words.map(|(n, word)| (8 * n, u64::from_le_bytes(word.try_into().unwrap())));
        words.filter(|(_, word)| *word != 0).collect()
    };
    assert_eq!(words(exit), words(&expected));
}

// Conformance: 2.0 RMI_REC_CREATE gran_state
// Conformance: 2.0 RMI_REC_DESTROY gran_state
#[test]
fn a_rec_is_one_granule() {
    let host = Host2::new();
    let realm = host.realm().create();
    let rec = realm.rec(true);
    let pa = realm.rec_pa(rec);
    assert_eq!(host.state(pa), Rec);
    assert_eq!(
        host.board()
            .granules_in(rmm_granule::GranuleState::RecAux)
            .count(),
        0
    );
    assert_eq!(
        host.rec_destroy(pa),
        Status::Success,
        "complete in one call"
    );
    assert_eq!(host.state(pa), Delegated);
}

// Conformance: 2.0 RMI_REC_CREATE mpidr_index, realm_state
#[test]
fn create_failures() {
    let host = Host2::new();
    let realm = host.realm().create();
    let rec = realm.granule();
    let good = rec_params(0, true);
    let page = host.page_with(good.as_bytes());
    for bad in [rec + 8, realm.rd, host.page(), 0x0900_0000] {
        assert_eq!(
            host.rec_create(realm.rd, bad, page),
            Status::Input,
            "{bad:#x}"
        );
    }
    for bad in [realm.rd + 8, rec, host.page(), 0x0900_0000] {
        assert_eq!(host.rec_create(bad, rec, page), Status::Input, "{bad:#x}");
    }
    for bad in [page + 8, rec, realm.rd, 0x0900_0000] {
        assert_eq!(
            host.rec_create(realm.rd, rec, bad),
            Status::Input,
            "{bad:#x}"
        );
    }
    for index in [1, 2, 511] {
        assert_eq!(
            answer(&realm, rec, &rec_params(index, true)),
            Status::Input,
            "mpidr_index"
        );
    }
    realm.activate();
    assert_eq!(answer(&realm, rec, &good), Status::Realm(0), "realm_state");
}

// Conformance: 2.0 RMI_REC_CREATE no_aux
#[test]
fn what_would_be_a_list_of_granules_is_ignored() {
    let host = Host2::new();
    let realm = host.realm().create();
    let mut params = rec_params(0, true);
    params._reserved3 = [0x5A; 0xCC0];
    let rec = realm.granule();
    assert_eq!(answer(&realm, rec, &params), Status::Success);
    assert_eq!(host.rec_destroy(rec), Status::Success);
}

// Conformance: 2.0 RMI_REC_CREATE num_recs
// Conformance: 2.0 RMI_REC_DESTROY rec_index
#[test]
fn indices_have_an_end() {
    let host = Host2::new();
    host.leniently(|| {
        let realm = host.realm().create();
        for n in 0..512 {
            let rec = realm.granule();
            assert_eq!(
                answer(&realm, rec, &rec_params(n, false)),
                Status::Success,
                "{n}"
            );
            assert_eq!(host.rec_destroy(rec), Status::Success);
        }
        let rec = realm.granule();
        assert_eq!(
            answer(&realm, rec, &rec_params(512, false)),
            Status::Realm(0),
            "num_recs"
        );
    });
}

// Conformance: 2.0 RMI_REC_CREATE num_recs
#[test]
fn as_many_recs_as_the_feature_register_says() {
    let host = Host2::new();
    host.leniently(|| {
        let realm = host.realm().create();
        for _ in 0..(1 << 9) - 1 {
            let _rec = realm.rec(false);
        }
        let rec = realm.granule();
        assert_eq!(
            answer(&realm, rec, &rec_params(511, false)),
            Status::Realm(0),
            "num_recs"
        );
        assert_eq!(host.rec_destroy(realm.rec_pa(0)), Status::Success);
        assert_eq!(
            answer(&realm, rec, &rec_params(511, false)),
            Status::Success
        );
        assert_eq!(host.rec_destroy(rec), Status::Success);
    });
}

// Conformance: 2.0 RMI_REC_ENTER rec_exit
#[test]
fn registers_and_the_exit_record() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    realm.script(0, |cpu| async move {
        assert_eq!(cpu.context(|context| context.pc), 0x1000);
        cpu.mark(0);
        cpu.simd(|simd| simd.q = [[7; 2]; 32]).await.expect("SIMD");
        cpu.irq().await;
        assert_eq!(cpu.gprs()[30], 0x5EC_001E, "kept");
        cpu.simd(|simd| assert_eq!(simd.q, [[7; 2]; 32]))
            .await
            .expect("SIMD");
    });
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: 2.0 RMI_REC_CREATE registers
#[test]
fn registers_of_a_new_rec() {
    let host = Host2::new();
    let realm = host.realm().create();
    let mut params = rec_params(0, true);
    params.gprs = [1, 2, 3, 4, 5, 6, 7, u64::MAX];
    params.pc = 0x1234_5678;
    let rec = realm.granule();
    assert_eq!(answer(&realm, rec, &params), Status::Success);
    realm.activate();
    host.script(realm.vmid(), 0, |cpu| async move {
        let mut expected = [0; 31];
        expected[..8].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, u64::MAX]);
        assert_eq!(cpu.gprs(), expected);
        assert_eq!(cpu.context(|context| context.pc), 0x1234_5678);
    });
    assert_eq!(host.rec_enter(rec, host.page()), Status::Success);
    assert_eq!(host.rec_destroy(rec), Status::Success);
}

// Conformance: 2.0 RMI_REC_ENTER realm_state, rec_runnable, rec_mmio, run_align, run_pas
// Conformance: 2.0 RMI_REALM_TERMINATE realm_state
#[test]
fn enter_failures() {
    let host = Host2::new();
    let realm = host.realm().create();
    let rec = realm.rec(true);
    let off = realm.rec(false);
    assert_eq!(realm.try_enter(rec, |_| ()).0, Status::Realm(0), "NEW");
    realm.activate();
    assert_eq!(realm.try_enter(off, |_| ()).0, Status::Rec, "rec_runnable");
    let flags = |bits: u64| realm.try_enter(rec, |enter| enter.flags = bits).0;
    assert_eq!(
        flags(RecEnterFlags::EMUL_MMIO.bits()),
        Status::Rec,
        "rec_mmio"
    );
    let (pa, page) = (realm.rec_pa(rec), host.page());
    for bad in [page + 8, pa, 0x0900_0000] {
        assert_eq!(host.rec_enter(pa, bad), Status::Input, "run");
    }
    for bad in [pa + 8, realm.rd, host.page(), 0x0900_0000] {
        assert_eq!(host.rec_enter(bad, page), Status::Input, "rec");
    }
    realm.script(rec, |cpu| async move {
        cpu.smc_without_return(&[psci::fid::PSCI_SYSTEM_OFF]).await;
    });
    let exit = realm.enter(rec);
    assert_exit(&exit, RecExitReason::Psci, |exit| {
        exit.gprs[0] = psci::fid::PSCI_SYSTEM_OFF
    });
    assert_eq!(
        realm.try_enter(rec, |_| ()).0,
        Status::Realm(0),
        "SYSTEM_OFF, without an index"
    );
    assert_eq!(host.realm_terminate(realm.rd), Status::Success);
    assert_eq!(realm.try_enter(rec, |_| ()).0, Status::Realm(0), "ZOMBIE");
}

// Conformance: 2.0 RMI_REC_ENTER rec_state
// Conformance: 2.0 RMI_REALM_TERMINATE rec_running
// Conformance: 2.0 RMI_REC_DESTROY rec_state
#[test]
fn a_running_rec_and_the_end_of_its_realm_exclude_each_other() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(2);
    let (rd, rec) = (realm.rd, realm.rec_pa(0));
    realm.script(0, move |cpu| async move {
        cpu.meanwhile(|host| {
            assert_eq!(
                host.call(rmm_abi::rmi::v2::fid::RMI_REALM_TERMINATE, &[rd])
                    .status,
                Status::Realm(0)
            );
            assert_eq!(host.rec_destroy(rec), Status::Rec);
            let page = host.page();
            assert_eq!(host.rec_enter(rec, page), Status::Rec, "rec_state");
        });
        cpu.irq().await;
    });
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
    assert_eq!(host.realm_terminate(rd), Status::Success);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Realm(0));
}

/// `ICH_HCR_EL2` as a Host sets it: En and some traps.
const HCR: u64 = 1 << 0 | 1 << 10;

// Conformance: 2.0 RMI_REC_ENTER gic
#[test]
fn the_virtual_gic_interface_is_the_hosts() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    let before = host.gic(|gic| {
        gic.hcr = HCR;
        gic.vmcr = 0x1234;
        gic.lrs = std::array::from_fn(|n| 1 << 62 | n as u64);
        gic.ap0r = [1, 2, 3, 4];
        gic.ap1r = [5, 6, 7, 8];
        gic.clone()
    });
    realm.script(0, |cpu| async move {
        cpu.gic(|gic| {
            assert_eq!((gic.hcr, gic.vmcr, gic.lrs[1]), (HCR, 0x1234, 1 << 62 | 1));
            // The Realm takes an interrupt.
            gic.lrs[1] = 2 << 62 | 1;
            gic.ap1r[0] = 0x80;
        });
    });
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
    host.gic(|gic| {
        assert_eq!(gic.hcr, HCR & !1, "closed, and nothing else");
        assert_eq!(gic.lrs[1], 2 << 62 | 1, "as the Realm left it");
        assert_eq!(gic.ap1r, [0x80, 6, 7, 8]);
        assert_eq!(
            (gic.vmcr, gic.lrs[0], gic.lrs[2]),
            (0x1234, before.lrs[0], before.lrs[2])
        );
        assert_eq!(gic.ap0r, before.ap0r);
    });
}

// Conformance: 2.0 RMI_REC_ENTER rec_gicv3
#[test]
fn a_list_register_with_a_physical_interrupt_or_an_nmi_is_refused() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    // HW, and NMI, which Realms do not have.
    for bit in [61, 59] {
        for n in [0, 3] {
            host.gic(|gic| gic.lrs = [0; 16]);
            host.gic(|gic| gic.lrs[n] = 1 << bit);
            assert_eq!(realm.try_enter(0, |_| ()).0, Status::Rec, "rec_gicv3");
        }
    }
    host.gic(|gic| gic.lrs = [0; 16]);
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Success);
}

#[test]
fn the_virtual_gic_interface_is_closed_although_the_rec_has_not_run() {
    let host = Host2::new();
    let realm = host.realm().create();
    let rec = realm.rec(true);
    realm.data(0, &[]);
    realm.activate();
    realm.script(rec, |cpu| async move {
        let _never = cpu.smc(&[rsi::fid::RSI_HOST_CALL, 0]).await;
    });
    assert_exit(&realm.enter(rec), RecExitReason::HostCall, |_| ());
    // The answer has no place, and the call stays pending.
    let reply = host.rtt_data_unmap(realm.rd, 0..PAGE, 1, 0);
    assert_eq!(reply.status, Status::Success);
    let before = host.gic(|gic| {
        gic.hcr = HCR;
        gic.clone()
    });
    let exit = realm.enter(rec);
    assert_exit(&exit, RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::translation_fault(3);
    });
    host.gic(|gic| {
        assert_eq!(gic.hcr, HCR & !1, "closed, and nothing else");
        assert_eq!((gic.lrs, gic.vmcr), (before.lrs, before.vmcr));
    });
}

#[test]
fn a_host_of_1_0_gets_nothing_of_that() {
    // On the same machine, the registers come from the page and go back there.
    let host = rmm_core::fake::Host::with(Config::v2());
    let realm = host.realm().active(1);
    host.gic(|gic| gic.lrs[0] = 1 << 61);
    realm.script(0, |cpu| async move {
        assert_eq!(cpu.gic(|gic| gic.lrs[0]), 1 << 62 | 5);
    });
    let exit = realm.enter_with(0, |enter| enter.gicv3_lrs[0] = 1 << 62 | 5);
    assert_eq!(exit.gicv3_lrs[0], 1 << 62 | 5);
}

const ICC_SGI1R: [u64; 5] = [3, 0, 12, 11, 5];
const ICC_PMR: [u64; 5] = [3, 0, 4, 6, 0];
const ICC_IAR1: [u64; 5] = [3, 0, 12, 12, 0];

/// `esr` of an access to a register, by any register: Rt is not shown.
fn sysreg([op0, op1, crn, crm, op2]: [u64; 5], read: bool) -> u64 {
    let register = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1;
    esr::SYSREG | esr::IL | register | u64::from(read)
}

// Conformance: 2.0 RMI_REC_ENTER gic_traps
#[test]
fn registers_of_the_gic_that_the_host_traps() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    realm.script(0, |cpu| async move {
        for register in [ICC_SGI1R, ICC_PMR] {
            cpu.msr(register, 0xF0).await.expect("emulated");
        }
        assert_eq!(cpu.mrs(ICC_IAR1).await, Ok(0x1B));
        assert_eq!(cpu.mrs(ICC_PMR).await, Ok(0xA0));
    });
    for register in [ICC_SGI1R, ICC_PMR] {
        let exit = realm.enter(0);
        assert_exit(&exit, RecExitReason::Sync, |exit| {
            exit.esr = sysreg(register, false);
            exit.gprs[0] = 0xF0;
        });
    }
    let exit = realm.enter(0);
    assert_exit(&exit, RecExitReason::Sync, |exit| {
        exit.esr = sysreg(ICC_IAR1, true)
    });
    // The answer to a read needs no flag, and no flag changes it.
    let exit = realm.enter_with(0, |enter| {
        enter.gprs[0] = 0x1B;
        enter.flags = RecEnterFlags::INJECT_SEA.bits();
    });
    assert_exit(&exit, RecExitReason::Sync, |exit| {
        exit.esr = sysreg(ICC_PMR, true)
    });
    let exit = realm.enter_with(0, |enter| enter.gprs[0] = 0xA0);
    assert_exit(&exit, RecExitReason::Irq, |_| ());
}

// Conformance: 2.0 RMI_REC_ENTER wfx
#[test]
fn waits() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    realm.script(0, |cpu| async move {
        cpu.set(3, 0x7777);
        cpu.wfi(None).await;
        cpu.wfi(Some(3)).await;
    });
    let trap =
        |enter: &mut rmm_abi::rmi::v2::RecEnter| enter.flags = RecEnterFlags::TRAP_WFI.bits();
    let exit = realm.enter_with(0, trap);
    assert_exit(&exit, RecExitReason::Sync, |exit| exit.esr = esr::WFX);
    let exit = realm.enter_with(0, trap);
    assert_exit(&exit, RecExitReason::Sync, |exit| {
        exit.esr = esr::WFX | 2 | 1 << 2;
        exit.gprs[0] = 0x7777;
    });
}

// Conformance: 2.0 RMI_REC_ENTER exits
// Conformance: 2.0 RMI_RTT_SET_RIPAS ripas_addr
#[test]
fn host_calls_and_ripas_changes() {
    let host = Host2::new();
    let realm = host.realm().create();
    let rec = realm.rec(true);
    realm.data(0, &[]);
    realm.activate();
    realm.script(rec, |cpu| async move {
        cpu.write_bytes(0, &0x77u64.to_le_bytes())
            .await
            .expect("memory");
        cpu.call_returns(&[rsi::fid::RSI_HOST_CALL, 0], rsi::RSI_SUCCESS)
            .await;
        let changed = cpu
            .call(&[rsi::fid::RSI_IPA_STATE_SET, PAGE, 3 * PAGE, 1, 0], 2)
            .await;
        assert_eq!(changed, [rsi::RSI_SUCCESS, 3 * PAGE, rsi::RSI_ACCEPT, 0]);
    });
    assert_exit(&realm.enter(rec), RecExitReason::HostCall, |exit| {
        exit.imm = 0x77
    });
    let exit = realm.enter(rec);
    assert_exit(&exit, RecExitReason::RipasChange, |exit| {
        exit.ripas_base = PAGE;
        exit.ripas_top = 3 * PAGE;
        exit.ripas_value = 1;
    });
    let pa = realm.rec_pa(rec);
    assert_eq!(
        host.rtt_set_ripas(realm.rd, pa, PAGE, 3 * PAGE),
        (Status::Success, 3 * PAGE)
    );
    assert_exit(&realm.enter(rec), RecExitReason::Irq, |_| ());
}

#[test]
fn an_access_to_memory_that_the_host_maps_later() {
    let host = Host2::new();
    let realm = host.realm().create();
    let rec = realm.rec(true);
    realm.tables(0, 3);
    assert_eq!(host.rtt_init_ripas(realm.rd, 0, PAGE).0, Status::Success);
    realm.activate();
    realm.script(rec, |cpu| async move {
        let byte = cpu.read_bytes(0, 1).await.expect("memory");
        assert_eq!(byte, [0]);
    });
    let exit = realm.enter(rec);
    assert_eq!(
        (exit.exit_reason, exit.hpfar),
        (RecExitReason::Sync as u8, 0)
    );
    let pa = realm.granule();
    let oaddr = pa | 1 << 2;
    assert_eq!(
        host.rtt_data_map(realm.rd, 0..PAGE, 1, oaddr),
        (Status::Success, PAGE)
    );
    assert_exit(&realm.enter(rec), RecExitReason::Irq, |_| ());
}

// Conformance: 2.0 RMI_REC_ENTER rsi_version
#[test]
fn rsi_versions() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    realm.script(0, |cpu| async move {
        const V1_0: u64 = 0x1_0000;
        const V1_1: u64 = 0x1_0001;
        for (req, status, lower) in [
            (V1_0, rsi::RSI_SUCCESS, V1_0),
            (V1_1, rsi::RSI_SUCCESS, V1_1),
            (0x1_0002, rsi::RSI_ERROR_INPUT, V1_1),
            (0x2_0000, rsi::RSI_ERROR_INPUT, V1_1),
            (0xFFFF, rsi::RSI_ERROR_INPUT, V1_1),
        ] {
            let found = cpu.call(&[rsi::fid::RSI_VERSION, req], 2).await;
            assert_eq!(found, [status, lower, V1_1, 0], "{req:#x}");
        }
        cpu.call_returns(&[rsi::fid::RSI_FEATURES, 0], rsi::RSI_SUCCESS)
            .await;
    });
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: 2.0 RMI_PSCI_COMPLETE pending, target, owner, alias, status, on_success, on_already, denied
// Conformance: 2.0 RMI_REC_ENTER rec_pending, exits
#[test]
fn psci_cpu_on_in_both_forms() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(4);
    let [caller, second, third, fourth] = [0, 1, 2, 3].map(|n| realm.rec_pa(n));
    realm.script(0, |cpu| async move {
        for (index, result) in [
            (1, psci::SUCCESS),
            (2, psci::SUCCESS),
            (2, psci::ALREADY_ON),
            (3, psci::DENIED),
        ] {
            let target = index_to_mpidr(index);
            cpu.call_returns(&[psci::fid::PSCI_CPU_ON, target, 0x2000, 9], result)
                .await;
        }
    });
    let exit = |index| {
        let exit = realm.enter(0);
        assert_exit(&exit, RecExitReason::Psci, |exit| {
            exit.gprs[..4].copy_from_slice(&[
                psci::fid::PSCI_CPU_ON,
                index_to_mpidr(index),
                0x2000,
                9,
            ]);
        });
        assert_eq!(realm.try_enter(0, |_| ()).0, Status::Rec, "rec_pending");
    };
    exit(1);
    for bad in [1, -1, -2, -3 << 8] {
        assert_eq!(host.psci_complete_2(caller, bad), Status::Input, "status");
    }
    for bad in [caller + 8, realm.rd, host.page(), second] {
        assert_eq!(host.psci_complete_2(bad, 0), Status::Input, "calling");
    }
    let other = host.realm().create().with_recs(2);
    let foreign = other.rec_pa(1);
    for (target, what) in [(caller, "alias"), (foreign, "owner"), (third, "target")] {
        assert_eq!(
            host.psci_complete(caller, target, 0),
            Status::Input,
            "{what}"
        );
    }
    for bad in [1, -1, -2] {
        assert_eq!(
            host.psci_complete(caller, second, bad),
            Status::Input,
            "status"
        );
    }
    assert_eq!(host.psci_complete_2(caller, 0), Status::Success);
    assert_eq!(
        host.psci_complete_2(caller, 0),
        Status::Input,
        "nothing pending"
    );
    exit(2);
    assert_eq!(
        host.psci_complete(caller, second, 0),
        Status::Input,
        "another target"
    );
    assert_eq!(
        host.psci_complete(caller, third, 0),
        Status::Success,
        "the older form"
    );
    exit(2);
    assert_eq!(host.psci_complete_2(caller, -3), Status::Input, "it is on");
    assert_eq!(host.psci_complete_2(caller, 0), Status::Success);
    exit(3);
    assert_eq!(host.rec_destroy(fourth), Status::Success);
    assert_eq!(host.psci_complete_2(caller, 0), Status::Input, "it is gone");
    assert_eq!(host.psci_complete_2(caller, -3), Status::Success);
    realm.script(1, |cpu| async move {
        assert_eq!(cpu.gprs()[0], 9);
        assert_eq!(cpu.context(|context| context.pc), 0x2000);
    });
    assert_exit(&realm.enter(1), RecExitReason::Irq, |_| ());
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: 2.0 RMI_PSCI_COMPLETE affinity_info
#[test]
fn psci_affinity_info_is_answered_without_the_host() {
    let host = Host2::new();
    let realm = host.realm().create();
    for runnable in [true, true, false, false] {
        let _rec = realm.rec(runnable);
    }
    realm.activate();
    let gone = realm.rec_pa(3);
    assert_eq!(host.rec_destroy(gone), Status::Success);
    realm.script(0, |cpu| async move {
        for (index, state) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
            let args = [psci::fid::PSCI_AFFINITY_INFO, index_to_mpidr(index), 0];
            cpu.call_returns(&args, state).await;
        }
        let args = [psci::fid::PSCI_AFFINITY_INFO, index_to_mpidr(4), 0];
        cpu.call_returns(&args, psci::INVALID_PARAMETERS).await;
    });
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// The Granule of a REC that is gone may hold the REC with the same index of another Realm.
// Conformance: 2.0 RMI_PSCI_COMPLETE affinity_info
#[test]
fn a_rec_of_another_realm_says_nothing_about_the_own_one() {
    let host = Host2::new();
    let realm = host.realm().create();
    for runnable in [true, true] {
        let _rec = realm.rec(runnable);
    }
    realm.activate();
    let granule = realm.rec_pa(1);
    assert_eq!(host.rec_destroy(granule), Status::Success);
    let other = host.realm().create();
    let _rec = other.rec(true);
    let params = host.page_with(rec_params(1, true).as_bytes());
    assert_eq!(host.rec_create(other.rd, granule, params), Status::Success);
    realm.script(0, |cpu| async move {
        let args = [psci::fid::PSCI_AFFINITY_INFO, index_to_mpidr(1), 0];
        cpu.call_returns(&args, psci::AFFINITY_OFF).await;
    });
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
    assert_eq!(host.rec_destroy(granule), Status::Success);
}

/// The same of another REC of the own Realm.
#[test]
fn a_rec_of_another_index_says_nothing_about_one_that_is_gone() {
    let host = Host2::new();
    let realm = host.realm().create();
    for runnable in [true, false] {
        let _rec = realm.rec(runnable);
    }
    let granule = realm.rec_pa(1);
    assert_eq!(host.rec_destroy(granule), Status::Success);
    let params = host.page_with(rec_params(2, true).as_bytes());
    assert_eq!(host.rec_create(realm.rd, granule, params), Status::Success);
    realm.activate();
    realm.script(0, |cpu| async move {
        for (index, state) in [(1, psci::AFFINITY_OFF), (2, psci::AFFINITY_ON)] {
            let args = [psci::fid::PSCI_AFFINITY_INFO, index_to_mpidr(index), 0];
            cpu.call_returns(&args, state).await;
        }
    });
    assert_exit(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: 2.0 stateful operations handle
#[test]
fn operations_that_nobody_has_begun() {
    use rmm_abi::rmi::v2::fid;
    let host = Host2::new();
    let page = host.page();
    for function in [
        fid::RMI_OP_CONTINUE,
        fid::RMI_OP_MEM_DONATE,
        fid::RMI_OP_MEM_RECLAIM,
        fid::RMI_OP_CANCEL,
    ] {
        for handle in [0, 1, page, u64::MAX] {
            let reply = host.call(function, &[handle, page, 1]);
            assert_eq!(reply.status, Status::Input);
        }
    }
}

// Conformance: 2.0 RMI_REC_ENTER emul_mmio
#[test]
fn emulated_accesses() {
    let host = Host2::with(Config {
        features: full_features(),
        ..Config::v2()
    });
    let realm = host.realm().create().with_recs(1);
    let ipa = realm.unprotected();
    realm.script(0, move |cpu| async move {
        let esr = esr::DATA_ABORT | esr::IL | esr::ISV | esr::SF | 3 << 22 | 2 << 16 | 4;
        assert_eq!(cpu.sync(esr, 0x18, ipa >> 8).await, After::Done);
        assert_eq!(cpu.gprs()[2], 0x1122);
    });
    let exit = realm.enter(0);
    assert_eq!(
        (exit.exit_reason, exit.far),
        (RecExitReason::Sync as u8, 0x18)
    );
    assert_eq!(exit.hpfar, ipa >> 8);
    let exit = realm.enter_with(0, |enter| {
        enter.flags = RecEnterFlags::EMUL_MMIO.bits();
        enter.gprs[0] = 0x1122;
    });
    assert_exit(&exit, RecExitReason::Irq, |_| ());
}
