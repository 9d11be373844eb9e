// SPDX-License-Identifier: BSD-3-Clause
//! RECs, a file for each command.

pub mod create;
pub mod destroy;
pub mod enter;

use crate::check::{Check, ensure};
use crate::rmi::{self};
use crate::tests::Test;
use crate::tests::samples::{Kind, Samples};
use alloc::format;

pub const TESTS: &[Test] = &[("rec.aux_count_wrong", aux_count_wrong)];

// Conformance: RMI_REC_AUX_COUNT rd_align, rd_bound, rd_state, aux_count, outputs
fn aux_count_wrong() -> Check {
    let samples = Samples::new()?;
    for (kind, address) in samples.except(&[Kind::Rd]) {
        let out = rmi::rec_aux_count(address).input(&format!("rd {kind:?} {address:#x}"))?;
        ensure!(out[..3] == [0; 3], "results {out:x?}");
    }
    let counts = [
        rmi::rec_aux_count(samples.realm.rd).ok("RMI_REC_AUX_COUNT")?,
        rmi::rec_aux_count(samples.realm.rd).ok("RMI_REC_AUX_COUNT")?,
    ];
    ensure!(
        counts[0][0] <= 16 && counts[0] == counts[1],
        "counts {counts:?}"
    );
    samples.finish()
}
