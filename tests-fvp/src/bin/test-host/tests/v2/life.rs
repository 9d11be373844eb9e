// SPDX-License-Identifier: BSD-3-Clause
//! A Realm of 2.0 from creation to destruction: its memory in blocks and lists, its RECs, its end.

use super::in_v2;
use crate::check::{Check, ensure, ensure_eq};
use crate::cpus;
use crate::dialect::{Dialect, LIST, SINGLE, delegated, during, needs_v2, undelegated};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, entry_size};
use crate::rec::{Rec, enter};
use crate::rmi::{self, v2};
use crate::tests::exit::running;
use crate::tests::psci::check_start;
use crate::tests::smp::{two, while_running};
use crate::tests::{Test, needs};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::psci::{ALREADY_ON, DENIED, SUCCESS, fid as psci};
use rmm_abi::rmi::v2::{AddressRange, RMI_BUSY, RecRun};
use rmm_abi::rmi::{RMI_SUCCESS, RecExitReason};
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout};

pub const TESTS: &[Test] = &[
    ("v2.life", life),
    ("v2.two_lives", two_lives),
    ("v2.blocks", blocks),
    ("v2.lists", lists),
    ("v2.hole", hole),
    ("v2.same_page_two_cpus", same_page_two_cpus),
    ("v2.unprotected_blocks", unprotected_blocks),
    ("v2.psci_complete", psci_complete),
    ("v2.affinity_info", affinity_info),
    ("v2.terminate", terminate),
    ("v2.terminate_running", terminate_running),
];

const MIB_2: u64 = entry_size(2);
/// Memory of the tests, in the same level 3 table as the image.
const PAGE: u64 = layout::BASE + layout::SIZE;
/// Memory of the tests, behind the image's level 3 table.
const BLOCK: u64 = (layout::BASE + layout::SIZE).next_multiple_of(MIB_2);

/// A Realm from creation to destruction. What the Realm wrote is not in what comes back: `finish` wants
/// zeroes.
fn life() -> Check {
    in_v2(life_of_a_realm)
}

fn life_of_a_realm() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.add_unknown(PAGE)?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?;
    rec.value_of(Op::MemFill, &[PAGE, GRANULE, 5])?;
    ensure_eq!(
        rec.value_of(Op::MemCheck, &[PAGE, GRANULE, 5])?,
        0,
        "words lost"
    );
    realm.finish()
}

/// Realms of both dialects, one after the other, many times.
fn two_lives() -> Check {
    needs_v2()?;
    for _ in 0..5 {
        during(Dialect::V2, life_of_a_realm)?;
        during(Dialect::V1, || running()?.finish())?;
    }
    Ok(())
}

