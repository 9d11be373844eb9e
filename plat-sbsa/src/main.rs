// SPDX-License-Identifier: BSD-3-Clause
//! The monitor on QEMU's `sbsa-ref` board.
#![cfg_attr(target_os = "none", no_std, no_main)]

use rmm_core::board::Board;

/// The memory layout of Trusted Firmware-A for this board.
pub const BOARD: Board = Board {
    name: "QEMU sbsa-ref",
    // At the start of DRAM, with room for the 512 CPUs that EL3 announces. The development branch of
    // Trusted Firmware-A serves RMM_RESERVE_MEMORY from its top; 2.14 and 2.15 answer NOMEM.
    region: (0x100_0000_0000, 0x42FF_F000),
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
