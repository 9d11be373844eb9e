// SPDX-License-Identifier: BSD-3-Clause
//! The monitor on QEMU's `virt` board.
#![cfg_attr(target_os = "none", no_std, no_main)]

use rmm_core::board::Board;

/// The memory layout of Trusted Firmware-A for this board.
pub const BOARD: Board = Board {
    name: "QEMU virt",
    region: (0x4010_0000, 0x017F_F000),
    payloads: &[],
    reserved: &[],
};

#[cfg(target_os = "none")]
rmm_core::entry!(BOARD);

/// The image exists for the monitor's target only.
#[cfg(not(target_os = "none"))]
fn main() {
    println!("{BOARD:?}");
}
