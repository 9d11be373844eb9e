// SPDX-License-Identifier: BSD-3-Clause
//! Booting one of QEMU's boards with its flash files and parameters for the test Host.

use crate::board::{self, Board};
use crate::stream::{Part, Splitter};
use crate::tied;
use rustix::fs::{MemfdFlags, memfd_create};
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// Options of the commands that boot QEMU.
#[derive(Clone, Debug)]
pub struct Options {
    /// The emulator.
    pub qemu: String,
    /// The board.
    pub board: &'static Board,
    /// The flash file: TF-A with the monitor, and on a board with one flash the test Host.
    pub flash: String,
    /// The second flash file, which jumps to the test Host.
    pub jump: String,
    /// The test Host, for a board where QEMU loads it.
    pub host: String,
    /// The CPU's model and properties.
    pub cpu: String,
    /// CPUs.
    pub smp: u32,
    /// DRAM in MiB.
    pub memory: u64,
    /// Seconds that one boot may take.
    pub timeout: u64,
    /// Seconds without a line that mean a hang.
    pub silence: u64,
    /// Runs only the target tests whose names contain this.
    pub only: Option<String>,
    /// Seed of random tests and samples.
    pub seed: u64,
    /// How long Realms of random code run; the test Host has a default.
    pub seconds: Option<u64>,
    /// Whole sweeps and longer random tests instead of samples.
    pub long: bool,
    /// EL3 is known to open all features of the CPU to both worlds, so none may be left out.
    pub el3_opens_all: bool,
    /// No tests of the build machine.
    pub target_only: bool,
    /// Further arguments for QEMU.
    pub extra: Vec<String>,
}

/// The arguments that [`Options::parse`] understands.
pub const USAGE: &str = "--qemu PATH [--board NAME] --flash FILE [--jump FILE --test-host FILE] [--timeout SECONDS] [--silence SECONDS] \
     [--smp N] [--mem 2G] [--only TEXT] [--seed N] [--seconds N] [--long] [--el3-opens-all] \
     [--target-only|--host-tests] [-- QEMU ARGUMENTS]";

impl Options {
    /// The usual machine with `memory` MiB, `timeout` seconds for a boot, and no flash file yet.
    pub fn new(memory: u64, timeout: u64) -> Self {
        Self {
            qemu: "qemu-system-aarch64".into(),
            board: &board::VIRT,
            flash: String::new(),
            jump: String::new(),
            host: String::new(),
            cpu: "max,x-rme=on,pauth-impdef=on".into(),
            smp: 2,
            memory,
            timeout,
            silence: 60,
            only: None,
            seed: 1,
            seconds: None,
            long: false,
            el3_opens_all: false,
            target_only: false,
            extra: Vec::new(),
        }
    }

    /// Reads the arguments of a command. On `virt` DRAM has `memory` MiB unless they name another size.
    pub fn parse(arguments: &[String], memory: u64, timeout: u64) -> Result<Self, Box<dyn Error>> {
        let mut options = Self::new(memory, timeout);
        let mut own_memory = false;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--long" => options.long = true,
                "--el3-opens-all" => options.el3_opens_all = true,
                "--target-only" => options.target_only = true,
                "--host-tests" => options.target_only = false,
                "--" => options.extra = rest.by_ref().cloned().collect(),
                name => {
                    let value = rest.next().ok_or_else(|| format!("usage: {USAGE}"))?;
                    match name {
                        "--qemu" => options.qemu.clone_from(value),
                        "--board" => options.board = Board::find(value)?,
                        "--flash" => options.flash.clone_from(value),
                        "--jump" => options.jump.clone_from(value),
                        "--test-host" => options.host.clone_from(value),
                        "--timeout" => options.timeout = number(name, value)?,
                        "--silence" => options.silence = number(name, value)?,
                        "--smp" => options.smp = number(name, value)?,
                        "--mem" => {
                            options.memory = mebibytes(value)
                                .map_err(|_| format!("--mem {value} is not a size such as 2G"))?;
                            own_memory = true;
                        }
                        "--seed" => options.seed = number(name, value)?,
                        "--seconds" => options.seconds = Some(number(name, value)?),
                        "--only" => options.only = Some(value.clone()),
                        _ => return Err(format!("{name}? usage: {USAGE}").into()),
                    }
                }
            }
        }
        if !own_memory {
            options.memory += options.board.more;
        }
        if !options.board.has_files(&options) {
            return Err(format!("usage: {USAGE}").into());
        }
        Ok(options)
    }
}

/// The number that is the value of an option.
fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    let parsed = value.parse();
    parsed.map_err(|_| format!("{name} {value} is not a number that it can be"))
}

/// `2G` or `2048M` in MiB.
pub fn mebibytes(text: &str) -> Result<u64, Box<dyn Error>> {
    let (number, factor) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let number = number.parse::<u64>()?.checked_mul(factor);
    Ok(number.ok_or("too large")?)
}

