// SPDX-License-Identifier: BSD-3-Clause
//! The guest kernel that `run` boots as a Realm: what the user asks for, and how it gets into the
//! machine's memory.

mod launch;
mod layout;
mod tree;

use crate::board::Board;
use cca_token::rim::Rmi;
use launch::{Files, Staged};
use layout::{KernelHeader, Layout};
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tests_fvp::guest::{BLOCK, CPUS, IPA_BITS, UART};

const MIB: u64 = 1 << 20;
/// Bytes that the user's words for the command line may have: Linux takes 2048 in all.
const APPEND: usize = 1900;

/// The variable that makes `guest/init` start a shell.
const SHELL: &str = "GUEST=shell";

/// Bytes of RAM below which the kernel must not reserve memory by its own rules.
const LITTLE: u64 = 256 * MIB;

/// The name of a file that is still to be made, for [`Guest::check_files`].
const MADE: &str = "-";

/// The arguments that [`Guest::take`] understands.
pub const USAGE: &str = "[--linux IMAGE --folder FOLDER [--initrd FILE] [--cpus N] [--ram SIZE] [--append TEXT] [--rmi 1|2]]";

/// A guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    kernel: PathBuf,
    initrd: Option<PathBuf>,
    /// Where the launch description and the device tree are written.
    folder: PathBuf,
    cpus: u64,
    /// Bytes.
    ram: u64,
    append: String,
    /// The dialect of RMI by which it is made.
    pub rmi: Rmi,
    /// Its console is the user's terminal.
    pub terminal: bool,
}

/// A guest that is ready to be booted.
#[derive(Debug)]
pub struct Prepared {
    /// Lines for the test Host.
    pub request: String,
    /// Arguments for QEMU.
    pub arguments: Vec<String>,
    /// The kernel's command line.
    pub command_line: String,
    /// The initrd and the IPA where it is loaded.
    pub initrd: Option<(PathBuf, u64)>,
}

