// SPDX-License-Identifier: BSD-3-Clause
//! Whether a run has passed, and if not, why: what went wrong first, in words that lead to its cause.

use crate::qemu::is_crash;
use crate::show::is_panic;

/// The last line of a Host that has finished.
pub const COMPLETE: &str = "host: run complete";
/// How the verdict of a guest's own checks begins.
const VERDICT: &str = "verdict: ";
/// What a Linux kernel says once the monitor has answered RSI_VERSION.
const RSI: &str = "RSI version";

/// What is wrong with a kernel that does not say so.
const NO_REALM: &str = "the guest's kernel does not know that it is in a Realm: it has no support for Arm CCA, which \
                        Linux has since 6.13";

/// What a line of the guest shows about the cause of a panic, the more telling first.
const CAUSES: [(&[&str], &str); 5] = [
    (
        &[
            "Out of memory",
            "out of memory",
            "deadlocked on memory",
            "page allocation failure",
            "Failed to allocate",
            "Cannot allocate memory",
            "can't create integrity buf pool",
        ],
        "the guest ran out of memory: MEM is too little",
    ),
    (
        &[
            "Initramfs unpacking failed",
            "rootfs image is not initramfs",
            "invalid magic at start of compressed archive",
        ],
        "the kernel cannot unpack the initrd: INITRD is not an initramfs, or damaged",
    ),
    (
        &["Unable to mount root fs", "Cannot open root device"],
        "the kernel found no root file system: there is no initrd, or it has no /init",
    ),
    (
        &["No working init found", "Requested init"],
        "the initrd has no program that can be the first process",
    ),
    (&["Attempted to kill init"], "the first process has ended"),
];

/// What the lines of a run amount to.
#[derive(Default)]
pub struct Judge {
    /// What the guest's own checks must end with, if it has some.
    wanted: Option<&'static str>,
    /// It is a guest that is run.
    guest: bool,
    /// The Host has done everything.
    complete: bool,
    /// The guest's checks have ended as they must.
    passed: bool,
    /// The first line that reports a failure.
    failure: Option<String>,
    /// The guest has printed something.
    spoke: bool,
    /// It knows that it is a Realm.
    realm: bool,
    /// What its kernel panicked of.
    panic: Option<String>,
    /// Which of the [`CAUSES`] the guest has shown, the most telling.
    cause: Option<usize>,
}

impl Judge {
    /// A run without a guest.
    pub fn of_host() -> Self {
        Self::default()
    }

    /// The run of a guest whose own checks, if it has some, have to end with `wanted`.
    pub fn of_guest(wanted: Option<&'static str>) -> Self {
        Self {
            wanted,
            guest: true,
            ..Self::default()
        }
    }

    /// A line of the machine.
    pub fn line(&mut self, line: &str) {
        if let Some(line) = line.strip_prefix("realm: ") {
            self.guest(line);
            if let Some(verdict) = line.strip_prefix(VERDICT) {
                self.verdict_of_guest(verdict);
            }
            return;
        }
        self.complete |= line == COMPLETE;
        if is_crash(line) || line.starts_with("host: FAILED") || line.starts_with("host: crashed") {
            self.failure.get_or_insert(line.to_owned());
        }
    }

    fn verdict_of_guest(&mut self, verdict: &str) {
        let as_wanted = verdict == self.wanted.unwrap_or("PASS");
        self.passed |= as_wanted;
        if !as_wanted {
            self.failure
                .get_or_insert(format!("realm: {VERDICT}{verdict}"));
        }
    }

    /// A line of the guest's console, whoever wrote it.
    pub fn guest(&mut self, line: &str) {
        self.spoke |= !line.is_empty();
        self.realm |= line.contains(RSI);
        let shows = |(words, _): &(&[&str], &str)| words.iter().any(|word| line.contains(word));
        if let Some(cause) = CAUSES.iter().position(shows) {
            self.cause = Some(self.cause.map_or(cause, |other| other.min(cause)));
        }
        if is_panic(line) {
            let why = line.split_once("not syncing").map_or("", |(_, why)| why);
            let why = why.trim_start_matches(": ").to_owned();
            self.panic.get_or_insert(why);
        }
    }

    /// Whether the guest's kernel has panicked.
    pub fn has_panicked(&self) -> bool {
        self.panic.is_some()
    }

    /// QEMU has ended with success: why the run failed all the same, if it did.
    pub fn end(&self) -> Option<String> {
        match (self.complete, self.passed || self.wanted.is_none()) {
            (true, true) => self.verdict(None),
            (true, false) => self.verdict(Some("the guest gave no verdict".into())),
            (false, _) => self.verdict(Some("QEMU ended before the Host was done".into())),
        }
    }

    /// Why the run failed, if it did, where `last` is what ended it.
    pub fn verdict(&self, last: Option<String>) -> Option<String> {
        let failure = self.failure.clone().or(last)?;
        // A crash of the monitor, of EL3 or of the Host is the cause of all else.
        let crash = is_crash(&failure) || failure.starts_with("host: crashed");
        match self.cause().filter(|_| self.guest && !crash) {
            Some(cause) => Some(format!("{cause} ({failure})")),
            None => Some(failure),
        }
    }

