// SPDX-License-Identifier: BSD-3-Clause
//! RMI commands that enter no REC.

use super::around::add_recs;
use super::{REPEAT, Share, Table};
use crate::check::Check;
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Config, Realm, entry_size};
use crate::rmi;
use crate::tests::needs;
use rmm_abi::rmi::{DataFlags, RMI_VERSION_1_0, RealmFlags, fid};
use tests_fvp::protocol::layout;

const MIB_2: u64 = entry_size(2);
/// Pages of a level 3 table.
const PAGES: u64 = MIB_2 / GRANULE;
/// Memory behind the first level 3 table.
const BLOCK: u64 = layout::BASE + MIB_2;

/// The names of the rows that depend on a Realm's hash algorithm.
pub struct Hashed {
    /// RmiHashAlgorithm.
    pub hash: u8,
    pub waits: &'static str,
    pub portable: &'static str,
    create: &'static str,
    init_ripas: &'static str,
    init_table: &'static str,
    further_page: &'static str,
    measured: &'static str,
    unmeasured: &'static str,
    rec_create: &'static str,
}

pub const HASHED: [Hashed; 2] = [
    Hashed {
        hash: 0,
        waits: "Host interrupt waits during RMI_RTT_INIT_RIPAS 512 pages, SHA-256",
        portable: "RMI_RTT_INIT_RIPAS 512 pages, SHA-256, portable code",
        create: "RMI_REALM_CREATE, SHA-256",
        init_ripas: "RMI_RTT_INIT_RIPAS 1 page, SHA-256",
        init_table: "RMI_RTT_INIT_RIPAS 512 pages, SHA-256",
        further_page: "RMI_RTT_INIT_RIPAS each further page, SHA-256",
        measured: "RMI_DATA_CREATE measured, SHA-256",
        unmeasured: "RMI_DATA_CREATE unmeasured, SHA-256",
        rec_create: "RMI_REC_CREATE, SHA-256",
    },
    Hashed {
        hash: 1,
        waits: "Host interrupt waits during RMI_RTT_INIT_RIPAS 512 pages, SHA-512",
        portable: "RMI_RTT_INIT_RIPAS 512 pages, SHA-512, portable code",
        create: "RMI_REALM_CREATE, SHA-512",
        init_ripas: "RMI_RTT_INIT_RIPAS 1 page, SHA-512",
        init_table: "RMI_RTT_INIT_RIPAS 512 pages, SHA-512",
        further_page: "RMI_RTT_INIT_RIPAS each further page, SHA-512",
        measured: "RMI_DATA_CREATE measured, SHA-512",
        unmeasured: "RMI_DATA_CREATE unmeasured, SHA-512",
        rec_create: "RMI_REC_CREATE, SHA-512",
    },
];

/// Rows by level.
const CREATE: [(u64, &str); 3] = [
    (1, "RMI_RTT_CREATE level 1"),
    (2, "RMI_RTT_CREATE level 2"),
    (3, "RMI_RTT_CREATE level 3"),
];

pub fn version_and_granules(table: &mut Table) -> Check {
    let (granule, neighbour) = granules()?;
    for _ in 0..REPEAT {
        rmi::version(RMI_VERSION_1_0).ok("RMI_VERSION")?;
        table.note_call("RMI_VERSION", fid::RMI_VERSION);
        rmi::features(0).ok("RMI_FEATURES")?;
        table.note_call("RMI_FEATURES", fid::RMI_FEATURES);
        rmi::delegate(granule).ok("RMI_GRANULE_DELEGATE")?;
        table.note_call("RMI_GRANULE_DELEGATE", fid::RMI_GRANULE_DELEGATE);
        rmi::undelegate(granule).ok("RMI_GRANULE_UNDELEGATE")?;
        table.note_call("RMI_GRANULE_UNDELEGATE", fid::RMI_GRANULE_UNDELEGATE);
        table.note(
            Share::Pair,
            "RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE",
            rmi::ticks(fid::RMI_GRANULE_DELEGATE) + rmi::ticks(fid::RMI_GRANULE_UNDELEGATE),
        );
    }
    rmi::undelegate(neighbour).ok("RMI_GRANULE_UNDELEGATE")?;
    give_group(granule);
    Ok(())
}

/// Granules that one entry of EL3's table of granule protection describes.
const GROUP: u64 = 16;

