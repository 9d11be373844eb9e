// SPDX-License-Identifier: BSD-3-Clause
//! What a run shows of all that is printed. Everything goes to the log, if there is one; the terminal gets
//! everything, or phases, checks and what went wrong.

use std::fs::File;
use std::io::{IsTerminal, Write, stdout};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Lines that say nothing about this run, and why.
const HARMLESS: [(&str, &str); 2] = [
    (
        "ERROR:   QEMU System Power off",
        "normal: this is how TF-A switches QEMU off",
    ),
    (
        "RMM WARN: manifest: the checksum of the consoles leaves out their names",
        "harmless: TF-A 2.12 computes it so",
    ),
];

/// Lines that begin so are shown only if everything is.
const DETAILS: [&str; 6] = [
    "host: ",
    "RMM INFO: ",
    "NOTICE: ",
    "INFO: ",
    "VERBOSE: ",
    "carrier",
];
/// Except for these.
const IMPORTANT: [&str; 3] = ["host: FAILED", "host: crashed", "host: tampers"];
/// What the relying party says that everybody should see.
const OPINIONS: [&str; 3] = ["token: ", "secret: ", "platform: "];

const RED: &str = "31";
const GREEN: &str = "32";
const DIM: &str = "2";

static SHOW: Mutex<Show> = Mutex::new(Show {
    log: None,
    all: true,
    host: true,
    colour: false,
    raw: false,
    start: None,
});

struct Show {
    log: Option<File>,
    all: bool,
    /// What the Host prints is no detail.
    host: bool,
    colour: bool,
    /// A guest has the terminal.
    raw: bool,
    start: Option<Instant>,
}

/// Decides what is shown, and where everything is logged. Without a log, what the Host prints is shown, too.
///
/// # Errors
///
/// If the log cannot be written.
pub fn set(log: Option<&Path>, all: bool) -> std::io::Result<()> {
    let file = log.map(File::create).transpose()?;
    with(|show| {
        show.all = all;
        show.host = file.is_none();
        show.log = file;
        show.colour = colour();
    });
    Ok(())
}

/// A machine is started: phases count from here.
pub fn begin() {
    with(|show| {
        show.start = Some(Instant::now());
        show.raw = false;
    });
}

/// Whether a terminal that wants colours is there to show them (see <https://no-color.org>).
fn colour() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|t| t != "dumb")
}

/// A line of the machine.
pub fn machine(line: &str) {
    with(|show| show.machine(line));
}

/// A line of the relying party.
pub fn relying_party(name: &str, line: &str) {
    with(|show| {
        let seen = show.all || OPINIONS.iter().any(|start| line.starts_with(start));
        show.line(&format!("{name}{line}"), seen);
    });
}

/// A line of the run itself.
pub fn run(line: &str) {
    with(|show| show.line(&format!("run: {line}"), true));
}

/// A line of the run itself for those who want to see everything.
pub fn detail(line: &str) {
    with(|show| {
        let all = show.all;
        show.line(&format!("run: {line}"), all);
    });
}

/// A phase begins.
pub fn phase(what: &str) {
    with(|show| {
        let since = show
            .start
            .map_or(0.0, |start| start.elapsed().as_secs_f64());
        show.line(&format!("run: {since:6.1} s  {what}"), true);
    });
}

/// Bytes of a guest's console, for the terminal alone.
pub fn console(bytes: &[u8]) {
    let mut output = stdout();
    // Nobody is there to see it.
    let _ = output.write_all(bytes).and_then(|()| output.flush());
}

/// Whether a guest has the terminal: then nothing but a crash interrupts it.
pub fn raw(raw: bool) {
    with(|show| show.raw = raw);
}

