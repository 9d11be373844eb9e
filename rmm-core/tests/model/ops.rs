// SPDX-License-Identifier: BSD-3-Clause
//! What a Host may do next: steps as proptest makes and shrinks them.
//!
//! A step is a kind and some numbers. What the numbers name depends on the state when the step is
//! taken: the second DATA Granule, the third entry of a table. So most calls fit the state; a twist
//! replaces one argument by something that may not.

use proptest::collection::vec;
use proptest::prelude::*;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
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
    /// A call with any numbers.
    Raw,
    /// The Host writes its own memory.
    Write,
    /// Secure world or EL3 takes a page, or gives it back.
    Move,
    /// A Realm with RECs, tables, RAM and memory.
    Setup,
    /// Tables down to level 3.
    Tables,
    /// A block of DATA, folded.
    Block,
    /// A table full of the Host's memory, folded.
    NsBlock,
    /// A RIPAS change, from request to completion.
    Ripas,
    /// A PSCI call, from the request to its answer.
    Psci,
    /// A Realm is taken apart and destroyed.
    TearDown,
}

/// An argument of a call becomes another: which one, and how.
pub type Twist = Option<(u8, u8)>;

/// One step.
#[derive(Clone, Debug)]
pub struct Op {
    pub what: What,
    pub numbers: [u16; 6],
    pub twist: Twist,
}

/// How often a step is what.
const WEIGHTS: &[(u32, What)] = &[
    (1, What::Version),
    (4, What::Delegate),
    (4, What::Undelegate),
    (1, What::RealmCreate),
    (4, What::Activate),
    (2, What::RealmDestroy),
    (1, What::AuxCount),
    (3, What::RecCreate),
    (1, What::RecDestroy),
    (30, What::Enter),
    (5, What::PsciComplete),
    (5, What::DataCreate),
    (8, What::DataCreateUnknown),
    (8, What::DataDestroy),
    (8, What::RttCreate),
    (7, What::RttDestroy),
    (8, What::RttFold),
    (3, What::ReadEntry),
    (7, What::Map),
    (6, What::Unmap),
    (7, What::InitRipas),
    (6, What::SetRipas),
    (2, What::Raw),
    (2, What::Write),
    (2, What::Move),
    (4, What::Setup),
    (6, What::Tables),
    (1, What::Block),
    (1, What::NsBlock),
    (6, What::Ripas),
    (6, What::Psci),
    (1, What::TearDown),
];

fn what() -> impl Strategy<Value = What> {
    let weighted = WEIGHTS.iter().map(|(weight, what)| (*weight, Just(*what)));
    proptest::strategy::Union::new_weighted(weighted.collect())
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        3 => Just(None),
        1 => (any::<u8>(), any::<u8>()).prop_map(Some),
    ]
}

/// A step.
pub fn op() -> impl Strategy<Value = Op> {
    (what(), any::<[u16; 6]>(), twist()).prop_map(|(what, numbers, twist)| Op {
        what,
        numbers,
        twist,
    })
}

/// Steps on one machine.
pub fn ops(steps: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 1..=steps)
}

/// The numbers of a step, one after the other; more follow from the last.
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

    /// Less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.word()) % n.max(1)
    }

    /// Once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// One of these, if there is any.
    pub fn some<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| self.of(all))
    }

    /// Numbers for a step within this one.
    pub fn inner(&mut self) -> [u16; 6] {
        std::array::from_fn(|_| self.word())
    }
}
