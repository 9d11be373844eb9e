// SPDX-License-Identifier: BSD-3-Clause
//! Random calls: the monitor answers every one, and its objects stay as they are. And Realms of random code.

mod code;
mod counts;
mod hammer;
mod places;
pub mod realms;
mod witness;

use super::Test;
use super::samples::{Kind, Samples};
use crate::check::{Check, ensure};
use crate::pool::{self, GRANULE};
use crate::{params, rmi};
use alloc::vec::Vec;
use rmm_abi::rmi::{RMI_SUCCESS, fid, status_code};
use tests_fvp::protocol::{layout, pattern};

pub const TESTS: &[Test] = &[("random.calls", calls), ("random.registers", registers)];

/// A source of numbers.
struct Dice {
    seed: u64,
    count: u64,
}

impl Dice {
    fn new() -> Self {
        Self {
            seed: params::get().seed,
            count: 0,
        }
    }

    /// The dice of a part, one of a few, of what a seed makes.
    fn of(seed: u64, part: u64) -> Self {
        Self {
            seed: seed.wrapping_mul(8).wrapping_add(part),
            count: 0,
        }
    }

    fn roll(&mut self) -> u64 {
        self.count += 1;
        pattern(self.seed, self.count) >> 1
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }
}

/// Commands that only read, or that the objects of the test refuse or survive.
const COMMANDS: [u64; 13] = [
    fid::RMI_VERSION,
    fid::RMI_FEATURES,
    fid::RMI_REC_AUX_COUNT,
    fid::RMI_RTT_READ_ENTRY,
    fid::RMI_RTT_INIT_RIPAS,
    fid::RMI_RTT_SET_RIPAS,
    fid::RMI_RTT_FOLD,
    fid::RMI_PSCI_COMPLETE,
    fid::RMI_REALM_CREATE,
    fid::RMI_REC_CREATE,
    fid::RMI_RTT_MAP_UNPROTECTED,
    fid::RMI_RTT_UNMAP_UNPROTECTED,
    fid::RMI_REC_ENTER,
];

/// Commands with arguments of every kind. Those that could destroy or undelegate an object of the
/// test are left out, so success does no harm. A call that failed must fail again with the same status.
// Conformance: RMI calls unused_outputs, deterministic
// Conformance: Bugs others fixed lock_on_error
fn calls() -> Check {
    let samples = Samples::new()?;
    let mut values: Vec<u64> = samples
        .except(&[])
        .into_iter()
        .map(|(_, address)| address)
        .collect();
    let half = samples.realm.config.unprotected();
    values.extend([
        0,
        1,
        2,
        3,
        4,
        GRANULE,
        layout::BASE,
        half,
        half + GRANULE,
        2 * half,
        u64::MAX,
    ]);
    let mut dice = Dice::new();
    for _ in 0..params::get().rounds(6000) {
        let fid = COMMANDS[dice.below(COMMANDS.len())];
        let arguments: [u64; 5] = core::array::from_fn(|_| {
            let value = values[dice.below(values.len())];
            match dice.below(8) {
                0 => value ^ 1 << dice.below(64),
                1 => dice.roll(),
                _ => value,
            }
        });
        // SAFETY: no reference to memory of the pool lives; other memory is not the commands'.
        let answer = unsafe { rmi::call(fid, &arguments) };
        ensure!(
            status_code(answer.status) <= 4 && answer.status <= 0xFFFF,
            "call {fid:#x} {arguments:x?}: X0 = {:#x}",
            answer.status
        );
        if answer.status != RMI_SUCCESS {
            // SAFETY: as above.
            let again = unsafe { rmi::call(fid, &arguments) };
            ensure!(
                again.status == answer.status,
                "call {fid:#x} {arguments:x?}: X0 = {:#x}, the second time {:#x}",
                answer.status,
                again.status
            );
        }
    }
    for (kind, address) in samples.except(&[Kind::Delegated]) {
        let object = matches!(
            kind,
            Kind::Rd | Kind::Rtt | Kind::Data | Kind::Rec | Kind::RecAux
        );
        if object {
            pool::check_protected(address)?;
        }
    }
    samples.finish()
}

/// Random function identifiers and arguments.
fn registers() -> Check {
    let mut dice = Dice::new();
    for _ in 0..params::get().rounds(2000) {
        let fid = 0xC400_0150 + dice.roll() % 0x40;
        let arguments: [u64; 7] = core::array::from_fn(|_| dice.roll() << dice.below(64));
        // SAFETY: an address that the pool has must be hit by chance; no reference is to it.
        let answer = unsafe { rmi::call(fid, &arguments) };
        ensure!(
            answer.status == u64::MAX || answer.status <= 0xFFFF,
            "call {fid:#x} {arguments:x?}: X0 = {:#x}",
            answer.status
        );
    }
    Ok(())
}
