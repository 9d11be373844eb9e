// SPDX-License-Identifier: BSD-3-Clause
//! The monitor on the Arm FVP Base RevC.
#![cfg_attr(target_os = "none", no_std, no_main)]

use rmm_core::board::Board;

/// The memory layout of Trusted Firmware-A for this board.
pub const BOARD: Board = Board {
    name: "FVP Base RevC",
    region: (0xFDC0_0000, 0x01FF_F000),
    // With LFA_SUPPORT=1 EL3 loads a later image into the part that does not run. EL3 serves
    // RMM_RESERVE_MEMORY from what is behind both.
    payloads: &[(0xFDC0_0000, 0x0030_0000), (0xFDF0_0000, 0x0030_0000)],
    // The top 64 MiB of the first 2 GiB of DRAM: Secure world, monitor, EL3. The usual manifest does
    // not list them; with one that does, they must not become delegable.
    reserved: &[(0xFC00_0000, 0x0400_0000)],
};

#[cfg(target_os = "none")]
rmm_core::entry!(BOARD);

/// The image exists for the monitor's target only.
#[cfg(not(target_os = "none"))]
fn main() {
    println!("{BOARD:?}");
}
