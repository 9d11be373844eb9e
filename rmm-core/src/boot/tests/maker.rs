// SPDX-License-Identifier: BSD-3-Clause
//! Makes manifests.

use super::{BootError, Manifest};
use rmm_abi::el3::{BootManifest, Console, List, MemoryBank, checksum_of, size_for};
use rmm_granule::Pa;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

pub type Page = [u8; 4096];

/// Address of the shared buffer on QEMU, where the page is.
pub const PA: u64 = 0x418F_F000;

/// Builds a manifest: header, then arrays one behind the other.
pub struct Maker {
    /// The page.
    pub page: Page,
    /// Offset of the first byte behind the last array.
    pub free: usize,
}

pub fn words<T: IntoBytes + Immutable>(array: &[T]) -> Vec<u64> {
    let bytes = array.as_bytes().chunks(8);
    bytes
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

impl Maker {
    pub fn new(minor: u16) -> Self {
        let mut maker = Self {
            page: [0; 4096],
            free: size_for(5),
        };
        maker.header().version = u32::from(minor);
        maker
    }

    pub fn header(&mut self) -> &mut BootManifest {
        BootManifest::mut_from_prefix(&mut self.page).unwrap().0
    }

    /// Puts an array into the page; returns its address.
    pub fn put<T: IntoBytes + Immutable>(&mut self, array: &[T]) -> u64 {
        let bytes = array.as_bytes();
        self.page[self.free..][..bytes.len()].copy_from_slice(bytes);
        let at = PA + self.free as u64;
        self.free += bytes.len();
        at
    }

    pub fn list<T: IntoBytes + Immutable>(&mut self, array: &[T]) -> List {
        let num = array.len() as u64;
        let pointer = self.put(array);
        let sum = words(array).into_iter().chain([num, pointer]);
        List {
            num,
            pointer,
            checksum: checksum_of(sum),
        }
    }

    pub fn dram(mut self, banks: &[(u64, u64)]) -> Self {
        let banks: Vec<_> = banks
            .iter()
            .map(|&(base, size)| MemoryBank { base, size })
            .collect();
        self.header().plat_dram = List::new_zeroed();
        let list = self.list(&banks);
        self.header().plat_dram = list;
        self
    }

    pub fn consoles(mut self, consoles: &[Console]) -> Self {
        let list = self.list(consoles);
        self.header().plat_console = list;
        self
    }

    pub fn parse(&self) -> Result<Manifest, BootError> {
        Manifest::parse(&self.page, Pa(PA), 48)
    }
}
