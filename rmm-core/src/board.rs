// SPDX-License-Identifier: BSD-3-Clause
//! The few facts of a board that EL3 does not pass.

/// Constants of a board.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name for the boot log.
    pub name: &'static str,
    /// Size in bytes of the region at the load address that EL3 sets aside for the monitor, image
    /// included, if EL3 does not serve reservations from a part of it.
    pub region_size: u64,
    /// Size in bytes of the monitor's part if EL3 serves reservations (RMM_RESERVE_MEMORY) from the rest
    /// of the region.
    pub payload_size: u64,
    /// Ranges (base, size in bytes) that are never delegable although a DRAM bank of the manifest may
    /// include them: memory of EL3 and of the Secure world.
    pub reserved: &'static [(u64, u64)],
}
