// SPDX-License-Identifier: BSD-3-Clause
//! Several CPUs at once: races for one thing, and random commands with the same few granules.
//!
//! A watchdog ends a test that deadlocks.
#![allow(clippy::cast_possible_truncation, reason = "64-bit build machine")]

#[path = "../support/attested.rs"]
mod attested;
#[path = "../support/racing.rs"]
mod racing;
#[path = "../support/watched.rs"]
mod watched;

mod hammer;
mod races;
mod rounds;
mod tokens;

use watched::watched;
