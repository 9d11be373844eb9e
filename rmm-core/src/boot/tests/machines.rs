// SPDX-License-Identifier: BSD-3-Clause
//! Plans for random manifests, with the constants of each board.

use super::boards::{FVP, SBSA, VIRT};
use super::case::{Case, PAGE, overlap, places_of};
use super::*;
use crate::fake::environment_seed;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

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
        *outcomes.borrow_mut().entry(case.check()).or_insert(0) += 1;
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{outcomes:#?}");
    assert!(outcomes.borrow().len() == 10, "{outcomes:?}");
}
