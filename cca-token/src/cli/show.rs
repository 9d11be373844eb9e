// SPDX-License-Identifier: BSD-3-Clause
//! `cca-token show`

use std::path::PathBuf;

use cca_token::token::Token;

use crate::{End, Outcome, describe, of, out, read_token};

/// Show what is in a token, without verifying anything
#[derive(clap::Args)]
pub struct Arguments {
    /// The token; - is standard input
    token: PathBuf,
    /// The token is hexadecimal text
    #[arg(long)]
    hex: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let bytes = read_token(&arguments.token, arguments.hex)?;
    match Token::parse(&bytes) {
        Ok(token) if arguments.json => out(&format!("{:#}\n", describe::json(&token)))?,
        Ok(token) => {
            let text = describe::text(&token);
            out(&format!(
                "not verified: what follows is what the token says
{text}"
            ))?;
        }
        Err(error) => {
            eprintln!("cca-token: {}", of(&arguments.token)(error));
            return Ok(End::Malformed);
        }
    }
    Ok(End::Done)
}
