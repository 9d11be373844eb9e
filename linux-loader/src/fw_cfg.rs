// SPDX-License-Identifier: BSD-3-Clause
//! QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg), by its DMA interface.

use crate::machine::clean;
use core::arch::asm;
use linux_loader::Error;

/// An item of the device.
#[derive(Clone, Copy)]
pub struct Item(u16);

impl Item {
    const SIGNATURE: Self = Self(0x00);
    pub const KERNEL_SIZE: Self = Self(0x08);
    pub const KERNEL: Self = Self(0x11);
    pub const INITRD_SIZE: Self = Self(0x0B);
    pub const INITRD: Self = Self(0x12);
    pub const COMMAND_LINE_SIZE: Self = Self(0x14);
    pub const COMMAND_LINE: Self = Self(0x15);
}

/// Bits of the control word; the upper half is the item.
const ERROR: u32 = 1 << 0;
const READ: u32 = 1 << 1;
const SELECT: u32 = 1 << 3;

/// The DMA address register.
const DMA: u64 = 16;

/// What the device is asked to do; big-endian.
#[repr(C, align(16))]
struct Request {
    control: u32,
    length: u32,
    address: u64,
}

/// The device.
pub struct FwCfg {
    dma: *mut u64,
}

impl FwCfg {
    /// The device at `address`, which the device tree names.
    pub fn new(address: u64) -> Result<Self, Error> {
        let device = Self {
            dma: (address + DMA) as *mut u64,
        };
        let mut signature = [0; 4];
        device.read(Item::SIGNATURE, &mut signature)?;
        if signature == *b"QEMU" {
            Ok(device)
        } else {
            Err(Error::NoFwCfg)
        }
    }

    /// A number of 32 bits.
    pub fn number(&self, item: Item) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.read(item, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads the start of an item. What it does not have is zero.
    pub fn read(&self, item: Item, to: &mut [u8]) -> Result<(), Error> {
        let length = u32::try_from(to.len()).map_err(|_| Error::FwCfg)?;
        // SAFETY: the memory is the slice's.
        unsafe { self.load(item, to.as_mut_ptr() as u64, length) }
    }

    /// Reads the start of an item to a physical address.
    ///
    /// # Safety
    ///
    /// Nobody else may use that memory.
    pub unsafe fn load(&self, item: Item, address: u64, length: u32) -> Result<(), Error> {
        // The device writes to memory: no line of the cache may be written back over it.
        clean(address..address + u64::from(length));
        let mut request = Request {
            control: (u32::from(item.0) << 16 | SELECT | READ).to_be(),
            length: length.to_be(),
            address: address.to_be(),
        };
        let request = &raw mut request;
        // SAFETY: the board's device, which reads the request and writes to the caller's memory. The barriers
        // keep the request before its start, and what the caller reads after its end; the assembly counts
        // as an access to all memory.
        unsafe {
            asm!("dsb sy", options(nostack));
            self.dma.write_volatile((request as u64).to_be());
            let control = loop {
                // What is left of it: nothing, or the error.
                let control = (&raw const (*request).control).read_volatile();
                if u32::from_be(control) & !ERROR == 0 {
                    break control;
                }
            };
            asm!("dsb sy", options(nostack));
            if control == 0 {
                Ok(())
            } else {
                Err(Error::FwCfg)
            }
        }
    }
}
