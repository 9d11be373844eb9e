// SPDX-License-Identifier: BSD-3-Clause
//! `cca-token rim`

use std::path::PathBuf;

use serde_json::json;

use cca_token::hex::encode;
use cca_token::launch;

use crate::{End, Outcome, of, out};

/// Compute the Realm Initial Measurement that a launch leads to
#[derive(clap::Args)]
pub struct Arguments {
    /// Launch description, TOML or JSON
    description: PathBuf,
    /// Also print the measurement after the creation of the Realm and after each step
    #[arg(long)]
    trace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let expected =
        launch::measure_file(&arguments.description).map_err(of(&arguments.description))?;
    let after: Vec<String> = expected.after.iter().map(|rim| encode(rim)).collect();
    let rim = encode(expected.rim());
    if arguments.json {
        let mut result = json!({
            "hash-algorithm": expected.hash.to_string(),
            "rim": rim,
            "rpv": expected.rpv.map(|rpv| encode(&rpv)),
        });
        if arguments.trace {
            result["after"] = after.into();
        }
        out(&format!("{result:#}\n"))?;
        return Ok(End::Done);
    }
    let mut lines = String::new();
    if arguments.trace {
        for (i, rim) in after.iter().enumerate() {
            lines += &match i.checked_sub(1) {
                None => format!("realm_create  {rim}\n"),
                Some(step) => format!("step {step:<9}{rim}\n"),
            };
        }
    }
    out(&format!("{lines}{rim}\n"))?;
    Ok(End::Done)
}
