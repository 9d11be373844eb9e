// SPDX-License-Identifier: BSD-3-Clause
//! RECs that run: RMI_REC_ENTER, what a Realm does and what its Host sees of it.
//!
//! A Realm is a script ([`RealmCpu`](rmm_core::fake::RealmCpu)); what it finds is asserted in the
//! script, what the Host finds in the test. A script that does not come to its end fails the test.

mod aborts;
mod enter;
mod exits;
mod faults;
mod gic;
mod host_call;
mod measurement;
mod mmio;
mod order;
mod psci;
mod reuse;
mod ripas;
mod rsi;
mod state;
mod timers;

use rmm_abi::psci::fid::PSCI_CPU_SUSPEND;
use rmm_abi::rmi::{RecEnter, RecEnterFlags, RecExit, RecExitReason};
use rmm_abi::rsi::fid::{RSI_HOST_CALL, RSI_IPA_STATE_SET};
use rmm_core::fake::{Host, PAGE, RealmCpu, Status, TestRealm};
use zerocopy::{FromZeros, IntoBytes};

const MIB: u64 = 1 << 20;

const EMPTY: u64 = 0;
const RAM: u64 = 1;
const DESTROYED: u64 = 2;

/// An exit record with this reason, all zero but for what `fill` writes.
fn record(reason: RecExitReason, fill: impl FnOnce(&mut RecExit)) -> RecExit {
    let mut exit = RecExit::new_zeroed();
    exit.exit_reason = reason as u8;
    fill(&mut exit);
    exit
}

/// Asserts that an exit record is this one, in each of its bytes.
#[track_caller]
fn assert_record(found: &RecExit, reason: RecExitReason, fill: impl FnOnce(&mut RecExit)) {
    let expected = record(reason, fill);
    let differs = |n: &usize| found.as_bytes()[*n] != expected.as_bytes()[*n];
    let first = (0..found.as_bytes().len()).find(differs);
    assert!(
        first.is_none(),
        "exit record differs from {first:#x?} on:\n{}\ninstead of\n{}",
        show(found),
        show(&expected)
    );
}

/// The fields of an exit record that are not zero, by offset.
fn show(exit: &RecExit) -> String {
    let (words, _) = exit.as_bytes().as_chunks::<8>();
    let words = words
        .iter()
        .enumerate()
        .filter(|(_, word)| **word != [0; 8]);
    words
        .map(|(n, word)| format!("  {:#05x}: {:#x}\n", 8 * n, u64::from_le_bytes(*word)))
        .collect()
}

#[track_caller]
fn assert_reason(exit: &RecExit, reason: RecExitReason) {
    assert_eq!(exit.exit_reason, reason as u8, "{}", show(exit));
}

/// Sets these flags of an entry.
fn flags(flags: RecEnterFlags) -> impl FnOnce(&mut RecEnter) {
    move |enter| enter.flags = flags.bits()
}

/// An ACTIVE Realm with one REC and a page of memory, zero, at IPA 0.
fn with_page(host: &Host) -> TestRealm<'_> {
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.data(0, &[]);
    realm.activate();
    realm
}

/// As [`with_page`], with `count` runnable RECs.
fn with_recs(host: &Host, count: usize) -> TestRealm<'_> {
    let realm = host.realm().create();
    for _ in 0..count {
        let _rec = realm.rec(true);
    }
    realm.data(0, &[]);
    realm.activate();
    realm
}

/// An IPA beyond what [`with_page`] maps, in the same table.
const NEXT: u64 = PAGE;

/// What REC 0 of [`with_page`] does for [`for_each_exit`]: leaves once for each reason, and at last
/// by a host call whose answer cannot be written. `device` is an Unprotected IPA.
async fn leave_for_each_reason(cpu: &RealmCpu, device: u64) {
    cpu.irq().await;
    cpu.fiq().await;
    cpu.read(device).await.expect("emulated");
    let set = [RSI_IPA_STATE_SET, 0, PAGE, RAM, 0];
    let _gprs = cpu.smc(&set).await;
    let _gprs = cpu.smc(&[PSCI_CPU_SUSPEND]).await;
    cpu.serror(0x2F << 26 | 6 << 10 | 0x11).await;
    let _never = cpu.smc(&[RSI_HOST_CALL, 0]).await;
}

/// Enters REC 0, which does [`leave_for_each_reason`], with what `fill` writes, and shows `check`
/// the record of each exit, the one of an entry that does not run the Realm among them.
fn for_each_exit(
    realm: &TestRealm<'_>,
    fill: impl Fn(&mut RecEnter),
    check: impl Fn(&RecExit, RecExitReason),
) {
    realm.may_be_unfinished();
    let enter = |reason, flags: RecEnterFlags| {
        let exit = realm.enter_with(0, |enter| {
            fill(enter);
            enter.flags = flags.bits();
        });
        assert_reason(&exit, reason);
        check(&exit, reason);
    };
    for reason in [RecExitReason::Irq, RecExitReason::Fiq, RecExitReason::Sync] {
        enter(reason, RecEnterFlags::empty());
    }
    enter(RecExitReason::RipasChange, RecEnterFlags::EMUL_MMIO);
    for reason in [
        RecExitReason::Psci,
        RecExitReason::SError,
        RecExitReason::HostCall,
    ] {
        enter(reason, RecEnterFlags::empty());
    }
    let (status, ..) = realm.host.data_destroy(realm.rd, 0);
    assert_eq!(status, Status::Success);
    enter(RecExitReason::Sync, RecEnterFlags::empty());
}
