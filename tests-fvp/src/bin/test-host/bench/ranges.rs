// SPDX-License-Identifier: BSD-3-Clause
//! What 64 MiB of memory cost in each dialect, by pages and by blocks, from the Host's side: EL3 included. No
//! rows where the monitor does not offer RMI 2.0.

use super::{Share, Table};
use crate::check::{Check, ensure};
use crate::dialect::{self, Dialect, SINGLE, delegated, during};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, entry_size};
use crate::rmi::{self, v2};
use tests_fvp::protocol::layout;

/// Bytes of the memory, and its pages.
const BYTES: u64 = 64 << 20;
const PAGES: u64 = BYTES / GRANULE;
/// Pages of a level 3 RTT.
const TABLE: u64 = 512;

/// First IPA of the memory.
const IPA: u64 = layout::BASE;

/// The rows of a dialect: instructions a page.
struct Names {
    delegate: &'static str,
    map: &'static str,
    unmap: &'static str,
    undelegate: &'static str,
}

const V1: Names = Names {
    delegate: "64 MiB in RMI 1.0, EL3 included: delegate, a page",
    map: "64 MiB in RMI 1.0, EL3 included: map, a page",
    unmap: "64 MiB in RMI 1.0, EL3 included: unmap, a page",
    undelegate: "64 MiB in RMI 1.0, EL3 included: undelegate, a page",
};
const V2: Names = Names {
    delegate: "64 MiB in RMI 2.0, EL3 included: delegate, a page",
    map: "64 MiB in RMI 2.0, EL3 included: map, a page",
    unmap: "64 MiB in RMI 2.0, EL3 included: unmap, a page",
    undelegate: "64 MiB in RMI 2.0, EL3 included: undelegate, a page",
};
const MAP_BLOCKS: &str = "64 MiB in RMI 2.0, EL3 included: map by blocks, a page";
const UNMAP_BLOCKS: &str = "64 MiB in RMI 2.0, EL3 included: unmap by blocks, a page";

/// Both dialects.
pub fn ranges(table: &mut Table) -> Check {
    if !dialect::offers_v2() {
        return Ok(());
    }
    during(Dialect::V1, || pages(table, Dialect::V1, &V1))?;
    during(Dialect::V2, || pages(table, Dialect::V2, &V2))
}

/// Notes what each page costs of what a step does to all of them.
fn note(table: &mut Table, name: &'static str, step: impl FnOnce() -> Check) -> Check {
    let spent = rmi::spent();
    step()?;
    table.note(Share::None, name, (rmi::spent() - spent).div_ceil(PAGES));
    Ok(())
}

fn pages(table: &mut Table, dialect: Dialect, names: &Names) -> Check {
    let mut realm = Realm::new(&Config::DEFAULT)?;
    realm.add_tables(IPA, 2)?;
    let memory = pool::take(PAGES, entry_size(2))?;
    let rd = realm.rd;
    note(table, names.delegate, || dialect.delegate(memory, PAGES))?;
    if dialect == Dialect::V2 {
        note(table, MAP_BLOCKS, || map_blocks(rd, memory))?;
        note(table, UNMAP_BLOCKS, || unmap_range(rd, 2))?;
    }
    for base in (IPA..IPA + BYTES).step_by(entry_size(2) as usize) {
        realm.add_tables(base, 3)?;
    }
    note(table, names.map, || {
        for first in (0..PAGES).step_by(TABLE as usize) {
            let mut done = 0;
            while done < TABLE {
                let offset = (first + done) * GRANULE;
                done += dialect.map(rd, IPA + offset, memory + offset, TABLE - done)?;
            }
        }
        Ok(())
    })?;
    note(table, names.unmap, || match dialect {
        Dialect::V1 => (0..PAGES).try_for_each(|n| dialect.unmap(rd, IPA + n * GRANULE).map(drop)),
        Dialect::V2 => unmap_range(rd, 3),
    })?;
    note(table, names.undelegate, || {
        dialect.undelegate(memory, PAGES)
    })?;
    pool::give(memory, PAGES);
    realm.finish()
}

/// Maps all of the memory by blocks of 2 MiB, as many in a call as the monitor takes.
fn map_blocks(rd: u64, memory: u64) -> Check {
    let mut next = IPA;
    while next < IPA + BYTES {
        let left = (IPA + BYTES - next) / entry_size(2);
        let from = delegated(memory + (next - IPA), 2, left);
        let out = v2::data_map(rd, next, IPA + BYTES, SINGLE, from).ok("RMI_RTT_DATA_MAP")?[0];
        ensure!(out > next, "RMI_RTT_DATA_MAP at {next:#x}: no progress");
        next = out;
    }
    Ok(())
}

/// Unmaps all of the memory, which is mapped by entries of a level.
fn unmap_range(rd: u64, level: u64) -> Check {
    let mut next = IPA;
    while next < IPA + BYTES {
        let answer = v2::data_unmap(rd, next, IPA + BYTES, SINGLE, 0);
        let out = answer.ok("RMI_RTT_DATA_UNMAP")?;
        ensure!(
            out[0] >= next + entry_size(level) && out[1] != 0,
            "RMI_RTT_DATA_UNMAP at {next:#x}: no progress"
        );
        next = out[0];
    }
    Ok(())
}
