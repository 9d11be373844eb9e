// SPDX-License-Identifier: BSD-3-Clause
//! Realm measurements (specification A7.1).
//!
//! A Realm has one Realm Initial Measurement, the RIM, which covers how the Host built the Realm until
//! its activation ([`rim`]), and four Realm Extensible Measurements, the REMs, which the Realm itself
//! extends ([`rem`]). [`Hash`] computes them. The functions are pure: they return the new value of a
//! measurement.
#![no_std]
#![forbid(unsafe_code)]

mod hash;
mod measurement;
pub mod rem;
pub mod rim;

pub use hash::{Hash, SoftHash};
pub use measurement::Measurement;
