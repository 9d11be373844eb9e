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
//! | `conditions`, `commands`, `rtt_commands`, `rec_enter` | RMI commands, of both dialects where they have one page |
//! | `modes`, `realms_2`, `ranges` | the choice of the dialect, and what RMI 2.0 has beside that |
//! | `instructions`, `realm_calls` | instructions of a Realm |
//! | `machine` | the machine, and a sequence from boot until everything is destroyed |
//! | `invariants` | the comparison with the machine |
//! | `step`, `stepper`, `calls`, `calls_2`, `sequences`, `runs` | random steps of the Host |
//! | `program` | the program of each REC |
//!
//! Each test runs `PROPTEST_CASES` sequences of at most `MODEL_STEPS` steps. It prints its seed,
//! which comes from `MODEL_SEED` if that is set. A sequence that fails is made as short as possible
//! and kept in `regressions.txt`.
#![allow(clippy::cast_possible_truncation, reason = "64-bit build machine")]

mod calls;
mod calls_2;
mod commands;
mod conditions;
mod instructions;
mod invariants;
mod machine;
mod modes;
mod program;
mod ranges;
mod realm_calls;
mod realms_2;
mod rec_enter;
mod rtt_commands;
mod runs;
mod sequences;
mod state;
mod step;
mod stepper;
mod tables;

use conditions::{Coverage, take_coverage};

use machine::run;
use proptest::strategy::Just;
use proptest::test_runner::{
    Config as Runs, FileFailurePersistence, RngAlgorithm, TestError, TestRng, TestRunner,
};
use rmm_core::fake::{environment_number, environment_seed};
use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::Once;
use std::time::Instant;

/// Most steps of a sequence.
const STEPS: usize = 250;
/// Number of sequences.
const CASES: u32 = 30;

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
    random(false);
}

// Conformance: 2.0 RMI calls failure_changes_nothing, registers, no_incomplete, progress
// Conformance: 2.0 dialects version, choice, no_choice, first_command, fixed, again
#[test]
fn random_commands_of_both_dialects() {
    random(true);
}

fn random(both: bool) {
    quiet_while_searching();
    let most = environment_number("MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    let cases = environment_number("PROPTEST_CASES").map_or(CASES, |cases| cases as u32);
    let kept = if both {
        "tests/model/regressions-2.0.txt"
    } else {
        "tests/model/regressions.txt"
    };
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
    let machine = (proptest::bool::ANY, Just(both));
    let result = runner.run(&(machine, step::steps(most)), |(machine, steps)| {
        run(machine, &steps, false);
        sum.set(sum.get() + steps.len());
        Ok(())
    });
    IS_SEARCHING.set(false);
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, (machine, steps))) => {
            println!("the shortest sequence, LPA2 and both dialects {machine:?}:");
            let again = catch_unwind(|| run(machine, &steps, true));
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
