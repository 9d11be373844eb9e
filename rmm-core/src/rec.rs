// SPDX-License-Identifier: BSD-3-Clause
//! Realm Execution Contexts (RECs): their content, and how a REC comes and goes.

use crate::gic;
use crate::machine::{Machine, RecContext};
use crate::monitor::ThisCpu;
use crate::realm::{Dialect, Rd, Realm, Resources};
use crate::stored::{Stored, stored_as_byte};
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::rmi::{HashAlgorithm, MAX_REC_AUX, REC_CREATE_NR_GPRS, Ripas};
use rmm_granule::{Delegated, Locked, Pa, REC_BODY_SIZE, REC_HEAD_SIZE, RecAux, bug};
use rmm_rtt::Stage2;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Lifecycle state REC: a Granule with a [`RecHead`] and a [`RecBody`].
pub type Rec = rmm_granule::Rec<RecHead, RecBody>;

/// What is fixed at RMI_REC_CREATE; readable while the REC is RUNNING.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecHead {
    /// RD of the Realm, which lives as long as this REC.
    rd: u64,
    /// Stage 2 translation of the Realm.
    pub stage2: Stage2,
    /// Index of the REC within its Realm.
    pub index: u64,
    /// Physical addresses of the auxiliary Granules; of a Realm of RMI 2.0, of this very REC.
    aux: [u64; MAX_REC_AUX],
    hash_algorithm: Stored<HashAlgorithm>,
    dialect: Stored<Dialect>,
    _zero: [u8; 2],
    /// The optional CPU resources of the REC.
    pub resources: Resources,
    /// Personalization Value of the Realm: RSI_REALM_CONFIG need not lock the RD for it.
    pub rpv: [u8; 64],
}

const _: () = assert!(size_of::<RecHead>() <= REC_HEAD_SIZE);

impl RecHead {
    /// RD of the Realm.
    #[must_use]
    pub const fn rd(&self) -> Pa {
        Pa(self.rd)
    }

    /// The auxiliary Granules.
    #[must_use]
    pub fn aux(&self) -> &[u64] {
        let count = if self.is_v2() {
            0
        } else {
            self.resources.aux_count()
        };
        self.aux.split_at(count).0
    }

    /// The Granule that holds what `aux.rs` assigns to number `n`, less than [`Resources::aux_count`].
    #[must_use]
    pub fn aux_granule(&self, n: usize) -> Pa {
        match self.aux.get(n) {
            Some(&aux) => Pa(aux),
            None => bug!("a REC has fewer auxiliary Granules"),
        }
    }

    /// Algorithm of the Realm's measurements.
    #[must_use]
    pub fn hash_algorithm(&self) -> HashAlgorithm {
        self.hash_algorithm.get()
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
}

/// The last exit of a REC, as far as it decides what the next entry may do (specification A4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LastExit {
    /// Nothing that the Host could answer with `emul_mmio` or `inject_sea`; or never entered.
    Other = 0,
    /// A Non-emulatable Data Abort at an Unprotected IPA.
    UnprotectedAbort = 1,
    /// An Emulatable Data Abort.
    EmulatableAbort = 2,
    /// A read of a system register, which the Host answers with its value.
    RegisterRead = 3,
}

stored_as_byte!(LastExit {
    Other,
    UnprotectedAbort,
    EmulatableAbort,
    RegisterRead
});

/// A RIPAS change that the Realm has requested (`ripas_addr` and its siblings); all zero if none
/// is pending.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PendingRipasChange {
    /// First IPA that has not changed yet.
    pub addr: u64,
    /// IPA after the last one of the request.
    pub top: u64,
    ripas: Stored<Ripas>,
    change_destroyed: u8,
    is_pending: u8,
    _zero: [u8; 5],
}

impl PendingRipasChange {
    /// A request for `base` up to `top`. With `change_destroyed` the RIPAS of an entry may change
    /// from DESTROYED.
    #[must_use]
    pub fn new(base: u64, top: u64, ripas: Ripas, change_destroyed: bool) -> Self {
        Self {
            addr: base,
            top,
            ripas: Stored::new(ripas),
            change_destroyed: u8::from(change_destroyed),
            is_pending: 1,
            _zero: [0; 5],
        }
    }

    /// RIPAS that the Realm requests.
    #[must_use]
    pub fn ripas(&self) -> Ripas {
        self.ripas.get()
    }

