// SPDX-License-Identifier: BSD-3-Clause
//! Realm measurements (specification A7.1).
//!
//! A Realm has one Realm Initial Measurement, the RIM, which commits to what the Host did before it
//! activated the Realm ([`rim`]), and four Realm Extensible Measurements, the REMs, which the Realm
//! itself extends ([`rem`]). All are hashes, computed by whatever offers [`Hash`].
//!
//! The functions are pure: they take the measurement as it was and give the one that follows.
#![no_std]
#![forbid(unsafe_code)]

mod hash;
mod measurement;
pub mod rem;
pub mod rim;

pub use hash::{Hash, SoftHash};
pub use measurement::Measurement;
