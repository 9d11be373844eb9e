// SPDX-License-Identifier: BSD-3-Clause
//! Which DRAM a Host may delegate, and where the monitor's own memory is whose size depends on the
//! machine: granule table and CPU blocks.

use super::banks::Full;
use super::{Banks, BootError, ColdBoot, Extent, Manifest};
use crate::board::Board;
use rmm_granule::{GRANULE_SIZE, GranuleTable, Pa, Word};

/// Size of the blocks that map the granule table, in bytes.
const TABLE_BLOCK: u64 = 0x20_0000;

/// First address that the monitor's own translation tables cannot map.
const UNREACHABLE: u64 = 1 << 48;

/// The memory that the monitor needs, and the memory that it leaves to a Host.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    banks: Banks,
    /// Entries of the granule table.
    pub words: usize,
    /// Bytes for the granule table, whole blocks of 2 MiB, since blocks map it.
    pub table_size: u64,
    /// Bytes for the memory of all CPUs.
    pub cpus_size: u64,
}

/// Where the memory of a [`Plan`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The granule table, aligned to 2 MiB.
    pub table: Pa,
    /// The memory of all CPUs, aligned to a page.
    pub cpus: Pa,
}

impl Plan {
    /// The plan for a board with this manifest and the image loaded at `image`. Each CPU needs
    /// `cpu_size` bytes, whole pages.
    ///
    /// # Errors
    /// More pieces of DRAM than the granule table can cover.
    pub fn new(
        board: &Board,
        boot: &ColdBoot,
        manifest: &Manifest,
        image: Pa,
        cpu_size: u64,
    ) -> Result<Self, BootError> {
        let own = [
            (image.0, board.region_size),
            (boot.shared_buffer.0, GRANULE_SIZE as u64),
            (UNREACHABLE, u64::MAX - UNREACHABLE),
        ];
        let mut banks = *manifest.banks();
        for &(base, size) in own.iter().chain(board.reserved) {
            let base = Pa(base);
            banks = banks
                .without(Extent { base, size })
                .map_err(|Full| BootError::Other("too many pieces of DRAM"))?;
        }
        let words = GranuleTable::words_needed(banks.as_slice())
            .map_err(|_| BootError::Other("the granule table cannot cover the DRAM"))?;
        let table_size = (words as u64)
            .checked_mul(size_of::<Word>() as u64)
            .and_then(|size| size.checked_next_multiple_of(TABLE_BLOCK));
        let cpus_size = cpu_size.checked_mul(boot.cpus as u64);
        let (Some(table_size), Some(cpus_size)) = (table_size, cpus_size) else {
            return Err(BootError::Other("more DRAM or CPUs than addresses"));
        };
        Ok(Self {
            banks,
            words,
            table_size,
            cpus_size,
        })
    }

    /// DRAM that a Host may delegate: the banks of the manifest without the memory of the monitor, EL3
    /// and the Secure world.
    #[must_use]
    pub const fn banks(&self) -> &Banks {
        &self.banks
    }

    /// Bytes to reserve with EL3.
    #[must_use]
    pub const fn reservation(&self) -> u64 {
        self.table_size.saturating_add(self.cpus_size)
    }

    /// Log2 of the alignment of the reservation.
    #[must_use]
    pub const fn reservation_alignment(&self) -> u32 {
        TABLE_BLOCK.trailing_zeros()
    }

    /// The layout in memory that EL3 reserved at `base`; `None` if EL3 broke the alignment, if the
    /// monitor cannot map the memory, or if it is the monitor's already.
    #[must_use]
    pub fn in_reservation(
        &self,
        base: Pa,
        board: &Board,
        boot: &ColdBoot,
        image: Pa,
    ) -> Option<Layout> {
        let end = base.checked_add(self.reservation())?;
        let overlaps = |from: Pa, size| from.0 < end.0 && base.0 < from.0.saturating_add(size);
        let usable = base.is_aligned_to(TABLE_BLOCK)
            && end.0 <= UNREACHABLE
            && !overlaps(image, board.payload_size)
            && !overlaps(boot.shared_buffer, GRANULE_SIZE as u64);
        usable.then_some(Layout {
            table: base,
            cpus: base.checked_add(self.table_size)?,
        })
    }

    /// The layout in the monitor's own memory: behind the image, within `size` bytes from the image's
    /// base, and not beyond the shared buffer.
    ///
    /// # Errors
    /// The region is too small.
    pub fn in_region(
        &self,
        size: u64,
        boot: &ColdBoot,
        image: Extent,
    ) -> Result<Layout, BootError> {
        const FULL: BootError = BootError::Other("the monitor's region is too small");
        let base = image.base;
        let region = Extent { base, size };
        let buffer = boot.shared_buffer.0;
        let end = if (image.base.0..region.end()).contains(&buffer) {
            buffer
        } else {
            region.end()
        };
        let page = GRANULE_SIZE as u64;
        let cpus = image.end().checked_next_multiple_of(page).ok_or(FULL)?;
        let table = cpus
            .checked_add(self.cpus_size)
            .and_then(|end| end.checked_next_multiple_of(TABLE_BLOCK))
            .ok_or(FULL)?;
        match table.checked_add(self.table_size) {
            Some(needed) if needed <= end => Ok(Layout {
                table: Pa(table),
                cpus: Pa(cpus),
            }),
            _ => Err(FULL),
        }
    }
}
