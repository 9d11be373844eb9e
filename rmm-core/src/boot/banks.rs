// SPDX-License-Identifier: BSD-3-Clause
//! Ranges of physical memory, and lists of DRAM banks.

use rmm_granule::{Bank, GRANULE_SIZE, MAX_BANKS, Pa};

/// A range of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub base: Pa,
    /// Length in bytes.
    pub size: u64,
}

impl Extent {
    /// The first address behind the range, at most the largest address.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base.0.saturating_add(self.size)
    }

    /// Whether the range has this address.
    #[must_use]
    pub const fn contains(&self, pa: Pa) -> bool {
        self.base.0 <= pa.0 && pa.0 < self.end()
    }

    /// Whether both ranges have an address in common.
    #[must_use]
    pub const fn overlaps(&self, other: Self) -> bool {
        self.base.0 < other.end() && other.base.0 < self.end()
    }
}

/// A list of DRAM banks, at most as many as the granule table covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banks {
    list: [Bank; MAX_BANKS],
    count: usize,
}

/// The list is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Default for Banks {
    fn default() -> Self {
        Self::new()
    }
}

impl Banks {
    /// No banks.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            list: [Bank { base: 0, size: 0 }; MAX_BANKS],
            count: 0,
        }
    }

    /// The banks.
    #[must_use]
    pub fn as_slice(&self) -> &[Bank] {
        self.list.get(..self.count).unwrap_or(&[])
    }

    /// Adds a bank at the end.
    ///
    /// # Errors
    /// The list is full.
    pub fn push(&mut self, bank: Bank) -> Result<(), Full> {
        *self.list.get_mut(self.count).ok_or(Full)? = bank;
        self.count += 1;
        Ok(())
    }

    /// The banks without `hole`, widened to whole Granules.
    ///
    /// # Errors
    /// The list has no room for the pieces.
    pub fn without(&self, hole: Extent) -> Result<Self, Full> {
        if hole.size == 0 {
            return Ok(*self);
        }
        let from = hole.base.granule_base().0;
        let to = hole.end().checked_next_multiple_of(GRANULE_SIZE as u64);
        let to = to.unwrap_or(u64::MAX);
        let mut rest = Self::new();
        for bank in self.as_slice() {
            let end = bank.base.saturating_add(bank.size);
            let (below, above) = (from.clamp(bank.base, end), to.clamp(bank.base, end));
            for (base, end) in [(bank.base, below), (above, end)] {
                if base < end {
                    let size = end - base;
                    rest.push(Bank { base, size })?;
                }
            }
        }
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banks(list: &[(u64, u64)]) -> Banks {
        let mut banks = Banks::new();
        for &(base, size) in list {
            banks.push(Bank { base, size }).unwrap();
        }
        banks
    }

    fn hole(base: u64, size: u64) -> Extent {
        Extent {
            base: Pa(base),
            size,
        }
    }

    #[test]
    fn holes() {
        let two = banks(&[(0x1000, 0x3000), (0x8000, 0x2000)]);
        for (base, size, left) in [
            (0, 0x1000, &[(0x1000, 0x3000), (0x8000, 0x2000)][..]),
            (0x2800, 0, &[(0x1000, 0x3000), (0x8000, 0x2000)]),
            (0x4000, 0x4000, &[(0x1000, 0x3000), (0x8000, 0x2000)]),
            (0xA000, u64::MAX, &[(0x1000, 0x3000), (0x8000, 0x2000)]),
            (0x1000, 0x1000, &[(0x2000, 0x2000), (0x8000, 0x2000)]),
            (0x0FFF, 2, &[(0x2000, 0x2000), (0x8000, 0x2000)]),
            (0x3001, 1, &[(0x1000, 0x2000), (0x8000, 0x2000)]),
            (0x2FFF, 2, &[(0x1000, 0x1000), (0x8000, 0x2000)]),
            (
                0x2000,
                0x1000,
                &[(0x1000, 0x1000), (0x3000, 0x1000), (0x8000, 0x2000)],
            ),
            (0x3000, 0x6000, &[(0x1000, 0x2000), (0x9000, 0x1000)]),
            (0x1000, 0x3000, &[(0x8000, 0x2000)]),
            (0, u64::MAX, &[]),
        ] {
            assert_eq!(
                two.without(hole(base, size)),
                Ok(banks(left)),
                "{base:#x} {size:#x}"
            );
        }
    }

    #[test]
    fn full() {
        let mut full = Banks::new();
        for index in 0..MAX_BANKS as u64 {
            let (base, size) = (index << 20, 1 << 20);
            full.push(Bank { base, size }).unwrap();
        }
        let size = 0x1000;
        assert_eq!(
            full.push(Bank {
                base: 1 << 40,
                size
            }),
            Err(Full)
        );
        assert_eq!(full.without(hole(0x1000, 0x1000)), Err(Full));
        assert_eq!(
            full.without(hole(0, 0x1000)).unwrap().as_slice().len(),
            MAX_BANKS
        );
    }
}
