// SPDX-License-Identifier: BSD-3-Clause
//! Launches the Realm exactly as the runner's launch description says: only then does the relying
//! party, which computes the Realm's measurement from the same description, know the Realm.

use super::memory::Memory;
use super::staged;
use super::statistics::Span;
use super::vgic::CPUS;
use crate::check::{Check, ensure, fail};
use crate::console::line;
use crate::params::{self, Guest, Parameters, Step};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::{arch, board};
use tests_fvp::guest::{BLOCK, RAM};

/// Bytes between two lines on the progress of loading.
const PROGRESS: u64 = 8 << 20;

/// Creates the Realm, carries out each step of its launch, and activates it.
///
/// # Errors
///
/// If the description is not one for this Host, or a command fails.
pub fn launch(parameters: &Parameters) -> Check<Memory> {
    let guest = &parameters.guest;
    let ends = guest.steps().filter_map(|step| match step {
        Step::InitRipas { top, .. } => Some(top),
        _ => None,
    });
    let end = ends.max().ok_or("the launch has no RAM")?;
    ensure!(
        end > RAM && end.is_multiple_of(BLOCK),
        "RAM up to {end:#x} is not a multiple of 2 MiB"
    );
    // Behind what the runner has put into memory.
    let physical = guest.ram.max(board::POOL.end).next_multiple_of(BLOCK);
    ensure!(
        physical + (end - RAM) <= board::BANK.start + parameters.memory,
        "the machine has too little memory for a guest with {} MiB",
        (end - RAM) >> 20
    );
    let mut config = guest.config;
    if let Some(what) = guest.tamper {
        line!("host: tampers with the launch: {what}");
        tamper(guest, &mut config, what)?;
    }
    let mut memory = Memory::new(Realm::new(&config)?, physical, end);
    let total = guest.steps().map(|step| match step {
        Step::Data { bytes, .. } => bytes,
        _ => 0,
    });
    let mut progress = Progress {
        start: arch::now(),
        done: 0,
        total: total.sum(),
    };
    for step in guest.steps() {
        match step {
            Step::RttCreate { base, top, level } => memory.create_tables(base..top, level)?,
            Step::InitRipas { base, top } => memory.init_ripas(base..top)?,
            Step::Data {
                ipa,
                address,
                bytes,
            } => {
                for offset in (0..bytes).step_by(GRANULE as usize) {
                    memory.load(ipa + offset, address + offset)?;
                    progress.loaded(GRANULE);
                }
            }
            Step::Rec { runnable, pc, gprs } => {
                let index = memory.realm.add_rec_at(pc, runnable, &gprs)?;
                ensure!(
                    index < CPUS && runnable == (index == 0),
                    "a guest has 1 to {CPUS} CPUs, of which the first starts the others"
                );
            }
        }
    }
    ensure!(!memory.realm.recs.is_empty(), "the launch has no REC");
    // Not measured, and after it the guest's memory needs fewer RTTs.
    memory.fold()?;
    memory.realm.activate()?;
    Ok(memory)
}

/// What a malicious Host may do: `page IPA` flips a bit of a file before it is loaded, `NAME VALUE` changes a
/// parameter of the Realm.
fn tamper(guest: &Guest, config: &mut Config, what: &str) -> Check {
    let (name, value) = what.split_once(' ').unwrap_or((what, ""));
    if name != "page" {
        params::realm_parameter(config, name, value);
        return Ok(());
    }
    let wanted: u64 = value.parse().map_err(|_| "no such page")?;
    for step in guest.steps() {
        if let Step::Data {
            ipa,
            address,
            bytes,
        } = step
            && (ipa..ipa + bytes).contains(&wanted)
        {
            staged::flip(address + (wanted - ipa));
            return Ok(());
        }
    }
    fail!("nothing is loaded at {wanted:#x}")
}

/// Lines now and then while the Host loads and the monitor measures.
struct Progress {
    start: u64,
    /// Bytes.
    done: u64,
    total: u64,
}

impl Progress {
    fn loaded(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done.is_multiple_of(PROGRESS) {
            line!(
                "host: loads and measures: {} of {} MiB, {}",
                self.done >> 20,
                self.total.div_ceil(1 << 20),
                Span(arch::now() - self.start)
            );
        }
    }
}
