// SPDX-License-Identifier: BSD-3-Clause
//! The content of a DELEGATED Granule on its way to its next state.

use crate::lock::Locked;
use crate::memory::Memory;
use crate::rec::REC_HEAD_SIZE;
use crate::state::{Delegated, HasContent, NextState, Rec};
use crate::window::{Content, RawWindow};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr;

impl<'t> Locked<'t, Delegated> {
    /// Opens the content, which is all zero, to write that of a Granule in state `S`.
    #[inline]
    pub fn new_content<'m, M: Memory, S: NextState>(self, mem: &'m M) -> NewContent<'t, 'm, M, S> {
        NewContent {
            raw: ManuallyDrop::new(RawWindow::new(mem, self.pa())),
            granule: ManuallyDrop::new(self),
            next: PhantomData,
        }
    }
}

/// The content of a DELEGATED Granule that is about to enter state `S`, all zero at first. Dereferences
/// to the content of an `S`; see [`NewContent::split`] for a REC.
///
/// [`NewContent::commit`] changes the state. A drop before that wipes the content, so that an unlocked
/// DELEGATED Granule is all zero whatever failed.
#[must_use = "the Granule is wiped and unlocked at once"]
pub struct NewContent<'t, 'm, M: Memory, S: NextState> {
    granule: ManuallyDrop<Locked<'t, Delegated>>,
    raw: ManuallyDrop<RawWindow<'m, M>>,
    next: PhantomData<fn() -> S>,
}

impl<'t, M: Memory, S: NextState> NewContent<'t, '_, M, S> {
    /// Closes the window and changes the state to `S`.
    #[inline]
    pub fn commit(self) -> Locked<'t, S> {
        let this = ManuallyDrop::new(self);
        // SAFETY: each field is moved out once, because `this` is never dropped.
        let (granule, raw) = unsafe { (ptr::read(&this.granule), ptr::read(&this.raw)) };
        drop(ManuallyDrop::into_inner(raw));
        ManuallyDrop::into_inner(granule).become_state()
    }
}

impl<M: Memory, S: NextState> Drop for NewContent<'_, '_, M, S> {
    fn drop(&mut self) {
        // SAFETY: each field is moved out once, and not used after this.
        let (granule, raw) = unsafe {
            (
                ManuallyDrop::take(&mut self.granule),
                ManuallyDrop::take(&mut self.raw),
            )
        };
        // SAFETY: a DELEGATED Granule is accessed under its lock alone.
        unsafe { raw.wipe() };
        drop(granule);
    }
}

impl<M: Memory, S: HasContent> Deref for NewContent<'_, '_, M, S> {
    type Target = S::Content;

    #[inline]
    fn deref(&self) -> &S::Content {
        // SAFETY: the window is open, any bytes are a value of the type, and this value holds the lock.
        unsafe { self.raw.at::<S::Content, 0>().as_ref() }
    }
}

impl<M: Memory, S: HasContent> DerefMut for NewContent<'_, '_, M, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S::Content {
        // SAFETY: as for `deref`, and this value is borrowed mutably.
        unsafe { self.raw.at::<S::Content, 0>().as_mut() }
    }
}

impl<M: Memory, H: Content, B: Content> NewContent<'_, '_, M, Rec<H, B>> {
    /// Head and body of the new REC.
    #[inline]
    pub fn split(&mut self) -> (&mut H, &mut B) {
        const { assert!(size_of::<H>() <= REC_HEAD_SIZE) }
        // SAFETY: the window is open, any bytes are values of the types, head and body do not overlap,
        // and this value, which is borrowed mutably, holds the lock.
        unsafe {
            (
                self.raw.at::<H, 0>().as_mut(),
                self.raw.at::<B, REC_HEAD_SIZE>().as_mut(),
            )
        }
    }
}
