// SPDX-License-Identifier: BSD-3-Clause
//! The tests on QEMU.

use super::opinion::second_opinion;
use super::payload::{self, Host, Payload};
use super::shell;
use super::token::{self, RelyingParty};
use super::{Count, Groups};
use crate::attest::{Attestation, Plan, Tamper};
use crate::guest::Guest;
use crate::qemu::{Boot, Event, Options, is_crash};
use crate::run;
use crate::tfa::{self, NEEDS_RMI_2};
use cca_token::rim::Rmi;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

/// Seconds for all boots together.
const LIMIT: u64 = 1500;

/// Seconds for each boot of the guest kernel, of which it needs a tenth on an idle machine.
const GUEST_LIMIT: u64 = 600;
/// Its name as a test.
pub const GUEST: &str = "guest.linux";
/// As a test, made through RMI 2.0.
pub const GUEST_2: &str = "guest.linux_rmi_2";
/// The test that its token is verified by the second verifier.
pub const SECOND_VERIFIER: &str = "guest.second_verifier";
/// The test that uses a shell in the guest.
pub const SHELL: &str = "guest.shell";
/// What else a Host may do than change the token, as tests.
const TAMPERED: [(&str, Tamper); 2] = [
    ("guest.tampered_page", Tamper::Page),
    ("guest.tampered_param", Tamper::Param),
];

/// The tests that boot a guest.
pub const NAMES: [&str; 6] = [
    GUEST,
    GUEST_2,
    SECOND_VERIFIER,
    SHELL,
    TAMPERED[0].0,
    TAMPERED[1].0,
];

/// Whether a test that boots a machine of its own is wanted.
pub fn wants(options: &Options, test: &str) -> bool {
    let only = options.only.as_deref();
    only.is_none_or(|text| test.contains(text))
}

/// Whether tests of the test Host may be wanted.
pub fn wants_host(options: &Options) -> bool {
    let mut others = NAMES
        .iter()
        .chain(payload::TESTS.iter().map(|(name, _)| name))
        .chain([&payload::HOST]);
    let only = options.only.as_deref();
    only.is_none_or(|text| !others.any(|name| name.starts_with(text)))
}

/// Results of the target tests.
#[derive(Default)]
pub struct Target {
    pub groups: Groups,
    pub failures: Vec<String>,
    pub skipped: Vec<String>,
    /// The test that runs, and since when.
    current: Option<String>,
    since: Option<Instant>,
    /// The last test that was started.
    last: Option<String>,
    /// The seed of the Realm of random code that runs.
    life: Option<String>,
    /// Judges the tokens that it prints.
    party: RelyingParty,
}

