// SPDX-License-Identifier: BSD-3-Clause
//! What happened in Realms of random code: a test in which nothing happens shows nothing.

use crate::check::{Check, ensure};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::rmi::{RMI_ERROR_REALM, RMI_ERROR_REC, RecExitReason};

/// Reasons that a run of some lives always has.
const USUAL: [RecExitReason; 5] = [
    RecExitReason::Sync,
    RecExitReason::Irq,
    RecExitReason::Psci,
    RecExitReason::RipasChange,
    RecExitReason::HostCall,
];
/// Lives after which each of them must have occurred.
const ENOUGH: u64 = 20;

/// Counts of both CPUs.
#[derive(Default)]
pub struct Counts {
    exits: [AtomicU64; 7],
    /// By status.
    refused: [AtomicU64; 5],
    returned: AtomicU64,
}

impl Counts {
    /// An exit.
    pub fn exit(&self, reason: RecExitReason) {
        self.exits[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// An entry that the monitor refused, with a status.
    pub fn refused(&self, code: u64) {
        if let Some(count) = self.refused.get(code as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A granule that a Realm lost while it ran.
    pub fn returned(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, reason: RecExitReason) -> u64 {
        self.exits[reason as usize].load(Ordering::Relaxed)
    }

    /// Checks that enough has happened in so many lives.
    pub fn check(&self, lives: u64) -> Check {
        ensure!(self.of(RecExitReason::Irq) > 0, "no REC was interrupted");
        for reason in USUAL {
            ensure!(
                lives < ENOUGH || self.of(reason) > 0,
                "no exit {reason:?} in {lives} lives"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reason in USUAL {
            write!(f, "{} {reason:?}, ", self.of(reason))?;
        }
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let refused = |code| self.refused.get(code as usize).map_or(0, load);
        write!(
            f,
            "{} and {} entries refused for the REC and the Realm, {} granules taken away",
            refused(RMI_ERROR_REC),
            refused(RMI_ERROR_REALM),
            load(&self.returned)
        )
    }
}
