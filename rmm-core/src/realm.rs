// SPDX-License-Identifier: BSD-3-Clause
//! The Realm descriptor (RD) and the VMIDs in use.

use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::rmi::{HashAlgorithm, MAX_REC_AUX};
use rmm_attest::Measurement;
use rmm_rtt::Stage2;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// log2 of one more than the RECs a Realm can have (`MAX_RECS_ORDER`).
pub const MAX_RECS_ORDER: u64 = 10;

/// Most RECs of a Realm at one time. They are counted by the RD's reference count.
pub const MAX_RECS: u16 = (1 << MAX_RECS_ORDER) - 1;

/// What of a CPU each REC of a Realm has.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Resources {
    /// Breakpoints minus 1.
    pub breakpoints: u8,
    /// Watchpoints minus 1.
    pub watchpoints: u8,
    /// SVE vector length in units of 128 bits; 0: no SVE.
    sve_units: u8,
    /// PMU event counters plus 1; 0: no PMU.
    pmu: u8,
}

impl Resources {
    /// Breakpoints and watchpoints, minus 1 each; SVE vector length in units of 128 bits minus 1;
    /// PMU event counters.
    #[must_use]
    pub fn new(
        breakpoints: u8,
        watchpoints: u8,
        sve_vl: Option<u8>,
        pmu_counters: Option<u8>,
    ) -> Self {
        let plus_1 = |value: Option<u8>| value.map_or(0, |value| value.saturating_add(1));
        Self {
            breakpoints,
            watchpoints,
            sve_units: plus_1(sve_vl),
            pmu: plus_1(pmu_counters),
        }
    }

    /// SVE vector length in units of 128 bits minus 1; none: no SVE.
    #[must_use]
    pub const fn sve_vl(&self) -> Option<u8> {
        self.sve_units.checked_sub(1)
    }

    /// PMU event counters; none: no PMU.
    #[must_use]
    pub const fn pmu_counters(&self) -> Option<u8> {
        self.pmu.checked_sub(1)
    }

    /// Auxiliary Granules of a REC: for Q0 to Q31, or for the halves of Z0 to Z31 and the rest of
    /// SVE.
    #[must_use]
    pub const fn aux_count(&self) -> usize {
        if self.sve_units == 0 { 1 } else { 3 }
    }
}

const _: () = assert!(MAX_REC_AUX >= 3);

/// Lifecycle state of a Realm (specification A2.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealmState {
    /// Under construction: the Host may add measured content.
    New,
    /// May run; the RIM does not change any more.
    Active,
    /// The Realm has ended itself; it can only be destroyed.
    SystemOff,
}

/// Content of an RD Granule.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Realm {
    /// [`RealmState`]; see [`Realm::state`].
    state: u64,
    /// Index that the next REC must have.
    pub rec_index: u64,
    /// Stage 2 translation.
    pub stage2: Stage2,
    /// RIM, then the four REMs.
    pub measurements: [Measurement; 5],
    /// Realm Personalization Value.
    pub rpv: [u8; 64],
    /// `RmiHashAlgorithm`; see [`Realm::hash_algorithm`].
    hash_algo: u8,
    _zero: [u8; 3],
    /// What each REC has.
    pub resources: Resources,
}

/// What a new Realm is made of.
pub struct NewRealm {
    /// Stage 2 translation.
    pub stage2: Stage2,
    /// Algorithm of all measurements.
    pub hash_algorithm: HashAlgorithm,
    /// Initial RIM.
    pub rim: Measurement,
    /// Realm Personalization Value.
    pub rpv: [u8; 64],
    /// What each REC has.
    pub resources: Resources,
}

impl Realm {
    /// Fills an RD, all zero before.
    pub fn init(&mut self, new: &NewRealm) {
        self.set_state(RealmState::New);
        self.stage2 = new.stage2;
        self.measurements[0] = new.rim;
        self.rpv = new.rpv;
        self.hash_algo = new.hash_algorithm as u8;
        self.resources = new.resources;
    }

    /// Lifecycle state.
    #[must_use]
    pub fn state(&self) -> RealmState {
        match self.state {
            0 => RealmState::New,
            1 => RealmState::Active,
            _ => RealmState::SystemOff,
        }
    }

    /// Changes the lifecycle state.
    pub fn set_state(&mut self, state: RealmState) {
        self.state = match state {
            RealmState::New => 0,
            RealmState::Active => 1,
            RealmState::SystemOff => 2,
        };
    }

    /// Algorithm of all measurements.
    #[must_use]
    pub fn hash_algorithm(&self) -> HashAlgorithm {
        algorithm(self.hash_algo)
    }

    /// The Realm Initial Measurement.
    pub fn rim_mut(&mut self) -> &mut Measurement {
        &mut self.measurements[0]
    }
}

/// The algorithm that a byte written by the monitor stands for.
pub(crate) fn algorithm(byte: u8) -> HashAlgorithm {
    HashAlgorithm::try_from(byte).unwrap_or(HashAlgorithm::Sha256)
}

/// The VMIDs that Realms have, one bit each.
pub struct VmidSet {
    words: [AtomicU64; 1 << 10],
}

impl VmidSet {
    /// No VMID in use.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; 1 << 10],
        }
    }

    fn bit(&self, vmid: u16) -> Option<(&AtomicU64, u64)> {
        let word = self.words.get(usize::from(vmid >> 6))?;
        Some((word, 1 << (vmid & 63)))
    }

    /// Takes `vmid`, if it is free. The reservation ends with [`Vmid::drop`] unless it is kept.
    pub fn reserve(&self, vmid: u16) -> Option<Vmid<'_>> {
        let (word, bit) = self.bit(vmid)?;
        let free = word.fetch_or(bit, Ordering::Acquire) & bit == 0;
        // Made only if it is free: the drop would free it for others.
        free.then(|| Vmid { set: self, vmid })
    }

    /// Gives `vmid` back.
    pub fn release(&self, vmid: u16) {
        if let Some((word, bit)) = self.bit(vmid) {
            word.fetch_and(!bit, Ordering::Release);
        }
    }
}

impl Default for VmidSet {
    fn default() -> Self {
        Self::new()
    }
}

/// A VMID taken for a Realm that may yet fail to be created; the drop gives it back.
pub struct Vmid<'a> {
    set: &'a VmidSet,
    vmid: u16,
}

impl Vmid<'_> {
    /// Keeps the VMID until [`VmidSet::release`].
    pub fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Vmid<'_> {
    fn drop(&mut self) {
        self.set.release(self.vmid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vmid_is_taken_once() {
        static SET: VmidSet = VmidSet::new();
        for vmid in [0, 63, 64, 0xFFFF] {
            let taken = SET.reserve(vmid).expect("free");
            assert!(SET.reserve(vmid).is_none());
            assert!(SET.reserve(vmid).is_none(), "still");
            drop(taken);
            SET.reserve(vmid).expect("given back").keep();
            assert!(SET.reserve(vmid).is_none());
            SET.release(vmid);
            assert!(SET.reserve(vmid).is_some());
        }
    }
}
