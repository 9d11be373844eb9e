// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools run`: boots a guest kernel as a Realm, or without `--linux` a demonstration, shows what is
//! printed, and judges it.

mod judge;
mod phases;
mod session;

use crate::Outcome;
use crate::attest::{self, Attestation, Ended, Exchange, Plan, Sealed, Tamper};
use crate::guest::{self, Guest};
use crate::qemu::{Ask, Boot, Event, Options, is_crash};
use crate::show;
use crate::tfa::{self, NEEDS_RMI_2};
use cca_token::rim::Rmi;
use judge::Judge;
use phases::{GUEST_OFF, Phases};
use session::Session;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tests_fvp::guest::FROM_PORT;

/// Seconds that a demonstration may take.
const DEMO_TIMEOUT: u64 = 300;
/// Seconds that a guest may take, and seconds without a line.
const GUEST_TIMEOUT: u64 = 600;
const GUEST_SILENCE: u64 = 120;
/// DRAM of the machine, in MiB.
const MEMORY: u64 = 3072;
/// The file with everything that a guest's run prints, in the guest's folder.
const LOG: &str = "console.log";

/// The demonstrations: how the user names them, and the test Host.
const DEMOS: [(&str, &str); 3] = [("1", "run"), ("life", "run"), ("isolation", "isolation")];

const USAGE: &str = "[--check] [--interactive] [--verbose] [--demo life|isolation]";

