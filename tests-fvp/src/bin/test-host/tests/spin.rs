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

    /// A command to make an RSI call with X1 again and again until [`Self::release`]. Each REC that does so
    /// counts its calls in a place of its own.
    pub fn hammer(&self, place: usize, function: u64, x1: u64) -> RecEnter {
        let offset = Self::offset(place);
        pool::write(self.memory + offset, 1);
        pool::write(self.memory + offset + 8, 0);
        // On a busy machine what the Host measures meanwhile takes longer than `limit`.
        let end = 20 * limit();
        command(Op::Hammer, &[function, x1, self.ipa + offset, 1, end])
    }

    /// How many calls that of a place has made up to now.
    pub fn calls(&self, place: usize) -> u64 {
        pool::read(self.memory + Self::offset(place) + 8)
    }

    /// Ends [`Self::spin`], and every [`Self::hammer`].
    pub fn release(&self) {
        for place in 0..Self::PLACES {
            pool::write(self.memory + Self::offset(place), 2);
        }
    }

    /// How many RECs can count their calls.
    pub const PLACES: usize = 8;

    /// Each place has a cache line of its own.
    const fn offset(place: usize) -> u64 {
        64 * place as u64
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
