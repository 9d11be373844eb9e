// SPDX-License-Identifier: BSD-3-Clause
//! RSI_IPA_STATE_SET, from the request to its answer (A5.4).

use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use rmm_abi::rsi::fid::RSI_IPA_STATE_SET;
use rmm_abi::rsi::{RSI_ACCEPT, RSI_ERROR_INPUT, RSI_REJECT, RSI_SUCCESS};
use rmm_core::fake::{
    EMPTY, Host, MIB, PAGE, RAM, Status, TestRealm, assert_reason, assert_record,
};

const REJECT: u64 = RecEnterFlags::RIPAS_RESPONSE.bits();

/// A Realm with RTTs for IPA 0. REC 0 has requested this change; its script expects this answer.
fn requested<'h>(host: &'h Host, change: [u64; 3], answer: [u64; 2]) -> TestRealm<'h> {
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    realm.activate();
    let [base, top, ripas] = change;
    realm.script(0, move |cpu| async move {
        cpu.mark(0);
        let gprs = cpu.smc(&[RSI_IPA_STATE_SET, base, top, ripas, 0]).await;
        assert_eq!(gprs[..4], [RSI_SUCCESS, answer[0], answer[1], 0]);
        for (n, gpr) in (0..).zip(gprs).skip(5) {
            assert_eq!(gpr, 0x5EC_0000 | n);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::RipasChange, |exit| {
        exit.ripas_base = base;
        exit.ripas_top = top;
        exit.ripas_value = u8::from(ripas == RAM);
    });
    realm
}

fn set(realm: &TestRealm<'_>, base: u64, top: u64) -> Status {
    realm
        .host
        .rtt_set_ripas(realm.rd, realm.rec_pa(0), base, top)
        .0
}

/// Enters REC 0 with these flags; the script asserts the answer.
fn answer(realm: &TestRealm<'_>, flags: u64) {
    let exit = realm.enter_with(0, |enter| enter.flags = flags);
    assert_record(&exit, RecExitReason::Irq, |_| ());
}

// Conformance: RSI_IPA_STATE_SET exit, complete
// Conformance: RMI_REC_ENTER ripas_answer
// Conformance: REC exits ripas_change
#[test]
fn complete() {
    for (ripas, flags) in [(RAM, 0), (RAM, REJECT), (EMPTY, 0), (EMPTY, REJECT)] {
        let host = Host::new();
        let realm = requested(&host, [PAGE, 5 * PAGE, ripas], [5 * PAGE, RSI_ACCEPT]);
        assert_eq!(set(&realm, PAGE, 5 * PAGE), Status::Success);
        answer(&realm, flags);
    }
}

// Conformance: RSI_IPA_STATE_SET incomplete
// Conformance: RMI_REC_ENTER ripas_answer
#[test]
fn incomplete() {
    for ripas in [RAM, EMPTY] {
        let host = Host::new();
        let realm = requested(&host, [PAGE, 5 * PAGE, ripas], [3 * PAGE, RSI_ACCEPT]);
        assert_eq!(set(&realm, PAGE, 2 * PAGE), Status::Success);
        assert_eq!(set(&realm, 2 * PAGE, 3 * PAGE), Status::Success);
        answer(&realm, 0);
    }
}

// Conformance: RSI_IPA_STATE_SET incomplete
#[test]
fn nothing_done() {
    let host = Host::new();
    answer(&requested(&host, [0, 2 * MIB, RAM], [0, RSI_ACCEPT]), 0);
}

// Conformance: RSI_IPA_STATE_SET rejected
// Conformance: RMI_REC_ENTER ripas_answer
#[test]
fn rejected() {
    let host = Host::new();
    answer(
        &requested(&host, [0, 2 * MIB, RAM], [0, RSI_REJECT]),
        REJECT,
    );
    let realm = requested(&host, [0, 2 * MIB, RAM], [PAGE, RSI_REJECT]);
    assert_eq!(set(&realm, 0, PAGE), Status::Success);
    answer(&realm, REJECT);
}

// Conformance: RSI_IPA_STATE_SET empty_not_rejected
#[test]
fn empty_is_not_rejected() {
    let host = Host::new();
    answer(
        &requested(&host, [PAGE, 2 * PAGE, EMPTY], [PAGE, RSI_ACCEPT]),
        REJECT,
    );
}

#[test]
fn the_request_is_gone_after_the_answer() {
    let host = Host::new();
    let realm = requested(&host, [0, PAGE, RAM], [0, RSI_REJECT]);
    answer(&realm, REJECT);
    assert_eq!(set(&realm, 0, PAGE), Status::Input);
    answer(&realm, REJECT);
}

#[test]
fn the_request_stays_after_a_failed_entry() {
    let host = Host::new();
    let realm = requested(&host, [0, PAGE, RAM], [PAGE, RSI_ACCEPT]);
    let (status, _) = realm.try_enter(0, |enter| enter.gicv3_hcr = 1);
    assert_eq!(status, Status::Rec);
    assert_eq!(set(&realm, 0, PAGE), Status::Success);
    answer(&realm, 0);
}

// Conformance: RSI_IPA_STATE_SET ripas_valid, base_align, top_align, size_valid, rgn_bound
#[test]
fn input_errors() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let end = realm.unprotected();
    realm.script(0, move |cpu| async move {
        for (base, top, ripas) in [
            (0, PAGE, 2),
            (0, PAGE, 3),
            (0, PAGE, 0xFF),
            (1, PAGE, RAM),
            (0, PAGE + 8, RAM),
            (PAGE, PAGE, RAM),
            (2 * PAGE, PAGE, RAM),
            (0, end + PAGE, RAM),
            (end, end + PAGE, RAM),
            (0, 1 << 63, RAM),
        ] {
            let gprs = cpu.smc(&[RSI_IPA_STATE_SET, base, top, ripas, 0]).await;
            assert_eq!(gprs[..4], [RSI_ERROR_INPUT, 0, 0, 0]);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn the_whole_protected_half() {
    let host = Host::new();
    let realm = host.realm().ipa(34, 2, 16).create();
    let _rec = realm.rec(true);
    realm.activate();
    let end = realm.unprotected();
    realm.script(0, move |cpu| async move {
        let mut base = 0;
        while base < end {
            let gprs = cpu.smc(&[RSI_IPA_STATE_SET, base, end, RAM, 0]).await;
            assert_eq!((gprs[0], gprs[2]), (RSI_SUCCESS, RSI_ACCEPT));
            assert!(gprs[1] > base);
            base = gprs[1];
        }
    });
    loop {
        let exit = realm.enter(0);
        if exit.exit_reason == RecExitReason::Irq as u8 {
            break;
        }
        assert_reason(&exit, RecExitReason::RipasChange);
        let status = set(&realm, exit.ripas_base, exit.ripas_top);
        assert_eq!(status, Status::Success);
    }
    assert_eq!(realm.entry(end - PAGE, 3).ripas, RAM);
}

#[test]
fn two_recs_at_once() {
    let host = Host::new();
    let realm = host.realm().with_page(2);
    for rec in [0, 1_u64] {
        realm.script(
            usize::try_from(rec).expect("0 or 1"),
            move |cpu| async move {
                let base = (1 + rec) * PAGE;
                let gprs = cpu
                    .smc(&[RSI_IPA_STATE_SET, base, base + PAGE, RAM, 0])
                    .await;
                assert_eq!(gprs[1], base + PAGE);
            },
        );
    }
    for rec in [0, 1] {
        assert_reason(&realm.enter(rec), RecExitReason::RipasChange);
    }
    for (rec, base) in [(1, 2 * PAGE), (0, PAGE)] {
        let done = host.rtt_set_ripas(realm.rd, realm.rec_pa(rec), base, base + PAGE);
        assert_eq!(done, (Status::Success, base + PAGE));
        assert_reason(&realm.enter(rec), RecExitReason::Irq);
    }
}
