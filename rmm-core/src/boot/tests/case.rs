// SPDX-License-Identifier: BSD-3-Clause
//! A machine that boots, and what must become of it: an oracle that shares no code with the plan.
//!
//! A range is a pair of first address and first address behind it, in 128 bits, so that no sum
//! overflows. Every range begins and ends at a page. Whether a page is in a range can then only change
//! where some range begins or ends: the pages on both sides of all these places stand for every page.

use super::*;
use rmm_granule::fake::{keep, places};
use rmm_granule::{GranuleState, GranuleTable, MAX_BANKS, Waiter, Word};
use std::sync::atomic::Ordering;

pub type Range = (u128, u128);

pub const PAGE: u64 = 0x1000;
const LIMIT: u128 = 1 << 48;

fn range(base: u64, size: u64) -> Range {
    (base.into(), u128::from(base) + u128::from(size))
}

fn is_in(page: u128, (base, end): Range) -> bool {
    (base..end).contains(&page)
}

pub fn overlap(a: Range, b: Range) -> bool {
    (a.0 < a.1 && b.0 < b.1) && (is_in(a.0, b) || is_in(b.0, a))
}

fn contains(outer: Range, inner: Range) -> bool {
    outer.0 <= inner.0 && inner.1 <= outer.1
}

/// EL3, the machine, and what is in the manifest.
#[derive(Clone, Debug)]
pub struct Case {
    pub board: &'static Board,
    pub version: u64,
    pub cpus: u64,
    /// Size of a CPU's block.
    pub block: u64,
    pub image: Extent,
    pub shared: u64,
    pub pa_bits: u8,
    /// The DRAM banks (base, size in bytes).
    pub dram: Vec<(u64, u64)>,
    /// The answer of EL3 to RMM_RESERVE_MEMORY: memory that begins here or, if true, ends here.
    pub reserve: Option<(u64, bool)>,
}

/// Addresses of pages where something of the board begins or ends.
pub fn places_of(board: &Board) -> Vec<u64> {
    [board.region]
        .iter()
        .chain(board.payloads)
        .chain(board.reserved)
        .flat_map(|&(base, size)| [base, base + size])
        .chain([0, 1 << 48, 1 << 40, 1 << 32])
        .collect()
}

impl Case {
    pub fn image(&self) -> Range {
        range(self.image.base.0, self.image.size)
    }

    pub fn shared(&self) -> Range {
        range(self.shared, PAGE)
    }

    fn has_reserve(&self) -> bool {
        [7, 8, 0x2_0000].contains(&self.version)
    }

    /// What is never delegable, whatever the manifest lists.
    fn withheld(&self) -> Vec<Range> {
        let board = [self.board.region].into_iter();
        board
            .chain(self.board.reserved.iter().copied())
            .map(|(base, size)| range(base, size))
            .chain([
                self.shared(),
                (0, PAGE.into()),
                (LIMIT, u128::from(u64::MAX) + 1),
            ])
            .collect()
    }

    /// Whether the manifest follows the rules for DRAM.
    fn is_lawful(&self) -> bool {
        let banks: Vec<_> = self.dram.iter().map(|&(b, s)| range(b, s)).collect();
        let in_pages = |&(base, end): &Range| base % 4096 == 0 && end % 4096 == 0 && base < end;
        (1..=MAX_BANKS).contains(&banks.len())
            && banks.iter().all(in_pages)
            && banks.iter().all(|bank| bank.1 <= 1 << self.pa_bits)
            && banks.is_sorted_by(|a, b| a.1 <= b.0)
    }

    /// The memory that the image may use without a reservation; `None` if the image is elsewhere.
    fn own(&self) -> Option<Range> {
        let parts = match self.board.payloads {
            payloads if self.has_reserve() && !payloads.is_empty() => payloads,
            _ => &[self.board.region],
        };
        let mut parts = parts.iter().map(|&(base, size)| range(base, size));
        parts.find(|&part| contains(part, self.image()))
    }

    /// Whether a Host may delegate the page, unless memory that EL3 reserves is there.
    fn is_delegable(&self, page: u128) -> bool {
        let mut banks = self.dram.iter().map(|&(base, size)| range(base, size));
        banks.any(|bank| is_in(page, bank)) && !self.withheld().iter().any(|&r| is_in(page, r))
    }

