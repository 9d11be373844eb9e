// SPDX-License-Identifier: BSD-3-Clause
//! What calls cost, in ticks of the physical counter. Under QEMU's `-icount shift=0` a tick is one
//! instruction.
//!
//! The Host prints one line a row, `bench SHARE NAME: TICKS TICKS ...`, with the repetitions in
//! order. The runner subtracts what EL3 takes for such a call, which the same Host measures with a
//! monitor that only answers ([`run_el3`]): its row has the name of the share.

mod commands;
mod enter;
mod realm;
mod token;

use crate::check::Check;
use crate::console::line;
use crate::{pool, rmi};
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
#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    /// Adds a value to the row of a name.
    fn note(&mut self, share: Share, name: &'static str, ticks: u64) {
        match self.0.iter_mut().find(|row| row.name == name) {
            Some(row) => row.ticks.push(ticks),
            None => self.0.push(Row {
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
        self.note(share, name, rmi::ticks(fid));
    }

    fn print(&self) {
        for row in &self.0 {
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

const GROUPS: &[(&str, Group)] = &[
    ("commands", commands::version_and_granules),
    ("life", commands::life),
    ("tables", commands::tables),
    ("block", commands::block),
    ("unprotected", commands::unprotected),
    ("enter", enter::exits),
    ("requests", realm::requests),
    ("calls", realm::calls),
    ("tokens", token::tokens),
    ("memory", commands::memory),
];

/// Measures everything. A group that fails is reported, and the others go on.
pub fn run() {
    for (name, group) in GROUPS {
        let mut table = Table::default();
        let result = group(&mut table);
        table.print();
        if let Err(why) = result {
            line!("host: bench FAILED: {name}: {why}");
        }
    }
    line!("{COMPLETE}");
}

/// Measures EL3's share of each kind of call, with a monitor that only answers.
pub fn run_el3() {
    let mut table = Table::default();
    if let Err(why) = el3(&mut table) {
        line!("host: bench FAILED: EL3's share: {why}");
    }
    table.print();
    line!("{COMPLETE}");
}

/// Instructions of the monitor that only answers (`answering-monitor/entry.s`), its SMC included,
/// for a call, for a granule, and behind its reading of the counter.
const ANSWERING: u64 = 9;
const ANSWERING_GRANULE: u64 = 10;
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
    }
    // The answering monitor has not wiped it.
    rmi::undelegate(neighbour).ok("RMI_GRANULE_UNDELEGATE")?;
    pool::give(granule, 2);
    Ok(())
}
