// SPDX-License-Identifier: BSD-3-Clause
//! Enumerations in Granules of the monitor.

use core::marker::PhantomData;
use rmm_granule::bug;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A value of the enumeration `T`, as one byte of a Granule's content. Any byte is a valid
/// [`Stored`], as the content of a Granule has to be; only the monitor writes it, so the byte is
/// always that of a `T`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Stored<T> {
    byte: u8,
    value: PhantomData<T>,
}

impl<T: TryFrom<u8> + Into<u8>> Stored<T> {
    /// Stores `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self {
            byte: value.into(),
            value: PhantomData,
        }
    }

    /// Whether this is `value`: one comparison.
    #[must_use]
    pub fn is(&self, value: T) -> bool {
        self.byte == value.into()
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> T {
        match T::try_from(self.byte) {
            Ok(value) => value,
            Err(_) => bug!("a Granule of the monitor has changed"),
        }
    }
}

/// Gives an enumeration of `u8` values the conversions that [`Stored`] asks for.
macro_rules! stored_as_byte {
    ($enum:ident { $($value:ident),+ }) => {
        impl From<$enum> for u8 {
            fn from(value: $enum) -> Self {
                value as Self
            }
        }

        impl TryFrom<u8> for $enum {
            type Error = ();

            fn try_from(byte: u8) -> Result<Self, ()> {
                $(if byte == Self::$value as u8 {
                    return Ok(Self::$value);
                })+
                Err(())
            }
        }
    };
}
pub(crate) use stored_as_byte;

#[cfg(test)]
mod tests {
    use super::*;
    use rmm_abi::rmi::Ripas;

    #[test]
    fn a_value_comes_back() {
        for ripas in [Ripas::Empty, Ripas::Ram, Ripas::Destroyed] {
            assert_eq!(Stored::new(ripas).get(), ripas);
        }
    }

    #[test]
    #[should_panic(expected = "a Granule of the monitor has changed")]
    fn a_byte_that_is_no_value_stops_the_monitor() {
        let stored = Stored::<Ripas>::read_from_bytes(&[0xFF]).unwrap();
        let _ = stored.get();
    }
}
