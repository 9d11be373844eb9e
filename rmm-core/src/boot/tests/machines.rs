// SPDX-License-Identifier: BSD-3-Clause
//! Plans for random manifests, with the constants of each board.
//!
//! A range is a pair of first address and first address behind it, in 128 bits, so that no sum
//! overflows. Every range begins and ends at a page. Whether a page is in a range can then only change
//! where some range begins or ends: the pages on both sides of all these places stand for every page.

use super::plan::{FVP, SBSA, VIRT};
use super::*;
use crate::board::Board;
use crate::fake::environment_seed;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rmm_granule::fake::{keep, places};
use rmm_granule::{GranuleState, GranuleTable, MAX_BANKS, Word};
use std::cell::RefCell;
use std::collections::BTreeMap;

type Range = (u128, u128);

const PAGE: u64 = 0x1000;
const LIMIT: u128 = 1 << 48;

fn range(base: u64, size: u64) -> Range {
    (base.into(), u128::from(base) + u128::from(size))
}

fn is_in(page: u128, (base, end): Range) -> bool {
    (base..end).contains(&page)
}

fn overlap(a: Range, b: Range) -> bool {
    (a.0 < a.1 && b.0 < b.1) && (is_in(a.0, b) || is_in(b.0, a))
}

fn contains(outer: Range, inner: Range) -> bool {
    outer.0 <= inner.0 && inner.1 <= outer.1
}

/// EL3, the machine, and what is in the manifest.
#[derive(Clone, Debug)]
struct Case {
    board: &'static Board,
    version: u64,
    cpus: u64,
    /// Size of a CPU's block.
    block: u64,
    image: Extent,
    shared: u64,
    pa_bits: u8,
    /// The DRAM banks (base, size in bytes).
    dram: Vec<(u64, u64)>,
    /// The answer of EL3 to RMM_RESERVE_MEMORY: memory that begins here or, if true, ends here.
    reserve: Option<(u64, bool)>,
}

/// Addresses of pages where something of the board begins or ends.
fn places_of(board: &Board) -> Vec<u64> {
    [board.region]
        .iter()
        .chain(board.payloads)
        .chain(board.reserved)
        .flat_map(|&(base, size)| [base, base + size])
        .chain([0, 1 << 48, 1 << 40, 1 << 32])
        .collect()
}

/// A page, more often a low one.
fn any_page() -> impl Strategy<Value = u64> + Clone {
    (0..1_u64 << 49 >> 12, 0..37_u32).prop_map(|(page, shift)| (page >> shift) * PAGE)
}

/// A page: near such a place, at a random place of the same GiB or anywhere.
fn page(near: Vec<u64>) -> impl Strategy<Value = u64> + Clone {
    let region = near[0];
    let pages = prop_oneof![3 => -3..=3_i64, 1 => -0x2000..=0x2000_i64];
    let near = (select(near), pages)
        .prop_map(|(place, pages)| place.saturating_add_signed(pages * 0x1000));
    prop_oneof![
        4 => near,
        2 => (0..1_u64 << 18).prop_map(move |page| (region & !0x3FFF_FFFF) + page * PAGE),
        1 => any_page(),
    ]
}

/// Banks: whether each range between two neighbours of these places is one. Sometimes the rules are
/// then broken.
fn dram(near: Vec<u64>) -> impl Strategy<Value = Vec<(u64, u64)>> {
    let place = (page(near), prop::bool::weighted(0.7));
    let far = (any_page(), prop::bool::weighted(0.95));
    // The manifest can carry 16 banks. Those that are far leave what is withheld in the middle of one.
    let places = prop_oneof![
        4 => vec(place.clone(), 2..=12),
        2 => vec(place, 20..=27),
        1 => vec(far, 17..=20),
    ];
    let flaw = prop_oneof![9 => Just(0), 1 => 1..=6_usize];
    (places, flaw, any::<prop::sample::Index>()).prop_map(|(mut places, flaw, at)| {
        places.sort_unstable();
        places.dedup_by_key(|&mut (place, _)| place);
        let mut banks: Vec<_> = places
            .windows(2)
            .filter(|ends| ends[0].1)
            .map(|ends| (ends[0].0, ends[1].0 - ends[0].0))
            .collect();
        if let Some(last) = banks.len().checked_sub(1) {
            let at = at.index(banks.len());
            match flaw {
                1 => banks.swap(at, last),
                2 => banks[at].1 = 0,
                3 => banks[at].0 += 8,
                4 => banks[at].1 += 8,
                5 => banks[at].1 += PAGE,
                6 => banks.insert(at, banks[last]),
                _ => {}
            }
        }
        banks
    })
}

