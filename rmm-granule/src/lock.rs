// SPDX-License-Identifier: BSD-3-Clause
//! The guard of a locked Granule.

use crate::addr::Pa;
use crate::bug;
use crate::memory::Memory;
use crate::order;
use crate::state::{
    ACTIVE, COUNT_MASK, Delegated, Exclusive, GranuleState, LOCK, NextState, Rd, RefCounted,
    Shared, State,
};
use crate::sync::{Ordering, Word};
use crate::window::{Content, RawWindow, Window};
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

/// A Granule in state `S`, locked; the drop unlocks it.
#[must_use = "the Granule is unlocked at once"]
pub struct Locked<'t, S: State> {
    word: &'t Word,
    pa: Pa,
    state: PhantomData<fn() -> S>,
}

impl<'t, S: State> Locked<'t, S> {
    /// The guard of the Granule at `pa`, whose word is `word`.
    ///
    /// # Safety
    /// This CPU has locked the Granule, it is in state `S`, and it has no other guard.
    #[inline]
    pub(crate) unsafe fn new(word: &'t Word, pa: Pa) -> Self {
        Self {
            word,
            pa,
            state: PhantomData,
        }
    }

    /// Physical address of the Granule.
    #[inline]
    pub fn pa(&self) -> Pa {
        self.pa
    }

    /// Reference count of the Granule at this moment. If another CPU lowered the count to this value,
    /// what that CPU did before is visible to this one.
    #[inline]
    pub fn refs(&self) -> u16 {
        self.word.load(Ordering::Acquire) & COUNT_MASK
    }

    /// Changes the state to `T`.
    ///
    /// # Panics
    /// If the reference count is not 0.
    #[inline]
    pub(crate) fn become_state<T: State>(self) -> Locked<'t, T> {
        // Acquire: as in `refs`.
        let seen = self.word.load(Ordering::Acquire);
        if seen & COUNT_MASK != 0 {
            bug!("state change of a Granule in use");
        }
        let (word, pa) = self.into_parts();
        order::state_changed(word, S::STATE, T::STATE);
        // Only an RD has this bit, which only the lock holder changes.
        let active = match S::STATE {
            GranuleState::Rd => seen & ACTIVE,
            _ => 0,
        };
        // Relaxed: the unlock publishes it to the next holder of the lock, together with the content.
        word.fetch_xor(
            S::STATE.bits() ^ T::STATE.bits() ^ active,
            Ordering::Relaxed,
        );
        // SAFETY: the guard of state `S` was dissolved, and left the Granule locked.
        unsafe { Locked::new(word, pa) }
    }

    /// Dissolves the guard and leaves the Granule locked.
    #[inline]
    pub(crate) fn into_parts(self) -> (&'t Word, Pa) {
        let old = ManuallyDrop::new(self);
        (old.word, old.pa)
    }

    /// Opens a window onto the Granule. What state `S` permits decides what may be done with it.
    #[inline]
    pub(crate) fn open<'a, M: Memory>(&'a self, mem: &'a M) -> RawWindow<'a, M> {
        RawWindow::new(mem, self.pa)
    }
}

impl<S: State> Drop for Locked<'_, S> {
    #[inline]
    fn drop(&mut self) {
        order::unlocking(self.word);
        // Not a store: another CPU may lower the count at the same time.
        self.word.fetch_and(!LOCK, Ordering::Release);
        order::unlocked();
    }
}

impl<S: State> fmt::Debug for Locked<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locked({:?}, {:#x})", S::STATE, self.pa)
    }
}

impl<'t> Locked<'t, Delegated> {
    /// Changes the state to `T`. The content is all zero.
    #[inline]
    pub fn transition<T: NextState>(self) -> Locked<'t, T> {
        self.become_state()
    }
}

impl<'t, S: Exclusive> Locked<'t, S> {
    /// Wipes the content and makes the Granule DELEGATED. It is in Realm PAS; if it is UNDELEGATED, EL3
    /// has just moved it there.
    ///
    /// # Panics
    /// If the reference count is not 0. This is a bug of the caller.
    #[inline]
    pub fn wipe_into_delegated<M: Memory>(self, mem: &M) -> Locked<'t, Delegated> {
        // SAFETY: only the lock holder reaches the content.
        unsafe { self.wipe(mem) }
    }
}

impl<'t, S: Shared> Locked<'t, S> {
    /// Wipes the content and makes the Granule DELEGATED.
    ///
    /// # Safety
    /// Nobody else reaches the content any more. Of DATA: no translation of a Realm, in tables or TLBs,
    /// leads to it. Of an RTT: no entry refers to it, in tables or TLBs, or no REC of its Realm exists. Of
    /// a REC_AUX: its REC is locked and not RUNNING.
    ///
    /// # Panics
    /// If the reference count is not 0. This is a bug of the caller.
    #[inline]
    pub unsafe fn wipe_unused_into_delegated<M: Memory>(self, mem: &M) -> Locked<'t, Delegated> {
        // SAFETY: as the caller promises.
        unsafe { self.wipe(mem) }
    }
}

impl<'t, S: State> Locked<'t, S> {
    /// # Safety
    /// Nobody else reaches the content.
    #[inline]
    unsafe fn wipe<M: Memory>(self, mem: &M) -> Locked<'t, Delegated> {
        let wiped = self.become_state::<Delegated>();
        // SAFETY: as the caller promises.
        unsafe { wiped.open(mem).wipe() };
        wiped
    }
}

impl<S: RefCounted> Locked<'_, S> {
    /// Adds `count` to the reference count.
    ///
    /// # Panics
    /// If the sum exceeds 1023. The number of references that can exist is far lower.
    #[inline]
    pub fn add_refs(&self, count: u16) {
        // Relaxed: as for a change of state.
        let old = self.word.fetch_add(count, Ordering::Relaxed) & COUNT_MASK;
        if count > COUNT_MASK || old > COUNT_MASK - count {
            bug!("reference count overflow");
        }
    }

    /// Subtracts `count` from the reference count.
    ///
    /// # Panics
    /// If the reference count is lower than `count`. This is a bug of the caller.
    #[inline]
    pub fn remove_refs(&self, count: u16) {
        // Relaxed: the count is read under the lock, which this CPU has yet to release.
        let old = self.word.fetch_sub(count, Ordering::Relaxed) & COUNT_MASK;
        if old < count {
            bug!("reference count underflow");
        }
    }
}

impl<T: Content> Locked<'_, Rd<T>> {
    /// Opens the Realm descriptor for reading and writing.
    #[inline]
    pub fn map<'a, M: Memory>(&'a mut self, mem: &'a M) -> Window<'a, M, T> {
        // SAFETY: an RD is accessed under its lock alone, and the guard is borrowed mutably.
        unsafe { Window::new(self.open(mem)) }
    }

    /// Notes whether the Realm is ACTIVE, for [`GranuleTable::is_active`](crate::GranuleTable::is_active).
    /// A new RD is not.
    #[inline]
    pub fn set_active(&mut self, active: bool) {
        // Relaxed: who reads it without the lock reads nothing else of the RD because of it.
        if active {
            self.word.fetch_or(ACTIVE, Ordering::Relaxed);
        } else {
            self.word.fetch_and(!ACTIVE, Ordering::Relaxed);
        }
    }
}
