// SPDX-License-Identifier: BSD-3-Clause
//! Physical and intermediate physical addresses.

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use rmm_abi::GRANULE_SIZE;

/// log2 of [`GRANULE_SIZE`].
pub const GRANULE_SHIFT: u32 = GRANULE_SIZE.ilog2();

/// Address bits that select a byte within a Granule.
const OFFSET: u64 = GRANULE_SIZE as u64 - 1;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes,
            Immutable, KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// `address` as the address of a Granule; `None` unless it is aligned to
            /// [`GRANULE_SIZE`].
            #[inline]
            pub const fn granule(address: u64) -> Option<Self> {
                if address & OFFSET == 0 { Some(Self(address)) } else { None }
            }

            /// The address in bytes.
            #[inline]
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// Whether the address is a multiple of `size` bytes, a power of two.
            #[inline]
            pub const fn is_aligned_to(self, size: u64) -> bool {
                self.0 & (size - 1) == 0
            }

            /// The first byte of the Granule that holds this address.
            #[inline]
            pub const fn granule_base(self) -> Self {
                Self(self.0 & !OFFSET)
            }

            /// Offset in bytes within the Granule that holds this address, below [`GRANULE_SIZE`].
            #[inline]
            #[allow(clippy::cast_possible_truncation)]
            pub const fn granule_offset(self) -> usize {
                (self.0 & OFFSET) as usize
            }

            /// The address `bytes` higher; `None` if it does not fit in 64 bits.
            #[inline]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// A physical address in bytes, in any physical address space.
    Pa
}

address! {
    /// An intermediate physical address (IPA) in bytes: what a Realm takes for a physical address.
    Ipa
}

impl Ipa {
    /// FIPA in `HPFAR_EL2`: bits 51:12 of the IPA at bits 43:4. NS, bit 63, is no part of it.
    const FIPA: u64 = ((1 << 40) - 1) << 4;

    /// From an address bit to the bit of FIPA that holds it.
    const FIPA_SHIFT: u32 = 8;

    /// The page that a value of `HPFAR_EL2` reports.
    #[inline]
    #[must_use]
    pub const fn from_hpfar(hpfar: u64) -> Self {
        Self((hpfar & Self::FIPA) << Self::FIPA_SHIFT)
    }

    /// The value of `HPFAR_EL2` that reports the page of this IPA, NS clear.
    #[inline]
    #[must_use]
    pub const fn to_hpfar(self) -> u64 {
        self.0 >> Self::FIPA_SHIFT & Self::FIPA
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granule_wants_alignment() {
        assert_eq!(Pa::granule(0x1000), Some(Pa(0x1000)));
        assert_eq!(Pa::granule(0x1001), None);
        assert_eq!(Ipa::granule(0x1800), None);
        assert_eq!(Ipa(0x1fff).granule_base(), Ipa(0x1000));
        assert_eq!(Ipa(0x1fff).granule_offset(), 0xfff);
        assert!(Pa(0x20_0000).is_aligned_to(0x20_0000));
        assert!(!Pa(0x10_0000).is_aligned_to(0x20_0000));
    }

    #[test]
    fn arithmetic_is_checked() {
        assert_eq!(Pa(u64::MAX).checked_add(1), None);
        assert_eq!(Pa(1).checked_add(2), Some(Pa(3)));
    }

    #[test]
    fn hpfar_holds_the_page() {
        assert_eq!(Ipa(0x000f_edcb_a987_6543).to_hpfar(), 0xfed_cba9_8760);
        let ns = 1 << 63;
        assert_eq!(
            Ipa::from_hpfar(ns | 0xfed_cba9_876f),
            Ipa(0x000f_edcb_a987_6000)
        );
        assert_eq!(Ipa(1 << 52).to_hpfar(), 0, "beyond FIPA");
    }
}