fn cases() -> impl Strategy<Value = Case> {
    select(vec![&VIRT, &FVP, &SBSA]).prop_flat_map(|board| {
        let (region, size) = board.region;
        let near = places_of(board);
        let starts = [board.region].into_iter().chain(board.payloads.to_vec());
        let starts: Vec<_> = starts.map(|(base, _)| base).collect();
        let image = (1..=0x200_u64).prop_flat_map(move |pages| {
            let any = page(vec![region, region + size - pages * PAGE]);
            let base = prop_oneof![4 => select(starts.clone()), 1 => any];
            base.prop_map(move |base| Extent {
                base: Pa(base),
                size: pages * PAGE,
            })
        });
        // EL3 has the last page of the region or another one, which is not of the image.
        let shared = prop_oneof![Just(region + size), page(near.clone())];
        let blocks: Vec<_> = near.iter().map(|place| place & !0x1F_FFFF).collect();
        let somewhere = prop_oneof![
            1 => page(blocks.clone()),
            2 => select(blocks),
            2 => (0..size / 0x20_0000).prop_map(move |n| (region + n * 0x20_0000) & !0x1F_FFFF),
        ];
        let reserve = (somewhere, prop::bool::weighted(0.2));
        // With 512 CPUs the memory for CPUs and table is of whole blocks, too.
        let cpus = prop_oneof![9 => 1..=512_u64, 1 => Just(512)];
        let versions = select(vec![2, 4, 6, 7, 8, 0x2_0000]);
        let machine = (versions, cpus, 1..=32_u64, image, shared);
        let memory = (
            dram(near),
            select(vec![40, 48, 48, 48, 52, 52, 52]),
            prop::option::of(reserve),
        );
        (machine, memory)
            .prop_map(
                move |((version, cpus, pages, image, shared), memory)| Case {
                    board,
                    version,
                    cpus,
                    block: pages * PAGE,
                    image,
                    shared,
                    dram: memory.0,
                    pa_bits: memory.1,
                    reserve: memory.2,
                },
            )
            .prop_filter("the shared page is not of the image", |case| {
                case.shared != 0 && !overlap(case.image(), case.shared())
            })
    })
}

impl Case {
    fn image(&self) -> Range {
        range(self.image.base.0, self.image.size)
    }

