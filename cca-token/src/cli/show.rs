// SPDX-License-Identifier: BSD-3-Clause
//! `cca-token show`

use std::path::PathBuf;

use cca_token::token::Token;

use crate::{End, Outcome, describe, of, read_token};

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
        Ok(token) if arguments.json => println!("{:#}", describe::json(&token)),
        Ok(token) => {
            println!("not verified: what follows is what the token says");
            describe::print(&token);
        }
        Err(error) => {
            eprintln!("cca-token: {}", of(&arguments.token)(error));
            return Ok(End::Malformed);
        }
    }
    Ok(End::Done)
}
