// SPDX-License-Identifier: BSD-3-Clause
//! The tests of the build machine: `cargo test`, counted by crate.

use super::Count;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What the random sequences of the model grow to in the long tests (see `rmm-core/tests/model`).
const LONG: [(&str, &str); 2] = [("PROPTEST_CASES", "500"), ("MODEL_STEPS", "400")];

/// Runs `cargo test` for the crates that it tests by default, and shows what it prints. Returns
/// what each crate's tests came to.
pub fn run(long: bool) -> Result<Vec<(String, Count)>, Box<dyn Error>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    // Cargo names the tests on the one stream and they report on the other.
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$0" test --no-fail-fast 2>&1"#, &cargo])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if long {
        command.envs(LONG);
    }
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or("cargo has no output")?;
    let mut crates = Crates::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        crates.line(&line);
    }
    let success = child.wait()?.success();
    Ok(crates.finish(success))
}

/// What the crates' tests have come to so far.
struct Crates {
    counts: Vec<(String, Count)>,
    /// When the last crate's tests began.
    since: Instant,
}

impl Default for Crates {
    fn default() -> Self {
        // Whatever is built before the first test.
        Self {
            counts: vec![("building".into(), Count::default())],
            since: Instant::now(),
        }
    }
}

impl Crates {
    fn line(&mut self, line: &str) {
        if let Some(name) = crate_of(line.trim_start()) {
            self.enter(name);
        } else if let Some(result) = line.strip_prefix("test result: ")
            && let Some((_, count)) = self.counts.last_mut()
        {
            count.passed += number_before(result, " passed");
            count.failed += number_before(result, " failed");
            count.skipped += number_before(result, " ignored");
        }
    }

    /// The tests of another crate begin, or tests of another kind of the same.
    fn enter(&mut self, name: &str) {
        let now = Instant::now();
        if let Some((_, count)) = self.counts.last_mut() {
            count.time += now - self.since;
        }
        self.since = now;
        // To the end of the list, with what it had before.
        let before = self.counts.iter().position(|(known, _)| known == name);
        let entry = before.map_or((name.to_owned(), Count::default()), |n| {
            self.counts.remove(n)
        });
        self.counts.push(entry);
    }

    /// Cargo has ended, successfully or not.
    fn finish(mut self, success: bool) -> Vec<(String, Count)> {
        self.enter("cargo");
        let failed: u64 = self.counts.iter().map(|(_, count)| count.failed).sum();
        if !success
            && failed == 0
            && let Some((_, count)) = self.counts.last_mut()
        {
            println!("cargo test failed");
            count.failed = 1;
        }
        let nothing = |count: &Count| *count == Count::default();
        self.counts
            .retain(|(name, count)| name != "cargo" || !nothing(count));
        self.counts
    }
}

/// The crate whose tests a line of cargo announces: the tests in `tests/` follow those in `src`.
fn crate_of(line: &str) -> Option<&str> {
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(name);
    }
    let program = line.strip_prefix("Running unittests ")?.split_once('(')?.1;
    let file = program.trim_end_matches(')').rsplit('/').next()?;
    Some(file.rsplit_once('-')?.0)
}

/// The number that stands before a word, 0 without it.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or("");
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_by_crate() {
        let mut crates = Crates::default();
        for line in [
            "   Compiling rmm-core v0.1.0",
            "     Running unittests src/lib.rs (target/debug/deps/rmm_core-9f3802f71430df91)",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "     Running tests/model/main.rs (target/debug/deps/model-28356f0e091d94f0)",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "     Running unittests src/lib.rs (target/debug/deps/rmm_rtt-d52128e194e97dc7)",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "   Doc-tests rmm_core",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            crates.line(line);
        }
        let counts = crates.finish(false);
        let lines: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{name}: {count}"))
            .collect();
        assert_eq!(
            lines,
            [
                "building: 0 passed, 0 failed, 0 skipped",
                "rmm_rtt: 5 passed, 0 failed, 0 skipped",
                "rmm_core: 15 passed, 1 failed, 1 skipped",
            ]
        );
    }

    #[test]
    fn cargo_that_fails_without_a_test_is_a_failure() {
        let counts = Crates::default().finish(false);
        assert_eq!(counts.last().map(|(_, count)| count.failed), Some(1));
    }
}
