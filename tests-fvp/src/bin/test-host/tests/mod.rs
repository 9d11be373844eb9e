// SPDX-License-Identifier: BSD-3-Clause
//! The tests. Each leaves monitor and Host as it found them.

mod both;
mod context;
mod crowd;
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

/// The dialects in which a group has tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialects {
    /// RMI 1.0; most tests mean the same in RMI 2.0, and run there again.
    Both,
    /// RMI 1.0 alone.
    Only1,
}

/// Every test, by group.
const GROUPS: &[(Dialects, &[Test])] = &[
    (Dialects::Only1, version::TESTS),
    (Dialects::Only1, granule::TESTS),
    (Dialects::Only1, realm::TESTS),
    (Dialects::Only1, realm::create::TESTS),
    (Dialects::Only1, realm::destroy::TESTS),
    (Dialects::Both, realm::thousand::TESTS),
    (Dialects::Both, rtt::create::TESTS),
    (Dialects::Both, rtt::destroy::TESTS),
    (Dialects::Both, rtt::read_entry::TESTS),
    (Dialects::Only1, rtt::init_ripas::TESTS),
    (Dialects::Both, rtt::set_ripas::TESTS),
    (Dialects::Only1, rtt::fold::TESTS),
    (Dialects::Only1, rtt::unprotected::TESTS),
    (Dialects::Both, data::TESTS),
    (Dialects::Only1, rec::TESTS),
    (Dialects::Only1, rec::create::TESTS),
    (Dialects::Both, rec::destroy::TESTS),
    (Dialects::Both, rec::enter::TESTS),
    (Dialects::Both, exit::TESTS),
    (Dialects::Both, mmio::TESTS),
    (Dialects::Both, shared::TESTS),
    (Dialects::Both, race::stage1_table::TESTS),
    (Dialects::Both, irq::TESTS),
    (Dialects::Both, timer::TESTS),
    (Dialects::Both, vgic::TESTS),
    (Dialects::Both, rsi::TESTS),
    (Dialects::Both, rsi::realm_config::TESTS),
    (Dialects::Both, rsi::host_call::TESTS),
    (Dialects::Both, rsi::measurement::TESTS),
    (Dialects::Only1, hash::TESTS),
    (Dialects::Only1, hash::assembly::TESTS),
    (Dialects::Both, rsi::token::TESTS),
    (Dialects::Both, rsi::ipa_state::TESTS),
    (Dialects::Both, psci::TESTS),
    (Dialects::Both, identity::TESTS),
    (Dialects::Both, hidden::TESTS),
    (Dialects::Both, leak::TESTS),
    (Dialects::Both, context::TESTS),
    (Dialects::Both, debug::TESTS),
    (Dialects::Both, smp::TESTS),
    (Dialects::Both, migrate::TESTS),
    (Dialects::Both, hotplug::TESTS),
    (Dialects::Both, stage1::TESTS),
    (Dialects::Both, sweep::TESTS),
    (Dialects::Only1, features::TESTS),
    (Dialects::Only1, race::TESTS),
    (Dialects::Only1, crowd::TESTS),
    (Dialects::Only1, random::TESTS),
    (Dialects::Only1, random::realms::TESTS),
    (Dialects::Only1, demo::TESTS),
    (Dialects::Only1, isolation::TESTS),
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
    for test in GROUPS.iter().flat_map(|(_, tests)| *tests) {
        results.test(parameters, "", test, Dialect::V1);
    }
    if dialect::offers_v2() {
        for test in v2::GROUPS.iter().flat_map(|tests| *tests) {
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
