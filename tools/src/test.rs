// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools test`: the tests of the build machine, those on QEMU, the guest, and the target tests
//! again on other machines.
//!
//! A target test that crashes or hangs the machine has failed; the machine is booted again for the
//! tests after it.

mod host;
mod names;
mod opinion;
mod payload;
pub mod pty;
mod shell;
mod target;
mod token;
mod variants;

use crate::Outcome;
use crate::attest::Attestation;
use crate::guest::{self, Guest};
use crate::qemu::Options;
use payload::{Host, Payload};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use target::Target;

/// How many tests ended how, and how long they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    /// Those that the machine cannot do, wholly or in part.
    skipped: u64,
    time: Duration,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.time += other.time;
    }
}

/// Without the time: as the last line must be.
impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
            ..
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// What all tests together came to.
#[derive(Default)]
struct Report {
    /// In the order in which they were run.
    groups: Vec<(String, Count)>,
    failures: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// Adds groups of tests.
    fn add(&mut self, groups: impl IntoIterator<Item = (String, Count)>) {
        self.groups.extend(groups);
    }

    /// Adds the target tests on a machine; `name` is empty for the usual one, whose groups are
    /// shown one by one.
    fn add_target(&mut self, name: &str, target: Target) {
        if name.is_empty() {
            self.add(target.groups);
            self.skipped.extend(target.skipped);
            self.failures.extend(target.failures);
            return;
        }
        let mut sum = Count::default();
        target.groups.into_values().for_each(|count| sum += count);
        self.groups.push((name.to_owned(), sum));
        let of = |line: String| format!("{name}: {line}");
        self.skipped.extend(target.skipped.into_iter().map(of));
        self.failures.extend(target.failures.into_iter().map(of));
    }

    /// Prints everything; the sum is the last line. Returns whether all is well.
    fn print(&self) -> bool {
        let mut total = Count::default();
        println!();
        for (name, count) in &self.groups {
            println!("{name}: {count} ({:.1} s)", count.time.as_secs_f64());
            total += *count;
        }
        for skipped in &self.skipped {
            println!("skipped {skipped}");
        }
        for failure in &self.failures {
            println!("FAILED {failure}");
        }
        println!("all in {:.0} s", total.time.as_secs_f64());
        println!("{total}");
        total.failed == 0 && total.passed > 0
    }
}

/// Runs the tests and prints the sum as last line.
pub fn main(arguments: &[String]) -> Outcome {
    let mut arguments = arguments.to_vec();
    let guest = Guest::take(&mut arguments)?;
    let attestation = Attestation::take(&mut arguments)?;
    let variants = variants::take(&mut arguments)?;
    let alone = variants::take_alone(&mut arguments);
    let payload = Payload::take(&mut arguments)?;
    let host = Host::take(&mut arguments)?;
    let options = Options::parse(&arguments, 2048, 900)?;
    guest::check_machine(options.board, options.memory)?;
    if let Some(only) = &options.only {
        names::Names::all()?.check(only)?;
    }
    let mut report = Report::default();
    if !options.target_only {
        let groups = host::run(options.long)?;
        let failed = groups.iter().filter(|(_, count)| count.failed > 0);
        let names = failed.map(|(name, _)| format!("{name}: see above"));
        report.failures.extend(names);
        report.add(groups);
    }
    let mut target = Target::default();
    if target::wants_host(&options) && !alone {
        target.run(&options)?;
    }
    if let Some(guest) = guest {
        if [target::GUEST, target::SECOND_VERIFIER]
            .iter()
            .any(|test| target::wants(&options, test))
        {
            target.guest(&options, &guest, attestation.as_ref())?;
        }
        if let Some(attestation) = &attestation
            && target::wants(&options, target::GUEST_2)
        {
            target.guest_2(&options, &guest, attestation)?;
        }
        if target::wants(&options, target::SHELL) {
            target.shell(&options, &guest);
        }
        if let Some(attestation) = attestation.filter(|_| options.long) {
            target.tampered(&options, &guest, &attestation)?;
        }
    }
    if let Some(flash) = payload {
        target.payloads(&options, flash);
    }
    if let Some(host) = host {
        target.host(&options, &host);
    }
    report.add_target("", target);
    for variant in variants {
        println!("\nAgain: {}", variant.what);
        let mut target = Target::default();
        target.run(&variant.options(&options))?;
        report.add_target(variant.name, target);
    }
    Ok(if report.print() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Groups of tests by name.
type Groups = BTreeMap<String, Count>;