fn with<T>(action: impl FnOnce(&mut Show) -> T) -> T {
    action(&mut SHOW.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Show {
    fn machine(&mut self, line: &str) {
        let why = HARMLESS
            .iter()
            .find(|(start, _)| line.starts_with(start))
            .map(|(_, why)| *why);
        match why {
            Some(why) => {
                let all = self.all;
                self.line(&format!("{line} ({why})"), all);
            }
            None => {
                let host = self.host && line.starts_with("host: ");
                self.line(line, self.all || host || is_shown(line));
            }
        }
    }

    fn line(&mut self, line: &str, seen: bool) {
        if let Some(log) = &mut self.log {
            // A full disk must not end the run.
            let _ = writeln!(log, "{line}");
        }
        if self.raw {
            if crate::qemu::is_crash(line) {
                console(format!("\r\n{line}\r\n").as_bytes());
            }
        } else if seen {
            println!("{}", self.painted(line));
        }
    }

    fn painted(&self, line: &str) -> String {
        let colour = match () {
            () if !self.colour => return line.to_owned(),
            () if is_failure(line) => RED,
            () if is_success(line) => GREEN,
            () if !self.host && DETAILS.iter().any(|start| line.starts_with(start)) => DIM,
            () => return line.to_owned(),
        };
        format!("\x1b[{colour}m{line}\x1b[0m")
    }
}

/// Whether a line of the machine is more than a detail.
fn is_shown(line: &str) -> bool {
    if IMPORTANT.iter().any(|start| line.starts_with(start)) {
        return true;
    }
    if let Some(guest) = line.strip_prefix("realm: ") {
        return is_panic(guest) || is_kernel(guest.as_bytes()) != Some(true);
    }
    !DETAILS.iter().any(|start| line.starts_with(start))
}

/// Whether the guest's kernel says that it cannot go on.
pub fn is_panic(line: &str) -> bool {
    line.contains("Kernel panic - not syncing")
}

fn is_failure(line: &str) -> bool {
    [
        "run: FAIL",
        "host: FAILED",
        "host: crashed",
        "RMM CRASH",
        "RMM ERROR",
    ]
    .iter()
    .any(|start| line.starts_with(start))
        || line.contains(": FAILED: ")
        || line.contains("verdict: FAIL")
        || line.starts_with("relying party: token: refused")
        || is_panic(line)
}

fn is_success(line: &str) -> bool {
    line.starts_with("run: PASS")
        || line.starts_with("realm: check: ")
        || line == "realm: verdict: PASS"
        || line.starts_with("host:     stopped: ")
        || line.starts_with("relying party: token: verified")
        || line.starts_with("relying party: secret: released")
}

/// Whether a line is one of a Linux kernel: it begins with the time in brackets. `None` if a line that
/// begins like this may become one.
pub fn is_kernel(line: &[u8]) -> Option<bool> {
    let mut rest = line.iter().skip_while(|byte| **byte == b'\r');
    let mut next = || rest.next().copied();
    if next()? != b'[' {
        return Some(false);
    }
    let mut byte = next()?;
    while byte == b' ' {
        byte = next()?;
    }
    for end in [b'.', b']'] {
        if !byte.is_ascii_digit() {
            return Some(false);
        }
        while byte.is_ascii_digit() {
            byte = next()?;
        }
        if byte != end {
            return Some(false);
        }
        if end == b'.' {
            byte = next()?;
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_kernel_are_known_by_their_time() {
        for line in ["[    0.000000] a", "[12345.678901]", "\r[    1.5] x"] {
            assert_eq!(is_kernel(line.as_bytes()), Some(true), "{line}");
        }
        for line in ["", "[", "[   ", "[   1", "[   1.", "[  1.23", "\r"] {
            assert_eq!(is_kernel(line.as_bytes()), None, "{line}");
        }
        for line in ["x", " [", "[a", "[1:", "[1.x", "[1.2 ", "[]", "[1]", "[.1]"] {
            assert_eq!(is_kernel(line.as_bytes()), Some(false), "{line}");
        }
    }

    #[test]
    fn phases_checks_and_faults_are_shown() {
        for line in [
            "realm: check: cpus: ok",
            "realm: [    1.000000] Kernel panic - not syncing: why",
            "realm: verdict: PASS",
            "realm: words of the user's own program",
            "host: FAILED: why",
            "RMM WARN: something else",
            "RMM CRASH: why",
            "ERROR:   BL31: something",
            "Unhandled Exception in EL3.",
        ] {
            assert!(is_shown(line), "{line}");
        }
        for line in [
            "realm: [    1.000000] Freeing unused kernel memory: 4096K",
            "host: still at it: 12 calls",
            "RMM INFO: delegable: 0x40000000 + 0x100000",
            "NOTICE:  BL31: Built : release",
            "carrier> CCA1 G token",
        ] {
            assert!(!is_shown(line), "{line}");
        }
    }

    #[test]
    fn colour_is_only_added_where_it_is_wanted() {
        let show = |colour| Show {
            log: None,
            all: true,
            host: false,
            colour,
            raw: false,
            start: None,
        };
        assert_eq!(show(false).painted("run: PASS"), "run: PASS");
        assert_eq!(show(true).painted("run: PASS"), "\x1b[32mrun: PASS\x1b[0m");
        assert_eq!(
            show(true).painted("realm: check: a: FAILED: b"),
            "\x1b[31mrealm: check: a: FAILED: b\x1b[0m"
        );
        assert_eq!(show(true).painted("realm: hello"), "realm: hello");
    }
}