    /// What became of the boot.
    pub fn check(&self) -> &'static str {
        let parsed = {
            let maker = Maker::new(2).dram(&self.dram);
            Manifest::parse(&maker.page, Pa(PA), self.pa_bits)
        };
        if !self.is_lawful() {
            assert!(matches!(parsed, Err(BootError::Manifest(_))), "{parsed:?}");
            return "unlawful manifest";
        }
        let manifest = parsed.unwrap();
        let boot = ColdBoot::new([self.cpus - 1, self.version, self.cpus, self.shared, 0]).unwrap();
        let planned = Plan::new(self.board, &boot, &manifest, self.image, self.block);
        let banks: Vec<_> = self.dram.iter().map(|&(b, s)| range(b, s)).collect();
        // Only a range that ends within a bank can leave one piece more.
        let splits = |bank: Range| {
            let withheld = self.withheld();
            withheld
                .into_iter()
                .filter(|hole| bank.0 < hole.0 && hole.1 < bank.1)
                .count()
        };
        let most: usize = banks.iter().map(|&bank| 1 + splits(bank)).sum();
        let plan = match planned {
            Ok(plan) => plan,
            Err(BootError::Other("too many pieces of DRAM")) => {
                assert!(most > MAX_BANKS, "{most} pieces fit");
                return "too many pieces";
            }
            Err(why) => {
                assert_eq!(why, super::boards::ELSEWHERE);
                assert_eq!(self.own(), None);
                return "image elsewhere";
            }
        };
        assert!(self.own().is_some(), "the image is elsewhere");
        self.check_banks(&plan);
        self.check_layout(&plan)
    }

    fn check_banks(&self, plan: &Plan) {
        let pieces = plan.banks().as_slice();
        let pieces: Vec<_> = pieces.iter().map(|b| range(b.base, b.size)).collect();
        assert!(pieces.is_sorted_by(|a, b| a.1 <= b.0), "{pieces:x?}");
        let banks = self.dram.iter().map(|&(base, size)| range(base, size));
        let all = banks.chain(self.withheld()).chain(pieces.iter().copied());
        let edges: Vec<_> = all.flat_map(|(base, end)| [base, end]).collect();
        for page in edges.iter().flat_map(|&e| [e.checked_sub(4096), Some(e)]) {
            let Some(page) = page else { continue };
            let planned = pieces.iter().any(|&piece| is_in(page, piece));
            assert_eq!(planned, self.is_delegable(page), "{:#x}", page);
        }
        let bytes: u128 = pieces.iter().map(|piece| piece.1 - piece.0).sum();
        assert_eq!(plan.words as u128 * 4096, bytes);
        assert!(plan.table_size >= (plan.words * size_of::<Word>()) as u64);
        assert!(plan.cpus_size >= self.cpus * self.block);
    }

    fn check_layout(&self, plan: &Plan) -> &'static str {
        let need = plan.table_size + plan.cpus_size;
        let reserve = self.reserve.map(|(at, ends)| match ends {
            true => at.saturating_sub(need),
            false => at,
        });
        let mut asked = None;
        let found = plan.layout(|request| {
            asked = Some(request);
            reserve.map(Pa)
        });
        assert_eq!(asked.is_some(), self.has_reserve());
        if let Some(Reservation { size, alignment }) = asked {
            assert_eq!((size, alignment), (need, 21));
        }
        let reserved = reserve.filter(|_| self.has_reserve());
        let (room, refusal) = match reserved {
            Some(base) => (range(base, need), super::boards::UNFIT),
            None => {
                // Up to the shared page, if that is in it.
                let own = self.own().unwrap();
                let (shared, _) = self.shared();
                let end = if is_in(shared, own) { shared } else { own.1 };
                (
                    (self.image().1, end.max(self.image().1)),
                    super::boards::TOO_SMALL,
                )
            }
        };
        let layout = match found {
            Ok(layout) => layout,
            Err(why) => {
                assert_eq!(why, refusal);
                if reserved.is_some() {
                    let fits = room.0 % (2 << 20) == 0
                        && room.1 <= LIMIT
                        && !overlap(room, self.image())
                        && !overlap(room, self.shared());
                    assert!(!fits, "{room:x?} is fit");
                    return "unfit reservation";
                }
                // Less than both, and what their alignments may cost.
                let ample = u128::from(need) + (2 << 20);
                assert!(room.1 - room.0 < ample, "{room:x?} is large enough");
                return "too small";
            }
        };
        let table = range(layout.table.0, plan.table_size);
        let cpus = range(layout.cpus.0, plan.cpus_size);
        assert_eq!((table.0 % (2 << 20), cpus.0 % 4096), (0, 0));
        assert!(!overlap(table, cpus), "{layout:?}");
        let memory = plan
            .memory(&layout)
            .map(|part| range(part.base.0, part.size));
        for part in [table, cpus] {
            assert!(contains(room, part), "{part:x?} is not in {room:x?}");
            assert!(part.1 <= LIMIT);
            assert!(!overlap(part, self.image()) && !overlap(part, self.shared()));
            assert!(part.0 == part.1 || memory.contains(&part), "{memory:x?}");
            // The monitor's own memory is in no bank of the plan.
            let delegable = plan.banks().as_slice().iter();
            let mut delegable = delegable.map(|bank| range(bank.base, bank.size));
            assert!(reserved.is_some() || !delegable.any(|bank| overlap(part, bank)));
        }
        let is_in_dram = |bank: &Bank| {
            let bank = range(bank.base, bank.size);
            overlap(table, bank) || overlap(cpus, bank)
        };
        match reserved {
            _ if plan.words == 0 => "boots, no DRAM",
            None => "boots",
            Some(_) if !plan.banks().as_slice().iter().any(is_in_dram) => "boots in a reservation",
            Some(_) => check_table(plan, &memory),
        }
    }
}

