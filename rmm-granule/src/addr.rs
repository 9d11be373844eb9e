// SPDX-License-Identifier: BSD-3-Clause
//! Physical and intermediate physical addresses.

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size of a Granule in bytes; the only Granule size and stage 2 translation granule.
pub const GRANULE_SIZE: usize = 4096;

/// log2 of [`GRANULE_SIZE`].
pub const GRANULE_SHIFT: u32 = 12;

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
            /// The address as a Granule's; `None` if it is not aligned to [`GRANULE_SIZE`].
            #[inline(always)]
            pub const fn granule(address: u64) -> Option<Self> {
                if address & OFFSET == 0 { Some(Self(address)) } else { None }
            }

            /// The address in bytes.
            #[inline(always)]
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// Whether the address is a multiple of `size` bytes, a power of two.
            #[inline(always)]
            pub const fn is_aligned_to(self, size: u64) -> bool {
                self.0 & size.wrapping_sub(1) == 0
            }

            /// The address rounded down to a multiple of `size` bytes, a power of two.
            #[inline(always)]
            pub const fn align_down(self, size: u64) -> Self {
                Self(self.0 & !size.wrapping_sub(1))
            }

            /// The first byte of the Granule that holds this address.
            #[inline(always)]
            pub const fn granule_base(self) -> Self {
                Self(self.0 & !OFFSET)
            }

            /// The byte within its Granule, below [`GRANULE_SIZE`].
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation)]
            pub const fn granule_offset(self) -> usize {
                (self.0 & OFFSET) as usize
            }

            /// The address `bytes` further on; `None` beyond 64 bits.
            #[inline(always)]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The distance in bytes from `earlier` to this address; `None` if that is negative.
            #[inline(always)]
            pub const fn checked_sub(self, earlier: Self) -> Option<u64> {
                self.0.checked_sub(earlier.0)
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
    /// A physical address in bytes, of any physical address space.
    Pa
}

address! {
    /// An intermediate physical address (IPA) in bytes: what a Realm believes to be physical.
    Ipa
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
        assert_eq!(Pa(0x3f_ffff).align_down(0x20_0000), Pa(0x20_0000));
        assert!(Pa(0x20_0000).is_aligned_to(0x20_0000));
        assert!(!Pa(0x10_0000).is_aligned_to(0x20_0000));
    }

    #[test]
    fn arithmetic_is_checked() {
        assert_eq!(Pa(u64::MAX).checked_add(1), None);
        assert_eq!(Pa(1).checked_add(2), Some(Pa(3)));
        assert_eq!(Ipa(1).checked_sub(Ipa(2)), None);
        assert_eq!(Ipa(2).checked_sub(Ipa(1)), Some(1));
    }
}
