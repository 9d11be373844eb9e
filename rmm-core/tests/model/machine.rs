// SPDX-License-Identifier: BSD-3-Clause
//! The machine on which a sequence runs, from boot until everything is destroyed.

use super::calls;
use super::invariants::Watch;
use super::modes::Mode;
use super::sequences::undelegate_all;
use super::state::{Granule, Model};
use super::step::Step;
use super::stepper::{SharedModel, Stepper};
use rmm_core::fake::{Config, Host, audit, features, lpa2_features};
use rmm_core::machine::CpuFeatures;
use rmm_granule::Bank;
use rmm_granule::fake::Pas;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Hardware of the machine for a sequence.
fn hardware(lpa2: bool, both: bool) -> Config {
    let mut with_sve = CpuFeatures {
        sve_vl: Some(3),
        ..lpa2_features()
    };
    with_sve.id.pfr0 |= 1 << 32;
    let plain = CpuFeatures {
        vmid16: false,
        ..features()
    };
    Config {
        dram: vec![
            Bank {
                base: 0x8000_0000,
                size: calls::POOL_END - 0x8000_0000,
            },
            Bank {
                base: calls::BLOCK,
                size: 2 << 20,
            },
            Bank {
                base: calls::HIGH,
                size: 8 * 4096,
            },
        ],
        holes: vec![Bank {
            base: calls::HOLE,
            size: 2 * 4096,
        }],
        reserved: vec![Bank {
            base: 0x8000_0000,
            size: calls::POOL - 0x8000_0000,
        }],
        features: if lpa2 { with_sve } else { plain },
        cpus: 4,
        ..if both {
            Config::v2()
        } else {
            Config::default()
        }
    }
}

/// The state of a machine that has just booted.
fn model(config: &Config) -> Model {
    let mut granules = BTreeMap::new();
    for (banks, pas) in [(&config.dram, Some(Pas::NonSecure)), (&config.holes, None)] {
        for bank in banks {
            for pa in (bank.base..bank.base + bank.size).step_by(4096) {
                granules.insert(pa, Granule::new(pas));
            }
        }
    }
    granules.retain(|pa, _| *pa >= calls::POOL);
    Model {
        mode: if config.interface.major >= 2 {
            Mode::Undecided
        } else {
            Mode::OnlyV1
        },
        tracking_size: 0,
        features: config.features,
        granules,
        realms: BTreeMap::new(),
        recs: BTreeMap::new(),
        trace: VecDeque::new(),
    }
}

/// Runs a sequence on a new machine, and at the end destroys everything. If `both`, the machine speaks RMI
/// 2.0, too.
pub fn run((lpa2, both): (bool, bool), steps: &[Step], print: bool) {
    let config = hardware(lpa2, both);
    let shared = SharedModel::new(model(&config));
    let host = Host::with(config);
    // Memory of the monitor.
    for pa in (0x8000_0000..calls::POOL).step_by(4096) {
        host.move_to(pa, Pas::Root);
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut watch = Watch::default();
        if both && !steps.len().is_multiple_of(4) {
            // Else the first command that prepares the use of Realms chooses.
            Stepper::new(&shared, &host).choose(0x2_0000);
        }
        for (n, step) in steps.iter().enumerate() {
            shared.lock().note(format!("{n}: {:?}", step.kind));
            calls::take(&shared, &host, step, false);
            watch.compare(&shared, &host);
        }
        let _counts = audit(&host);
        let realms: Vec<u64> = shared.lock().realms.keys().copied().collect();
        for rd in realms {
            Stepper::new(&shared, &host).tear_down(rd);
            watch.compare(&shared, &host);
        }
        assert!(
            shared.lock().realms.is_empty(),
            "a Realm cannot be destroyed"
        );
        undelegate_all(&shared, &host);
        watch.compare(&shared, &host);
    }));
    if let Err(panic) = result {
        for line in shared.lock().trace.iter().filter(|_| print) {
            println!("{line}");
        }
        resume_unwind(panic);
    }
}
