// SPDX-License-Identifier: BSD-3-Clause
//! What calls cost, in ticks of the physical counter. Under QEMU's `-icount shift=0` a tick is one
//! instruction.
//!
//! The Host prints one line a row, `bench SHARE NAME: TICKS TICKS ...`, with the repetitions in
//! order. The runner subtracts what EL3 takes for such a call, which the same Host measures with a
//! monitor that only answers ([`run_el3`]): its row has the name of the share.
//!
//! The runner boots once more for each thing that must not change the cost: other Realms that live,
//! more RECs, memory that is in use ([`Bench`]).

mod around;
mod commands;
mod enter;
mod halves;
mod life;
mod ranges;
mod realm;
mod switch;
mod token;
mod waits;

use crate::check::Check;
use crate::console::line;
use crate::params::{Bench, Parameters};
use crate::rmi;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use rmm_abi::rmi::{RMI_VERSION_1_0, fid};

/// Repetitions of each row.
const REPEAT: u64 = 8;
/// Last line of a Host that has done everything.
const COMPLETE: &str = "host: bench complete";

/// Which ticks of EL3 are in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// Those of a call.
    Call,
    /// Those of RMI_GRANULE_DELEGATE, for which the monitor calls EL3.
    Delegate,
    /// Those of RMI_GRANULE_UNDELEGATE.
    Undelegate,
    /// Those of both.
    Pair,
    /// Those of RMI_REC_ENTER.
    Enter,
    /// Those of a call's way to the monitor alone.
    Forward,
    /// Those of a call's way back alone.
    Return,
    /// None: measured inside the Realm.
    None,
}

impl Share {
    const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Delegate => "delegate",
            Self::Undelegate => "undelegate",
            Self::Pair => "delegate+undelegate",
            Self::Enter => "enter",
            Self::Forward => "forward",
            Self::Return => "return",
            Self::None => "none",
        }
    }
}

/// One row: what is measured, and its ticks in order.
struct Row {
    share: Share,
    name: &'static str,
    ticks: Vec<u64>,
}

/// The rows of a group, in the order of their first value.
struct Table {
    rows: Vec<Row>,
    bench: Bench,
    /// Calls that were made before the group.
    before: u64,
    /// Number, in the group, of the last call that belongs to the row that a profile is wanted of.
    profiled: Option<u64>,
}

impl Table {
    /// No rows.
    fn new(bench: Bench) -> Self {
        Self {
            rows: Vec::new(),
            bench,
            before: rmi::calls(),
            profiled: None,
        }
    }

    /// Adds a value to the row of a name. It belongs to the last call.
    fn note(&mut self, share: Share, name: &'static str, ticks: u64) {
        self.note_number(share, name, ticks, rmi::calls());
    }

    fn note_number(&mut self, share: Share, name: &'static str, ticks: u64, number: u64) {
        if self.bench.profile == Some(name) {
            self.profiled = Some(number - self.before);
        }
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.ticks.push(ticks),
            None => self.rows.push(Row {
                share,
                name,
                ticks: alloc::vec![ticks],
            }),
        }
    }

    /// Adds the last call with a function identifier to the row of a name.
    fn note_call(&mut self, name: &'static str, fid: u64) {
        let share = match fid {
            fid::RMI_GRANULE_DELEGATE => Share::Delegate,
            fid::RMI_GRANULE_UNDELEGATE => Share::Undelegate,
            fid::RMI_REC_ENTER => Share::Enter,
            _ => Share::Call,
        };
        self.note_number(share, name, rmi::ticks(fid), rmi::number(fid));
    }

    fn print(&self) {
        if let Some(number) = self.profiled {
            line!("bench-call {number}");
        }
        for row in &self.rows {
            let mut ticks = String::new();
            for value in &row.ticks {
                // A `String` takes everything.
                let _ = write!(ticks, " {value}");
            }
            line!("bench {} {}:{ticks}", row.share.name(), row.name);
        }
    }
}

/// Measures a group of rows.
type Group = fn(&mut Table) -> Check;

