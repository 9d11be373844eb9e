// SPDX-License-Identifier: BSD-3-Clause
//! The guest kernel that `run` boots as a Realm: what the user asks for, and how it gets into the
//! machine's memory.

use std::error::Error;
use std::fs::File;
use std::io::Read;

/// Where the kernel is put: behind the memory of the test Host.
const STAGING: u64 = 0x6C00_0000;
/// First address of the board's DRAM.
const DRAM: u64 = 0x4000_0000;
/// Alignment of files and of the guest's memory.
const BLOCK: u64 = 2 << 20;
const MIB: u64 = 1 << 20;
/// vCPUs that the test Host can run.
const CPUS: u64 = 2;
/// Bytes that a command line may have, by the page of parameters.
const APPEND: usize = 2048;

/// The arguments that [`Guest::take`] understands.
pub const USAGE: &str = "[--linux IMAGE [--initrd FILE] [--cpus N] [--ram SIZE] [--append TEXT]]";

/// A guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    kernel: String,
    initrd: Option<String>,
    cpus: u64,
    /// Bytes.
    ram: u64,
    append: String,
}

impl Guest {
    /// Takes the arguments for the guest out of `arguments`. None without `--linux`.
    pub fn take(arguments: &mut Vec<String>) -> Result<Option<Self>, Box<dyn Error>> {
        let (mut kernel, mut initrd) = (None, None);
        let (mut cpus, mut ram, mut append) = (None, None, None);
        let mut rest = Vec::new();
        let mut given = arguments.drain(..);
        while let Some(argument) = given.next() {
            let slot = match argument.as_str() {
                "--linux" => &mut kernel,
                "--initrd" => &mut initrd,
                "--cpus" => &mut cpus,
                "--ram" => &mut ram,
                "--append" => &mut append,
                _ => {
                    rest.push(argument);
                    continue;
                }
            };
            *slot = Some(given.next().ok_or_else(|| format!("{argument} what?"))?);
        }
        drop(given);
        *arguments = rest;
        let Some(kernel) = kernel else {
            return match initrd.or(cpus).or(ram).or(append) {
                Some(_) => Err("a guest needs a kernel: --linux IMAGE".into()),
                None => Ok(None),
            };
        };
        let guest = Self {
            kernel,
            initrd: initrd.filter(|name| !name.is_empty()),
            cpus: cpu_count(cpus.as_deref().unwrap_or("2"))?,
            ram: memory(ram.as_deref().unwrap_or("512M"))?,
            append: append.unwrap_or_default(),
        };
        if guest.append.len() > APPEND {
            return Err(format!("APPEND has more than {APPEND} characters").into());
        }
        if guest
            .append
            .contains(|c: char| c.is_control() || !c.is_ascii())
        {
            return Err("APPEND has characters that a command line cannot have".into());
        }
        Ok(Some(guest))
    }

    /// Checks the files. Returns the lines for the test Host and the arguments for QEMU, of a
    /// machine with `machine` bytes of DRAM.
    pub fn stage(&self, machine: u64) -> Result<(String, Vec<String>), Box<dyn Error>> {
        let kernel_bytes = check_kernel(&self.kernel)?;
        let mut end = (STAGING + kernel_bytes).next_multiple_of(BLOCK);
        let mut request = format!("kernel {STAGING} {kernel_bytes}\n");
        let mut arguments = loader(&self.kernel, STAGING);
        if let Some(initrd) = &self.initrd {
            let bytes = open("INITRD", initrd)?.1;
            request += &format!("initrd {end} {bytes}\n");
            arguments.extend(loader(initrd, end));
            end = (end + bytes).next_multiple_of(BLOCK);
        }
        let free = (DRAM + machine).saturating_sub(end);
        if self.ram > free {
            return Err(format!(
                "MEM={}M is more than the {} MiB that the machine has for a guest",
                self.ram / MIB,
                free / MIB
            )
            .into());
        }
        request += &format!("cpus {}\nram {}\n", self.cpus, self.ram);
        if !self.append.trim().is_empty() {
            request += &format!("append {}\n", self.append.trim());
        }
        Ok((request, arguments))
    }
}

fn cpu_count(text: &str) -> Result<u64, String> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=CPUS).contains(count))
        .ok_or_else(|| format!("CPUS={text} is not a number from 1 to {CPUS}"))
}

