// SPDX-License-Identifier: BSD-3-Clause
//! What RMI 2.0 has of its own: the choice of the dialect, ranges, blocks, the Host's virtual interrupts.
//! Each test begins and ends with a Host that speaks 1.0 and has delegated nothing.

use super::exit::running;
use super::instruct::{Register, instruct};
use super::smp::{two, while_running};
use super::spin::limit;
use super::{Test, needs};
use crate::arch::{mrs, ticks};
use crate::check::{Check, ensure, ensure_eq};
use crate::cpus;
use crate::dialect::{Dialect, LIST, SINGLE, delegated, during, needs_v2, undelegated};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, entry_size};
use crate::rec::{Rec, command, enter};
use crate::rmi::{self, v2};
use crate::virtual_gic::{self, VirtualGic};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::psci::{ALREADY_ON, DENIED, SUCCESS, fid as psci};
use rmm_abi::rmi::v2::{
    AddressRange, FeatureRegister0, FeatureRegister1, RMI_BUSY, RMI_ERROR_GLOBAL, RMI_ERROR_GPT,
    RMI_VERSION_2_0, RecRun, fid as fid_2, rmm_state, tracking,
};
use rmm_abi::rmi::{
    RMI_ERROR_INPUT, RMI_SUCCESS, RMI_VERSION_1_0, RecExitReason, SMCCC_NOT_SUPPORTED, fid,
};
use rmm_abi::rsi;
use tests_fvp::protocol::{MODE_COMMANDS, Op, Reply, layout};

pub const TESTS: &[Test] = &[
    ("v2.version", version),
    ("v2.life_cycle", life_cycle),
    ("v2.other_dialect", other_dialect),
    ("v2.features", features),
    ("v2.rsi_version", rsi_version),
    ("v2.tracking", tracking_of_memory),
    ("v2.ranges", ranges),
    ("v2.life", life),
    ("v2.two_lives", two_lives),
    ("v2.blocks", blocks),
    ("v2.lists", lists),
    ("v2.hole", hole),
    ("v2.same_page_two_cpus", same_page_two_cpus),
    ("v2.unprotected_blocks", unprotected_blocks),
    ("v2.psci_complete", psci_complete),
    ("v2.affinity_info", affinity_info),
    ("v2.interrupt", interrupt),
    ("v2.list_register_refused", list_register_refused),
    ("v2.gic_of_host", gic_of_host),
    ("v2.terminate", terminate),
    ("v2.terminate_running", terminate_running),
];

const MIB_2: u64 = entry_size(2);
/// Memory of the tests, in the same level 3 table as the image.
const PAGE: u64 = layout::BASE + layout::SIZE;
/// Memory of the tests, behind the image's level 3 table.
const BLOCK: u64 = (layout::BASE + layout::SIZE).next_multiple_of(MIB_2);

/// A part of a test with a Host that speaks 2.0.
fn in_v2(part: impl FnOnce() -> Check) -> Check {
    needs_v2()?;
    during(Dialect::V2, part)
}

/// Both revisions are there, whatever the dialect.
fn version() -> Check {
    needs_v2()?;
    for dialect in [Dialect::V1, Dialect::V2] {
        during(dialect, || {
            for (requested, status, lower) in [
                (0, RMI_ERROR_INPUT, RMI_VERSION_2_0),
                (0xFFFF, RMI_ERROR_INPUT, RMI_VERSION_2_0),
                (0x1_0001, RMI_ERROR_INPUT, RMI_VERSION_1_0),
                (0x1_FFFF, RMI_ERROR_INPUT, RMI_VERSION_1_0),
                (0x2_0001, RMI_ERROR_INPUT, RMI_VERSION_2_0),
                (0x7FFF_FFFF, RMI_ERROR_INPUT, RMI_VERSION_2_0),
            ] {
                let out = rmi::version(requested).is(status, "RMI_VERSION")?;
                ensure_eq!(out[0], lower, "lower for {requested:#x}");
                ensure_eq!(out[1], RMI_VERSION_2_0, "higher for {requested:#x}");
            }
            // While something is delegated, success does not choose either.
            let granule = pool::take_delegated()?;
            for requested in [RMI_VERSION_2_0, RMI_VERSION_1_0] {
                let out = rmi::version(requested).ok("RMI_VERSION")?;
                ensure_eq!(out[0], requested, "lower");
                ensure_eq!(out[1], RMI_VERSION_2_0, "higher");
            }
            pool::give_delegated(granule)
        })?;
    }
    Ok(())
}

