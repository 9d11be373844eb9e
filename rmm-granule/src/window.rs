// SPDX-License-Identifier: BSD-3-Clause
//! Open windows onto Granules.

use crate::addr::{GRANULE_SIZE, Pa};
use crate::memory::Memory;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// A type that the content of a Granule, from its first byte on, can be seen as: any bytes are a
/// value of it, and a value is nothing but its bytes. Windows are only made of types no larger and
/// no more strictly aligned than a Granule.
pub trait Content: FromBytes + IntoBytes + KnownLayout {}

impl<T: FromBytes + IntoBytes + KnownLayout> Content for T {}

/// An open window; the drop closes it. It permits no access by itself.
pub(crate) struct RawWindow<'a, M: Memory> {
    mem: &'a M,
    window: NonNull<[u8; GRANULE_SIZE]>,
}

impl<'a, M: Memory> RawWindow<'a, M> {
    /// Opens a window onto the Granule at `pa`, which is in Realm PAS.
    #[inline]
    pub(crate) fn new(mem: &'a M, pa: Pa) -> Self {
        Self {
            mem,
            window: mem.map(pa),
        }
    }

    /// Opens a window onto a part of the Granule at `pa`, of which another part may have a window.
    #[inline]
    pub(crate) fn of_part(mem: &'a M, pa: Pa) -> Self {
        Self {
            mem,
            window: mem.map_part(pa),
        }
    }

    /// The content from `OFFSET` bytes on as a `T`, valid as long as the window is open.
    #[inline]
    pub(crate) fn at<T: Content, const OFFSET: usize>(&self) -> NonNull<T> {
        const {
            assert!(OFFSET + size_of::<T>() <= GRANULE_SIZE);
            assert!(OFFSET.is_multiple_of(align_of::<T>()) && align_of::<T>() <= GRANULE_SIZE);
        }
        // SAFETY: the offset lies within the window, as just asserted.
        unsafe { self.window.cast::<u8>().add(OFFSET).cast() }
    }

    /// The first byte of the window.
    #[inline]
    pub(crate) fn bytes(&self) -> NonNull<u8> {
        self.window.cast()
    }

    /// Fills the Granule with zero bytes. Others access it by atomics alone.
    #[inline]
    pub(crate) fn wipe_shared(&self) {
        // SAFETY: the window is open; of shared memory nobody makes a reference but to atomics.
        unsafe { self.mem.zero_shared(self.window) };
    }

    /// Fills the Granule with zero bytes.
    ///
    /// # Safety
    /// Nobody else accesses the content meanwhile.
    #[inline]
    pub(crate) unsafe fn wipe(mut self) {
        // SAFETY: the window is open until this value is dropped, and the caller has the content
        // for itself.
        self.mem.zero(unsafe { self.window.as_mut() });
    }
}

impl<M: Memory> Drop for RawWindow<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `window` came from `map` of this `mem`, is closed here and only here, and
        // references into it cannot outlive this value.
        unsafe { self.mem.unmap(self.window) }
    }
}

/// The content of a Granule, from `OFFSET` bytes on, as a `T`, for its holder alone; the drop closes the
/// window.
pub struct Window<'a, M: Memory, T: Content, const OFFSET: usize = 0> {
    raw: RawWindow<'a, M>,
    content: PhantomData<&'a mut T>,
}

impl<'a, M: Memory, T: Content, const OFFSET: usize> Window<'a, M, T, OFFSET> {
    /// # Safety
    /// During `'a` nobody else accesses the content.
    #[inline]
    pub(crate) unsafe fn new(raw: RawWindow<'a, M>) -> Self {
        Self {
            raw,
            content: PhantomData,
        }
    }
}

impl<M: Memory, T: Content, const OFFSET: usize> Deref for Window<'_, M, T, OFFSET> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the window is open, any bytes are a `T`, and nobody else accesses the content, as
        // `new` demands.
        unsafe { self.raw.at::<T, OFFSET>().as_ref() }
    }
}

impl<M: Memory, T: Content, const OFFSET: usize> DerefMut for Window<'_, M, T, OFFSET> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`; the window is borrowed mutably, so this is the only reference.
        unsafe { self.raw.at::<T, OFFSET>().as_mut() }
    }
}

/// The content of a Granule as a `T` that others may read meanwhile; the drop closes the window.
pub struct View<'a, M: Memory, T: Content> {
    raw: RawWindow<'a, M>,
    content: PhantomData<&'a T>,
}

impl<'a, M: Memory, T: Content> View<'a, M, T> {
    /// # Safety
    /// During `'a` nobody writes the content of the `T`.
    #[inline]
    pub(crate) unsafe fn new(raw: RawWindow<'a, M>) -> Self {
        Self {
            raw,
            content: PhantomData,
        }
    }
}

impl<M: Memory, T: Content> Deref for View<'_, M, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the window is open, any bytes are a `T`, and nobody writes them, as `new` demands.
        unsafe { self.raw.at::<T, 0>().as_ref() }
    }
}
