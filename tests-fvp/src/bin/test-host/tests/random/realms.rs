// SPDX-License-Identifier: BSD-3-Clause
//! Realms of random code, whose RECs run on two CPUs while the Host changes tables, the PAS of granules
//! and interrupts under them.
//!
//! Each life is a Realm that is made of a seed, runs for a number of steps of each CPU, and is destroyed.
//! What must hold: each call is answered by a status that it may have; an exit shows nothing of the Realm
//! but what its reason shows; every granule comes back, and is zero; registers of the Host, and registers
//! and memory of another Realm, stay as they are.

use super::counts::Counts;
use super::hammer::{Hammer, Life, RECS};
use super::places::{
    CODE, CODE_PAGES, COMING, EMPTY, FEW, MEMORY, PAGES, SECOND, TABLES, literal, page,
    stage1_tables,
};
use super::witness::Witness;
use super::{Dice, code};
use crate::arch::{self, ticks, try_read};
use crate::check::{Check, Stop, ensure, ensure_eq, fail};
use crate::console::line;
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, entry_size};
use crate::rec::Rec;
use crate::tests::{Test, needs};
use crate::{cpus, gic, params, rmi};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, Ordering};
use rmm_abi::rmi::{RMI_ERROR_RTT, RMI_SUCCESS, RealmFlags, status_code};
use spin::Mutex;
use tests_fvp::protocol::layout;
use zerocopy::IntoBytes;

pub const TESTS: &[Test] = &[("random.realms", realms)];

global_asm!(include_str!("head.s"));

unsafe extern "C" {
    /// The first page of each Realm.
    static random_head: [u8; GRANULE as usize];
}

/// Delegated granules that each CPU has for tables and data.
const SPARE: usize = 16;

/// The Realm of a life, state ACTIVE, and the granules of both CPUs.
fn build(dice: &mut Dice) -> Check<Realm> {
    let features = needs::features()?;
    let mut config = Config {
        vmid: Some(Witness::VMID + 1 + (dice.roll() & 0x7F) as u16),
        ..Config::default()
    };
    let mut flags = RealmFlags::empty();
    if features.sve_en() && dice.below(2) == 0 {
        flags |= RealmFlags::SVE;
        config.sve_vl = (dice.roll() % (features.sve_vl() + 1)) as u8;
    }
    if features.pmu_en() && dice.below(2) == 0 {
        flags |= RealmFlags::PMU;
        config.pmu_num_ctrs = (dice.roll() % (features.pmu_num_ctrs() + 1)) as u8;
    }
    if features.lpa2() && dice.below(4) == 0 {
        flags |= RealmFlags::LPA2;
    }
    config.flags = flags.bits();
    config.num_bps = 1 + (dice.roll() % features.num_bps()) as u8;
    config.num_wps = 1 + (dice.roll() % features.num_wps()) as u8;
    if dice.below(2) == 0 {
        (config.level, config.tables) = (1, 2);
    }
    let mut realm = Realm::new(&config)?;
    let half = config.unprotected();
    realm.add_tables(layout::BASE, 3)?;
    realm.add_tables(SECOND, 2)?;
    realm.add_tables(half, 2)?;
    realm.init_ripas(layout::BASE, page(EMPTY))?;
    realm.init_ripas(SECOND, SECOND + entry_size(2))?;
    // SAFETY: a constant of `head.s`.
    realm.add_page(page(0), unsafe { &random_head }, 0)?;
    for n in 0..CODE_PAGES {
        let words = code::page(
            dice,
            n as usize,
            CODE_PAGES as usize,
            |dice| literal(dice, half),
            |dice| page(MEMORY + dice.roll() % (PAGES - MEMORY)),
        );
        realm.add_page(page(CODE + n), words.as_bytes(), 0)?;
    }
    for (n, table) in (0..).zip(stage1_tables(half, dice)) {
        realm.add_page(page(TABLES + n), table.as_bytes(), 0)?;
    }
    for n in MEMORY..COMING {
        realm.add_unknown(page(n))?;
    }
    // MMU, alignment checks, caches.
    const SCTLR: [u64; 4] = [0x1005, 0x1005, 0x1007, 0x1004];
    // 48-bit VA, Inner Shareable Write-Back, no TTBR1_EL1, 48-bit output.
    const TCR: u64 = 5 << 32 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 16;
    for n in 0..RECS as u64 {
        let stack = page(MEMORY + 1 + n);
        let sctlr = SCTLR[dice.below(SCTLR.len())];
        let start = page(CODE + n);
        let gprs = [sctlr, page(TABLES), 0x04FF, TCR, stack, start];
        realm.add_rec_at(page(0), true, &gprs)?;
    }
    realm.activate()?;
    Ok(realm)
}

