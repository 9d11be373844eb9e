// SPDX-License-Identifier: BSD-3-Clause
//! Access to REC Granules, which are used without their lock while RUNNING.
//!
//! The content of a REC is a head and a body. Nobody writes the head after RMI_REC_CREATE, so
//! whoever has the Granule locked may read it. The body belongs to the lock holder while the REC is
//! READY, and to the holder of [`Pinned`] while it is RUNNING.

use crate::addr::{GRANULE_SIZE, Pa};
use crate::lock::Locked;
use crate::memory::Memory;
use crate::order;
use crate::state::{COUNT_MASK, LOCK, Rec};
use crate::sync::{Ordering, Word};
use crate::window::{Content, RawWindow, View, Window};
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use zerocopy::Immutable;

/// Size in bytes of the head of a REC, which begins at the first byte of the Granule.
pub const REC_HEAD_SIZE: usize = 256;

/// Size in bytes of the body of a REC, which follows the head.
pub const REC_BODY_SIZE: usize = GRANULE_SIZE - REC_HEAD_SIZE;

impl<'t, H: Content + Immutable, B: Content> Locked<'t, Rec<H, B>> {
    /// Opens the head of the REC for reading, whether the REC is READY or RUNNING.
    #[inline]
    pub fn head<'a, M: Memory>(&'a self, mem: &'a M) -> View<'a, M, H> {
        const { assert!(size_of::<H>() <= REC_HEAD_SIZE) }
        // SAFETY: nobody writes the head of a REC.
        unsafe { View::new(self.open(mem)) }
    }

    /// Whether the REC is RUNNING.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.refs() != 0
    }

    /// Opens head and body of the REC; `None` if it is RUNNING.
    #[inline]
    pub fn map<'a, M: Memory>(&'a mut self, mem: &'a M) -> Option<RecWindow<'a, M, H, B>> {
        if self.is_running() {
            None
        } else {
            // SAFETY: the REC is READY, and stays so as long as the guard is borrowed.
            Some(unsafe { RecWindow::new(self.open(mem)) })
        }
    }

    /// Makes the REC RUNNING and unlocks it. Body and auxiliary Granules belong to the caller until
    /// it drops what this returns.
    ///
    /// # Errors
    /// The guard itself, if the REC is RUNNING already.
    #[inline]
    pub fn pin(self) -> Result<Pinned<'t, H, B>, Self> {
        if self.is_running() {
            return Err(self);
        }
        let (word, pa) = self.into_parts();
        order::unlocking(word);
        // Unlocks and, in the same step, sets the count to 1: it is 0, and only the lock holder
        // raises it.
        word.fetch_xor(LOCK | 1, Ordering::Release);
        order::unlocked();
        Ok(Pinned {
            word,
            pa,
            content: PhantomData,
        })
    }
}

/// A RUNNING REC, not locked; its body and auxiliary Granules belong to the holder. The drop makes
/// it READY.
#[must_use = "the REC is READY again at once"]
pub struct Pinned<'t, H, B> {
    word: &'t Word,
    pa: Pa,
    content: PhantomData<fn() -> (H, B)>,
}

impl<H: Content + Immutable, B: Content> Pinned<'_, H, B> {
    /// Opens head and body of the REC, and access to its auxiliary Granules.
    #[inline]
    pub fn map_with_aux<'a, M: Memory>(
        &'a mut self,
        mem: &'a M,
    ) -> (RecWindow<'a, M, H, B>, AuxGranules<'a, M>) {
        // SAFETY: the body of a RUNNING REC belongs to this value, which is borrowed mutably.
        let rec = unsafe { RecWindow::new(RawWindow::new(mem, self.pa)) };
        (rec, AuxGranules { mem })
    }
}

/// Access to the auxiliary Granules of a RUNNING REC.
pub struct AuxGranules<'a, M: Memory> {
    mem: &'a M,
}

impl<M: Memory> AuxGranules<'_, M> {
    /// Opens what lies from `OFFSET` bytes on in `granule` for reading and writing.
    ///
    /// # Safety
    /// `granule` is a REC_AUX Granule of the REC that this value came from, or that REC itself, whose head
    /// and body then end at or before `OFFSET`; and no other window onto these bytes is open.
    #[inline]
    pub unsafe fn map<T: Content, const OFFSET: usize>(
        &self,
        granule: Pa,
    ) -> Window<'_, M, T, OFFSET> {
        // SAFETY: the REC and its auxiliary Granules belong to the holder of `Pinned`, and the caller
        // opens these bytes once.
        unsafe { Window::new(RawWindow::of_part(self.mem, granule)) }
    }
}

impl<H, B> Drop for Pinned<'_, H, B> {
    #[inline]
    fn drop(&mut self) {
        // Release: publishes the body to whoever sees the REC READY. A lock cannot do that here.
        let old = self.word.fetch_sub(1, Ordering::Release);
        debug_assert_eq!(old & COUNT_MASK, 1);
    }
}

impl<H, B> fmt::Debug for Pinned<'_, H, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({:#x})", self.pa)
    }
}

/// Head `H` and body `B` of a REC; dereferences to the body. The drop closes the window.
pub struct RecWindow<'a, M: Memory, H: Content + Immutable, B: Content> {
    raw: RawWindow<'a, M>,
    content: PhantomData<(&'a H, &'a mut B)>,
}

impl<'a, M: Memory, H: Content + Immutable, B: Content> RecWindow<'a, M, H, B> {
    /// # Safety
    /// During `'a` nobody writes the head, and nobody else accesses the body.
    #[inline]
    unsafe fn new(raw: RawWindow<'a, M>) -> Self {
        const { assert!(size_of::<H>() <= REC_HEAD_SIZE) }
        Self {
            raw,
            content: PhantomData,
        }
    }

    /// The head.
    #[inline]
    pub fn head(&self) -> &H {
        // SAFETY: the window is open, and nobody writes the head.
        unsafe { self.raw.at::<H, 0>().as_ref() }
    }

    /// Head and body at the same time.
    #[inline]
    pub fn split(&mut self) -> (&H, &mut B) {
        // SAFETY: the window is open. Nobody writes the head, which does not overlap the body.
        // Nobody else accesses the body, and this value is borrowed mutably.
        unsafe {
            (
                self.raw.at::<H, 0>().as_ref(),
                self.raw.at::<B, REC_HEAD_SIZE>().as_mut(),
            )
        }
    }
}

impl<M: Memory, H: Content + Immutable, B: Content> Deref for RecWindow<'_, M, H, B> {
    type Target = B;

    #[inline]
    fn deref(&self) -> &B {
        // SAFETY: the window is open, and nobody else accesses the body.
        unsafe { self.raw.at::<B, REC_HEAD_SIZE>().as_ref() }
    }
}

impl<M: Memory, H: Content + Immutable, B: Content> DerefMut for RecWindow<'_, M, H, B> {
    #[inline]
    fn deref_mut(&mut self) -> &mut B {
        self.split().1
    }
}
