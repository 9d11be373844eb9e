// SPDX-License-Identifier: BSD-3-Clause
//! Where everything is for the guest: Protected IPAs, in bytes.
//!
//! What stands here as a device's address is the low one of the device tree. The Realm reaches the
//! device at the same address in the Unprotected half of its IPA space.

use super::staged::KernelHeader;
use crate::check::{Check, ensure};

/// GIC distributor, 64 KiB.
pub const GICD: u64 = 0x0800_0000;
/// GIC redistributors, 128 KiB each.
pub const GICR: u64 = 0x080A_0000;
/// PL011, one page.
pub const UART: u64 = 0x0900_0000;
/// virtio-mmio with a block device, half a KiB.
pub const DISK: u64 = 0x0A00_0000;
/// First address of RAM.
pub const RAM: u64 = 0x4000_0000;

/// INTID of the PL011.
pub const UART_INTID: u32 = 33;
/// INTID of the block device.
pub const DISK_INTID: u32 = 34;

/// The size of a level 2 entry, to which kernel, device tree and initrd are aligned.
pub const BLOCK: u64 = 2 << 20;

/// What is where in RAM.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// First IPA behind RAM.
    pub ram_end: u64,
    /// The kernel image; also the entry point.
    pub kernel: u64,
    /// The device tree.
    pub tree: u64,
    /// The initrd: first IPA and the one behind the last byte.
    pub initrd: (u64, u64),
}

impl Layout {
    /// Lays out kernel, device tree and initrd in this order from the start of RAM.
    ///
    /// # Errors
    ///
    /// If RAM is too small.
    pub fn new(header: &KernelHeader, ram: u64, initrd_bytes: u64) -> Check<Self> {
        let kernel = RAM + header.text_offset;
        let tree = (kernel + header.memory).next_multiple_of(BLOCK);
        let initrd = tree + BLOCK;
        let layout = Self {
            ram_end: RAM + ram,
            kernel,
            tree,
            initrd: (initrd, initrd + initrd_bytes),
        };
        ensure!(
            layout.initrd.1 <= layout.ram_end,
            "{} MiB of memory are too few for kernel and initrd",
            ram >> 20
        );
        Ok(layout)
    }
}
