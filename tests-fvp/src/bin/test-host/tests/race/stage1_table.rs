// SPDX-License-Identifier: BSD-3-Clause
//! A Realm whose stage 1 table the Host has moved to where nothing answers.

use crate::check::{Check, ensure, ensure_eq, fail};
use crate::cpus;
use crate::dialect;
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Config, READ_ONLY, Realm};
use crate::rec::{Rec, Step, command, describe, enter_with};
use crate::tests::exit::{DATA_ABORT, DATA_ABORT_SAME};
use crate::tests::smp::on_second;
use crate::tests::stage1::{UPPER, leaf, translate_upper};
use crate::tests::{Test, needs};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use tests_fvp::protocol::{Access, MODE_COMMANDS, Op, layout};

pub const TESTS: &[Test] = &[("race.stage1_table", stage1_table)];

/// Writes of the Realm.
const WRITES: u64 = 3_000;
/// What the page holds.
const WORD: u64 = 0xA0A0_1B1B;
/// Fault statuses: external abort on a walk, permission fault, both at level 3, and translation
/// fault at level 3.
const WALK_ABORT_3: u64 = 0x17;
const PERMISSION_3: u64 = 0xF;
const TRANSLATION_3: u64 = 7;

/// The Realm writes to memory that stage 2 makes read-only, so that the monitor walks its stage 1
/// tables; the Host maps and unmaps the level 3 table meanwhile. The monitor must survive each fault.
// Conformance: REC exits emulatable_permission
fn stage1_table() -> Check {
    needs::second_cpu()?;
    let nothing = needs::address_without_memory()?;
    let mut realm = Realm::loaded(&Config::default())?;
    let half = realm.config.unprotected();
    let upper = layout::BASE + layout::SIZE;
    realm.init_ripas(upper, upper + 2 * GRANULE)?;
    realm.add_unknown(upper)?;
    realm.add_unknown(upper + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, half])?;
    realm.activate()?;
    let rec = realm.boot()?.clone();

    let (table, page) = (pool::take_one()?, pool::take_one()?);
    let rd = realm.rd;
    realm.add_tables(half, 3)?;
    let map = move |ipa: u64, desc: u64| dialect::spoken().map_unprotected(rd, ipa, 3, desc);
    map(half, table | ATTRIBUTES)?;
    map(half + GRANULE, page | READ_ONLY)?;
    pool::write(page, WORD);
    pool::write(table, leaf(half + GRANULE, 0));
    rec.store(upper, (upper + GRANULE) | 3)?;
    rec.store(upper + GRANULE, half | 3)?;
    translate_upper(&rec, upper)?;

    let over = Arc::new(AtomicBool::new(false));
    let second_over = over.clone();
    let slot = on_second(&rec, move |rec| {
        let seen = writes(rec);
        second_over.store(true, Ordering::Release);
        seen
    })?;
    let mut moved = Ok(());
    while moved.is_ok() && !over.load(Ordering::Acquire) {
        for place in [nothing, table] {
            let unmapped = dialect::spoken().unmap_unprotected(rd, half, 3);
            let mapped = map(half, place | ATTRIBUTES);
            if unmapped.is_err() || mapped.is_err() {
                moved = Err("the table cannot be moved");
            }
        }
    }
    cpus::second().finish()?;
    moved?;
    let (refused, aborted) = slot.lock().take().ok_or("the second CPU has no result")??;
    ensure!(refused > 0, "no permission fault");
    ensure!(aborted > 0, "no external abort");
    ensure_eq!(pool::read(page), WORD, "what the Realm may only read");
    pool::give(table, 1);
    pool::give(page, 1);
    realm.finish()
}

/// Has the Realm write; returns how often stage 2 refused, and how often the walk met nothing.
fn writes(rec: &Rec) -> Check<(u64, u64)> {
    let (mut refused, mut aborted) = (0, 0);
    for n in 0..WRITES {
        let mut next = command(Op::Write, &[UPPER, Access::Double as u64, n]);
        loop {
            match rec.step(&next)? {
                Step::Done(reply) if reply.esr == 0 => break,
                Step::Done(reply) => {
                    let seen = reply.esr & (0x3F << 26 | 0x3F);
                    ensure_eq!(seen, DATA_ABORT_SAME << 26 | WALK_ABORT_3, "ESR_EL1");
                    aborted += 1;
                    break;
                }
                Step::Exit(exit) if exit.exit_reason == RecExitReason::Irq as u8 => {
                    next = enter_with(RecEnterFlags::empty());
                }
                Step::Exit(exit) => {
                    next = enter_with(match exit.esr & 0x3F {
                        PERMISSION_3 => {
                            refused += 1;
                            RecEnterFlags::EMUL_MMIO
                        }
                        // Some CPUs report this fault to EL2. Or the table is not mapped at the moment.
                        WALK_ABORT_3 | TRANSLATION_3 => RecEnterFlags::empty(),
                        _ => fail!("{}", describe(&exit)),
                    });
                    ensure_eq!(exit.esr >> 26, DATA_ABORT, "EC");
                }
            }
        }
    }
    Ok((refused, aborted))
}
