// SPDX-License-Identifier: BSD-3-Clause
//! `cca-token`: the relying party's tool. README.md beside this crate explains commands and exit codes.
#![forbid(unsafe_code)]

mod describe;
mod policy;
mod rim;
mod seal;
mod serve;
mod show;
mod verify;

use std::fmt::Display;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use cca_token::token::MAX_TOKEN;

/// Verifies Arm CCA attestation tokens, computes expected measurements, releases secrets to attested Realms.
///
/// Exit codes: 0 done or verified; 1 refused; 2 wrong use, or a file that cannot be used; 3 malformed token;
/// 4 nothing is wrong with the token, but the platform was not authenticated; 5 the guest did not finish.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Show(show::Arguments),
    Verify(Box<verify::Arguments>),
    Rim(rim::Arguments),
    Serve(Box<serve::Arguments>),
    Seal(seal::Arguments),
    Open(seal::OpenArguments),
}

/// How a command ends; the README documents the exit codes.
enum End {
    Done,
    Refused,
    /// Wrong use, or an input other than the token that cannot be used.
    Unusable,
    Malformed,
    NotAuthenticated,
    /// The guest did not come, or went away before it had the secret.
    Unfinished,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Done => 0,
            End::Refused => 1,
            End::Unusable => 2,
            End::Malformed => 3,
            End::NotAuthenticated => 4,
            End::Unfinished => 5,
        })
    }
}

fn main() -> ExitCode {
    let end = match Arguments::parse().command {
        Command::Show(arguments) => show::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Rim(arguments) => rim::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Seal(arguments) => seal::run(&arguments),
        Command::Open(arguments) => seal::run_open(&arguments),
    };
    end.unwrap_or_else(|error| {
        eprintln!("cca-token: {error}");
        End::Unusable
    })
    .into()
}

/// What is said beside the verdict on a token for which a test key was accepted.
const TEST_KEYS_WARNING: &str = "platform: TEST KEYS, no security";

/// What ends a command with [`End::Unusable`].
type Outcome = Result<End, String>;

/// Puts the name of a file before what is wrong with it.
fn of<E: Display>(path: &Path) -> impl Fn(E) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// Writes to standard output. That nobody reads on, as in `cca-token show TOKEN | head`, is no error.
fn out(text: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Reads a token, from standard input if the path is `-`. A larger file than any token is read only so far
/// that its size is noticed.
fn read_token(path: &Path, hex: bool) -> Result<Vec<u8>, String> {
    // Two digits and perhaps a space for each byte.
    let limit = if hex {
        3 * MAX_TOKEN + 64
    } else {
        MAX_TOKEN + 1
    };
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(of(path))?)
    };
    source
        .take(limit as u64)
        .read_to_end(&mut bytes)
        .map_err(of(path))?;
    if !hex {
        return Ok(bytes);
    }
    let text = String::from_utf8(bytes).unwrap_or_default();
    cca_token::hex::decode(&text).ok_or_else(|| of(path)("not hexadecimal"))
}