/// QEMU with the board: its CPUs, memory and flash, and nothing else that has a window or a terminal.
pub fn machine(options: &Options) -> Command {
    let mut command = tied::command(&options.qemu);
    command
        .args(options.board.arguments(options))
        .args(["-cpu", &options.cpu])
        .args(["-smp", &options.smp.to_string()])
        .args(["-m", &format!("{}M", options.memory)])
        .args(["-display", "none", "-monitor", "none", "-nodefaults"]);
    command
}

/// How a boot ended, or what it printed.
pub enum Event {
    /// A line on the UART.
    Line(String),
    /// Bytes of a guest's console.
    Console(Vec<u8>),
    /// Somebody at the terminal wants something.
    Asked(Ask),
    /// QEMU has ended; whether its status is success.
    Ended(bool),
    /// Nothing was printed for too long.
    Silent,
    /// The boot has taken too long.
    Timeout,
}

/// What somebody at the terminal may want of a running machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Its end.
    Quit,
    /// That it learns the new size of the window.
    Resize,
}

/// What the threads around a boot report.
enum Message {
    Part(Part),
    Ask(Ask),
    /// QEMU has closed its output.
    Closed,
}

/// How another thread reaches who waits for the next event.
#[derive(Clone)]
pub struct Bell(Sender<Message>);

impl Bell {
    /// Reports a wish. A boot that has ended does not need it.
    pub fn ring(&self, ask: Ask) {
        let _ = self.0.send(Message::Ask(ask));
    }
}

/// A running QEMU, which is killed on drop, and when this process ends.
pub struct Boot {
    child: Child,
    messages: Receiver<Message>,
    bell: Bell,
    end: Instant,
    silence: Duration,
}

impl Boot {
    /// Starts QEMU. `request` are lines for the test Host, see its `params.rs`.
    pub fn start(options: &Options, request: &str) -> Result<Self, Box<dyn Error>> {
        let text = format!(
            "rmm-test-host 1\nmemory {}\nseed {}\nlong {}\n{request}\0",
            options.memory * MIB,
            options.seed,
            if options.long { "yes" } else { "no" }
        );
        let parameters = memory_file("parameters", text.as_bytes())?;
        let loader = format!(
            "loader,file=/proc/self/fd/{},addr={:#x},force-raw=on",
            parameters.as_raw_fd(),
            options.board.parameters
        );
        let mut child = machine(options)
            .args(["-device", &loader, "-serial", "stdio", "-no-reboot"])
            .args(&options.extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = child.stdout.take().ok_or("QEMU has no output")?;
        let (sender, messages) = channel();
        let bell = Bell(sender.clone());
        std::thread::spawn(move || {
            let (mut splitter, mut bytes) = (Splitter::default(), [0; 4096]);
            // Nobody listens once the boot is dropped.
            let send = |message| drop(sender.send(message));
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                splitter.push(&bytes[..count], |part| send(Message::Part(part)));
            }
            if let Some(line) = splitter.finish() {
                send(Message::Part(Part::Line(line)));
            }
            send(Message::Closed);
        });
        Ok(Self {
            child,
            messages,
            bell,
            end: Instant::now() + Duration::from_secs(options.timeout),
            silence: Duration::from_secs(options.silence),
        })
    }

    /// The UART's input, once.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// What makes [`Self::next`] return an [`Ask`].
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Waits for the next event. A QEMU that is silent or late is killed.
    pub fn next(&mut self) -> Event {
        let left = self.end.saturating_duration_since(Instant::now());
        match self.messages.recv_timeout(left.min(self.silence)) {
            Ok(Message::Part(Part::Line(line))) => Event::Line(line),
            Ok(Message::Part(Part::Console(bytes))) => Event::Console(bytes),
            Ok(Message::Ask(ask)) => Event::Asked(ask),
            Ok(Message::Closed) | Err(RecvTimeoutError::Disconnected) => {
                Event::Ended(self.finish())
            }
            Err(RecvTimeoutError::Timeout) => {
                self.stop();
                if left > self.silence {
                    Event::Silent
                } else {
                    Event::Timeout
                }
            }
        }
    }

    /// Limits the remaining time, for the last lines of a monitor that has crashed or of a guest that has panicked.
    pub fn shorten(&mut self, limit: Duration) {
        self.end = self.end.min(Instant::now() + limit);
    }

    /// QEMU has closed its output: waits for its end. Returns whether its status is success.
    fn finish(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.stop();
        false
    }

    fn stop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A file without a name that programs started while it is open inherit. It leaves nothing behind, however
/// this process ends.
fn memory_file(name: &str, content: &[u8]) -> Result<File, Box<dyn Error>> {
    let mut file = File::from(memfd_create(name, MemfdFlags::empty())?);
    file.write_all(content)?;
    Ok(file)
}

/// Whether a line is a crash report of EL3 or of the monitor.
pub fn is_crash(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    !line.starts_with("host: ")
        && !line.starts_with("realm: ")
        && [
            "rmm crash",
            "panic",
            "unhandled exception",
            "unexpected exception",
            "assert",
        ]
        .iter()
        .any(|word| line.contains(word))
}
