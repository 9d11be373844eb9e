// SPDX-License-Identifier: BSD-3-Clause
//! Instructions that the Host chooses and a Realm executes.

use crate::check::{Check, ensure_eq};
use crate::rec::{Rec, command};
use rmm_abi::rmi::RecEnter;
use tests_fvp::protocol::{Op, Place, Reply};

/// `nop`.
pub const NOP: u64 = 0xD503_201F;
/// `smc #0`.
pub const SMC: u64 = 0xD400_0003;
/// `ldr x0, [x1]`.
pub const LOAD: u64 = 0xF940_0020;
/// `str x0, [x1]`.
pub const STORE: u64 = 0xF900_0020;
/// `msr daifclr, #8`: debug exceptions are taken.
pub const DEBUG_ON: u64 = 0xD503_48FF;
/// `pacia x0, x1` and `autia x0, x1`.
pub const PACIA: u64 = 0xDAC1_0020;
pub const AUTIA: u64 = 0xDAC1_1020;
/// ESR_EL1 of an instruction that is Undefined.
pub const UNDEFINED: u64 = 1 << 25;

/// The pattern that [`instruct`] leaves in the registers it does not name.
pub const SEED: u64 = 0x11;

/// A system register or System instruction: op0, op1, CRn, CRm, op2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u64, pub u64, pub u64, pub u64, pub u64);

impl Register {
    const fn word(self, read: u64) -> u64 {
        let Self(op0, op1, crn, crm, op2) = self;
        0xD500_0000 | read << 21 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
    }

    /// `mrs x0, REGISTER`.
    pub const fn mrs(self) -> u64 {
        self.word(1)
    }

    /// `msr REGISTER, x0`.
    pub const fn msr(self) -> u64 {
        self.word(0)
    }

    /// What a REC reads.
    pub fn read(self, rec: &Rec) -> Check<u64> {
        let reply = run(rec, self.mrs(), 0, 0)?;
        ensure_eq!(reply.esr, 0, "read of {self:?}: exception");
        Ok(reply.values[0])
    }

    /// A REC writes.
    pub fn write(self, rec: &Rec, value: u64) -> Check {
        let reply = run(rec, self.msr(), value, 0)?;
        ensure_eq!(reply.esr, 0, "write of {self:?}: exception");
        Ok(())
    }

    /// A REC can neither read nor write it.
    pub fn is_undefined(self, rec: &Rec) -> Check {
        self.read_is_undefined(rec)?;
        self.write_is_undefined(rec)
    }

    /// A REC cannot read it.
    pub fn read_is_undefined(self, rec: &Rec) -> Check {
        undefined(rec, self.mrs(), self)
    }

    /// A REC cannot write it.
    pub fn write_is_undefined(self, rec: &Rec) -> Check {
        undefined(rec, self.msr(), self)
    }
}

fn undefined(rec: &Rec, word: u64, register: Register) -> Check {
    let kind = if word >> 21 & 1 != 0 { "read" } else { "write" };
    let reply = run(rec, word, 0x77, 0)?;
    ensure_eq!(reply.esr, UNDEFINED, "{kind} of {register:?}: ESR_EL1");
    ensure_eq!(reply.elr_offset, 0, "{kind} of {register:?}: ELR_EL1");
    ensure_eq!(reply.values[0], 0x77, "{kind} of {register:?}: X0");
    Ok(())
}

/// An entry that has the instruction executed with X0 and X1, and the pattern of [`SEED`] in the
/// other registers.
pub fn instruct(word: u64, x0: u64, x1: u64) -> RecEnter {
    command(Op::Instruct, &[word, x0, x1, SEED])
}

/// As [`instruct`], at the other place.
pub fn instruct_second(word: u64, x0: u64, x1: u64) -> RecEnter {
    command(Op::Instruct, &[word, x0, x1, SEED, Place::Second as u64])
}

/// As [`instruct`], as a single step.
pub fn step(word: u64, x0: u64, x1: u64) -> RecEnter {
    command(Op::Step, &[word, x0, x1, SEED])
}

/// An instruction that does not exit; it may take an exception.
pub fn run(rec: &Rec, word: u64, x0: u64, x1: u64) -> Check<Reply> {
    kept(rec.finish_with(&instruct(word, x0, x1))?)
}

/// The reply to one of the entries above, whose other registers must be as they were.
pub fn kept(reply: Reply) -> Check<Reply> {
    ensure_eq!(reply.values[3], 0, "registers that changed");
    Ok(reply)
}
