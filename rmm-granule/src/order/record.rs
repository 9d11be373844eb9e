// SPDX-License-Identifier: BSD-3-Clause
//! Checks each lock against the lock order in the documentation of the crate. A thread stands for a
//! CPU and has a record of the Granules that it has locked. A lock out of order panics, whether or
//! not it would have had to wait this time.

use crate::addr::Pa;
use crate::state::GranuleState;
use crate::sync::Word;
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

/// The lines of the documented order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    /// Named by the Host in an RMI command.
    Named,
    /// RTT.
    Rtt,
    /// DATA of a locked RTT.
    Data,
    /// REC_AUX of a locked REC.
    RecAux,
}

impl Line {
    /// The line of a Granule that is claimed to be in state `claim`.
    fn of(claim: GranuleState) -> Self {
        match claim {
            GranuleState::Rtt => Self::Rtt,
            GranuleState::Data => Self::Data,
            GranuleState::RecAux => Self::RecAux,
            _ => Self::Named,
        }
    }
}

/// Identifies a Granule among those of all tables.
fn id(word: &Word) -> usize {
    std::ptr::from_ref(word).addr()
}

/// A Granule that a thread has locked.
#[derive(Clone, Copy)]
struct Held {
    id: usize,
    pa: Pa,
    /// The state it was claimed to be in when it was locked. This decides its line until it is
    /// unlocked.
    claim: GranuleState,
    /// The state it is in.
    state: GranuleState,
    /// It was found in the state claimed.
    right: bool,
}

impl Held {
    fn is(&self, line: Line) -> bool {
        Line::of(self.claim) == line
    }

    /// Whether it was locked as an RTT and has not been wiped since.
    fn is_table(&self) -> bool {
        self.is(Line::Rtt) && self.state == GranuleState::Rtt
    }
}

std::thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
    /// What this thread has locked since [`locked_while`] began.
    static LOCKED: RefCell<Option<BTreeSet<Pa>>> = const { RefCell::new(None) };
}

/// Does `work`, and returns the Granules that it has locked on this thread.
pub fn locked_while<R>(work: impl FnOnce() -> R) -> (R, BTreeSet<Pa>) {
    LOCKED.set(Some(BTreeSet::new()));
    let result = work();
    (result, LOCKED.take().unwrap_or_default())
}

/// What a CPU does with locks, as far as other CPUs can come between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockEvent {
    /// It is about to lock a Granule.
    Waiting,
    /// It has found the Granule locked, and waits.
    Blocked,
    /// It has unlocked a Granule.
    Unlocked,
}

/// Is called with each event.
type Observer = Box<dyn FnMut(LockEvent)>;

std::thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Calls `observer` with each event of this thread while `work` runs; not with those of the observer
/// itself.
pub fn observe_locks<R>(observer: impl FnMut(LockEvent) + 'static, work: impl FnOnce() -> R) -> R {
    /// Drops the observer, also where `work` panics: what it holds may look whether the thread does.
    struct Reset;

    impl Drop for Reset {
        fn drop(&mut self) {
            OBSERVER.set(None);
        }
    }

    OBSERVER.set(Some(Box::new(observer)));
    let _reset = Reset;
    work()
}

fn event(event: LockEvent) {
    if let Some(mut observer) = OBSERVER.take() {
        observer(event);
        OBSERVER.set(Some(observer));
    }
}

/// This CPU has found the Granule locked, and is about to wait for it.
pub(crate) fn blocked() {
    event(LockEvent::Blocked);
}

/// This CPU has unlocked a Granule.
pub(crate) fn unlocked() {
    event(LockEvent::Unlocked);
}

/// Position of an RTT in the tree of its Realm. It does not change as long as it is an RTT.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A start-level RTT: locked with no other held.
    Root,
    /// Locked with its parent held.
    Below { id: usize, pa: Pa },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => write!(f, "at the root"),
            Self::Below { pa, .. } => write!(f, "below {pa:?}"),
        }
    }
}

/// The places of RTTs, as seen when each was first locked.
fn places() -> MutexGuard<'static, BTreeMap<usize, Place>> {
    static PLACES: Mutex<BTreeMap<usize, Place>> = Mutex::new(BTreeMap::new());
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of an RTT that is locked while `held` are held.
fn place(held: &[Held]) -> Place {
    let parent = held.iter().find(|held| held.is_table());
    parent.map_or(Place::Root, |parent| Place::Below {
        id: parent.id,
        pa: parent.pa,
    })
}

/// Why a Granule must not be waited for while `held` are held; `None` if it may.
fn violation(held: &[Held], id: usize, pa: Pa, claim: GranuleState) -> Option<String> {
    let line = Line::of(claim);
    for other in held {
        let what = if other.id == id {
            "which this CPU itself has locked"
        } else if !other.right {
            "while one locked under a wrong claim is held"
        } else if Line::of(other.claim) > line {
            "while one of a later line is held"
        } else if other.is(line) && line >= Line::Data {
            "while another one is held"
        } else if other.is(line) && !other.is_table() && other.pa >= pa {
            // Named by the Host, or start-level RTTs of a Realm being destroyed.
            "while one of a higher address is held"
        } else {
            continue;
        };
        return Some(format!("{what}: {:?} at {:?}", other.claim, other.pa));
    }
    if line != Line::Rtt {
        return None;
    }
    if held.iter().filter(|held| held.is_table()).count() > 1 {
        return Some("while both a parent and its child are held".into());
    }
    let here = place(held);
    let known = places().get(&id).copied()?;
    (known != here).then(|| format!("{here}, but it is {known}"))
}

/// This CPU is about to lock a Granule that its caller claims to be in state `claim`.
///
/// # Panics
/// If it holds a Granule that it must not hold while it waits for this one.
pub(crate) fn waiting(word: &Word, pa: Pa, claim: GranuleState) {
    event(LockEvent::Waiting);
    if let Some(what) = HELD.with_borrow(|held| violation(held, id(word), pa, claim)) {
        panic!("lock order: {claim:?} at {pa:?} is waited for {what}");
    }
}

/// This CPU has locked the Granule and found it in state `found`.
pub(crate) fn locked(word: &Word, pa: Pa, claim: GranuleState, found: GranuleState) {
    LOCKED.with_borrow_mut(|locked| locked.as_mut().map(|locked| locked.insert(pa)));
    let id = id(word);
    let new = Held {
        id,
        pa,
        claim,
        state: found,
        right: claim == found,
    };
    HELD.with_borrow_mut(|held| {
        if new.is_table() {
            places().insert(id, place(held));
        }
        held.push(new);
    });
}

/// The state of a locked Granule changes.
pub(crate) fn state_changed(word: &Word, from: GranuleState, to: GranuleState) {
    if from == GranuleState::Rtt {
        places().remove(&id(word));
    }
    HELD.with_borrow_mut(|held| {
        if let Some(held) = held.iter_mut().find(|held| held.id == id(word)) {
            held.state = to;
        }
    });
}

/// This CPU is about to unlock a Granule.
///
/// # Panics
/// If another CPU has locked it.
pub(crate) fn unlocking(word: &Word) {
    let was_held = HELD.with_borrow_mut(|held| {
        let position = held.iter().rposition(|held| held.id == id(word));
        position.map(|position| held.remove(position)).is_some()
    });
    assert!(
        was_held || std::thread::panicking(),
        "lock order: a Granule is unlocked by a CPU that has not locked it"
    );
}