/// Lives of Realms, until the time is over.
// Conformance: Invariants conservation, progress
fn realms() -> Check {
    let parameters = params::get();
    let counts = Arc::new(Counts::default());
    let witness = Arc::new(Mutex::new(Witness::new()?));
    let end = arch::now() + ticks(1000) * parameters.seconds;
    let mut lives = 0;
    while lives == 0 || arch::now() < end {
        let seed = parameters.seed.wrapping_add(lives);
        line!("life {seed}");
        let named = |why| match why {
            Stop::Failed(why) => Stop::Failed(format!("{why}; --seed {seed}")),
            skipped => skipped,
        };
        life(seed, &counts, &witness).map_err(named)?;
        lives += 1;
    }
    line!("host: {lives} Realms of random code: {counts}");
    counts.check(lives)?;
    let Some(witness) = Arc::into_inner(witness) else {
        fail!("the second CPU still has the other Realm");
    };
    witness.into_inner().realm.finish()
}

/// One life.
fn life(seed: u64, counts: &Arc<Counts>, witness: &Arc<Mutex<Witness>>) -> Check {
    let mut dice = Dice::of(seed, 0);
    let mut realm = build(&mut dice)?;
    let mut shared = [0; FEW as usize];
    for granule in &mut shared {
        *granule = pool::take_one()?;
    }
    let mut spare = Vec::new();
    for _ in 0..2 * SPARE {
        spare.push(pool::take_delegated()?);
    }
    let granules = spare.len() + realm.pages.len();
    let second_spare = spare.split_off(SPARE);
    let life = Arc::new(Life {
        rd: realm.rd,
        half: realm.config.unprotected(),
        recs: realm.recs.iter().map(|rec| rec.pa).collect(),
        shared,
        list_registers: needs::features()?.gicv3_num_lrs() as usize + 1,
        counts: counts.clone(),
        witness: witness.clone(),
        over: AtomicBool::new(false),
    });
    let recs = realm.recs.clone();
    let mut second_recs = recs.clone();
    for rec in &mut second_recs {
        rec.run = pool::take_one()?;
        pool::fill(rec.run, 1, 0);
    }
    let second_runs: Vec<u64> = second_recs.iter().map(|rec| rec.run).collect();
    let work = move |life: &Life, cpu: u64, spare: Vec<u64>, recs: Vec<Rec>| -> (Check, Vec<u64>) {
        let mut hammer = Hammer {
            life,
            dice: Dice::of(seed, 1 + cpu),
            spare,
            exits: (0..recs.len()).map(|_| None).collect(),
            recs,
            own: cpu as usize % RECS,
            idle: [0; RECS],
        };
        let result = hammer.run();
        if result.is_err() {
            life.over.store(true, Ordering::Relaxed);
        }
        (result, hammer.spare)
    };
    let (mut spare, there) = if cpus::second().exists() {
        let slot = Arc::new(Mutex::new(None));
        let (second_slot, second_life) = (slot.clone(), life.clone());
        cpus::second().start(move || {
            let done = work(&second_life, 1, second_spare, second_recs);
            drop(second_life);
            *second_slot.lock() = Some(done);
        })?;
        let (here, mut spare) = work(&life, 0, spare, recs);
        cpus::second().finish()?;
        here?;
        let (there, second_spare) = slot.lock().take().ok_or("the second CPU has no result")?;
        spare.extend(second_spare);
        (spare, there)
    } else {
        let (here, mut spare) = work(&life, 0, spare, recs);
        here?;
        spare.extend(second_spare);
        (spare, Ok(()))
    };
    there?;
    while gic::taken().is_some() {}
    second_runs.into_iter().for_each(|run| pool::give(run, 1));
    end(&mut realm, &life, &mut spare)?;
    spare.sort_unstable();
    spare.dedup();
    ensure_eq!(spare.len(), granules, "granules that came back");
    spare.into_iter().try_for_each(pool::give_delegated)?;
    realm.finish()
}

/// Takes back what the Realm still has, but for what `Realm` has made itself.
fn end(realm: &mut Realm, life: &Life, spare: &mut Vec<u64>) -> Check {
    for base in [layout::BASE, SECOND] {
        let mut ipa = base;
        while ipa < base + entry_size(2) {
            let answer = rmi::data_destroy(life.rd, ipa);
            let [data, top, ..] = answer.out;
            ensure!(
                top > ipa && [RMI_SUCCESS, RMI_ERROR_RTT].contains(&status_code(answer.status)),
                "RMI_DATA_DESTROY of {ipa:#x}: {}, top {top:#x}",
                rmi::name(answer.status)
            );
            if answer.status == RMI_SUCCESS {
                spare.push(data);
            }
            ipa = top;
        }
    }
    realm.pages.clear();
    for ipa in [SECOND, life.half] {
        // An entry that is left maps memory of the Host, which needs no other command.
        let answer = rmi::rtt_destroy(life.rd, ipa, 3);
        if answer.status == RMI_SUCCESS {
            spare.push(answer.out[0]);
        }
    }
    for granule in life.shared {
        // Delegated or not.
        let _ = rmi::undelegate(granule);
        for word in (granule..granule + GRANULE).step_by(8) {
            if let Err(esr) = try_read(word) {
                fail!("granule {granule:#x} of the Host cannot be read: esr {esr:#x}");
            }
        }
        pool::give(granule, 1);
    }
    Ok(())
}
