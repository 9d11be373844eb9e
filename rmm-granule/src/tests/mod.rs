// SPDX-License-Identifier: BSD-3-Clause
//! Tests of the table and its guards on the fake memory.

mod content;
mod lifecycle;
mod order;
mod threads;
mod translation;

use crate::fake::{FakeCpuMemory, FakeMemory};
use crate::{Bank, Delegated, GranuleTable, Locked, REC_BODY_SIZE, Shared, Undelegated};
use std::sync::Arc;

pub(super) const BASE: u64 = 0x8000_0000;
pub(super) const HIGH: u64 = 0x8_8000_0000;

pub(super) const BANKS: [Bank; 2] = [
    Bank {
        base: BASE,
        size: 0x4_0000,
    },
    Bank {
        base: HIGH,
        size: 0x2_0000,
    },
];

/// What the monitor would name once: the contents of an RD and of a REC.
pub(super) type Rd = crate::Rd<[u64; 4]>;
pub(super) type Rec = crate::Rec<u64, [u64; REC_BODY_SIZE / 8]>;

pub(super) struct Machine {
    pub(super) memory: Arc<FakeMemory>,
    pub(super) table: &'static GranuleTable,
}

pub(super) fn machine() -> Machine {
    let memory = FakeMemory::new(&BANKS);
    let table = memory.granule_table();
    Machine { memory, table }
}

impl Machine {
    pub(super) fn cpu(&self) -> FakeCpuMemory {
        self.memory.cpu()
    }

    /// The Granule number `n` of the first bank, delegated.
    pub(super) fn delegated(&self, n: u64) -> Locked<'static, Delegated> {
        let granule = self
            .table
            .lock::<Undelegated>(page(n))
            .expect("UNDELEGATED");
        self.memory.delegate(granule.pa()).expect("Non-secure");
        granule.wipe_into_delegated(&self.cpu())
    }
}

/// Wipes a Granule whose content others could reach; here nobody does.
pub(super) fn wipe<S: Shared>(
    granule: Locked<'static, S>,
    cpu: &FakeCpuMemory,
) -> Locked<'static, Delegated> {
    // SAFETY: tests have neither Realms nor RECs that access the Granule; translations are those of the
    // fake TLB, which panics if one is left.
    unsafe { granule.wipe_unused_into_delegated(cpu) }
}

pub(super) fn page(n: u64) -> u64 {
    BASE + n * 0x1000
}
