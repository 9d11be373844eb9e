// SPDX-License-Identifier: BSD-3-Clause
//! Access to REC Granules, which are used without their lock while RUNNING.
//!
//! A REC's content is a head that no one changes after its creation, so that it can be read by
//! whoever has the Granule locked, and a body that belongs to the lock holder while the REC is
//! READY and to the holder of [`Pinned`] while it is RUNNING.

use crate::lock::Locked;
use crate::memory::Memory;
use crate::state::{COUNT_MASK, LOCK, Rec};
use crate::sync::{Ordering, Word};
use crate::window::{Content, Open, View, Window};
use crate::{GRANULE_SIZE, Pa, order};
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use zerocopy::Immutable;

/// Bytes of a REC Granule that never change after its creation, from its first byte.
pub const REC_HEAD_SIZE: usize = 256;

/// Bytes of a REC Granule after its head.
pub const REC_BODY_SIZE: usize = GRANULE_SIZE - REC_HEAD_SIZE;

impl<'t> Locked<'t, Rec> {
    /// Opens the head of the REC, whether it is RUNNING or not.
    #[inline(always)]
    pub fn head<'a, M: Memory, H: Content + Immutable>(&'a self, mem: &'a M) -> View<'a, M, H> {
        const { assert!(size_of::<H>() <= REC_HEAD_SIZE) }
        View::new(self.open(mem))
    }

    /// Whether the REC is RUNNING.
    #[inline(always)]
    pub fn is_running(&self) -> bool {
        self.refs() != 0
    }

    /// Opens the REC; `None` while it is RUNNING.
    #[inline(always)]
    pub fn map<'a, M: Memory, H: Content + Immutable, B: Content>(
        &'a mut self,
        mem: &'a M,
    ) -> Option<RecWindow<'a, M, H, B>> {
        if self.is_running() {
            None
        } else {
            Some(RecWindow::new(self.open(mem)))
        }
    }

    /// Makes the REC RUNNING and unlocks it; its content becomes the caller's.
    ///
    /// # Errors
    /// The guard itself, if the REC is RUNNING already.
    #[inline(always)]
    pub fn pin(self) -> Result<Pinned<'t>, Self> {
        if self.is_running() {
            return Err(self);
        }
        let (word, pa) = self.into_parts();
        order::unlocked(word);
        // Unlocks, and sets the count to 1: it is 0 and only the lock holder raises it.
        word.fetch_xor(LOCK | 1, Ordering::Release);
        Ok(Pinned { word, pa })
    }
}

/// A RUNNING REC, not locked, whose content is the holder's; the drop makes it READY.
#[must_use = "the REC is READY again at once"]
pub struct Pinned<'t> {
    word: &'t Word,
    pa: Pa,
}

impl Pinned<'_> {
    /// Physical address of the REC.
    #[inline(always)]
    pub fn pa(&self) -> Pa {
        self.pa
    }

    /// Opens the REC, and the way to its auxiliary Granules.
    #[inline(always)]
    pub fn map_with_aux<'a, M: Memory, H: Content + Immutable, B: Content>(
        &'a mut self,
        mem: &'a M,
    ) -> (RecWindow<'a, M, H, B>, Auxiliary<'a, M>) {
        (RecWindow::new(Open::new(mem, self.pa)), Auxiliary { mem })
    }
}

/// The way to the auxiliary Granules of a RUNNING REC.
pub struct Auxiliary<'a, M: Memory> {
    mem: &'a M,
}

impl<M: Memory> Auxiliary<'_, M> {
    /// Opens an auxiliary Granule.
    ///
    /// # Safety
    /// `aux` is a REC_AUX Granule of the REC this value came from, and no other window onto it is
    /// open.
    #[inline(always)]
    pub unsafe fn map<T: Content>(&self, aux: Pa) -> Window<'_, M, T> {
        Window::new(Open::new(self.mem, aux))
    }
}

impl Drop for Pinned<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let old = self.word.fetch_sub(1, Ordering::Release);
        debug_assert_eq!(old & COUNT_MASK, 1);
    }
}

impl fmt::Debug for Pinned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({:#x})", self.pa)
    }
}

/// The content of a REC: dereferences to its body `B`; the drop closes the window.
pub struct RecWindow<'a, M: Memory, H: Content + Immutable, B: Content> {
    open: Open<'a, M>,
    content: PhantomData<(&'a H, &'a mut B)>,
}

impl<'a, M: Memory, H: Content + Immutable, B: Content> RecWindow<'a, M, H, B> {
    #[inline(always)]
    fn new(open: Open<'a, M>) -> Self {
        const { assert!(size_of::<H>() <= REC_HEAD_SIZE) }
        Self {
            open,
            content: PhantomData,
        }
    }

    /// The head.
    #[inline(always)]
    pub fn head(&self) -> &H {
        // SAFETY: the window is open and nobody writes the head.
        unsafe { self.open.at::<H, 0>().as_ref() }
    }

    /// Head and body at once.
    #[inline(always)]
    pub fn split(&mut self) -> (&H, &mut B) {
        // SAFETY: the window is open; nobody writes the head; the body does not overlap it, is the
        // holder's alone, and this value is borrowed mutably.
        unsafe {
            (
                self.open.at::<H, 0>().as_ref(),
                self.open.at::<B, REC_HEAD_SIZE>().as_mut(),
            )
        }
    }
}

impl<M: Memory, H: Content + Immutable, B: Content> Deref for RecWindow<'_, M, H, B> {
    type Target = B;

    #[inline(always)]
    fn deref(&self) -> &B {
        // SAFETY: the window is open and the body is the holder's alone.
        unsafe { self.open.at::<B, REC_HEAD_SIZE>().as_ref() }
    }
}

impl<M: Memory, H: Content + Immutable, B: Content> DerefMut for RecWindow<'_, M, H, B> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut B {
        self.split().1
    }
}
