// SPDX-License-Identifier: BSD-3-Clause
//! RTT entries (RTTE): 64-bit descriptors and their meaning.
//!
//! TABLE, ASSIGNED with RIPAS RAM, and ASSIGNED_NS are valid descriptors as the architecture defines
//! them. All others are invalid. The hardware ignores the other bits of an invalid descriptor, and
//! the monitor uses them as follows:
//!
//! | bits | |
//! |---|---|
//! | 0 | 0: invalid |
//! | 1 | 0, so that above level 3 this bit alone distinguishes TABLE |
//! | 2 | 1: ASSIGNED, and the physical address is where a valid descriptor has it |
//! | 4:3 | RIPAS: 0 EMPTY, 1 DESTROYED, 3 RAM. MemAttr of a valid ASSIGNED descriptor has the value of RAM here |
//!
//! A wiped Granule is therefore a table of UNASSIGNED entries with RIPAS EMPTY or, in the Unprotected
//! half, of UNASSIGNED_NS entries. The half is known from the IPA, not from the entry.

use crate::stage2::{PAGE_LEVEL, Stage2, entry_size};
use rmm_abi::rmi::Ripas;
use rmm_granule::{Pa, bug};

/// Set in every valid descriptor.
pub(crate) const VALID: u64 = 1;
/// In a valid descriptor: set in a table and in a page, which is at level 3; clear in a block.
pub(crate) const TABLE_OR_PAGE: u64 = 1 << 1;
/// The bits of the descriptor type.
pub(crate) const TYPE: u64 = VALID | TABLE_OR_PAGE;
/// In an invalid descriptor: ASSIGNED.
pub(crate) const ASSIGNED: u64 = 1 << 2;
/// An entry with any of these bits holds a physical address: it is live.
pub(crate) const LIVE: u64 = VALID | ASSIGNED;

const RIPAS_SHIFT: u32 = 3;
/// RIPAS in every entry of the Protected half that is not TABLE, valid or not.
pub(crate) const RIPAS: u64 = 3 << RIPAS_SHIFT;
/// RIPAS DESTROYED.
pub(crate) const DESTROYED: u64 = 1 << RIPAS_SHIFT;
/// RIPAS RAM.
const RAM: u64 = 3 << RIPAS_SHIFT;
const _: () = assert!(MEM_ATTR_WB & RIPAS == RAM && MEM_ATTR_WB & ASSIGNED == 0);

const MEM_ATTR_SHIFT: u32 = 2;
/// `MemAttr[2:0]`, with the encodings of FEAT_S2FWB.
const MEM_ATTR: u64 = 7 << MEM_ATTR_SHIFT;
/// MemAttr: Normal Write-Back, whatever stage 1 says.
const MEM_ATTR_WB: u64 = 6 << MEM_ATTR_SHIFT;
/// MemAttr: as stage 1 says, Normal Write-Back at most.
const MEM_ATTR_STAGE_1: u64 = 7 << MEM_ATTR_SHIFT;
/// MemAttr: reserved value.
const MEM_ATTR_RESERVED: u64 = 4 << MEM_ATTR_SHIFT;
/// `S2AP[1:0]`: read and write permission.
const S2AP: u64 = 3 << 6;
/// SH: Outer Shareable.
const SH_OUTER: u64 = 2 << 8;
/// SH: Inner Shareable.
const SH_INNER: u64 = 3 << 8;
/// AF, the Access flag.
const ACCESS_FLAG: u64 = 1 << 10;
/// `XN[1:0]` = 0b10: never executable.
const XN: u64 = 1 << 54;
/// NS: output in Non-secure PAS.
const NS: u64 = 1 << 55;

/// `PA[47:12]`, in both layouts.
const ADDRESS_48: u64 = (1 << 48) - (1 << 12);
/// In the 52-bit layout also `PA[49:48]` and, at bits 9:8, `PA[51:50]`.
const ADDRESS_52: u64 = ADDRESS_48 | 3 << 48 | HIGH_ADDRESS;
/// `PA[51:50]` in the 52-bit layout.
const HIGH_ADDRESS: u64 = 3 << 8;
/// Distance from bit 8 of the descriptor to bit 50 of the address.
const HIGH_SHIFT: u32 = 50 - 8;

/// Whether an entry of `level` is TABLE.
#[inline]
pub(crate) const fn is_table(desc: u64, level: i8) -> bool {
    level < PAGE_LEVEL && desc & TYPE == TYPE
}

/// Whether an entry is UNASSIGNED or UNASSIGNED_NS.
#[inline]
pub(crate) const fn is_unassigned(desc: u64) -> bool {
    desc & LIVE == 0
}

/// The bit that is set in the TABLE entries of `level` and in no other entries of it; 0 at level 3.
#[inline]
pub(crate) const fn table_bit(level: i8) -> u64 {
    if level < PAGE_LEVEL { TABLE_OR_PAGE } else { 0 }
}

