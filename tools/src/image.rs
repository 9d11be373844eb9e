// SPDX-License-Identifier: BSD-3-Clause
//! `image`: checks of the monitor's image that only its machine code can answer, and the list of places
//! where it can panic.

mod checks;
mod code;
mod panics;

use crate::Outcome;
use code::Image;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str =
    "image <elf>: checks the monitor's ELF file; with --panics prints where it can panic";

/// Runs the command.
pub fn main(arguments: &[String]) -> Outcome {
    let (elf, list) = match arguments {
        [elf] => (elf, false),
        [elf, option] if option == "--panics" => (elf, true),
        _ => return Err(USAGE.into()),
    };
    let file = std::fs::read(elf).map_err(|error| format!("{elf}: {error}"))?;
    let image = Image::parse(&file).map_err(|error| format!("{elf}: {error}"))?;
    let sites = panics::sites(&image, Path::new("."));
    if list {
        for (site, count) in &sites {
            println!("{}", site.line(*count));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut wrong = checks::all(&image);
    let comparison = panics::compare(&sites);
    wrong.extend(comparison.wrong);
    for what in wrong.iter().chain(&comparison.gone) {
        println!("image: {what}");
    }
    if !wrong.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "image: ok, {} functions, {} places of panics",
        image.functions.len(),
        sites.values().sum::<usize>()
    );
    Ok(ExitCode::SUCCESS)
}
