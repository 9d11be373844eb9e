// SPDX-License-Identifier: BSD-3-Clause
//! What a board tells the monitor: the few facts EL3 does not.

/// Constants of a board.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name for the boot log.
    pub name: &'static str,
    /// Size in bytes of the region at the load address that EL3 sets aside for the monitor, with
    /// the image, when EL3 keeps no part of it to serve reservations from.
    pub region_size: u64,
    /// Size in bytes of that region when EL3 serves reservations (RMM_RESERVE_MEMORY) from the
    /// rest of it.
    pub payload_size: u64,
    /// Ranges (base, size in bytes) inside the DRAM banks of the manifest that are never the
    /// Host's: EL3's, the Secure world's.
    pub reserved: &'static [(u64, u64)],
}
