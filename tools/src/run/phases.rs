// SPDX-License-Identifier: BSD-3-Clause
//! The phases of a guest's run, and its summary.

use crate::show;

/// What the Host prints when the guest has switched itself off.
pub const GUEST_OFF: &str = "host: PSCI_SYSTEM_OFF";

/// How the line begins, and what it contains, that begins a phase; and what is said of the phase.
const PHASES: [(&str, &str, &str); 5] = [
    (
        "host: started",
        "",
        "TF-A and the monitor are up; the Host loads the guest, the monitor measures it",
    ),
    (
        "host: Realm with",
        "",
        "the Realm is active; its kernel starts",
    ),
    ("realm: ", "as init process", "user space starts"),
    (
        GUEST_OFF,
        "",
        "the guest is off; the Host destroys the Realm",
    ),
    (
        "host: Realm destroyed",
        "",
        "the Realm is destroyed; all its memory is back, readable and zero",
    ),
];

/// What the Host reports at the end of a run that everybody should see.
const SUMMARY: [&str; 2] = [" REC exits: ", "host: time: "];

/// What has been.
#[derive(Default)]
pub struct Phases {
    /// How many of [`PHASES`] have begun, or been left out.
    begun: usize,
    checks: usize,
    failed: usize,
    summary: Vec<String>,
}

impl Phases {
    /// Looks at a line of the machine before it is shown. Shows that a phase begins, if it does.
    pub fn line(&mut self, line: &str) {
        let rest = PHASES.get(self.begun..).unwrap_or_default();
        let found = rest
            .iter()
            .position(|(start, part, _)| line.starts_with(start) && line.contains(part));
        if let Some(n) = found {
            self.begun += n + 1;
            show::phase(rest.get(n).map_or("", |(_, _, text)| text));
        }
        if let Some(check) = line.strip_prefix("realm: check: ") {
            self.checks += 1;
            self.failed += usize::from(check.contains(": FAILED"));
        }
        if line.starts_with("host: ") && SUMMARY.iter().any(|part| line.contains(part)) {
            self.summary
                .extend(line.strip_prefix("host: ").map(Into::into));
        }
    }

    /// What is to be said at the end.
    pub fn summary(self) -> impl Iterator<Item = String> {
        let checks = (self.checks > 0).then(|| {
            let (passed, failed) = (self.checks - self.failed, self.failed);
            format!("checks of the guest: {passed} passed, {failed} failed")
        });
        self.summary.into_iter().chain(checks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_on() {
        let mut phases = Phases::default();
        let mut begun = |line| {
            phases.line(line);
            phases.begun
        };
        assert_eq!(begun("host: started"), 1);
        assert_eq!(begun("host: started"), 1);
        assert_eq!(begun("realm: Run /init as init process"), 3);
        assert_eq!(begun("host: Realm with 2 vCPUs"), 3);
        assert_eq!(begun("host: PSCI_SYSTEM_OFF by vCPU 0"), 4);
    }

    #[test]
    fn the_summary_counts_checks() {
        let mut phases = Phases::default();
        for line in [
            "realm: check: a: ok",
            "realm: check: b: FAILED: why",
            "realm: check: c: ok, 2 CPUs",
            "host: 12 REC exits: 1 MMIO",
            "host: time: 1 s",
            "realm: host: time: 2 s",
        ] {
            phases.line(line);
        }
        let lines: Vec<_> = phases.summary().collect();
        assert_eq!(
            lines,
            [
                "12 REC exits: 1 MMIO",
                "time: 1 s",
                "checks of the guest: 2 passed, 1 failed"
            ]
        );
    }
}
