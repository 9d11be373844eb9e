// SPDX-License-Identifier: BSD-3-Clause
//! Rows, and the tests that show them.

use super::scan::Tag;

/// The kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A failure condition.
    Failure,
    /// An effect of success.
    Effect,
    /// An order of two conditions.
    Order,
    /// A REC exit.
    Exit,
    /// A bug that another monitor had.
    Bug,
}

/// One row.
pub struct Row {
    pub kind: Kind,
    pub label: String,
    pub text: String,
    /// Why there is no test on the target, or none at all.
    pub reason: Option<String>,
    /// Tests on the build machine.
    pub host: Vec<Test>,
    /// Tests on the target.
    pub target: Vec<Test>,
}

/// A test that shows a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    pub name: String,
    /// The source, from the root of the repository, and the line in it.
    pub source: String,
    pub line: usize,
}

/// A command or another subject of rows.
pub struct Subject {
    pub name: String,
    pub section: String,
    /// Why rows with a test on the build machine may have none on the target.
    pub reason: Option<String>,
    pub rows: Vec<Row>,
}

/// Reads subjects and rows.
pub fn parse(text: &str) -> Result<Vec<Subject>, String> {
    let mut subjects: Vec<Subject> = Vec::new();
    let mut reason_of_all = None;
    let lines = text.lines().enumerate();
    for (n, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = || format!("line {}: {line}", n + 1);
        let (marker, rest) = line.split_once(' ').ok_or_else(wrong)?;
        let subject = subjects.last_mut();
        let kind = match marker {
            "=" => {
                let (name, section) = rest.rsplit_once(", ").ok_or_else(wrong)?;
                subjects.push(Subject {
                    name: name.into(),
                    section: section.into(),
                    reason: reason_of_all.clone(),
                    rows: Vec::new(),
                });
                continue;
            }
            "?" => {
                match subject {
                    Some(subject) => {
                        let row = subject.rows.last_mut().ok_or_else(wrong)?;
                        row.reason = Some(rest.into());
                    }
                    None => reason_of_all = Some(rest.to_owned()),
                }
                continue;
            }
            "-" => Kind::Failure,
            "+" => Kind::Effect,
            "<" => Kind::Order,
            "!" => Kind::Exit,
            "*" => Kind::Bug,
            _ => return Err(wrong()),
        };
        let (label, text) = rest.split_once(": ").unwrap_or((rest, ""));
        let rows = &mut subject.ok_or_else(wrong)?.rows;
        if rows.iter().any(|row| row.label == label) {
            return Err(format!("twice: {}", wrong()));
        }
        rows.push(Row {
            kind,
            label: label.into(),
            text: text.into(),
            reason: None,
            host: Vec::new(),
            target: Vec::new(),
        });
    }
    Ok(subjects)
}

/// Gives each row the tests that name it.
///
/// # Errors
/// If a test names a row that does not exist, or a row has neither a test on the target nor a reason
/// why it has none, or no test at all and no reason of its own.
pub fn assign(subjects: &mut [Subject], tags: &[Tag]) -> Result<(), String> {
    for tag in tags {
        let wrong = |what: &str| format!("{}: {what}: {}", tag.place, tag.text);
        let mut subject = None;
        for part in tag.text.split(',').map(str::trim) {
            let (name, label) = match part.rsplit_once(' ') {
                Some((name, label)) => (Some(name), label),
                None => (None, part),
            };
            if let Some(name) = name {
                subject = subjects.iter().position(|subject| subject.name == name);
            }
            let subject = subject.ok_or_else(|| wrong("no such subject"))?;
            let rows = &mut subjects[subject].rows;
            let row = rows.iter_mut().find(|row| row.label == label);
            let row = row.ok_or_else(|| wrong(&format!("no row {label}")))?;
            let tests = if tag.on_target {
                &mut row.target
            } else {
                &mut row.host
            };
            if tests.iter().any(|test| test.name == tag.test) {
                return Err(wrong(&format!("{label} twice")));
            }
            tests.push(Test {
                name: tag.test.clone(),
                source: tag.place.clone(),
                line: tag.line,
            });
        }
    }
    let rows = subjects
        .iter()
        .flat_map(|subject| subject.rows.iter().map(move |row| (subject, row)));
    for (subject, row) in rows {
        let label = &row.label;
        match (&row.reason, row.target.is_empty()) {
            (Some(reason), false) => {
                return Err(format!(
                    "{label} has a test on the target, and yet: {reason}"
                ));
            }
            (None, true) if subject.reason.is_none() || row.host.is_empty() => {
                let name = &subject.name;
                return Err(format!("no test, and no reason why: {name} {label}"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# comment\n\n= A call, B1\n- one: first\n< one<two\n? because\n+ two\n";

    fn tag(text: &str, on_target: bool) -> Tag {
        Tag {
            text: text.into(),
            test: "a test".into(),
            on_target,
            place: "somewhere".into(),
            line: 1,
        }
    }

    #[test]
    fn rows_are_read() {
        let subjects = parse(TEXT).expect("rows");
        let rows = &subjects[0].rows;
        assert_eq!((subjects[0].name.as_str(), rows.len()), ("A call", 3));
        assert_eq!(
            (rows[0].kind, rows[0].text.as_str()),
            (Kind::Failure, "first")
        );
        assert_eq!(rows[1].reason.as_deref(), Some("because"));
        for wrong in [
            "- no subject: x",
            "= no section",
            "= A, B\nx what",
            "= A, B\n- a\n- a",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tests_find_their_rows() {
        let mut subjects = parse(TEXT).expect("rows");
        let tags = [tag("A call one, two", true), tag("A call two", false)];
        assign(&mut subjects, &tags).expect("rows");
        let rows = &subjects[0].rows;
        assert_eq!((rows[0].host.len(), rows[0].target.len()), (0, 1));
        assert_eq!((rows[2].host.len(), rows[2].target.len()), (1, 1));
    }

    #[test]
    fn a_reason_of_all_is_one_for_rows_with_a_test() {
        let text = "? because\n= A call, B1\n- one\n- two\n";
        let subjects = || parse(text).expect("rows");
        assert_eq!(subjects()[0].reason.as_deref(), Some("because"));
        let one = tag("A call one", true);
        assert!(assign(&mut subjects(), &[one, tag("A call two", false)]).is_ok());
        assert!(assign(&mut subjects(), &[tag("A call one", false)]).is_err());
    }

    #[test]
    fn tests_and_reasons_fit() {
        let assigned = |text: &str, on_target: bool| {
            let mut subjects = parse(TEXT).expect("rows");
            let good = tag("A call one, two", true);
            assign(&mut subjects, &[good, tag(text, on_target)])
        };
        assert!(assigned("A call one<two", false).is_ok(), "on one machine");
        assert!(
            assigned("A call one<two", true).is_err(),
            "and yet a reason"
        );
        for wrong in ["A call three", "B one", "one", "A call one, one"] {
            assert!(assigned(wrong, false).is_err(), "{wrong}");
        }
        let mut subjects = parse(TEXT).expect("rows");
        let lacking = [tag("A call one", true), tag("A call two", false)];
        assert!(assign(&mut subjects, &lacking).is_err(), "and no reason");
    }
}
