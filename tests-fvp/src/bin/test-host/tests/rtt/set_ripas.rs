// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_SET_RIPAS.

use crate::check::{Check, ensure, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, entry_size};
use crate::rec::enter;
use crate::rmi;
use crate::tests::Test;
use crate::tests::exit::running;
use crate::tests::rsi::{PAGE, with_pages};
use crate::tests::rtt::check_entry;
use crate::tests::samples::{Kind, Samples};
use alloc::format;
use rmm_abi::rsi::{self, fid};
use tests_fvp::protocol::{Op, layout};

pub const TESTS: &[Test] = &[
    ("rtt.set_ripas_wrong", set_ripas_wrong),
    ("rtt.set_ripas_order", set_ripas_order),
    ("rtt.set_ripas_stops", set_ripas_stops),
    ("rtt.set_ripas_has_it_already", set_ripas_has_it_already),
];

const MIB_2: u64 = entry_size(2);
/// First address behind the image's level 3 table.
const BLOCK: u64 = layout::BASE + MIB_2;
const EMPTY: u64 = rsi::RsiRipas::Empty as u64;
const RAM: u64 = rsi::RsiRipas::Ram as u64;

/// The Host can only do what the Realm has asked for.
// Conformance: RMI_RTT_SET_RIPAS rd_align, rd_bound, rd_state, rd<base_align, rd<no_progress
// Conformance: RMI_RTT_SET_RIPAS rec_align, rec_bound, rec_gran_state, rec<rec_state
// Conformance: RMI_RTT_SET_RIPAS rec<rec_owner, rec_owner
// Conformance: RMI_RTT_SET_RIPAS size_valid, base_bound, top_bound, top_gran_align, no_progress
// Conformance: RMI_RTT_SET_RIPAS no_request
fn set_ripas_wrong() -> Check {
    let samples = Samples::new()?;
    let realm = with_pages(4, &Config::default())?;
    let (rd, rec) = (realm.rd, realm.recs[0].clone());
    let top = PAGE + 4 * GRANULE;
    // Without a request.
    rmi::rtt_set_ripas(rd, rec.pa, PAGE, top).input("no request")?;
    rmi::rtt_set_ripas(rd, rec.pa, 0, GRANULE).input("no request")?;
    rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, PAGE, top, EMPTY, 0])?;
    for (kind, address) in samples.except(&[Kind::Rd]) {
        let what = format!("rd {kind:?} {address:#x}");
        rmi::rtt_set_ripas(address, rec.pa, PAGE, top).input(&what)?;
    }
    for (kind, address) in samples.except(&[Kind::Rec]) {
        let what = format!("rec {kind:?} {address:#x}");
        rmi::rtt_set_ripas(rd, address, PAGE, top).input(&what)?;
    }
    for offset in [1, 8, 0xFFF] {
        rmi::rtt_set_ripas(rd, rec.pa + offset, PAGE, top).input("inside the REC")?;
        rmi::rtt_set_ripas(rd + offset, rec.pa, PAGE, top).input("inside the RD")?;
    }
    rmi::rtt_set_ripas(samples.realm.rd, rec.pa, PAGE, top).rec("REC of another Realm")?;
    for (base, top) in [
        (PAGE, PAGE),
        (PAGE, PAGE - GRANULE),
        (PAGE + GRANULE, top),
        (PAGE - GRANULE, top),
        (PAGE, top + GRANULE),
        (PAGE, 1 << 63),
        (PAGE, PAGE + GRANULE + 1),
    ] {
        let what = format!("[{base:#x}, {top:#x})");
        rmi::rtt_set_ripas(rd, rec.pa, base, top).input(&what)?;
    }
    let out = rmi::rtt_set_ripas(rd, rec.pa, PAGE, top).ok("after all those")?;
    ensure_eq!(out[0], top, "out_top");
    rmi::rtt_set_ripas(rd, rec.pa, PAGE, top).input("request done")?;
    rec.finish_with(&enter())?;
    // A larger entry changes as a whole or not at all.
    let block = layout::BASE + MIB_2;
    let request = [fid::RSI_IPA_STATE_SET, block, block + 2 * MIB_2, RAM, 0];
    rec.exit_of(Op::Smc, &request)?;
    rmi::rtt_set_ripas(rd, rec.pa, block, block + GRANULE).rtt(2, "part of an entry")?;
    let out = rmi::rtt_set_ripas(rd, rec.pa, block, block + MIB_2 + GRANULE).ok("one entry")?;
    ensure_eq!(out[0], block + MIB_2, "out_top");
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.values[1], block + MIB_2, "new_base");
    realm.finish()?;
    samples.finish()
}

