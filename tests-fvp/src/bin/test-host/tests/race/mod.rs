// SPDX-License-Identifier: BSD-3-Clause
//! Two CPUs that give the monitor contradictory orders. Any of them may lose; nothing may be lost.

pub mod stage1_table;

use crate::check::{Check, ensure, ensure_eq, fail};
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Config, Realm, entry_size};
use crate::rec::{Rec, Step, command, describe, enter};
use crate::tests::samples::Samples;
use crate::tests::spin::SharedPage;
use crate::tests::{Test, needs};
use crate::{cpus, params, rmi};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use rmm_abi::psci::{SUCCESS, fid};
use rmm_abi::rmi::{
    RMI_ERROR_INPUT, RMI_ERROR_REC, RMI_ERROR_RTT, RMI_SUCCESS, RecExitReason, status_code,
};
use spin::Mutex;
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout, pattern};
use zerocopy::IntoBytes;

pub const TESTS: &[Test] = &[
    ("race.tables", tables),
    ("race.structures", structures),
    ("race.sources", sources),
    ("race.create_realm", create_realm),
    ("race.destroy", destroy),
    ("race.fold_while_used", fold_while_used),
];

const MIB_2: u64 = entry_size(2);

/// Runs one job on the second CPU and another here; returns both results.
fn both<T: Send + 'static>(
    there: impl FnOnce() -> T + Send + 'static,
    here: impl FnOnce() -> T,
) -> Check<(T, T)> {
    let slot = Arc::new(Mutex::new(None));
    let second_slot = slot.clone();
    cpus::second().start(move || *second_slot.lock() = Some(there()))?;
    let here = here();
    cpus::second().finish()?;
    let there = slot.lock().take().ok_or("the second CPU has no result")?;
    Ok((there, here))
}

/// Runs a job on each of the next `others` CPUs, which gets a number from 0 on, and another one here.
/// Returns all results.
pub fn all<T: Send + 'static, R>(
    others: usize,
    there: impl Fn(usize) -> T + Send + Sync + 'static,
    here: impl FnOnce() -> R,
) -> Check<(Vec<T>, R)> {
    let there = Arc::new(there);
    let mut jobs = Vec::new();
    for (n, cpu) in cpus::others().take(others).enumerate() {
        let slot = Arc::new(Mutex::new(None));
        let (its_slot, there) = (slot.clone(), there.clone());
        cpu.start(move || *its_slot.lock() = Some(there(n)))?;
        jobs.push((cpu, slot));
    }
    let here = here();
    let mut results = Vec::new();
    for (cpu, slot) in jobs {
        cpu.finish()?;
        results.push(slot.lock().take().ok_or("another CPU has no result")?);
    }
    Ok((results, here))
}

/// Both CPUs create and destroy tables and pages of one Realm, in random places.
// Conformance: Invariants conservation, progress
fn tables() -> Check {
    needs::second_cpu()?;
    tables_on(2, params::get().rounds(3000))
}