/// 2 MiB in one entry, mapped and unmapped at once.
fn blocks() -> Check {
    in_v2(|| {
        let mut realm = Realm::loaded(&Config::default())?;
        realm.add_tables(BLOCK, 2)?;
        realm.init_ripas(BLOCK, BLOCK + 2 * MIB_2)?;
        realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
        realm.activate()?;
        let rd = realm.rd;
        let data = pool::take_delegated_row(1024, MIB_2)?;
        let top = BLOCK + 2 * MIB_2;
        let from = delegated(data, 2, 2);
        v2::data_map(rd, BLOCK + GRANULE, top, SINGLE, from).rtt(2, "base within a block")?;
        v2::data_map(rd, BLOCK, BLOCK + GRANULE, SINGLE, from).rtt(2, "top within a block")?;
        v2::data_map(rd, BLOCK, top, SINGLE, delegated(data + GRANULE, 2, 1))
            .input("address within a block")?;
        v2::data_map(rd, BLOCK, top, SINGLE, delegated(data, 3, 1))
            .rtt(2, "a page without table")?;
        // In as many calls as it takes, each of at least one block.
        let mut next = BLOCK;
        while next < top {
            let from = delegated(data + (next - BLOCK), 2, (top - next) / MIB_2);
            let out = v2::data_map(rd, next, top, SINGLE, from).ok("RMI_RTT_DATA_MAP")?;
            ensure!(
                out[0] > next && out[0] <= top && out[0].is_multiple_of(MIB_2),
                "out_top {:#x} from {next:#x}",
                out[0]
            );
            next = out[0];
        }
        let out = rmi::rtt_read_entry(rd, BLOCK + MIB_2, 3).ok("RMI_RTT_READ_ENTRY")?;
        ensure!(out == [2, 1, data + MIB_2, 1], "entry {out:x?}");
        // As another vCPU of Linux that faults at the same block.
        let again = v2::data_map(rd, BLOCK, BLOCK + MIB_2, SINGLE, delegated(data, 2, 1));
        ensure_eq!(again.ok("same block again")?[0], BLOCK + MIB_2, "out_top");
        let rec = realm.boot()?;
        rec.value_of(Op::MemFill, &[BLOCK + MIB_2 - GRANULE, 2 * GRANULE, 9])?;
        let words = rec.value_of(Op::MemCheck, &[BLOCK + MIB_2 - GRANULE, 2 * GRANULE, 9])?;
        ensure_eq!(words, 0, "words lost at the border of two blocks");
        // Part of a block cannot be unmapped.
        v2::data_unmap(rd, BLOCK, BLOCK + GRANULE, SINGLE, 0).rtt(2, "part of a block")?;
        let mut next = BLOCK;
        while next < top {
            let out = v2::data_unmap(rd, next, top, SINGLE, 0).ok("RMI_RTT_DATA_UNMAP")?;
            let range = AddressRange::from_bits(out[1]);
            let wanted = delegated(data + (next - BLOCK), 2, (out[0] - next) / MIB_2);
            ensure_eq!(range.bits(), wanted, "out_range");
            ensure!(range.count() != 0, "no progress at {next:#x}");
            next = out[0];
        }
        // A hole, to its end.
        let out = v2::data_unmap(rd, BLOCK, top, SINGLE, 0).ok("a hole")?;
        ensure!(out[0] > BLOCK && out[1] == 0, "a hole: {out:x?}");
        let out = rmi::rtt_read_entry(rd, BLOCK, 3).ok("RMI_RTT_READ_ENTRY")?;
        ensure!(out == [2, 0, 0, 2], "entry {out:x?}, wanted DESTROYED");
        pool::give_delegated_row(data, 1024)?;
        realm.finish()
    })
}

/// Several ranges in a list, both ways.
fn lists() -> Check {
    const PAGES: [u64; 4] = [2, 5, 6, 7];
    in_v2(|| {
        let mut realm = Realm::new(&Config::default())?;
        realm.add_tables(layout::BASE, 3)?;
        let rd = realm.rd;
        let base = pool::take_delegated_row(8, GRANULE)?;
        let list = pool::take_one()?;
        let top = layout::BASE + 4 * GRANULE;
        pool::write(list, delegated(base + 2 * GRANULE, 3, 1));
        pool::write(list + 8, delegated(base + 5 * GRANULE, 3, 3));
        let flags = |entries: u64| LIST | entries << 2;
        v2::data_map(rd, layout::BASE, top, flags(0), list).input("no entry")?;
        v2::data_map(rd, layout::BASE, top, flags(2), list + 4).input("unaligned list")?;
        v2::data_map(rd, layout::BASE, top, flags(2), base).input("list that is not the Host's")?;
        let out = v2::data_map(rd, layout::BASE, top, flags(2), list).ok("RMI_RTT_DATA_MAP")?;
        ensure_eq!(out[0], top, "out_top");
        for (n, page) in (0..).zip(PAGES) {
            let ipa = layout::BASE + n * GRANULE;
            let out = rmi::rtt_read_entry(rd, ipa, 3).ok("RMI_RTT_READ_ENTRY")?;
            ensure!(
                out == [3, 1, base + page * GRANULE, 0],
                "entry at {ipa:#x}: {out:x?}"
            );
        }
        pool::fill(list, 1, u64::MAX);
        // Room for one: the second range is not adjacent.
        let out = v2::data_unmap(rd, layout::BASE, top, flags(1), list).ok("room for one")?;
        ensure_eq!(out[0], layout::BASE + GRANULE, "out_top");
        ensure!(out[1..3] == [0, 1], "out_range, out_count {out:x?}");
        ensure_eq!(
            pool::read(list),
            delegated(base + 2 * GRANULE, 3, 1),
            "first entry"
        );
        let next = layout::BASE + GRANULE;
        let out = v2::data_unmap(rd, next, top, flags(4), list).ok("the rest")?;
        ensure_eq!(out[0], top, "out_top");
        ensure!(out[1..3] == [0, 1], "out_range, out_count {out:x?}");
        ensure_eq!(
            pool::read(list),
            delegated(base + 5 * GRANULE, 3, 3),
            "entry of the rest"
        );
        pool::give(list, 1);
        pool::give_delegated_row(base, 8)?;
        realm.finish()
    })
}