/// INIT, ACTIVE, and back; both ways between the dialects.
fn life_cycle() -> Check {
    needs_v2()?;
    let page = pool::take_one()?;
    let state = || Ok::<_, crate::check::Stop>(v2::rmm_state_get().ok("RMI_RMM_STATE_GET")?[0]);
    for _ in 0..2 {
        rmi::version(RMI_VERSION_2_0).ok("RMI_VERSION 2.0")?;
        ensure_eq!(state()?, rmm_state::INIT, "state after RMI_VERSION");
        let early = v2::range_delegate(page, page + GRANULE);
        early.is(RMI_ERROR_GLOBAL, "delegation before RMI_RMM_ACTIVATE")?;
        v2::rmm_deactivate().is(RMI_ERROR_GLOBAL, "RMI_RMM_DEACTIVATE in INIT")?;
        pool::fill(page, 1, 0);
        pool::write(page + 8, 3);
        v2::config_set(page).input("granule size 3")?;
        pool::fill(page, 1, u64::MAX);
        pool::write(page, 0);
        pool::write(page + 8, 0);
        v2::config_set(page).ok("RMI_RMM_CONFIG_SET")?;
        v2::rmm_activate().ok("RMI_RMM_ACTIVATE")?;
        v2::rmm_activate().is(RMI_ERROR_GLOBAL, "second RMI_RMM_ACTIVATE")?;
        v2::config_set(page).is(RMI_ERROR_GLOBAL, "RMI_RMM_CONFIG_SET in ACTIVE")?;
        ensure_eq!(state()?, rmm_state::ACTIVE, "state");
        v2::config_get(page).ok("RMI_RMM_CONFIG_GET")?;
        for offset in (0..GRANULE).step_by(8) {
            ensure_eq!(pool::read(page + offset), 0, "configuration at {offset:#x}");
        }
        let out = v2::range_delegate(page, page + GRANULE).ok("delegation")?;
        ensure_eq!(out[0], page + GRANULE, "out_top");
        v2::rmm_deactivate().is(RMI_ERROR_GLOBAL, "RMI_RMM_DEACTIVATE with a granule")?;
        // The dialect stays, too.
        rmi::version(RMI_VERSION_1_0).ok("RMI_VERSION 1.0")?;
        ensure_eq!(state()?, rmm_state::ACTIVE, "state with a granule");
        v2::range_undelegate(page, page + GRANULE).ok("undelegation")?;
        v2::rmm_deactivate().ok("RMI_RMM_DEACTIVATE")?;
        ensure_eq!(state()?, rmm_state::INIT, "state after RMI_RMM_DEACTIVATE");
        rmi::version(RMI_VERSION_1_0).ok("RMI_VERSION 1.0")?;
        rmi::delegate(page).ok("RMI_GRANULE_DELEGATE")?;
        rmi::version(RMI_VERSION_2_0).ok("RMI_VERSION 2.0")?;
        rmi::undelegate(page).ok("RMI_GRANULE_UNDELEGATE in 1.0 still")?;
    }
    pool::give(page, 1);
    Ok(())
}

/// A command of one dialect does not exist in the other.
fn other_dialect() -> Check {
    needs_v2()?;
    let absent = |functions: &[u64]| {
        functions.iter().try_for_each(|function| {
            // SAFETY: the call does not exist.
            let answer = unsafe { rmi::call(*function, &[0]) };
            answer
                .is(SMCCC_NOT_SUPPORTED, &alloc::format!("{function:#x}"))
                .map(drop)
        })
    };
    let of_2 = [
        fid_2::RMI_RMM_STATE_GET,
        fid_2::RMI_RMM_DEACTIVATE,
        fid_2::RMI_GRANULE_TRACKING_GET,
        fid_2::RMI_GRANULE_RANGE_DELEGATE,
        fid_2::RMI_GRANULE_RANGE_UNDELEGATE,
        fid_2::RMI_GPT_INFO,
        fid_2::RMI_GPT_L1_CREATE,
        fid_2::RMI_REALM_TERMINATE,
        fid_2::RMI_RTT_DATA_MAP,
        fid_2::RMI_RTT_DATA_UNMAP,
        fid_2::RMI_RTT_UNPROT_MAP,
        fid_2::RMI_RTT_UNPROT_UNMAP,
        fid_2::RMI_OP_CONTINUE,
        fid_2::RMI_OP_CANCEL,
        fid_2::RMI_RMM_CONFIG_GET,
        fid_2::RMI_RMM_CONFIG_SET,
        fid_2::RMI_RMM_ACTIVATE,
    ];
    let of_1 = [
        fid::RMI_GRANULE_DELEGATE,
        fid::RMI_GRANULE_UNDELEGATE,
        fid::RMI_DATA_CREATE_UNKNOWN,
        fid::RMI_DATA_DESTROY,
        fid::RMI_RTT_MAP_UNPROTECTED,
        fid::RMI_RTT_UNMAP_UNPROTECTED,
        fid::RMI_REC_AUX_COUNT,
    ];
    during(Dialect::V1, || absent(&of_2))?;
    during(Dialect::V2, || {
        absent(&of_1)?;
        // No operation is open.
        v2::op_continue(1, 0).input("RMI_OP_CONTINUE")?;
        v2::op_cancel(1).input("RMI_OP_CANCEL").map(drop)
    })
}

