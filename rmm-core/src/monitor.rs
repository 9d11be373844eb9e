// SPDX-License-Identifier: BSD-3-Clause
//! The state that all CPUs share.

use crate::boot::El3Interface;
use crate::el3::SharedPage;
use crate::machine::CpuFeatures;
use crate::mode::Modes;
use crate::signature::Signatures;
use crate::vmid::VmidSet;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use rmm_attest::Attestation;
use rmm_granule::GranuleTable;

/// The monitor: everything that outlives an RMI call and is not in a Granule that a Host donated.
// In this order, so that what each call needs comes first: a small offset costs no instruction.
#[repr(C)]
pub struct Monitor {
    /// Dialect of the Host.
    pub modes: Modes,
    /// `tracking_region_size` that a Host of RMI 2.0 has configured.
    pub tracking_region_size: AtomicU8,
    /// Version of the RMM-EL3 interface that EL3 speaks.
    pub el3: El3Interface,
    /// What all CPUs can do.
    pub features: CpuFeatures,
    /// State of every Granule.
    pub granules: GranuleTable,
    /// What attestation tokens need.
    pub attestation: &'static Attestation<'static>,
    /// Number of RECs created since boot.
    recs: AtomicU64,
    /// Signatures of tokens by EL3.
    pub signatures: Signatures,
    /// VMIDs in use.
    pub vmids: VmidSet,
}

impl Monitor {
    /// The monitor of a machine with these Granules.
    #[must_use]
    pub fn new(
        granules: GranuleTable,
        el3: El3Interface,
        features: CpuFeatures,
        attestation: &'static Attestation<'static>,
        page: SharedPage,
    ) -> Self {
        Self {
            granules,
            vmids: VmidSet::new(),
            el3,
            features,
            attestation,
            modes: Modes::new(el3),
            tracking_region_size: AtomicU8::new(0),
            signatures: Signatures::new(page),
            recs: AtomicU64::new(0),
        }
    }

    /// Serial number of a new REC, from 1 on; no other REC since boot has it.
    pub(crate) fn next_rec(&self) -> u64 {
        // 2^64 RECs are never created: at one a nanosecond they take 584 years.
        self.recs.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

/// The monitor on this CPU, for the length of an RMI call.
pub struct ThisCpu<'a, M> {
    /// State that all CPUs share.
    pub monitor: &'a Monitor,
    /// This CPU.
    pub machine: &'a M,
}

impl<M> ThisCpu<'_, M> {
    /// The granule table.
    pub fn granules(&self) -> &GranuleTable {
        &self.monitor.granules
    }

    /// What all CPUs can do.
    pub fn features(&self) -> &CpuFeatures {
        &self.monitor.features
    }
}