/// As `race.tables`, with as many CPUs, each of which makes as many calls.
pub fn tables_on(cpus: usize, rounds: u64) -> Check {
    const GRANULES: usize = 24;
    let realm = Realm::new(&Config::default())?;
    let rd = realm.rd;
    let half = realm.config.unprotected();
    let mut spares = Vec::new();
    for _ in 0..cpus {
        let mut spare = Vec::new();
        for _ in 0..GRANULES {
            spare.push(pool::take_delegated()?);
        }
        spares.push(spare);
    }
    let work = move |mut spare: Vec<u64>, seed: u64| -> Check<Vec<u64>> {
        for n in 0..rounds {
            let dice = pattern(seed, n) >> 1;
            // Few places, so that the CPUs collide.
            let base = if dice & 1 == 0 { 0 } else { half };
            let ipa = base + (dice >> 1 & 1) * MIB_2 + (dice >> 2 & 3) * GRANULE;
            let level = 1 + (dice >> 4) % 3;
            let table = ipa & !((entry_size(level) << 9) - 1);
            let answer = match dice >> 8 & 7 {
                0..2 => match spare.pop() {
                    Some(granule) => {
                        let answer = rmi::rtt_create(rd, granule, table, level);
                        if answer.status != RMI_SUCCESS {
                            spare.push(granule);
                        }
                        answer
                    }
                    None => continue,
                },
                2 => {
                    let answer = rmi::rtt_destroy(rd, table, level);
                    if answer.status == RMI_SUCCESS {
                        spare.push(answer.out[0]);
                    }
                    answer
                }
                3 => {
                    let answer = rmi::rtt_fold(rd, table, level);
                    if answer.status == RMI_SUCCESS {
                        spare.push(answer.out[0]);
                    }
                    answer
                }
                4 => match spare.pop() {
                    Some(granule) => {
                        let answer = rmi::data_create_unknown(rd, granule, ipa);
                        if answer.status != RMI_SUCCESS {
                            spare.push(granule);
                        }
                        answer
                    }
                    None => continue,
                },
                5 => {
                    let answer = rmi::data_destroy(rd, ipa);
                    if answer.status == RMI_SUCCESS {
                        spare.push(answer.out[0]);
                    }
                    answer
                }
                6 => {
                    let desc = 0x8000_0000 | ATTRIBUTES;
                    rmi::rtt_map_unprotected(rd, ipa & !(entry_size(level) - 1), level, desc)
                }
                _ => rmi::rtt_read_entry(rd, ipa, 3),
            };
            let code = status_code(answer.status);
            if ![RMI_SUCCESS, RMI_ERROR_INPUT, RMI_ERROR_RTT].contains(&code) {
                fail!("status {:#x}", answer.status);
            }
        }
        Ok(spare)
    };
    let seed = params::get().seed * cpus as u64;
    let mine = spares.pop().unwrap_or_default();
    let (there, here) = all(
        cpus - 1,
        move |n| work(spares[n].clone(), seed + n as u64),
        || work(mine, seed + cpus as u64 - 1),
    )?;
    let mut spare = here?;
    for of_one in there {
        spare.extend(of_one?);
    }
    // What is left in the Realm, from the bottom up.
    for ipa in [0, MIB_2, half, half + MIB_2] {
        for page in 0..4 {
            let answer = rmi::data_destroy(rd, ipa + page * GRANULE);
            if answer.status == RMI_SUCCESS {
                spare.push(answer.out[0]);
            }
        }
    }
    for level in [3, 2, 1] {
        for ipa in [0, MIB_2, half, half + MIB_2] {
            let table = ipa & !((entry_size(level) << 9) - 1);
            let answer = rmi::rtt_destroy(rd, table, level);
            if answer.status == RMI_SUCCESS {
                spare.push(answer.out[0]);
            }
        }
    }
    realm.finish()?;
    spare.sort_unstable();
    spare.dedup();
    ensure_eq!(spare.len(), cpus * GRANULES, "granules after the race");
    spare.into_iter().try_for_each(pool::give_delegated)
}

/// Delegates and undelegates a granule until `stop` is set.
fn flicker(granule: u64, stop: &AtomicBool) -> Check {
    while !stop.load(Ordering::Relaxed) {
        rmi::delegate(granule).ok("RMI_GRANULE_DELEGATE")?;
        rmi::undelegate(granule).ok("RMI_GRANULE_UNDELEGATE")?;
    }
    Ok(())
}

/// Runs `work` here while the second CPU delegates and undelegates a granule.
fn while_flickering(granule: u64, work: impl FnOnce() -> Check) -> Check {
    let stop = Arc::new(AtomicBool::new(false));
    let second_stop = stop.clone();
    let (there, here) = both(
        move || flicker(granule, &second_stop),
        || {
            let result = work();
            stop.store(true, Ordering::Relaxed);
            result
        },
    )?;
    there?;
    here
}

/// RmiRecRun is delegated while a REC is entered.
fn structures() -> Check {
    needs::second_cpu()?;
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?.clone();
    let run = pool::take_one()?;
    pool::fill(run, 1, 0);
    let mut entered = 0;
    while_flickering(run, || {
        for _ in 0..500 {
            match rmi::rec_enter(rec.pa, run).status {
                RMI_SUCCESS => entered += 1,
                RMI_ERROR_INPUT => {}
                other => fail!("status {other:#x}"),
            }
        }
        Ok(())
    })?;
    pool::give(run, 1);
    rec.value_of(Op::Nop, &[])?;
    realm.finish()
}

