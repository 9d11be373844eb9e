// SPDX-License-Identifier: BSD-3-Clause
//! `cca-token seal`, `cca-token open`, and files with secrets.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cca_token::hex;
use cca_token::seal::Secret;

use crate::{End, Outcome, of};

// Not a doc comment: it would become the description of the command.
// Where a secret comes from.
#[derive(clap::Args)]
pub struct SecretArguments {
    /// File with the secret: 64 hexadecimal digits
    #[arg(long, value_name = "FILE", conflicts_with = "new_secret")]
    secret: Option<PathBuf>,
    /// Make a new random secret and write it to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    new_secret: Option<PathBuf>,
}

impl SecretArguments {
    /// The secret, if one was named.
    pub fn secret(&self) -> Result<Option<Secret>, String> {
        if let Some(path) = &self.secret {
            return read(path).map(Some);
        }
        let Some(path) = &self.new_secret else {
            return Ok(None);
        };
        let secret = Secret::new().map_err(|e| e.to_string())?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(of(path))?;
        writeln!(file, "{}", hex::encode(secret.bytes())).map_err(of(path))?;
        Ok(Some(secret))
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(of(path))?;
    hex::decode(&text)
        .and_then(|bytes| Secret::from_bytes(&bytes))
        .ok_or_else(|| of(path)("not a secret of 64 hexadecimal digits"))
}

/// Encrypt a file with a secret
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    secret: SecretArguments,
    /// File to encrypt
    input: PathBuf,
    /// File to write
    output: PathBuf,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let content = std::fs::read(&arguments.input).map_err(of(&arguments.input))?;
    let secret = arguments
        .secret
        .secret()?
        .ok_or("seal needs --secret or --new-secret")?;
    let sealed = secret.seal(&content).map_err(|e| e.to_string())?;
    std::fs::write(&arguments.output, sealed).map_err(of(&arguments.output))?;
    Ok(End::Done)
}

/// Decrypt a file that `seal` made
#[derive(clap::Args)]
pub struct OpenArguments {
    /// File with the secret: 64 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,
    /// File to decrypt
    input: PathBuf,
    /// File to write
    output: PathBuf,
}

pub fn run_open(arguments: &OpenArguments) -> Outcome {
    let secret = read(&arguments.secret)?;
    let sealed = std::fs::read(&arguments.input).map_err(of(&arguments.input))?;
    match secret.open(&sealed) {
        Ok(content) => {
            std::fs::write(&arguments.output, content).map_err(of(&arguments.output))?;
            Ok(End::Done)
        }
        Err(error) => {
            eprintln!("cca-token: {}", of(&arguments.input)(error));
            Ok(End::Refused)
        }
    }
}