/// `512M` or `1G` in bytes.
fn memory(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['G', 'g']) {
        Some(digits) => (digits, 1024 * MIB),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), MIB),
    };
    let number = digits.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| *bytes > 0 && bytes.is_multiple_of(BLOCK))
        .ok_or_else(|| {
            format!(
                "MEM={text} is not an even number of MiB, such as 512M, nor one of GiB, such as 1G"
            )
        })
}

/// Opens a file. Returns its size, too.
fn open(what: &str, name: &str) -> Result<(File, u64), String> {
    let file = File::open(name).map_err(|error| format!("{what}={name}: {error}"))?;
    let data = file
        .metadata()
        .map_err(|error| format!("{what}={name}: {error}"))?;
    if data.is_file() && data.len() > 0 {
        Ok((file, data.len()))
    } else {
        Err(format!("{what}={name} is not a file with something in it"))
    }
}

/// Whether a file is a kernel that can be started. Returns its size.
fn check_kernel(name: &str) -> Result<u64, String> {
    let (mut file, bytes) = open("LINUX", name)?;
    let mut header = [0; 64];
    let whole = file.read_exact(&mut header).is_ok();
    if whole && header.get(56..60) == Some(b"ARM\x64") {
        return Ok(bytes);
    }
    let packed = header.starts_with(&[0x1F, 0x8B]) || header.starts_with(b"\xFD7zXZ");
    Err(if packed || header.get(4..8) == Some(b"zimg") {
        format!("LINUX={name} is compressed: unpack it to an arm64 Image first")
    } else {
        format!("LINUX={name} is not an arm64 kernel Image")
    })
}

/// QEMU's arguments that put a file at an address.
fn loader(name: &str, address: u64) -> Vec<String> {
    let name = name.replace(',', ",,");
    let device = format!("loader,file={name},addr={address:#x},force-raw=on");
    vec!["-device".into(), device]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(words: &[&str]) -> Result<(Option<Guest>, Vec<String>), String> {
        let mut words = words.iter().map(ToString::to_string).collect();
        let guest = Guest::take(&mut words).map_err(|error| error.to_string())?;
        Ok((guest, words))
    }

    #[test]
    fn arguments_of_the_guest_are_taken_out() {
        let words = ["--smp", "2", "--linux", "k", "--ram", "1G", "--mem", "3G"];
        let (guest, rest) = take(&words).unwrap();
        let guest = guest.unwrap();
        assert_eq!((guest.kernel.as_str(), guest.ram), ("k", 1 << 30));
        assert_eq!((guest.cpus, guest.initrd), (2, None));
        assert_eq!(rest, ["--smp", "2", "--mem", "3G"]);
        assert_eq!(take(&["--smp", "2"]).unwrap().0, None);
    }

    #[test]
    fn bad_values_are_refused() {
        for words in [
            &["--initrd", "i"][..],
            &["--linux"],
            &["--linux", "k", "--cpus", "0"],
            &["--linux", "k", "--cpus", "3"],
            &["--linux", "k", "--cpus", "two"],
            &["--linux", "k", "--ram", "0"],
            &["--linux", "k", "--ram", "511M"],
            &["--linux", "k", "--ram", "99999999999G"],
            &["--linux", "k", "--ram", "-2M"],
            &["--linux", "k", "--append", "a\nb"],
            &["--linux", "k", "--append", "ä"],
        ] {
            assert!(take(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn files_are_checked_and_laid_out() {
        let name = std::env::temp_dir().join(format!("rmm-guest-{}", std::process::id()));
        let name = name.to_str().unwrap();
        let mut image = vec![0; 3 << 20];
        let guest = |ram: &str| {
            let words = ["--linux", name, "--initrd", name, "--ram", ram];
            take(&words).unwrap().0.unwrap()
        };
        std::fs::write(name, &image).unwrap();
        assert!(guest("512M").stage(3 << 30).is_err(), "no kernel");
        image[56..60].copy_from_slice(b"ARM\x64");
        std::fs::write(name, &image).unwrap();
        let (request, arguments) = guest("512M").stage(3 << 30).unwrap();
        assert_eq!(
            request,
            format!(
                "kernel {} {}\ninitrd {} {}\ncpus 2\nram {}\n",
                STAGING,
                3 << 20,
                STAGING + (4 << 20),
                3 << 20,
                512 << 20
            )
        );
        assert_eq!(arguments.len(), 4);
        assert!(guest("2G").stage(2 << 30).is_err(), "too large");
        std::fs::remove_file(name).unwrap();
        assert!(guest("512M").stage(3 << 30).is_err(), "no file");
    }
}