/// A granule to delegate, and a delegated one behind it: EL3 does more for the first delegated granule
/// and the last of a block. The rest of its group is not delegated: EL3 also does more when a group
/// becomes uniform. [`give_group`] frees them.
pub fn granules() -> Check<(u64, u64)> {
    let granule = pool::take(GROUP, GROUP * GRANULE)?;
    let neighbour = granule + GRANULE;
    rmi::delegate(neighbour).ok("RMI_GRANULE_DELEGATE")?;
    Ok((granule, neighbour))
}

/// Frees what [`granules`] took, once all of it is undelegated.
pub fn give_group(granule: u64) {
    pool::give(granule, GROUP);
}

/// The life of a Realm with one of each kind in it.
pub fn life(table: &mut Table) -> Check {
    for hashed in &HASHED {
        for _ in 0..REPEAT {
            let config = Config {
                hash: hashed.hash,
                ..Config::DEFAULT
            };
            one_life(table, hashed, &config)?;
        }
    }
    Ok(())
}

fn one_life(table: &mut Table, names: &Hashed, config: &Config) -> Check {
    let base = layout::BASE;
    let mut realm = Realm::new(config)?;
    table.note_call(names.create, fid::RMI_REALM_CREATE);
    for (level, name) in CREATE {
        realm.add_tables(base, level)?;
        table.note_call(name, fid::RMI_RTT_CREATE);
    }
    realm.init_ripas(base, base + GRANULE)?;
    table.note_call(names.init_ripas, fid::RMI_RTT_INIT_RIPAS);
    let one = rmi::ticks(fid::RMI_RTT_INIT_RIPAS);
    realm.init_ripas(base + GRANULE, base + 2 * GRANULE)?;
    realm.add_tables(BLOCK, 3)?;
    rmi::rtt_init_ripas(realm.rd, BLOCK, BLOCK + MIB_2).ok("RMI_RTT_INIT_RIPAS")?;
    table.note_call(names.init_table, fid::RMI_RTT_INIT_RIPAS);
    let further = (rmi::ticks(fid::RMI_RTT_INIT_RIPAS) - one) / (PAGES - 1);
    table.note(Share::None, names.further_page, further);
    rmi::rtt_read_entry(realm.rd, base, 3).ok("RMI_RTT_READ_ENTRY")?;
    table.note_call("RMI_RTT_READ_ENTRY level 3", fid::RMI_RTT_READ_ENTRY);
    realm.add_page(base, &[1], DataFlags::MEASURE.bits())?;
    table.note_call(names.measured, fid::RMI_DATA_CREATE);
    realm.add_page(base + GRANULE, &[1], 0)?;
    table.note_call(names.unmeasured, fid::RMI_DATA_CREATE);
    realm.add_unknown(base + 2 * GRANULE)?;
    table.note_call("RMI_DATA_CREATE_UNKNOWN", fid::RMI_DATA_CREATE_UNKNOWN);
    add_recs(&mut realm, &table.bench, 1)?;
    realm.add_rec(true, &[])?;
    table.note_call(names.rec_create, fid::RMI_REC_CREATE);
    realm.activate()?;
    table.note_call("RMI_REALM_ACTIVATE", fid::RMI_REALM_ACTIVATE);

    if let Some(rec) = realm.recs.pop() {
        rec.destroy()?;
        table.note_call("RMI_REC_DESTROY", fid::RMI_REC_DESTROY);
    }
    rmi::rec_aux_count(realm.rd).ok("RMI_REC_AUX_COUNT")?;
    table.note_call("RMI_REC_AUX_COUNT", fid::RMI_REC_AUX_COUNT);
    realm.remove_page(base)?;
    table.note_call("RMI_DATA_DESTROY", fid::RMI_DATA_DESTROY);
    realm.finish()?;
    table.note_call("RMI_REALM_DESTROY", fid::RMI_REALM_DESTROY);
    Ok(())
}