/// The source of RMI_DATA_CREATE and the parameters of RMI_REC_CREATE are delegated meanwhile.
fn sources() -> Check {
    needs::second_cpu()?;
    let samples = Samples::new()?;
    let (rd, data) = (samples.realm.rd, samples.delegated);
    let ipa = layout::BASE + layout::SIZE;
    let source = pool::take_one()?;
    let rec = pool::take_delegated()?;
    while_flickering(source, || {
        for n in 0..400 {
            let answer = rmi::data_create(rd, data, ipa, source, n & 1);
            match answer.status {
                RMI_SUCCESS => {
                    rmi::data_destroy(rd, ipa).ok("RMI_DATA_DESTROY")?;
                }
                RMI_ERROR_INPUT => {}
                other => fail!("RMI_DATA_CREATE: status {other:#x}"),
            }
            // Zeroes, or nothing at all: never a REC.
            rmi::rec_create(rd, rec, source).input("RMI_REC_CREATE")?;
        }
        Ok(())
    })?;
    pool::give(source, 1);
    pool::give_delegated(rec)?;
    samples.finish()
}

/// Both CPUs create Realms with the same VMID, of granules of their own: one at a time succeeds.
fn create_realm() -> Check {
    needs::second_cpu()?;
    let bench = || -> Check<(u64, u64, u64)> {
        let (rd, rtt) = (pool::take_delegated()?, pool::take_delegated()?);
        let page = pool::take_one()?;
        let config = Config {
            vmid: Some(0xEE),
            ..Config::default()
        };
        pool::write_bytes(page, config.params(rtt).as_bytes());
        Ok((rd, rtt, page))
    };
    let (mine, second) = (bench()?, bench()?);
    let work = |(rd, _, page): (u64, u64, u64)| -> Check<u64> {
        let mut created = 0;
        for _ in 0..300 {
            match rmi::realm_create(rd, page).status {
                RMI_SUCCESS => {
                    created += 1;
                    rmi::realm_destroy(rd).ok("RMI_REALM_DESTROY")?;
                }
                RMI_ERROR_INPUT => {}
                other => fail!("RMI_REALM_CREATE: status {other:#x}"),
            }
        }
        Ok(created)
    };
    let (there, here) = both(move || work(second), || work(mine))?;
    let created = there? + here?;
    ensure!(created > 0, "no Realm was created");
    for (rd, rtt, page) in [mine, second] {
        // The VMID is free.
        rmi::realm_create(rd, page).ok("RMI_REALM_CREATE after the race")?;
        rmi::realm_destroy(rd).ok("RMI_REALM_DESTROY")?;
        pool::give_delegated(rd)?;
        pool::give_delegated(rtt)?;
        pool::give(page, 1);
    }
    Ok(())
}

