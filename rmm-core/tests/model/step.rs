// SPDX-License-Identifier: BSD-3-Clause
//! The steps of a Host, as proptest generates and shrinks them.
//!
//! A step is a kind and some numbers. The numbers choose from what the state has when the step is
//! taken: the second DATA granule, the third entry of an RTT. So most calls fit the state. A twist
//! replaces one argument by another, which may be wrong.

use proptest::collection::vec;
use proptest::prelude::*;

/// Kind of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    Version,
    Delegate,
    Undelegate,
    RealmCreate,
    Activate,
    RealmDestroy,
    AuxCount,
    RecCreate,
    RecDestroy,
    Enter,
    PsciComplete,
    DataCreate,
    DataCreateUnknown,
    DataDestroy,
    RttCreate,
    RttDestroy,
    RttFold,
    ReadEntry,
    Map,
    Unmap,
    InitRipas,
    SetRipas,
    Terminate,
    /// A command on the RMM or on the dialect.
    Mode,
    /// Everything is destroyed, and the dialect changes.
    Switch,
    /// A call with random arguments.
    Raw,
    /// A write to Host memory.
    Write,
    /// Secure world or EL3 moves a page to another PAS, or back.
    Move,
    /// A Realm with RECs, tables, RAM and memory.
    Setup,
    /// RTTs down to level 3.
    Tables,
    /// A block of DATA, folded.
    Block,
    /// An RTT full of Host memory, folded.
    NsBlock,
    /// A RIPAS change, from request to completion.
    Ripas,
    /// A PSCI call, from the request to its answer.
    Psci,
    /// All that a Realm has is destroyed, then the Realm.
    TearDown,
}

/// Replaces one argument of a call: which one, and how.
pub type Twist = Option<(u8, u8)>;

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: StepKind,
    pub numbers: [u16; 6],
    pub twist: Twist,
}

/// How often each kind of step is taken.
pub const WEIGHTS: &[(u32, StepKind)] = &[
    (1, StepKind::Version),
    (4, StepKind::Delegate),
    (4, StepKind::Undelegate),
    (1, StepKind::RealmCreate),
    (4, StepKind::Activate),
    (2, StepKind::RealmDestroy),
    (1, StepKind::AuxCount),
    (3, StepKind::RecCreate),
    (1, StepKind::RecDestroy),
    (30, StepKind::Enter),
    (5, StepKind::PsciComplete),
    (5, StepKind::DataCreate),
    (8, StepKind::DataCreateUnknown),
    (8, StepKind::DataDestroy),
    (8, StepKind::RttCreate),
    (7, StepKind::RttDestroy),
    (8, StepKind::RttFold),
    (3, StepKind::ReadEntry),
    (7, StepKind::Map),
    (6, StepKind::Unmap),
    (7, StepKind::InitRipas),
    (6, StepKind::SetRipas),
    (1, StepKind::Terminate),
    (3, StepKind::Mode),
    (1, StepKind::Switch),
    (2, StepKind::Raw),
    (2, StepKind::Write),
    (2, StepKind::Move),
    (4, StepKind::Setup),
    (6, StepKind::Tables),
    (1, StepKind::Block),
    (1, StepKind::NsBlock),
    (6, StepKind::Ripas),
    (6, StepKind::Psci),
    (1, StepKind::TearDown),
];

fn kind() -> impl Strategy<Value = StepKind> {
    let weighted = WEIGHTS.iter().map(|(weight, kind)| (*weight, Just(*kind)));
    proptest::strategy::Union::new_weighted(weighted.collect())
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        3 => Just(None),
        1 => (any::<u8>(), any::<u8>()).prop_map(Some),
    ]
}

/// A step.
fn step() -> impl Strategy<Value = Step> {
    (kind(), any::<[u16; 6]>(), twist()).prop_map(|(kind, numbers, twist)| Step {
        kind,
        numbers,
        twist,
    })
}

/// The steps on one machine, this many at most.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..=most)
}

/// The numbers of a step, one after the other, and then as many as needed.
pub struct Draw {
    numbers: [u16; 6],
    next: usize,
    state: u64,
}

impl Draw {
    pub fn new(numbers: [u16; 6]) -> Self {
        let seed = numbers.iter().fold(0x9E37_79B9_7F4A_7C15, |seed: u64, n| {
            (seed ^ u64::from(*n)).wrapping_mul(0xD129_0C4F_2B5F_5AB5)
        });
        Self {
            numbers,
            next: 0,
            state: seed | 1,
        }
    }

    /// 16 bits.
    fn word(&mut self) -> u16 {
        if let Some(number) = self.numbers.get(self.next) {
            self.next += 1;
            return *number;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 24) as u16
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        (0..4).fold(0, |bits, _| bits << 16 | u64::from(self.word()))
    }

    /// A number less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.word()) % n.max(1)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// One of these values.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// One of these values, if there is one.
    pub fn some<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| self.of(all))
    }

    /// Numbers for another step within this one.
    pub fn inner(&mut self) -> [u16; 6] {
        std::array::from_fn(|_| self.word())
    }
}
