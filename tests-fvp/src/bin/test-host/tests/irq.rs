// SPDX-License-Identifier: BSD-3-Clause
//! Interrupts of the Host.

use super::Test;
use super::exit::running;
use super::spin::limit;
use crate::arch::{mrs, msr, ticks};
use crate::check::{Check, ensure_eq};
use crate::gic;
use crate::rec::{check_exit, enter, exit_record};
use rmm_abi::rmi::{RecExit, RecExitReason};
use tests_fvp::protocol::{Op, Wait, layout};

pub const TESTS: &[Test] = &[
    ("irq.pending_at_entry", pending_at_entry),
    ("irq.host_timer", host_timer),
    ("irq.wfi", wfi),
    ("irq.masked_priority", masked_priority),
];

/// Checks that an exit is due to IRQ, and reports nothing else.
pub fn check_irq(exit: &RecExit) -> Check {
    check_exit(exit, &exit_record(RecExitReason::Irq))
}

/// An interrupt that waits already keeps the Realm from running, or stops it at once.
// Conformance: REC exits irq_pending
fn pending_at_entry() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    gic::send_sgi(mrs!("mpidr_el1"));
    let exit = rec.exit_of(Op::Nop, &[])?;
    check_irq(&exit)?;
    ensure_eq!(
        gic::taken().unwrap_or(0),
        gic::SGI,
        "interrupt taken by the Host"
    );
    rec.finish_with(&enter())?;
    realm.finish()
}

/// The Realm spins; the Host's timer ends it.
// Conformance: REC exits irq
// Conformance: Virtual GIC and timers host_timer
fn host_timer() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    // A word of the image, which does not change.
    let word = rec.load(layout::BASE)?;
    gic::start_timer(ticks(20));
    let exit = rec.exit_of(Op::Spin, &[layout::BASE, word, limit()]);
    gic::stop_timer_if(exit.is_err());
    check_irq(&exit?)?;
    ensure_eq!(
        gic::taken().unwrap_or(0),
        gic::EL2_TIMER,
        "interrupt taken by the Host"
    );
    // It continues to spin, and can be stopped again.
    gic::start_timer(ticks(5));
    let exit = rec.exit_of_entry(&enter());
    gic::stop_timer_if(exit.is_err());
    check_irq(&exit?)?;
    ensure_eq!(
        gic::taken().unwrap_or(0),
        gic::EL2_TIMER,
        "interrupt taken by the Host"
    );
    realm.finish()
}

/// A WFI that is not trapped waits, and the Host's interrupt ends it.
// Conformance: RMI_REC_ENTER no_trap
fn wfi() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    gic::start_timer(ticks(20));
    let exit = rec.exit_of(Op::Wait, &[Wait::Wfi as u64, 0]);
    gic::stop_timer_if(exit.is_err());
    check_irq(&exit?)?;
    ensure_eq!(
        gic::taken().unwrap_or(0),
        gic::EL2_TIMER,
        "interrupt taken by the Host"
    );
    gic::send_sgi(mrs!("mpidr_el1"));
    check_irq(&rec.exit_of_entry(&enter())?)?;
    ensure_eq!(
        gic::taken().unwrap_or(0),
        gic::SGI,
        "interrupt taken by the Host"
    );
    realm.finish()
}

/// An interrupt that ICC_PMR_EL1 masks for the Host does not stop the Realm either.
// Conformance: Virtual GIC and timers priority_mask
fn masked_priority() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let pmr = mrs!("icc_pmr_el1");
    msr!("icc_pmr_el1", 0x40);
    gic::send_sgi(mrs!("mpidr_el1"));
    let reply = rec.reply_of(Op::Nop, &[]);
    let after = mrs!("icc_pmr_el1");
    msr!("icc_pmr_el1", pmr);
    crate::arch::isb();
    let taken = gic::taken();
    reply?;
    ensure_eq!(after, 0x40, "ICC_PMR_EL1");
    ensure_eq!(taken.unwrap_or(0), gic::SGI, "interrupt taken by the Host");
    realm.finish()
}
