// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Execution Context (REC).

use crate::machine::RecContext;
use crate::realm::{self, Resources};
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::rmi::{HashAlgorithm, MAX_REC_AUX, RecCreateFlags, RecParams, Ripas};
use rmm_granule::{Pa, REC_BODY_SIZE, REC_HEAD_SIZE, RecWindow};
use rmm_rtt::Stage2;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// A REC whose content is open.
pub type OpenRec<'a, M> = RecWindow<'a, M, RecHead, Rec>;

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
    /// Physical addresses of the auxiliary Granules.
    pub aux: [u64; MAX_REC_AUX],
    hash_algo: u8,
    _zero: [u8; 3],
    /// What of a CPU the REC has.
    pub resources: Resources,
}

const _: () = assert!(size_of::<RecHead>() <= REC_HEAD_SIZE);

impl RecHead {
    /// The head of a REC of the Realm at `rd`.
    #[must_use]
    pub fn new(rd: Pa, realm: &realm::Realm, index: u64, aux: [u64; MAX_REC_AUX]) -> Self {
        Self {
            rd: rd.as_u64(),
            stage2: realm.stage2,
            index,
            aux,
            hash_algo: realm.hash_algorithm() as u8,
            _zero: [0; 3],
            resources: realm.resources,
        }
    }

    /// RD of the Realm.
    #[must_use]
    pub const fn rd(&self) -> Pa {
        Pa(self.rd)
    }

    /// The auxiliary Granules in use.
    #[must_use]
    pub fn aux(&self) -> &[u64] {
        self.aux.split_at(self.resources.aux_count()).0
    }

    /// Auxiliary Granule `n`, less than [`Resources::aux_count`].
    #[must_use]
    pub fn aux_granule(&self, n: usize) -> Pa {
        Pa(self.aux.get(n).copied().unwrap_or(0))
    }

    /// Algorithm of the Realm's measurements.
    #[must_use]
    pub fn hash_algorithm(&self) -> HashAlgorithm {
        realm::algorithm(self.hash_algo)
    }
}

/// What the last exit of a REC was, as far as the next entry asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastExit {
    /// Nothing the Host could answer with `emul_mmio` or `inject_sea`; or never entered.
    Other,
    /// A Non-emulatable Data Abort at an Unprotected IPA.
    UnprotectedAbort,
    /// An Emulatable Data Abort.
    EmulatableAbort,
}

/// A pending RIPAS change (`ripas_addr` and friends); all zero when there is none.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RipasChange {
    /// First IPA that is not changed yet.
    pub addr: u64,
    /// First IPA beyond the request.
    pub top: u64,
    /// `RmiRipas` asked for.
    pub value: u8,
    /// 1: entries may leave DESTROYED.
    pub destroyed: u8,
    /// 1: a request is pending.
    pub pending: u8,
    _zero: [u8; 5],
}

/// What changes in a REC; belongs to whoever runs it, or has it locked while it is READY.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rec {
    /// Registers.
    pub context: RecContext,
    /// The pending RIPAS change.
    pub ripas: RipasChange,
    /// Raw `ESR_EL2` of the last exit, if it can be answered.
    pub last_esr: u64,
    /// Raw `FAR_EL2` of the last exit, likewise.
    pub last_far: u64,
    /// Attestation token.
    pub attest: Attest,
    runnable: u8,
    host_call_pending: u8,
    psci_pending: u8,
    last_exit: u8,
    _zero: [u8; 4],
}

/// Generation of an attestation token (`attest_state`).
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attest {
    /// Challenge of the token in progress.
    challenge: [u8; 64],
    in_progress: u64,
}

impl Attest {
    /// Begins a token for this challenge.
    pub fn begin(&mut self, challenge: &[u8; 64]) {
        self.challenge = *challenge;
        self.in_progress = 1;
    }

    /// Nothing is in progress any more.
    pub fn end(&mut self) {
        *self = Self::new_zeroed();
    }

    /// Whether a token is being generated.
    #[must_use]
    pub const fn is_in_progress(&self) -> bool {
        self.in_progress != 0
    }
}

const _: () = assert!(size_of::<Rec>() <= REC_BODY_SIZE);

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

impl Rec {
    /// Fills a REC, all zero before.
    pub fn init(&mut self, serial: u64, index: u64, params: &RecParams) {
        self.context.serial = serial;
        self.reset(index, params.pc);
        for (to, from) in self.context.gprs.iter_mut().zip(params.gprs) {
            *to = from;
        }
        self.set_runnable(params.rec_flags().contains(RecCreateFlags::RUNNABLE));
    }

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
        self.context.gic.hcr = crate::run::gic::HCR_FORCED;
        self.context.pmu.pmcr = RESET_PMCR;
        self.set_last_exit(LastExit::Other);
    }

    /// Registers after a successful PSCI_CPU_ON: reset, with the caller's endianness.
    pub fn turn_on(&mut self, index: u64, entry_point: u64, context_id: u64, caller_sctlr: u64) {
        self.reset(index, entry_point);
        self.context.gprs[0] = context_id;
        self.context.el1.sctlr |= caller_sctlr & SCTLR_EE;
        self.set_runnable(true);
    }

    /// Whether the REC may be entered (`runnable` flag).
    #[must_use]
    pub const fn is_runnable(&self) -> bool {
        self.runnable != 0
    }

    /// Sets the `runnable` flag.
    pub fn set_runnable(&mut self, runnable: bool) {
        self.runnable = u8::from(runnable);
    }

    /// Whether a host call waits for its answer.
    #[must_use]
    pub const fn is_host_call_pending(&self) -> bool {
        self.host_call_pending != 0
    }

    /// Sets whether a host call waits for its answer.
    pub fn set_host_call_pending(&mut self, pending: bool) {
        self.host_call_pending = u8::from(pending);
    }

    /// Whether a PSCI request waits for RMI_PSCI_COMPLETE.
    #[must_use]
    pub const fn is_psci_pending(&self) -> bool {
        self.psci_pending != 0
    }

    /// Sets whether a PSCI request waits for RMI_PSCI_COMPLETE.
    pub fn set_psci_pending(&mut self, pending: bool) {
        self.psci_pending = u8::from(pending);
    }

    /// What the last exit was.
    #[must_use]
    pub const fn last_exit(&self) -> LastExit {
        match self.last_exit {
            1 => LastExit::UnprotectedAbort,
            2 => LastExit::EmulatableAbort,
            _ => LastExit::Other,
        }
    }

    /// Notes what the last exit was.
    pub fn set_last_exit(&mut self, exit: LastExit) {
        self.last_exit = match exit {
            LastExit::Other => 0,
            LastExit::UnprotectedAbort => 1,
            LastExit::EmulatableAbort => 2,
        };
    }

    /// Notes a RIPAS change that the Realm asks for.
    pub fn set_ripas(&mut self, base: u64, top: u64, value: Ripas, destroyed: bool) {
        self.ripas = RipasChange {
            addr: base,
            top,
            value: value as u8,
            destroyed: u8::from(destroyed),
            pending: 1,
            _zero: [0; 5],
        };
    }

    /// Forgets the pending RIPAS change.
    pub fn clear_ripas(&mut self) {
        self.ripas = RipasChange::new_zeroed();
    }
}
