// SPDX-License-Identifier: BSD-3-Clause
//! Realms: the Realm descriptor (RD), and how a Realm comes and goes.

use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::stored::{Stored, stored_as_byte};
use crate::vmid::Vmid;
use rmm_abi::rmi::HashAlgorithm;
use rmm_attest::Measurement;
use rmm_granule::{Delegated, DelegatedSet, Locked};
use rmm_rtt::Stage2;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// log2 of one more than the number of RECs that a Realm can have (`MAX_RECS_ORDER`).
pub const MAX_RECS_ORDER: u64 = 10;

/// Most RECs of a Realm at one time. They are counted by the RD's reference count.
pub const MAX_RECS: u16 = (1 << MAX_RECS_ORDER) - 1;

/// The optional CPU resources that each REC of a Realm has.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Resources {
    /// Breakpoints minus 1.
    pub breakpoints: u8,
    /// Watchpoints minus 1.
    pub watchpoints: u8,
    /// SVE vector length in units of 128 bits; 0 without SVE.
    sve_units: u8,
    /// PMU event counters plus 1; 0 without PMU.
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

    /// SVE vector length in units of 128 bits minus 1; `None` without SVE.
    #[must_use]
    pub const fn sve_vl(&self) -> Option<u8> {
        self.sve_units.checked_sub(1)
    }

    /// PMU event counters; `None` without PMU.
    #[must_use]
    pub const fn pmu_counters(&self) -> Option<u8> {
        self.pmu.checked_sub(1)
    }

    /// Auxiliary Granules of a REC without SVE; `aux.rs` says what for.
    pub const AUX_COUNT: usize = 2;
    /// Auxiliary Granules of a REC with SVE.
    pub const AUX_COUNT_WITH_SVE: usize = 4;

    /// Auxiliary Granules of a REC.
    #[must_use]
    pub const fn aux_count(&self) -> usize {
        if self.sve_units == 0 {
            Self::AUX_COUNT
        } else {
            Self::AUX_COUNT_WITH_SVE
        }
    }
}

/// Lifecycle state of a Realm (specification A2.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RealmState {
    /// Under construction: the Host may add measured content.
    New = 0,
    /// May run; the RIM does not change any more.
    Active = 1,
    /// The Realm has switched itself off; it can only be destroyed.
    SystemOff = 2,
}

stored_as_byte!(RealmState {
    New,
    Active,
    SystemOff
});

/// Lifecycle state RD: a Granule whose content is a [`Realm`].
pub type Rd = rmm_granule::Rd<Realm>;

/// Content of an RD Granule.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Realm {
    /// Index that the next REC must have.
    pub rec_index: u64,
    /// Stage 2 translation.
    pub stage2: Stage2,
    /// RIM, then the four REMs.
    pub measurements: [Measurement; 5],
    /// Realm Personalization Value.
    pub rpv: [u8; 64],
    state: Stored<RealmState>,
    hash_algorithm: Stored<HashAlgorithm>,
    _zero: [u8; 2],
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
    /// Lifecycle state.
    #[must_use]
    pub fn state(&self) -> RealmState {
        self.state.get()
    }

    /// Changes the lifecycle state.
    pub fn set_state(&mut self, state: RealmState) {
        self.state = Stored::new(state);
    }

    /// Algorithm of all measurements.
    #[must_use]
    pub fn hash_algorithm(&self) -> HashAlgorithm {
        self.hash_algorithm.get()
    }

    /// The Realm Initial Measurement.
    pub fn rim_mut(&mut self) -> &mut Measurement {
        &mut self.measurements[0]
    }
}

/// Creates a Realm, NEW, whose RD is `rd` and whose start-level RTTs are `tables`, those of
/// `new.stage2`. The Realm keeps the VMID.
pub fn create<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: Locked<'_, Delegated>,
    tables: DelegatedSet<'_>,
    vmid: Vmid<'_>,
    new: &NewRealm,
) {
    vmid.keep();
    rmm_rtt::init_start_tables(&new.stage2, tables, cpu.machine);
    let mut realm = rd.new_content::<_, Rd>(cpu.machine);
    realm.set_state(RealmState::New);
    realm.stage2 = new.stage2;
    realm.measurements[0] = new.rim;
    realm.rpv = new.rpv;
    realm.hash_algorithm = Stored::new(new.hash_algorithm);
    realm.resources = new.resources;
    let _rd = realm.commit();
}

/// The Realm owns a REC, or one of its start-level RTTs is live (specification A2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRealm;

/// Destroys a Realm: its RD and start-level RTTs become DELEGATED, its VMID is free.
///
/// # Errors
/// The Realm is live; nothing has changed.
pub fn destroy<M: Machine>(cpu: &ThisCpu<'_, M>, mut rd: Locked<'_, Rd>) -> Result<(), LiveRealm> {
    let stage2 = rd.map(cpu.machine).stage2;
    if rd.refs() != 0 {
        return Err(LiveRealm);
    }
    rmm_rtt::destroy_start_tables(&stage2, cpu.granules(), cpu.machine)
        .map_err(|_live_rtt| LiveRealm)?;
    let _delegated = rd.wipe_into_delegated(cpu.machine);
    cpu.monitor.vmids.release(stage2.vmid);
    Ok(())
}
