// SPDX-License-Identifier: BSD-3-Clause
//! The boot manifest: a header at the start of the buffer shared with EL3, and in the same page the
//! arrays that its lists point to.

use crate::assert_layout;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A list in the manifest: `num + pointer + sum of the array's words + checksum` is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct List {
    /// Number of elements.
    pub num: u64,
    /// Physical address of the array.
    pub pointer: u64,
    /// Checksum of the list.
    pub checksum: u64,
}

assert_layout!(List, 24, { num: 0, pointer: 8, checksum: 16 });

impl List {
    /// Whether the checksum holds, given the 64-bit words of the array.
    #[must_use]
    pub fn checksum_holds(&self, words: impl IntoIterator<Item = u64>) -> bool {
        checksum_holds(
            [self.num, self.pointer, self.checksum]
                .into_iter()
                .chain(words),
        )
    }
}

/// The list of PCIe root complexes, with the version of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RootComplexList {
    /// Number of root complexes.
    pub num: u64,
    /// Version of the element layout; 0.1 is 1. Not part of the checksum.
    pub rc_info_version: u32,
    /// Zero.
    pub _reserved: u32,
    /// Physical address of the array of [`RootComplex`].
    pub pointer: u64,
    /// Checksum over this list, the root complexes, their root ports and BDF mappings.
    pub checksum: u64,
}

assert_layout!(RootComplexList, 32, { num: 0, rc_info_version: 8, pointer: 16, checksum: 24 });

impl RootComplexList {
    /// Whether the checksum holds, given the 64-bit words of all arrays.
    #[must_use]
    pub fn checksum_holds(&self, words: impl IntoIterator<Item = u64>) -> bool {
        checksum_holds(
            [self.num, self.pointer, self.checksum]
                .into_iter()
                .chain(words),
        )
    }
}

/// The manifest header, version 0.5. An older one is the first [`size_for`] bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BootManifest {
    /// Version, encoded as [`Version`](super::Version) in 32 bits. Since 0.1.
    pub version: u32,
    /// Zero.
    pub _reserved: u32,
    /// Physical address of data private to the platform, or zero. Since 0.1.
    pub plat_data: u64,
    /// DRAM banks, of [`MemoryBank`]. Since 0.2.
    pub plat_dram: List,
    /// Consoles, of [`Console`]. Since 0.3.
    pub plat_console: List,
    /// Non-coherent device regions, of [`MemoryBank`]. Since 0.4.
    pub plat_ncoh_region: List,
    /// Coherent device regions, of [`MemoryBank`]. Since 0.4.
    pub plat_coh_region: List,
    /// SMMUs, of [`Smmu`]. Since 0.5.
    pub plat_smmu: List,
    /// PCIe root complexes. Since 0.5.
    pub plat_root_complex: RootComplexList,
}

assert_layout!(BootManifest, 168, {
    version: 0x00,
    plat_data: 0x08,
    plat_dram: 0x10,
    plat_console: 0x28,
    plat_ncoh_region: 0x40,
    plat_coh_region: 0x58,
    plat_smmu: 0x70,
    plat_root_complex: 0x88,
});

/// Size of the header of manifest version 0.`minor`, in bytes. A newer minor has the size of the
/// newest known one; 0.0 does not exist and has size zero.
#[must_use]
pub const fn size_for(minor: u16) -> usize {
    match minor {
        0 => 0,
        1 => 16,
        2 => 40,
        3 => 64,
        4 => 112,
        _ => core::mem::size_of::<BootManifest>(),
    }
}

/// A DRAM bank or a device region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryBank {
    /// Physical address.
    pub base: u64,
    /// Size in bytes.
    pub size: u64,
}

assert_layout!(MemoryBank, 16, { base: 0, size: 8 });

/// A console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Console {
    /// Physical address of the registers.
    pub base: u64,
    /// Pages of registers to map.
    pub map_pages: u64,
    /// Name of the device type, padded with zeroes: `pl011`.
    pub name: [u8; 8],
    /// Clock in Hz.
    pub clk_in_hz: u64,
    /// Baud rate.
    pub baud_rate: u64,
    /// Reserved, zero.
    pub flags: u64,
}

assert_layout!(Console, 48, {
    base: 0,
    map_pages: 8,
    name: 16,
    clk_in_hz: 24,
    baud_rate: 32,
    flags: 40,
});

/// An SMMUv3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Smmu {
    /// Physical address of register page 0.
    pub base: u64,
    /// Physical address of the Realm register pages.
    pub realm_base: u64,
}

assert_layout!(Smmu, 16, { base: 0, realm_base: 8 });

/// A PCIe root complex, layout version 0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RootComplex {
    /// Physical address of the configuration space, 256 MiB.
    pub ecam_base: u64,
    /// PCIe segment.
    pub segment: u8,
    /// Zero.
    pub _reserved: [u8; 3],
    /// Number of root ports.
    pub num_root_ports: u32,
    /// Physical address of the array of [`RootPort`].
    pub root_ports: u64,
}

assert_layout!(RootComplex, 24, {
    ecam_base: 0,
    segment: 8,
    num_root_ports: 12,
    root_ports: 16,
});

/// A PCIe root port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RootPort {
    /// Bus, device and function of the port.
    pub root_port_id: u16,
    /// Zero.
    pub _reserved: u16,
    /// Number of BDF mappings.
    pub num_bdf_mappings: u32,
    /// Physical address of the array of [`BdfMapping`].
    pub bdf_mappings: u64,
}

assert_layout!(RootPort, 16, { root_port_id: 0, num_bdf_mappings: 4, bdf_mappings: 8 });

/// A range of requester identifiers and the SMMU that serves it.
///
/// Whether `top` belongs to the range differs between firmware releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BdfMapping {
    /// First requester identifier.
    pub base: u16,
    /// Last requester identifier, or the one after.
    pub top: u16,
    /// Upper half of the StreamID: `requester + (off << 16)`.
    pub off: u16,
    /// Index in the list of SMMUs.
    pub smmu_idx: u16,
}

assert_layout!(BdfMapping, 8, { base: 0, top: 2, off: 4, smmu_idx: 6 });

/// The checksum rule: the words of a list, its checksum included, add up to zero modulo 2^64.
#[must_use]
pub fn checksum_holds(words: impl IntoIterator<Item = u64>) -> bool {
    checksum_of(words) == 0
}

/// The checksum that makes the rule hold for these words.
#[must_use]
pub fn checksum_of(words: impl IntoIterator<Item = u64>) -> u64 {
    words
        .into_iter()
        .fold(0u64, u64::wrapping_add)
        .wrapping_neg()
}
