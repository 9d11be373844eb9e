// SPDX-License-Identifier: BSD-3-Clause
//! A DELEGATED Granule on its way to its next state.

use crate::lock::Locked;
use crate::memory::Memory;
use crate::state::{Delegated, Purpose};
use crate::window::{Content, RawWindow};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr;

impl<'t> Locked<'t, Delegated> {
    /// Opens the content, which is all zero, to write it before the Granule enters its next state.
    #[inline]
    pub fn fill<'m, M: Memory, T: Content>(self, mem: &'m M) -> Filling<'t, 'm, M, T> {
        Filling {
            raw: ManuallyDrop::new(RawWindow::new(mem, self.pa())),
            granule: ManuallyDrop::new(self),
            content: PhantomData,
        }
    }
}

/// The content of a DELEGATED Granule, all zero at first, being written.
///
/// [`Filling::commit`] moves the Granule to its next state. A drop before that wipes the content, so
/// that an unlocked DELEGATED Granule is all zero whatever failed.
#[must_use = "the Granule is wiped and unlocked at once"]
pub struct Filling<'t, 'm, M: Memory, T: Content> {
    granule: ManuallyDrop<Locked<'t, Delegated>>,
    raw: ManuallyDrop<RawWindow<'m, M>>,
    content: PhantomData<T>,
}

impl<'t, M: Memory, T: Content> Filling<'t, '_, M, T> {
    /// Closes the window and changes the state to `S`, with the content written.
    #[inline]
    pub fn commit<S: Purpose>(self) -> Locked<'t, S> {
        let this = ManuallyDrop::new(self);
        // SAFETY: each field is moved out once, because `this` is never dropped.
        let (granule, raw) = unsafe { (ptr::read(&this.granule), ptr::read(&this.raw)) };
        drop(ManuallyDrop::into_inner(raw));
        ManuallyDrop::into_inner(granule).become_state()
    }
}

impl<M: Memory, T: Content> Drop for Filling<'_, '_, M, T> {
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

impl<M: Memory, T: Content> Deref for Filling<'_, '_, M, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the window is open, any bytes are a `T`, and this value holds the lock.
        unsafe { self.raw.at::<T, 0>().as_ref() }
    }
}

impl<M: Memory, T: Content> DerefMut for Filling<'_, '_, M, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and this value is borrowed mutably.
        unsafe { self.raw.at::<T, 0>().as_mut() }
    }
}
