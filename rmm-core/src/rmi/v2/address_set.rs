// SPDX-License-Identifier: BSD-3-Clause
//! Sets of output addresses: the argument `oaddr` of the commands that map and unmap ranges.
//!
//! A list is in Host memory, which a command reads once before it locks anything, and writes once after
//! it has unlocked everything. A call uses at most [`MAX_RANGES`] of its entries: the Host goes on from
//! where the call ends.

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use rmm_abi::rmi::v2::{AddressRange, AddressType, MapFlags, MemoryState, UnmapFlags};
use rmm_granule::{GRANULE_SIZE, NsGranule, Pa};
use rmm_rtt::entry_size;
use zerocopy::IntoBytes;

/// Most entries of a list that one call uses.
pub const MAX_RANGES: usize = 32;

/// Size of an entry of a list in bytes.
const ENTRY: usize = size_of::<u64>();

/// Addresses that a command maps.
pub struct Sources {
    ranges: [u64; MAX_RANGES],
    count: usize,
    /// Level of the first block.
    level: i8,
}

impl Sources {
    /// The addresses that flags and argument of a mapping command name. The first range is not empty.
    pub fn read<M: Machine>(cpu: &ThisCpu<'_, M>, flags: MapFlags, oaddr: u64) -> Result<Self> {
        let mut sources = Self {
            ranges: [0; MAX_RANGES],
            count: 1,
            level: 0,
        };
        match flags.address_type() {
            Some(AddressType::Single) => sources.ranges[0] = oaddr,
            Some(AddressType::List) => {
                let count = usize::try_from(flags.list_count()).unwrap_or(MAX_RANGES);
                let (list, offset, count) = list(cpu, oaddr, count)?; // oaddr_list_align, oaddr_list_pas
                let (ranges, _) = sources.ranges.split_at_mut(count);
                list.read(cpu.machine, offset, ranges.as_mut_bytes())?; // oaddr_list_pas
                sources.count = count;
            }
            _ => return Err(Error::Input), // oaddr_type
        }
        // An empty range maps nothing, and a call has to map something.
        let first = sources.ranges().find(|range| range.count() != 0);
        let first = first.ok_or(Error::Input)?;
        sources.level = first.level();
        // oaddr_single_align
        require(sources.blocks(sources.level).next().is_some())?;
        Ok(sources)
    }

    /// Level of the blocks: that of the first one. A block of another level ends the call.
    pub const fn level(&self) -> i8 {
        self.level
    }

    fn ranges(&self) -> impl Iterator<Item = AddressRange> {
        let bits = self.ranges.iter().take(self.count);
        bits.map(|bits| AddressRange::from_bits(*bits))
    }

    /// Whether the memory of the first range has the state DELEGATED.
    pub fn is_delegated(&self) -> bool {
        let first = self.ranges().find(|range| range.count() != 0);
        first.is_some_and(AddressRange::is_delegated)
    }

    /// Addresses of the blocks up to the first that is not aligned or has another level, cut into blocks
    /// of `level`, which is that of the blocks or below it.
    pub fn blocks(&self, level: i8) -> impl Iterator<Item = Pa> {
        let size = entry_size(self.level);
        let (piece, pieces) = (entry_size(level), size / entry_size(level));
        let alike = self
            .ranges()
            .filter(|range| range.count() != 0)
            .take_while(move |range| {
                let aligned = range.address().is_multiple_of(size);
                range.is_valid() && range.level() == self.level && aligned
            });
        // No overflow: an address has 52 bits, and a range at most 2^49.
        alike.flat_map(move |range| {
            (0..range.count() * pieces).map(move |n| Pa(range.address() + n * piece))
        })
    }
}

/// Granule, offset in it and number of the entries of a list of `count` entries at `addr` that a call
/// uses: those in the granule of the first.
fn list<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    addr: u64,
    count: usize,
) -> Result<(NsGranule, usize, usize)> {
    require(addr.is_multiple_of(ENTRY as u64) && count != 0)?; // oaddr_align
    let offset = Pa(addr).granule_offset();
    let granule = cpu
        .granules()
        .ns_granule(Pa(addr).granule_base().as_u64())?; // oaddr_list_pas
    let room = (GRANULE_SIZE - offset) / ENTRY;
    Ok((granule, offset, count.min(room).min(MAX_RANGES)))
}

/// Addresses that a command has unmapped, as the Host wants to see them.
pub struct Report {
    kind: AddressType,
    state: MemoryState,
    ranges: [u64; MAX_RANGES],
    /// Ranges in use; the last one may grow.
    count: usize,
    /// Most ranges.
    most: usize,
    list: Option<(NsGranule, usize)>,
}

impl Report {
    /// The report that flags and argument of an unmapping command ask for, for memory in this state.
    pub fn new<M: Machine>(
        cpu: &ThisCpu<'_, M>,
        flags: UnmapFlags,
        oaddr: u64,
        state: MemoryState,
    ) -> Result<Self> {
        let kind = flags.address_type().ok_or(Error::Input)?; // oaddr_type
        require(flags.is_valid())?;
        let mut report = Self {
            kind,
            state,
            ranges: [0; MAX_RANGES],
            count: 0,
            most: 1,
            list: None,
        };
        if kind == AddressType::List {
            let capacity = usize::try_from(flags.list_capacity()).unwrap_or(MAX_RANGES);
            let (granule, offset, most) = list(cpu, oaddr, capacity)?; // oaddr_align, oaddr_list_pas
            // Shows before anything changes that the Host can be reached.
            granule.read(cpu.machine, offset, &mut [0; ENTRY])?; // oaddr_list_pas
            report.most = most;
            report.list = Some((granule, offset));
        } else {
            // Not a condition of the specification: the argument is not used.
            require(oaddr == 0 && flags.list_capacity() == 0)?;
        }
        Ok(report)
    }

    /// Adds the block of `level` at `pa`, unless the report is full.
    pub fn add(&mut self, pa: Pa, level: i8) -> bool {
        if self.kind == AddressType::None {
            return true;
        }
        let last = self
            .count
            .checked_sub(1)
            .and_then(|n| self.ranges.get_mut(n));
        if let Some(last) = last {
            let range = AddressRange::from_bits(*last);
            let end = range.address() + range.count() * entry_size(range.level());
            let is_next = range.level() == level && end == pa.as_u64();
            if is_next && range.count() < AddressRange::MAX_BLOCKS {
                let longer = range.count() + 1;
                *last = AddressRange::new(range.address(), level, longer, self.state).bits();
                return true;
            }
        }
        match self.ranges.get_mut(self.count) {
            Some(next) if self.count < self.most => {
                *next = AddressRange::new(pa.as_u64(), level, 1, self.state).bits();
                self.count += 1;
                true
            }
            _ => false,
        }
    }

    /// Writes the list, and returns the outputs `out_range` and `out_count`. A list that the Host has
    /// taken away meanwhile has no entries: what is unmapped stays so, and an error would deny it.
    pub fn finish<M: Machine>(&self, cpu: &ThisCpu<'_, M>) -> (u64, u64) {
        let Some((granule, offset)) = self.list else {
            // Zero if nothing was unmapped, or is to be reported.
            return (self.ranges[0], 0);
        };
        let (ranges, _) = self.ranges.split_at(self.count);
        let written = granule.write(cpu.machine, 0..0, [(offset, ranges.as_bytes())]);
        (
            0,
            if written.is_ok() {
                self.count as u64
            } else {
                0
            },
        )
    }
}