/// RTTs, each with another before it in its parent, so that the next live entry is looked for to
/// the parent's end.
pub fn tables(table: &mut Table) -> Check {
    for _ in 0..REPEAT {
        let mut realm = Realm::new(&Config::DEFAULT)?;
        realm.add_tables(0, 3)?;
        let destroyed = [
            (3, MIB_2, "RMI_RTT_DESTROY level 3, live siblings"),
            (2, entry_size(1), "RMI_RTT_DESTROY level 2"),
            (1, entry_size(0), "RMI_RTT_DESTROY level 1"),
        ];
        for (level, ipa, name) in destroyed {
            realm.add_table(ipa, level)?;
            realm.remove_table(ipa, level)?;
            table.note_call(name, fid::RMI_RTT_DESTROY);
        }
        rmi::rtt_init_ripas(realm.rd, 0, MIB_2).ok("RMI_RTT_INIT_RIPAS")?;
        realm.fold(0, 3)?;
        table.note_call("RMI_RTT_FOLD 512 unassigned", fid::RMI_RTT_FOLD);
        realm.add_table(0, 3)?;
        table.note_call("RMI_RTT_CREATE level 3, RAM", fid::RMI_RTT_CREATE);
        realm.remove_table(0, 3)?;
        table.note_call("RMI_RTT_DESTROY level 3", fid::RMI_RTT_DESTROY);
        realm.finish()?;
    }
    Ok(())
}

/// 512 pages that become a block, and pages again.
pub fn block(table: &mut Table) -> Check {
    for _ in 0..REPEAT / 2 {
        let mut realm = Realm::new(&Config::DEFAULT)?;
        realm.add_tables(BLOCK, 3)?;
        let block = realm.add_block(BLOCK)?;
        table.note_call("RMI_RTT_FOLD 512 data pages", fid::RMI_RTT_FOLD);
        realm.remove_block(BLOCK, block)?;
        table.note_call(
            "RMI_RTT_CREATE that unfolds a data block",
            fid::RMI_RTT_CREATE,
        );
        realm.finish()?;
    }
    Ok(())
}

pub fn unprotected(table: &mut Table) -> Check {
    let memory = pool::take(512, MIB_2)?;
    let desc = memory | ATTRIBUTES;
    let mut realm = Realm::new(&Config::DEFAULT)?;
    let ipa = realm.config.unprotected();
    realm.add_tables(ipa, 3)?;
    // A mapping behind it: the next live entry is the next one.
    rmi::rtt_map_unprotected(realm.rd, ipa + GRANULE, 3, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    let rows = [
        (
            (3, ipa),
            "RMI_RTT_MAP_UNPROTECTED level 3",
            "RMI_RTT_UNMAP_UNPROTECTED level 3",
        ),
        // Behind the level 3 table.
        (
            (2, ipa + MIB_2),
            "RMI_RTT_MAP_UNPROTECTED level 2",
            "RMI_RTT_UNMAP_UNPROTECTED level 2",
        ),
    ];
    for ((level, ipa), map, unmap) in rows {
        for _ in 0..REPEAT {
            rmi::rtt_map_unprotected(realm.rd, ipa, level, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
            table.note_call(map, fid::RMI_RTT_MAP_UNPROTECTED);
            rmi::rtt_unmap_unprotected(realm.rd, ipa, level).ok("RMI_RTT_UNMAP_UNPROTECTED")?;
            table.note_call(unmap, fid::RMI_RTT_UNMAP_UNPROTECTED);
        }
    }
    rmi::rtt_unmap_unprotected(realm.rd, ipa + GRANULE, 3).ok("RMI_RTT_UNMAP_UNPROTECTED")?;
    realm.finish()?;
    pool::give(memory, 512);
    Ok(())
}

/// Vector length of 2048 bits, as RmiRealmParams has it.
const LONGEST_VECTORS: u8 = 15;

/// Granules of a REC, as RMI_REC_AUX_COUNT has them.
pub fn memory(table: &mut Table) -> Check {
    let plain = ("granules of a REC, no SVE", Config::DEFAULT);
    let mut rows = alloc::vec![plain];
    let features = needs::features()?;
    if features.sve_en() && features.sve_vl() >= u64::from(LONGEST_VECTORS) {
        let config = Config {
            flags: RealmFlags::SVE.bits(),
            sve_vl: LONGEST_VECTORS,
            ..Config::DEFAULT
        };
        rows.push(("granules of a REC, SVE VL 2048", config));
    }
    for (name, config) in rows {
        let realm = Realm::new(&config)?;
        let aux = rmi::rec_aux_count(realm.rd).ok("RMI_REC_AUX_COUNT")?[0];
        table.note(Share::None, name, 1 + aux);
        realm.finish()?;
    }
    Ok(())
}
