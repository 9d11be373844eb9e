// SPDX-License-Identifier: BSD-3-Clause
//! Numbers and byte-exact structures of the interfaces of a Realm Management Monitor.
//!
//! | module | interface | between |
//! |---|---|---|
//! | [`rmi`] | Realm Management Interface 1.0 | Host and monitor |
//! | [`rsi`] | Realm Services Interface 1.0 | Realm and monitor |
//! | [`psci`] | Power State Coordination Interface 1.1, as offered to a Realm | Realm and monitor |
//! | [`smccc`] | SMC Calling Convention | all of them |
//! | [`el3`] | RMM-EL3 interface 0.1 to 2.0 | monitor and EL3 firmware |
//!
//! The crate holds names, encodings and layouts, and no behaviour. Structures are `repr(C)`,
//! little-endian as the specifications demand, and have no implicit padding; every offset and size
//! is asserted at compile time. Reserved bytes are fields named `_reserved…`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(not(target_endian = "little"))]
compile_error!("the structures of these interfaces are little-endian");

pub mod el3;
pub mod mpidr;
pub mod psci;
pub mod rmi;
pub mod rsi;
pub mod smccc;

/// Size of a Granule, in bytes.
pub const GRANULE_SIZE: usize = 4096;

/// Asserts at compile time the offset of fields and the size of a structure.
macro_rules! assert_layout {
    ($ty:ty, $size:expr, { $($field:ident: $offset:expr),+ $(,)? }) => {
        const _: () = {
            assert!(core::mem::size_of::<$ty>() == $size);
            $(assert!(core::mem::offset_of!($ty, $field) == $offset);)+
        };
    };
}
pub(crate) use assert_layout;
