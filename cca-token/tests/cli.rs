// SPDX-License-Identifier: BSD-3-Clause
//! The tool as a relying party runs it: exit codes and output.
#![cfg(feature = "cli")]

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use cca_token::hex::encode;
use support::{golden, path, pattern};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cca-token"))
        .args(arguments)
        .output()
        .expect("the tool runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn file(name: &str, content: &[u8]) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli");
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let path = folder.join(name);
    std::fs::write(&path, content).expect(name);
    path.to_str().expect("a plain path").into()
}

fn verify(token: &str, more: &[&str]) -> Output {
    let (challenge, rim) = (encode(&pattern(0x10, 64)), encode(&pattern(0x20, 32)));
    let anchor = path("cpak-es384.pem");
    let mut arguments = vec![
        "verify",
        token,
        "--anchor",
        &anchor,
        "--challenge",
        &challenge,
        "--rim",
        &rim,
    ];
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn a_good_token_is_verified() {
    let output = verify(&path("rel0.cbor"), &[]);
    assert_eq!(code(&output), 0);
    assert!(
        stdout(&output).ends_with("token: verified\n"),
        "{}",
        stdout(&output)
    );
    let output = verify(&path("rel0.cbor"), &["--json"]);
    assert_eq!(code(&output), 0);
    let result = json(&output);
    assert_eq!(result["verdict"], "verified");
    assert_eq!(result["reason"], serde_json::Value::Null);
    assert_eq!(result["checks"][1]["check"], "platform-signature");
    assert_eq!(result["checks"][1]["result"], "passed");
    assert_eq!(result["token"]["realm"]["rim"], encode(&pattern(0x20, 32)));
}

#[test]
fn refusals_say_why() {
    let other = encode(&[9; 64]);
    for (more, check) in [
        (&["--rem", &format!("2={}", encode(&[0; 32]))][..], "rem"),
        (&["--rpv", "00"], "rpv"),
        (&["--lifecycle", "unknown"], "lifecycle"),
        (&["--implementation-id", &other[..64]], "implementation-id"),
        (&["--instance-id", &other[..66]], "instance-id"),
        (&["--component", "00:00"], "software-components"),
    ] {
        let output = verify(&path("rel0.cbor"), more);
        assert_eq!(code(&output), 1, "{check}");
        assert!(
            stdout(&output).contains(&format!("token: refused: {check}: ")),
            "{}",
            stdout(&output)
        );
    }
    let output = verify(&path("rel0-es256.cbor"), &["--json"]);
    assert_eq!(code(&output), 1);
    assert_eq!(json(&output)["verdict"], "refused");
    let checks = &json(&output)["checks"];
    assert_eq!(checks[1]["result"], "failed");
    assert_eq!(checks[2]["result"], "not-reached");
}

#[test]
fn without_an_anchor_nothing_is_verified() {
    let any = ["--without-anchor", "--any-challenge", "--any-rim"];
    let rel0 = path("rel0.cbor");
    let output = run(&[&["verify", &rel0][..], &any].concat());
    assert_eq!(code(&output), 4);
    assert!(stdout(&output).ends_with("token: platform not authenticated\n"));
    let output = run(&[&["verify", &rel0, "--json"][..], &any].concat());
    assert_eq!(json(&output)["verdict"], "platform-not-authenticated");
    let output = run(&[&["verify", &rel0, "--rpv", "00"][..], &any].concat());
    assert_eq!(code(&output), 1);
}

#[test]
fn malformed_tokens_have_their_own_code() {
    let bytes = golden("rel0.cbor");
    let short = file("short.cbor", &bytes[..600]);
    for output in [verify(&short, &[]), run(&["show", &short])] {
        assert_eq!(code(&output), 3);
        assert!(
            stderr(&output).contains("byte 600: "),
            "{}",
            stderr(&output)
        );
    }
    let output = verify(&short, &["--json"]);
    assert_eq!(json(&output)["verdict"], "malformed");
    assert_eq!(json(&output)["error"]["offset"], 600);
    let large = file("large.cbor", &[0; 100_000]);
    assert_eq!(code(&run(&["show", &large])), 3);
    assert_eq!(code(&run(&["show", &file("empty.cbor", &[])])), 3);
}

#[test]
fn wrong_use_has_its_own_code() {
    let token = path("rel0.cbor");
    let anchor = path("cpak-es384.pem");
    let challenge = encode(&[1; 64]);
    let cpak = file(
        "sample-cpak.jwk",
        br#"{"kty": "EC", "crv": "P-384",
            "x": "IShnxS4rlQiwpCCpBWDzlNLfqiG911FP8akBr-fh94uxHU5m-Kijivp2r2oxxN6M",
            "y": "hM4tr8mWQli1P61xh3T0ViDREbF26DGOEYfbAjWjGNN7pZf-6A4OTHYqEryz6m7U"}"#,
    );
    for arguments in [
        &["verify", &token][..],
        &["verify", &token, "--anchor", &anchor, "--any-rim"],
        &["verify", &token, "--anchor", &anchor, "--any-challenge"],
        &["verify", &token, "--any-challenge", "--any-rim"],
        &[
            "verify",
            &token,
            "--anchor",
            &token,
            "--any-challenge",
            "--any-rim",
        ],
        &[
            "verify",
            &token,
            "--anchor",
            "/nowhere",
            "--any-challenge",
            "--any-rim",
        ],
        &[
            "verify",
            &token,
            "--anchor",
            &cpak,
            "--any-challenge",
            "--any-rim",
        ],
        &[
            "verify",
            "/nowhere",
            "--anchor",
            &anchor,
            "--any-challenge",
            "--any-rim",
        ],
        &[
            "verify",
            &token,
            "--anchor",
            &anchor,
            "--challenge",
            &challenge[..62],
            "--any-rim",
        ],
        &[
            "verify",
            &token,
            "--anchor",
            &anchor,
            "--challenge",
            "xx",
            "--any-rim",
        ],
        &[
            "verify",
            &token,
            "--anchor",
            &anchor,
            "--any-challenge",
            "--rim",
            "00",
        ],
        &["show"],
        &["show", "/nowhere"],
        &["other"],
        &[],
        &["rim", "/nowhere"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty());
    }
    for more in [
        &["--rem", "4=00"][..],
        &["--rem", "0"],
        &["--rem", "0=00", "--rem", "0=00"],
        &["--lifecycle", "good"],
        &["--rpv", &"00".repeat(65)],
        &["--implementation-id", "00"],
        &["--component", "00"],
        &["--without-anchor"],
        &["--any-rim"],
        &["--any-challenge"],
    ] {
        assert_eq!(code(&verify(&token, more)), 2, "{more:?}");
    }
    let rest = ["--any-challenge", "--any-rim", "--allow-test-keys"];
    let output = run(&[&["verify", &token, "--anchor", &cpak][..], &rest].concat());
    assert_eq!(code(&output), 1, "the sample CPAK did not sign this");
}