/// What Linux looks for, and that nothing is offered that 2.0 of this monitor does not have.
fn features() -> Check {
    in_v2(|| {
        let [zero, one] = [0, 1].map(|index| rmi::features(index).ok("RMI_FEATURES"));
        let (zero, one) = (
            FeatureRegister0::from_bits(zero?[0]),
            FeatureRegister1::from_bits(one?[0]),
        );
        ensure!((32..=52).contains(&zero.s2sz()), "S2SZ {}", zero.s2sz());
        ensure!(!zero.sve(), "SVE, for which a REC has no room");
        ensure!(
            one.granule_4kb() && one.hash_sha_256() && one.hash_sha_384() && one.hash_sha_512(),
            "register 1: {:#x}",
            one.bits()
        );
        ensure!(one.max_recs_order() > 0, "no RECs");
        ensure_eq!(one.l0gptsz(), 0, "L0GPTSZ of 1 GiB");
        for index in [2, 3, 4, 5, u64::MAX] {
            let value = rmi::features(index).ok("RMI_FEATURES")?[0];
            ensure_eq!(value, 0, "register {index:#x}");
        }
        Ok(())
    })
}

/// A Realm of 2.0 has RSI 1.0 and 1.1.
fn rsi_version() -> Check {
    const V1_1: u64 = rsi::RSI_VERSION_1_0 + 1;
    in_v2(|| {
        let realm = running()?;
        let rec = &realm.recs[0];
        for (requested, status, lower) in [
            (rsi::RSI_VERSION_1_0, rsi::RSI_SUCCESS, rsi::RSI_VERSION_1_0),
            (V1_1, rsi::RSI_SUCCESS, V1_1),
            (0xFFFF, rsi::RSI_ERROR_INPUT, V1_1),
            (V1_1 + 1, rsi::RSI_ERROR_INPUT, V1_1),
            (0x2_0000, rsi::RSI_ERROR_INPUT, V1_1),
        ] {
            let values = rec.call(&[rsi::fid::RSI_VERSION, requested])?;
            ensure_eq!(values[0], status, "request of {requested:#x}");
            ensure_eq!(values[1], lower, "lower for {requested:#x}");
            ensure_eq!(values[2], V1_1, "higher for {requested:#x}");
        }
        realm.finish()
    })
}

/// What Linux asks at boot: all memory of the Host is tracked, and EL3 has made all tables.
fn tracking_of_memory() -> Check {
    in_v2(|| {
        let start = pool::take(1, GRANULE)?;
        let out = v2::tracking_get(start, start + GRANULE).ok("RMI_GRANULE_TRACKING_GET")?;
        ensure_eq!(out[0], tracking::CONVENTIONAL, "category");
        ensure_eq!(out[1], tracking::FINE, "state");
        ensure_eq!(out[2], start + GRANULE, "out_top");
        v2::tracking_get(start, start).input("empty range")?;
        v2::tracking_get(start + 8, start + GRANULE).input("unaligned")?;
        let gib = entry_size(1);
        let base = start & !(gib - 1);
        let out = v2::gpt_info(base, base + gib).ok("RMI_GPT_INFO")?;
        ensure_eq!(out[0], base + gib, "out_top");
        ensure_eq!(out[1], rmm_abi::rmi::v2::gpt::PLATFORM, "kind");
        v2::gpt_info(start | GRANULE, base + gib).input("unaligned")?;
        v2::gpt_l1_create(base).is(RMI_ERROR_GPT, "RMI_GPT_L1_CREATE")?;
        pool::give(start, 1);
        Ok(())
    })
}

/// A range ends where it must, and out_top says where.
fn ranges() -> Check {
    const COUNT: u64 = 700;
    in_v2(|| {
        let base = pool::take(COUNT, GRANULE)?;
        let top = base + COUNT * GRANULE;
        let middle = base + 10 * GRANULE;
        v2::range_delegate(base, base).input("empty range")?;
        v2::range_delegate(base + 1, top).input("unaligned base")?;
        v2::range_delegate(base, top - 1).input("unaligned top")?;
        let out = v2::range_delegate(middle, middle + GRANULE).ok("one granule")?;
        ensure_eq!(out[0], middle + GRANULE, "out_top of one granule");
        // Up to the one that is DELEGATED already.
        let out = v2::range_delegate(base, top).ok("up to a delegated granule")?;
        ensure_eq!(out[0], middle, "out_top before a delegated granule");
        v2::range_delegate(middle, top).input("a delegated granule first")?;
        Dialect::V2.delegate(middle + GRANULE, COUNT - 11)?;
        for n in [0, 9, 10, 11, COUNT - 1] {
            pool::check_protected(base + n * GRANULE)?;
        }
        // Granules that are the Host's already are passed over.
        v2::range_undelegate(middle, middle + GRANULE).ok("one granule")?;
        Dialect::V2.undelegate(base, COUNT)?;
        for n in 0..COUNT {
            pool::check_zero(base + n * GRANULE)?;
        }
        pool::give(base, COUNT);
        Ok(())
    })
}

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
            super::psci::check_start(&second.boot()?, 0x77)?;
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

