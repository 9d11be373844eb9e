// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools run`: boots a guest kernel as a Realm, or without `--linux` the demonstration, and
//! shows what is printed.

use crate::Outcome;
use crate::attest::{self, Attestation, Ended, Exchange, Plan, Sealed};
use crate::guest::{self, Guest};
use crate::qemu::{Boot, Event, Options, is_crash};
use std::error::Error;
use std::path::PathBuf;
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
    let attestation = Attestation::take(&mut arguments)?;
    let timeout = guest.as_ref().map_or(120, |_| GUEST_TIMEOUT);
    let mut options = Options::parse(&arguments, 3072, timeout)
        .map_err(|error| format!("{error} {} {}", guest::USAGE, attest::USAGE))?;
    let start = Instant::now();
    let why = match &guest {
        Some(guest) => self::guest(&mut options, guest, attestation.as_ref())?.why,
        None => run(&options, "mode run\n", Judge::new(None), |_| Ok(()))?,
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

/// How the run of a guest ended.
pub struct Report {
    /// Why it failed, if it did.
    pub why: Option<String>,
    /// The token that was verified, and what it was verified for.
    pub verified: Option<Verified>,
}

/// A token that the relying party verified.
pub struct Verified {
    /// The token's file.
    pub token: PathBuf,
    /// Hexadecimal, as the RIM that the launch description leads to.
    pub challenge: String,
    /// Computed from the launch description.
    pub rim: String,
}

/// Runs a guest, which attests itself if there is a relying party.
///
/// # Errors
///
/// If the run cannot be started.
pub fn guest(
    options: &mut Options,
    guest: &Guest,
    attestation: Option<&Attestation>,
) -> Result<Report, Box<dyn Error>> {
    options.silence = options.silence.max(GUEST_SILENCE);
    let memory = options.memory << 20;
    let Some(attestation) = attestation else {
        let prepared = guest.prepare(options.board, memory, None)?;
        println!("run: command line: {}", prepared.command_line);
        options.extra.extend(prepared.arguments);
        let request = format!("mode guest\n{}", prepared.request);
        let why = run(options, &request, Judge::new(None), |_| Ok(()))?;
        return Ok(Report {
            why,
            verified: None,
        });
    };

    let plan = attestation.plan;
    let mut sealed = Sealed::new(attestation, guest.folder())?;
    let prepared = guest.prepare(options.board, memory, Some(&sealed.disk))?;
    println!("run: command line: {}", prepared.command_line);
    let rim = attestation.rim(&guest.description())?;
    println!("run: launch.toml leads to RIM {rim}");
    let mut request = format!("mode guest\n{}", prepared.request);
    if let Plan::Tampered(tamper) = plan {
        println!("run: TAMPER: {}", tamper.deed());
        let initrd = prepared.initrd.as_ref();
        request += &tamper.request(initrd.map(|(file, ipa)| (file.as_path(), *ipa)))?;
    }
    options.extra.extend(prepared.arguments);

    let token = guest.folder().join("token.cbor");
    // One of an earlier run would be taken for one of this.
    if token.exists() {
        std::fs::remove_file(&token)?;
    }
    let mut exchange = None;
    let why = run(options, &request, Judge::new(Some(plan.verdict())), |at| {
        match at {
            At::Start(boot) => {
                let host = boot.input().ok_or("QEMU has no input")?;
                let description = guest.description();
                let files = (description.as_path(), token.as_path());
                exchange = Some(Exchange::start(
                    attestation,
                    &sealed.secret,
                    files,
                    options.timeout,
                    host,
                )?);
            }
            At::Line(line) => {
                sealed.line(line);
                if let (Some(line), Some(exchange)) =
                    (line.strip_prefix(attest::FROM_REALM), &mut exchange)
                {
                    exchange.carry(line)?;
                }
            }
        }
        Ok(())
    })?;
    let ended = exchange.map(Exchange::finish).unwrap_or_default();
    let judged = plan.judge(&ended, &rim);
    let opened = sealed.judge(!matches!(plan, Plan::Tampered(_)));
    if let Ok(what) = &judged {
        println!("run: {what}");
    }
    let verified = ended.into_iter().find_map(|session| match session {
        Ended::Released { challenge, .. } => Some(challenge),
        _ => None,
    });
    Ok(Report {
        // What the relying party says comes first: the guest's verdict follows from it.
        why: judged.err().or(opened.err()).or(why),
        verified: verified.map(|challenge| Verified {
            token,
            challenge,
            rim,
        }),
    })
}

/// What [`run`] reports while it runs.
enum At<'a> {
    /// QEMU was started.
    Start(&'a mut Boot),
    /// It printed a line.
    Line(&'a str),
}

/// Why the run failed, if it did.
fn run(
    options: &Options,
    request: &str,
    mut judge: Judge,
    mut at: impl FnMut(At<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<Option<String>, Box<dyn Error>> {
    let mut boot = Boot::start(options, request)?;
    at(At::Start(&mut boot))?;
    let why = loop {
        match boot.next() {
            Event::Line(line) => {
                println!("{}", shown(&line));
                if is_crash(&line) {
                    boot.shorten(Duration::from_secs(2));
                }
                at(At::Line(&line))?;
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

/// A line of the UART, as people get to see it: it cannot be taken for one of the build machine.
fn shown(line: &str) -> String {
    if line.starts_with(attest::FROM_REALM) {
        attest::shown(line)
    } else if ["run: ", attest::NAME, attest::TO_REALM]
        .iter()
        .any(|name| line.starts_with(name))
    {
        format!("uart: {line}")
    } else {
        line.to_owned()
    }
}

/// What the lines of a run amount to.
#[derive(Default)]
struct Judge {
    /// What the guest's own checks must end with, if it has some.
    wanted: Option<&'static str>,
    /// The Host has done everything.
    complete: bool,
    /// The guest's checks have ended as they must.
    passed: bool,
    /// The first line that reports a failure.
    failure: Option<String>,
}

impl Judge {
    fn new(wanted: Option<&'static str>) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    fn line(&mut self, line: String) {
        self.complete |= line == COMPLETE;
        let verdict = line.strip_prefix(VERDICT);
        self.passed |= verdict.is_some() && verdict == self.wanted;
        if is_crash(&line)
            || line.starts_with("host: FAILED")
            || line.starts_with("host: crashed")
            || verdict.is_some_and(|verdict| verdict != self.wanted.unwrap_or("PASS"))
        {
            self.failure.get_or_insert(line);
        }
    }

    /// Why the run failed although QEMU ended with success, if it did.
    fn end(&self) -> Option<String> {
        match (self.complete, self.passed || self.wanted.is_none()) {
            (true, true) => None,
            (true, false) => Some("the guest gave no verdict".into()),
            (false, _) => Some("QEMU ended before the Host was done".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(wanted: Option<&'static str>, lines: &[&str]) -> Option<String> {
        let mut judge = Judge::new(wanted);
        lines.iter().for_each(|line| judge.line((*line).into()));
        let end = judge.end();
        judge.failure.or(end)
    }

    #[test]
    fn a_run_needs_its_end_and_the_guests_verdict() {
        let pass = "realm: verdict: PASS";
        let fail = "realm: verdict: FAIL: 2";
        assert_eq!(judge(None, &["host: started", COMPLETE]), None);
        assert_eq!(judge(Some("PASS"), &[pass, COMPLETE]), None);
        assert!(judge(Some("PASS"), &[COMPLETE]).is_some());
        assert!(judge(Some("PASS"), &[pass]).is_some());
        assert_eq!(
            judge(Some("PASS"), &[fail, COMPLETE]).as_deref(),
            Some(fail)
        );
        assert_eq!(judge(None, &[fail, COMPLETE]).as_deref(), Some(fail));
        assert!(judge(None, &["host: FAILED: why", COMPLETE]).is_some());
        let tampered = Some("FAIL: 1");
        let one = "realm: verdict: FAIL: 1";
        assert_eq!(judge(tampered, &[one, COMPLETE]), None);
        assert!(judge(tampered, &[pass, COMPLETE]).is_some());
        assert!(judge(tampered, &[fail, COMPLETE]).is_some());
        // What a Realm prints is no crash of the monitor's.
        assert_eq!(judge(None, &["realm: Kernel panic", COMPLETE]), None);
    }
    #[test]
    fn the_machine_cannot_speak_for_the_build_machine() {
        assert_eq!(shown("run: PASS"), "uart: run: PASS");
        let line = "relying party: token: verified, RIM 00";
        assert_eq!(shown(line), format!("uart: {line}"));
        assert_eq!(shown("host: started"), "host: started");
        let token = format!("carrier> {}", "x".repeat(700));
        assert!(shown(&token).len() < 150);
    }
}
