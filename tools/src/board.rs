// SPDX-License-Identifier: BSD-3-Clause
//! QEMU's boards, as the tools see them.

use crate::qemu::Options;
use std::error::Error;

/// A board.
#[derive(Debug, PartialEq, Eq)]
pub struct Board {
    /// The name that `PLAT=` has for it.
    pub name: &'static str,
    /// QEMU's `-M`.
    machine: &'static str,
    /// First address of DRAM.
    pub dram: u64,
    /// MiB of DRAM that the firmware takes, compared with `virt`.
    pub more: u64,
    /// Where the test Host looks for its parameters.
    pub parameters: u64,
    /// Where the files of a guest are put: behind the memory of the test Host.
    pub staging: u64,
    /// Where QEMU loads the test Host, and a program in the second flash jumps to. `None`: TF-A loads it
    /// from the only flash.
    pub loads_host: Option<u64>,
}

/// The usual board.
pub const VIRT: Board = Board {
    name: "qemu",
    machine: "virt,virtualization=on,secure=on,gic-version=3,acpi=off",
    dram: 0x4000_0000,
    more: 0,
    parameters: 0x5FF0_0000,
    staging: 0x6C00_0000,
    loads_host: None,
};

/// A server with DRAM at 1 TiB.
const SBSA: Board = Board {
    name: "sbsa",
    machine: "sbsa-ref",
    dram: 0x100_0000_0000,
    more: 1024,
    parameters: 0x100_5FF0_0000,
    staging: 0x100_6C00_0000,
    loads_host: Some(0x100_6000_0000),
};

impl Board {
    /// The board of a name.
    pub fn find(name: &str) -> Result<&'static Self, Box<dyn Error>> {
        const BOARDS: [&Board; 2] = [&VIRT, &SBSA];
        let board = BOARDS.into_iter().find(|board| board.name == name);
        Ok(board.ok_or_else(|| format!("{name}? QEMU has the boards qemu and sbsa"))?)
    }

    /// Whether the options name the files that the board boots from, and no others.
    pub fn has_files(&self, options: &Options) -> bool {
        let two = self.loads_host.is_some();
        !options.flash.is_empty()
            && options.jump.is_empty() != two
            && options.host.is_empty() != two
    }

    /// QEMU's arguments for the board and the files that it boots from.
    pub fn arguments(&self, options: &Options) -> Vec<String> {
        let mut arguments = vec!["-M".into(), self.machine.into()];
        let Some(host) = self.loads_host else {
            arguments.extend(["-bios".into(), options.flash.clone()]);
            return arguments;
        };
        for file in [&options.flash, &options.jump] {
            // In QEMU's lists a comma in a value is doubled.
            let file = file.replace(',', ",,");
            arguments.extend([
                "-drive".into(),
                format!("if=pflash,format=raw,readonly=on,file={file}"),
            ]);
        }
        let file = options.host.replace(',', ",,");
        let loader = format!("loader,file={file},addr={host:#x},force-raw=on");
        arguments.extend(["-device".into(), loader]);
        // The board always has this display, whose option ROM is in a package of its own.
        arguments.extend(["-global".into(), "bochs-display.romfile=".into()]);
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(flash: &str, jump: &str, host: &str) -> Options {
        let arguments = ["--board", "qemu", "--flash", "x"].map(String::from);
        let mut options = Options::parse(&arguments, 1, 1).unwrap();
        [options.flash, options.jump, options.host] = [flash, jump, host].map(String::from);
        options
    }

    #[test]
    fn boards_have_names() {
        assert_eq!(Board::find("qemu").unwrap(), &VIRT);
        assert_eq!(Board::find("sbsa").unwrap(), &SBSA);
        assert!(Board::find("fvp").is_err());
    }

    #[test]
    fn each_board_has_its_files() {
        let (one, three) = (files("a", "", ""), files("a", "b", "c"));
        assert!(VIRT.has_files(&one) && !VIRT.has_files(&three));
        assert!(SBSA.has_files(&three) && !SBSA.has_files(&one));
        for lacking in [
            files("", "b", "c"),
            files("a", "", "c"),
            files("a", "b", ""),
        ] {
            assert!(!VIRT.has_files(&lacking) && !SBSA.has_files(&lacking));
        }
        assert_eq!(VIRT.arguments(&one)[2..], ["-bios", "a"]);
    }

    #[test]
    fn a_file_may_have_a_comma() {
        let arguments = SBSA.arguments(&files("a,b", "c", "d,,e")).join(" ");
        assert!(arguments.contains("file=a,,b -drive"), "{arguments}");
        assert!(
            arguments.contains("file=d,,,,e,addr=0x10060000000,"),
            "{arguments}"
        );
    }
}
