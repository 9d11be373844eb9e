// SPDX-License-Identifier: BSD-3-Clause
//! Realms, a file for each command.

pub mod create;
pub mod destroy;
pub mod thousand;

use crate::check::Check;
use crate::pool::{self};
use crate::realm::Config;
use crate::rmi::{self};
use crate::tests::Test;
use crate::tests::samples::{Kind, Samples};
use alloc::format;
use create::Bench;

pub const TESTS: &[Test] = &[("realm.life", life), ("realm.activate", activate)];

/// Creates, activates and destroys, with the same granules again and again.
// Conformance: RMI_REALM_CREATE granules, realm_state
// Conformance: RMI_REALM_DESTROY granules, any_state
fn life() -> Check {
    let bench = Bench::new(1)?;
    for activate in [false, true, false] {
        let params = Config::default().params(bench.rtt);
        bench.create(&params).ok("RMI_REALM_CREATE")?;
        pool::check_protected(bench.rd)?;
        pool::check_protected(bench.rtt)?;
        if activate {
            rmi::realm_activate(bench.rd).ok("RMI_REALM_ACTIVATE")?;
        }
        rmi::realm_destroy(bench.rd).ok("RMI_REALM_DESTROY")?;
        rmi::realm_destroy(bench.rd).input("second RMI_REALM_DESTROY")?;
        rmi::realm_activate(bench.rd).input("RMI_REALM_ACTIVATE of no Realm")?;
    }
    bench.finish()
}

// Conformance: RMI_REALM_ACTIVATE rd_align, rd_bound, rd_state, rd<realm_state, realm_state
// Conformance: RMI_REALM_ACTIVATE active
fn activate() -> Check {
    let samples = Samples::new()?;
    for (kind, address) in samples.except(&[Kind::Rd]) {
        rmi::realm_activate(address).input(&format!("rd {kind:?} {address:#x}"))?;
    }
    samples.realm.activate()?;
    rmi::realm_activate(samples.realm.rd).realm("second RMI_REALM_ACTIVATE")?;
    samples.finish()
}
