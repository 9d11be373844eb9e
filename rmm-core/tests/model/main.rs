// SPDX-License-Identifier: BSD-3-Clause
//! Random command sequences, held against a model of the specification's states (A2, A5).
//!
//! The model is written from the specification and knows nothing of the monitor's code: Granules,
//! Realms, RECs and RTT entries in plain maps. For each call it tells which statuses the
//! specification permits (where it orders no two conditions, either), and what a success returns
//! and changes; for each instruction of a Realm, what it comes to. After each step the machine is
//! compared with it: words of the granule table, contents, descriptors, measurements, translations.
//!
//! `PROPTEST_CASES` sequences of at most `MODEL_STEPS` steps are run. The seed is printed, and
//! taken from `MODEL_SEED` if there is one; a sequence that fails is made as short as it gets and
//! kept in `regressions.txt`.
#![allow(clippy::cast_possible_truncation, reason = "64-bit build machine")]

mod commands;
mod conditions;
mod drive;
mod entry;
mod guest;
mod invariants;
mod ops;
mod program;
mod rtt_commands;
mod run;
mod scenes;
mod state;
mod steps;
mod tables;
mod threads;

use conditions::{Coverage, take_coverage};
use drive::{Hand, World};
use invariants::Watch;
use ops::Op;
use proptest::test_runner::{
    Config as Runs, FileFailurePersistence, RngAlgorithm, TestError, TestRng, TestRunner,
};
use rmm_core::fake::{Config, Host, audit, features, id_registers};
use rmm_core::machine::{CpuFeatures, IdRegisters};
use rmm_granule::Bank;
use rmm_granule::fake::Pas;
use state::{Granule, Model};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;
use std::time::{Instant, SystemTime};

/// Steps of a sequence, at most.
const STEPS: usize = 250;
/// Sequences.
const CASES: u32 = 30;

/// The machines that sequences run on.
fn machine(lpa2: bool) -> Config {
    let base = features();
    let rich = CpuFeatures {
        pa_bits: 52,
        lpa2: true,
        sve_vl: Some(3),
        id: IdRegisters {
            pfr0: base.id.pfr0 | 1 << 32,
            ..id_registers()
        },
        ..base
    };
    let plain = CpuFeatures {
        vmid16: false,
        ..base
    };
    Config {
        dram: vec![
            Bank {
                base: 0x8000_0000,
                size: steps::POOL_END - 0x8000_0000,
            },
            Bank {
                base: steps::BLOCK,
                size: 2 << 20,
            },
            Bank {
                base: steps::HIGH,
                size: 8 * 4096,
            },
        ],
        holes: vec![Bank {
            base: steps::HOLE,
            size: 2 * 4096,
        }],
        reserved: vec![Bank {
            base: 0x8000_0000,
            size: steps::POOL - 0x8000_0000,
        }],
        features: if lpa2 { rich } else { plain },
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
    granules.retain(|pa, _| *pa >= steps::POOL);
    Model {
        features: config.features,
        granules,
        realms: BTreeMap::new(),
        recs: BTreeMap::new(),
        trace: VecDeque::new(),
    }
}

/// Runs a sequence on a machine of its own, and gives everything back at the end.
fn run(lpa2: bool, ops: &[Op], print: bool) {
    let config = machine(lpa2);
    let world = World::new(model(&config));
    let host = Host::with(config);
    // The monitor's own memory.
    for pa in (0x8000_0000..steps::POOL).step_by(4096) {
        host.move_to(pa, Pas::Root);
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut watch = Watch::default();
        for (n, op) in ops.iter().enumerate() {
            world.lock().note(format!("{n}: {:?}", op.what));
            steps::take(&world, &host, op, false);
            watch.look(&world, &host);
        }
        let _counts = audit(&host);
        let realms: Vec<u64> = world.lock().realms.keys().copied().collect();
        for rd in realms {
            Hand::new(&world, &host).tear_down(rd);
            watch.look(&world, &host);
        }
        assert!(
            world.lock().realms.is_empty(),
            "a Realm cannot be destroyed"
        );
        steps::undelegate_all(&world, &host);
        watch.look(&world, &host);
    }));
    if let Err(panic) = result {
        for line in world.lock().trace.iter().filter(|_| print) {
            println!("{line}");
        }
        resume_unwind(panic);
    }
}

thread_local! {
    /// This thread looks for the shortest sequence that fails: what panics say is not wanted.
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

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The seed of a run, printed.
fn seed() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let time = time.map_or(0, |time| time.as_nanos() as u64);
    let seed = number("MODEL_SEED").unwrap_or(time);
    println!("MODEL_SEED={seed}");
    seed
}

// Conformance: RMI calls unused_outputs, failure_changes_nothing, deterministic
// Conformance: Invariants one_role, counts, own_memory, no_stale, wiped, quiet
// Conformance: Bugs others fixed lock_on_error
#[test]
fn random_commands_do_what_the_specification_says() {
    quiet_while_searching();
    let steps = number("MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    let cases = number("PROPTEST_CASES").map_or(CASES, |cases| cases as u32);
    let kept = "tests/model/regressions.txt";
    let mut runner = TestRunner::new_with_rng(
        Runs {
            cases,
            max_shrink_time: number("MODEL_SHRINK").map_or(120_000, |ms| ms as u32),
            max_shrink_iters: 20_000,
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
            ..Runs::default()
        },
        TestRng::from_seed(RngAlgorithm::ChaCha, &{
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed().to_le_bytes());
            bytes
        }),
    );
    let start = Instant::now();
    let sum = Cell::new(0);
    let _none = take_coverage();
    IS_SEARCHING.set(true);
    let strategy = (proptest::bool::ANY, ops::ops(steps));
    let result = runner.run(&strategy, |(lpa2, ops)| {
        run(lpa2, &ops, false);
        sum.set(sum.get() + ops.len());
        Ok(())
    });
    IS_SEARCHING.set(false);
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, (lpa2, ops))) => {
            println!("the shortest sequence, LPA2 {lpa2}:");
            let again = catch_unwind(|| run(lpa2, &ops, true));
            assert!(again.is_err(), "{why}, but not the second time");
            panic!("{why}");
        }
        Err(error) => panic!("{error}"),
    }
    report(&take_coverage(), sum.get(), start);
}

/// How many calls came to what: successes, and failures by the conditions that held.
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
