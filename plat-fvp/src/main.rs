// SPDX-License-Identifier: BSD-3-Clause
//! The monitor on the Arm FVP Base RevC.
#![cfg_attr(target_os = "none", no_std, no_main)]

use rmm_core::board::Board;

/// As Trusted Firmware-A lays the board out.
pub const BOARD: Board = Board {
    name: "FVP Base RevC",
    region_size: 0x01FF_F000,
    // The rest of the region is what EL3 serves RMM_RESERVE_MEMORY from.
    payload_size: 0x0060_0000,
    // The top 64 MiB of the first 2 GiB of DRAM: Secure world, monitor, EL3. The manifest leaves
    // them out; the granule table must not take them in if another one does not.
    reserved: &[(0xFC00_0000, 0x0400_0000)],
};

#[cfg(target_os = "none")]
rmm_core::entry!(BOARD);

/// The image exists for the monitor's target only.
#[cfg(not(target_os = "none"))]
fn main() {
    println!("{BOARD:?}");
}
