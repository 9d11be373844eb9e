// SPDX-License-Identifier: BSD-3-Clause
//! Random sequences of commands, compared with a model of the states in the specification (A2, A5).
//!
//! The model is written from the specification and uses no code of the monitor: granules, Realms,
//! RECs and RTT entries in plain maps. For each call, it says which statuses the specification
//! permits (both, where it has no order between two conditions), and what a success returns and
//! changes. For each instruction of a Realm, it says the outcome. After each step the machine is
//! compared with the model: granule table, contents, descriptors, measurements, translations.
//!
//! | modules | hold |
//! |---|---|
//! | `state`, `tables` | the state |
//! | `conditions`, `commands`, `rtt_commands`, `rec_enter` | RMI commands |
//! | `instructions`, `realm_calls` | instructions of a Realm |
//! | `invariants` | the comparison with the machine |
//! | `step`, `stepper`, `calls`, `sequences`, `runs` | random steps of the Host |
//! | `program` | the program of each REC |
//!
//! The test runs `PROPTEST_CASES` sequences of at most `MODEL_STEPS` steps. It prints its seed,
//! which comes from `MODEL_SEED` if that is set. A sequence that fails is made as short as possible
//! and kept in `regressions.txt`.
#![allow(clippy::cast_possible_truncation, reason = "64-bit build machine")]

mod calls;
mod commands;
mod conditions;
mod instructions;
mod invariants;
mod program;
mod realm_calls;
mod rec_enter;
mod rtt_commands;
mod runs;
mod sequences;
mod state;
mod step;
mod stepper;
mod tables;

use conditions::{Coverage, take_coverage};

use invariants::Watch;
use proptest::test_runner::{
    Config as Runs, FileFailurePersistence, RngAlgorithm, TestError, TestRng, TestRunner,
};
use rmm_core::fake::{
    Config, Host, audit, environment_number, environment_seed, features, lpa2_features,
};
use rmm_core::machine::CpuFeatures;
use rmm_granule::Bank;
use rmm_granule::fake::Pas;
use state::{Granule, Model};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;
use std::time::Instant;
use step::Step;
use stepper::{SharedModel, Stepper};

/// Most steps of a sequence.
const STEPS: usize = 250;
/// Number of sequences.
const CASES: u32 = 30;

/// Hardware of the machine for a sequence.
fn machine(lpa2: bool) -> Config {
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
        attestation: None,
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
        features: config.features,
        granules,
        realms: BTreeMap::new(),
        recs: BTreeMap::new(),
        trace: VecDeque::new(),
    }
}

/// Runs a sequence on a new machine, and at the end destroys everything.
fn run(lpa2: bool, steps: &[Step], print: bool) {
    let config = machine(lpa2);
    let shared = SharedModel::new(model(&config));
    let host = Host::with(config);
    // Memory of the monitor.
    for pa in (0x8000_0000..calls::POOL).step_by(4096) {
        host.move_to(pa, Pas::Root);
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut watch = Watch::default();
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
        calls::undelegate_all(&shared, &host);
        watch.compare(&shared, &host);
    }));
    if let Err(panic) = result {
        for line in shared.lock().trace.iter().filter(|_| print) {
            println!("{line}");
        }
        resume_unwind(panic);
    }
}

thread_local! {
    /// Whether this thread searches for the shortest sequence that fails, without messages of
    /// panics.
    static IS_SEARCHING: Cell<bool> = const { Cell::new(false) };
}

fn quiet_while_searching() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_SEARCHING.get() {
                hook(info);
            }
        }));
    });
}

// Conformance: RMI calls unused_outputs, failure_changes_nothing, deterministic
// Conformance: Invariants one_role, counts, own_memory, no_stale, wiped, quiet
// Conformance: Bugs others fixed lock_on_error
#[test]
fn random_commands() {
    quiet_while_searching();
    let most = environment_number("MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    let cases = environment_number("PROPTEST_CASES").map_or(CASES, |cases| cases as u32);
    let kept = "tests/model/regressions.txt";
    let mut runner = TestRunner::new_with_rng(
        Runs {
            cases,
            max_shrink_time: environment_number("MODEL_SHRINK").map_or(120_000, |ms| ms as u32),
            max_shrink_iters: 20_000,
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
            ..Runs::default()
        },
        TestRng::from_seed(RngAlgorithm::ChaCha, &{
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&environment_seed("MODEL_SEED").to_le_bytes());
            bytes
        }),
    );
    let start = Instant::now();
    let sum = Cell::new(0);
    let _none = take_coverage();
    IS_SEARCHING.set(true);
    let strategy = (proptest::bool::ANY, step::steps(most));
    let result = runner.run(&strategy, |(lpa2, steps)| {
        run(lpa2, &steps, false);
        sum.set(sum.get() + steps.len());
        Ok(())
    });
    IS_SEARCHING.set(false);
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, (lpa2, steps))) => {
            println!("the shortest sequence, LPA2 {lpa2}:");
            let again = catch_unwind(|| run(lpa2, &steps, true));
            assert!(again.is_err(), "{why}, but not when run again");
            panic!("{why}");
        }
        Err(error) => panic!("{error}"),
    }
    report(&take_coverage(), sum.get(), start);
}

/// Prints how often each command succeeded, and how often it failed by which conditions.
fn report(coverage: &Coverage, steps: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let calls: u64 = coverage.values().sum();
    println!("{steps} steps, {calls} calls in {seconds:.1} s");
    let mut last = "";
    for ((command, labels), count) in coverage {
        if *command != last {
            print!("\n{command}:");
            last = *command;
        }
        match labels.as_slice() {
            [] => print!(" {count} succeed;"),
            labels => print!(" {} {count};", labels.join("+")),
        }
    }
    println!();
}
