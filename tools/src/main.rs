// SPDX-License-Identifier: BSD-3-Clause
//! Tools of the build machine. `rmm-tools <command> …`; each command prints its usage when its
//! arguments are wrong.

mod attest;
mod bench;
mod board;
mod conformance;
mod cpio;
mod dependencies;
mod guest;
mod image;
mod jump;
mod pack;
mod payload;
mod qemu;
mod run;
mod show;
mod size;
mod stream;
mod terminal;
mod test;
mod tfa;
mod tied;
mod whole;

use std::process::ExitCode;

/// A command's exit code, or why it failed.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

/// A command: its name and function.
type Command = (&'static str, fn(&[String]) -> Outcome);

const COMMANDS: &[Command] = &[
    ("bench", bench::main),
    ("conformance", conformance::main),
    ("cost", bench::page::main),
    ("cpio", cpio::main),
    ("dependencies", dependencies::main),
    ("image", image::main),
    ("jump", jump::main),
    ("host", payload::host::main),
    ("pack", pack::main),
    ("payload", payload::main),
    ("run", run::main),
    ("size", size::main),
    ("test", test::main),
    (tied::NAME, tied::main),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let found = arguments.split_first().and_then(|(name, rest)| {
        let command = COMMANDS.iter().find(|(known, _)| known == name)?;
        Some((command, rest))
    });
    let Some(((name, run), rest)) = found else {
        let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: rmm-tools {} …", names.join("|"));
        return ExitCode::from(2);
    };
    run(rest).unwrap_or_else(|error| {
        eprintln!("{name}: {error}");
        ExitCode::FAILURE
    })
}
