// SPDX-License-Identifier: BSD-3-Clause
//! RTT entries (RTTE): the 64-bit descriptors and what they stand for.
//!
//! Valid descriptors are the architecture's. In invalid ones the hardware ignores all but bit 0;
//! the layout is
//!
//! | bits | |
//! |---|---|
//! | 0 | 0 |
//! | 1 | 0, so that above level 3 it tells TABLE from everything else |
//! | 2 | ASSIGNED: a physical address follows in the place where a valid descriptor has it |
//! | 4:3 | RIPAS: 0 EMPTY, 1 DESTROYED, 3 RAM, as MemAttr of the valid descriptors has it |
//!
//! A wiped Granule is thus a table of UNASSIGNED, EMPTY entries; in the Unprotected half, which
//! the IPA tells, of UNASSIGNED_NS entries. ASSIGNED, RAM is always valid.

use crate::stage2::{PAGE_LEVEL, Stage2, entry_size};
use rmm_abi::rmi::Ripas;
use rmm_granule::Pa;

/// Any valid descriptor.
pub(crate) const VALID: u64 = 1;
/// With [`VALID`]: a table, or a page at level 3; without: a block.
pub(crate) const TABLE_OR_PAGE: u64 = 1 << 1;
/// Both bits of the descriptor type.
pub(crate) const TYPE: u64 = VALID | TABLE_OR_PAGE;
/// Invalid but ASSIGNED.
pub(crate) const ASSIGNED: u64 = 1 << 2;
/// An entry with one of these bits holds a physical address: it is live.
pub(crate) const LIVE: u64 = VALID | ASSIGNED;

const RIPAS_SHIFT: u32 = 3;
/// RIPAS in every entry of the Protected half that is not TABLE, valid or not.
pub(crate) const RIPAS: u64 = 3 << RIPAS_SHIFT;
pub(crate) const DESTROYED: u64 = 1 << RIPAS_SHIFT;
const RAM: u64 = 3 << RIPAS_SHIFT;
const _: () = assert!(MEM_ATTR_WB & RIPAS == RAM && MEM_ATTR_WB & ASSIGNED == 0);

const MEM_ATTR_SHIFT: u32 = 2;
/// MemAttr[2:0]; with FEAT_S2FWB.
const MEM_ATTR: u64 = 7 << MEM_ATTR_SHIFT;
/// Normal Write-Back, whatever stage 1 says.
const MEM_ATTR_WB: u64 = 6 << MEM_ATTR_SHIFT;
/// Normal Write-Back Cacheable if stage 1 says so.
const MEM_ATTR_STAGE_1: u64 = 7 << MEM_ATTR_SHIFT;
/// Reserved.
const MEM_ATTR_RESERVED: u64 = 4 << MEM_ATTR_SHIFT;
const S2AP: u64 = 3 << 6;
const SH_OUTER: u64 = 2 << 8;
const SH_INNER: u64 = 3 << 8;
const ACCESS_FLAG: u64 = 1 << 10;
/// XN[1:0] = 0b10: never executable.
const XN: u64 = 1 << 54;
/// Output in Non-secure PAS.
const NS: u64 = 1 << 55;

/// PA[47:12] in every layout.
const ADDRESS_48: u64 = (1 << 48) - (1 << 12);
/// PA[49:48] and, at bits 9:8, PA[51:50] in the 52-bit layout.
const ADDRESS_52: u64 = ADDRESS_48 | 3 << 48 | HIGH_ADDRESS;
const HIGH_ADDRESS: u64 = 3 << 8;
/// From PA[51:50] to bits 9:8.
const HIGH_SHIFT: u32 = 50 - 8;

/// Whether an entry of a level above 3 is TABLE.
#[inline(always)]
pub(crate) const fn is_table(desc: u64, level: i8) -> bool {
    level < PAGE_LEVEL && desc & TYPE == TYPE
}

/// Whether an entry is neither ASSIGNED, ASSIGNED_NS nor TABLE.
#[inline(always)]
pub(crate) const fn is_unassigned(desc: u64) -> bool {
    desc & LIVE == 0
}

/// The bit that is set in TABLE entries of a level and in no others of it; none at level 3.
#[inline(always)]
pub(crate) const fn table_bit(level: i8) -> u64 {
    if level < PAGE_LEVEL { TABLE_OR_PAGE } else { 0 }
}

/// RIPAS of an entry of the Protected half that is not TABLE.
#[inline(always)]
pub(crate) const fn ripas_of(desc: u64) -> Ripas {
    match desc & RIPAS {
        0 => Ripas::Empty,
        RAM => Ripas::Ram,
        _ => Ripas::Destroyed,
    }
}

/// Bits of a RIPAS in an invalid descriptor.
#[inline(always)]
const fn ripas_bits(ripas: Ripas) -> u64 {
    match ripas {
        Ripas::Empty => 0,
        Ripas::Ram => RAM,
        Ripas::Destroyed => DESTROYED,
    }
}

/// Descriptor of an UNASSIGNED entry; UNASSIGNED_NS is that of [`UNASSIGNED_NS`].
#[inline(always)]
pub(crate) const fn unassigned(ripas: Ripas) -> u64 {
    ripas_bits(ripas)
}

