// SPDX-License-Identifier: BSD-3-Clause
//! The terminal of `rmm-tools run --interactive`, in front of a machine that is a script: it prints a
//! line of a guest byte by byte, then it echoes.

#[path = "../src/test/pty.rs"]
mod pty;

use pty::Terminal;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SECONDS: u64 = 60;

/// A folder with the machine and a guest, removed on drop.
struct Machine(PathBuf);

impl Machine {
    /// A machine whose guest prints "ready", and which then runs `script`.
    fn new(name: &str, script: &str) -> Self {
        let name = format!("rmm-terminal-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let qemu = folder.join("qemu");
        let marked: String = b"[    0.000000] kernel\r\nready\r\n"
            .iter()
            .map(|byte| format!("\\020\\{byte:03o}"))
            .collect();
        let text = format!("#!/bin/sh\nprintf 'host: started\\n{marked}'\n{script}\n");
        std::fs::write(&qemu, text).unwrap();
        std::fs::set_permissions(&qemu, PermissionsExt::from_mode(0o755)).unwrap();
        let mut image = vec![0; 1 << 20];
        image[56..60].copy_from_slice(b"ARM\x64");
        std::fs::write(folder.join("Image"), image).unwrap();
        Self(folder)
    }

    fn start(&self) -> Terminal {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rmm-tools"));
        command.args(["run", "--interactive", "--flash", "none", "--qemu"]);
        command
            .arg(self.0.join("qemu"))
            .arg("--folder")
            .arg(&self.0);
        command.arg("--linux").arg(self.0.join("Image"));
        command.env("NO_COLOR", "1");
        let mut terminal = Terminal::start(command, (25, 80)).unwrap();
        assert!(!terminal.is_raw().unwrap(), "before the guest has it");
        terminal.expect("ready\r\n", SECONDS).unwrap();
        assert!(terminal.is_raw().unwrap());
        terminal
    }
}

impl Machine {
    fn log(&self) -> String {
        std::fs::read_to_string(self.0.join("console.log")).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_key_reaches_the_guest_and_the_size_follows() {
    let end = "od -An -v -tx1 -N16; printf 'host: PSCI_SYSTEM_OFF\\nhost: run complete\\n'";
    let machine = Machine::new("keys", end);
    let mut terminal = machine.start();
    // Ctrl-A twice is one Ctrl-A.
    terminal.send("\x03\x1A\x01\x01\x04é\x1Bq").unwrap();
    terminal.expect("run: PASS", SECONDS).unwrap();
    assert!(terminal.wait(SECONDS).unwrap().success());
    assert!(!terminal.is_raw().unwrap());
    // Each byte has the mark before it.
    let bytes = " 10 03 10 1a 10 01 10 04 10 c3 10 a9 10 1b 10 71\n";
    let log = machine.log();
    assert!(log.contains(bytes), "{log}");

    let machine = Machine::new("size", "while read -r line; do echo \"$line\"; done");
    let mut terminal = machine.start();
    terminal.resize((33, 99)).unwrap();
    // The echo of the machine comes some time later.
    let start = Instant::now();
    while !machine.log().contains("carrier< 33 99\n") {
        let log = machine.log();
        assert!(start.elapsed().as_secs() < SECONDS, "{log}");
        std::thread::sleep(Duration::from_millis(10));
    }
    terminal.send("\x01x").unwrap();
    terminal.expect("ended by Ctrl-A X", SECONDS).unwrap();
    assert!(terminal.wait(SECONDS).unwrap().success());
}

#[test]
fn the_terminal_is_restored_on_every_way_out() {
    let machine = Machine::new("out", "exec sleep 1000");
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut terminal = machine.start();
        terminal.signal(signal).unwrap();
        let status = terminal.wait(SECONDS).unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        assert!(!terminal.is_raw().unwrap(), "after {signal:?}");
    }
    // The machine ends by itself, and badly.
    let machine = Machine::new("early", "sleep 1; exit 3");
    let mut terminal = machine.start();
    terminal.expect("run: FAIL: ", SECONDS).unwrap();
    assert_eq!(terminal.wait(SECONDS).unwrap().code(), Some(1));
    assert!(!terminal.is_raw().unwrap());
}
