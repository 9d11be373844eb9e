// SPDX-License-Identifier: BSD-3-Clause
//! The tests. Each leaves monitor and Host as it found them.

mod both;
mod context;
mod data;
mod debug;
mod exit;
mod features;
mod granule;
pub mod hash;
mod hidden;
mod hotplug;
mod identity;
mod instruct;
mod irq;
mod leak;
mod migrate;
mod mmio;
pub mod needs;
mod psci;
mod race;
mod random;
mod realm;
mod rec;
mod rsi;
mod rtt;
mod samples;
mod shared;
mod smp;
mod spin;
mod stage1;
mod sweep;
mod timer;
mod v2;
mod version;
mod vgic;

use crate::check::{Check, Stop, ensure_eq, skip};
use crate::console::line;
use crate::dialect::{self, Dialect};
use crate::params::Parameters;
use crate::{demo, isolation, pool, rmi};
use alloc::format;

/// A test: its name, `group.what`, and what it does.
pub type Test = (&'static str, fn() -> Check);

/// Every test, by group.
const GROUPS: &[&[Test]] = &[
    version::TESTS,
    granule::TESTS,
    realm::TESTS,
    realm::create::TESTS,
    realm::destroy::TESTS,
    realm::thousand::TESTS,
    rtt::create::TESTS,
    rtt::destroy::TESTS,
    rtt::read_entry::TESTS,
    rtt::init_ripas::TESTS,
    rtt::set_ripas::TESTS,
    rtt::fold::TESTS,
    rtt::unprotected::TESTS,
    data::TESTS,
    rec::TESTS,
    rec::create::TESTS,
    rec::destroy::TESTS,
    rec::enter::TESTS,
    exit::TESTS,
    mmio::TESTS,
    shared::TESTS,
    race::stage1_table::TESTS,
    irq::TESTS,
    timer::TESTS,
    vgic::TESTS,
    rsi::TESTS,
    rsi::realm_config::TESTS,
    rsi::host_call::TESTS,
    rsi::measurement::TESTS,
    hash::TESTS,
    hash::assembly::TESTS,
    rsi::token::TESTS,
    rsi::ipa_state::TESTS,
    psci::TESTS,
    identity::TESTS,
    hidden::TESTS,
    leak::TESTS,
    context::TESTS,
    debug::TESTS,
    smp::TESTS,
    migrate::TESTS,
    hotplug::TESTS,
    stage1::TESTS,
    sweep::TESTS,
    features::TESTS,
    race::TESTS,
    random::TESTS,
    random::realms::TESTS,
    demo::TESTS,
    isolation::TESTS,
];

/// The one test that is left of those of RMI 2.0 where EL3 cannot carry it.
const OFFERED: &[Test] = &[("v2.offered", dialect::needs_v2)];

/// What became of the tests.
#[derive(Default)]
struct Results {
    /// Whether tests are run: those behind the one that the parameters name.
    wanted: bool,
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Results {
    /// Runs a test if the parameters ask for it. Its name is that of the table behind `prefix`.
    fn test(&mut self, parameters: &Parameters, prefix: &str, test: &Test, dialect: Dialect) {
        let name = format!("{prefix}{}", test.0);
        if self.wanted && parameters.only.is_none_or(|text| name.contains(text)) {
            line!("start {name}");
            let outcome = match dialect {
                Dialect::V1 => run(test.1),
                Dialect::V2 => run(|| dialect::during(Dialect::V2, test.1)),
            };
            match outcome {
                Ok(()) => {
                    self.passed += 1;
                    line!("{name} ... ok");
                }
                Err(Stop::Skipped(why)) => {
                    self.skipped += 1;
                    line!("{name} ... skipped: {why}");
                }
                Err(Stop::Failed(why)) => {
                    self.failed += 1;
                    line!("{name} ... FAILED: {why}");
                }
            }
        }
        self.wanted |= parameters.after == Some(&name);
    }
}

/// Runs the tests that the parameters ask for.
pub fn run_all(parameters: &Parameters) {
    let mut results = Results {
        wanted: parameters.after.is_none(),
        ..Results::default()
    };
    for test in GROUPS.iter().copied().flatten() {
        results.test(parameters, "", test, Dialect::V1);
    }
    if dialect::offers_v2() {
        for test in v2::TESTS {
            results.test(parameters, "", test, Dialect::V1);
        }
        for test in both::tests() {
            results.test(parameters, "v2.", test, Dialect::V2);
        }
    } else {
        for test in OFFERED {
            results.test(parameters, "", test, Dialect::V1);
        }
    }
    let Results {
        passed,
        failed,
        skipped,
        ..
    } = results;
    line!("host: {passed} passed, {failed} failed, {skipped} skipped");
}

/// One test, and what has to hold after each of them.
fn run(test: impl FnOnce() -> Check) -> Check {
    let in_use = pool::in_use();
    let outcome = test();
    let left_out = needs::left_out();
    if matches!(outcome, Err(Stop::Failed(_))) {
        return outcome;
    }
    rmi::check_convention()?;
    ensure_eq!(
        pool::in_use(),
        in_use,
        "granules not given back by the test"
    );
    outcome?;
    match left_out {
        Some(what) => skip!("in part: {what}"),
        None => Ok(()),
    }
}
