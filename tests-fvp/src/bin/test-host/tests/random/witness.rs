// SPDX-License-Identifier: BSD-3-Clause
//! A Realm beside those of random code, which must not notice them.

use crate::check::{Check, ensure_eq, fail};
use crate::gic;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Step, check_exit, command, describe, enter, exit_record};
use rmm_abi::rmi::RecExitReason;
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout};

/// A quiet Realm that both CPUs enter now and then.
pub struct Witness {
    /// The Realm.
    pub realm: Realm,
    seed: u64,
}

impl Witness {
    /// The others live too briefly for VMIDs in order: these would meet this one.
    pub const VMID: u16 = 1;

    pub fn new() -> Check<Self> {
        let config = Config {
            vmid: Some(Self::VMID),
            ..Config::default()
        };
        let realm = Realm::running(&config, 1, MODE_COMMANDS)?;
        realm.boot()?;
        let witness = Self { realm, seed: 1 };
        witness.set()?;
        Ok(witness)
    }

    /// A command to its end, whatever interrupts it.
    fn values(&self, op: Op, arguments: &[u64]) -> Check<u64> {
        let mut with = command(op, arguments);
        loop {
            match self.realm.recs[0].step(&with)? {
                Step::Done(reply) => return Ok(reply.values[0]),
                Step::Exit(exit) if exit.exit_reason == RecExitReason::Irq as u8 => {
                    check_exit(&exit, &exit_record(RecExitReason::Irq))?;
                    gic::taken();
                    with = enter();
                }
                Step::Exit(exit) => fail!("the other Realm: {}", describe(&exit)),
            }
        }
    }

    /// The end of its memory, behind the stacks in use.
    const WORDS: [u64; 2] = [layout::BASE + layout::SIZE - GRANULE, GRANULE];

    fn set(&self) -> Check {
        let [address, bytes] = Self::WORDS;
        self.values(Op::SysSet, &[self.seed])?;
        self.values(Op::FpSet, &[self.seed])?;
        self.values(Op::MemFill, &[address, bytes, self.seed])
            .map(drop)
    }

    /// Checks what it holds, and has it hold something else.
    pub fn check(&mut self) -> Check {
        let [address, bytes] = Self::WORDS;
        for (op, arguments) in [
            (Op::SysCheck, [self.seed, 0, 0].as_slice()),
            (Op::FpCheck, &[self.seed]),
            (Op::MemCheck, &[address, bytes, self.seed]),
        ] {
            let different = self.values(op, arguments)?;
            ensure_eq!(different, 0, "the other Realm, {op:?}");
        }
        self.seed += 1;
        self.set()
    }
}
