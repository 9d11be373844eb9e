// SPDX-License-Identifier: BSD-3-Clause
//! Programs that end with this one, however it ends.
//!
//! Linux sends a process a signal when its parent ends, if the process has asked for that. So
//! `rmm-tools tied PARENT PROGRAM …` asks, and becomes PROGRAM: the request outlives the exec.

use crate::Outcome;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The name of the command.
pub const NAME: &str = "tied";

/// A program that is killed when the thread that spawns it ends. Spawn it from the main thread,
/// which lives as long as this process.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    // The running file itself: the one under its name may have been replaced by a new build.
    let mut command = Command::new("/proc/self/exe");
    command.args([NAME, &std::process::id().to_string()]);
    // Ctrl-C is for this process, which then ends the program.
    command.arg(program).process_group(0);
    command
}

/// Becomes the program, tied to the process whose identifier is the first argument.
pub fn main(arguments: &[String]) -> Outcome {
    let [parent, program, rest @ ..] = arguments else {
        return Err("usage: tied PARENT PROGRAM …".into());
    };
    let parent = parent.parse().ok().and_then(Pid::from_raw);
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before the request; then there is no signal to come.
    if parent.is_none() || getppid() != parent {
        return Err("the process that wanted it has ended".into());
    }
    let error = Command::new(program).args(rest).exec();
    Err(format!("{program}: {error}").into())
}
