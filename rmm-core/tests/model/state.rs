// SPDX-License-Identifier: BSD-3-Clause
//! The state that the specification defines: granules, Realms, RECs (A2), and the content of
//! granules.

use super::conditions::Conditions;
use super::instructions::{Expected, Instruction};
use super::modes::Mode;
use super::tables::{Ripas, Tables};
use rmm_abi::rmi::{HashAlgorithm, RealmParams, RecExit};
use rmm_attest::Measurement;
use rmm_core::machine::CpuFeatures;
use rmm_granule::fake::Pas;
use rmm_granule::{GRANULE_SIZE, GranuleState};
use std::collections::{BTreeMap, VecDeque};

/// Content of a granule.
pub type Page = [u8; GRANULE_SIZE];

/// A granule in the granule table.
pub struct Granule {
    pub state: GranuleState,
    /// PAS in the GPT; `None` where there is no RAM.
    pub pas: Option<Pas>,
    /// Content of an UNDELEGATED, DELEGATED or DATA granule; `None` if it is all zero.
    content: Option<Box<Page>>,
}

impl Granule {
    pub fn new(pas: Option<Pas>) -> Self {
        Self {
            state: GranuleState::Undelegated,
            pas,
            content: None,
        }
    }

    /// Moves the granule to another state and wipes it.
    pub fn become_wiped(&mut self, state: GranuleState) {
        self.state = state;
        self.content = None;
    }

    /// Whether the model knows the content.
    pub fn has_content(&self) -> bool {
        matches!(
            self.state,
            GranuleState::Undelegated | GranuleState::Delegated | GranuleState::Data
        )
    }

    pub fn content(&self) -> &Page {
        const ZERO: &Page = &[0; GRANULE_SIZE];
        self.content.as_deref().unwrap_or(ZERO)
    }

    pub fn content_mut(&mut self) -> &mut Page {
        let content = &mut self.content;
        content.get_or_insert_with(|| Box::new([0; GRANULE_SIZE]))
    }
}

/// Lifecycle state of a Realm (A2.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealmState {
    New,
    Active,
    SystemOff,
    /// Terminated, of RMI 2.0.
    Zombie,
}

/// A Realm.
pub struct Realm {
    pub state: RealmState,
    /// Whether RMI 2.0 has made it.
    pub is_v2: bool,
    pub tables: Tables,
    pub vmid: u16,
    pub rpv: [u8; 64],
    pub algorithm: HashAlgorithm,
    /// RIM and REMs.
    pub measurements: [Measurement; 5],
    pub rec_index: u64,
    /// Live RECs by index.
    pub recs: BTreeMap<u64, u64>,
    /// First result of RMI_REC_AUX_COUNT.
    pub aux_count: Option<u64>,
    /// IPAs whose translation is checked after each step.
    pub probes: VecDeque<u64>,
}

impl Realm {
    /// A Realm with these parameters and measurements of zero.
    pub fn new(params: &RealmParams, start: &[u64], algorithm: HashAlgorithm) -> Self {
        let lpa2 = params.flags & 1 != 0;
        Self {
            state: RealmState::New,
            is_v2: false,
            tables: Tables::new(params.s2sz, params.rtt_level_start, start, lpa2),
            vmid: params.vmid,
            rpv: params.rpv,
            algorithm,
            measurements: [Measurement::ZERO; 5],
            rec_index: 0,
            recs: BTreeMap::new(),
            aux_count: None,
            probes: VecDeque::new(),
        }
    }

    /// Checks the translation of this IPA from now on.
    pub fn probe(&mut self, ipa: u64) {
        const MOST: usize = 10;
        let page = ipa & !0xFFF;
        if !self.probes.contains(&page) {
            self.probes.push_back(page);
        }
        if self.probes.len() > MOST {
            self.probes.pop_front();
        }
    }
}