/// Two conditions at once, and a request that begins inside an entry.
// Conformance: RMI_RTT_SET_RIPAS base_align, base_bound<base_align, top_gran_align<no_progress
// Conformance: RMI_RTT_SET_RIPAS rec_owner<top_bound
fn set_ripas_order() -> Check {
    let samples = Samples::new()?;
    let realm = with_pages(1, &Config::default())?;
    let (rd, rec) = (realm.rd, &realm.recs[0]);
    let set = |base, top| rmi::rtt_set_ripas(rd, rec.pa, base, top);
    // In an entry of 2 MiB.
    let (base, top) = (BLOCK + GRANULE, BLOCK + 3 * MIB_2);
    rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, base, top, RAM, 0])?;
    set(base, BLOCK + MIB_2).rtt(2, "base inside an entry")?;
    set(base, top).rtt(2, "base inside an entry, more of them")?;
    set(base + GRANULE, top).input("another base inside an entry")?;
    set(base + 8, top).input("another base, not aligned at all")?;
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.values[1], base, "new_base");
    // In an entry of 4 KiB.
    let top = PAGE + GRANULE;
    rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, PAGE, top, EMPTY, 0])?;
    set(PAGE + 8, top).input("another base, not aligned")?;
    set(PAGE, PAGE + 8).input("top not aligned, and less than the entry")?;
    // The other Realm's REC has no request: any top is beyond it.
    let other = samples.realm.recs[0].pa;
    rmi::rtt_set_ripas(rd, other, PAGE, top).rec("REC of another Realm")?;
    rmi::rtt_set_ripas(rd, other, 0, GRANULE).rec("REC of another Realm, base 0")?;
    set(PAGE, top).ok("after all those")?;
    rec.finish_with(&enter())?;
    realm.finish()?;
    samples.finish()
}

// Conformance: RMI_RTT_SET_RIPAS stops_table, stops_end
fn set_ripas_stops() -> Check {
    let mut realm = running()?;
    let table = BLOCK + 2 * MIB_2;
    realm.add_tables(table, 3)?;
    let (rd, rec) = (realm.rd, realm.recs[0].clone());
    let top = BLOCK + 4 * MIB_2;
    rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, BLOCK, top, RAM, 0])?;
    for (base, stop, what) in [
        (BLOCK, table, "before a table"),
        (table, table + MIB_2, "the end of the table"),
        (table + MIB_2, top, "top"),
    ] {
        let out = rmi::rtt_set_ripas(rd, rec.pa, base, top).ok(what)?;
        ensure_eq!(out[0], stop, "out_top: {what}");
    }
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.values[1], top, "new_base");
    for (ipa, level) in [
        (BLOCK, 2),
        (BLOCK + MIB_2, 2),
        (table, 3),
        (table + MIB_2 - GRANULE, 3),
        (top - MIB_2, 2),
    ] {
        check_entry(&realm, ipa, level, [level, 0, 0, RAM])?;
    }
    check_entry(&realm, top, 2, [2, 0, 0, EMPTY])?;
    realm.finish()
}

/// In a large entry that has the requested RIPAS already, any part is progress.
// Conformance: RMI_RTT_SET_RIPAS has_it_already
fn set_ripas_has_it_already() -> Check {
    let realm = running()?;
    let (rd, rec) = (realm.rd, &realm.recs[0]);
    let top = BLOCK + 2 * MIB_2;
    rec.exit_of(Op::Smc, &[fid::RSI_IPA_STATE_SET, BLOCK, top, EMPTY, 0])?;
    let mut base = BLOCK;
    for part in [BLOCK + GRANULE, BLOCK + 3 * GRANULE] {
        let out = rmi::rtt_set_ripas(rd, rec.pa, base, part).ok("part of an entry")?;
        ensure_eq!(out[0], part, "out_top");
        base = part;
    }
    while base < top {
        let out = rmi::rtt_set_ripas(rd, rec.pa, base, top).ok("the rest")?[0];
        ensure!(
            out >= BLOCK + MIB_2 && out > base && out <= top,
            "out_top {out:#x}"
        );
        base = out;
    }
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.values[1], top, "new_base");
    check_entry(&realm, BLOCK, 3, [2, 0, 0, EMPTY])?;
    realm.finish()
}
