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
mod psci;
mod reuse;
mod ripas;
mod rsi;
mod state;
mod timers;

use rmm_abi::rmi::{RecEnter, RecEnterFlags, RecExit, RecExitReason};
use rmm_core::fake::{Host, PAGE, TestRealm};
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
