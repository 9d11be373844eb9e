// SPDX-License-Identifier: BSD-3-Clause
//! Realms: the Realm descriptor (RD), and how a Realm comes and goes.

use crate::machine::{CpuFeatures, Machine};
use crate::monitor::ThisCpu;
use crate::stored::{Stored, stored_as_byte};
use crate::vmid::Vmid;
use rmm_abi::rmi::HashAlgorithm;
use rmm_attest::Measurement;
use rmm_granule::{Delegated, DelegatedSet, GRANULE_SHIFT, GRANULE_SIZE, Locked, Pa, bug};
use rmm_rtt::{MAX_START_TABLES, MIN_IPA_WIDTH, Stage2};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

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
    /// The Host of RMI 2.0 has terminated the Realm; it can only be destroyed.
    Zombie = 3,
}

stored_as_byte!(RealmState {
    New,
    Active,
    SystemOff,
    Zombie
});

/// The interface that made a Realm. It decides about what the Realm and its relying parties see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dialect {
    /// RMI 1.0.
    V1 = 0,
    /// RMI 2.0.
    V2 = 1,
}

stored_as_byte!(Dialect { V1, V2 });

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
    /// The interface that made it.
    pub dialect: Stored<Dialect>,
    /// Of a Realm of RMI 2.0: whether firmware may be activated live, 0 or 1.
    pub lfa_policy: u8,
    /// What each REC has.
    pub resources: Resources,
    /// Of a Realm of RMI 2.0: RECs that are RUNNING.
    pub running: u64,
    /// Of a Realm of RMI 2.0: random number that identifies it.
    pub instance: [u8; 32],
    /// Of a Realm of RMI 2.0: RECs by index.
    recs: [RecAddress; MAX_INDEXED_RECS as usize],
}

/// Number of RECs that a Realm of RMI 2.0 can create in all its life; at a time it can have one less.
/// The monitor has to find a REC by its index there.
pub const MAX_INDEXED_RECS: u16 = 1 << MAX_INDEXED_RECS_ORDER;

/// log2 of [`MAX_INDEXED_RECS`], and `MAX_RECS_ORDER` of RMI 2.0.
pub const MAX_INDEXED_RECS_ORDER: u64 = 9;

/// Number of the Granule of a REC: its address in units of [`GRANULE_SIZE`], below 2^40; 0 if no REC of
/// this index was ever created: no Host can delegate the Granule at address 0.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecAddress([u8; 5]);

/// What a new Realm is made of.
pub struct NewRealm {
    /// The interface that makes it.
    pub dialect: Dialect,
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
    /// Random number that identifies the Realm; zero in RMI 1.0.
    pub instance: [u8; 32],
    /// Whether firmware may be activated live, 0 or 1; 0 in RMI 1.0.
    pub lfa_policy: u8,
}

impl Realm {
    /// The Granule in which the REC with this index was created; it may be destroyed meanwhile. For a
    /// Realm of RMI 2.0.
    #[must_use]
    pub fn rec(&self, index: u64) -> Option<Pa> {
        let address = self.recs.get(usize::try_from(index).ok()?)?;
        let mut bytes = [0; 8];
        let (low, _) = bytes.split_at_mut(address.0.len());
        low.copy_from_slice(&address.0);
        let number = u64::from_le_bytes(bytes);
        (number != 0).then_some(Pa(number << GRANULE_SHIFT))
    }

    /// The REC with this index, less than [`MAX_INDEXED_RECS`], is created in this Granule.
    pub fn set_rec(&mut self, index: u64, rec: Pa) {
        let number = (rec.as_u64() >> GRANULE_SHIFT).to_le_bytes();
        let address = usize::try_from(index)
            .ok()
            .and_then(|n| self.recs.get_mut(n));
        match (address, number.first_chunk()) {
            (Some(address), Some(low)) => address.0 = *low,
            _ => bug!("a REC with too high an index"),
        }
    }

    /// Lifecycle state.
    #[must_use]
    pub fn state(&self) -> RealmState {
        self.state.get()
    }