    fn shared(&self) -> Range {
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
    fn check(&self) -> Result<&'static str, TestCaseError> {
        let parsed = {
            let maker = Maker::new(2).dram(&self.dram);
            Manifest::parse(&maker.page, Pa(PA), self.pa_bits)
        };
        if !self.is_lawful() {
            prop_assert!(matches!(parsed, Err(BootError::Manifest(_))), "{parsed:?}");
            return Ok("unlawful manifest");
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
                prop_assert!(most > MAX_BANKS, "{most} pieces fit");
                return Ok("too many pieces");
            }
            Err(why) => {
                prop_assert_eq!(why, super::plan::ELSEWHERE);
                prop_assert_eq!(self.own(), None);
                return Ok("image elsewhere");
            }
        };
        prop_assert!(self.own().is_some(), "the image is elsewhere");
        self.check_banks(&plan)?;
        self.check_layout(&plan)
    }

    fn check_banks(&self, plan: &Plan) -> Result<(), TestCaseError> {
        let pieces = plan.banks().as_slice();
        let pieces: Vec<_> = pieces.iter().map(|b| range(b.base, b.size)).collect();
        prop_assert!(pieces.is_sorted_by(|a, b| a.1 <= b.0), "{pieces:x?}");
        let banks = self.dram.iter().map(|&(base, size)| range(base, size));
        let all = banks.chain(self.withheld()).chain(pieces.iter().copied());
        let edges: Vec<_> = all.flat_map(|(base, end)| [base, end]).collect();
        for page in edges.iter().flat_map(|&e| [e.checked_sub(4096), Some(e)]) {
            let Some(page) = page else { continue };
            let planned = pieces.iter().any(|&piece| is_in(page, piece));
            prop_assert_eq!(planned, self.is_delegable(page), "{:#x}", page);
        }
        let bytes: u128 = pieces.iter().map(|piece| piece.1 - piece.0).sum();
        prop_assert_eq!(plan.words as u128 * 4096, bytes);
        prop_assert!(plan.table_size >= (plan.words * size_of::<Word>()) as u64);
        prop_assert!(plan.cpus_size >= self.cpus * self.block);
        Ok(())
    }

    fn check_layout(&self, plan: &Plan) -> Result<&'static str, TestCaseError> {
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
        prop_assert_eq!(asked.is_some(), self.has_reserve());
        if let Some(Reservation { size, alignment }) = asked {
            prop_assert_eq!((size, alignment), (need, 21));
        }
        let reserved = reserve.filter(|_| self.has_reserve());
        let (room, refusal) = match reserved {
            Some(base) => (range(base, need), super::plan::UNFIT),
            None => {
                // Up to the shared page, if that is in it.
                let own = self.own().unwrap();
                let (shared, _) = self.shared();
                let end = if is_in(shared, own) { shared } else { own.1 };
                (
                    (self.image().1, end.max(self.image().1)),
                    super::plan::TOO_SMALL,
                )
            }
        };
        let layout = match found {
            Ok(layout) => layout,
            Err(why) => {
                prop_assert_eq!(why, refusal);
                if reserved.is_some() {
                    let fits = room.0 % (2 << 20) == 0
                        && room.1 <= LIMIT
                        && !overlap(room, self.image())
                        && !overlap(room, self.shared());
                    prop_assert!(!fits, "{room:x?} is fit");
                    return Ok("unfit reservation");
                }
                // Less than both, and what their alignments may cost.
                let ample = u128::from(need) + (2 << 20);
                prop_assert!(room.1 - room.0 < ample, "{room:x?} is large enough");
                return Ok("too small");
            }
        };
        let table = range(layout.table.0, plan.table_size);
        let cpus = range(layout.cpus.0, plan.cpus_size);
        prop_assert_eq!((table.0 % (2 << 20), cpus.0 % 4096), (0, 0));
        prop_assert!(!overlap(table, cpus), "{layout:?}");
        let memory = plan
            .memory(&layout)
            .map(|part| range(part.base.0, part.size));
        for part in [table, cpus] {
            prop_assert!(contains(room, part), "{part:x?} is not in {room:x?}");
            prop_assert!(part.1 <= LIMIT);
            prop_assert!(!overlap(part, self.image()) && !overlap(part, self.shared()));
            prop_assert!(part.0 == part.1 || memory.contains(&part), "{memory:x?}");
            // The monitor's own memory is in no bank of the plan.
            let delegable = plan.banks().as_slice().iter();
            let mut delegable = delegable.map(|bank| range(bank.base, bank.size));
            prop_assert!(reserved.is_some() || !delegable.any(|bank| overlap(part, bank)));
        }
        let is_in_dram = |bank: &Bank| {
            let bank = range(bank.base, bank.size);
            overlap(table, bank) || overlap(cpus, bank)
        };
        Ok(match reserved {
            _ if plan.words == 0 => "boots, no DRAM",
            None => "boots",
            Some(_) if !plan.banks().as_slice().iter().any(is_in_dram) => "boots in a reservation",
            Some(_) => check_table(plan, &memory)?,
        })
    }
}

/// The granule table near `memory`, reserved as boot reserves it: a page of a bank may be delegated
/// exactly if it is not of `memory`.
fn check_table(plan: &Plan, memory: &[Range]) -> Result<&'static str, TestCaseError> {
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
    if words > 1 << 15 {
        return Ok("boots in much reserved DRAM");
    }
    let words = (0..words).map(|_| Word::new(0)).collect::<Vec<_>>();
    let words = keep(words.into_boxed_slice());
    // SAFETY: no memory is accessed by way of this table.
    let table = unsafe { GranuleTable::new(&banks, words, places()) }.unwrap();
    for &(base, end) in memory {
        let [base, size] = [base, end - base].map(|n| u64::try_from(n).unwrap());
        table.reserve(base, size);
    }
    for bank in &banks {
        for pa in (bank.base..bank.base + bank.size).step_by(4096) {
            let is_free = !memory.iter().any(|&part| is_in(pa.into(), part));
            let state = table.state(pa).ok();
            let free = Some(GranuleState::Undelegated);
            prop_assert_eq!(state == free, is_free, "{:#x}: {:?}", pa, state);
        }
    }
    Ok("boots in reserved DRAM")
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes")]
fn random_machines() {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&environment_seed("BOOT_SEED").to_le_bytes());
    let config = Config {
        cases: 20_000,
        max_global_rejects: 100_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcomes = RefCell::new(BTreeMap::new());
    let result = runner.run(&cases(), |case| {
        *outcomes.borrow_mut().entry(case.check()?).or_insert(0) += 1;
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{outcomes:#?}");
    assert!(outcomes.borrow().len() == 10, "{outcomes:?}");
}
