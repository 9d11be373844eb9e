// SPDX-License-Identifier: BSD-3-Clause
//! Arguments of the first and of further CPUs, and a manifest page, of any content.

use arbitrary::Arbitrary;
use rmm_core::boot::{ColdBoot, Manifest, WarmBoot};
use rmm_granule::{GRANULE_SIZE, GranuleTable, Pa};

/// What EL3 hands over.
#[derive(Arbitrary, Debug)]
pub struct Handed {
    registers: [u64; 5],
    /// A version that exists, else whatever the page says.
    minor: Option<u8>,
    /// Words at an offset each; the rest of the page is zero.
    words: Vec<(u16, u64)>,
    /// Sums up each list, as its checksum demands.
    checksums: bool,
    pa_bits: u8,
}

/// Offsets of the lists of the manifest whose elements are checked: number, pointer, checksum.
const LISTS: [usize; 5] = [0x10, 0x28, 0x40, 0x58, 0x70];

const PAGE: u64 = 0x8FFF_F000;

impl Handed {
    fn page(&self) -> [u8; GRANULE_SIZE] {
        let mut page = [0; GRANULE_SIZE];
        let mut write = |offset: usize, value: u64| {
            page[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        };
        for (offset, value) in &self.words {
            write(usize::from(offset % 512) * 8, *value);
        }
        if let Some(minor) = self.minor {
            page[..4].copy_from_slice(&u32::from(minor % 8).to_le_bytes());
        }
        if self.checksums {
            for list in LISTS {
                complete(&mut page, list);
            }
        }
        page
    }

    /// DRAM banks are whole pages in ascending order, and each CPU is one of the machine.
    pub fn check(&self) {
        if let Ok(cold) = ColdBoot::new(self.registers) {
            assert!(cold.cpu < cold.cpus, "{cold:?}");
            let [x0, x1, ..] = self.registers;
            if let Ok(warm) = WarmBoot::new([x0, x1], cold.el3, cold.cpus) {
                assert!(warm.cpu < cold.cpus, "{warm:?}");
            }
        }
        let page = self.page();
        let pa_bits = 32 + self.pa_bits % 21;
        let Ok(manifest) = Manifest::parse(&page, Pa(PAGE), pa_bits) else {
            return;
        };
        let mut end = 0;
        for bank in manifest.banks().as_slice() {
            assert!(bank.base >= end && bank.size > 0, "{manifest:?}");
            assert_eq!((bank.base | bank.size) % GRANULE_SIZE as u64, 0);
            end = bank.base.checked_add(bank.size).expect("within 64 bits");
            assert!(end <= 1 << pa_bits);
        }
        let _words = GranuleTable::words_needed(manifest.banks().as_slice());
    }
}

/// Puts a list of a few elements into the page, and its checksum into its head.
fn complete(page: &mut [u8; GRANULE_SIZE], list: usize) {
    let word = |page: &[u8; GRANULE_SIZE], at: usize| {
        u64::from_le_bytes(page[at..at + 8].try_into().expect("8 bytes"))
    };
    let count = word(page, list) % 8;
    let at = 0x400 + usize::try_from(word(page, list + 8) % 0x800).expect("small") / 8 * 8;
    let pointer = PAGE + at as u64;
    let sum = (0..2 * count).try_fold(0u64, |sum, n| {
        let at = at + 8 * usize::try_from(n).ok()?;
        (at + 8 <= GRANULE_SIZE).then(|| sum.wrapping_add(word(page, at)))
    });
    let head = count.wrapping_add(pointer);
    let checksum = head.wrapping_add(sum.unwrap_or(0)).wrapping_neg();
    for (n, value) in [count, pointer, checksum].into_iter().enumerate() {
        page[list + 8 * n..list + 8 * n + 8].copy_from_slice(&value.to_le_bytes());
    }
}
