// SPDX-License-Identifier: BSD-3-Clause
//! RMI_DATA_CREATE, RMI_DATA_CREATE_UNKNOWN, RMI_DATA_DESTROY.

use super::Test;
use super::needs::part_without_memory;
use super::rtt::check_entry;
use super::samples::{Kind, Samples};
use crate::check::{Check, ensure, ensure_eq};
use crate::dialect;
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, entry_size};
use crate::rmi;
use alloc::format;
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout, pattern};

pub const TESTS: &[Test] = &[
    ("data.content", content),
    ("data.unknown_content", unknown_content),
    ("data.vmid_again", vmid_again),
    ("data.create_wrong", create_wrong),
    ("data.create_walk", create_walk),
    ("data.create_unknown_wrong", create_unknown_wrong),
    ("data.destroy_top", destroy_top),
    ("data.destroy_wrong", destroy_wrong),
    ("data.source_stays", source_stays),
];

const MIB_2: u64 = entry_size(2);
const GIB: u64 = entry_size(1);
/// Memory of the tests, in the same level 3 table as the image.
const IPA: u64 = layout::BASE + layout::SIZE;

/// The Realm finds the Host's content, and only at the right IPA.
// Conformance: RMI_DATA_CREATE content, state
// Conformance: RMI_DATA_DESTROY state
// Conformance: RMI_GRANULE_UNDELEGATE gran_content
// Conformance: Exceptions and accesses that do not exit ram
// Conformance: Bugs others fixed undelegate_wipe
fn content() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(IPA, IPA + 2 * GRANULE)?;
    let mut bytes = [0; 4096];
    for (n, chunk) in (0..).zip(bytes.chunks_mut(8)) {
        chunk.copy_from_slice(&pattern(7, n).to_le_bytes());
    }
    for (page, flags) in [(IPA, 0), (IPA + GRANULE, 1)] {
        let data = realm.add_page(page, &bytes, flags)?;
        pool::check_protected(data)?;
        dialect::spoken()
            .undelegate_one(data)
            .input("undelegation of a page")?;
    }
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?;
    for page in [IPA, IPA + GRANULE] {
        let different = rec.value_of(Op::MemCheck, &[page, GRANULE, 7])?;
        ensure_eq!(different, 0, "words that differ");
        rec.value_of(Op::MemFill, &[page, GRANULE, 8])?;
        ensure_eq!(
            rec.value_of(Op::MemCheck, &[page, GRANULE, 8])?,
            0,
            "words lost"
        );
    }
    // What the Realm wrote is not in the granules that come back: `finish` wants zeroes.
    realm.finish()
}

/// A page without content shows the Realm no data of the Host or of another Realm.
// Conformance: RMI_DATA_CREATE_UNKNOWN content
fn unknown_content() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(IPA, IPA + GRANULE)?;
    realm.add_unknown(IPA)?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.activate()?;
    let rec = realm.boot()?;
    let bytes = rec.value_of(Op::CountNonZero, &[IPA, GRANULE])?;
    ensure_eq!(bytes, 0, "bytes that are not zero");
    realm.finish()
}

/// No translation of a destroyed Realm is used by a Realm that has its VMID now.
// Conformance: Invariants no_stale, own_memory
fn vmid_again() -> Check {
    let config = Config {
        vmid: Some(0xDD),
        ..Config::default()
    };
    for seed in 1..5 {
        let mut realm = Realm::loaded(&config)?;
        // Other granules, at the same IPA.
        let kept = pool::take(seed, GRANULE)?;
        realm.init_ripas(IPA, IPA + GRANULE)?;
        realm.add_unknown(IPA)?;
        realm.add_rec(true, &[MODE_COMMANDS, config.unprotected()])?;
        realm.activate()?;
        let rec = realm.boot()?;
        let bytes = rec.value_of(Op::CountNonZero, &[IPA, GRANULE])?;
        ensure_eq!(bytes, 0, "bytes of the Realm before");
        rec.value_of(Op::MemFill, &[IPA, GRANULE, seed])?;
        ensure_eq!(
            rec.value_of(Op::MemCheck, &[IPA, GRANULE, seed])?,
            0,
            "words lost"
        );
        pool::give(kept, seed);
        realm.finish()?;
    }
    Ok(())
}