    /// Whether the RIPAS of an entry may change from DESTROYED.
    #[must_use]
    pub const fn changes_destroyed(&self) -> bool {
        self.change_destroyed != 0
    }

    /// Whether there is a request.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        self.is_pending != 0
    }
}

/// What changes in a REC. It belongs to the CPU that runs the REC or, while the REC is READY, to
/// the CPU that has it locked.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecBody {
    /// Registers.
    pub context: RecContext,
    /// Everything else.
    pub attributes: RecAttributes,
}

/// Attributes of a REC that change (specification A2.3.1).
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecAttributes {
    /// The pending RIPAS change.
    pub ripas_change: PendingRipasChange,
    /// Raw `ESR_EL2` of the last exit, unless [`LastExit::Other`].
    last_esr: u64,
    /// Raw `FAR_EL2` of the last exit, unless [`LastExit::Other`].
    last_far: u64,
    is_runnable: u8,
    is_host_call_pending: u8,
    is_psci_pending: u8,
    last_exit: Stored<LastExit>,
    _zero: [u8; 4],
}

const _: () = assert!(size_of::<RecBody>() <= REC_BODY_SIZE);

/// PSTATE of a PE that leaves reset into EL1: EL1h, D, A, I and F masked.
const RESET_PSTATE: u64 = 0x3C5;
/// `SCTLR_EL1`: SPAN, EIS, nTWE, nTWI, EOS, nAA, CP15BEN, SA0, SA; MMU and caches off.
const RESET_SCTLR: u64 = 0x00C5_0878;
/// `SCTLR_EL1.EE`, endianness of EL1.
const SCTLR_EE: u64 = 1 << 25;
/// `MDSCR_EL1.TDCC`.
const RESET_MDSCR: u64 = 1 << 12;
/// `PMCR_EL0`: LC, DP; counting is off.
const RESET_PMCR: u64 = 0x60;

impl RecBody {
    /// Registers as after a reset of the PE, with this PC.
    fn reset(&mut self, index: u64, pc: u64) {
        let serial = self.context.serial;
        self.context = RecContext::new_zeroed();
        self.context.serial = serial;
        self.context.pc = pc;
        self.context.pstate = RESET_PSTATE;
        self.context.vmpidr = index_to_mpidr_el1(index);
        self.context.el1.sctlr = RESET_SCTLR;
        self.context.el1.mdscr = RESET_MDSCR;
        self.context.gic.hcr = gic::HCR_FORCED;
        self.context.pmu.pmcr = RESET_PMCR;
        self.attributes.forget_exit();
    }

    /// A successful PSCI_CPU_ON of this REC: registers as after a reset, with the endianness of the
    /// caller, whose `SCTLR_EL1` is given; runnable.
    pub fn turn_on(&mut self, index: u64, entry_point: u64, context_id: u64, caller_sctlr: u64) {
        self.reset(index, entry_point);
        self.context.gprs[0] = context_id;
        self.context.el1.sctlr |= caller_sctlr & SCTLR_EE;
        self.attributes.set_runnable(true);
    }
}

impl RecAttributes {
    /// Whether the REC may be entered (`runnable` flag).
    #[must_use]
    pub const fn is_runnable(&self) -> bool {
        self.is_runnable != 0
    }

    /// Sets the `runnable` flag.
    pub fn set_runnable(&mut self, runnable: bool) {
        self.is_runnable = u8::from(runnable);
    }

    /// Whether a host call waits for its answer.
    #[must_use]
    pub const fn is_host_call_pending(&self) -> bool {
        self.is_host_call_pending != 0
    }

    /// Sets whether a host call waits for its answer.
    pub fn set_host_call_pending(&mut self, pending: bool) {
        self.is_host_call_pending = u8::from(pending);
    }

    /// Whether a PSCI request waits for RMI_PSCI_COMPLETE.
    #[must_use]
    pub const fn is_psci_pending(&self) -> bool {
        self.is_psci_pending != 0
    }

    /// Sets whether a PSCI request waits for RMI_PSCI_COMPLETE.
    pub fn set_psci_pending(&mut self, pending: bool) {
        self.is_psci_pending = u8::from(pending);
    }

    /// Kind of the last exit.
    #[must_use]
    pub fn last_exit(&self) -> LastExit {
        self.last_exit.get()
    }

