// SPDX-License-Identifier: BSD-3-Clause
//! RSI_HOST_CALL, from the call to its return (A4.2.2, A4.3.9).

use super::set_vectors;
use rmm_abi::rmi::{RecEnterFlags, RecExit, RecExitReason};
use rmm_abi::rsi::{self, HostCall, fid::RSI_HOST_CALL};
use rmm_core::fake::{
    EMPTY, Host, PAGE, RAM, RealmCpu, Status, assert_reason, assert_record, entry_flags, esr,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// The structure that the scripts pass.
fn structure() -> HostCall {
    let mut call = HostCall::new_zeroed();
    call.imm = 0xBEEF;
    call._reserved = [0xFF; 6];
    for (n, gpr) in (0..).zip(&mut call.gprs) {
        *gpr = 0xCA11_0000 | n;
    }
    call
}

/// The registers that the Host answers with.
fn answer() -> [u64; 31] {
    core::array::from_fn(|n| 0xA005_0000 | n as u64)
}

async fn put(cpu: &RealmCpu, ipa: u64) {
    let stored = cpu.write_bytes(ipa, structure().as_bytes()).await;
    stored.expect("Realm memory");
}

async fn get(cpu: &RealmCpu, ipa: u64) -> HostCall {
    let bytes = cpu.read_bytes(ipa, 0x100).await.expect("Realm memory");
    HostCall::read_from_bytes(&bytes).expect("256 bytes")
}

/// Asserts that the exit is a host call with [`structure`].
#[track_caller]
fn assert_call(exit: &RecExit) {
    assert_record(exit, RecExitReason::HostCall, |exit| {
        exit.imm = 0xBEEF;
        exit.gprs = structure().gprs;
    });
}

// Conformance: RSI_HOST_CALL exit, answer
// Conformance: RMI_REC_ENTER host_call_answer
// Conformance: REC exits host_call
#[test]
fn the_call_and_its_answer() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        for ipa in [0, 0x100, 0xF00] {
            put(&cpu, ipa).await;
            cpu.mark(0);
            let before = cpu.gprs();
            let after = cpu.smc(&[RSI_HOST_CALL, ipa]).await;
            assert_eq!(after[..4], [rsi::RSI_SUCCESS, 0, 0, 0]);
            assert_eq!(after[4..], before[4..], "the answer is only in memory");
            let found = get(&cpu, ipa).await;
            assert_eq!((found.imm, found.gprs), (0xBEEF, answer()));
            assert_eq!(found._reserved, [0xFF; 6], "must not be written");
        }
    });
    assert_call(&realm.enter(0));
    for _ in 0..2 {
        assert_call(&realm.enter_with(0, |enter| enter.gprs = answer()));
    }
    let exit = realm.enter_with(0, |enter| enter.gprs = answer());
    assert_record(&exit, RecExitReason::Irq, |_| ());
}