// Conformance: RMI_DATA_CREATE rd_align, rd_bound, rd_state, rd<realm_state, rd<rtt_walk
// Conformance: RMI_DATA_CREATE rd<rtte_state
// Conformance: RMI_DATA_CREATE src_align, src_bound, src_pas, data_align, data_bound, data_state
// Conformance: RMI_DATA_CREATE ipa_align, ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
// Conformance: RMI_DATA_CREATE realm_state
// Conformance: Bugs others fixed alias, ipa_outside
fn create_wrong() -> Check {
    let mut samples = Samples::new()?;
    let (rd, data, src) = (samples.realm.rd, samples.delegated, samples.undelegated);
    let half = samples.realm.config.unprotected();
    // UNASSIGNED_NS at level 3 at the one, at level 0 at the other end of the Unprotected half.
    samples.realm.add_tables(half, 3)?;
    for (kind, address) in samples.except(&[Kind::Rd]) {
        let what = format!("rd {kind:?} {address:#x}");
        rmi::data_create(address, data, IPA, src, 0).input(&what)?;
    }
    for (kind, address) in samples.except(&[Kind::Delegated]) {
        let what = format!("data {kind:?} {address:#x}");
        rmi::data_create(rd, address, IPA, src, 0).input(&what)?;
    }
    for (kind, address) in samples.except(&[Kind::Undelegated]) {
        let what = format!("src {kind:?} {address:#x}");
        rmi::data_create(rd, data, IPA, address, 1).input(&what)?;
    }
    rmi::data_create(rd, data, IPA, data, 1).input("src is data")?;
    rmi::data_create(rd, rd, IPA, src, 1).input("data is rd")?;
    rmi::data_create(rd, rd, IPA, rd, 1).input("all three are rd")?;
    if let Some(address) = part_without_memory() {
        rmi::data_create(rd, data, IPA, address, 1).input("src without memory")?;
        rmi::data_create(rd, address, IPA, src, 1).input("data without memory")?;
    }
    for ipa in [
        IPA + 1,
        IPA + 0x800,
        half,
        half + GRANULE,
        2 * half,
        1 << 52,
        !0xFFF,
    ] {
        rmi::data_create(rd, data, ipa, src, 0).input(&format!("ipa {ipa:#x}"))?;
    }
    // After all those: nothing has changed, and the last failure's copy is not in the granule.
    check_entry(&samples.realm, IPA, 3, [3, 0, 0, 0])?;
    samples.realm.activate()?;
    rmi::data_create(rd, data, IPA, src, 0).realm("active Realm")?;
    samples.finish()
}

// Conformance: RMI_DATA_CREATE rtt_walk, rtte_state
// Conformance: RMI_DATA_CREATE_UNKNOWN rtt_walk, rtte_state, state
fn create_walk() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let (data, src) = (pool::take_delegated()?, pool::take_one()?);
    let rd = realm.rd;
    rmi::data_create(rd, data, 0, src, 0).rtt(0, "no tables")?;
    rmi::data_create_unknown(rd, data, 0).rtt(0, "no tables")?;
    realm.add_tables(0, 2)?;
    rmi::data_create(rd, data, 0, src, 0).rtt(2, "no level 3 table")?;
    rmi::data_create_unknown(rd, data, GIB).rtt(1, "no level 2 table")?;
    realm.add_table(0, 3)?;
    realm.add_unknown(0)?;
    rmi::data_create(rd, data, 0, src, 0).rtt(3, "page is assigned")?;
    rmi::data_create_unknown(rd, data, 0).rtt(3, "page is assigned")?;
    // The same granule twice.
    let used = realm.pages[0].1;
    rmi::data_create(rd, used, GRANULE, src, 0).input("DATA granule once more")?;
    pool::give(src, 1);
    pool::give_delegated(data)?;
    realm.finish()
}

