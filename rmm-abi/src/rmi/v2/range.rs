// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors of physical address ranges, and the flags of the commands that map and unmap them.

/// State of the memory of a range (`RmiOpMemState`).
///
/// Up to 2.0-bet1 it is bit 63, later bits 63:62. DELEGATED is zero in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryState {
    /// DELEGATED.
    Delegated,
    /// UNDELEGATED.
    Undelegated,
}

/// `RmiAddrRangeDesc4KB`: consecutive blocks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange(u64);

const COUNT_SHIFT: u32 = 2;
const COUNT_MASK: u64 = 0x3FF;
const ADDRESS_MASK: u64 = (1 << 52) - (1 << 12);
const STATE_SHIFT: u32 = 62;

impl AddressRange {
    /// Most blocks of a range.
    pub const MAX_BLOCKS: u64 = COUNT_MASK;

    /// A range that has no blocks.
    pub const EMPTY: Self = Self(0);

    /// The range of `count` blocks of `level`, 0 to 3, from `address` on. The state is encoded as from
    /// 2.0-bet2 on.
    ///
    /// Each argument is cut to the width of its field.
    #[must_use]
    pub const fn new(address: u64, level: i8, count: u64, state: MemoryState) -> Self {
        let size = (3 - level as i64).cast_unsigned() & 3;
        let state = match state {
            MemoryState::Delegated => 0,
            MemoryState::Undelegated => 1 << STATE_SHIFT,
        };
        Self(size | (count & COUNT_MASK) << COUNT_SHIFT | address & ADDRESS_MASK | state)
    }

    /// Decodes a descriptor.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The descriptor.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// RTT level of a block: 3 for 4 KiB, 2 for 2 MiB, 1 for 1 GiB, 0 for 512 GiB.
    #[must_use]
    pub const fn level(self) -> i8 {
        // Two bits.
        3 - (self.0 & 3) as i8
    }

    /// Number of blocks.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 >> COUNT_SHIFT & COUNT_MASK
    }

    /// Address of the first block.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 & ADDRESS_MASK
    }

    /// Whether the memory is DELEGATED: bits 63:62 are zero.
    #[must_use]
    pub const fn is_delegated(self) -> bool {
        self.0 >> STATE_SHIFT == 0
    }

    /// Whether all reserved bits, 61:52, are zero.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 >> 52 & 0x3FF == 0
    }
}

/// `RmiAddrType`: what an address argument of a mapping command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressType {
    /// No addresses.
    None,
    /// An [`AddressRange`].
    Single,
    /// Physical address of a list of [`AddressRange`] in Non-secure memory.
    List,
}

const TYPE_MASK: u64 = 3;
const LIST_COUNT_SHIFT: u32 = 2;
const LIST_COUNT_MASK: u64 = 0x3FFF;

/// The address type of flags; `None` for the reserved encoding.
const fn address_type(flags: u64) -> Option<AddressType> {
    match flags & TYPE_MASK {
        0 => Some(AddressType::None),
        1 => Some(AddressType::Single),
        2 => Some(AddressType::List),
        _ => None,
    }
}

/// `RmiRttProtMapFlags` and `RmiRttUnprotMapFlags`: flags of RMI_RTT_DATA_MAP and RMI_RTT_UNPROT_MAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFlags(pub u64);

impl MapFlags {
    /// What the addresses are; `None` for the reserved encoding.
    #[must_use]
    pub const fn address_type(self) -> Option<AddressType> {
        address_type(self.0)
    }

    /// Number of entries of the list.
    #[must_use]
    pub const fn list_count(self) -> u64 {
        self.0 >> LIST_COUNT_SHIFT & LIST_COUNT_MASK
    }

    /// `MemAttr[2:0]` of stage 2 with FEAT_S2FWB. For UNPROT_MAP.
    #[must_use]
    pub const fn memory_attribute(self) -> u64 {
        self.0 >> 16 & 7
    }

    /// Permissions in the direct encoding: bit 0 write, bit 1 read; bits 3:2 are reserved there. For
    /// UNPROT_MAP.
    #[must_use]
    pub const fn permissions(self) -> u64 {
        self.0 >> 19 & 0xF
    }

    /// Whether all bits are zero that RMI_RTT_DATA_MAP does not use.
    #[must_use]
    pub const fn is_valid_for_data(self) -> bool {
        self.0 >> 16 == 0
    }

    /// Whether all bits are zero that RMI_RTT_UNPROT_MAP does not use.
    #[must_use]
    pub const fn is_valid_for_unprotected(self) -> bool {
        self.0 >> 23 == 0
    }
}

/// `RmiRttUnmapFlags`: flags of RMI_RTT_DATA_UNMAP and RMI_RTT_UNPROT_UNMAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmapFlags(pub u64);

impl UnmapFlags {
    /// How the addresses are to be reported; `None` for the reserved encoding.
    #[must_use]
    pub const fn address_type(self) -> Option<AddressType> {
        address_type(self.0)
    }

    /// Number of entries that the list has room for.
    #[must_use]
    pub const fn list_capacity(self) -> u64 {
        self.0 >> LIST_COUNT_SHIFT & LIST_COUNT_MASK
    }

    /// Whether all unused bits are zero.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 >> 16 == 0
    }
}