    /// Raw `ESR_EL2` and `FAR_EL2` of the last exit; zero if it was [`LastExit::Other`].
    #[must_use]
    pub const fn last_syndrome(&self) -> (u64, u64) {
        (self.last_esr, self.last_far)
    }

    /// Records an exit that the next entry may answer.
    pub fn record_exit(&mut self, exit: LastExit, esr: u64, far: u64) {
        self.last_exit = Stored::new(exit);
        self.last_esr = esr;
        self.last_far = far;
    }

    /// The last exit is none that the next entry may answer.
    pub fn forget_exit(&mut self) {
        self.record_exit(LastExit::Other, 0, 0);
    }
}

/// What a new REC is made of.
pub struct NewRec<'a> {
    /// X0 to X7 at the first entry; the other general registers are zero.
    pub gprs: &'a [u64; REC_CREATE_NR_GPRS],
    /// PC at the first entry.
    pub pc: u64,
    /// Whether the REC may be entered without a PSCI_CPU_ON of another REC.
    pub is_runnable: bool,
}

/// Creates the next REC of the Realm at `rd`, READY. `aux` are its auxiliary Granules, as many as
/// [`Resources::aux_count`] demands, or none for a Realm of RMI 2.0. The caller counts the REC as one of
/// the Realm before it unlocks it.
pub fn create<'r, 't, M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: Pa,
    realm: &mut Realm,
    rec: Locked<'r, Delegated>,
    aux: impl Iterator<Item = Locked<'t, Delegated>>,
    new: &NewRec<'_>,
) -> Locked<'r, Rec> {
    let mut aux_granules = [0; MAX_REC_AUX];
    for (slot, granule) in aux_granules.iter_mut().zip(aux) {
        *slot = granule.pa().as_u64();
        let _aux = granule.transition::<RecAux>();
    }
    if realm.is_v2() {
        aux_granules = [rec.pa().as_u64(); MAX_REC_AUX];
        realm.set_rec(realm.rec_index, rec.pa());
    }
    let mut content = rec.new_content::<_, Rec>(cpu.machine);
    let (head, body) = content.split();
    *head = RecHead {
        rd: rd.as_u64(),
        stage2: realm.stage2,
        index: realm.rec_index,
        aux: aux_granules,
        hash_algorithm: Stored::new(realm.hash_algorithm()),
        dialect: realm.dialect,
        _zero: [0; 2],
        resources: realm.resources,
        rpv: realm.rpv,
    };
    body.context.serial = cpu.monitor.next_rec();
    body.reset(realm.rec_index, new.pc);
    for (to, from) in body.context.gprs.iter_mut().zip(new.gprs) {
        *to = *from;
    }
    body.attributes.set_runnable(new.is_runnable);
    realm.rec_index += 1;
    content.commit()
}

/// Finds and locks the REC with this index of the Realm at `rd`, which RMI 2.0 made. The caller has
/// locked nothing.
pub fn find<'a, M: Machine>(
    cpu: &'a ThisCpu<'_, M>,
    rd: Pa,
    index: u64,
) -> Option<Locked<'a, Rec>> {
    let rec = {
        let mut rd = cpu.granules().lock::<Rd>(rd.as_u64()).ok()?;
        rd.map(cpu.machine).rec(index)?
    };
    let rec = cpu.granules().lock::<Rec>(rec.as_u64()).ok()?;
    // It may have been destroyed, and another one made of the same Granule.
    let is_it = {
        let head = rec.head(cpu.machine);
        head.rd() == rd && head.index == index
    };
    is_it.then_some(rec)
}

/// Destroys a REC that is not RUNNING: it and its auxiliary Granules become DELEGATED.
pub fn destroy<M: Machine>(cpu: &ThisCpu<'_, M>, rec: Locked<'_, Rec>) {
    let head = rec.head(cpu.machine);
    for &aux in head.aux() {
        // Only the owner of this REC knows the Granule as REC_AUX, and no other command takes it
        // out of that state.
        match cpu.granules().lock_own::<RecAux>(Pa(aux)) {
            // SAFETY: its REC is locked and not RUNNING.
            Ok(aux) => drop(unsafe { aux.wipe_unused_into_delegated(cpu.machine) }),
            Err(_) => bug!("a REC without its auxiliary Granules"),
        }
    }
    let rd = head.rd();
    drop(head);
    let _delegated = rec.wipe_into_delegated(cpu.machine);
    cpu.granules().remove_rd_ref(rd);
}