// Conformance: RSI_HOST_CALL addr_align, addr_bound, empty
#[test]
fn input_errors() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let (protected_end, end) = (realm.unprotected(), realm.end());
    realm.script(0, move |cpu| async move {
        let bad = [1, 8, 0x80, 0xFF, protected_end, end, 1 << 63];
        // RIPAS EMPTY.
        let empty = [PAGE, 1 << 30];
        for ipa in bad.into_iter().chain(empty) {
            let gprs = cpu.smc(&[RSI_HOST_CALL, ipa]).await;
            assert_eq!(gprs[..4], [rsi::RSI_ERROR_INPUT, 0, 0, 0], "{ipa:#x}");
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: RSI_HOST_CALL not_mapped
#[test]
fn not_mapped_at_the_call() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    realm.ram(0, PAGE);
    realm.activate();
    realm.script(0, |cpu| async move {
        cpu.mark(4);
        let gprs = cpu.smc(&[RSI_HOST_CALL, 0x300]).await;
        assert_eq!(gprs[0], rsi::RSI_SUCCESS);
        assert_eq!(gprs[30], 0x5EC_001E);
    });
    for _ in 0..2 {
        assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
            // HPFAR has the page, not the structure.
            exit.esr = esr::DATA_ABORT | esr::translation_fault(3);
        });
    }
    // There is no access to emulate or to abort.
    let (status, _) = realm.try_enter(0, entry_flags(RecEnterFlags::EMUL_MMIO));
    assert_eq!(status, Status::Rec);
    let exit = realm.enter_with(0, entry_flags(RecEnterFlags::INJECT_SEA));
    assert_reason(&exit, RecExitReason::Sync);

    realm.data_unknown(0);
    assert_record(&realm.enter(0), RecExitReason::HostCall, |_| ());
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REC_ENTER host_call_not_mapped
#[test]
fn not_mapped_at_the_answer() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.data(2 * PAGE, &[]);
    realm.activate();
    let ipa = 2 * PAGE + 0x500;
    realm.script(0, move |cpu| async move {
        set_vectors(&cpu);
        put(&cpu, ipa).await;
        let gprs = cpu.smc(&[RSI_HOST_CALL, ipa]).await;
        assert_eq!(gprs[0], rsi::RSI_SUCCESS);
        assert_eq!(get(&cpu, ipa).await.gprs, answer());
    });
    assert_call(&realm.enter(0));
    assert_eq!(host.data_destroy(realm.rd, 2 * PAGE).0, Status::Success);
    for _ in 0..2 {
        // The Realm does not run; the call stays pending.
        let exit = realm.enter_with(0, |enter| enter.gprs = [0x666; 31]);
        assert_record(&exit, RecExitReason::Sync, |exit| {
            exit.esr = esr::DATA_ABORT | esr::translation_fault(3);
            exit.hpfar = (2 * PAGE) >> 8;
        });
    }
    // Still DESTROYED, although ASSIGNED again: the Realm has to request RAM.
    realm.data_unknown(2 * PAGE);
    let exit = realm.enter_with(0, |enter| enter.gprs = answer());
    assert_reason(&exit, RecExitReason::Sync);
    realm.allow_unfinished_scripts();
}

// Conformance: RMI_REC_ENTER host_call_not_mapped
#[test]
fn empty_at_the_answer() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
    realm.script(0, |cpu| async move {
        put(&cpu, 0).await;
        let gprs = cpu.smc(&[RSI_HOST_CALL, 0]).await;
        assert_eq!(gprs[0], rsi::RSI_SUCCESS);
        assert_eq!(get(&cpu, 0).await.gprs, answer());
    });
    realm.script(1, |cpu| async move {
        for ripas in [EMPTY, RAM] {
            let set = [rsi::fid::RSI_IPA_STATE_SET, 0, PAGE, ripas, 0];
            assert_eq!(cpu.smc(&set).await[1], PAGE);
        }
    });
    let change = || {
        assert_reason(&realm.enter(1), RecExitReason::RipasChange);
        let set = host.rtt_set_ripas(realm.rd, realm.rec_pa(1), 0, PAGE);
        assert_eq!(set, (Status::Success, PAGE));
    };
    assert_call(&realm.enter(0));
    change();
    let exit = realm.enter_with(0, |enter| enter.gprs = answer());
    assert_record(&exit, RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::translation_fault(3)
    });
    change();
    let exit = realm.enter_with(0, |enter| enter.gprs = answer());
    assert_reason(&exit, RecExitReason::Irq);
    assert_reason(&realm.enter(1), RecExitReason::Irq);
}

#[test]
fn the_answer_is_written_once() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        put(&cpu, 0).await;
        let _gprs = cpu.smc(&[RSI_HOST_CALL, 0]).await;
        cpu.write(8, 5).await.expect("Realm memory");
        cpu.irq().await;
        assert_eq!(cpu.read(8).await, Ok(5));
    });
    assert_call(&realm.enter(0));
    for _ in 0..2 {
        let exit = realm.enter_with(0, |enter| enter.gprs = answer());
        assert_reason(&exit, RecExitReason::Irq);
    }
}
