// SPDX-License-Identifier: BSD-3-Clause
//! What this machine needs against the [errata](crate::encoding::errata) of its CPUs.

use super::percpu;
use super::registers::*;
use crate::encoding::errata::{self, HistoryRemedy};
use crate::machine::IdRegisters;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use log::{debug, warn};

/// For tests: CPUs that need no remedy have them all.
const FORCED: bool = cfg!(feature = "force-remedies");

/// A CPU of this machine needs the last TLBI and DSB of each sequence twice.
static REPEAT_TLBI: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    /// The vectors that do nothing about branch history.
    safe static rmm_vectors: u8;
    /// The vectors that begin with CLRBHB.
    safe static rmm_vectors_clrbhb: u8;
    /// The vectors that begin with a loop of [`CpuData::history_loop`](percpu::CpuData) branches.
    safe static rmm_vectors_loop: u8;
}

/// Applies the remedies of the CPU that executes this, which has these ID registers, while it boots.
pub fn apply(id: &IdRegisters) {
    for (erratum, core) in errata::of(id.midr) {
        debug!("{core}: {}, {}", erratum.name, erratum.cost);
    }
    if FORCED {
        warn!("remedies for errata are forced");
    }
    if errata::needs_repeated_tlbi(id.midr) || FORCED {
        REPEAT_TLBI.store(true, Ordering::Relaxed);
        // Before this CPU runs a Realm: see `repeats_tlbi`.
        barrier::dsb(barrier::ISH);
    }
    let remedy = history_remedy(id);
    debug!("branch history: {remedy:?}");
    let (vectors, branches) = match remedy {
        HistoryRemedy::None => (&raw const rmm_vectors, 0),
        HistoryRemedy::Instruction => (&raw const rmm_vectors_clrbhb, 0),
        HistoryRemedy::Loop(branches) => (&raw const rmm_vectors_loop, branches.into()),
    };
    let data = percpu::data();
    data.clears_history.set(remedy != HistoryRemedy::None);
    data.history_loop.set(branches);
    // SAFETY: each of the three is a vector table of this image, and handles every exception as the
    // others do.
    unsafe { asm!("msr vbar_el2, {}", "isb", in(reg) vectors, options(nostack, preserves_flags)) };
}

/// Whether the last broadcast TLBI of a sequence and its DSB must be repeated. Called after that DSB.
///
/// A CPU that boots meanwhile and needs the repetition has set the flag before it walks any table of a
/// Realm. If this reads the flag as clear, that CPU's walks come after the DSB, and find the new entry.
#[inline]
pub fn repeats_tlbi() -> bool {
    REPEAT_TLBI.load(Ordering::Relaxed)
}

/// Whether this CPU needs [`clear_history`].
pub fn clears_history() -> bool {
    percpu::data().clears_history.get()
}

/// Discards branch history, as the vectors do: for that of the Host, if EL3 keeps it.
#[inline]
pub fn clear_history() {
    match percpu::data().history_loop.get() {
        // CLRBHB.
        // SAFETY: changes nothing but predictions.
        0 => unsafe { asm!("hint #22", "isb", options(nomem, nostack, preserves_flags)) },
        // SAFETY: likewise.
        branches => unsafe {
            asm!(
                "2: b 3f",
                "3: subs {branches}, {branches}, #1",
                "b.ne 2b",
                "dsb nsh",
                "isb",
                branches = inout(reg) branches => _,
                options(nomem, nostack)
            );
        },
    }
}

/// What this CPU does about branch history; if [`FORCED`], one remedy on CPUs with an even index and
/// another one on the rest.
fn history_remedy(id: &IdRegisters) -> HistoryRemedy {
    match percpu::data().index.get() {
        index if FORCED && index.is_multiple_of(2) => HistoryRemedy::Loop(38),
        _ if FORCED => HistoryRemedy::Instruction,
        _ => errata::history_remedy(id),
    }
}
