// SPDX-License-Identifier: BSD-3-Clause
//! `cca-token verify`

use std::path::PathBuf;

use serde_json::{Value, json};

use cca_token::token::Token;
use cca_token::verify::{Outcome as Found, Report, Verdict, verify};

use crate::{End, Outcome, TEST_KEYS_WARNING, describe, of, out, policy, read_token};

/// Verify a token: signatures, binding of the Realm's key to the platform, and what you expect of both
#[derive(clap::Args)]
pub struct Arguments {
    /// The token; - is standard input
    token: PathBuf,
    /// The token is hexadecimal text
    #[arg(long)]
    hex: bool,
    /// The challenge that you sent, 32 to 64 bytes
    #[arg(long, value_name = "HEX", required_unless_present = "any_challenge")]
    challenge: Option<String>,
    /// Accept any challenge: the token may be old
    #[arg(long, conflicts_with = "challenge")]
    any_challenge: bool,
    #[command(flatten)]
    policy: policy::PolicyArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut policy = arguments.policy.policy()?;
    policy.challenge = arguments
        .challenge
        .as_deref()
        .map(policy::challenge)
        .transpose()?;
    let bytes = read_token(&arguments.token, arguments.hex)?;
    let token = match Token::parse(&bytes) {
        Ok(token) => token,
        Err(error) => {
            if arguments.json {
                let error = json!({"offset": error.offset, "what": error.what});
                let result = json!({"verdict": "malformed", "error": error});
                out(&format!("{result:#}\n"))?;
            }
            eprintln!("cca-token: {}", of(&arguments.token)(error));
            return Ok(End::Malformed);
        }
    };
    let report = verify(&token, &policy);
    if arguments.json {
        out(&format!("{:#}\n", to_json(&report, &token)))?;
    } else {
        out(&text(&report))?;
    }
    Ok(match report.verdict {
        Verdict::Verified => End::Done,
        Verdict::Refused(_) => End::Refused,
        Verdict::PlatformNotAuthenticated => End::NotAuthenticated,
    })
}

fn text(report: &Report) -> String {
    let mut lines = String::new();
    for check in &report.checks {
        let (word, text) = match &check.outcome {
            Found::Passed(text) => ("passed", text.as_str()),
            Found::Failed(text) => ("FAILED", text.as_str()),
            Found::NotAsked => ("not asked", ""),
            Found::NotReached => ("not reached", ""),
        };
        let line = format!("{:<26}{word:<12}{text}", check.name);
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines += &format!("token: {}\n", report.verdict);
    if !report.test_keys.is_empty() {
        lines += &format!("{TEST_KEYS_WARNING}\n");
    }
    lines
}

fn to_json(report: &Report, token: &Token) -> Value {
    let checks: Vec<Value> = report
        .checks
        .iter()
        .map(|check| {
            let (word, text) = match &check.outcome {
                Found::Passed(text) => ("passed", Some(text)),
                Found::Failed(text) => ("failed", Some(text)),
                Found::NotAsked => ("not-asked", None),
                Found::NotReached => ("not-reached", None),
            };
            json!({"check": check.name, "result": word, "text": text})
        })
        .collect();
    let (verdict, reason) = match &report.verdict {
        Verdict::Verified => ("verified", None),
        Verdict::Refused(why) => ("refused", Some(why)),
        Verdict::PlatformNotAuthenticated => ("platform-not-authenticated", None),
    };
    json!({
        "verdict": verdict,
        "reason": reason,
        "checks": checks,
        "test-keys": report.test_keys,
        "token": describe::json(token),
    })
}
