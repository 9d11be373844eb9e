// SPDX-License-Identifier: BSD-3-Clause
//! Tests of `rmm-tools payload`, with the payload `echo-payload` of `tests-fvp`, and of `rmm-tools host`, with
//! a stock kernel.

use crate::tied;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// What the payload prints when it is ready for input.
const READY: &str = "payload: started at EL2";
/// Seconds within which a step must be done, for a machine under load.
const PATIENCE: u64 = 120;
/// Seconds of silence until a reset: longer than any pause of a boot.
const RESET_AFTER: &str = "10";

/// A test: its name and function.
pub type Test = (&'static str, fn(&Payload) -> Result<(), Box<dyn Error>>);

/// The tests.
pub const TESTS: &[Test] = &[
    ("payload.echo", echo),
    ("payload.reset_after", reset_after),
    ("payload.own_reset", own_reset),
    ("payload.timeout", timeout),
    ("payload.killed", killed),
];

/// How the payload is run.
pub struct Payload {
    /// The flash file with it.
    pub flash: String,
    /// The emulator.
    pub qemu: String,
}

/// A Linux kernel in the place of the Host.
pub struct Host {
    /// The flash file with the loader.
    flash: String,
    kernel: String,
    initrd: String,
}

/// The name of its test.
pub const HOST: &str = "host.linux";
/// Seconds that its boot may take, of which it needs a tenth on an idle machine.
const HOST_LIMIT: &str = "600";
/// CPUs: more than usual.
const HOST_CPUS: u32 = 3;

impl Host {
    /// Takes the argument `--host FLASH KERNEL INITRD` out of `arguments`.
    pub fn take(arguments: &mut Vec<String>) -> Result<Option<Self>, String> {
        let Some(n) = arguments.iter().position(|word| word == "--host") else {
            return Ok(None);
        };
        if n + 3 >= arguments.len() {
            return Err("--host FLASH KERNEL INITRD".into());
        }
        let values: Vec<String> = arguments.drain(n..n + 4).skip(1).collect();
        let [flash, kernel, initrd] = values.try_into().map_err(|_| "--host")?;
        Ok(Some(Self {
            flash,
            kernel,
            initrd,
        }))
    }

    /// The kernel comes up as a hypervisor, beside the monitor's memory, and powers off.
    pub fn run(&self, qemu: &str) -> Result<(), Box<dyn Error>> {
        let cpus = HOST_CPUS.to_string();
        let append = format!("quiet host.check={cpus}");
        let mut running = Running::start(&[
            "host",
            "--flash",
            &self.flash,
            "--qemu",
            qemu,
            "--kernel",
            &self.kernel,
            "--initrd",
            &self.initrd,
            "--append",
            &append,
            "--smp",
            &cpus,
            "--timeout",
            HOST_LIMIT,
        ])?;
        running.wait_for("host: verdict: PASS")?;
        running.wait_for("run: powered off")?;
        running.end(true)
    }
}

impl Payload {
    /// Takes the argument `--payload FLASH` out of `arguments`.
    pub fn take(arguments: &mut Vec<String>) -> Result<Option<String>, String> {
        let Some(n) = arguments.iter().position(|word| word == "--payload") else {
            return Ok(None);
        };
        if n + 1 >= arguments.len() {
            return Err("--payload what?".into());
        }
        Ok(arguments.drain(n..n + 2).next_back())
    }

    fn start(&self, arguments: &[&str]) -> Result<Running, Box<dyn Error>> {
        let usual = ["payload", "--flash", &self.flash, "--qemu", &self.qemu];
        Running::start(&[&usual, arguments].concat())
    }
}

/// A running `rmm-tools payload` or `host`.
struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut child = tied::command("/proc/self/exe")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().ok_or("no input")?,
            output: BufReader::new(child.stdout.take().ok_or("no output")?),
            child,
        })
    }

    /// Reads lines up to one with these words.
    fn wait_for(&mut self, words: &str) -> Result<(), Box<dyn Error>> {
        let mut all = String::new();
        loop {
            let mut bytes = Vec::new();
            if self.output.read_until(b'\n', &mut bytes)? == 0 {
                return Err(format!("no '{words}' in: {all}").into());
            }
            let line = String::from_utf8_lossy(&bytes);
            if line.contains(words) {
                return Ok(());
            }
            all += &line;
        }
    }

    fn send(&mut self, text: &str) -> Result<(), Box<dyn Error>> {
        Ok(self.input.write_all(text.as_bytes())?)
    }

    /// Waits for the end. Fails unless the tool succeeds or fails as it must.
    fn end(mut self, success: bool) -> Result<(), Box<dyn Error>> {
        let status = self.child.wait()?;
        if status.success() == success {
            Ok(())
        } else {
            Err(format!("the tool's {status}").into())
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn patience() -> String {
    PATIENCE.to_string()
}

/// Input reaches the payload, output comes back, and power-off is success.
fn echo(payload: &Payload) -> Result<(), Box<dyn Error>> {
    let mut running = payload.start(&["--timeout", &patience()])?;
    running.wait_for(READY)?;
    running.send("1234 5678 abcd\n")?;
    running.wait_for("1234 5678 abcd")?;
    running.send("q")?;
    running.wait_for("run: powered off")?;
    running.end(true)
}

/// A payload that hangs starts again, and may then power off.
fn reset_after(payload: &Payload) -> Result<(), Box<dyn Error>> {
    let limit = ["--timeout", &patience(), "--reset-after", RESET_AFTER];
    let mut running = payload.start(&limit)?;
    running.wait_for(READY)?;
    running.send("h")?;
    running.wait_for("reset number 1")?;
    running.wait_for(READY)?;
    running.send("q")?;
    running.end(true)
}

/// A payload may reset the machine itself.
fn own_reset(payload: &Payload) -> Result<(), Box<dyn Error>> {
    let mut running = payload.start(&["--timeout", &patience()])?;
    running.wait_for(READY)?;
    running.send("r")?;
    running.wait_for(READY)?;
    running.send("q")?;
    running.end(true)
}

/// A payload that does not end is a failure, with the reason.
fn timeout(payload: &Payload) -> Result<(), Box<dyn Error>> {
    let mut running = payload.start(&["--timeout", "2"])?;
    running.wait_for("run: FAIL: TIMEOUT: not powered off after 2 s")?;
    running.end(false)
}

/// A tool that is killed leaves no QEMU behind.
fn killed(payload: &Payload) -> Result<(), Box<dyn Error>> {
    let mut running = payload.start(&["--timeout", &patience()])?;
    running.wait_for(READY)?;
    let tool = running.child.id();
    let children = format!("/proc/{tool}/task/{tool}/children");
    let children = std::fs::read_to_string(children)?;
    let [machine] = children.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("the tool has the children {children}").into());
    };
    running.child.kill()?;
    let status = format!("/proc/{machine}/status");
    let end = Instant::now() + Duration::from_secs(PATIENCE);
    // A process that has ended is there until its new parent asks for its status.
    while std::fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ")) {
        if Instant::now() >= end {
            return Err(format!("QEMU, process {machine}, still runs").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    running.end(false)
}
