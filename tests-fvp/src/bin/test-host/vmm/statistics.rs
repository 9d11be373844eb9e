// SPDX-License-Identifier: BSD-3-Clause
//! What the run took: exits by reason, phases in time.

use crate::arch;
use crate::console::line;
use core::sync::atomic::{AtomicU64, Ordering};

/// Why a REC exited, from the Host's point of view.
#[derive(Clone, Copy)]
pub enum Exit {
    /// An access to an emulated device.
    Mmio,
    /// A Protected IPA without memory.
    Fault,
    /// The Unprotected alias of a shared page.
    Share,
    /// ICC_SGI1R_EL1.
    Sgi,
    /// RMI_EXIT_IRQ.
    Irq,
    /// RMI_EXIT_PSCI.
    Psci,
    /// RMI_EXIT_RIPAS_CHANGE.
    Ripas,
}

/// Their names, in order.
const NAMES: [&str; 7] = [
    "MMIO",
    "fault",
    "shared page",
    "SGI",
    "IRQ",
    "PSCI",
    "RIPAS change",
];

/// Counters of exits.
pub struct Statistics([AtomicU64; NAMES.len()]);

impl Statistics {
    /// Nothing has happened.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; NAMES.len()])
    }

    /// An exit.
    pub fn count(&self, exit: Exit) {
        self.0[exit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Prints the counters.
    pub fn print(&self) {
        let count = |n: usize| self.0[n].load(Ordering::Relaxed);
        let total: u64 = (0..NAMES.len()).map(count).sum();
        line!(
            "host: {total} REC exits: {} {}, {} {}, {} {}, {} {}, {} {}, {} {}, {} {}",
            count(0),
            NAMES[0],
            count(1),
            NAMES[1],
            count(2),
            NAMES[2],
            count(3),
            NAMES[3],
            count(4),
            NAMES[4],
            count(5),
            NAMES[5],
            count(6),
            NAMES[6]
        );
    }
}

/// A span of time, printed in seconds with one decimal.
#[derive(Clone, Copy)]
pub struct Span(pub u64);

impl core::fmt::Display for Span {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let tenths = self.0 / arch::ticks(100).max(1);
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}
