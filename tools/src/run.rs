// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools run`: boots a guest kernel as a Realm, or without `--linux` the demonstration, and
//! shows what is printed.

use crate::Outcome;
use crate::guest::{self, Guest};
use crate::qemu::{Boot, Event, Options, is_crash};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The last line of a Host that has finished.
const COMPLETE: &str = "host: run complete";
/// How the verdict of a guest's own checks begins.
const VERDICT: &str = "realm: verdict: ";
/// Seconds that a guest may take, and seconds without a line.
const GUEST_TIMEOUT: u64 = 600;
const GUEST_SILENCE: u64 = 120;

/// Boots, prints, judges.
pub fn main(arguments: &[String]) -> Outcome {
    let mut arguments = arguments.to_vec();
    let guest = Guest::take(&mut arguments)?;
    // Whether the guest has checks of its own.
    let verdict = arguments.iter().position(|word| word == "--verdict");
    let needs_verdict = verdict.map(|n| arguments.remove(n)).is_some();
    let timeout = guest.as_ref().map_or(120, |_| GUEST_TIMEOUT);
    let mut options = Options::parse(&arguments, 3072, timeout)
        .map_err(|error| format!("{error} {}", guest::USAGE))?;
    let start = Instant::now();
    let why = match &guest {
        Some(guest) => self::guest(&mut options, guest, needs_verdict)?,
        None => run(&options, "mode run\n", false)?,
    };
    println!("run: {} s", start.elapsed().as_secs());
    match why {
        None => {
            println!("run: PASS");
            Ok(ExitCode::SUCCESS)
        }
        Some(why) => {
            println!("run: FAIL: {why}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Runs a guest. Returns why that failed, if it did.
pub fn guest(
    options: &mut Options,
    guest: &Guest,
    needs_verdict: bool,
) -> Result<Option<String>, Box<dyn Error>> {
    let prepared = guest.prepare(options.memory << 20)?;
    println!("run: command line: {}", prepared.command_line);
    options.extra.extend(prepared.arguments);
    options.silence = options.silence.max(GUEST_SILENCE);
    let request = format!("mode guest\n{}", prepared.request);
    run(options, &request, needs_verdict)
}

/// Why the run failed, if it did.
fn run(
    options: &Options,
    request: &str,
    needs_verdict: bool,
) -> Result<Option<String>, Box<dyn Error>> {
    let mut boot = Boot::start(options, request)?;
    let mut judge = Judge {
        passed: !needs_verdict,
        ..Judge::default()
    };
    let why = loop {
        match boot.next() {
            Event::Line(line) => {
                println!("{line}");
                if is_crash(&line) {
                    boot.shorten(Duration::from_secs(2));
                }
                judge.line(line);
            }
            Event::Ended(true) => break judge.end(),
            Event::Ended(false) => break Some("QEMU failed".into()),
            Event::Silent => break Some(format!("no output for {} s", options.silence)),
            Event::Timeout => break Some(format!("not done after {} s", options.timeout)),
        }
    };
    Ok(judge.failure.or(why))
}

/// The outcome of a run, from its lines.
#[derive(Default)]
struct Judge {
    /// The Host has finished.
    complete: bool,
    /// The guest's verdict is PASS, or none is needed.
    passed: bool,
    /// The first line that reports a failure.
    failure: Option<String>,
}

impl Judge {
    fn line(&mut self, line: String) {
        self.complete |= line == COMPLETE;
        let verdict = line.strip_prefix(VERDICT);
        self.passed |= verdict == Some("PASS");
        if is_crash(&line)
            || line.starts_with("host: FAILED")
            || line.starts_with("host: crashed")
            || verdict.is_some_and(|verdict| verdict != "PASS")
        {
            self.failure.get_or_insert(line);
        }
    }

    /// Why the run failed although QEMU ended with success, if it did.
    fn end(&self) -> Option<String> {
        match (self.complete, self.passed) {
            (true, true) => None,
            (true, false) => Some("the guest gave no verdict".into()),
            (false, _) => Some("QEMU ended before the Host was done".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(needs_verdict: bool, lines: &[&str]) -> Option<String> {
        let mut judge = Judge {
            passed: !needs_verdict,
            ..Judge::default()
        };
        lines.iter().for_each(|line| judge.line((*line).into()));
        let end = judge.end();
        judge.failure.or(end)
    }

    #[test]
    fn a_run_needs_its_end_and_the_guests_verdict() {
        let pass = "realm: verdict: PASS";
        let fail = "realm: verdict: FAIL: 2";
        assert_eq!(judge(false, &["host: started", COMPLETE]), None);
        assert_eq!(judge(true, &[pass, COMPLETE]), None);
        assert!(judge(true, &[COMPLETE]).is_some());
        assert!(judge(true, &[pass]).is_some());
        assert_eq!(judge(true, &[fail, COMPLETE]).as_deref(), Some(fail));
        assert_eq!(judge(false, &[fail, COMPLETE]).as_deref(), Some(fail));
        assert!(judge(false, &["host: FAILED: why", COMPLETE]).is_some());
        // A line of a Realm is no crash of the monitor.
        assert_eq!(judge(false, &["realm: Kernel panic", COMPLETE]), None);
    }
}