/// Most entries of a table that is looked at.
const MOST_WORDS: usize = 1 << 15;

thread_local! {
    /// Memory of a table, for one case after the other.
    static WORDS: &'static [Word] = keep((0..MOST_WORDS).map(|_| Word::new(0)).collect());
    static PLACES: &'static [Waiter] = places();
}

/// The granule table near `memory`, reserved as boot reserves it: a page of a bank may be delegated
/// exactly if it is not of `memory`.
fn check_table(plan: &Plan, memory: &[Range]) -> &'static str {
    let near = |(base, end): Range| (base.saturating_sub(4 * 4096), end + 4 * 4096);
    let [from, to] = [
        memory.iter().map(|&part| near(part).0).min().unwrap(),
        memory.iter().map(|&part| near(part).1).max().unwrap(),
    ];
    let banks = plan.banks().as_slice().iter();
    let banks: Vec<_> = banks
        .map(|bank| range(bank.base, bank.size))
        .map(|(base, end)| (base.max(from), end.min(to)))
        .filter(|(base, end)| base < end)
        .map(|(base, end)| Bank {
            base: u64::try_from(base).unwrap(),
            size: u64::try_from(end - base).unwrap(),
        })
        .collect();
    let words = GranuleTable::words_needed(&banks).unwrap();
    if words > MOST_WORDS {
        return "boots in much reserved DRAM";
    }
    let (words, _) = WORDS.with(|all| all.split_at(words));
    for word in words {
        word.store(0, Ordering::Relaxed);
    }
    // SAFETY: no memory is accessed by way of this table.
    let table = unsafe { GranuleTable::new(&banks, words, PLACES.with(|places| *places)) }.unwrap();
    for &(base, end) in memory {
        let [base, size] = [base, end - base].map(|n| u64::try_from(n).unwrap());
        table.reserve(base, size);
    }
    for bank in &banks {
        for pa in (bank.base..bank.base + bank.size).step_by(4096) {
            let is_free = !memory.iter().any(|&part| is_in(pa.into(), part));
            let state = table.state(pa).ok();
            let free = Some(GranuleState::Undelegated);
            assert_eq!(state == free, is_free, "{:#x}: {:?}", pa, state);
        }
    }
    "boots in reserved DRAM"
}