/// A list register that the Host has loaded is an interrupt of the Realm, and all of the interface stays as
/// the Realm left it, but for En.
fn interrupt() -> Check {
    const ICC_PMR: Register = Register(3, 0, 4, 6, 0);
    in_v2(|| {
        let realm = running()?;
        let rec = &realm.recs[0];
        let mut entry = command(Op::TakeIrq, &[limit()]);
        entry.gicv3_lrs[0] = super::vgic::pending(40, 0x80);
        entry.gicv3_lrs[1] = super::vgic::pending(41, 0xF0) & !(1 << 62);
        let exit = rec.enter(&entry)?;
        ensure_eq!(Reply::from_gprs(&exit.gprs).values[0], 40, "INTID");
        ensure_eq!(mrs!("ich_lr0_el2") >> 62, 0, "state of the list register");
        ensure_eq!(
            mrs!("ich_lr1_el2"),
            entry.gicv3_lrs[1],
            "list register that nobody touched"
        );
        ensure_eq!(mrs!("ich_hcr_el2"), 0, "ICH_HCR_EL2");
        // The Realm's mask is in the Host's registers.
        let exit = rec.enter(&instruct(ICC_PMR.msr(), 0x48, 0))?;
        ensure_eq!(exit.gicv3_vmcr >> 24, 0x48, "ICH_VMCR_EL2.VPMR");
        ensure_eq!(mrs!("ich_vmcr_el2") >> 24, 0x48, "ICH_VMCR_EL2.VPMR");
        // And the Host's are those of the Realm.
        rec.gic.lock().vmcr &= 0xFF_FFFF;
        ensure_eq!(ICC_PMR.read(rec)?, 0, "ICC_PMR_EL1");
        ensure_eq!(
            rec.value_of(Op::TakeIrq, &[ticks(5)])?,
            1023,
            "INTID without an interrupt"
        );
        realm.finish()
    })
}

/// A list register that names a physical interrupt, or holds an NMI, is refused before the entry.
fn list_register_refused() -> Check {
    in_v2(|| {
        let realm = running()?;
        let rec = &realm.recs[0];
        let mut entry = command(Op::Nop, &[]);
        let last = virtual_gic::list_registers() - 1;
        let nmi = virtual_gic::has_nmi().then_some((59, "a list register with NMI = 1"));
        let refused = [(61, "a list register with HW = 1")].into_iter().chain(nmi);
        for (bit, what) in refused {
            for n in [0, last] {
                entry.gicv3_lrs = Default::default();
                entry.gicv3_lrs[n] = super::vgic::pending(40, 0x80) | 1 << bit;
                rec.try_enter(&entry).rec(what)?;
            }
        }
        rec.reply_of(Op::Nop, &[])?;
        realm.finish()
    })
}

/// A Host of 1.0 finds its own control registers of the interface again, though EL3 does not save them.
fn gic_of_host() -> Check {
    // EOIcount 3, LRENPIE, and a mask, without En.
    const HCR: u64 = 3 << 27 | 1 << 2;
    const VMCR: u64 = 0xA8 << 24 | 1 << 1;
    let before = VirtualGic::save();
    let mut own = before;
    (own.hcr, own.vmcr) = (HCR, own.vmcr & !(0xFF << 24) | VMCR);
    own.load_all();
    let found = VirtualGic::save();
    let outcome = (|| {
        let realm = running()?;
        let rec = &realm.recs[0];
        for intid in [5, 40] {
            let mut entry = command(Op::TakeIrq, &[limit()]);
            entry.gicv3_lrs[0] = super::vgic::pending(intid, 0x80);
            let exit = rec.enter(&entry)?;
            ensure_eq!(Reply::from_gprs(&exit.gprs).values[0], intid, "INTID");
            ensure_eq!(mrs!("ich_hcr_el2"), found.hcr, "ICH_HCR_EL2 of the Host");
            ensure_eq!(mrs!("ich_vmcr_el2"), found.vmcr, "ICH_VMCR_EL2 of the Host");
        }
        realm.finish()
    })();
    before.load_all();
    outcome
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
