// SPDX-License-Identifier: BSD-3-Clause
//! Stage 1 of a Realm in the TLBs of CPUs that its RECs share and change.
//!
//! QEMU empties its TLB whenever the Security state changes: only a machine that keeps
//! translations of a Realm across an exit shows a monitor that forgets to invalidate.

use super::instruct::{Register, run};
use super::smp::{on_second, result};
use super::{Test, needs};
use crate::check::{Check, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, enter};
use crate::rmi;
use rmm_abi::psci::{SUCCESS, fid};
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout};

pub const TESTS: &[Test] = &[
    ("stage1.two_recs_one_cpu", two_recs_one_cpu),
    ("stage1.one_rec_two_cpus", one_rec_two_cpus),
];

/// Pages of the tests, in the image's level 3 table: tables of the first REC at levels 1 to 3,
/// those of the second, and two pages to be mapped.
const fn page(n: u64) -> u64 {
    layout::BASE + layout::SIZE + n * GRANULE
}
const PAGES: u64 = 8;
const DATA: [u64; 2] = [page(6), page(7)];
/// What the pages hold.
const WORDS: [u64; 2] = [0x1111, 0x2222];

/// The first address of the upper half, 39 bits.
pub const UPPER: u64 = 0xFFFF_FF80_0000_0000;
const TTBR1: Register = Register(3, 0, 2, 0, 1);
const TCR: Register = Register(3, 0, 2, 0, 2);
/// `tlbi vmalle1`: of this CPU.
const TLBI_LOCAL: u64 = 0xD508_871F;
/// nG: of the ASID alone.
const NOT_GLOBAL: u64 = 1 << 11;

/// Two RECs, both on, with the pages.
fn two() -> Check<Realm> {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.init_ripas(page(0), page(PAGES))?;
    for n in 0..PAGES {
        realm.add_unknown(page(n))?;
    }
    for n in 0..2 {
        realm.add_rec(n == 0, &[MODE_COMMANDS, realm.config.unprotected()])?;
    }
    realm.activate()?;
    let first = realm.boot()?;
    let second = &realm.recs[1];
    let entry = first.value_of(Op::EntryPoint, &[])?;
    first.exit_of(Op::Smc, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
    first.finish_with(&enter())?;
    second.boot()?;
    for (page, word) in DATA.into_iter().zip(WORDS) {
        first.store(page, word)?;
    }
    Ok(realm)
}

/// The entry at level 3 that maps a page: Normal memory, Inner Shareable, Access Flag.
pub const fn leaf(page: u64, more: u64) -> u64 {
    page | 1 << 10 | 3 << 8 | 3 | more
}

/// Writes a REC's tables for the upper half, three pages from `tables`, which map one page.
fn map(rec: &Rec, tables: u64, page: u64, more: u64) -> Check {
    rec.store(tables, (tables + GRANULE) | 3)?;
    rec.store(tables + GRANULE, (tables + 2 * GRANULE) | 3)?;
    rec.store(tables + 2 * GRANULE, leaf(page, more))?;
    translate_upper(rec, tables)
}

/// Has a REC translate the upper half by a table of level 1.
pub fn translate_upper(rec: &Rec, table: u64) -> Check {
    TTBR1.write(rec, table)?;
    // EPD1 off; T1SZ 25, 4 KiB granules, Inner Shareable Write-Back walks.
    let upper = 2 << 30 | 3 << 28 | 1 << 26 | 1 << 24 | 25 << 16;
    let tcr = TCR.read(rec)?;
    TCR.write(rec, tcr & !0xFFFF_0000 | upper)?;
    run(rec, TLBI_LOCAL, 0, 0).map(drop)
}

/// Tables of their own under one ASID: no REC finds the other's translations.
fn two_recs_one_cpu() -> Check {
    needs::second_cpu()?;
    for more in [NOT_GLOBAL, 0] {
        let realm = two()?;
        for (n, rec) in realm.recs.iter().enumerate() {
            map(rec, page(3 * n as u64), DATA[n], more)?;
        }
        for round in 0..6 {
            for (here, word) in WORDS.into_iter().enumerate() {
                let other = 1 - here;
                let there = on_second(&realm.recs[other], |rec| rec.load(UPPER))?;
                let found = realm.recs[here].load(UPPER);
                let elsewhere = result(&there)??;
                ensure_eq!(found?, word, "REC {here} here, round {round}");
                ensure_eq!(elsewhere, WORDS[other], "REC {other} there, round {round}");
            }
        }
        realm.finish()?;
    }
    Ok(())
}

/// The Realm changes a translation and invalidates it where it runs: the CPU where it ran before
/// has none left either.
fn one_rec_two_cpus() -> Check {
    needs::second_cpu()?;
    let realm = two()?;
    let rec = &realm.recs[0];
    let entry = page(2);
    map(rec, page(0), DATA[0], NOT_GLOBAL)?;
    let change = move |rec: &Rec, n: usize| {
        // Break before make, by the Realm's own means.
        rec.store(entry, 0)?;
        run(rec, TLBI_LOCAL, 0, 0)?;
        rec.store(entry, leaf(DATA[n], NOT_GLOBAL))?;
        ensure_eq!(rec.load(UPPER)?, WORDS[n], "after the change");
        Ok(())
    };
    for round in 0..8 {
        let n = round % 2;
        ensure_eq!(rec.load(UPPER)?, WORDS[n], "here, round {round}");
        let there = on_second(rec, move |rec| {
            ensure_eq!(rec.load(UPPER)?, WORDS[n], "there, round {round}");
            change(rec, 1 - n)
        })?;
        result(&there)??;
        ensure_eq!(rec.load(UPPER)?, WORDS[1 - n], "here again, round {round}");
        change(rec, n)?;
        let there = on_second(rec, move |rec| rec.load(UPPER))?;
        ensure_eq!(result(&there)??, WORDS[n], "there again, round {round}");
        change(rec, 1 - n)?;
    }
    realm.finish()
}