/// Descriptor of an UNASSIGNED_NS entry.
pub(crate) const UNASSIGNED_NS: u64 = 0;

/// Type bits of a page or block of a level.
#[inline(always)]
const fn leaf_type(level: i8) -> u64 {
    if level == PAGE_LEVEL {
        VALID | TABLE_OR_PAGE
    } else {
        VALID
    }
}

/// The descriptor of a child of the page or block `desc` of `level`, were it one entry of
/// `child_level` at the same address. Both directions: a fold asks for the parent's.
#[inline(always)]
pub(crate) const fn at_level(desc: u64, level: i8) -> u64 {
    if desc & VALID == 0 {
        desc
    } else {
        desc & !TYPE | leaf_type(level)
    }
}

impl Stage2 {
    /// Bits of a descriptor that hold an address.
    #[inline(always)]
    pub(crate) const fn address_mask(&self) -> u64 {
        if self.has_lpa2() {
            ADDRESS_52
        } else {
            ADDRESS_48
        }
    }

    /// The address that a live descriptor holds.
    #[inline(always)]
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
        assert!(self.can_output(pa), "address too wide for the Realm");
        if self.has_lpa2() {
            pa.0 & ADDRESS_52 & !HIGH_ADDRESS | pa.0 >> HIGH_SHIFT & HIGH_ADDRESS
        } else {
            pa.0 & ADDRESS_48
        }
    }

    /// Shareability of Normal Write-Back memory: in the descriptor or, with LPA2, in VTCR_EL2.
    #[inline(always)]
    const fn inner_shareable(&self) -> u64 {
        if self.has_lpa2() { 0 } else { SH_INNER }
    }

    /// The attributes of every ASSIGNED, RAM entry of a level.
    #[inline(always)]
    const fn ram_attributes(&self, level: i8) -> u64 {
        MEM_ATTR_WB | S2AP | ACCESS_FLAG | self.inner_shareable() | leaf_type(level)
    }

    /// Descriptor of a TABLE entry.
    #[inline(always)]
    pub(crate) const fn table(&self, pa: Pa) -> u64 {
        self.address_bits(pa) | TYPE
    }

    /// Descriptor of an ASSIGNED entry of a level.
    #[inline(always)]
    pub(crate) const fn assigned(&self, pa: Pa, level: i8, ripas: Ripas) -> u64 {
        self.address_bits(pa) | self.assigned_attributes(level, ripas)
    }

    /// Descriptor of an ASSIGNED entry of a level but for its address.
    #[inline(always)]
    pub(crate) const fn assigned_attributes(&self, level: i8, ripas: Ripas) -> u64 {
        match ripas {
            Ripas::Ram => self.ram_attributes(level),
            _ => ASSIGNED | ripas_bits(ripas),
        }
    }

    /// What the entry `desc` of a level stands for in the half that `protected` says.
    #[inline(always)]
    pub(crate) const fn decode(&self, desc: u64, level: i8, protected: bool) -> Entry {
        if is_table(desc, level) {
            Entry::Table {
                pa: self.output(desc),
            }
        } else if protected {
            let ripas = ripas_of(desc);
            if is_unassigned(desc) {
                Entry::Unassigned { ripas }
            } else {
                Entry::Assigned {
                    pa: self.output(desc),
                    ripas,
                }
            }
        } else if is_unassigned(desc) {
            Entry::UnassignedNs
        } else {
            Entry::AssignedNs {
                pa: self.output(desc),
            }
        }
    }
}

/// State of an RTT entry (specification A5.3.1, A5.5.4): HIPAS with RIPAS, and the address held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// UNASSIGNED.
    Unassigned {
        /// RIPAS.
        ripas: Ripas,
    },
    /// ASSIGNED.
    Assigned {
        /// DATA Granule, or the first one of a block.
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

/// A descriptor of the Host's for RTT_MAP_UNPROTECTED, checked: what it may control is valid and
/// everything else is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsDesc {
    /// The complete valid descriptor.
    desc: u64,
    level: i8,
}

impl NsDesc {
    /// Checks the Host's descriptor for an entry of `level`, 1 to 3; `None` if `attr_valid`,
    /// `addr_align` or `addr_bound` fails.
    #[must_use]
    pub const fn parse(s2: &Stage2, level: i8, desc: u64) -> Option<Self> {
        // An address beyond the layout of the descriptor sets bits that must be zero.
        let host_bits = MEM_ATTR | S2AP | s2.address_mask();
        if desc & !host_bits != 0 || desc & MEM_ATTR == MEM_ATTR_RESERVED {
            return None;
        }
        if !s2.output(desc).is_aligned_to(entry_size(level)) {
            return None;
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

    #[inline(always)]
    pub(crate) const fn for_level(self, level: i8) -> u64 {
        assert!(self.level == level, "descriptor of another level");
        self.desc
    }
}

/// The part of a live descriptor that the Host sees.
#[inline(always)]
pub(crate) const fn host_view(s2: &Stage2, desc: u64, entry: &Entry) -> u64 {
    match entry {
        Entry::Unassigned { .. } | Entry::UnassignedNs => 0,
        Entry::Assigned { .. } | Entry::Table { .. } => desc & s2.address_mask(),
        Entry::AssignedNs { .. } => desc & (MEM_ATTR | S2AP | s2.address_mask()),
    }
}