    /// What the guest shows of the cause of its failure.
    fn cause(&self) -> Option<String> {
        let shown = self.cause.and_then(|n| CAUSES.get(n)).map(|(_, why)| *why);
        match (&self.panic, shown) {
            (Some(panic), Some(why)) => Some(format!("{why}; its kernel panicked: {panic}")),
            (Some(panic), None) if !self.realm => {
                Some(format!("{NO_REALM}; its kernel panicked: {panic}"))
            }
            (Some(panic), None) => Some(format!("the guest's kernel panicked: {panic}")),
            (None, _) if !self.spoke => Some("the guest printed nothing".into()),
            (None, _) if !self.realm => Some(NO_REALM.into()),
            (None, Some(why)) if self.cause == Some(0) => Some(why.into()),
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(mut judge: Judge, lines: &[&str]) -> Option<String> {
        lines.iter().for_each(|line| judge.line(line));
        judge.end()
    }

    fn judge(wanted: Option<&'static str>, lines: &[&str]) -> Option<String> {
        judged(Judge::of_guest(wanted), lines)
    }

    #[test]
    fn a_run_needs_its_end_and_the_guests_verdict() {
        let pass = "realm: verdict: PASS";
        let fail = "realm: verdict: FAIL: 2";
        let rsi = "realm: [    0.000000] RME: Using RSI version 1.0";
        assert_eq!(judged(Judge::of_host(), &["host: started", COMPLETE]), None);
        assert_eq!(judge(None, &["host: started", COMPLETE]), None);
        assert_eq!(judge(Some("PASS"), &[pass, COMPLETE]), None);
        assert!(judge(Some("PASS"), &[COMPLETE]).is_some());
        assert!(judge(Some("PASS"), &[pass]).is_some());
        let failed = judge(Some("PASS"), &[rsi, fail, COMPLETE]);
        assert_eq!(failed.as_deref(), Some(fail));
        assert_eq!(judge(None, &[rsi, fail, COMPLETE]).as_deref(), Some(fail));
        assert!(judge(None, &["host: FAILED: why", COMPLETE]).is_some());
        let tampered = Some("FAIL: 1");
        let one = "realm: verdict: FAIL: 1";
        assert_eq!(judge(tampered, &[one, COMPLETE]), None);
        assert!(judge(tampered, &[pass, COMPLETE]).is_some());
        assert!(judge(tampered, &[fail, COMPLETE]).is_some());
        // What a Realm prints is no crash of the monitor's.
        assert_eq!(judge(None, &["realm: Unhandled exception", COMPLETE]), None);
        let crash = judge(None, &["RMM CRASH: why", "host: FAILED: x"]);
        assert_eq!(crash.as_deref(), Some("RMM CRASH: why"));
    }

    #[test]
    fn the_verdict_names_the_cause() {
        const RSI: &str = "realm: [    0.000000] RME: Using RSI version 1.0";
        const ROOT: &str = "realm: [    5.1] Kernel panic - not syncing: VFS: Unable to mount root fs \
                            on unknown-block(0,0)";
        const RESET: &str = "host: FAILED: the Realm resets itself";
        for (lines, wanted) in [
            (&[RSI, ROOT, RESET][..], "no initrd, or it has no /init"),
            (
                &[
                    RSI,
                    "realm: [    1.1] Initramfs unpacking failed: invalid magic at start",
                    ROOT,
                    RESET,
                ],
                "INITRD is not an initramfs",
            ),
            (
                &[
                    RSI,
                    "realm: [    5.1] Out of memory: Killed process 1 (init)",
                    "realm: [    5.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x9",
                    RESET,
                ],
                "MEM is too little",
            ),
            // Seen with MEM=80M, and with MEM=64M, where the kernel does not reset itself.
            (
                &[
                    RSI,
                    "realm: [    3.1] Kernel panic - not syncing: bio: can't create integrity buf pool",
                    RESET,
                ],
                "MEM is too little",
            ),
            (
                &[
                    RSI,
                    "realm: [    0.000000] Kernel panic - not syncing: memblocks_present: Failed to allocate \
                     0x0000000000200000 bytes",
                ],
                "MEM is too little",
            ),
            (
                &[
                    RSI,
                    "realm: [    5.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x100",
                    RESET,
                ],
                "the first process has ended; its kernel panicked: Attempted to kill init",
            ),
            (
                &["realm: [    0.000000] Booting Linux", "host: FAILED: fault"],
                "since 6.13",
            ),
            // Debian's 6.12.
            (
                &[
                    "realm: [    0.000000] Booting Linux",
                    "realm: [    0.000000] Kernel panic - not syncing: Attempted to kill the idle task!",
                    RESET,
                ],
                "since 6.13; its kernel panicked: Attempted to kill the idle task!",
            ),
            (&["host: FAILED: fault"], "printed nothing (host: FAILED"),
            (
                &[
                    RSI,
                    "realm: [    1.1] Kernel panic - not syncing: words",
                    RESET,
                ],
                "the guest's kernel panicked: words (host: FAILED: the Realm resets itself)",
            ),
        ] {
            let why = judge(None, lines).unwrap();
            assert!(why.contains(wanted), "{why}, wanted {wanted}");
        }
        let reset = judge(None, &[RSI, RESET]).unwrap();
        assert_eq!(reset, RESET);
        // Nothing of that without a guest.
        let host = judged(Judge::of_host(), &["host: FAILED: x"]);
        assert_eq!(host.as_deref(), Some("host: FAILED: x"));
    }
}
