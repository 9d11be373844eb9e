// SPDX-License-Identifier: BSD-3-Clause
//! Boots of the test Host that measure, and the lines that it prints.

use super::report::Row;
use crate::qemu::{Boot, Event, Options, is_crash};
use std::error::Error;
use std::time::Duration;

/// Lines of the test Host: the last one, and how the others begin.
const COMPLETE: &str = "host: bench complete";
const FAILED: &str = "host: bench FAILED: ";
const ROW: &str = "bench ";
const GROUP: &str = "start ";
const CALL: &str = "bench-call ";
/// How EL3 begins a line about its version.
const EL3: &str = "BL31: ";

/// Boots after a crash or a hang, each for the groups behind the one that has failed.
const RESUMES: u32 = 20;

/// What one boot printed.
#[derive(Default)]
pub struct Lines {
    /// What was measured, in order.
    pub rows: Vec<Row>,
    /// EL3's version and build.
    pub el3: Vec<String>,
    /// What went wrong.
    pub failures: Vec<String>,
    /// Group and number of the call that a profile was asked for.
    pub call: Option<(String, u64)>,
    /// The group that was begun last.
    group: Option<String>,
    complete: bool,
}

impl Lines {
    fn line(&mut self, line: &str) {
        if let Some(group) = line.strip_prefix(GROUP) {
            self.group = Some(group.to_owned());
        }
        if let Some(number) = line.strip_prefix(CALL) {
            self.call = self.group.clone().zip(number.parse().ok());
        }
        if let Some(row) = line.strip_prefix(ROW) {
            match Row::parse(row) {
                Some(row) => self.rows.push(row),
                None => self.failures.push(format!("a line that is no row: {line}")),
            }
        } else if let Some(why) = line.strip_prefix(FAILED) {
            self.failures.push(why.to_owned());
        } else if is_crash(line) || line.starts_with("host: crashed") {
            self.failures.push(line.to_owned());
        } else if let Some((_, text)) = line.split_once(EL3) {
            self.el3.push(text.to_owned());
        }
        self.complete |= line == COMPLETE;
    }
}

/// Boots until all groups are done: after a crash or a hang again, for those behind it. `request` are
/// lines for the test Host.
pub fn measure(options: &Options, request: &str) -> Result<Lines, Box<dyn Error>> {
    let mut all = Lines::default();
    let mut after = String::new();
    for _ in 0..=RESUMES {
        let lines = boot(options, &format!("{request}{after}"))?;
        all.rows.extend(lines.rows);
        all.failures.extend(lines.failures);
        all.call = all.call.or(lines.call);
        if all.el3.is_empty() {
            all.el3 = lines.el3;
        }
        all.complete = lines.complete;
        let Some(group) = lines.group.filter(|_| !all.complete) else {
            break;
        };
        after = format!("after {group}\n");
    }
    Ok(all)
}

/// One boot, to its end.
fn boot(options: &Options, request: &str) -> Result<Lines, Box<dyn Error>> {
    let mut boot = Boot::start(options, request)?;
    let mut lines = Lines::default();
    let why = loop {
        match boot.next() {
            Event::Line(line) => {
                if is_crash(&line) {
                    boot.shorten(Duration::from_secs(2));
                }
                lines.line(&line);
            }
            Event::Console(_) | Event::Asked(_) => {}
            Event::Ended(true) if lines.complete => return Ok(lines),
            Event::Ended(_) => break "QEMU ended early".into(),
            Event::Silent => break format!("no output for {} s", options.silence),
            Event::Timeout => break format!("not done after {} s", options.timeout),
        }
    };
    let group = lines.group.as_deref().unwrap_or("before the first group");
    lines.failures.push(format!("{group}: {why}"));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let mut lines = Lines::default();
        for line in [
            "NOTICE:  BL31: v2.12.1(release):2.12.1",
            "bench call VERSION: 1300 1275",
            "bench call VERSION: none",
            "host: bench FAILED: life: why",
            "RMM CRASH: panic",
            "start calls",
            "bench-call 17",
        ] {
            lines.line(line);
        }
        assert_eq!(lines.rows.len(), 1);
        assert_eq!(lines.el3, ["v2.12.1(release):2.12.1"]);
        assert_eq!(lines.failures.len(), 3, "{:?}", lines.failures);
        assert_eq!(lines.call, Some(("calls".into(), 17)));
        assert!(!lines.complete);
        lines.line(COMPLETE);
        assert!(lines.complete);
    }
}