/// The groups, and whether a group is measured again with other Realms alive and more.
const GROUPS: &[(&str, Group, bool)] = &[
    ("commands", commands::version_and_granules, true),
    ("life", commands::life, true),
    ("tables", commands::tables, true),
    ("block", commands::block, true),
    ("unprotected", commands::unprotected, true),
    ("enter", enter::exits, true),
    ("halves", halves::halves, true),
    ("requests", realm::requests, true),
    ("calls", realm::calls, true),
    ("switch", switch::between_realms, true),
    ("tokens", token::tokens, false),
    ("measured", life::life, false),
    ("memory", commands::memory, true),
    ("waits", waits::waits, false),
    ("ranges", ranges::ranges, false),
];

/// Measures what the parameters ask for. A group that fails is reported, and the others go on.
pub fn run(parameters: &Parameters) {
    let bench = parameters.bench;
    let usual = bench.realms == 1 && bench.recs == 1 && !bench.fill;
    if let Err(why) = around::prepare(&bench) {
        line!("host: bench FAILED: what must not change the cost: {why}");
    }
    let mut wanted = parameters.after.is_none();
    for (name, group, again) in GROUPS {
        let only = parameters.only;
        let only = only.is_none_or(|only| only.split(',').any(|only| only == *name));
        if wanted && only && (usual || *again) {
            line!("start {name}");
            if bench.mark != 0 {
                rmi::mark(rmi::calls() + bench.mark);
            }
            let mut table = Table::new(bench);
            let result = group(&mut table);
            table.print();
            if let Err(why) = result {
                line!("host: bench FAILED: {name}: {why}");
            }
        }
        wanted |= parameters.after == Some(name);
    }
    line!("{COMPLETE}");
}

/// Measures EL3's share of each kind of call, with a monitor that only answers.
pub fn run_el3() {
    let mut table = Table::new(crate::params::get().bench);
    if let Err(why) = el3(&mut table) {
        line!("host: bench FAILED: EL3's share: {why}");
    }
    table.print();
    line!("{COMPLETE}");
}

/// Instructions of the monitor that only answers (`answering-monitor/entry.s`), its SMC included,
/// for a call, for a granule, before its reading of the counter, and behind it.
const ANSWERING: u64 = 9;
const ANSWERING_GRANULE: u64 = 10;
const BEFORE_COUNTER: u64 = 5;
const ANSWERING_COUNTER: u64 = 6;

fn el3(table: &mut Table) -> Check {
    let (granule, neighbour) = commands::granules()?;
    let mut note = |share: Share, ticks: u64| table.note(Share::None, share.name(), ticks);
    for _ in 0..REPEAT {
        rmi::version(RMI_VERSION_1_0).ok("RMI_VERSION")?;
        note(Share::Call, rmi::ticks(fid::RMI_VERSION) - ANSWERING);
        rmi::delegate(granule).ok("RMI_GRANULE_DELEGATE")?;
        let ticks = rmi::ticks(fid::RMI_GRANULE_DELEGATE);
        note(Share::Delegate, ticks - ANSWERING_GRANULE);
        rmi::undelegate(granule).ok("RMI_GRANULE_UNDELEGATE")?;
        let ticks = rmi::ticks(fid::RMI_GRANULE_UNDELEGATE);
        note(Share::Undelegate, ticks - ANSWERING_GRANULE);
        rmi::rec_enter(granule, granule).ok("RMI_REC_ENTER")?;
        note(Share::Enter, rmi::ticks(fid::RMI_REC_ENTER) - ANSWERING);
        let counter = rmi::features(0).ok("RMI_FEATURES")?[0];
        let ticks = rmi::returned().wrapping_sub(counter);
        note(Share::Return, ticks - ANSWERING_COUNTER);
        let ticks = counter.wrapping_sub(rmi::called());
        note(Share::Forward, ticks - BEFORE_COUNTER);
    }
    // The answering monitor has not wiped it.
    rmi::undelegate(neighbour).ok("RMI_GRANULE_UNDELEGATE")?;
    commands::give_group(granule);
    Ok(())
}
