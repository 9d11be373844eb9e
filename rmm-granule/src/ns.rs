// SPDX-License-Identifier: BSD-3-Clause
//! Granules that belong to the Host.

use crate::memory::{Memory, NsFault};
use crate::{GRANULE_SIZE, Pa};

/// A Granule of DRAM that was UNDELEGATED when it was looked up. No lock is held: the Host may
/// change its content and its PAS at any instant, so every access is a copy that may fault.
#[derive(Clone, Copy, Debug)]
pub struct NsGranule {
    pa: Pa,
}

impl NsGranule {
    pub(crate) fn new(pa: Pa) -> Self {
        Self { pa }
    }

    /// Physical address of the Granule.
    pub fn pa(&self) -> Pa {
        self.pa
    }

    /// Copies bytes from `offset` on to `dst`.
    ///
    /// # Errors
    /// [`NsFault`] as for [`Memory::read_ns`], or if the bytes do not lie within the Granule.
    pub fn read<M: Memory>(&self, mem: &M, offset: usize, dst: &mut [u8]) -> Result<(), NsFault> {
        mem.read_ns(self.at(offset, dst.len())?, dst)
    }

    /// Copies `src` to the Granule from `offset` on.
    ///
    /// # Errors
    /// [`NsFault`] as for [`Memory::write_ns`], or if the bytes do not lie within the Granule.
    pub fn write<M: Memory>(&self, mem: &M, offset: usize, src: &[u8]) -> Result<(), NsFault> {
        mem.write_ns(self.at(offset, src.len())?, src)
    }

    fn at(&self, offset: usize, length: usize) -> Result<Pa, NsFault> {
        let end = offset.checked_add(length).ok_or(NsFault)?;
        if end > GRANULE_SIZE {
            return Err(NsFault);
        }
        self.pa.checked_add(offset as u64).ok_or(NsFault)
    }
}
