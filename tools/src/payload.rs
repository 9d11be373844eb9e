// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools payload`: boots a flash file whose BL33 is the user's, with the terminal as console.

pub mod host;
mod qmp;
mod session;
pub mod terminal;

use crate::Outcome;
use crate::qemu::{Options, mebibytes};
use session::{End, Watch};
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "payload [--check] [--bl33 FILE] [--flash FILE] [--qemu PATH] [--smp N] [--ram SIZE] \
     [--icount SHIFT] [--reset-after SECONDS] [--timeout SECONDS] [--qemu-args WORDS]";

/// CPUs that TF-A has for the board.
const CPUS: u32 = 32;
/// TF-A loads BL33 512 MiB behind the start of DRAM: MiB of the smallest machine that has room for it.
const LEAST: u64 = 768;
/// MiB of RAM without RAM=.
const USUAL: u64 = 3072;
/// Bytes that a payload may have: the flash has 64 MiB, and TF-A and the monitor take a part of them.
const LARGEST: u64 = 56 << 20;
/// The largest shift that QEMU takes.
const SHIFT: u32 = 10;

/// What the user asks for.
#[derive(Debug)]
pub struct Request {
    /// The machine.
    pub options: Options,
    /// The session's limits.
    pub watch: Watch,
    /// Nothing is to be booted.
    pub check: bool,
}

/// Boots, or only checks the arguments.
pub fn main(arguments: &[String]) -> Outcome {
    let mut request = Request::new();
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        if name == "--check" {
            request.check = true;
            continue;
        }
        let value = rest.next().ok_or_else(|| format!("usage: {USAGE}"))?;
        if name == "--bl33" {
            check_payload(value)?;
        } else if !request.take(name, value)? {
            return Err(format!("{name}? usage: {USAGE}").into());
        }
    }
    request.boot()
}

impl Request {
    /// The machine that is booted unless the user says otherwise.
    pub fn new() -> Self {
        Self {
            options: Options::new(USUAL, 0),
            watch: Watch::default(),
            check: false,
        }
    }

