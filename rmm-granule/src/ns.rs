// SPDX-License-Identifier: BSD-3-Clause
//! Granules that belong to the Host.

use crate::addr::{GRANULE_SIZE, Pa};
use crate::bug;
use crate::memory::{Memory, NsFault};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr;
use zerocopy::FromBytes;

/// A Granule of DRAM that was UNDELEGATED when it was looked up. It is not locked: the Host may
/// change its content and its PAS at any instant, so every access is a copy that may fault.
#[derive(Clone, Copy, Debug)]
pub struct NsGranule {
    pa: Pa,
}

impl NsGranule {
    /// The Granule at `pa`, whose state the caller has looked up.
    pub(crate) fn new(pa: Pa) -> Self {
        Self { pa }
    }

    /// Copies bytes from `offset` on to `dst`.
    ///
    /// # Errors
    /// As [`Memory::read_ns`].
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule. This is a bug of the caller.
    pub fn read<M: Memory>(&self, mem: &M, offset: usize, dst: &mut [u8]) -> Result<(), NsFault> {
        // SAFETY: any byte is a `MaybeUninit`, and `read_ns` writes only bytes that are initialised.
        let dst = unsafe { &mut *(ptr::from_mut(dst) as *mut [MaybeUninit<u8>]) };
        check_within(offset, dst.len());
        mem.read_ns(self.pa, [(offset, dst)])
    }

    /// Copies a `T` from `offset` on to `buffer`, which need not be initialised.
    ///
    /// # Errors
    /// As [`Memory::read_ns`].
    ///
    /// # Panics
    /// As [`NsGranule::read`].
    pub fn read_value<'b, M: Memory, T: FromBytes>(
        &self,
        mem: &M,
        offset: usize,
        buffer: &'b mut MaybeUninit<T>,
    ) -> Result<&'b mut T, NsFault> {
        check_within(offset, size_of::<T>());
        mem.read_ns(self.pa, [(offset, bytes_of(buffer))])?;
        // SAFETY: `read_ns` has written every byte, and any bytes are a `T`.
        Ok(unsafe { buffer.assume_init_mut() })
    }

    /// As [`NsGranule::read_value`] for two values, each with its offset, and at less cost.
    ///
    /// # Errors
    /// As [`Memory::read_ns`].
    ///
    /// # Panics
    /// As [`NsGranule::read`].
    #[allow(clippy::type_complexity)]
    pub fn read_values<'b, M: Memory, A: FromBytes, B: FromBytes>(
        &self,
        mem: &M,
        (offset_a, a): (usize, &'b mut MaybeUninit<A>),
        (offset_b, b): (usize, &'b mut MaybeUninit<B>),
    ) -> Result<(&'b mut A, &'b mut B), NsFault> {
        check_within(offset_a, size_of::<A>());
        check_within(offset_b, size_of::<B>());
        mem.read_ns(self.pa, [(offset_a, bytes_of(a)), (offset_b, bytes_of(b))])?;
        // SAFETY: `read_ns` has written every byte, and any bytes are an `A` or a `B`.
        Ok(unsafe { (a.assume_init_mut(), b.assume_init_mut()) })
    }

    /// Zeroes the bytes `zero` of the Granule, multiples of 64 bytes, then copies slices to it, each
    /// from an offset in bytes on.
    ///
    /// # Errors
    /// As [`Memory::write_ns`].
    ///
    /// # Panics
    /// If any of it does not lie within the Granule. This is a bug of the caller.
    pub fn write<M: Memory, const N: usize>(
        &self,
        mem: &M,
        zero: Range<usize>,
        parts: [(usize, &[u8]); N],
    ) -> Result<(), NsFault> {
        check_within(zero.start, zero.len());
        for (offset, part) in &parts {
            check_within(*offset, part.len());
        }
        mem.write_ns(self.pa, zero, parts)
    }
}

/// The bytes of a value.
fn bytes_of<T>(value: &mut MaybeUninit<T>) -> &mut [MaybeUninit<u8>] {
    let bytes = ptr::slice_from_raw_parts_mut(value.as_mut_ptr().cast(), size_of::<T>());
    // SAFETY: these are the bytes of `value`, borrowed for writing; none need be initialised.
    unsafe { &mut *bytes }
}

/// Stops the monitor unless `length` bytes from `offset` on lie within a Granule.
#[inline]
fn check_within(offset: usize, length: usize) {
    if length > GRANULE_SIZE || offset > GRANULE_SIZE - length {
        bug!("a copy of Non-secure memory leaves its Granule");
    }
}
