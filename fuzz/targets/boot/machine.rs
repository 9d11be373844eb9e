// SPDX-License-Identifier: BSD-3-Clause
//! Machines near the boards that there are, for the oracle of the unit tests.

use super::boards::{FVP, SBSA, VIRT};
use super::case::{Case, PAGE, overlap, places_of};
use arbitrary::Arbitrary;
use rmm_core::boot::Extent;
use rmm_granule::Pa;

/// Most places of which the banks are made; the manifest has room for 16 banks.
const PLACES: usize = 40;

/// A page.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    /// Near a place where something of the board begins or ends.
    Near(u8, i8),
    /// In the same GiB as the region of the board.
    Gib(u32),
    Any(u64, u8),
}

/// What is wrong with the banks.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Flaw {
    None,
    AlsoNone,
    Order(u8),
    Size(u8, u8),
    Base(u8, u16),
    Longer(u8, u16),
    Twice(u8),
}

/// Where EL3 loaded the image.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Image {
    /// At the start of a payload.
    Payload(u8),
    At(Place),
}

/// What the oracle needs, as numbers.
#[derive(Arbitrary, Debug)]
pub struct Machine {
    board: u8,
    version: u8,
    cpus: u16,
    pages: u8,
    image: Image,
    image_pages: u16,
    /// `None`: behind the region.
    shared: Option<Place>,
    pa_bits: u8,
    places: Vec<(Place, bool)>,
    flaw: Flaw,
    /// Place, whether the memory ends there, whether it is aligned.
    reserve: Option<(Place, bool, bool)>,
}

impl Machine {
    /// Asserts that the monitor boots, or refuses, as it must.
    pub fn check(&self) {
        let case = self.case();
        // EL3 has the page for itself.
        if case.shared != 0 && !overlap(case.image(), case.shared()) {
            let _outcome = case.check();
        }
    }

    fn case(&self) -> Case {
        let board = [&VIRT, &FVP, &SBSA][usize::from(self.board % 3)];
        let (region, size) = board.region;
        let near = places_of(board);
        let page = |place| match place {
            Place::Near(n, pages) => {
                let place = near[usize::from(n) % near.len()];
                place.saturating_add_signed(i64::from(pages) * 4096)
            }
            Place::Gib(page) => (region & !0x3FFF_FFFF) + u64::from(page % (1 << 18)) * PAGE,
            Place::Any(page, shift) => (page % (1 << 37) >> (shift % 37)) * PAGE,
        };
        let parts = [board.region].into_iter().chain(board.payloads.to_vec());
        let parts: Vec<_> = parts.map(|(base, _)| base).collect();
        let image = match self.image {
            Image::Payload(n) => parts[usize::from(n) % parts.len()],
            Image::At(place) => page(place),
        };
        Case {
            board,
            version: [2, 4, 6, 7, 8, 0x2_0000][usize::from(self.version % 6)],
            cpus: u64::from(self.cpus % 512) + 1,
            block: (u64::from(self.pages % 32) + 1) * PAGE,
            image: Extent {
                base: Pa(image),
                size: (u64::from(self.image_pages % 0x200) + 1) * PAGE,
            },
            shared: self.shared.map_or(region + size, page),
            pa_bits: [40, 48, 52][usize::from(self.pa_bits % 3)],
            dram: self.banks(page),
            reserve: self.reserve.map(|(place, ends, is_aligned)| {
                let place = page(place);
                let place = if is_aligned {
                    place & !0x1F_FFFF
                } else {
                    place
                };
                (place, ends)
            }),
        }
    }

    /// Whether each range between two neighbours of the places is a bank. Sometimes the rules are then
    /// broken.
    fn banks(&self, page: impl Fn(Place) -> u64) -> Vec<(u64, u64)> {
        let places = self.places.iter().take(PLACES);
        let mut places: Vec<_> = places
            .map(|&(place, is_bank)| (page(place), is_bank))
            .collect();
        places.sort_unstable();
        places.dedup_by_key(|&mut (place, _)| place);
        let mut banks: Vec<_> = places
            .windows(2)
            .filter(|ends| ends[0].1)
            .map(|ends| (ends[0].0, ends[1].0 - ends[0].0))
            .collect();
        let Some(last) = banks.len().checked_sub(1) else {
            return banks;
        };
        let at = |n: u8| usize::from(n) % (last + 1);
        match self.flaw {
            Flaw::None | Flaw::AlsoNone => {}
            Flaw::Order(n) => banks.swap(at(n), last),
            Flaw::Size(n, size) => banks[at(n)].1 = size.into(),
            Flaw::Base(n, bytes) => banks[at(n)].0 += u64::from(bytes),
            Flaw::Longer(n, bytes) => banks[at(n)].1 += u64::from(bytes),
            Flaw::Twice(n) => banks.insert(at(n), banks[last]),
        }
        // The page of the manifest has no room for more.
        banks.truncate(200);
        banks
    }
}
