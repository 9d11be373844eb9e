// SPDX-License-Identifier: BSD-3-Clause
//! Comparing exit records byte by byte.

use rmm_abi::rmi::{RecExit, RecExitReason};
use zerocopy::{FromZeros, IntoBytes};

/// Asserts that each byte of an exit record is as expected: the reason, what `fill` writes, and
/// zero everywhere else.
///
/// # Panics
/// If a byte differs.
#[track_caller]
pub fn assert_record(found: &RecExit, reason: RecExitReason, fill: impl FnOnce(&mut RecExit)) {
    let mut expected = RecExit::new_zeroed();
    expected.exit_reason = reason as u8;
    fill(&mut expected);
    assert!(
        found.as_bytes() == expected.as_bytes(),
        "exit record:\n{}expected:\n{}",
        describe_record(found),
        describe_record(&expected)
    );
}

/// Asserts that a REC left for this reason.
///
/// # Panics
/// If it left for another one.
#[track_caller]
pub fn assert_reason(exit: &RecExit, reason: RecExitReason) {
    let record = describe_record(exit);
    assert_eq!(exit.exit_reason, reason as u8, "exit record:\n{record}");
}

/// Asserts that a REC left by a PSCI call with these registers from X0 on.
///
/// # Panics
/// If it did not, or another byte of the exit record is not zero.
#[track_caller]
pub fn assert_psci(exit: &RecExit, gprs: &[u64]) {
    assert_record(exit, RecExitReason::Psci, |exit| {
        exit.gprs[..gprs.len()].copy_from_slice(gprs);
    });
}

/// The words of an exit record that are not zero, one line each, by their offset in the record.
#[must_use]
pub fn describe_record(exit: &RecExit) -> String {
    let (words, _) = exit.as_bytes().as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words
        .enumerate()
        .filter(|(_, word)| *word != 0)
        .map(|(n, word)| format!("  {:#05x}: {word:#x}\n", 8 * n))
        .collect()
}
