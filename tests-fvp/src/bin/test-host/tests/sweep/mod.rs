// SPDX-License-Identifier: BSD-3-Clause
//! Every encoding of MRS, MSR, SYS and SYSL, executed by a Realm that has nothing optional.
//!
//! What is not in the allow-list ([`allowed`]) must be Undefined at EL1. The usual tests take a
//! sample, which the seed chooses, and all that is allowed; the long ones take every encoding.

mod allowed;

use super::Test;
use super::instruct::{Register, UNDEFINED, instruct, kept};
use super::rsi::{PAGE, with_pages};
use crate::arch::mrs;
use crate::check::{Check, ensure, fail};
use crate::console::line;
use crate::params;
use crate::realm::Config;
use crate::rec::{Rec, Step, describe, enter};
use allowed::Access;
use rmm_abi::rmi::RecExitReason;
use tests_fvp::protocol::pattern;

pub const TESTS: &[Test] = &[
    ("sweep.read", read),
    ("sweep.write", write),
    ("sweep.system", system),
];

/// The share of a sample: one encoding of so many.
const SAMPLE: u64 = 16;
/// X0 of an instruction that reads.
const MARK: u64 = 0x77;
/// CPACR_EL1: the Realm traps nothing to itself.
const CPACR: Register = Register(3, 0, 1, 0, 2);
const CPACR_OPEN: u64 = 0x333_0000;
/// Exception class of a trapped access.
const TRAPPED: u64 = 0x18;

/// The outcome of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// An undefined instruction.
    Undefined,
    /// Executed; what X0 holds then.
    Done(u64),
    /// An exit to the Host, as for a trapped access.
    Exit,
}

/// Encodings by outcome.
#[derive(Default)]
struct Count {
    undefined: u64,
    done: u64,
    exits: u64,
}

/// An encoding of op0, op1, CRn, CRm and op2 in bits 15 to 0.
fn register(n: u64) -> Register {
    Register(n >> 14, n >> 11 & 7, n >> 7 & 0xF, n >> 3 & 0xF, n & 7)
}

/// All encodings with an op0, or a sample of them.
fn encodings(op0: u64) -> impl Iterator<Item = Register> {
    let parameters = params::get();
    let chosen = move |n: &u64| {
        parameters.long
            || pattern(parameters.seed, *n) >> 1 & (SAMPLE - 1) == 0
            || allowed::access(register(*n)).is_some()
    };
    (op0 << 14..(op0 + 1) << 14).filter(chosen).map(register)
}

/// Whether the CPU reports reads of ID registers that do not exist by a class of their own:
/// FEAT_IDST.
fn is_id_space(register: Register) -> bool {
    let Register(op0, op1, crn, crm, _) = register;
    let idst = mrs!("s3_0_c0_c7_2") >> 36 & 0xF != 0;
    idst && op0 == 3 && [0, 1, 3].contains(&op1) && crn == 0 && crm < 8
}

/// Executes one instruction with X0.
fn outcome(rec: &Rec, register: Register, word: u64, x0: u64) -> Check<Outcome> {
    let reply = match rec.step(&instruct(word, x0, 0))? {
        Step::Done(reply) => reply,
        Step::Exit(exit) => {
            let trapped =
                exit.exit_reason == RecExitReason::Sync as u8 && exit.esr >> 26 == TRAPPED;
            ensure!(trapped, "{register:?}: {}", describe(&exit));
            rec.finish_with(&enter())?;
            return Ok(Outcome::Exit);
        }
    };
    let reply = kept(reply)?;
    let class = reply.esr >> 26;
    Ok(if reply.esr == 0 {
        Outcome::Done(reply.values[0])
    } else if reply.esr == UNDEFINED || class == TRAPPED && is_id_space(register) {
        ensure!(
            reply.elr_offset == 0 && reply.values[0] == x0,
            "{register:?}: X0 or the address of the exception: {reply:x?}"
        );
        Outcome::Undefined
    } else {
        fail!("{register:?}: ESR_EL1 {:#x}", reply.esr);
    })
}

/// Compares an outcome with the allow-list.
fn judge(register: Register, outcome: Outcome, may: bool, exits: bool, count: &mut Count) -> Check {
    match outcome {
        Outcome::Undefined => count.undefined += 1,
        Outcome::Done(_) if may => count.done += 1,
        Outcome::Exit if exits => count.exits += 1,
        other => fail!("{register:?} is not in the allow-list: {other:x?}"),
    }
    Ok(())
}

/// MRS.
// Conformance: Exceptions and accesses that do not exit hidden, implementation_defined, sve, pmu
fn read() -> Check {
    let realm = with_pages(1, &Config::default())?;
    let rec = &realm.recs[0];
    CPACR.write(rec, CPACR_OPEN)?;
    let mut count = Count::default();
    for register in (2..4).flat_map(encodings) {
        let may = allowed::access(register).is_some_and(Access::reads);
        let outcome = outcome(rec, register, register.mrs(), MARK)?;
        judge(register, outcome, may, false, &mut count)?;
    }
    ensure!(
        count.done > 100,
        "only {} registers can be read",
        count.done
    );
    report("MRS", &count);
    realm.finish()
}

/// MSR of what the register holds, or of 0.
// Conformance: Exceptions and accesses that do not exit hidden, implementation_defined, sve, pmu
fn write() -> Check {
    let realm = with_pages(1, &Config::default())?;
    let rec = &realm.recs[0];
    CPACR.write(rec, CPACR_OPEN)?;
    let mut count = Count::default();
    for register in (2..4).flat_map(encodings) {
        let access = allowed::access(register);
        let mut value = 0;
        if access.is_some_and(Access::reads)
            && let Outcome::Done(held) = outcome(rec, register, register.mrs(), MARK)?
        {
            value = held;
        }
        let outcome = outcome(rec, register, register.msr(), value)?;
        let may = access.is_some_and(Access::writes);
        let exits = access.is_some_and(Access::exits);
        judge(register, outcome, may, exits, &mut count)?;
    }
    ensure!(
        count.done > 50,
        "only {} registers can be written",
        count.done
    );
    ensure!(count.exits > 0, "no write of an SGI register exits");
    report("MSR", &count);
    realm.finish()
}

/// SYS and SYSL, with the address of a page of the Realm.
// Conformance: Exceptions and accesses that do not exit implementation_defined
fn system() -> Check {
    let realm = with_pages(1, &Config::default())?;
    let rec = &realm.recs[0];
    let mut count = Count::default();
    for register in encodings(1) {
        let may = allowed::access(register).is_some_and(Access::writes);
        let outcome = outcome(rec, register, register.msr(), PAGE)?;
        judge(register, outcome, may, false, &mut count)?;
    }
    ensure!(count.done > 50, "only {} instructions exist", count.done);
    report("SYS", &count);
    let mut count = Count::default();
    for register in encodings(1) {
        let outcome = outcome(rec, register, register.mrs(), PAGE)?;
        judge(register, outcome, false, false, &mut count)?;
    }
    report("SYSL", &count);
    realm.finish()
}

fn report(what: &str, count: &Count) {
    let Count {
        undefined,
        done,
        exits,
    } = count;
    line!("host: {what}: {done} executed, {exits} exits, {undefined} undefined");
}
