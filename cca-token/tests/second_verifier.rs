// SPDX-License-Identifier: BSD-3-Clause
//! Holds the crate's verdicts to those of `tests/verify.py`, which shares no code with it. Needs Python 3
//! with the packages cbor2 and cryptography; `PYTHON` names another interpreter. Without them the tests
//! count as ignored, which the usual test harness cannot do at run time; hence this `main`.

mod support;

use std::path::Path;
use std::process::{Command, ExitCode};

use cca_token::hex::encode;
use cca_token::token::Token;
use cca_token::verify::{Policy, Verdict, verify};
use support::{Recipe, anchors, golden, path, pattern, patterned, set, signing_key, uint};

type Test = fn(&str);

const TESTS: [(&str, Test); 3] = [
    ("golden_tokens", golden_tokens),
    ("tokens_of_this_crate", tokens_of_this_crate),
    ("changed_tokens", changed_tokens),
];

fn main() -> ExitCode {
    let python = std::env::var("PYTHON").unwrap_or("python3".into());
    let missing = match Command::new(&python)
        .args(["-c", "import cbor2, cryptography"])
        .output()
    {
        Ok(output) if output.status.success() => None,
        Ok(_) => Some(format!(
            "{python} lacks the packages cbor2 and cryptography"
        )),
        Err(error) => Some(format!("{python}: {error}")),
    };
    println!("\nrunning {} tests", TESTS.len());
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, test) in TESTS {
        let result = match &missing {
            Some(why) => {
                ignored += 1;
                format!("ignored, {why}")
            }
            None if std::panic::catch_unwind(|| test(&python)).is_ok() => {
                passed += 1;
                "ok".into()
            }
            None => {
                failed += 1;
                "FAILED".into()
            }
        };
        println!("test {name} ... {result}");
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out\n"
    );
    ExitCode::from(u8::from(failed != 0))
}

/// What `verify.py` says of the token.
fn second_opinion(python: &str, token: &[u8], anchor: &str, rim: &[u8]) -> bool {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("second-verifier.cbor");
    std::fs::write(&file, token).expect("a file for the token");
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify.py"))
        .arg(&file)
        .arg(anchor)
        .args([encode(&pattern(0x10, 64)), encode(rim)])
        .output()
        .expect("Python runs");
    let text = String::from_utf8_lossy(&output.stdout);
    match (output.status.code(), text.trim_end()) {
        (Some(0), "verified") => true,
        (Some(1), text) if text.starts_with("refused: ") => false,
        _ => panic!("{output:?}"),
    }
}

fn first_opinion(token: &[u8], anchor: &str, rim: &[u8]) -> bool {
    let policy = Policy {
        anchors: anchors(anchor),
        challenge: Some(patterned(0x10)),
        rims: Some(vec![rim.to_vec()]),
        ..Policy::default()
    };
    Token::parse(token).is_ok_and(|token| verify(&token, &policy).verdict == Verdict::Verified)
}

fn golden_tokens(python: &str) {
    for (name, anchor, size, good) in [
        ("rel0", "es384", 32, true),
        ("rel0", "es256", 32, false),
        ("rel0", "es384", 64, false),
        ("rel0-sha512", "es384", 64, true),
        ("rel0-no-realm-profile", "es384", 32, true),
        ("rel0-es256", "es256", 32, true),
        ("rel0-es512", "es512", 32, true),
        ("old-profile", "es384", 32, true),
        ("cmw", "es384", 32, true),
        ("odd", "es384", 32, true),
        ("odd-unknown", "es384", 32, true),
        ("unknown", "es384", 32, true),
    ] {
        let token = golden(&format!("{name}.cbor"));
        let anchor = format!("cpak-{anchor}.pem");
        let rim = pattern(0x20, size);
        assert_eq!(first_opinion(&token, &anchor, &rim), good, "{name}");
        assert_eq!(
            second_opinion(python, &token, &path(&anchor), &rim),
            good,
            "{name}"
        );
    }
}

fn tokens_of_this_crate(python: &str) {
    use p384::pkcs8::{EncodePublicKey as _, LineEnding};
    let good = Recipe::default();
    let anchor = Path::new(env!("CARGO_TARGET_TMPDIR")).join("second-verifier.pem");
    let key = p384::PublicKey::from(*good.cpak.verifying_key());
    let pem = key.to_public_key_pem(LineEnding::LF);
    std::fs::write(&anchor, pem.expect("a PEM")).expect("a file for the anchor");
    let anchor = anchor.to_str().expect("a plain path");
    let rim = pattern(0x20, 32);
    assert!(second_opinion(python, &good.token(), anchor, &rim));
    let mut wrong = good.clone();
    wrong.rak = signing_key(8);
    assert!(!second_opinion(python, &wrong.token(), anchor, &rim));
    let mut wrong = good.clone();
    set(&mut wrong.platform, 2395, uint(0x4000));
    assert!(!second_opinion(python, &wrong.token(), anchor, &rim));
}

/// Both refuse the same damage, at a sample of places: each run of Python takes a while.
fn changed_tokens(python: &str) {
    let good = golden("rel0.cbor");
    let rim = pattern(0x20, 32);
    for at in (0..good.len()).step_by(61) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(!first_opinion(&bad, "cpak-es384.pem", &rim), "byte {at}");
        assert!(
            !second_opinion(python, &bad, &path("cpak-es384.pem"), &rim),
            "byte {at}"
        );
    }
}