/// RIPAS of an entry of the Protected half that is not TABLE.
#[inline]
pub(crate) const fn ripas_of(desc: u64) -> Ripas {
    match desc & RIPAS {
        0 => Ripas::Empty,
        RAM => Ripas::Ram,
        _ => Ripas::Destroyed,
    }
}

/// Bits of a RIPAS in an invalid descriptor.
#[inline]
const fn ripas_bits(ripas: Ripas) -> u64 {
    match ripas {
        Ripas::Empty => 0,
        Ripas::Ram => RAM,
        Ripas::Destroyed => DESTROYED,
    }
}

/// Descriptor of an UNASSIGNED entry with this RIPAS.
#[inline]
pub(crate) const fn unassigned(ripas: Ripas) -> u64 {
    ripas_bits(ripas)
}

/// Descriptor of an UNASSIGNED_NS entry.
pub(crate) const UNASSIGNED_NS: u64 = 0;

/// Type bits of a page or block of `level`.
#[inline]
const fn leaf_type(level: i8) -> u64 {
    if level == PAGE_LEVEL {
        VALID | TABLE_OR_PAGE
    } else {
        VALID
    }
}

/// The page or block `desc` of another level as a page or block of `level`: state, RIPAS, attributes
/// and address stay, the type bits change.
#[inline]
pub(crate) const fn at_level(desc: u64, level: i8) -> u64 {
    with_leaf_type(desc, leaf_type(level))
}

/// The page or block `desc` as a block, which any level above 3 has; see [`at_level`].
#[inline]
pub(crate) const fn as_block(desc: u64) -> u64 {
    with_leaf_type(desc, VALID)
}

#[inline]
const fn with_leaf_type(desc: u64, leaf_type: u64) -> u64 {
    if desc & VALID == 0 {
        desc
    } else {
        desc & !TYPE | leaf_type
    }
}

/// The page or block after `desc`, where `step` is the size of both. It cannot carry out of the
/// address bits: the caller stays within 512 pages or blocks of which the first is aligned to the
/// size of all. Wrapping, because a check would cost an instruction for each entry of a table.
#[inline]
pub(crate) const fn next_leaf(desc: u64, step: u64) -> u64 {
    desc.wrapping_add(step)
}

impl Stage2 {
    /// The bits of a descriptor that hold an address.
    #[inline]
    pub(crate) const fn address_mask(&self) -> u64 {
        if self.has_lpa2() {
            ADDRESS_52
        } else {
            ADDRESS_48
        }
    }

    /// The address that a live descriptor holds.
    #[inline]
    pub(crate) const fn output(&self, desc: u64) -> Pa {
        if self.has_lpa2() {
            let low = desc & ADDRESS_52 & !HIGH_ADDRESS;
            Pa(low | (desc & HIGH_ADDRESS) << HIGH_SHIFT)
        } else {
            Pa(desc & ADDRESS_48)
        }
    }

    /// The bits of a descriptor that hold `pa`.
    #[inline(always)]
    const fn address_bits(&self, pa: Pa) -> u64 {
        if !self.can_output(pa) {
            bug!("address too wide for the Realm");
        }
        if self.has_lpa2() {
            pa.0 & ADDRESS_52 & !HIGH_ADDRESS | pa.0 >> HIGH_SHIFT & HIGH_ADDRESS
        } else {
            pa.0 & ADDRESS_48
        }
    }

    /// SH of Normal Write-Back memory. With LPA2 it is not in the descriptor but in VTCR_EL2.
    #[inline]
    const fn inner_shareable(&self) -> u64 {
        if self.has_lpa2() { 0 } else { SH_INNER }
    }

    /// Descriptor of an ASSIGNED entry of `level` with RIPAS RAM, without its address.
    #[inline]
    const fn ram_attributes(&self, level: i8) -> u64 {
        MEM_ATTR_WB | S2AP | ACCESS_FLAG | self.inner_shareable() | leaf_type(level)
    }

    /// Descriptor of a TABLE entry that refers to the RTT at `pa`.
    ///
    /// # Panics
    /// If a descriptor of the Realm cannot hold `pa`; see [`Stage2::can_output`].
    #[inline]
    pub(crate) const fn table(&self, pa: Pa) -> u64 {
        self.address_bits(pa) | TYPE
    }

    /// Descriptor of an ASSIGNED entry of `level` with this RIPAS.
    ///
    /// # Panics
    /// If a descriptor of the Realm cannot hold `pa`; see [`Stage2::can_output`].
    #[inline]
    pub(crate) const fn assigned(&self, pa: Pa, level: i8, ripas: Ripas) -> u64 {
        self.address_bits(pa) | self.assigned_attributes(level, ripas)
    }

    /// The ASSIGNED entry `desc` of `level` with another RIPAS.
    #[inline]
    pub(crate) const fn with_ripas(&self, desc: u64, level: i8, ripas: Ripas) -> u64 {
        desc & self.address_mask() | self.assigned_attributes(level, ripas)
    }

