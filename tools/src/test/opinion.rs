// SPDX-License-Identifier: BSD-3-Clause
//! A second verifier, which shares no code with `cca-token`.

use crate::run::Verified;
use std::path::Path;
use std::process::Command;

/// The verifier.
const VERIFIER: &str = "cca-token/tests/verify.py";

/// Whether a verifier in Python, which shares no code with `cca-token`, verifies the token, too, and refuses it for
/// another RIM. Returns why it was skipped, if Python lacks what it needs.
pub fn second_opinion(verified: &Verified, anchor: &Path) -> Result<Option<String>, String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let judge = |rim: &str| match Command::new(&python)
        .arg(VERIFIER)
        .args([&verified.token, anchor])
        .args([&verified.challenge, rim])
        .output()
    {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            (output.status.code(), text)
        }
        Err(error) => (None, error.to_string()),
    };
    let other = "00".repeat(verified.rim.len() / 2);
    match (judge(&verified.rim), judge(&other)) {
        ((Some(0), _), (Some(1), why)) if why == "refused: RIM" => Ok(None),
        ((Some(77), why), _) => Ok(Some(why)),
        ((None, why), _) => Ok(Some(format!("{python}: {why}"))),
        (right, other) => Err(format!("{right:?}, for another RIM {other:?}")),
    }
}
