// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools conformance [--check] [FOLDER]`: which test shows which row of the specification.
//!
//! The rows are in `conformance/rows.txt` and `conformance/rows-2.0.txt`, the mistakes of other monitors in `conformance/bugs.txt`.
//! Tests name their rows in a comment, so that `docs/conformance.md` is made of the tests
//! themselves. With `--check` nothing is written: the page that is there has to be the one that
//! would be made, but for the lines that its links name.

mod page;
mod rows;
mod scan;

use crate::Outcome;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where tests are, and whether they run on the target.
const PLACES: &[(&str, bool)] = &[
    ("rmm-abi", false),
    ("rmm-attest", false),
    ("rmm-core", false),
    ("rmm-granule", false),
    ("rmm-rsi", false),
    ("rmm-rtt", false),
    ("tests-fvp/src/bin/test-host", true),
];

const PAGE: &str = "docs/conformance.md";

/// Makes the page, or checks it.
pub fn main(arguments: &[String]) -> Outcome {
    let check = arguments.iter().any(|argument| argument == "--check");
    let mut folders = arguments.iter().filter(|argument| *argument != "--check");
    let root = PathBuf::from(folders.next().map_or(".", String::as_str));
    if let Some(unknown) = folders.next() {
        return Err(format!("{unknown} is too much: conformance [--check] [FOLDER]").into());
    }
    let (text, figures) = make(&root)?;
    let path = root.join(PAGE);
    if !check {
        std::fs::write(path, text)?;
        println!("{PAGE}: {figures}");
        return Ok(ExitCode::SUCCESS);
    }
    let there = std::fs::read_to_string(path)?;
    if page::without_lines(&there) == page::without_lines(&text) {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!("{PAGE} is not what the tests say: make conformance").into())
}

/// The page, and its figures in a line.
fn make(root: &Path) -> Result<(String, String), Box<dyn std::error::Error>> {
    let mut subjects = rows::parse(include_str!("conformance/rows.txt"))?;
    subjects.extend(rows::parse(include_str!("conformance/rows-2.0.txt"))?);
    subjects.extend(rows::parse(include_str!("conformance/bugs.txt"))?);
    let mut tags = Vec::new();
    for (place, on_target) in PLACES {
        scan::folder(root, Path::new(place), *on_target, &mut tags)?;
    }
    rows::assign(&mut subjects, &tags)?;
    Ok(page::page(&subjects))
}
