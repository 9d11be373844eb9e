// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools test`: the tests of the build machine, then those on QEMU.
//!
//! A target test that crashes or hangs the machine has failed; the machine is booted again for the
//! tests after it.

use crate::Outcome;
use crate::guest::Guest;
use crate::qemu::{Boot, Event, Options, is_crash};
use crate::run;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Seconds for all boots together.
const LIMIT: u64 = 1500;

/// Seconds for the guest kernel, of which it needs a tenth on an idle machine.
const GUEST_LIMIT: u64 = 400;
/// Its name as a test.
const GUEST: &str = "guest.linux";

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    /// Those that the machine cannot do, wholly or in part.
    skipped: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Runs the tests and prints the sum as last line.
pub fn main(arguments: &[String]) -> Outcome {
    let mut arguments = arguments.to_vec();
    let guest = Guest::take(&mut arguments)?;
    let options = Options::parse(&arguments, 2048, 900)?;
    let mut total = Count::default();
    if !options.target_only {
        let count = host_tests()?;
        println!("host crates: {count}");
        total += count;
    }
    let mut target = Target::default();
    target.run(&options)?;
    if let Some(guest) = guest {
        target.guest(&options, &guest)?;
    }
    println!();
    for (group, count) in &target.groups {
        println!("{group}: {count}");
        total += *count;
    }
    for skipped in &target.skipped {
        println!("skipped {skipped}");
    }
    for failure in &target.failures {
        println!("FAILED {failure}");
    }
    println!("{total}");
    Ok(if total.failed == 0 && total.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// `cargo test` of the crates that run on the build machine.
fn host_tests() -> Result<Count, Box<dyn Error>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut child = Command::new(cargo)
        .args(["test", "--no-fail-fast"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("cargo has no output")?;
    let mut count = Count::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        if let Some(result) = line.strip_prefix("test result: ") {
            count.passed += number_before(result, " passed");
            count.failed += number_before(result, " failed");
            count.skipped += number_before(result, " ignored");
        }
    }
    if !child.wait()?.success() && count.failed == 0 {
        println!("cargo test failed");
        count.failed = 1;
    }
    Ok(count)
}

/// The number that stands before a word, 0 without it.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or("");
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Results of the target tests.
#[derive(Default)]
struct Target {
    groups: BTreeMap<String, Count>,
    failures: Vec<String>,
    skipped: Vec<String>,
    /// The test that runs.
    current: Option<String>,
    /// The last test that was started.
    last: Option<String>,
}

impl Target {
    /// Boots until every test has been started.
    fn run(&mut self, options: &Options) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + Duration::from_secs(LIMIT);
        loop {
            let before = self.last.clone();
            let Some(why) = self.boot(options, end)? else {
                return Ok(());
            };
            match self.current.take() {
                Some(test) => self.fail(&test, &why),
                None if self.last != before => {
                    let place = format!("boot.after {}", self.last.as_deref().unwrap_or("start"));
                    self.fail(&place, &why);
                }
                None => {
                    self.fail("boot.start", &why);
                    return Ok(());
                }
            }
            if Instant::now() >= end {
                self.fail("boot.limit", &format!("tests not done after {LIMIT} s"));
                return Ok(());
            }
        }
    }

    /// The guest kernel as a Realm, with its own checks, as one test.
    fn guest(&mut self, options: &Options, guest: &Guest) -> Result<(), Box<dyn Error>> {
        let mut options = options.clone();
        options.timeout = GUEST_LIMIT;
        match run::guest(&mut options, guest, true)? {
            None => {
                println!("{GUEST} ... ok");
                self.count(GUEST).passed += 1;
            }
            Some(why) => self.fail(GUEST, &why),
        }
        Ok(())
    }

    /// One boot. Returns why it did not come to its end, if it did not.
    fn boot(&mut self, options: &Options, end: Instant) -> Result<Option<String>, Box<dyn Error>> {
        let mut request = String::from("mode test\n");
        if let Some(last) = &self.last {
            request += &format!("after {last}\n");
        }
        if let Some(only) = &options.only {
            request += &format!("only {only}\n");
        }
        let mut boot = Boot::start(options, &request)?;
        boot.shorten(end.saturating_duration_since(Instant::now()));
        let mut crash = None;
        let mut complete = false;
        loop {
            let why = match boot.next() {
                Event::Line(line) => {
                    if is_crash(&line) || line.starts_with("host: crashed") {
                        boot.shorten(Duration::from_secs(2));
                        crash.get_or_insert_with(|| line.clone());
                    }
                    complete |= self.line(&line);
                    continue;
                }
                Event::Ended(true) if complete => return Ok(None),
                Event::Ended(true) => "QEMU ended early".into(),
                Event::Ended(false) => "QEMU failed".into(),
                Event::Silent => format!("hangs: no output for {} s", options.silence),
                Event::Timeout => "not done in time".into(),
            };
            return Ok(Some(crash.unwrap_or(why)));
        }
    }

    /// Takes a line of the UART. Returns whether it is the Host's last.
    fn line(&mut self, line: &str) -> bool {
        if let Some(name) = line.strip_prefix("start ") {
            self.current = Some(name.to_owned());
            self.last = Some(name.to_owned());
            return false;
        }
        println!("{line}");
        let result = self.current.as_ref().and_then(|test| {
            let result = line.strip_prefix(test.as_str())?.strip_prefix(" ... ")?;
            Some((test.clone(), result))
        });
        match result {
            Some((test, "ok")) => {
                self.count(&test).passed += 1;
                self.current = None;
            }
            Some((test, result)) if result.starts_with("skipped: ") => {
                let why = result.trim_start_matches("skipped: ");
                self.count(&test).skipped += 1;
                self.skipped.push(format!("{test}: {why}"));
                self.current = None;
            }
            Some((test, result)) => {
                let why = result.strip_prefix("FAILED: ").unwrap_or(result);
                self.count(&test).failed += 1;
                self.failures.push(format!("{test}: {why}"));
                self.current = None;
            }
            None => {}
        }
        line.starts_with("host: ") && line.ends_with(" skipped")
    }

    fn count(&mut self, test: &str) -> &mut Count {
        let group = test.split('.').next().unwrap_or(test);
        self.groups.entry(group.to_owned()).or_default()
    }

    fn fail(&mut self, test: &str, why: &str) {
        println!("{test} ... FAILED: {why}");
        self.count(test).failed += 1;
        self.failures.push(format!("{test}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_by_group() {
        let mut target = Target::default();
        for line in [
            "NOTICE:  something of EL3",
            "start rtt.one",
            "rtt.one ... ok",
            "start rtt.two",
            "rtt.two ... FAILED: status 1",
            "rec.one ... ok",
            "start rtt.three",
            "rtt.three ... skipped: why",
        ] {
            assert!(!target.line(line));
        }
        assert!(target.line("host: 1 passed, 1 failed, 1 skipped"));
        let rtt = target.groups["rtt"];
        assert_eq!(rtt.to_string(), "1 passed, 1 failed, 1 skipped");
        // A result without a start does not count.
        assert!(!target.groups.contains_key("rec"));
        assert_eq!(target.failures, ["rtt.two: status 1"]);
        assert_eq!(target.skipped, ["rtt.three: why"]);
        assert_eq!(target.last.as_deref(), Some("rtt.three"));
        assert_eq!(target.current, None);
    }

    #[test]
    fn cargo_result_lines_are_summed() {
        let line = "ok. 12 passed; 3 failed; 1 ignored; 0 measured";
        assert_eq!(number_before(line, " passed"), 12);
        assert_eq!(number_before(line, " failed"), 3);
        assert_eq!(number_before(line, " ignored"), 1);
        assert_eq!(number_before("nothing", " failed"), 0);
    }
}
