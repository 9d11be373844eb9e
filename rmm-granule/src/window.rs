// SPDX-License-Identifier: BSD-3-Clause
//! Open windows onto Granules.

use crate::lock::Locked;
use crate::memory::Memory;
use crate::state::Rtt;
use crate::{GRANULE_SIZE, Pa};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// What the content of a Granule can be seen as: any bytes are a value, and a value is its bytes.
/// No larger than [`GRANULE_SIZE`] and no stricter aligned; it lies at the Granule's first byte.
pub trait Content: FromBytes + IntoBytes + KnownLayout {}

impl<T: FromBytes + IntoBytes + KnownLayout> Content for T {}

/// An open window and nothing more; the drop closes it.
pub(crate) struct Open<'a, M: Memory> {
    mem: &'a M,
    window: NonNull<[u8; GRANULE_SIZE]>,
}

impl<'a, M: Memory> Open<'a, M> {
    #[inline(always)]
    pub(crate) fn new(mem: &'a M, pa: Pa) -> Self {
        Self {
            mem,
            window: mem.map(pa),
        }
    }

    /// The content at `offset` bytes as a `T`.
    #[inline(always)]
    pub(crate) fn at<T: Content, const OFFSET: usize>(&self) -> NonNull<T> {
        const {
            assert!(OFFSET + size_of::<T>() <= GRANULE_SIZE);
            assert!(OFFSET.is_multiple_of(align_of::<T>()) && align_of::<T>() <= GRANULE_SIZE);
        }
        // SAFETY: the offset lies within the window, as just asserted.
        unsafe { self.window.cast::<u8>().add(OFFSET).cast() }
    }

    /// The first byte of the window.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> NonNull<u8> {
        self.window.cast()
    }

    /// Fills the Granule with zero bytes.
    #[inline(always)]
    pub(crate) fn wipe(mut self) {
        // SAFETY: the window is open until this value is dropped, and whoever may open it for
        // wiping has the content for himself.
        self.mem.zero(unsafe { self.window.as_mut() });
    }
}

impl<M: Memory> Drop for Open<'_, M> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `window` came from `map` of this `mem`, is closed here and only here, and
        // references into it cannot outlive this value.
        unsafe { self.mem.unmap(self.window) }
    }
}

/// The content of a Granule as a `T` that its holder has for himself; the drop closes the window.
pub struct Window<'a, M: Memory, T: Content> {
    open: Open<'a, M>,
    content: PhantomData<&'a mut T>,
}

impl<'a, M: Memory, T: Content> Window<'a, M, T> {
    #[inline(always)]
    pub(crate) fn new(open: Open<'a, M>) -> Self {
        Self {
            open,
            content: PhantomData,
        }
    }
}

impl<M: Memory, T: Content> Deref for Window<'_, M, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the window is open, any bytes are a `T`, and the token that this window borrows
        // gives its holder the content alone.
        unsafe { self.open.at::<T, 0>().as_ref() }
    }
}

impl<M: Memory, T: Content> DerefMut for Window<'_, M, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`; the window is borrowed mutably, so this is the only reference.
        unsafe { self.open.at::<T, 0>().as_mut() }
    }
}

/// The content of a Granule as a `T` that others may be reading too; the drop closes the window.
pub struct View<'a, M: Memory, T: Content> {
    open: Open<'a, M>,
    content: PhantomData<&'a T>,
}

impl<'a, M: Memory, T: Content> View<'a, M, T> {
    #[inline(always)]
    pub(crate) fn new(open: Open<'a, M>) -> Self {
        Self {
            open,
            content: PhantomData,
        }
    }
}

impl<M: Memory, T: Content> Deref for View<'_, M, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the window is open, any bytes are a `T`, and what others do to the content at
        // the same time are reads or, for atomics, atomic accesses.
        unsafe { self.open.at::<T, 0>().as_ref() }
    }
}

/// A locked RTT with its window; the drop closes the window, then unlocks the RTT.
pub struct OpenRtt<'t, 'm, M: Memory> {
    // The order of the fields is the order of their drops.
    open: Open<'m, M>,
    granule: Locked<'t, Rtt>,
}

impl<'t, 'm, M: Memory> OpenRtt<'t, 'm, M> {
    #[inline(always)]
    pub(crate) fn new(granule: Locked<'t, Rtt>, mem: &'m M) -> Self {
        Self {
            open: Open::new(mem, granule.pa()),
            granule,
        }
    }

    /// The locked RTT, for its address and its count.
    #[inline(always)]
    pub fn granule(&self) -> &Locked<'t, Rtt> {
        &self.granule
    }

    /// The entries as plain values, to look through many of them.
    #[inline(always)]
    pub fn entries(&mut self) -> &[u64; 512] {
        // SAFETY: the window is open. Only the holder of the lock writes entries, which is this
        // value, and it does not while it is borrowed.
        unsafe { self.open.at::<[u64; 512], 0>().as_ref() }
    }

    /// Closes the window; the RTT stays locked.
    #[inline(always)]
    pub fn close(self) -> Locked<'t, Rtt> {
        self.granule
    }
}

impl<M: Memory> Deref for OpenRtt<'_, '_, M> {
    type Target = [AtomicU64; 512];

    #[inline(always)]
    fn deref(&self) -> &[AtomicU64; 512] {
        // SAFETY: the window is open, and all accesses to a table in use are atomic.
        unsafe { self.open.at::<[AtomicU64; 512], 0>().as_ref() }
    }
}
