// SPDX-License-Identifier: BSD-3-Clause
//! Finds the rows that tests name in their comments.

use std::error::Error;
use std::path::Path;

/// A comment that names rows, and the test behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Tag {
    /// Subjects and rows.
    pub text: String,
    /// Name of the test.
    pub test: String,
    pub on_target: bool,
    /// The source's path from the root of the repository, and the line of the test in it.
    pub place: String,
    pub line: usize,
}

const MARK: &str = "Conformance: ";

/// Looks through the sources of a folder, in the order of their names.
pub fn folder(
    root: &Path,
    place: &Path,
    on_target: bool,
    tags: &mut Vec<Tag>,
) -> Result<(), Box<dyn Error>> {
    let mut entries: Vec<_> = std::fs::read_dir(root.join(place))?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let place = place.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            folder(root, &place, on_target, tags)?;
        } else if place.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(root.join(&place))?;
            tags.extend(file(&text, &place.to_string_lossy(), on_target)?);
        }
    }
    Ok(())
}

/// The tags of one source.
fn file(text: &str, place: &str, on_target: bool) -> Result<Vec<Tag>, String> {
    let mut tags = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    let mut is_test = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        let comment = line.trim_start_matches('/').trim_start();
        if line.starts_with("//") {
            if let Some(text) = comment.strip_prefix(MARK) {
                waiting.push(text.trim_end_matches('.').into());
            }
        } else if line == "#[test]" {
            is_test = true;
        } else if !line.starts_with("#[") && !waiting.is_empty() {
            let name = name(line).filter(|_| on_target || is_test || is_table_entry(line));
            let name = name.ok_or_else(|| format!("{place}: no test: {line}"))?;
            let test = if on_target {
                target_name(text, name)
                    .ok_or_else(|| format!("{place}: {name} is in no list of tests"))?
            } else {
                format!("{}::{name}", module(place))
            };
            tags.extend(waiting.drain(..).map(|text| Tag {
                text,
                test: test.clone(),
                on_target,
                place: place.into(),
                line: number,
            }));
            is_test = false;
        } else if !line.starts_with("#[") && !line.is_empty() {
            is_test = false;
        }
    }
    if waiting.is_empty() {
        Ok(tags)
    } else {
        Err(format!("{place}: {waiting:?} is before no test"))
    }
}

/// An entry of a table of tests: `name: Kind, |…| …`.
fn is_table_entry(line: &str) -> bool {
    line.split_once(": ")
        .is_some_and(|(_, rest)| rest.contains(", |"))
}

/// The name of a function, or of an entry of a table of tests.
fn name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let name = match line.strip_prefix("fn ") {
        Some(rest) => rest.split_once('(')?.0,
        None => line.split_once(": ")?.0,
    };
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_name && !name.is_empty()).then_some(name)
}

/// The name by which the test Host knows a function: `("group.what", function)`.
fn target_name(text: &str, function: &str) -> Option<String> {
    text.match_indices('"').find_map(|(at, _)| {
        let (name, rest) = text.get(at + 1..)?.split_once('"')?;
        let rest = rest.strip_prefix(',')?.trim_start();
        let rest = rest.strip_prefix(function)?;
        let is_it = rest.starts_with([')', ',']);
        (is_it && name.contains('.')).then(|| name.into())
    })
}

/// The module of a source, as a reader would look for it.
fn module(place: &str) -> String {
    let place = place.strip_prefix("rmm-").unwrap_or(place);
    let place = place.strip_suffix(".rs").unwrap_or(place);
    let parts = place.split(['/', '\\']);
    let parts: Vec<&str> = parts
        .filter(|part| !matches!(*part, "src" | "tests" | "main" | "mod" | "lib"))
        .collect();
    parts.join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str, place: &str, on_target: bool) -> Vec<(String, String)> {
        let tags = file(text, place, on_target).expect("tags");
        tags.into_iter().map(|tag| (tag.text, tag.test)).collect()
    }

    fn pair(text: &str, test: &str) -> (String, String) {
        (text.into(), test.into())
    }

    #[test]
    fn host_tests_name_their_rows() {
        let text = "/// Some words.\n/// Conformance: A one, two\n// Conformance: B three.\n\
                    #[test]\n#[should_panic]\nfn some_test() {\n}\n\
                    addresses! {\n    // Conformance: C four\n    other: Rd, |h, z| {\n";
        assert_eq!(
            tags(text, "rmm-core/tests/rmi/data.rs", false),
            [
                pair("A one, two", "core::rmi::data::some_test"),
                pair("B three", "core::rmi::data::some_test"),
                pair("C four", "core::rmi::data::other"),
            ]
        );
    }

    #[test]
    fn target_tests_name_their_rows() {
        let text = "const TESTS: &[Test] = &[(\"a.one\", one), (\"a.two\", two)];\n\
                    /// Conformance: A two\nfn two() -> Check {\n";
        let place = "tests-fvp/src/bin/test-host/tests/a.rs";
        assert_eq!(tags(text, place, true), [pair("A two", "a.two")]);
    }

    #[test]
    fn what_is_no_test_is_told() {
        for text in [
            "// Conformance: A one\nfn helper() {\n",
            "// Conformance: A one\nlet x = 1;\n",
            "// Conformance: A one\n",
            "#[test]\nfn a() {\n}\n// Conformance: A one\nfn b() {\n",
        ] {
            assert!(file(text, "rmm-core/tests/x.rs", false).is_err(), "{text}");
        }
        assert!(file("// Conformance: A\nfn unlisted() {\n", "x.rs", true).is_err());
    }

    #[test]
    fn modules_are_where_a_reader_looks() {
        for (place, expected) in [
            ("rmm-core/tests/rmi/data.rs", "core::rmi::data"),
            ("rmm-core/tests/model/main.rs", "core::model"),
            ("rmm-rtt/src/tests/fold.rs", "rtt::fold"),
            ("rmm-rsi/tests/psci.rs", "rsi::psci"),
        ] {
            assert_eq!(module(place), expected);
        }
    }
}