#[test]
fn tokens_come_from_standard_input_and_as_text() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cca-token"))
        .args(["show", "-", "--hex", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    let text = encode(&golden("rel0.cbor"));
    let (line, rest) = text.split_at(60);
    let mut input = child.stdin.take().expect("a pipe");
    write!(input, "{line}\n{rest}\n").expect("a pipe");
    drop(input);
    let output = child.wait_with_output().expect("the tool ends");
    assert_eq!(code(&output), 0);
    assert_eq!(json(&output)["platform"]["lifecycle-state"], "secured");
}

#[test]
fn show_hides_nothing_and_prints_no_control_characters() {
    let output = run(&["show", &path("odd-unknown.cbor")]);
    assert_eq!(code(&output), 0);
    for text in [
        "not verified",
        "BL2",
        "unknown claim 70000",
        "REM[3]",
        &encode(&pattern(0x80, 64)),
    ] {
        assert!(stdout(&output).contains(text), "{text}");
    }
    let mut recipe = support::Recipe::default();
    support::set(
        &mut recipe.platform,
        265,
        support::tstr("\u{1b}[2J\u{202e}x"),
    );
    recipe.realm.push((70_000, support::tstr("\u{1b}c")));
    let output = run(&["show", &file("escape.cbor", &recipe.token())]);
    assert_eq!(code(&output), 0);
    assert!(!stdout(&output).contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn rim_from_a_launch_description() {
    let text = "version = 1\n[realm]\nhash = 'sha-256'\nipa_bits = 32\nbreakpoints = 2\nwatchpoints = 2\n\
                rpv = '00'\n[[step]]\nop = 'rec'\nindex = 0\nrunnable = false\n";
    let rim = "44653f9bb1c67506a91a9440910b90abc941f9783a337cf8fd64c614ba7a7b09";
    let launch = file("launch.toml", text.as_bytes());
    let output = run(&["rim", &launch]);
    assert_eq!((code(&output), stdout(&output)), (0, format!("{rim}\n")));
    let output = run(&["rim", &launch, "--json", "--trace"]);
    assert_eq!(json(&output)["rim"], rim);
    assert_eq!(json(&output)["after"][1], rim);
    let output = run(&["rim", &launch, "--trace"]);
    assert_eq!(stdout(&output).lines().count(), 3);

    // In place of --rim, and with the RPV of the description.
    let anchor = path("cpak-es384.pem");
    let token = path("rel0.cbor");
    let arguments = [
        "verify",
        &token,
        "--anchor",
        &anchor,
        "--any-challenge",
        "--launch",
        &launch,
    ];
    let output = run(&arguments);
    assert_eq!(code(&output), 1);
    assert!(
        stdout(&output).contains("\nrim                       FAILED"),
        "{}",
        stdout(&output)
    );
    assert!(stdout(&output).contains("\nrpv                       FAILED"));
    let output = run(&[&arguments[..], &["--rpv", "01"]].concat());
    assert_eq!(code(&output), 2, "the RPVs differ");

    let bad = file("bad.toml", text.replace("= 32", "= 99").as_bytes());
    assert_eq!(code(&run(&["rim", &bad])), 2);
}
