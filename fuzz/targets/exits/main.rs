// SPDX-License-Identifier: BSD-3-Clause
//! What a hostile Realm does: any exception with any syndrome and addresses, any call, any EL1
//! state, any tables of stage 1, while a Host of either interface enters with any record. The Host
//! learns nothing from an exit record but what the specification has in it, and the Realm gets the
//! answers of the Host and nothing else.
#![no_main]
#![allow(missing_docs, reason = "the modules of a test program")]

mod calls;
mod host;
mod instructions;
mod system;

#[path = "../shared/realms.rs"]
mod realms;
#[path = "../shared/record.rs"]
mod record;

use arbitrary::Arbitrary;
use host::{HostEntry, Hypervisor};
use libfuzzer_sys::fuzz_target;
use realms::{AnyHost, Parameters};
use rmm_core::fake::{Config, features, full_features};
use rmm_granule::Bank;

/// Most entries of a run.
const ENTRIES: usize = 32;
/// RECs of the Realm.
const RECS: usize = 2;

/// The machine, the Realm, and what happens.
#[derive(Arbitrary, Debug)]
struct Run {
    /// The Host speaks RMI 2.0.
    two: bool,
    /// The CPUs have everything that a Realm may use.
    full: bool,
    /// All RECs are runnable.
    runnable: bool,
    /// The state before and after each command that fails is compared, which takes long.
    strict: u8,
    hash: u8,
    entries: Vec<HostEntry>,
}

fuzz_target!(|run: Run| {
    let config = Config {
        dram: vec![Bank {
            base: 0x8000_0000,
            size: 1 << 20,
        }],
        holes: Vec::new(),
        reserved: Vec::new(),
        cpus: 2,
        features: if run.full {
            full_features()
        } else {
            features()
        },
        ..Config::default()
    };
    let host = AnyHost::new(run.two, config);
    let fuzz = || {
        let guest = host.guest(Parameters {
            recs: RECS,
            runnable: run.runnable,
            hash: run.hash % 2,
            rpv: 0x5E,
            full: run.full,
        });
        let hypervisor = Hypervisor::new(&guest, run.two, run.full, run.hash % 2);
        for entry in run.entries.iter().take(ENTRIES) {
            hypervisor.enter(entry);
        }
    };
    if run.strict.is_multiple_of(8) {
        fuzz();
    } else {
        host.host().leniently(fuzz);
    }
});