    /// Algorithm of all measurements.
    #[must_use]
    pub fn hash_algorithm(&self) -> HashAlgorithm {
        self.hash_algorithm.get()
    }

    /// A REC of the Realm is about to be RUNNING.
    pub fn count_entry(&mut self) {
        // Wrapping: a Realm has far fewer RECs.
        self.running = self.running.wrapping_add(1);
    }

    /// A REC of the Realm is not RUNNING any more.
    pub fn count_exit(&mut self) {
        self.running = match self.running.checked_sub(1) {
            Some(running) => running,
            None => bug!("more RECs have left than were entered"),
        };
    }

    /// Whether RMI 2.0 made the Realm.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        self.is_of(Dialect::V2)
    }

    /// Whether this interface made the Realm.
    #[must_use]
    pub fn is_of(&self, dialect: Dialect) -> bool {
        self.dialect.is(dialect)
    }

    /// The Realm Initial Measurement.
    pub fn rim_mut(&mut self) -> &mut Measurement {
        &mut self.measurements[0]
    }
}

/// The features and sizes that a Host asks for in a new Realm.
pub struct Request {
    /// 52-bit addresses.
    pub lpa2: bool,
    /// IPA width in bits.
    pub ipa_width: u8,
    /// Breakpoints minus 1.
    pub num_bps: u8,
    /// Watchpoints minus 1.
    pub num_wps: u8,
    /// SVE vector length in units of 128 bits minus 1; `None` without SVE.
    pub sve_vl: Option<u8>,
    /// PMU event counters; `None` without PMU.
    pub pmu_counters: Option<u8>,
    /// Physical address of the first start-level RTT.
    pub rtt_base: u64,
    /// Level of the start-level RTTs.
    pub rtt_level_start: i64,
    /// Number of start-level RTTs.
    pub rtt_num_start: u32,
}

impl Request {
    /// `params_supp`: every feature and size is supported.
    #[must_use]
    pub fn is_supported(&self, features: &CpuFeatures) -> bool {
        let ipa_widths = MIN_IPA_WIDTH..=features.max_ipa_width(self.lpa2);
        let at_most = |asked: u8, most: Option<u8>| most.is_some_and(|most| asked <= most);

        if self.lpa2 && !features.lpa2 || !ipa_widths.contains(&self.ipa_width) {
            return false;
        }
        if self.num_bps > features.num_bps || self.num_wps > features.num_wps {
            return false;
        }
        if self.sve_vl.is_some_and(|vl| !at_most(vl, features.sve_vl)) {
            return false;
        }
        self.pmu_counters.is_none_or(|counters| {
            at_most(counters, features.pmu_counters) && (counters > 0 || features.has_hpmn0())
        })
    }

    /// The stage 2 translation with this VMID; `None` unless IPA width, start level and number of
    /// start-level RTTs fit together (`rtt_num_level`), and the address of the RTTs is aligned to the
    /// size of all of them (`rtt_align`) and one that the walkers reach.
    #[must_use]
    pub fn stage2(&self, features: &CpuFeatures, vmid: u16) -> Option<Stage2> {
        let stage2 = Stage2 {
            base: Pa(self.rtt_base),
            start_level: i8::try_from(self.rtt_level_start).ok()?,
            num_start: u8::try_from(self.rtt_num_start).ok()?,
            ipa_width: self.ipa_width,
            lpa2: u8::from(self.lpa2),
            vmid,
            ..Stage2::new_zeroed()
        };
        // A walk can start at level 0 or above only if physical addresses have 44 bits or more.
        let starts = stage2.start_level > 0 || features.pa_bits >= 44;
        if !stage2.is_consistent() || !starts {
            return None;
        }
        let size = u64::from(stage2.num_start) * GRANULE_SIZE as u64;
        // Not a condition of the specification: without LPA2 no walker could find tables beyond 2^48.
        let is_reached = stage2.can_output(stage2.base);
        (self.rtt_base.is_multiple_of(size) && is_reached).then_some(stage2)
    }

    /// What each REC of the Realm has.
    #[must_use]
    pub fn resources(&self) -> Resources {
        Resources::new(self.num_bps, self.num_wps, self.sve_vl, self.pmu_counters)
    }
}

