// SPDX-License-Identifier: BSD-3-Clause
//! What the loader reads from TF-A's device tree, and what it adds.

use crate::Error;
use crate::memory::ranges;
use core::ops::Range;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::fdt_mut::{FdtMut, SliceBuffer};
use dtoolkit::{Node, Property, ToPropertyValue};

/// The name of TF-A's node for the monitor's memory.
pub(crate) const MONITOR: &str = "rmm";

/// The nodes of reserved memory.
pub(crate) fn reservations(fdt: Fdt<'_>) -> impl Iterator<Item = FdtNode<'_>> {
    let all = fdt.find_node("/reserved-memory");
    all.into_iter().flat_map(|node| node.children())
}

/// The monitor's memory, if TF-A has reserved it.
pub fn monitor(fdt: Fdt<'_>) -> Option<Range<u64>> {
    reservations(fdt)
        .filter(|node| node.name_without_address() == MONITOR)
        .find_map(|node| ranges(node).next())
}

/// The address of QEMU's firmware configuration device.
///
/// # Errors
///
/// If the tree has none.
pub fn fw_cfg(fdt: Fdt<'_>) -> Result<u64, Error> {
    let node = fdt.root().children().find(|node| {
        let compatible = node.property("compatible");
        compatible.is_some_and(|words| words.value() == b"qemu,fw-cfg-mmio\0")
    });
    let range = node.and_then(|node| ranges(node).next());
    range.map(|range| range.start).ok_or(Error::NoFwCfg)
}

/// Opens a tree that may grow to the end of its memory.
///
/// # Errors
///
/// If it cannot be read, or is larger than its memory.
pub fn open(memory: &mut [u8]) -> Result<FdtMut<SliceBuffer<'_>>, Error> {
    let buffer = SliceBuffer::new(memory).map_err(|_| Error::BadTree)?;
    FdtMut::new(buffer).map_err(|_| Error::BadTree)
}

/// Writes down command line and initrd for the kernel. QEMU has put random seeds beside them.
///
/// # Errors
///
/// If the tree has no node for it, or its memory no room.
pub fn choose(
    tree: &mut FdtMut<SliceBuffer<'_>>,
    command_line: &str,
    initrd: Option<&Range<u64>>,
) -> Result<(), Error> {
    set(tree, "bootargs", command_line)?;
    if let Some(initrd) = initrd {
        set(tree, "linux,initrd-start", initrd.start)?;
        set(tree, "linux,initrd-end", initrd.end)?;
    }
    Ok(())
}

/// Sets a property of `/chosen`.
fn set(
    tree: &mut FdtMut<SliceBuffer<'_>>,
    name: &str,
    value: impl ToPropertyValue,
) -> Result<(), Error> {
    let mut chosen = tree.find_node_mut("/chosen").ok_or(Error::BadTree)?;
    chosen.remove_property(name);
    let added = chosen.add_property(name, value);
    added.map(|_| ()).map_err(|_| Error::TreeFull)
}
