// SPDX-License-Identifier: BSD-3-Clause
//! The guard of a locked Granule.

use crate::fill::Filling;
use crate::memory::Memory;
use crate::state::{COUNT_MASK, Counted, Delegated, LOCK, Purpose, Rd, Rtt, State, Wiped};
use crate::sync::{Ordering, Word};
use crate::window::{Content, Open, OpenRtt, View, Window};
use crate::{Pa, order};
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::AtomicU64;

/// A Granule in state `S`, locked; the drop unlocks it.
#[must_use = "the Granule is unlocked at once"]
pub struct Locked<'t, S: State> {
    word: &'t Word,
    pa: Pa,
    state: PhantomData<fn() -> S>,
}

impl<'t, S: State> Locked<'t, S> {
    /// The guard of a word that the caller has locked in state `S`.
    #[inline(always)]
    pub(crate) fn new(word: &'t Word, pa: Pa) -> Self {
        Self {
            word,
            pa,
            state: PhantomData,
        }
    }

    /// Physical address of the Granule.
    #[inline(always)]
    pub fn pa(&self) -> Pa {
        self.pa
    }

    /// Reference count of the Granule at this moment. What was done before another CPU lowered it
    /// to the value seen has happened before.
    #[inline(always)]
    pub fn refs(&self) -> u16 {
        self.word.load(Ordering::Acquire) & COUNT_MASK
    }

    #[inline(always)]
    fn become_state<T: State>(self) -> Locked<'t, T> {
        assert!(self.refs() == 0, "state change of a Granule in use");
        let (word, pa) = self.into_parts();
        order::changed(word, S::STATE, T::STATE);
        // The unlock makes it known to the next holder of the lock, and the content with it.
        word.fetch_xor(S::STATE.bits() ^ T::STATE.bits(), Ordering::Relaxed);
        Locked::new(word, pa)
    }

    /// Gives up the guard and leaves the Granule locked.
    #[inline(always)]
    pub(crate) fn into_parts(self) -> (&'t Word, Pa) {
        let old = ManuallyDrop::new(self);
        (old.word, old.pa)
    }

    /// Opens the content for reading and writing.
    #[inline(always)]
    pub(crate) fn open<'a, M: Memory>(&'a self, mem: &'a M) -> Open<'a, M> {
        Open::new(mem, self.pa)
    }
}

impl<S: State> Drop for Locked<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        order::unlocked(self.word);
        // Not a store: the count may change at the same time.
        self.word.fetch_and(!LOCK, Ordering::Release);
    }
}

impl<S: State> fmt::Debug for Locked<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locked({:?}, {:#x})", S::STATE, self.pa)
    }
}

impl<'t> Locked<'t, Delegated> {
    /// Gives the Granule a purpose, its content being all zero.
    #[inline(always)]
    pub fn transition<T: Purpose>(self) -> Locked<'t, T> {
        self.become_state()
    }

    /// Opens the content for filling it on the way to its next state.
    #[inline(always)]
    pub fn fill<'m, M: Memory, T: Content>(self, mem: &'m M) -> Filling<'t, 'm, M, T> {
        Filling::new(self, mem)
    }

    /// Takes on the state `T` for content that [`Filling`] wrote.
    #[inline(always)]
    pub(crate) fn filled<T: Purpose>(self) -> Locked<'t, T> {
        self.become_state()
    }
}

impl<'t, S: Wiped> Locked<'t, S> {
    /// Wipes the content and makes the Granule DELEGATED.
    ///
    /// The Granule is in Realm PAS: of an UNDELEGATED one the caller knows it from EL3. No
    /// translation of a Realm reaches it any more.
    ///
    /// # Panics
    /// If the reference count is not 0: the caller has lost track.
    #[inline(always)]
    pub fn wipe_into_delegated<M: Memory>(self, mem: &M) -> Locked<'t, Delegated> {
        let wiped = self.become_state::<Delegated>();
        wiped.open(mem).wipe();
        wiped
    }
}

impl<S: Counted> Locked<'_, S> {
    /// Adds `count` to the reference count.
    ///
    /// # Panics
    /// If the count does not fit; the caller's own limit is far lower.
    #[inline(always)]
    pub fn take_refs(&self, count: u16) {
        // As for a change of state.
        let old = self.word.fetch_add(count, Ordering::Relaxed) & COUNT_MASK;
        assert!(
            count <= COUNT_MASK && old <= COUNT_MASK - count,
            "reference count overflow"
        );
    }

    /// Adds one to the reference count; see [`Locked::take_refs`].
    #[inline(always)]
    pub fn take_ref(&self) {
        self.take_refs(1);
    }

    /// Takes `count` from the reference count.
    ///
    /// # Panics
    /// If the count is lower than that: the caller has lost track.
    #[inline(always)]
    pub fn put_refs(&self, count: u16) {
        // Whoever looks at the count has the lock, and what was done before comes with it.
        let old = self.word.fetch_sub(count, Ordering::Relaxed) & COUNT_MASK;
        assert!(old >= count, "reference count underflow");
    }

    /// Takes one from the reference count; see [`Locked::put_refs`].
    #[inline(always)]
    pub fn put_ref(&self) {
        self.put_refs(1);
    }
}

impl Locked<'_, Rd> {
    /// Opens the Realm descriptor for reading and writing.
    #[inline(always)]
    pub fn map<'a, M: Memory, T: Content>(&'a mut self, mem: &'a M) -> Window<'a, M, T> {
        Window::new(self.open(mem))
    }
}

impl<'t> Locked<'t, Rtt> {
    /// Opens the table. The hardware walker sees each store as soon as it is made.
    #[inline(always)]
    pub fn map<'a, M: Memory>(&'a self, mem: &'a M) -> View<'a, M, [AtomicU64; 512]> {
        View::new(self.open(mem))
    }

    /// Opens the table and keeps guard and window in one value.
    #[inline(always)]
    pub fn open_table<'m, M: Memory>(self, mem: &'m M) -> OpenRtt<'t, 'm, M> {
        OpenRtt::new(self, mem)
    }
}