/// One CPU runs a REC, the other tries to destroy it, its Realm and their granules.
fn destroy() -> Check {
    needs::second_cpu()?;
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?.clone();
    let (pa, rd, root) = (rec.pa, realm.rd, realm.rtt_base);
    let stop = Arc::new(AtomicBool::new(false));
    let second_stop = stop.clone();
    let attack = move || -> Check<u64> {
        while !second_stop.load(Ordering::Relaxed) {
            rmi::realm_destroy(rd).realm("RMI_REALM_DESTROY")?;
            for granule in [pa, rd, root] {
                rmi::undelegate(granule).input("RMI_GRANULE_UNDELEGATE")?;
                rmi::delegate(granule).input("RMI_GRANULE_DELEGATE")?;
                rmi::data_create_unknown(rd, granule, 0).input("RMI_DATA_CREATE_UNKNOWN")?;
                rmi::rtt_create(rd, granule, 0, 1).input("RMI_RTT_CREATE")?;
            }
        }
        Ok(0)
    };
    let run = || {
        let mut result = Ok(0);
        for _ in 0..500 {
            if let Err(why) = rec.value_of(Op::Nop, &[]) {
                result = Err(why);
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        result
    };
    let (there, here) = both(attack, run)?;
    here?;
    there?;
    // Now it is destroyed while the other CPU enters; after that an entry must fail.
    let entering = rec.clone();
    let gone = Arc::new(AtomicBool::new(false));
    let second_gone = gone.clone();
    let (there, here) = both(
        move || -> Check<u64> {
            loop {
                let destroyed = second_gone.load(Ordering::Acquire);
                match entering.try_enter(&command(Op::Nop, &[])).status {
                    RMI_SUCCESS if !destroyed => {}
                    RMI_ERROR_INPUT => return Ok(0),
                    other => fail!("RMI_REC_ENTER: status {other:#x}"),
                }
            }
        },
        || -> Check<u64> {
            loop {
                match rmi::rec_destroy(pa).status {
                    RMI_SUCCESS => break,
                    RMI_ERROR_REC => {}
                    other => fail!("RMI_REC_DESTROY: status {other:#x}"),
                }
            }
            gone.store(true, Ordering::Release);
            Ok(0)
        },
    )?;
    here?;
    there?;
    let mut realm = realm;
    realm.recs.clear();
    pool::give(rec.run, 1);
    pool::give_delegated(pa)?;
    rec.aux.iter().copied().try_for_each(pool::give_delegated)?;
    realm.finish()
}

/// Memory becomes a block and pages again under a REC that reads it.
// Conformance: RMI_RTT_FOLD tlb
// Conformance: RMI_RTT_CREATE tlb
fn fold_while_used() -> Check {
    needs::second_cpu()?;
    let mut realm = Realm::loaded(&Config::default())?;
    let ipa = layout::BASE + MIB_2;
    let rd = realm.rd;
    realm.add_table(ipa, 3)?;
    realm.init_ripas(ipa, ipa + MIB_2)?;
    let block = pool::take_delegated_row(512, MIB_2)?;
    for offset in (0..MIB_2).step_by(GRANULE as usize) {
        let answer = rmi::data_create_unknown(rd, block + offset, ipa + offset);
        answer.ok("RMI_DATA_CREATE_UNKNOWN")?;
    }
    for n in 0..2 {
        realm.add_rec(n == 0, &[MODE_COMMANDS, realm.config.unprotected()])?;
    }
    realm.activate()?;
    let (reader, writer) = (realm.boot()?.clone(), realm.recs[1].clone());
    let entry = reader.value_of(Op::EntryPoint, &[])?;
    reader.exit_of(Op::Smc, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
    rmi::psci_complete(reader.pa, writer.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
    reader.finish_with(&enter())?;
    writer.boot()?;
    let word = ipa + 5 * GRANULE;
    writer.store(word, 1)?;
    let page = SharedPage::new(&mut realm)?;
    let begin = page.spin_at(word);
    // Between break and make there is no mapping: the REC exits, and is entered again.
    let spin = move |rec: &Rec| -> Check<u64> {
        let mut with = begin;
        loop {
            match rec.step(&with)? {
                Step::Done(reply) => return Ok(reply.values[0]),
                Step::Exit(exit) if exit.exit_reason == RecExitReason::Sync as u8 => {}
                Step::Exit(exit) => fail!("{}", describe(&exit)),
            }
            with = enter();
        }
    };
    let (there, here) = both(
        move || spin(&reader),
        || {
            let result = page.wait_spinning().and_then(|()| fold_and_unfold(rd, ipa));
            // The word changes: the reader is done.
            writer.store(word, 2)?;
            result
        },
    )?;
    here?;
    ensure_eq!(there?, 2, "word that the reader saw");
    page.finish()?;
    for offset in (0..MIB_2).step_by(GRANULE as usize) {
        let out = rmi::data_destroy(rd, ipa + offset).ok("RMI_DATA_DESTROY")?;
        ensure_eq!(out[0], block + offset, "data");
    }
    pool::give_delegated_row(block, 512)?;
    realm.finish()
}

fn fold_and_unfold(rd: u64, ipa: u64) -> Check<u64> {
    for _ in 0..50 {
        let rtt = rmi::rtt_fold(rd, ipa, 3).ok("RMI_RTT_FOLD")?[0];
        rmi::rtt_create(rd, rtt, ipa, 3).ok("RMI_RTT_CREATE")?;
    }
    Ok(0)
}
