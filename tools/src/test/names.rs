// SPDX-License-Identifier: BSD-3-Clause
//! The names of all tests on QEMU, so that a wrong one is refused before anything is booted.

use super::{payload, target};
use std::collections::BTreeSet;
use std::path::Path;

/// Where the test Host's tests are, from the root of the repository.
const SOURCES: &str = "tests-fvp/src/bin/test-host";

/// The names of tests.
pub struct Names(BTreeSet<String>);

impl Names {
    /// All that the repository around this program has.
    ///
    /// # Errors
    ///
    /// If its sources cannot be read.
    pub fn all() -> std::io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut names = BTreeSet::new();
        folder(&root.join(SOURCES), &mut names)?;
        names.extend(target::NAMES.iter().map(ToString::to_string));
        names.extend(payload::TESTS.iter().map(|(name, _)| (*name).to_owned()));
        names.insert(payload::HOST.to_owned());
        Ok(Self(names))
    }

    /// Checks that a test has `text` in its name.
    ///
    /// # Errors
    ///
    /// If none has.
    pub fn check(&self, text: &str) -> Result<(), String> {
        // Tests that run in RMI 2.0 again have the name of the table behind this.
        let table = text.strip_prefix("v2.").unwrap_or(text);
        if self.0.iter().any(|name| name.contains(table)) {
            return Ok(());
        }
        let groups = self.0.iter().filter_map(|name| name.split_once('.'));
        let groups: BTreeSet<&str> = groups.map(|(group, _)| group).collect();
        let groups: Vec<&str> = groups.into_iter().collect();
        Err(format!(
            "--only {text}: no test has that in its name. The groups are: {}",
            groups.join(", ")
        ))
    }
}

/// The names in the sources of a folder.
fn folder(place: &Path, names: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folder(&entry.path(), names)?;
        } else {
            let text = std::fs::read_to_string(entry.path())?;
            names.extend(literals(&text).filter(|text| is_name(text)).map(Into::into));
        }
    }
    Ok(())
}

/// The texts in quotes that a comma follows: an entry of a table of tests begins with one.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('"').filter_map(|(at, _)| {
        let (literal, rest) = text.get(at + 1..)?.split_once('"')?;
        rest.starts_with(',').then_some(literal)
    })
}

/// Whether a text is `group.what`.
fn is_name(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.split_once('.')
        .is_some_and(|(group, what)| word(group) && word(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_by_a_part_of_their_name() {
        let names = Names::all().unwrap();
        for known in [
            "rtt.",
            "demo.life",
            "sweep.",
            "guest.shell",
            "host.linux",
            "payload.",
            "realm.thousand",
            "v2.blocks",
            "v2.exit.",
        ] {
            assert_eq!(names.check(known), Ok(()), "{known}");
        }
        let why = names.check("rttt.").unwrap_err();
        assert!(why.contains("rtt, ") && why.contains("guest, "), "{why}");
    }

    #[test]
    fn only_entries_of_tables_are_names() {
        let text = "(\"a.one\", one), (\n \"b.two\",\n two) \"c.three\" (\"Not.this\", x)";
        let found: Vec<&str> = literals(text).filter(|text| is_name(text)).collect();
        assert_eq!(found, ["a.one", "b.two"]);
    }
}
