// SPDX-License-Identifier: BSD-3-Clause
//! The page.

use super::rows::{Kind, Row, Subject, Test};
use std::fmt::Write;

const HEAD: &str = "\
# Conformance: which test shows what

`make conformance` makes this page from the tests, which name their rows in comments (`Conformance: ...`). The
rows are in `tools/src/conformance/rows.txt` and `rows-2.0.txt`. Do not edit this page.

The rows are the demands of the RMM specification 1.0-rel0: each failure condition and effect of each command of
RMI, RSI and PSCI, and each REC exit. Rows that begin with 2.0 are those of RMI 2.0 (text 2.1-alp0 with the changes of
2.0-bet3), a command each that this monitor serves; where texts and Hosts differ, a row says what is done. `a<b` is an order: where both conditions hold, the status of `a` is seen.
`core::rmi::data::x` is a test on the build machine (crate, file, function), `data.x` a test of the test Host under
TF-A on QEMU. The sequences of `core::model` compare every row of RMI, and the rows of RSI and PSCI that they
reach, with a model of the specification; they are named here only where no other test shows a row.
In `rsi::token` a fake generates the tokens.
";

/// How many rows have tests where.
#[derive(Clone, Copy, Default)]
struct Figures {
    rows: usize,
    host: usize,
    target: usize,
    both: usize,
    none: usize,
}

impl Figures {
    fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut figures = Self::default();
        for row in rows {
            figures.rows += 1;
            let count = match (row.host.is_empty(), row.target.is_empty()) {
                (false, true) => &mut figures.host,
                (true, false) => &mut figures.target,
                (false, false) => &mut figures.both,
                (true, true) => &mut figures.none,
            };
            *count += 1;
        }
        figures
    }

    fn cells(self) -> String {
        let Self {
            rows,
            host,
            target,
            both,
            none,
        } = self;
        format!("{rows} | {both} | {host} | {target} | {none}")
    }
}

/// The page, and its figures in a line.
pub fn page(subjects: &[Subject]) -> (String, String) {
    let is_bug = |subject: &&Subject| subject.rows.iter().any(|row| row.kind == Kind::Bug);
    let (bugs, rest): (Vec<&Subject>, Vec<&Subject>) = subjects.iter().partition(is_bug);
    let mut text = String::from(HEAD);
    text += "\n## Figures\n\n| | rows | both | build machine only | target only | no test |\n|---|---|---|---|---|---|\n";
    for subject in &rest {
        let cells = Figures::of(subject.rows.iter()).cells();
        line(&mut text, &format!("| {} | {cells} |", subject.name));
    }
    let all = Figures::of(rest.iter().flat_map(|subject| &subject.rows));
    line(&mut text, &format!("| **all** | {} |", all.cells()));
    without(&mut text, &rest);
    for subject in rest {
        table(&mut text, subject);
    }
    for subject in bugs {
        table(&mut text, subject);
    }
    let figures = format!(
        "{} rows: {} on both, {} on the build machine only, {} on the target only, {} without a test",
        all.rows, all.both, all.host, all.target, all.none
    );
    (text, figures)
}

/// Rows without a test.
fn without(text: &mut String, subjects: &[&Subject]) {
    line(text, "\n## Rows without a test\n");
    for subject in subjects {
        for row in subject.rows.iter().filter(|row| is_bare(row)) {
            let reason = row.reason.as_deref().unwrap_or_default();
            let label = &row.label;
            line(text, &format!("- {} `{label}`: {reason}", subject.name));
        }
    }
}

fn is_bare(row: &Row) -> bool {
    row.host.is_empty() && row.target.is_empty()
}

fn table(text: &mut String, subject: &Subject) {
    line(
        text,
        &format!("\n## {} ({})\n", subject.name, subject.section),
    );
    if let Some(reason) = &subject.reason {
        line(text, &format!("On the target: {reason}.\n"));
    }
    line(
        text,
        "| | row | what | build machine | target |\n|---|---|---|---|---|",
    );
    for row in &subject.rows {
        let kind = match row.kind {
            Kind::Failure => "fails",
            Kind::Effect => "does",
            Kind::Order => "order",
            Kind::Exit => "exit",
            Kind::Bug => "bug",
        };
        let what = &row.text;
        let host = tests(&row.host);
        let target = match &row.reason {
            Some(reason) => format!("none: {reason}"),
            None => tests(&row.target),
        };
        let label = &row.label;
        line(
            text,
            &format!("| {kind} | `{label}` | {what} | {host} | {target} |"),
        );
    }
}

/// The tests, each a link to its source.
fn tests(tests: &[Test]) -> String {
    let links = tests.iter().map(|test| {
        let Test { name, source, line } = test;
        format!("[`{name}`](../{source}#L{line})")
    });
    links.collect::<Vec<_>>().join(", ")
}

/// A page without the lines of its links: they move with every change of a source.
pub fn without_lines(page: &str) -> String {
    let mut parts = page.split(".rs#L");
    let mut text = parts.next().unwrap_or("").to_owned();
    for part in parts {
        text += ".rs#L";
        text += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::rows::parse;

    #[test]
    fn figures_add_up() {
        let mut subjects =
            parse("= A, B\n- one\n- two\n- three\n- four: why\n? because\n").expect("rows");
        let rows = &mut subjects[0].rows;
        let test = |name: &str| Test {
            name: name.into(),
            source: "a/b.rs".into(),
            line: 7,
        };
        rows[0].host.push(test("h"));
        rows[1].target.push(test("t"));
        rows[2].host.push(test("h"));
        rows[2].target.push(test("t"));
        let (text, figures) = page(&subjects);
        assert!(text.contains("| **all** | 4 | 1 | 1 | 1 | 1 |"), "{text}");
        assert!(text.contains("- A `four`: because"), "{text}");
        assert!(figures.starts_with("4 rows: 1 on both"), "{figures}");
        assert!(
            text.contains("| [`h`](../a/b.rs#L7) | [`t`](../a/b.rs#L7) |"),
            "{text}"
        );
        let moved = text.replace("#L7", "#L12");
        assert_ne!(text, moved);
        assert_eq!(without_lines(&text), without_lines(&moved));
    }
}
