// SPDX-License-Identifier: BSD-3-Clause
//! Files that the runner has put into Non-secure memory.

use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// A word of a file.
pub fn read(address: u64) -> u64 {
    // SAFETY: Non-secure memory to which there are no references; a fault is the Host's crash.
    unsafe { with_exposed_provenance::<u64>(address as usize).read_volatile() }
}

/// Flips the lowest bit of a byte of a file.
pub fn flip(address: u64) {
    let byte = with_exposed_provenance_mut::<u8>(address as usize);
    // SAFETY: as for `read`.
    unsafe { byte.write_volatile(byte.read_volatile() ^ 1) };
}
