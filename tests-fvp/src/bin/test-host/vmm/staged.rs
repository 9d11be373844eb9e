// SPDX-License-Identifier: BSD-3-Clause
//! Files that the runner has put into Non-secure memory.

use crate::check::{Check, ensure_eq};
use core::ptr::with_exposed_provenance;

/// What the header of an arm64 kernel image says (Linux, Documentation/arch/arm64/booting).
#[derive(Clone, Copy, Debug)]
pub struct KernelHeader {
    /// Bytes from a 2 MiB boundary to the image.
    pub text_offset: u64,
    /// Bytes of memory that the kernel uses from the image's start, its file included.
    pub memory: u64,
}

impl KernelHeader {
    /// Reads the header of an image of `bytes` bytes.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn read(image: u64, bytes: u64) -> Check<Self> {
        const MAGIC: u64 = 0x644D_5241;
        ensure_eq!(
            word(image + 56) & 0xFFFF_FFFF,
            MAGIC,
            "magic number of the kernel image"
        );
        Ok(Self {
            text_offset: word(image + 8),
            memory: word(image + 16).max(bytes),
        })
    }
}

/// A word of a staged file.
fn word(address: u64) -> u64 {
    // SAFETY: Non-secure memory that nobody writes after the Host has started.
    unsafe { with_exposed_provenance::<u64>(address as usize).read_volatile() }
}
