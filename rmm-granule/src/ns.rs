// SPDX-License-Identifier: BSD-3-Clause
//! Granules that belong to the Host.

use crate::addr::{GRANULE_SIZE, Pa};
use crate::bug;
use crate::memory::{Memory, NsFault};
use core::mem::MaybeUninit;
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
        mem.read_ns(self.at(offset, dst.len()), dst)
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
        let bytes = ptr::slice_from_raw_parts_mut(buffer.as_mut_ptr().cast(), size_of::<T>());
        // SAFETY: these are the bytes of `buffer`, borrowed for writing.
        mem.read_ns(self.at(offset, size_of::<T>()), unsafe { &mut *bytes })?;
        // SAFETY: `read_ns` has written every byte, and any bytes are a `T`.
        Ok(unsafe { buffer.assume_init_mut() })
    }

    /// Copies `src` to the Granule, from `offset` on.
    ///
    /// # Errors
    /// As [`Memory::write_ns`].
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule. This is a bug of the caller.
    pub fn write<M: Memory>(&self, mem: &M, offset: usize, src: &[u8]) -> Result<(), NsFault> {
        mem.write_ns(self.at(offset, src.len()), src)
    }

    /// Address of the byte at `offset`, the first of `length`.
    fn at(&self, offset: usize, length: usize) -> Pa {
        if offset >= GRANULE_SIZE || length > GRANULE_SIZE - offset {
            bug!("a copy of Non-secure memory leaves its Granule");
        }
        // The address of a Granule has no offset bits.
        Pa(self.pa.0 | offset as u64)
    }
}