impl Target {
    /// Boots until every test has been started.
    pub fn run(&mut self, options: &Options) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + Duration::from_secs(LIMIT);
        loop {
            let before = self.last.clone();
            let Some(why) = self.boot(options, end)? else {
                return Ok(());
            };
            let life = self.life.take();
            let why = life.map_or(why.clone(), |seed| format!("{why}; --seed {seed}"));
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

    /// The guest kernel as a Realm, with its own checks, as one test. The Host flips a bit of the first token
    /// that it carries. The token that was verified is judged by the second verifier, too.
    pub fn guest(
        &mut self,
        options: &Options,
        guest: &Guest,
        attestation: Option<&Attestation>,
    ) -> Result<(), Box<dyn Error>> {
        let mut options = options.clone();
        options.timeout = GUEST_LIMIT;
        self.since = Some(Instant::now());
        let attestation = attestation.map(|party| party.with(Plan::FirstToken));
        let report = run::guest(&mut options, guest, attestation.as_ref())?;
        self.done(GUEST, report.why.map_or(Ok(None), Err));
        if let Some(attestation) = attestation {
            let opinion = match report.verified {
                Some(verified) => second_opinion(&verified, &attestation.anchor),
                None => Err("there is no verified token".into()),
            };
            self.done(SECOND_VERIFIER, opinion);
        }
        Ok(())
    }

    /// The guest kernel as a Realm that is made through RMI 2.0; skipped where TF-A cannot carry it.
    pub fn guest_2(
        &mut self,
        options: &Options,
        guest: &Guest,
        attestation: &Attestation,
    ) -> Result<(), Box<dyn Error>> {
        self.since = Some(Instant::now());
        let needs = || Ok(Some(NEEDS_RMI_2.to_owned()));
        if tfa::is_too_old_for_rmi_2(Path::new(&options.flash)) {
            self.done(GUEST_2, needs());
            return Ok(());
        }
        let mut options = options.clone();
        options.timeout = GUEST_LIMIT;
        let mut guest = guest.clone();
        guest.rmi = Rmi::V2;
        let report = run::guest(&mut options, &guest, Some(attestation))?;
        let result = match report.why {
            Some(why) if why.contains(NEEDS_RMI_2) => needs(),
            why => why.map_or(Ok(None), Err),
        };
        self.done(GUEST_2, result);
        Ok(())
    }

    /// A payload of one's own as BL33, with the tool as its console.
    pub fn payloads(&mut self, options: &Options, flash: String) {
        let payload = Payload {
            flash,
            qemu: options.qemu.clone(),
        };
        for (test, run) in payload::TESTS {
            if !wants(options, test) {
                continue;
            }
            self.since = Some(Instant::now());
            let result = run(&payload).map_err(|error| error.to_string());
            self.done(test, result.map(|()| None));
        }
    }

    /// A shell in the guest, used as from a terminal.
    pub fn shell(&mut self, options: &Options, guest: &Guest) {
        self.since = Some(Instant::now());
        let used = shell::session(options, guest);
        self.done(SHELL, used.map(|()| None).map_err(|why| why.to_string()));
    }

    /// A Linux kernel as Host.
    pub fn host(&mut self, options: &Options, host: &Host) {
        if !wants(options, payload::HOST) {
            return;
        }
        self.since = Some(Instant::now());
        let result = host.run(&options.qemu).map_err(|error| error.to_string());
        self.done(payload::HOST, result.map(|()| None));
    }

    /// A guest whose Host tampers with its launch: there must be no secret, for the right reason.
    pub fn tampered(
        &mut self,
        options: &Options,
        guest: &Guest,
        attestation: &Attestation,
    ) -> Result<(), Box<dyn Error>> {
        for (test, tamper) in TAMPERED {
            let mut options = options.clone();
            options.timeout = GUEST_LIMIT;
            self.since = Some(Instant::now());
            let attestation = attestation.with(Plan::Tampered(tamper));
            let report = run::guest(&mut options, guest, Some(&attestation))?;
            self.done(test, report.why.map_or(Ok(None), Err));
        }
        Ok(())
    }

    /// Counts and prints a test of the build machine: passed, skipped with a reason, or failed.
    fn done(&mut self, test: &str, result: Result<Option<String>, String>) {
        match result {
            Ok(None) => {
                println!("{test} ... ok");
                self.count(test).passed += 1;
            }
            Ok(Some(why)) => {
                println!("{test} ... skipped: {why}");
                self.count(test).skipped += 1;
                self.skipped.push(format!("{test}: {why}"));
            }
            Err(why) => self.fail(test, &why),
        }
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
        if let Some(seconds) = options.seconds {
            request += &format!("seconds {seconds}\n");
        }
        if options.el3_opens_all {
            request += "el3 opens-all\n";
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
                Event::Console(_) | Event::Asked(_) => continue,
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
            self.since = Some(Instant::now());
            self.last = Some(name.to_owned());
            self.party = RelyingParty::default();
            self.life = None;
            return false;
        }
        if let Some(seed) = line.strip_prefix("life ") {
            self.life = Some(seed.to_owned());
            return false;
        }
        if let Some(line) = line.strip_prefix(token::PREFIX) {
            self.party.line(line);
            return false;
        }
        println!("{line}");
        let result = self.current.as_ref().and_then(|test| {
            let result = line.strip_prefix(test.as_str())?.strip_prefix(" ... ")?;
            Some((test.clone(), result))
        });
        match result {
            Some((test, "ok")) => {
                match self.party.finish() {
                    None => self.count(&test).passed += 1,
                    Some(why) => self.fail(&test, &why),
                }
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

    /// The count of the group of a test that has just ended.
    fn count(&mut self, test: &str) -> &mut Count {
        let group = test.split('.').next().unwrap_or(test);
        let count = self.groups.entry(group.to_owned()).or_default();
        count.time += self
            .since
            .take()
            .map_or(Duration::ZERO, |since| since.elapsed());
        count
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
    fn the_seed_of_the_last_random_realm_is_kept() {
        let mut target = Target::default();
        for line in ["start random.realms", "life 7", "life 8"] {
            target.line(line);
        }
        assert_eq!(target.life.as_deref(), Some("8"));
        target.line("start random.other");
        assert_eq!(target.life, None);
    }

    #[test]
    fn a_test_whose_token_is_refused_has_failed() {
        let mut target = Target::default();
        for line in [
            "start rsi.one",
            "token begin",
            "token end",
            "rsi.one ... ok",
            "start rsi.two",
            "rsi.two ... ok",
        ] {
            target.line(line);
        }
        assert_eq!(
            target.groups["rsi"].to_string(),
            "1 passed, 1 failed, 0 skipped"
        );
        assert_eq!(target.failures, ["rsi.one: not four REMs"]);
    }
}
