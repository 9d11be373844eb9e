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
    image: Extent,
    /// The monitor's memory unless EL3 reserves more: the image and what follows it.
    own: Extent,
    shared_buffer: Pa,
    /// EL3 has RMM_RESERVE_MEMORY.
    reserves: bool,
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

/// A request for RMM_RESERVE_MEMORY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Length in bytes.
    pub size: u64,
    /// Log2 of the alignment.
    pub alignment: u32,
}

impl Plan {
    /// The plan for a board with this manifest and with the image, zeroed memory included, at `image`.
    /// Each CPU needs `cpu_size` bytes, whole pages.
    ///
    /// # Errors
    /// The image is not in the board's region, or there are more pieces of DRAM than the granule table
    /// can cover.
    pub fn new(
        board: &Board,
        boot: &ColdBoot,
        manifest: &Manifest,
        image: Extent,
        cpu_size: u64,
    ) -> Result<Self, BootError> {
        let shared = (boot.shared_buffer.0, GRANULE_SIZE as u64);
        let unreachable = (UNREACHABLE, u64::MAX - UNREACHABLE);
        // RMI 2.0 takes the address of a REC and a PSCI status, of which 0 is one, in the same register.
        let zero = (0, GRANULE_SIZE as u64);
        let mut banks = *manifest.banks();
        for &hole in [board.region, shared, zero, unreachable]
            .iter()
            .chain(board.reserved)
        {
            banks = banks
                .without(extent(hole))
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
        let reserves = boot.el3.has_reserve_memory();
        Ok(Self {
            banks,
            image,
            own: own_memory(board, image, reserves)?,
            shared_buffer: boot.shared_buffer,
            reserves,
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

    /// The memory at `layout`: granule table and CPU blocks. The boot code makes it never delegable,
    /// because memory that EL3 reserves may lie in a DRAM bank; the monitor's own region does not.
    #[must_use]
    pub const fn memory(&self, layout: &Layout) -> [Extent; 2] {
        [
            Extent {
                base: layout.table,
                size: self.table_size,
            },
            Extent {
                base: layout.cpus,
                size: self.cpus_size,
            },
        ]
    }

    /// Finds memory for the parts of the plan: what EL3 reserves by `reserve`, which returns its base,
    /// else the monitor's own. EL3 is asked once, so if it refuses it has reserved nothing.
    ///
    /// # Errors
    /// EL3 reserved memory that cannot be used, or the monitor's own memory is too small.
    pub fn layout(
        &self,
        reserve: impl FnOnce(Reservation) -> Option<Pa>,
    ) -> Result<Layout, BootError> {
        let request = Reservation {
            size: self.table_size.saturating_add(self.cpus_size),
            alignment: TABLE_BLOCK.trailing_zeros(),
        };
        let reserved = if self.reserves {
            reserve(request)
        } else {
            None
        };
        match reserved {
            Some(base) => self
                .in_reservation(base, request.size)
                .ok_or(BootError::Other("EL3 reserved memory that does not fit")),
            None => self.behind_image().ok_or(BootError::Other(
                "the monitor's region is too small, and EL3 reserves no memory",
            )),
        }
    }

    /// The layout in memory that EL3 reserved at `base`; `None` if EL3 broke the alignment, if the
    /// monitor cannot map the memory, or if it is the monitor's already.
    fn in_reservation(&self, base: Pa, size: u64) -> Option<Layout> {
        let reserved = Extent { base, size };
        let end = base.checked_add(size)?;
        let usable = base.is_aligned_to(TABLE_BLOCK)
            && end.0 <= UNREACHABLE
            && !reserved.overlaps(self.image)
            && !reserved.overlaps(extent((self.shared_buffer.0, GRANULE_SIZE as u64)));
        usable.then_some(Layout {
            table: base,
            cpus: base.checked_add(self.table_size)?,
        })
    }

    /// The layout in the monitor's own memory, behind the image; `None` if that is too small.
    fn behind_image(&self) -> Option<Layout> {
        let end = if self.own.contains(self.shared_buffer) {
            self.shared_buffer.0
        } else {
            self.own.end()
        };
        let cpus = self
            .image
            .end()
            .checked_next_multiple_of(GRANULE_SIZE as u64)?;
        let table = cpus
            .checked_add(self.cpus_size)?
            .checked_next_multiple_of(TABLE_BLOCK)?;
        (table.checked_add(self.table_size)? <= end).then_some(Layout {
            table: Pa(table),
            cpus: Pa(cpus),
        })
    }
}

const fn extent((base, size): (u64, u64)) -> Extent {
    let base = Pa(base);
    Extent { base, size }
}

/// The part of the board's region that belongs to this image: all of it, but for an EL3 that
/// `reserves` memory from the region and may load a later image into another of the board's payloads.
fn own_memory(board: &Board, image: Extent, reserves: bool) -> Result<Extent, BootError> {
    let payloads = if reserves { board.payloads } else { &[] };
    let part = if payloads.is_empty() {
        Some(extent(board.region))
    } else {
        let mut parts = payloads.iter().copied().map(extent);
        parts.find(|part| part.contains(image.base))
    };
    part.filter(|part| part.contains(image.base) && image.end() <= part.end())
        .ok_or(BootError::Other(
            "the image is not in the region that the board has for it",
        ))
}
