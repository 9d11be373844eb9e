// SPDX-License-Identifier: BSD-3-Clause
//! RECs that run until the Host ends that, and how the Host sees that they run.

use crate::arch::{self, PATIENCE};
use crate::check::{Check, ensure, fail};
use crate::dialect;
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Realm};
use crate::rec::{Rec, command};
use crate::{gic, rmi};
use rmm_abi::rmi::{RMI_ERROR_REC, RecEnter, RecExit, RecExitReason};
use tests_fvp::protocol::Op;

/// Ticks after which a REC stops spinning: less than the Host waits.
pub fn limit() -> u64 {
    arch::ticks(PATIENCE) / 2
}

/// A page of the Host that it shares with a Realm.
pub struct SharedPage {
    memory: u64,
    ipa: u64,
    rd: u64,
}

impl SharedPage {
    /// Maps a page where the tests map nothing else.
    pub fn new(realm: &mut Realm) -> Check<Self> {
        let ipa = realm.config.unprotected() + 0x10_0000;
        let memory = realm.share(ipa, ATTRIBUTES)?;
        pool::fill(memory, 1, 0);
        Ok(Self {
            memory,
            ipa,
            rd: realm.rd,
        })
    }

    /// A command to spin until [`Self::release`].
    pub fn spin(&self) -> RecEnter {
        self.spin_at(self.ipa)
    }

    /// A command to spin as long as the word at an IPA is 1.
    pub fn spin_at(&self, ipa: u64) -> RecEnter {
        pool::write(self.memory, 1);
        pool::write(self.memory + 8, 0);
        command(Op::Spin, &[ipa, 1, limit(), self.ipa + 8])
    }

    /// A command to make an RSI call with X1 again and again until [`Self::release`].
    pub fn hammer(&self, function: u64, x1: u64) -> RecEnter {
        pool::write(self.memory, 1);
        pool::write(self.memory + 8, 0);
        command(Op::Hammer, &[function, x1, self.ipa, 1, limit()])
    }

    /// How many calls that has made up to now.
    pub fn calls(&self) -> u64 {
        pool::read(self.memory + 8)
    }

    /// Ends [`Self::spin`] or [`Self::hammer`].
    pub fn release(&self) {
        pool::write(self.memory, 2);
    }

    /// Waits until a REC spins on another CPU: it has read the word.
    pub fn wait_spinning(&self) -> Check {
        let spins = arch::wait_until(PATIENCE, || pool::read(self.memory + 8) == 1);
        ensure!(spins, "the REC does not spin");
        Ok(())
    }

    /// Unmaps it.
    pub fn finish(self) -> Check {
        dialect::spoken().unmap_unprotected(self.rd, self.ipa, 3)?;
        pool::give(self.memory, 1);
        Ok(())
    }
}

/// Waits until a REC has been entered on another CPU.
pub fn wait_running(realm: &Realm, rec: &Rec) -> Check {
    let running = arch::wait_until(PATIENCE, || {
        // No RIPAS change is pending, so the call has no effect.
        rmi::rtt_set_ripas(realm.rd, rec.pa, 0, GRANULE).status == RMI_ERROR_REC
    });
    ensure!(running, "the REC does not run");
    Ok(())
}

/// Enters, and checks that the exit is not due to the Host's own time limit.
pub fn until_irq(rec: &Rec, with: &RecEnter) -> Check<RecExit> {
    gic::start_timer(arch::ticks(PATIENCE));
    let exit = rec.exit_of_entry(with);
    let taken = gic::taken();
    gic::stop_timer();
    let exit = exit?;
    if exit.exit_reason == RecExitReason::Irq as u8 && taken == Some(gic::EL2_TIMER) {
        fail!("the Realm is not interrupted");
    }
    Ok(exit)
}