/// A PSCI request that RMI_PSCI_COMPLETE completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Psci {
    CpuOn {
        target: u64,
        entry: u64,
        context: u64,
    },
    AffinityInfo {
        target: u64,
    },
}

/// A pending RIPAS change (A5.4).
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub addr: u64,
    pub top: u64,
    pub value: Ripas,
    pub from_destroyed: bool,
}

/// The last exit, as far as it decides how the next entry may respond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastExit {
    Other,
    Unprotected,
    Emulatable,
}

/// A REC.
pub struct Rec {
    pub rd: u64,
    pub index: u64,
    pub aux: Vec<u64>,
    pub running: bool,
    pub runnable: bool,
    pub psci: Option<Psci>,
    pub change: Option<Change>,
    /// IPA of the structure of a pending host call.
    pub host_call: Option<u64>,
    pub last: LastExit,
    /// Whether WFI and WFE are trapped.
    pub traps: (bool, bool),
    /// `gicv3_hcr` and `gicv3_lrs` of the last entry.
    pub gic: (u64, [u64; 16]),
    /// PC and X0 to X7 when the program starts.
    pub start: (u64, [u64; 8]),
    /// Next instructions.
    pub todo: VecDeque<Instruction>,
    /// The instruction that is being executed, or that the last exit interrupted.
    pub current: Option<Instruction>,
    /// Expected outcome of that instruction.
    pub expected: Expected,
    /// Expected exit record.
    pub exit: Option<Box<RecExit>>,
}

/// The whole state.
pub struct Model {
    pub mode: Mode,
    /// `tracking_region_size` of the configuration of RMI 2.0.
    pub tracking_size: u8,
    pub features: CpuFeatures,
    pub granules: BTreeMap<u64, Granule>,
    pub realms: BTreeMap<u64, Realm>,
    pub recs: BTreeMap<u64, Rec>,
    /// The latest calls, printed when a test fails.
    pub trace: VecDeque<String>,
}

impl Model {
    pub fn granule_state(&self, pa: u64) -> Option<GranuleState> {
        self.granules.get(&pa).map(|granule| granule.state)
    }

    pub fn granule(&mut self, pa: u64) -> &mut Granule {
        self.granules.get_mut(&pa).expect("a granule")
    }

    pub fn realm(&mut self, rd: u64) -> &mut Realm {
        self.realms.get_mut(&rd).expect("a Realm")
    }

    pub fn rec(&mut self, rec: u64) -> &mut Rec {
        self.recs.get_mut(&rec).expect("a REC")
    }

    /// Adds the failure conditions `_align`, `_bound` and `_state` with these labels. Returns
    /// whether none holds.
    pub fn check(
        &self,
        c: &mut Conditions,
        [align, bound, state]: [&'static str; 3],
        pa: u64,
        wanted: GranuleState,
    ) -> bool {
        let aligned = pa.is_multiple_of(GRANULE_SIZE as u64);
        c.input(align, !aligned);
        let found = self.granule_state(pa & !0xFFF);
        c.input(bound, found.is_none());
        c.input(state, aligned && found.is_some_and(|found| found != wanted));
        aligned && found == Some(wanted)
    }

    /// Adds the failure conditions `_align`, `_bound` and `_pas` of Host memory with these labels.
    /// Returns whether none holds.
    pub fn check_ns(&self, c: &mut Conditions, labels: [&'static str; 3], pa: u64) -> bool {
        let [align, bound, pas] = labels;
        let aligned = pa.is_multiple_of(GRANULE_SIZE as u64);
        let found = self.granules.get(&(pa & !0xFFF));
        c.input(align, !aligned);
        c.input(bound, found.is_none());
        let is_ns = found.is_some_and(|granule| granule.pas == Some(Pas::NonSecure));
        c.input(pas, found.is_some() && !is_ns);
        aligned && is_ns
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, line: String) {
        const MOST: usize = 400;
        if self.trace.len() == MOST {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }
}