/// Nothing is mapped: few calls show it for the whole IPA space.
fn hole() -> Check {
    const CALLS: u64 = 8;
    in_v2(|| {
        let mut realm = Realm::new(&Config::default())?;
        realm.add_tables(layout::BASE, 3)?;
        let (half, mut next, calls) = (realm.config.unprotected(), 0, rmi::calls());
        while next < half {
            let out = v2::data_unmap(realm.rd, next, half, SINGLE, 0).ok("RMI_RTT_DATA_UNMAP")?;
            ensure!(
                out[0] > next && out[1] == 0,
                "from {next:#x} on: {out:x?}, nothing is mapped"
            );
            next = out[0];
        }
        ensure_eq!(next, half, "end");
        let calls = rmi::calls() - calls;
        ensure!(calls <= CALLS, "{calls} calls for the Protected half");
        realm.finish()
    })
}

/// RMI_RTT_DATA_MAP as Linux calls it: again while it is RMI_BUSY.
fn map_page(rd: u64, data: u64) -> u64 {
    let (base, top) = (layout::BASE, layout::BASE + GRANULE);
    loop {
        let answer = v2::data_map(rd, base, top, SINGLE, delegated(data, 3, 1));
        if answer.status != RMI_BUSY {
            return answer.status;
        }
    }
}

/// Two vCPUs fault at one page, and both map it: both succeed, and there is one entry for one granule.
fn same_page_two_cpus() -> Check {
    const ROUNDS: u64 = 200;
    needs::second_cpu()?;
    in_v2(|| {
        let mut realm = Realm::new(&Config::default())?;
        realm.add_tables(layout::BASE, 3)?;
        let rd = realm.rd;
        let data = pool::take_delegated()?;
        for round in 0..ROUNDS {
            let status = Arc::new(AtomicU64::new(u64::MAX));
            let there = status.clone();
            cpus::second().start(move || there.store(map_page(rd, data), Ordering::Release))?;
            let here = map_page(rd, data);
            cpus::second().finish()?;
            ensure_eq!(here, RMI_SUCCESS, "status of round {round}");
            let there = status.load(Ordering::Acquire);
            ensure_eq!(there, RMI_SUCCESS, "status on the second CPU");
            let entry = rmi::rtt_read_entry(rd, layout::BASE, 3).ok("RMI_RTT_READ_ENTRY")?;
            ensure!(entry == [3, 1, data, 0], "entry {entry:x?}");
            ensure_eq!(Dialect::V2.unmap(rd, layout::BASE)?.0, data, "granule");
        }
        pool::give_delegated(data)?;
        realm.finish()
    })
}

/// Memory of the Host as a block of 2 MiB, which the Realm and the Host share.
fn unprotected_blocks() -> Check {
    /// SINGLE, Normal Write-Back, read and write.
    const FLAGS: u64 = SINGLE | 6 << 16 | 3 << 19;
    in_v2(|| {
        let mut realm = running()?;
        let rd = realm.rd;
        let ipa = realm.config.unprotected() + 64 * MIB_2;
        realm.add_tables(ipa, 2)?;
        let memory = pool::take(512, MIB_2)?;
        let top = ipa + MIB_2;
        let map = |flags, from| v2::unprot_map(rd, ipa, top, flags, from);
        map(FLAGS | 1 << 21, undelegated(memory, 2, 1)).input("reserved permission")?;
        map(FLAGS, undelegated(memory + GRANULE, 2, 1)).input("address within a block")?;
        // Hosts before 2.0-bet2 have the state in another bit.
        let old = undelegated(memory, 2, 1) & !(1 << 62) | 1 << 63;
        for from in [old, undelegated(memory, 2, 1)] {
            ensure_eq!(
                map(FLAGS, from).ok("RMI_RTT_UNPROT_MAP")?[0],
                top,
                "out_top"
            );
            let rec = &realm.recs[0];
            rec.store(ipa + 0x1F_FFF8, 0x5AFE)?;
            ensure_eq!(
                pool::read(memory + 0x1F_FFF8),
                0x5AFE,
                "what the Realm wrote"
            );
            let out = v2::unprot_unmap(rd, ipa, top, SINGLE, 0).ok("RMI_RTT_UNPROT_UNMAP")?;
            ensure_eq!(out[0], top, "out_top");
            ensure_eq!(out[1], undelegated(memory, 2, 1), "out_range");
            // Nothing is there any more.
            let out = v2::unprot_unmap(rd, ipa, top, SINGLE, 0).ok("a hole")?;
            ensure!(out[0] > ipa && out[1] == 0, "a hole: {out:x?}");
        }
        pool::give(memory, 512);
        realm.finish()
    })
}

