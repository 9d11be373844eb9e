// SPDX-License-Identifier: BSD-3-Clause
//! What RMI 2.0 has of its own. Each test begins and ends with a Host that speaks 1.0 and has delegated nothing.

mod gic;
mod life;
mod mode;

use super::Test;
use crate::check::Check;
use crate::dialect::{Dialect, during, needs_v2};

/// Every test, by room.
pub const GROUPS: [&[Test]; 3] = [mode::TESTS, life::TESTS, gic::TESTS];

/// A part of a test with a Host that speaks 2.0.
fn in_v2(part: impl FnOnce() -> Check) -> Check {
    needs_v2()?;
    during(Dialect::V2, part)
}
