// SPDX-License-Identifier: BSD-3-Clause
//! A program that `rmm-tools tied` started ends with its parent.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TOOL: &str = env!("CARGO_BIN_EXE_rmm-tools");

#[test]
fn a_tied_program_ends_with_a_parent_that_is_killed() {
    // The parent prints the identifier of the program, then waits for ever.
    let script = r#""$0" tied $$ sh -c 'echo $$; exec sleep 1000' & wait"#;
    let mut parent = Command::new("sh")
        .args(["-c", script, TOOL])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(parent.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let program = format!("/proc/{}", line.trim());
    assert!(Path::new(&program).exists());

    parent.kill().unwrap();
    parent.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while runs(&program) {
        assert!(Instant::now() < end, "{program} still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs: one that has ended may wait for somebody to ask for its status.
fn runs(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("{process}/stat"));
    status.is_ok_and(|text| !text.contains(") Z "))
}

#[test]
fn a_program_of_another_parent_is_not_started() {
    for parent in ["1", "none"] {
        let output = Command::new(TOOL)
            .args(["tied", parent, "echo", "started"])
            .output()
            .unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
    }
}