    /// Takes an argument that payloads and kernels have in common. Returns whether it is one. An empty
    /// value is that of a variable that make's command line does not have.
    ///
    /// # Errors
    ///
    /// If the value cannot be used; the error has the name of make's variable.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, Box<dyn Error>> {
        let options = &mut self.options;
        match name {
            "--qemu" => options.qemu = value.into(),
            "--flash" => options.flash = value.into(),
            "--smp" | "--ram" | "--icount" | "--reset-after" | "--timeout" | "--qemu-args"
                if value.is_empty() => {}
            "--smp" => options.smp = number("SMP", value, 1, CPUS)?,
            "--ram" => options.memory = ram(value)?,
            "--icount" => {
                let shift = number("ICOUNT", value, 0, SHIFT)?;
                let text = format!("shift={shift},sleep=off");
                options.extra.extend(["-icount".into(), text]);
            }
            "--reset-after" => self.watch.reset_after = Some(seconds("RESET_AFTER", value)?),
            "--timeout" => self.watch.timeout = Some(seconds("TIMEOUT", value)?),
            "--qemu-args" => {
                let words = shlex::split(value)
                    .ok_or_else(|| format!("QEMU_ARGS={value} has a quote that does not end"))?;
                options.extra.extend(words);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Boots, unless the arguments were only to be checked.
    pub fn boot(&self) -> Outcome {
        if self.check {
            return Ok(ExitCode::SUCCESS);
        }
        if self.options.flash.is_empty() {
            return Err(format!("--flash is missing. usage: {USAGE}").into());
        }
        let end = session::run(&self.options, self.watch)?;
        let why = match end {
            End::PoweredOff => {
                println!("run: powered off");
                return Ok(ExitCode::SUCCESS);
            }
            End::Left => {
                println!("\nrun: ended by Ctrl-A X");
                return Ok(ExitCode::SUCCESS);
            }
            End::Timeout => {
                let limit = self.watch.timeout.unwrap_or_default().as_secs();
                format!("TIMEOUT: not powered off after {limit} s")
            }
            End::Signal(signal) => format!("ended by signal {signal}"),
            End::Failed(status) => format!("not powered off: QEMU ended, {status}"),
            // There is nobody to print it for.
            End::Unread => return Ok(ExitCode::FAILURE),
        };
        println!("\nrun: FAIL: {why}");
        Ok(ExitCode::FAILURE)
    }
}

fn number(name: &str, text: &str, least: u32, most: u32) -> Result<u32, String> {
    let value = text.parse().ok();
    value
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| format!("{name}={text} is not a number from {least} to {most}"))
}

fn seconds(name: &str, text: &str) -> Result<Duration, String> {
    // A day.
    number(name, text, 1, 86_400).map(|seconds| Duration::from_secs(seconds.into()))
}

/// A size of RAM in MiB.
fn ram(text: &str) -> Result<u64, String> {
    let value = mebibytes(text).ok();
    value.filter(|value| *value >= LEAST).ok_or_else(|| {
        format!("RAM={text} is not a size of {LEAST}M or more, such as 3G: TF-A loads BL33 at 512M")
    })
}

/// Whether a file can be BL33.
fn check_payload(name: &str) -> Result<(), String> {
    let of = |error: std::io::Error| format!("BL33={name}: {error}");
    let mut file = File::open(name).map_err(of)?;
    let data = file.metadata().map_err(of)?;
    let mut magic = [0; 4];
    let whole = data.is_file() && file.read_exact(&mut magic).is_ok();
    if !whole {
        return Err(format!("BL33={name} is not a file with a program in it"));
    }
    if magic == *b"\x7fELF" {
        return Err(format!(
            "BL33={name} is an ELF file: TF-A wants the raw binary (objcopy -O binary)"
        ));
    }
    if data.len() > LARGEST {
        let (size, limit) = (data.len() >> 20, LARGEST >> 20);
        return Err(format!(
            "BL33={name} has {size} MiB: the flash has room for {limit}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(name: &str, value: &str) -> Result<Request, String> {
        let mut request = Request::new();
        match request.take(name, value) {
            Ok(true) => Ok(request),
            Ok(false) => Err("unknown".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn values_are_taken_or_refused_by_the_name_of_their_variable() {
        assert_eq!(take("--smp", "4").unwrap().options.smp, 4);
        assert_eq!(take("--smp", "").unwrap().options.smp, 2);
        assert_eq!(take("--ram", "2G").unwrap().options.memory, 2048);
        let icount = take("--icount", "3").unwrap().options.extra;
        assert_eq!(icount, ["-icount", "shift=3,sleep=off"]);
        let words = take("--qemu-args", r#"-drive "file=a b" -d int"#).unwrap();
        assert_eq!(words.options.extra, ["-drive", "file=a b", "-d", "int"]);
        let watch = take("--reset-after", "30").unwrap().watch;
        assert_eq!(watch.reset_after, Some(Duration::from_secs(30)));

        for (name, value, variable) in [
            ("--smp", "0", "SMP=0"),
            ("--smp", "33", "SMP=33"),
            ("--smp", "two", "SMP=two"),
            ("--ram", "512M", "RAM=512M"),
            ("--ram", "99999999999999999G", "RAM=999"),
            ("--icount", "11", "ICOUNT=11"),
            ("--icount", "auto", "ICOUNT=auto"),
            ("--reset-after", "0", "RESET_AFTER=0"),
            ("--timeout", "-1", "TIMEOUT=-1"),
            ("--timeout", "1m", "TIMEOUT=1m"),
            ("--qemu-args", "-d 'int", "QEMU_ARGS=-d 'int"),
        ] {
            let error = take(name, value).unwrap_err();
            assert!(error.starts_with(variable), "{error}");
        }
        assert!(take("--gpu", "1").is_err());
    }

    #[test]
    fn a_payload_is_a_raw_binary() {
        let file = std::env::temp_dir().join(format!("rmm-payload-{}", std::process::id()));
        let name = file.to_str().unwrap();
        assert!(check_payload(name).unwrap_err().contains("No such file"));
        for (content, wanted) in [
            (&b""[..], Err("not a file with a program")),
            (b"\x7fELF\x02", Err("ELF")),
            (b"\x00\x00\x00\x14", Ok(())),
        ] {
            std::fs::write(&file, content).unwrap();
            match (check_payload(name), wanted) {
                (Err(error), Err(words)) => assert!(error.contains(words), "{error}"),
                (found, _) => assert_eq!(found, Ok(())),
            }
        }
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(LARGEST + 1)
            .unwrap();
        assert!(check_payload(name).unwrap_err().contains("room"));
        std::fs::remove_file(&file).unwrap();
        assert!(check_payload("/").is_err());
    }
}
