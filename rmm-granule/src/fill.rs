// SPDX-License-Identifier: BSD-3-Clause
//! A DELEGATED Granule on its way to its next state.

use crate::lock::Locked;
use crate::memory::Memory;
use crate::state::{Delegated, Purpose};
use crate::window::{Content, Open};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr;

/// The content of a DELEGATED Granule, all zero at first, being written.
///
/// [`Filling::commit`] gives the Granule its purpose. A drop before that wipes the content, so
/// that an unlocked DELEGATED Granule is all zero whatever failed.
#[must_use = "the Granule is wiped and unlocked at once"]
pub struct Filling<'t, 'm, M: Memory, T: Content> {
    granule: ManuallyDrop<Locked<'t, Delegated>>,
    open: ManuallyDrop<Open<'m, M>>,
    content: PhantomData<T>,
}

impl<'t, 'm, M: Memory, T: Content> Filling<'t, 'm, M, T> {
    #[inline(always)]
    pub(crate) fn new(granule: Locked<'t, Delegated>, mem: &'m M) -> Self {
        let open = ManuallyDrop::new(Open::new(mem, granule.pa()));
        Self {
            granule: ManuallyDrop::new(granule),
            open,
            content: PhantomData,
        }
    }

    /// Closes the window and gives the Granule its purpose with the content written.
    #[inline(always)]
    pub fn commit<S: Purpose>(self) -> Locked<'t, S> {
        let this = ManuallyDrop::new(self);
        // SAFETY: both fields are taken exactly once, as `this` is never dropped.
        let (granule, open) = unsafe { (ptr::read(&this.granule), ptr::read(&this.open)) };
        drop(ManuallyDrop::into_inner(open));
        ManuallyDrop::into_inner(granule).filled()
    }
}

impl<M: Memory, T: Content> Drop for Filling<'_, '_, M, T> {
    fn drop(&mut self) {
        // SAFETY: both fields are taken exactly once, and not used after this.
        let (granule, open) = unsafe {
            (
                ManuallyDrop::take(&mut self.granule),
                ManuallyDrop::take(&mut self.open),
            )
        };
        open.wipe();
        drop(granule);
    }
}

impl<M: Memory, T: Content> Deref for Filling<'_, '_, M, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the window is open, any bytes are a `T`, and the lock is held by this value.
        unsafe { self.open.at::<T, 0>().as_ref() }
    }
}

impl<M: Memory, T: Content> DerefMut for Filling<'_, '_, M, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and this value is borrowed mutably.
        unsafe { self.open.at::<T, 0>().as_mut() }
    }
}
