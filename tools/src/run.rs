// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools run`: boots the demonstration and shows what it prints.

use crate::Outcome;
use crate::qemu::{Boot, Event, Options, is_crash};
use std::process::ExitCode;
use std::time::Duration;

/// The last line of a Host that has done everything.
const COMPLETE: &str = "host: run complete";

/// Boots, prints, judges.
pub fn main(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments, 3072, 120)?;
    match run(&options)? {
        None => {
            println!("run: PASS");
            Ok(ExitCode::SUCCESS)
        }
        Some(why) => {
            println!("run: FAIL: {why}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Why the run failed, if it did.
fn run(options: &Options) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let mut boot = Boot::start(options, "mode run\n")?;
    let mut complete = false;
    let mut failure = None;
    let why = loop {
        match boot.next() {
            Event::Line(line) => {
                println!("{line}");
                complete |= line == COMPLETE;
                let crashed = is_crash(&line);
                if crashed {
                    boot.shorten(Duration::from_secs(2));
                }
                if crashed || line.starts_with("host: FAILED") || line.starts_with("host: crashed")
                {
                    failure.get_or_insert(line);
                }
            }
            Event::Ended(true) if complete => break None,
            Event::Ended(true) => break Some("QEMU ended before the Host was done".into()),
            Event::Ended(false) => break Some("QEMU failed".into()),
            Event::Silent => break Some(format!("no output for {} s", options.silence)),
            Event::Timeout => break Some(format!("not done after {} s", options.timeout)),
        }
    };
    Ok(failure.or(why))
}
