// SPDX-License-Identifier: BSD-3-Clause
//! Which memory is free, by the device tree.

use crate::kernel::{ALIGNMENT, Header};
use crate::{Error, tree};
use core::ops::Range;
use dtoolkit::Node;
use dtoolkit::fdt::{Fdt, FdtNode};

/// Where kernel and initrd go: physical addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kernel, its memory behind the file included. Its start is the entry.
    pub kernel: Range<u64>,
    /// The initrd, if there is one.
    pub initrd: Option<Range<u64>>,
}

impl Plan {
    /// Places a kernel and an initrd of `initrd` bytes, 0 for none, as low in RAM as they can be: clear
    /// of what the device tree `fdt` reserves, of the ranges in `taken`, and of each other.
    ///
    /// # Errors
    ///
    /// If RAM has no room, or the tree has no reservation for the monitor.
    pub fn new(
        fdt: Fdt<'_>,
        taken: &[Range<u64>],
        kernel: &Header,
        initrd: u64,
    ) -> Result<Self, Error> {
        tree::monitor(fdt).ok_or(Error::NoMonitor)?;
        let free = Free { fdt, taken };
        let kernel = free
            .find(kernel.text_offset, kernel.memory, 0)
            .ok_or(Error::NoRoomForKernel)?;
        let initrd = match initrd {
            0 => None,
            bytes => {
                // Behind the kernel, in the 32 GiB that a kernel maps early.
                let found = free.find(0, bytes, kernel.end);
                let window = (kernel.start >> 30 << 30).saturating_add(32 << 30);
                let found = found.filter(|range| range.end <= window);
                Some(found.ok_or(Error::NoRoomForInitrd)?)
            }
        };
        Ok(Self { kernel, initrd })
    }
}

/// Memory that nobody uses.
struct Free<'a> {
    fdt: Fdt<'a>,
    taken: &'a [Range<u64>],
}

impl<'a> Free<'a> {
    /// The lowest free range of `bytes` bytes that begins `offset` bytes behind a multiple of
    /// [`ALIGNMENT`], from the address `from` on.
    fn find(&self, offset: u64, bytes: u64, from: u64) -> Option<Range<u64>> {
        let lowest = |bank: Range<u64>| {
            let mut start = bank.start.max(from);
            loop {
                let base = start.checked_next_multiple_of(ALIGNMENT)?;
                let first = base.checked_add(offset)?;
                let range = first..first.checked_add(bytes)?;
                if range.end > bank.end {
                    return None;
                }
                // What is below the offset is left free, too.
                let whole = base..range.end;
                match self.reserved().find(|taken| overlap(taken, &whole)) {
                    // Each step ends behind another reserved range.
                    Some(taken) => start = taken.end,
                    None => return Some(range),
                }
            }
        };
        let banks = self.fdt.root().children();
        let banks = banks.filter(|node| node.name_without_address() == "memory");
        banks
            .flat_map(ranges)
            .filter_map(lowest)
            .min_by_key(|range| range.start)
    }

    /// What is reserved by the device tree, and what the caller says.
    fn reserved(&self) -> impl Iterator<Item = Range<u64>> {
        let block = self.fdt.memory_reservations();
        let block = block.map(|range| (range.address(), range.size()));
        block
            .filter_map(|(address, size)| Some(address..address.checked_add(size)?))
            .chain(tree::reservations(self.fdt).flat_map(ranges))
            .chain(self.taken.iter().cloned())
    }
}

/// The memory of a node, by its property `reg`.
pub(crate) fn ranges<'a>(node: FdtNode<'a>) -> impl Iterator<Item = Range<u64>> + 'a {
    let parts = node.reg().ok().flatten();
    parts.into_iter().flatten().filter_map(|part| {
        let (address, size) = (part.address::<u64>().ok()?, part.size::<u64>().ok()?);
        Some(address..address.checked_add(size)?)
    })
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
