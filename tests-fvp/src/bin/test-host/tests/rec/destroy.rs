// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_DESTROY.

use crate::check::Check;
use crate::rmi;
use crate::tests::Test;
use crate::tests::samples::{Kind, Samples};
use alloc::format;

pub const TESTS: &[Test] = &[("rec.destroy_wrong", destroy_wrong)];

// Conformance: RMI_REC_DESTROY rec_align, rec_bound, rec_gran_state, rec<rec_state
fn destroy_wrong() -> Check {
    let samples = Samples::new()?;
    for (kind, address) in samples.except(&[Kind::Rec]) {
        rmi::rec_destroy(address).input(&format!("rec {kind:?} {address:#x}"))?;
    }
    samples.finish()
}
