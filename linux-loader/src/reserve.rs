// SPDX-License-Identifier: BSD-3-Clause
//! Adds the reservation of the monitor's memory to a device tree that lacks it.
//!
//! `dtoolkit` adds properties to a tree in place, but no nodes, so this is done on the bytes of the tree (Devicetree
//! Specification 0.4, chapter 5): a node goes in front of the end of its parent, and what is behind it moves.

use crate::Error;
use crate::tree::{MONITOR, monitor};
use core::ops::Range;
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};

/// Fields of the header, in bytes from the start of the tree.
const TOTAL_SIZE: usize = 4;
const STRUCT_OFFSET: usize = 8;
const STRINGS_OFFSET: usize = 12;
const RESERVED_OFFSET: usize = 16;
const STRINGS_SIZE: usize = 32;
const STRUCT_SIZE: usize = 36;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

const PARENT: &str = "reserved-memory";

/// Reserves `range` for the monitor, unless the tree in `memory` has a reservation for it. The tree may grow to the
/// end of `memory`.
///
/// # Errors
///
/// If the tree cannot be read, or its memory has no room.
pub fn reserve_monitor(memory: &mut [u8], range: &Range<u64>) -> Result<(), Error> {
    let mut tree = Tree(memory);
    let total = tree.total()?;
    let fdt = tree.0.get(..total).ok_or(Error::BadTree)?;
    let fdt = Fdt::new(fdt).map_err(|_| Error::BadTree)?;
    if monitor(fdt).is_some() {
        return Ok(());
    }
    if !has_cells_of_64_bits(fdt) {
        return Err(Error::BadTree);
    }
    let mut node = Structure::default();
    let parent = tree.end_of(PARENT)?;
    let at = match parent {
        Some(end) => end,
        None => {
            node.begin(PARENT)?;
            for cells in ["#address-cells", "#size-cells"] {
                node.property(tree.string(cells)?, &2_u32.to_be_bytes())?;
            }
            node.property(tree.string("ranges")?, &[])?;
            // The strings may have moved the structure.
            tree.end_of_root()?
        }
    };
    let grown = tree.total()?;
    node.begin(MONITOR)?;
    let mut reg = [0; 16];
    let (address, size) = reg.split_at_mut(8);
    address.copy_from_slice(&range.start.to_be_bytes());
    size.copy_from_slice(&(range.end - range.start).to_be_bytes());
    node.property(tree.string("reg")?, &reg)?;
    node.property(tree.string("no-map")?, &[])?;
    node.word(END_NODE)?;
    if parent.is_none() {
        node.word(END_NODE)?;
    }
    // The strings of these two properties may have moved it, too.
    let at = if tree.total()? == grown {
        at
    } else if parent.is_some() {
        tree.end_of(PARENT)?.ok_or(Error::BadTree)?
    } else {
        tree.end_of_root()?
    };
    tree.insert(at, node.bytes(), STRUCT_SIZE)
}

/// Whether addresses and sizes of reserved memory have two cells each.
fn has_cells_of_64_bits(fdt: Fdt<'_>) -> bool {
    let Some(node) = fdt.find_node("/reserved-memory") else {
        return true;
    };
    let is_two = |name| {
        let cells = node.property(name);
        cells.is_some_and(|cells| cells.value() == 2_u32.to_be_bytes())
    };
    is_two("#address-cells") && is_two("#size-cells")
}

/// The bytes of a node that is being made.
#[derive(Default)]
struct Structure {
    bytes: [[u8; 32]; 8],
    length: usize,
}

impl Structure {
    fn bytes(&self) -> &[u8] {
        let (bytes, _) = self.bytes.as_flattened().split_at(self.length);
        bytes
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let end = self.length + bytes.len();
        let room = self.bytes.as_flattened_mut().get_mut(self.length..end);
        room.ok_or(Error::TreeFull)?.copy_from_slice(bytes);
        self.length = end.next_multiple_of(4);
        Ok(())
    }

    fn word(&mut self, word: u32) -> Result<(), Error> {
        self.add(&word.to_be_bytes())
    }

    fn begin(&mut self, name: &str) -> Result<(), Error> {
        self.word(BEGIN_NODE)?;
        self.add(name.as_bytes())?;
        // The padding is a zero, unless there is none.
        if name.len().is_multiple_of(4) {
            self.word(0)?;
        }
        Ok(())
    }

    fn property(&mut self, name: u32, value: &[u8]) -> Result<(), Error> {
        self.word(PROPERTY)?;
        self.word(u32::try_from(value.len()).map_err(|_| Error::TreeFull)?)?;
        self.word(name)?;
        self.add(value)
    }
}