/// A Realm with two RECs, the first of which waits for commands.
fn two_recs() -> Check<Realm> {
    let realm = Realm::running(&Config::default(), 2, MODE_COMMANDS)?;
    realm.boot()?;
    Ok(realm)
}

/// X0 of the call that a REC has made, once it continues.
fn resumed(rec: &Rec) -> Check<u64> {
    Ok(rec.finish_with(&enter())?.values[0])
}

/// PSCI_CPU_ON, completed with and without a target.
fn psci_complete() -> Check {
    in_v2(|| {
        for with_target in [false, true] {
            let realm = two_recs()?;
            let (first, second) = (&realm.recs[0], &realm.recs[1]);
            let complete = |status| {
                if with_target {
                    rmi::psci_complete(first.pa, second.pa, status)
                } else {
                    v2::psci_complete(first.pa, status)
                }
            };
            let entry = first.value_of(Op::EntryPoint, &[])?;
            complete(SUCCESS).input("nothing is pending")?;
            for (status, answer) in [(DENIED, DENIED), (SUCCESS, SUCCESS), (SUCCESS, ALREADY_ON)] {
                let exit = first.exit_of(Op::Smc, &[psci::PSCI_CPU_ON, 1, entry, 0x77])?;
                ensure_eq!(exit.exit_reason, RecExitReason::Psci as u8, "reason");
                ensure_eq!(exit.gprs[1], 1, "MPIDR in the exit record");
                first
                    .try_enter(&enter())
                    .rec("entry before RMI_PSCI_COMPLETE")?;
                complete(1).input("status that is none")?;
                complete(status).ok("RMI_PSCI_COMPLETE")?;
                ensure_eq!(resumed(first)?, answer, "PSCI_CPU_ON");
            }
            check_start(&second.boot()?, 0x77)?;
            realm.finish()?;
        }
        Ok(())
    })
}

/// PSCI_AFFINITY_INFO does not exit.
fn affinity_info() -> Check {
    in_v2(|| {
        let realm = two_recs()?;
        let rec = &realm.recs[0];
        for (mpidr, wanted) in [(0, 0), (1, 1)] {
            let answer = rec.call(&[psci::PSCI_AFFINITY_INFO, mpidr, 0])?[0];
            ensure_eq!(answer, wanted, "PSCI_AFFINITY_INFO of {mpidr}");
        }
        realm.finish()
    })
}

/// A terminated Realm runs no more, gets no memory any more, and only then can be destroyed.
fn terminate() -> Check {
    in_v2(|| {
        let mut realm = Realm::loaded(&Config::default())?;
        realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
        realm.activate()?;
        let rec = realm.boot()?.clone();
        let rd = realm.rd;
        rmi::realm_destroy(rd).realm("RMI_REALM_DESTROY of an active Realm")?;
        v2::realm_terminate(rd).ok("RMI_REALM_TERMINATE")?;
        v2::realm_terminate(rd).ok("second RMI_REALM_TERMINATE")?;
        rec.try_enter(&enter())
            .realm("entry of a terminated Realm")?;
        let data = pool::take_delegated()?;
        let from = delegated(data, 3, 1);
        v2::data_map(rd, PAGE, PAGE + GRANULE, SINGLE, from).realm("RMI_RTT_DATA_MAP")?;
        pool::give_delegated(data)?;
        rmi::realm_destroy(rd).realm("RMI_REALM_DESTROY with a REC")?;
        realm.finish()
    })
}

/// A Realm whose REC runs cannot be terminated, and a terminated one cannot be entered.
fn terminate_running() -> Check {
    needs::second_cpu()?;
    in_v2(|| {
        let realm = two()?;
        while_running(&realm, || {
            let answer = v2::realm_terminate(realm.rd);
            answer.realm("RMI_REALM_TERMINATE while a REC runs")?;
            Ok(())
        })?;
        v2::realm_terminate(realm.rd).ok("RMI_REALM_TERMINATE")?;
        for rec in &realm.recs {
            rec.try_enter(&enter()).realm("a terminated Realm")?;
        }
        realm.finish()
    })
}

// The record has the size of that of 1.0, which the Host's structures rely on.
const _: () = assert!(size_of::<RecRun>() == size_of::<rmm_abi::rmi::RecRun>());
