// SPDX-License-Identifier: BSD-3-Clause
//! RMI 2.0, and the choice between it and RMI 1.0.
//!
//! At each call, [`Host`](rmm_core::fake::Host) checks that a failed command changes nothing, that
//! registers which are not outputs are zero or as before, and that no lock, window or register is left
//! behind.

mod addresses;
mod attestation;
mod data;
mod data_unmap;
mod granule;
mod mode;
mod races;
#[path = "../support/racing.rs"]
mod racing;
mod realm;
mod rec;
mod ripas;
mod rmm;
mod rtt;
mod unprotected;
#[path = "../support/watched.rs"]
mod watched;