/// Boots, prints, judges.
pub fn main(arguments: &[String]) -> Outcome {
    let mut arguments = arguments.to_vec();
    let mut guest = Guest::take(&mut arguments)?;
    let attestation = Attestation::take(&mut arguments)?;
    let interactive = flag(&mut arguments, "--interactive");
    let verbose = flag(&mut arguments, "--verbose");
    let check = flag(&mut arguments, "--check");
    let tfa = value(&mut arguments, "--tfa");
    let release = value(&mut arguments, "--tfa-release");
    let demo = demo(&mut arguments)?;
    if check {
        // Before anything is fetched or built: no flash file is there yet.
        let Some(guest) = guest else {
            return Ok(ExitCode::SUCCESS);
        };
        let (file, release) = (tfa.unwrap_or_default(), release.unwrap_or_default());
        if guest.rmi == Rmi::V2 && tfa::will_be_too_old_for_rmi_2(Path::new(&file), &release) {
            return Err(NEEDS_RMI_2.into());
        }
        return guest.check_files().map(|()| ExitCode::SUCCESS);
    }
    let timeout = match &guest {
        Some(_) if interactive => session::NO_LIMIT,
        Some(_) => GUEST_TIMEOUT,
        None => DEMO_TIMEOUT,
    };
    let mut options = Options::parse(&arguments, MEMORY, timeout)
        .map_err(|error| format!("{error} {USAGE} {} {}", guest::USAGE, attest::USAGE))?;
    guest::check_machine(options.board, options.memory)?;
    if let Some(only) = options.only {
        return Err(format!("--only {only} selects tests: a run has none").into());
    }
    if let Some(guest) = &guest {
        check_dialect(guest, &options, attestation.as_ref())?;
    }
    if let Some(guest) = &mut guest {
        guest.terminal = interactive;
        std::fs::create_dir_all(guest.folder())?;
        let log = guest.folder().join(LOG);
        show::set(Some(&log), verbose)?;
        let see = if verbose { "" } else { "; VERBOSE=1 shows it" };
        let log = log.display();
        show::run(&format!("everything that is printed is also in {log}{see}"));
    } else if interactive {
        return Err("INTERACTIVE=1 needs a guest: no DEMO".into());
    } else {
        show::set(None, verbose)?;
    }
    let start = Instant::now();
    let why = match &guest {
        Some(guest) => self::guest(&mut options, guest, attestation.as_ref())?.why,
        None => {
            let request = format!("mode {demo}\n");
            run(&options, &request, Judge::of_host(), None, |_| Ok(()))?
        }
    };
    show::run(&format!("{} s", start.elapsed().as_secs()));
    match why {
        None => {
            show::run("PASS");
            Ok(ExitCode::SUCCESS)
        }
        Some(why) => {
            show::run(&format!("FAIL: {why}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Checks that a guest can be made by the dialect that it is to be made by.
fn check_dialect(
    guest: &Guest,
    options: &Options,
    attestation: Option<&Attestation>,
) -> Result<(), &'static str> {
    if guest.rmi == Rmi::V1 {
        return Ok(());
    }
    if tfa::is_too_old_for_rmi_2(Path::new(&options.flash)) {
        return Err(NEEDS_RMI_2);
    }
    match attestation.map(|party| party.plan) {
        Some(Plan::Tampered(Tamper::Param)) => {
            Err("TAMPER=param has RMI 1.0 only: RMI 2.0 does not measure parameters")
        }
        _ => Ok(()),
    }
}

/// Takes an option with its value out of the arguments.
fn value(arguments: &mut Vec<String>, name: &str) -> Option<String> {
    let at = arguments.iter().position(|word| word == name)?;
    arguments.drain(at..(at + 2).min(arguments.len())).nth(1)
}

/// Takes a flag out of the arguments. Returns whether it was there.
fn flag(arguments: &mut Vec<String>, name: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|word| word != name);
    arguments.len() < before
}

/// Takes `--demo NAME` out of the arguments. Returns the test Host's name of it.
fn demo(arguments: &mut Vec<String>) -> Result<&'static str, String> {
    let Some(at) = arguments.iter().position(|word| word == "--demo") else {
        return Ok("run");
    };
    let mut taken = arguments.drain(at..(at + 2).min(arguments.len())).skip(1);
    let name = taken.next().unwrap_or_default();
    let found = DEMOS.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, mode)| *mode)
        .ok_or_else(|| format!("DEMO={name} is not a demonstration: 1, life or isolation"))
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
    if guest.terminal {
        session::unlimited(options);
    }
    let memory = options.memory << 20;
    let Some(attestation) = attestation else {
        let prepared = guest.prepare(options.board, memory, None)?;
        show::detail(&format!("command line: {}", prepared.command_line));
        options.extra.extend(prepared.arguments);
        let request = format!("mode guest\n{}", prepared.request);
        let judge = Judge::of_guest(None);
        let why = run(options, &request, judge, Some(guest), |_| Ok(()))?;
        return Ok(Report {
            why,
            verified: None,
        });
    };
    if guest.terminal {
        return Err("a guest that attests itself has no terminal".into());
    }

    let plan = attestation.plan;
    let mut sealed = Sealed::new(attestation, guest.folder())?;
    let prepared = guest.prepare(options.board, memory, Some(&sealed.disk))?;
    show::detail(&format!("command line: {}", prepared.command_line));
    let rim = attestation.rim(&guest.description())?;
    show::detail(&format!("launch.toml leads to RIM {rim}"));
    let mut request = format!("mode guest\n{}", prepared.request);
    if let Plan::Tampered(tamper) = plan {
        show::run(&format!("TAMPER: {}", tamper.deed()));
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
    let mut has_asked = false;
    let judge = Judge::of_guest(Some(plan.verdict()));
    let why = run(options, &request, judge, Some(guest), |at| {
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
                    has_asked = true;
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
        show::run(what);
    }
    let verified = ended.iter().find_map(|session| match session {
        Ended::Released { challenge, .. } => Some(challenge.clone()),
        _ => None,
    });
    // What the relying party says comes first, because the guest's verdict follows from it; but not if the
    // guest never got so far.
    let (early, late) = if has_asked { (None, why) } else { (why, None) };
    Ok(Report {
        why: early.or(judged.err()).or(opened.err()).or(late),
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

/// Longest time for a guest whose kernel has panicked.
const RESET: Duration = Duration::from_secs(40);

/// Why the run failed, if it did.
fn run(
    options: &Options,
    request: &str,
    mut judge: Judge,
    guest: Option<&Guest>,
    mut at: impl FnMut(At<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<Option<String>, Box<dyn Error>> {
    show::begin();
    let mut boot = Boot::start(options, request)?;
    at(At::Start(&mut boot))?;
    let mut phases = Phases::default();
    let mut hangs = false;
    let mut session = match guest {
        Some(guest) if guest.terminal => Some(Session::start(&mut boot)?),
        _ => None,
    };
    let ended = loop {
        match boot.next() {
            Event::Line(line) => {
                if let Some(session) = &mut session {
                    if line.strip_prefix(FROM_PORT) == Some(session::SIZE) {
                        session.resize();
                    }
                    if line.starts_with(GUEST_OFF) || line.starts_with("host: FAILED") {
                        session.end();
                    }
                }
                if guest.is_some() {
                    phases.line(&line);
                }
                show::machine(&shown(&line));
                if is_crash(&line) {
                    boot.shorten(Duration::from_secs(2));
                }
                at(At::Line(&line))?;
                judge.line(&line);
                if judge.has_panicked() && !hangs {
                    // It should reset itself now, but early in its boot a kernel cannot.
                    hangs = true;
                    boot.shorten(RESET);
                }
            }
            Event::Console(bytes) => {
                if let Some(session) = &mut session {
                    session.console(&boot, &bytes, |line| {
                        judge.guest(line);
                        phases.line(&format!("realm: {line}"));
                        show::machine(&format!("realm: {line}"));
                    })?;
                }
            }
            Event::Asked(Ask::Resize) => {
                if let Some(session) = &session {
                    session.resize();
                }
            }
            Event::Asked(Ask::Quit) => {
                drop(session);
                println!();
                show::run("ended by Ctrl-A X");
                return Ok(None);
            }
            Event::Ended(true) => break Ok(()),
            Event::Ended(false) => break Err("QEMU failed".to_owned()),
            Event::Silent => break Err(format!("no output for {} s", options.silence)),
            Event::Timeout if hangs => break Err("the guest does not reset itself".to_owned()),
            Event::Timeout => break Err(format!("not done after {} s", options.timeout)),
        }
    };
    drop(session);
    phases.summary().for_each(|line| show::run(&line));
    Ok(match ended {
        Ok(()) => judge.end(),
        Err(last) => judge.verdict(Some(last)),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

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