impl Guest {
    /// Takes the arguments for the guest out of `arguments`. None without `--linux`.
    pub fn take(arguments: &mut Vec<String>) -> Result<Option<Self>, Box<dyn Error>> {
        let (mut kernel, mut initrd, mut folder) = (None, None, None);
        let (mut cpus, mut ram, mut append, mut rmi) = (None, None, None, None);
        let mut rest = Vec::new();
        let mut given = arguments.drain(..);
        while let Some(argument) = given.next() {
            let slot = match argument.as_str() {
                "--linux" => &mut kernel,
                "--initrd" => &mut initrd,
                "--folder" => &mut folder,
                "--cpus" => &mut cpus,
                "--ram" => &mut ram,
                "--append" => &mut append,
                "--rmi" => &mut rmi,
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
            return match initrd.or(folder).or(cpus).or(ram).or(append).or(rmi) {
                Some(_) => Err("a guest needs a kernel: --linux IMAGE".into()),
                None => Ok(None),
            };
        };
        let guest = Self {
            kernel: kernel.into(),
            initrd: initrd.filter(|name| !name.is_empty()).map(Into::into),
            folder: folder.ok_or("--folder is missing")?.into(),
            cpus: cpu_count(cpus.as_deref().unwrap_or("2"))?,
            ram: memory(ram.as_deref().unwrap_or("512M"))?,
            append: append.unwrap_or_default(),
            rmi: dialect(rmi.as_deref().unwrap_or("1"))?,
            terminal: false,
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

    /// The arguments from which [`Guest::take`] makes this guest.
    pub fn arguments(&self) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        let initrd = self.initrd.as_deref().map(file).unwrap_or_default();
        let ram = format!("{}M", self.ram / MIB);
        [
            ("--linux", file(&self.kernel)),
            ("--initrd", initrd),
            ("--folder", file(&self.folder)),
            ("--cpus", self.cpus.to_string()),
            ("--ram", ram),
            ("--append", self.append.clone()),
            ("--rmi", self.rmi_number().to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// The major number of the dialect.
    fn rmi_number(&self) -> u64 {
        match self.rmi {
            Rmi::V1 => 1,
            Rmi::V2 => 2,
        }
    }

    /// Where files about the guest are written.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the launch description is written.
    pub fn description(&self) -> PathBuf {
        self.folder.join("launch.toml")
    }

    /// Checks the files that the user has chosen; [`MADE`] stands for one that is still to be made.
    ///
    /// # Errors
    ///
    /// If the kernel is not one, or there is no such initrd.
    pub fn check_files(&self) -> Result<(), Box<dyn Error>> {
        let chosen = |file: &Path| file.as_os_str() != MADE;
        if chosen(&self.kernel) {
            check_kernel(&self.kernel)?;
        }
        if let Some(initrd) = self.initrd.as_deref().filter(|file| chosen(file)) {
            open("INITRD", initrd)?;
        }
        Ok(())
    }

    /// Writes device tree and launch description, for a machine with `memory` bytes of DRAM. The guest's
    /// disk begins with the file `disk`.
    ///
    /// # Errors
    ///
    /// If a file cannot be used or the machine is too small.
    pub fn prepare(
        &self,
        board: &Board,
        memory: u64,
        disk: Option<&Path>,
    ) -> Result<Prepared, Box<dyn Error>> {
        let header = check_kernel(&self.kernel)?;
        let initrd = match &self.initrd {
            Some(file) => Some(open("INITRD", file)?.1),
            None => None,
        };
        let layout = Layout::new(&header, self.ram, initrd)?;
        let command_line = self.command_line();
        std::fs::create_dir_all(&self.folder)?;
        let tree = self.folder.join("guest.dtb");
        std::fs::write(&tree, tree::write(&layout, self.cpus, &command_line)?)?;
        // The description names files from where it is.
        let (kernel, tree) = (self.kernel.canonicalize()?, tree.canonicalize()?);
        let initrd = match &self.initrd {
            Some(file) => Some(file.canonicalize()?),
            None => None,
        };
        let files = Files {
            kernel: &kernel,
            tree: &tree,
            initrd: initrd.as_deref(),
        };
        let written = launch::describe(&layout, &files, self.cpus, self.rmi)?;
        std::fs::write(self.description(), &written)?;

        // What follows knows only the description, as the relying party does.
        let text = std::fs::read_to_string(self.description())?;
        let mut host = launch::for_host(&text, &self.folder, board.staging)?;
        let mut request = host.lines.clone();
        if let Some(disk) = disk {
            let staged = host.stage(disk.to_owned())?;
            request += &format!("disk {} {}\n", staged.address, staged.bytes);
        }
        let free = (board.dram + memory).saturating_sub(host.end);
        if self.ram > free {
            return Err(format!(
                "MEM={}M is more than the {} MiB that the machine has for a guest",
                self.ram / MIB,
                free / MIB
            )
            .into());
        }
        let terminal = if self.terminal { "terminal yes\n" } else { "" };
        Ok(Prepared {
            request: format!("{request}ram {}\n{terminal}", host.end),
            arguments: host.files.iter().flat_map(loader).collect(),
            command_line,
            initrd: initrd.zip(layout.initrd.map(|range| range.start)),
        })
    }

    /// The kernel's command line.
    fn command_line(&self) -> String {
        // Before the kernel knows that it is a Realm it needs the alias; a later console finds the
        // device tree's address. 2048 bounce buffers of 2 KiB are plenty for one disk: of the usual
        // 64 MiB each page would have to change hands twice.
        let mut line = format!(
            "earlycon=pl011,{:#x} console=ttyAMA0 panic=-1 swiotlb=2048",
            (1 << (IPA_BITS - 1)) + UART,
        );
        if self.ram < LITTLE {
            // Debian's kernel reserves 64 MiB for contiguous buffers, which nothing here needs, and of 128 MiB
            // it would not have enough left to start.
            line += " cma=4M";
        }
        if self.terminal {
            // The kernel passes variables that it does not know to the first process.
            line += &format!(" TERM={} {SHELL}", terminal_type());
        }
        format!("{line} {}", self.append.trim())
            .trim_end()
            .to_owned()
    }
}

/// Checks that a board with so many MiB has the memory that the test Host uses.
///
/// # Errors
///
/// If it has less.
pub fn check_machine(board: &Board, memory: u64) -> Result<(), String> {
    let least = (board.staging - board.dram) / MIB;
    if memory < least {
        return Err(format!("--mem {memory}M: the test Host needs {least}M"));
    }
    Ok(())
}

/// The user's terminal, for the guest's programs.
fn terminal_type() -> String {
    let plain = |name: &String| {
        let of_word = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
        !name.is_empty() && name.len() < 64 && name.chars().all(of_word)
    };
    let name = std::env::var("TERM").ok().filter(plain);
    name.unwrap_or_else(|| "vt100".into())
}

fn dialect(text: &str) -> Result<Rmi, String> {
    match text {
        "1" => Ok(Rmi::V1),
        "2" => Ok(Rmi::V2),
        _ => Err(format!("RMI={text} is not a dialect of RMI: 1 or 2")),
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
fn open(what: &str, file: &Path) -> Result<(File, u64), String> {
    let name = file.display();
    let file = File::open(file).map_err(|error| format!("{what}={name}: {error}"))?;
    let data = file
        .metadata()
        .map_err(|error| format!("{what}={name}: {error}"))?;
    if data.is_file() && data.len() > 0 {
        Ok((file, data.len()))
    } else {
        Err(format!("{what}={name} is not a file with something in it"))
    }
}

/// Whether a file is a kernel that can be started. Returns its header.
fn check_kernel(file: &Path) -> Result<KernelHeader, String> {
    let name = file.display();
    let (mut file, bytes) = open("LINUX", file)?;
    let mut header = [0; KernelHeader::SIZE];
    let whole = file.read_exact(&mut header).is_ok();
    if let Some(header) = KernelHeader::read(&header, bytes).filter(|_| whole) {
        return Ok(header);
    }
    let packed = header.starts_with(&[0x1F, 0x8B]) || header.starts_with(b"\xFD7zXZ");
    Err(if packed || header.get(4..8) == Some(b"zimg") {
        format!("LINUX={name} is compressed: unpack it to an arm64 Image first")
    } else {
        format!("LINUX={name} is not an arm64 kernel Image")
    })
}

/// QEMU's arguments that put a file into memory.
fn loader(staged: &Staged) -> [String; 2] {
    let name = staged.file.display().to_string().replace(',', ",,");
    let address = staged.address;
    let device = format!("loader,file={name},addr={address:#x},force-raw=on");
    ["-device".into(), device]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::VIRT;

    fn take(words: &[&str]) -> Result<(Option<Guest>, Vec<String>), String> {
        let mut words = words.iter().map(ToString::to_string).collect();
        let guest = Guest::take(&mut words).map_err(|error| error.to_string())?;
        Ok((guest, words))
    }

    #[test]
    fn arguments_of_the_guest_are_taken_out() {
        let words = "--smp 2 --linux k --folder f --ram 1G --mem 3G";
        let words: Vec<_> = words.split(' ').collect();
        let (guest, rest) = take(&words).unwrap();
        let guest = guest.unwrap();
        assert_eq!((guest.kernel.to_str(), guest.ram), (Some("k"), 1 << 30));
        assert_eq!((guest.cpus, &guest.initrd), (2, &None));
        assert_eq!(rest, ["--smp", "2", "--mem", "3G"]);
        let (again, rest) = take(
            &guest
                .arguments()
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
        )
        .unwrap();
        assert_eq!((again, rest), (Some(guest), vec![]));
        assert_eq!(take(&["--smp", "2"]).unwrap().0, None);
    }

    #[test]
    fn a_small_guest_keeps_its_memory() {
        let line = |ram, append| {
            let words = [
                "--linux", "k", "--folder", "f", "--ram", ram, "--append", append,
            ];
            take(&words).unwrap().0.unwrap().command_line()
        };
        assert!(line("128M", "").contains(" cma=4M"));
        assert!(line("254M", "cma=1M").ends_with(" cma=4M cma=1M"));
        assert!(!line("256M", "").contains("cma"));
    }

    #[test]
    fn bad_values_are_refused() {
        for words in [
            &["--initrd", "i"][..],
            &["--linux"],
            &["--linux", "k"],
            &["--folder", "f", "--linux", "k", "--cpus", "0"],
            &["--folder", "f", "--linux", "k", "--cpus", "3"],
            &["--folder", "f", "--linux", "k", "--cpus", "two"],
            &["--folder", "f", "--linux", "k", "--rmi", "3"],
            &["--folder", "f", "--linux", "k", "--rmi", ""],
            &["--folder", "f", "--linux", "k", "--ram", "0"],
            &["--folder", "f", "--linux", "k", "--ram", "511M"],
            &["--folder", "f", "--linux", "k", "--ram", "99999999999G"],
            &["--folder", "f", "--linux", "k", "--ram", "-2M"],
            &["--folder", "f", "--linux", "k", "--append", "a\nb"],
            &["--folder", "f", "--linux", "k", "--append", "ä"],
        ] {
            assert!(take(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn files_are_checked_and_described() {
        let folder = std::env::temp_dir().join(format!("rmm-guest-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("image");
        let mut image = vec![0; 3 << 20];
        let guest = |ram: &str| {
            let (name, folder) = (file.to_str().unwrap(), folder.to_str().unwrap());
            let words = [
                "--linux", name, "--initrd", name, "--ram", ram, "--folder", folder,
            ];
            take(&words).unwrap().0.unwrap()
        };
        std::fs::write(&file, &image).unwrap();
        assert!(
            guest("512M").prepare(&VIRT, 3 << 30, None).is_err(),
            "no kernel"
        );
        image[56..60].copy_from_slice(b"ARM\x64");
        std::fs::write(&file, &image).unwrap();
        let disk = folder.join("disk");
        std::fs::write(&disk, [0; 512]).unwrap();
        let prepared = guest("512M").prepare(&VIRT, 3 << 30, Some(&disk)).unwrap();
        assert_eq!(prepared.initrd, Some((file.clone(), 0x4060_0000)));
        let staging = VIRT.staging;
        for line in [
            format!("data {} {staging} {}", 0x4000_0000, 3 << 20),
            format!("data {} {} {}", 0x4060_0000, staging + (6 << 20), 3 << 20),
            format!("disk {} 512", staging + (10 << 20)),
            format!("ram {}", staging + (12 << 20)),
        ] {
            let found = prepared.request.lines().any(|other| other == line);
            assert!(found, "{line}: {}", prepared.request);
        }
        assert_eq!(prepared.arguments.len(), 8);
        assert!(cca_token::launch::measure_file(&guest("512M").description()).is_ok());
        assert!(
            guest("2G").prepare(&VIRT, 2 << 30, None).is_err(),
            "too large"
        );
        assert!(
            guest("4M").prepare(&VIRT, 3 << 30, None).is_err(),
            "too small"
        );
        std::fs::remove_file(&file).unwrap();
        assert!(
            guest("512M").prepare(&VIRT, 3 << 30, None).is_err(),
            "no file"
        );
        assert!(guest("512M").check_files().is_err(), "no file");
        let made = ["--linux", MADE, "--initrd", MADE, "--folder", "f"];
        let made = take(&made).unwrap().0.unwrap();
        assert!(made.check_files().is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