    /// Descriptor of an ASSIGNED entry of `level` with this RIPAS, without its address.
    #[inline]
    pub(crate) const fn assigned_attributes(&self, level: i8, ripas: Ripas) -> u64 {
        match ripas {
            Ripas::Ram => self.ram_attributes(level),
            _ => ASSIGNED | ripas_bits(ripas),
        }
    }

    /// The state of the entry `desc` of `level`, in the Protected half or in the Unprotected one.
    #[inline]
    pub(crate) const fn decode(&self, desc: u64, level: i8, protected: bool) -> RttEntry {
        if is_table(desc, level) {
            RttEntry::Table {
                pa: self.output(desc),
            }
        } else if protected {
            let ripas = ripas_of(desc);
            if is_unassigned(desc) {
                RttEntry::Unassigned { ripas }
            } else {
                RttEntry::Assigned {
                    pa: self.output(desc),
                    ripas,
                }
            }
        } else if is_unassigned(desc) {
            RttEntry::UnassignedNs
        } else {
            RttEntry::AssignedNs {
                pa: self.output(desc),
            }
        }
    }
}

/// State of an RTT entry (specification A5.3.1, A5.5.4): HIPAS, with the RIPAS and the physical
/// address that go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RttEntry {
    /// UNASSIGNED.
    Unassigned {
        /// RIPAS.
        ripas: Ripas,
    },
    /// ASSIGNED.
    Assigned {
        /// The DATA Granule, or the first one of a block.
        pa: Pa,
        /// RIPAS.
        ripas: Ripas,
    },
    /// UNASSIGNED_NS.
    UnassignedNs,
    /// ASSIGNED_NS.
    AssignedNs {
        /// First byte of the page or block.
        pa: Pa,
    },
    /// TABLE.
    Table {
        /// The RTT of the next level.
        pa: Pa,
    },
}

/// The descriptor that the Host passes to RTT_MAP_UNPROTECTED, checked and completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsDesc {
    /// The complete valid descriptor.
    desc: u64,
    /// Level that it was checked for.
    level: i8,
}

impl NsDesc {
    /// Checks `desc`, which the Host passes for an entry of `level`, 1 to 3. `None` if `attr_valid`,
    /// `addr_align` or `addr_bound` fails.
    #[must_use]
    pub const fn parse(s2: &Stage2, level: i8, desc: u64) -> Option<Self> {
        let host_bits = MEM_ATTR | S2AP | s2.address_mask();
        if desc & !host_bits != 0 || desc & MEM_ATTR == MEM_ATTR_RESERVED {
            // attr_valid; addr_bound, because an address too wide sets bits beyond `host_bits`.
            return None;
        }
        if !s2.output(desc).is_aligned_to(entry_size(level)) {
            return None; // addr_align
        }
        let shareability = match desc & MEM_ATTR {
            _ if s2.has_lpa2() => 0,
            MEM_ATTR_WB | MEM_ATTR_STAGE_1 => SH_INNER,
            _ => SH_OUTER,
        };
        let fixed = ACCESS_FLAG | XN | NS | leaf_type(level);
        Some(Self {
            desc: desc | shareability | fixed,
            level,
        })
    }

    /// The descriptor for the page or block of `level` at `pa`, with this `MemAttr[2:0]` and these
    /// permissions. `None` as for [`NsDesc::parse`].
    #[must_use]
    pub const fn new(
        s2: &Stage2,
        level: i8,
        pa: Pa,
        mem_attr: u64,
        read: bool,
        write: bool,
    ) -> Option<Self> {
        if !s2.can_output(pa) {
            return None; // addr_bound
        }
        let s2ap = (read as u64) << 6 | (write as u64) << 7;
        Self::parse(
            s2,
            level,
            s2.address_bits(pa) | mem_attr << MEM_ATTR_SHIFT | s2ap,
        )
    }

    /// The descriptor for an entry of `level`.
    ///
    /// # Panics
    /// If it was checked for another level. This is a bug of the caller.
    #[inline]
    pub(crate) const fn for_level(self, level: i8) -> u64 {
        if self.level != level {
            bug!("descriptor of another level");
        }
        self.desc
    }
}

/// The part of the descriptor `desc` that RTT_READ_ENTRY shows to the Host, where `entry` is its
/// state.
#[inline]
pub(crate) const fn host_view(s2: &Stage2, desc: u64, entry: &RttEntry) -> u64 {
    match entry {
        RttEntry::Unassigned { .. } | RttEntry::UnassignedNs => 0,
        RttEntry::Assigned { .. } | RttEntry::Table { .. } => desc & s2.address_mask(),
        RttEntry::AssignedNs { .. } => desc & (MEM_ATTR | S2AP | s2.address_mask()),
    }
}