/// A tree, in memory that may be larger.
struct Tree<'a>(&'a mut [u8]);

impl Tree<'_> {
    fn word(&self, at: usize) -> Result<u32, Error> {
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk);
        bytes
            .map(|bytes| u32::from_be_bytes(*bytes))
            .ok_or(Error::BadTree)
    }

    fn size(&self, at: usize) -> Result<usize, Error> {
        self.word(at).map(|word| word as usize)
    }

    fn total(&self) -> Result<usize, Error> {
        self.size(TOTAL_SIZE)
    }

    fn enlarge(&mut self, at: usize, by: usize) -> Result<(), Error> {
        let sum = self
            .size(at)?
            .checked_add(by)
            .and_then(|sum| u32::try_from(sum).ok());
        let sum = sum.ok_or(Error::TreeFull)?;
        let field = self.0.get_mut(at..at + 4).ok_or(Error::BadTree)?;
        field.copy_from_slice(&sum.to_be_bytes());
        Ok(())
    }

    /// Inserts bytes, a multiple of 8 of them or of 4 in the structure, into the block whose size is the field `size`.
    fn insert(&mut self, at: usize, bytes: &[u8], size: usize) -> Result<(), Error> {
        let total = self.total()?;
        let room = self
            .0
            .get_mut(at..total + bytes.len())
            .ok_or(Error::TreeFull)?;
        let tail = room.len() - bytes.len();
        room.copy_within(..tail, bytes.len());
        let (gap, _) = room.split_at_mut(bytes.len());
        gap.copy_from_slice(bytes);
        for field in [STRUCT_OFFSET, STRINGS_OFFSET, RESERVED_OFFSET] {
            if self.size(field)? >= at {
                self.enlarge(field, bytes.len())?;
            }
        }
        self.enlarge(TOTAL_SIZE, bytes.len())?;
        self.enlarge(size, bytes.len())
    }

    /// The offset of a string in the block of strings, to which it is added if it is not there.
    fn string(&mut self, name: &str) -> Result<u32, Error> {
        let (start, size) = (self.size(STRINGS_OFFSET)?, self.size(STRINGS_SIZE)?);
        let strings = self.0.get(start..start + size).ok_or(Error::BadTree)?;
        let mut ends = strings.windows(name.len() + 1);
        let found = ends.position(|part| part.split_last() == Some((&0, name.as_bytes())));
        let offset = match found {
            Some(offset) => offset,
            None => {
                let mut bytes = [0; 32];
                let (text, _) = bytes
                    .split_at_mut_checked(name.len())
                    .ok_or(Error::TreeFull)?;
                text.copy_from_slice(name.as_bytes());
                // Whatever is behind them stays aligned to 8 bytes.
                let (bytes, _) = bytes.split_at((name.len() + 1).next_multiple_of(8));
                self.insert(start + size, bytes, STRINGS_SIZE)?;
                size
            }
        };
        u32::try_from(offset).map_err(|_| Error::BadTree)
    }

    /// Where the root node ends.
    fn end_of_root(&self) -> Result<usize, Error> {
        self.walk(None)?.ok_or(Error::BadTree)
    }

    /// Where the child of the root with this name ends.
    fn end_of(&self, name: &str) -> Result<Option<usize>, Error> {
        self.walk(Some(name))
    }

    /// The offset of the END_NODE of a child of the root, or of the root itself.
    fn walk(&self, child: Option<&str>) -> Result<Option<usize>, Error> {
        let mut at = self.size(STRUCT_OFFSET)?;
        let (mut depth, mut wanted) = (0_u32, None);
        loop {
            let token = self.word(at)?;
            let next = at + 4;
            at = match token {
                BEGIN_NODE => {
                    let name = self.0.get(next..).ok_or(Error::BadTree)?;
                    let length = name
                        .iter()
                        .position(|byte| *byte == 0)
                        .ok_or(Error::BadTree)?;
                    let (name, _) = name.split_at(length);
                    if depth == 1 && child.is_some_and(|child| child.as_bytes() == name) {
                        wanted = Some(1);
                    }
                    depth += 1;
                    next + (length + 1).next_multiple_of(4)
                }
                END_NODE => {
                    depth = depth.checked_sub(1).ok_or(Error::BadTree)?;
                    if wanted == Some(depth) || depth == 0 && child.is_none() {
                        return Ok(Some(at));
                    }
                    if depth == 0 {
                        return Ok(None);
                    }
                    next
                }
                PROPERTY => next + 8 + self.size(next)?.next_multiple_of(4),
                NOP => next,
                _ => return Err(Error::BadTree),
            };
        }
    }
}
