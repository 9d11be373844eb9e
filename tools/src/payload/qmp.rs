// SPDX-License-Identifier: BSD-3-Clause
//! QEMU's control socket: resets the machine, and notes that it has powered itself off.

use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread::JoinHandle;

/// Both ends of a control socket for a QEMU that has not been started yet.
pub struct Pair {
    ours: UnixStream,
    theirs: UnixStream,
}

impl Pair {
    /// Adds the socket to the arguments of QEMU.
    ///
    /// # Errors
    ///
    /// If the system has no socket left.
    pub fn add_to(command: &mut Command) -> std::io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        // QEMU inherits this end under its number.
        fcntl_setfd(&theirs, FdFlags::empty())?;
        let chardev = format!("socket,id=qmp,fd={}", theirs.as_raw_fd());
        command.args(["-chardev", &chardev, "-mon", "chardev=qmp,mode=control"]);
        Ok(Self { ours, theirs })
    }

    /// Opens the conversation, when QEMU has been started.
    ///
    /// # Errors
    ///
    /// If QEMU has ended.
    pub fn open(self) -> std::io::Result<Qmp> {
        // With both ends open here, the end of QEMU would not be seen.
        drop(self.theirs);
        let lines = BufReader::new(self.ours.try_clone()?);
        let reader =
            std::thread::spawn(move || lines.lines().map_while(Result::ok).any(powered_off));
        let mut qmp = Qmp {
            stream: self.ours,
            reader,
        };
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }
}

/// The control socket of a running QEMU.
pub struct Qmp {
    stream: UnixStream,
    /// Reads what QEMU reports. Ends with whether the machine has powered itself off.
    reader: JoinHandle<bool>,
}

impl Qmp {
    /// Resets the machine.
    ///
    /// # Errors
    ///
    /// If QEMU has ended.
    pub fn reset(&mut self) -> std::io::Result<()> {
        self.execute("system_reset")
    }

    fn execute(&mut self, command: &str) -> std::io::Result<()> {
        writeln!(self.stream, r#"{{"execute": "{command}"}}"#)
    }

    /// Whether the machine has powered itself off. QEMU must have ended.
    pub fn powered_off(self) -> bool {
        self.reader.join().unwrap_or(false)
    }
}

/// Whether a line is the event of a machine that powers itself off.
fn powered_off(line: String) -> bool {
    let value: Value = serde_json::from_str(&line).unwrap_or_default();
    value["event"] == "SHUTDOWN" && value["data"]["reason"] == "guest-shutdown"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_powers_off() {
        let event = |reason: &str| {
            let data = format!(r#"{{"guest": true, "reason": "{reason}"}}"#);
            powered_off(format!(r#"{{"event": "SHUTDOWN", "data": {data}}}"#))
        };
        assert!(event("guest-shutdown"));
        assert!(!event("guest-reset") && !event("host-signal"));
        assert!(!powered_off(r#"{"return": {}}"#.into()));
        assert!(!powered_off("no JSON".into()));
    }
}
