// SPDX-License-Identifier: BSD-3-Clause
//! The state all CPUs share, and the entry of an RMI call.

use crate::boot::El3Interface;
use crate::machine::{CpuFeatures, Machine};
use crate::realm::VmidSet;
use crate::rmi;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_granule::GranuleTable;

/// The monitor: everything that outlives an RMI call and is not in a Host's Granules.
pub struct Monitor {
    /// State of every Granule.
    pub granules: GranuleTable,
    /// VMIDs in use.
    pub vmids: VmidSet,
    /// Dialect of EL3.
    pub el3: El3Interface,
    /// What a Realm may have: the CPUs' features.
    pub features: CpuFeatures,
    /// RECs that there have been.
    recs: AtomicU64,
}

impl Monitor {
    /// The monitor of a machine with these Granules.
    #[must_use]
    pub const fn new(granules: GranuleTable, el3: El3Interface, features: CpuFeatures) -> Self {
        Self {
            granules,
            vmids: VmidSet::new(),
            el3,
            features,
            recs: AtomicU64::new(0),
        }
    }

    /// Number of a new REC.
    pub(crate) fn next_rec(&self) -> u64 {
        self.recs.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Serves one RMI call on this CPU: X0 to X7 in, X0 to X7 out.
    ///
    /// X1 to X3 are zero unless the command declares them as outputs; X4 up come back as they were
    /// unless it does.
    pub fn handle<M: Machine>(&self, machine: &M, call: [u64; 8]) -> [u64; 8] {
        rmi::dispatch(
            &Cx {
                monitor: self,
                machine,
            },
            call,
        )
    }
}

/// What a command works with: the monitor, on this CPU.
pub struct Cx<'a, M> {
    /// Shared state.
    pub monitor: &'a Monitor,
    /// This CPU.
    pub machine: &'a M,
}

impl<M> Cx<'_, M> {
    /// The granule table.
    pub fn granules(&self) -> &GranuleTable {
        &self.monitor.granules
    }

    /// The CPUs' features.
    pub fn features(&self) -> &CpuFeatures {
        &self.monitor.features
    }
}
