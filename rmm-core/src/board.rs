// SPDX-License-Identifier: BSD-3-Clause
//! The few facts of a board that EL3 does not pass.

/// Constants of a board.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name for the boot log.
    pub name: &'static str,
    /// The region (base, size in bytes) that EL3 sets aside for the monitor. EL3 loads the image into it.
    pub region: (u64, u64),
    /// The parts of the region (base, size in bytes) for one image each, if EL3 may load a later image
    /// into another part. The monitor then leaves its part only with memory that EL3 reserves for it
    /// (RMM_RESERVE_MEMORY). Empty: the region has one part.
    pub payloads: &'static [(u64, u64)],
    /// Ranges (base, size in bytes) that are never delegable although a DRAM bank of the manifest may
    /// include them: memory of EL3 and of the Secure world.
    pub reserved: &'static [(u64, u64)],
}