// Conformance: RMI_DATA_CREATE_UNKNOWN rd_align, rd_bound, rd_state, rd<rtt_walk, rd<rtte_state
// Conformance: RMI_DATA_CREATE_UNKNOWN data_align, data_bound, data_state, ipa_align, ipa_bound
// Conformance: RMI_DATA_CREATE_UNKNOWN ipa_bound<rtt_walk, ipa_bound<rtte_state, any_state
// Conformance: RMI_DATA_DESTROY data, any_state
fn create_unknown_wrong() -> Check {
    let mut samples = Samples::new()?;
    let (rd, data) = (samples.realm.rd, samples.delegated);
    let half = samples.realm.config.unprotected();
    // UNASSIGNED_NS at level 3.
    samples.realm.add_tables(half, 3)?;
    for (kind, address) in samples.except(&[Kind::Rd]) {
        let what = format!("rd {kind:?} {address:#x}");
        rmi::data_create_unknown(address, data, IPA).input(&what)?;
    }
    for (kind, address) in samples.except(&[Kind::Delegated]) {
        let what = format!("data {kind:?} {address:#x}");
        rmi::data_create_unknown(rd, address, IPA).input(&what)?;
    }
    rmi::data_create_unknown(rd, rd, IPA).input("data is rd")?;
    if let Some(address) = part_without_memory() {
        rmi::data_create_unknown(rd, address, IPA).input("data without memory")?;
    }
    for ipa in [IPA + 1, IPA + 0x800, half, 2 * half, 1 << 52, !0xFFF] {
        rmi::data_create_unknown(rd, data, ipa).input(&format!("ipa {ipa:#x}"))?;
    }
    // Any Realm state will do, any RIPAS.
    samples.realm.activate()?;
    rmi::data_create_unknown(rd, data, IPA).ok("active Realm")?;
    check_entry(&samples.realm, IPA, 3, [3, 1, data, 0])?;
    let out = rmi::data_destroy(rd, IPA).ok("RMI_DATA_DESTROY")?;
    ensure_eq!(out[0], data, "data");
    samples.finish()
}

/// `top`: the next live entry in the table that the walk has reached.
// Conformance: RMI_DATA_DESTROY rtt_walk, rtte_state, top, any_state
fn destroy_top() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    let rd = realm.rd;
    realm.add_tables(0, 3)?;
    for page in [0, 1, 4, 511] {
        realm.add_unknown(page * GRANULE)?;
    }
    ensure_eq!(realm.remove_page(0)?, GRANULE, "top: the next page");
    ensure_eq!(
        realm.remove_page(GRANULE)?,
        4 * GRANULE,
        "top: the next but two"
    );
    let out = rmi::data_destroy(rd, GRANULE).rtt(3, "page is gone")?;
    ensure_eq!(out[1], 4 * GRANULE, "top behind a page that is gone");
    ensure_eq!(
        realm.remove_page(511 * GRANULE)?,
        MIB_2,
        "top: the end of the table"
    );
    let out = rmi::data_destroy(rd, 5 * GRANULE).rtt(3, "page never was")?;
    ensure_eq!(out[1], MIB_2, "top: nothing behind");
    realm.add_table(7 * MIB_2, 3)?;
    let out = rmi::data_destroy(rd, MIB_2).rtt(2, "no level 3 table")?;
    ensure_eq!(out[1], 7 * MIB_2, "top: the table behind");
    let out = rmi::data_destroy(rd, 8 * MIB_2).rtt(2, "no level 3 table")?;
    ensure_eq!(out[1], GIB, "top: the end of the level 2 table");
    realm.finish()
}

// Conformance: RMI_DATA_DESTROY rd_align, rd_bound, rd_state, rd<rtt_walk, rd<rtte_state
// Conformance: RMI_DATA_DESTROY ipa_align, ipa_bound, ipa_bound<rtt_walk, ipa_bound<rtte_state
// Conformance: RMI_DATA_DESTROY outputs
fn destroy_wrong() -> Check {
    let samples = Samples::new()?;
    let rd = samples.realm.rd;
    let half = samples.realm.config.unprotected();
    let refused = |rd, ipa, what: &str| {
        let out = rmi::data_destroy(rd, ipa).input(what)?;
        ensure!(out[..3] == [0; 3], "{what}: results {out:x?}");
        Check::Ok(())
    };
    for (kind, address) in samples.except(&[Kind::Rd]) {
        refused(address, layout::BASE, &format!("rd {kind:?} {address:#x}"))?;
    }
    for ipa in [
        layout::BASE + 1,
        layout::BASE + 0xFFF,
        half,
        2 * half,
        1 << 52,
        !0xFFF,
    ] {
        refused(rd, ipa, &format!("ipa {ipa:#x}"))?;
    }
    samples.finish()
}

/// The source is only read.
fn source_stays() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    realm.add_tables(0, 3)?;
    let (data, src) = (pool::take_delegated()?, pool::take_one()?);
    rmi::data_create(realm.rd, data, 0, src, 1).ok("RMI_DATA_CREATE")?;
    pool::check_untouched(src)?;
    ensure_eq!(dialect::spoken().unmap(realm.rd, 0)?.0, data, "data");
    pool::give(src, 1);
    pool::give_delegated(data)?;
    realm.finish()
}
