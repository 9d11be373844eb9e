// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools dependencies [FOLDER]`: dependencies of the workspace's crates that no source names.
//!
//! A source names a dependency if it has the crate's name before `::` or after `extern crate`. That
//! is enough for crates whose macros and traits are reached by a path, as all are here. A crate that
//! adds features to a dependency of the workspace may do so for the other crates' sake.

use crate::Outcome;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Sections of a manifest, and where the sources are that may use what they name.
const SECTIONS: [(&str, &[&str]); 3] = [
    ("[dependencies]", &["src", "tests", "benches", "examples"]),
    (
        "[dev-dependencies]",
        &["src", "tests", "benches", "examples"],
    ),
    ("[build-dependencies]", &["build.rs"]),
];

/// Looks at each crate, and names what is not used.
pub fn main(arguments: &[String]) -> Outcome {
    let root = match arguments {
        [] => Path::new("."),
        [folder] => Path::new(folder),
        _ => return Err("dependencies [FOLDER]".into()),
    };
    let mut unused = 0;
    for folder in members(&read(&root.join("Cargo.toml"))?) {
        for name in unused_in(&root.join(&folder))? {
            println!("{folder}: no source names the dependency {name}");
            unused += 1;
        }
    }
    Ok(if unused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The folders of the workspace's members.
fn members(manifest: &str) -> Vec<String> {
    let lines = manifest.lines().map(str::trim);
    let list = lines.skip_while(|line| *line != "members = [").skip(1);
    let names = list.take_while(|line| *line != "]");
    names
        .map(|line| line.trim_matches([',', '"']).to_owned())
        .collect()
}

/// The dependencies in a section of a manifest, by the names that sources know them by.
fn names_in(manifest: &str, section: &str) -> Vec<String> {
    let lines = manifest.lines().map(str::trim);
    let lines = lines.skip_while(|line| *line != section).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let lines = lines.filter(|line| !(line.contains("workspace") && line.contains("features")));
    let names = lines.filter_map(|line| line.split_once(['=', '.']));
    let names = names.map(|(name, _)| name.trim());
    let names = names.filter(|name| !name.starts_with('#') && !name.is_empty());
    names.map(|name| name.replace('-', "_")).collect()
}

/// The dependencies of the crate in a folder that none of its sources names.
fn unused_in(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let manifest = read(&folder.join("Cargo.toml"))?;
    let mut unused = Vec::new();
    for (section, places) in SECTIONS {
        let names = names_in(&manifest, section);
        if names.is_empty() {
            continue;
        }
        let mut sources = String::new();
        for place in places {
            gather(&folder.join(place), &mut sources)?;
        }
        unused.extend(names.into_iter().filter(|name| !is_named(&sources, name)));
    }
    Ok(unused)
}

/// Appends the sources in a folder, or a source.
fn gather(place: &Path, sources: &mut String) -> Result<(), Box<dyn Error>> {
    if place.is_dir() {
        for entry in std::fs::read_dir(place)? {
            gather(&entry?.path(), sources)?;
        }
    } else if place.extension().is_some_and(|extension| extension == "rs") {
        *sources += &read(place)?;
    }
    Ok(())
}

/// Whether sources name a crate.
fn is_named(sources: &str, name: &str) -> bool {
    sources.match_indices(name).any(|(at, _)| {
        let before = sources.get(..at).unwrap_or("");
        let after = sources.get(at + name.len()..).unwrap_or("");
        let word = |c: char| c.is_alphanumeric() || c == '_';
        !before.ends_with(word)
            && (after.starts_with("::")
                || before.ends_with("extern crate ") && !after.starts_with(word)
                || before.ends_with("use ") && after.starts_with([';', ' ']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace]\nmembers = [\n    \"one\",\n    \"two\",\n]\n\
        [dependencies]\nrmm-abi.workspace = true\n# why\nlog = { workspace = true }\n\
        spin = { workspace = true, features = [\"once\"] }\n\n\
        [dev-dependencies]\nproptest = \"1\"\n[features]\nfake = []\n";

    #[test]
    fn manifests_are_read() {
        assert_eq!(members(MANIFEST), ["one", "two"]);
        assert_eq!(names_in(MANIFEST, "[dependencies]"), ["rmm_abi", "log"]);
        assert_eq!(names_in(MANIFEST, "[dev-dependencies]"), ["proptest"]);
        assert!(names_in(MANIFEST, "[build-dependencies]").is_empty());
    }

    #[test]
    fn sources_name_crates_by_paths() {
        for source in [
            "use log::info;",
            "fn a() { log::info!(1) }",
            "extern crate log;",
            "use log as l;",
        ] {
            assert!(is_named(source, "log"), "{source}");
        }
        for source in [
            "let log = 1;",
            "use catalog::a;",
            "use my_log::a;",
            "logs::a()",
        ] {
            assert!(!is_named(source, "log"), "{source}");
        }
    }
}
