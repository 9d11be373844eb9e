// SPDX-License-Identifier: BSD-3-Clause
//! The machine that a guest sees: what its device tree, made on the build machine, and the test
//! Host's virtual machine monitor agree on. Protected IPAs, in bytes.
//!
//! A device's address here is the one in the device tree. The Realm reaches the device at the same
//! address in the Unprotected half of its IPA space.

/// vCPUs that the test Host can run.
pub const CPUS: u64 = 2;

/// IPA width in bits.
pub const IPA_BITS: u8 = 40;

/// GIC distributor, and its size.
pub const GICD: u64 = 0x0800_0000;
/// Bytes of the distributor.
pub const GICD_SIZE: u64 = 0x1_0000;
/// GIC redistributors.
pub const GICR: u64 = 0x080A_0000;
/// Bytes of each redistributor.
pub const GICR_SIZE: u64 = 0x2_0000;
/// PL011 that is the guest's console.
pub const UART: u64 = 0x0900_0000;
/// PL011 whose lines the Host carries to and from the relying party.
pub const PORT: u64 = 0x0901_0000;
/// Bytes of each PL011.
pub const UART_SIZE: u64 = 0x1000;
/// virtio-mmio with a block device.
pub const DISK: u64 = 0x0A00_0000;
/// Bytes of it.
pub const DISK_SIZE: u64 = 0x200;
/// First address of RAM.
pub const RAM: u64 = 0x4000_0000;

/// On the machine's UART, the byte before each byte to or from a guest's console that is passed on byte by
/// byte (ASCII DLE). What has no such byte before it belongs to lines of text.
pub const CONSOLE: u8 = 0x10;
/// What the Host prints before a line that the guest has sent to its second serial port.
pub const FROM_PORT: &str = "carrier> ";
/// What the Host expects before a line that goes there.
pub const TO_PORT: &str = "carrier< ";

/// What is missing where the monitor does not offer RMI 2.0.
pub const NEEDS_RMI_2: &str = "RMI 2.0 needs TF-A 2.15 or newer: TFA=folder";

/// INTID of [`UART`].
pub const UART_INTID: u32 = 33;
/// INTID of the block device.
pub const DISK_INTID: u32 = 34;
/// INTID of [`PORT`].
pub const PORT_INTID: u32 = 35;

/// Size of a level 2 entry, to which kernel, device tree and initrd are aligned.
pub const BLOCK: u64 = 2 << 20;
