// SPDX-License-Identifier: BSD-3-Clause
//! The constants of the boards, and why a boot fails.

use super::{Board, BootError};

/// The boards as in `plat-qemu`, `plat-fvp` and `plat-sbsa`.
pub const VIRT: Board = Board {
    name: "virt",
    region: (0x4010_0000, 0x017F_F000),
    payloads: &[],
    reserved: &[],
};

pub const FVP: Board = Board {
    name: "FVP",
    region: (0xFDC0_0000, 0x01FF_F000),
    payloads: &[(0xFDC0_0000, 0x0030_0000), (0xFDF0_0000, 0x0030_0000)],
    reserved: &[(0xFC00_0000, 0x0400_0000)],
};

pub const SBSA: Board = Board {
    name: "sbsa",
    region: (0x100_0000_0000, 0x42FF_F000),
    payloads: &[],
    reserved: &[],
};

pub const TOO_SMALL: BootError =
    BootError::Other("the monitor's region is too small, and EL3 reserves no memory");
pub const UNFIT: BootError = BootError::Other("EL3 reserved memory that does not fit");
pub const ELSEWHERE: BootError =
    BootError::Other("the image is not in the region that the board has for it");
