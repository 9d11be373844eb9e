// SPDX-License-Identifier: BSD-3-Clause
//! Sequences of a Host's steps, compared with the model of the specification's states: RMI commands
//! of both dialects, of several Realms, their RECs and instructions, also while a REC of another CPU runs.
#![no_main]
#![allow(missing_docs, reason = "the modules of a test program")]
#![allow(dead_code, reason = "what only proptest needs")]
#![allow(clippy::cast_possible_truncation, reason = "64-bit build machine")]

#[path = "../../rmm-core/tests/model/calls.rs"]
mod calls;
#[path = "../../rmm-core/tests/model/calls_2.rs"]
mod calls_2;
#[path = "../../rmm-core/tests/model/commands.rs"]
mod commands;
#[path = "../../rmm-core/tests/model/conditions.rs"]
mod conditions;
#[path = "../../rmm-core/tests/model/instructions.rs"]
mod instructions;
#[path = "../../rmm-core/tests/model/invariants.rs"]
mod invariants;
#[path = "../../rmm-core/tests/model/machine.rs"]
mod machine;
#[path = "../../rmm-core/tests/model/modes.rs"]
mod modes;
#[path = "../../rmm-core/tests/model/program.rs"]
mod program;
#[path = "../../rmm-core/tests/model/ranges.rs"]
mod ranges;
#[path = "../../rmm-core/tests/model/realm_calls.rs"]
mod realm_calls;
#[path = "../../rmm-core/tests/model/realms_2.rs"]
mod realms_2;
#[path = "../../rmm-core/tests/model/rec_enter.rs"]
mod rec_enter;
#[path = "../../rmm-core/tests/model/rtt_commands.rs"]
mod rtt_commands;
#[path = "../../rmm-core/tests/model/runs.rs"]
mod runs;
#[path = "../../rmm-core/tests/model/sequences.rs"]
mod sequences;
#[path = "../../rmm-core/tests/model/state.rs"]
mod state;
#[path = "../../rmm-core/tests/model/step.rs"]
mod step;
#[path = "../../rmm-core/tests/model/stepper.rs"]
mod stepper;
#[path = "../../rmm-core/tests/model/tables.rs"]
mod tables;

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use step::{Step, WEIGHTS};

/// Most steps of a sequence: more take long, and find less per second.
const STEPS: usize = 60;

/// The features of the CPUs, whether the machine speaks RMI 2.0, too, and the steps.
#[derive(Debug)]
struct Sequence {
    lpa2: bool,
    both: bool,
    steps: Vec<Step>,
}

impl<'a> Arbitrary<'a> for Sequence {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let (lpa2, both) = bytes.arbitrary()?;
        let mut steps = Vec::new();
        while !bytes.is_empty() && steps.len() < STEPS {
            steps.push(one(bytes)?);
        }
        Ok(Self { lpa2, both, steps })
    }
}

fn one(bytes: &mut Unstructured<'_>) -> Result<Step> {
    let (_, kind) = WEIGHTS[bytes.choose_index(WEIGHTS.len())?];
    let numbers = bytes.arbitrary()?;
    let twist = if bytes.ratio(1, 4)? {
        Some(bytes.arbitrary()?)
    } else {
        None
    };
    Ok(Step {
        kind,
        numbers,
        twist,
    })
}

fuzz_target!(|sequence: Sequence| {
    machine::run((sequence.lpa2, sequence.both), &sequence.steps, true);
});