/// Addresses of the start-level RTTs, in `buffer`. `None` if they reach beyond all addresses.
pub fn start_rtts<'a>(
    stage2: &Stage2,
    buffer: &'a mut [u64; MAX_START_TABLES],
) -> Option<&'a [u64]> {
    let tables = buffer.get_mut(..usize::from(stage2.num_start))?;
    let mut next = Some(stage2.base.as_u64());
    for table in tables.iter_mut() {
        *table = next?;
        next = table.checked_add(GRANULE_SIZE as u64);
    }
    Some(tables)
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
    realm.state = Stored::new(RealmState::New);
    realm.stage2 = new.stage2;
    realm.measurements[0] = new.rim;
    realm.rpv = new.rpv;
    realm.hash_algorithm = Stored::new(new.hash_algorithm);
    realm.dialect = Stored::new(new.dialect);
    realm.instance = new.instance;
    realm.lfa_policy = new.lfa_policy;
    realm.resources = new.resources;
    let _rd = realm.commit();
}

/// The Realm is not NEW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNew;

/// Makes a NEW Realm ACTIVE.
///
/// # Errors
/// It is not NEW; nothing has changed.
pub fn activate<M: Machine>(cpu: &ThisCpu<'_, M>, rd: &mut Locked<'_, Rd>) -> Result<(), NotNew> {
    let mut realm = rd.map(cpu.machine);
    if realm.state() != RealmState::New {
        return Err(NotNew);
    }
    realm.state = Stored::new(RealmState::Active);
    drop(realm);
    rd.set_active(true);
    Ok(())
}

/// Locks the RD of a REC that is RUNNING.
#[inline]
pub fn lock_of_rec<'a, M: Machine>(cpu: &'a ThisCpu<'_, M>, rd: Pa) -> Locked<'a, Rd> {
    match cpu.granules().lock_own(rd) {
        Ok(rd) => rd,
        Err(_) => bug!("a REC without its Realm"),
    }
}

/// Ends the Realm at `rd`, which has a REC that is RUNNING: it is SYSTEM_OFF.
pub fn switch_off<M: Machine>(cpu: &ThisCpu<'_, M>, rd: Pa) {
    let mut rd = lock_of_rec(cpu, rd);
    rd.map(cpu.machine).state = Stored::new(RealmState::SystemOff);
    rd.set_active(false);
}

/// A REC of the Realm is RUNNING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningRec;

/// Makes a Realm of RMI 2.0 a ZOMBIE, whatever it was.
///
/// # Errors
/// A REC of the Realm is RUNNING; nothing has changed.
pub fn terminate<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: &mut Locked<'_, Rd>,
) -> Result<(), RunningRec> {
    let mut realm = rd.map(cpu.machine);
    if realm.running != 0 {
        return Err(RunningRec);
    }
    realm.state = Stored::new(RealmState::Zombie);
    drop(realm);
    rd.set_active(false);
    Ok(())
}

/// The Realm owns a REC, or one of its start-level RTTs is live (specification A2.1.4); or RMI 2.0 made
/// it and has not terminated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRealm;

/// Destroys a Realm: its RD and start-level RTTs become DELEGATED, its VMID is free.
///
/// # Errors
/// The Realm is live; nothing has changed.
pub fn destroy<M: Machine>(cpu: &ThisCpu<'_, M>, mut rd: Locked<'_, Rd>) -> Result<(), LiveRealm> {
    let realm = rd.map(cpu.machine);
    let stage2 = realm.stage2;
    if realm.is_v2() && realm.state() != RealmState::Zombie {
        return Err(LiveRealm);
    }
    drop(realm);
    if rd.refs() != 0 {
        return Err(LiveRealm);
    }
    rmm_rtt::destroy_start_tables(&stage2, cpu.granules(), cpu.machine)
        .map_err(|_live_rtt| LiveRealm)?;
    let _delegated = rd.wipe_into_delegated(cpu.machine);
    cpu.monitor.vmids.release(stage2.vmid);
    Ok(())
}
