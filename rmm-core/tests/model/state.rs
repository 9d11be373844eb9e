// SPDX-License-Identifier: BSD-3-Clause
//! The specification's state: Granules, Realms, RECs (A2), and Granules' content.

use super::conditions::Conditions;
use super::guest::{Doing, Expected, Instruction};
use super::tables::{Ripas, Tables};
use rmm_abi::rmi::{HashAlgorithm, RecExit};
use rmm_attest::Measurement;
use rmm_core::machine::CpuFeatures;
use rmm_granule::GRANULE_SIZE;
use rmm_granule::fake::Pas;
use std::collections::{BTreeMap, VecDeque};

/// A Granule's content.
pub type Page = [u8; GRANULE_SIZE];

/// Lifecycle state of a Granule (A2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Undelegated,
    Delegated,
    Rd,
    Rec,
    RecAux,
    Rtt,
    Data,
}

impl Kind {
    /// Bits 14:12 of the Granule's word.
    pub fn bits(self) -> u16 {
        self as u16
    }
}

/// A Granule that the monitor knows.
pub struct Granule {
    pub kind: Kind,
    /// As the GPT has it; none where there is no RAM.
    pub pas: Option<Pas>,
    /// Content of UNDELEGATED, DELEGATED and DATA Granules; none is all zero.
    content: Option<Box<Page>>,
}

impl Granule {
    pub fn new(pas: Option<Pas>) -> Self {
        Self {
            kind: Kind::Undelegated,
            pas,
            content: None,
        }
    }

    /// The Granule in another state, wiped.
    pub fn become_wiped(&mut self, kind: Kind) {
        self.kind = kind;
        self.content = None;
    }

    /// The content is this model's to know.
    pub fn has_content(&self) -> bool {
        matches!(self.kind, Kind::Undelegated | Kind::Delegated | Kind::Data)
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
}

/// A Realm.
pub struct Realm {
    pub state: RealmState,
    pub tables: Tables,
    pub vmid: u16,
    pub rpv: [u8; 64],
    pub algorithm: HashAlgorithm,
    /// RIM and REMs.
    pub measurements: [Measurement; 5],
    pub rec_index: u64,
    /// Live RECs by index.
    pub recs: BTreeMap<u64, u64>,
    /// What RMI_REC_AUX_COUNT told first.
    pub aux_count: Option<u64>,
    /// IPAs whose translation is looked at after each step.
    pub probes: VecDeque<u64>,
}

impl Realm {
    /// Looks at the translation of this IPA from now on.
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

/// A request of the Realm's that RMI_PSCI_COMPLETE answers.
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

/// What an entry may answer.
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
    /// WFI and WFE leave the Realm.
    pub traps: (bool, bool),
    /// `gicv3_hcr` and `gicv3_lrs` of the last entry.
    pub gic: (u64, [u64; 16]),
    /// PC and X0 to X7 when its program begins.
    pub start: (u64, [u64; 8]),
    /// What it does next.
    pub todo: VecDeque<Instruction>,
    /// The instruction that the last exit interrupted.
    pub doing: Option<Doing>,
    /// What the instruction under way will come to.
    pub expected: Expected,
    /// The exit record that is to come.
    pub exit: Option<Box<RecExit>>,
}

/// Everything.
pub struct Model {
    pub features: CpuFeatures,
    pub granules: BTreeMap<u64, Granule>,
    pub realms: BTreeMap<u64, Realm>,
    pub recs: BTreeMap<u64, Rec>,
    /// The latest calls, for whoever looks for a mistake.
    pub trace: VecDeque<String>,
}

impl Model {
    pub fn kind(&self, pa: u64) -> Option<Kind> {
        self.granules.get(&pa).map(|granule| granule.kind)
    }

    pub fn granule(&mut self, pa: u64) -> &mut Granule {
        self.granules.get_mut(&pa).expect("a Granule")
    }

    pub fn realm(&mut self, rd: u64) -> &mut Realm {
        self.realms.get_mut(&rd).expect("a Realm")
    }

    pub fn rec(&mut self, rec: u64) -> &mut Rec {
        self.recs.get_mut(&rec).expect("a REC")
    }

    /// `X_align`, `X_bound` and `X_state`, of these labels; whether none holds.
    pub fn check(
        &self,
        c: &mut Conditions,
        [align, bound, state]: [&'static str; 3],
        pa: u64,
        kind: Kind,
    ) -> bool {
        let aligned = pa.is_multiple_of(GRANULE_SIZE as u64);
        c.input(align, !aligned);
        let found = self.kind(pa & !0xFFF);
        c.input(bound, found.is_none());
        c.input(state, aligned && found.is_some_and(|found| found != kind));
        aligned && found == Some(kind)
    }

    /// `X_align`, `X_bound` and `X_pas` of memory that the Host gives; whether none holds.
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

    /// Takes note of a call, for the trace.
    pub fn note(&mut self, line: String) {
        const MOST: usize = 400;
        if self.trace.len() == MOST {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }
}
