// SPDX-License-Identifier: BSD-3-Clause
//! Interrupts for a Realm: list registers, priorities, conditions that the Host asks for.

use super::exit::running;
use super::instruct::{Register, instruct};
use super::smp::{on_second, result, two};
use super::spin::{limit, wait_running};
use super::{Test, needs};
use crate::arch::{mrs, ticks};
use crate::check::{Check, ensure, ensure_eq};
use crate::rec::{Rec, command, enter};
use crate::{arch, board, gic};
use rmm_abi::rmi::{RecEnter, RecExit, RecExitReason};
use tests_fvp::protocol::{Op, Reply};

pub const TESTS: &[Test] = &[
    ("vgic.priorities", priorities),
    ("vgic.priority_mask", priority_mask),
    ("vgic.maintenance", maintenance),
    ("vgic.eoi_count", eoi_count),
    ("vgic.sgi_to_other", sgi_to_other),
    ("vgic.list_register", virtual_interrupt),
    ("vgic.state", virtual_state),
];

const ICC_PMR: Register = Register(3, 0, 4, 6, 0);
const ICC_IAR1: Register = Register(3, 0, 12, 12, 0);
const ICC_EOIR1: Register = Register(3, 0, 12, 12, 1);
const ICC_IGRPEN1: Register = Register(3, 0, 12, 12, 7);

/// A list register: pending, Group 1.
pub const fn pending(intid: u64, priority: u64) -> u64 {
    1 << 62 | 1 << 60 | priority << 48 | intid
}

/// State of a list register.
pub const fn state(lr: u64) -> u64 {
    lr >> 62
}

/// Lets the Realm take interrupts of a higher priority than this.
pub fn open(rec: &Rec, mask: u64) -> Check {
    ICC_PMR.write(rec, mask)?;
    ICC_IGRPEN1.write(rec, 1)
}

/// The Realm acknowledges the pending interrupt.
pub fn acknowledge() -> RecEnter {
    instruct(ICC_IAR1.mrs(), 0, 0)
}

/// The Realm ends an interrupt, with the list registers of the last exit.
pub fn end(intid: u64, last: &RecExit) -> RecEnter {
    let mut entry = instruct(ICC_EOIR1.msr(), intid, 0);
    entry.gicv3_lrs = last.gicv3_lrs;
    entry
}

/// What the Realm has acknowledged.
pub fn intid(exit: &RecExit) -> Check<u64> {
    ensure_eq!(exit.exit_reason, RecExitReason::HostCall as u8, "reason");
    Ok(Reply::from_gprs(&exit.gprs).values[0])
}

/// Acknowledges with the list registers of the last exit.
fn next(rec: &Rec, last: &RecExit) -> Check<RecExit> {
    let mut entry = acknowledge();
    entry.gicv3_lrs = last.gicv3_lrs;
    rec.enter(&entry)
}

/// The highest priority comes first, and interrupts a lower one.
fn priorities() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    open(rec, 0xF8)?;
    let mut entry = acknowledge();
    entry.gicv3_lrs[0] = pending(50, 0xA0);
    entry.gicv3_lrs[1] = pending(51, 0x40);
    entry.gicv3_lrs[2] = pending(52, 0x80);
    let exit = rec.enter(&entry)?;
    ensure_eq!(intid(&exit)?, 51, "first INTID");
    let states = exit.gicv3_lrs.map(state);
    ensure_eq!(states[0], 1, "state of 50");
    ensure_eq!(states[1], 2, "state of 51, active");
    let exit = next(rec, &exit)?;
    ensure_eq!(intid(&exit)?, 1023, "INTID while 51 is active");
    let exit = rec.enter(&end(51, &exit))?;
    ensure_eq!(state(exit.gicv3_lrs[1]), 0, "state of 51, ended");
    let mut exit = next(rec, &exit)?;
    ensure_eq!(intid(&exit)?, 52, "second INTID");
    // A higher one comes in between.
    exit.gicv3_lrs[1] = pending(53, 0x20);
    let exit = next(rec, &exit)?;
    ensure_eq!(intid(&exit)?, 53, "third INTID");
    let exit = rec.enter(&end(53, &exit))?;
    let exit = rec.enter(&end(52, &exit))?;
    let exit = next(rec, &exit)?;
    ensure_eq!(intid(&exit)?, 50, "last INTID");
    let exit = rec.enter(&end(50, &exit))?;
    ensure_eq!(exit.gicv3_lrs.map(state).iter().sum::<u64>(), 0, "states");
    realm.finish()
}

/// ICC_PMR_EL1 of the Realm masks, is in `gicv3_vmcr`, and leaves the Host's register alone.
fn priority_mask() -> Check {
    needs::second_cpu()?;
    let realm = running()?;
    let rec = &realm.recs[0];
    let host = arch::mrs!("icc_pmr_el1");
    open(rec, 0x80)?;
    let mut entry = acknowledge();
    entry.gicv3_lrs[0] = pending(60, 0x80);
    let exit = rec.enter(&entry)?;
    ensure_eq!(intid(&exit)?, 1023, "INTID of the masked priority");
    ensure_eq!(exit.gicv3_vmcr >> 24, 0x80, "gicv3_vmcr.VPMR");
    ensure_eq!(exit.gicv3_vmcr & 3, 2, "gicv3_vmcr.VENG1, VENG0");
    ensure_eq!(arch::mrs!("icc_pmr_el1"), host, "the Host's ICC_PMR_EL1");
    ICC_PMR.write(rec, 0x88)?;
    let exit = next(rec, &exit)?;
    ensure_eq!(intid(&exit)?, 60, "INTID, not masked any more");
    ensure_eq!(exit.gicv3_vmcr >> 24, 0x88, "gicv3_vmcr.VPMR");
    rec.enter(&end(60, &exit))?;
    // On another CPU the mask is the same.
    let there = on_second(rec, |rec| ICC_PMR.read(rec))?;
    ensure_eq!(result(&there)??, 0x88, "ICC_PMR_EL1 on the second CPU");
    realm.finish()
}

/// Conditions that the Host asks for are in `gicv3_misr`.
fn maintenance() -> Check {
    /// `gicv3_hcr`: UIE, NPIE, VGrp1EIE, VGrp1DIE. `gicv3_misr` has the same bits, and EOI.
    const U: u64 = 1 << 1;
    const NP: u64 = 1 << 3;
    const VGRP1E: u64 = 1 << 6;
    const VGRP1D: u64 = 1 << 7;
    const EOI: u64 = 1;
    let realm = running()?;
    let rec = &realm.recs[0];
    let all = U | NP | VGRP1E | VGRP1D;
    let look = |lrs: &[u64]| {
        let mut entry = command(Op::Nop, &[]);
        entry.gicv3_hcr = all;
        entry.gicv3_lrs[..lrs.len()].copy_from_slice(lrs);
        rec.enter(&entry)
    };
    ensure_eq!(look(&[])?.gicv3_misr, U | NP | VGRP1D, "misr, nothing on");
    open(rec, 0xF8)?;
    ensure_eq!(look(&[])?.gicv3_misr, U | NP | VGRP1E, "misr, group on");
    let one = [pending(70, 0x80)];
    ensure_eq!(look(&one)?.gicv3_misr, U | VGRP1E, "misr, one pending");
    let both = [pending(70, 0x80), pending(71, 0x80)];
    ensure_eq!(look(&both)?.gicv3_misr, VGRP1E, "misr, two pending");
    // EOI maintenance asked for by the list register.
    let mut entry = acknowledge();
    entry.gicv3_lrs[0] = pending(72, 0x80) | 1 << 41;
    let exit = rec.enter(&entry)?;
    ensure_eq!(intid(&exit)?, 72, "INTID");
    ensure_eq!(exit.gicv3_misr, 0, "misr before the end");
    let exit = rec.enter(&end(72, &exit))?;
    ensure_eq!(exit.gicv3_misr, EOI, "misr after the end");
    ensure_eq!(state(exit.gicv3_lrs[0]), 0, "state after the end");
    ensure_eq!(look(&both)?.gicv3_misr & EOI, 0, "misr.EOI afterwards");
    realm.finish()
}

/// The end of an interrupt that is in no list register is counted for the Host.
// Conformance: Virtual GIC and timers eoi_count
fn eoi_count() -> Check {
    /// `gicv3_hcr`: LRENPIE.
    const LRENP: u64 = 1 << 2;
    let realm = running()?;
    let rec = &realm.recs[0];
    open(rec, 0xF8)?;
    for count in 1..4 {
        let mut entry = acknowledge();
        entry.gicv3_lrs[0] = pending(80, 0x80);
        let exit = rec.enter(&entry)?;
        ensure_eq!(intid(&exit)?, 80, "INTID");
        // The Host removes the active interrupt from the list.
        let mut entry = instruct(ICC_EOIR1.msr(), 80, 0);
        entry.gicv3_hcr = LRENP;
        let exit = rec.enter(&entry)?;
        ensure_eq!(exit.gicv3_hcr, count << 27 | LRENP, "gicv3_hcr");
        ensure_eq!(exit.gicv3_misr & LRENP, LRENP, "gicv3_misr.LRENP");
    }
    realm.finish()
}

/// One REC interrupts another, which runs on the other CPU.
fn sgi_to_other() -> Check {
    needs::second_cpu()?;
    const SGI: u64 = 5;
    let realm = two()?;
    let first = &realm.recs[0];
    let there = on_second(&realm.recs[1], |rec| {
        let exit = rec.exit_of(Op::TakeIrq, &[limit()])?;
        ensure_eq!(exit.exit_reason, RecExitReason::Irq as u8, "reason");
        gic::taken();
        let mut entry = enter();
        entry.gicv3_lrs[0] = pending(SGI, 0x80);
        rec.finish_with(&entry)
    })?;
    wait_running(&realm, &realm.recs[1])?;
    let icc_sgi1r = Register(3, 0, 12, 11, 5);
    let exit = first.exit_of_entry(&instruct(icc_sgi1r.msr(), SGI << 24 | 2, 0));
    gic::send_sgi(board::SECOND_CPU);
    let reply = result(&there)??;
    ensure_eq!(exit?.gprs[0], SGI << 24 | 2, "what the first REC sent");
    ensure_eq!(reply.values[0], SGI, "what the second REC took");
    first.finish_with(&enter())?;
    realm.finish()
}

/// A list register is an interrupt of the Realm.
// Conformance: RMI_REC_ENTER gic_entry
fn virtual_interrupt() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    for intid in [5, 27, 40, 1019] {
        let mut entry = command(Op::TakeIrq, &[limit()]);
        entry.gicv3_lrs[0] = pending(intid, 0x80);
        let exit = rec.enter(&entry)?;
        let taken = tests_fvp::protocol::Reply::from_gprs(&exit.gprs).values[0];
        ensure_eq!(taken, intid, "INTID that the Realm took");
        // Handled and ended: the list register is invalid now.
        ensure_eq!(exit.gicv3_lrs[0] >> 62, 0, "state of the list register");
        ensure_eq!(exit.gicv3_hcr & !0xF800_40FE, 0, "gicv3_hcr");
    }
    ensure_eq!(mrs!("ich_hcr_el2") & 1, 0, "ICH_HCR_EL2.En after the exits");
    let taken = rec.value_of(Op::TakeIrq, &[ticks(5)])?;
    ensure_eq!(taken, 1023, "INTID without an interrupt");
    realm.finish()
}

/// What the Host sets comes back as long as the Realm does not touch it.
// Conformance: RMI_REC_ENTER gic_entry
// Conformance: REC exits always
fn virtual_state() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let mut entry = command(Op::Nop, &[]);
    entry.gicv3_lrs[0] = pending(40, 0x80);
    // NPIE
    entry.gicv3_hcr = 1 << 3;
    let exit = rec.enter(&entry)?;
    ensure_eq!(
        exit.gicv3_lrs[0],
        pending(40, 0x80),
        "list register that nobody handled"
    );
    ensure_eq!(exit.gicv3_hcr & 0x40FE, 1 << 3, "gicv3_hcr");
    // The next entry's list registers replace the last one's.
    let exit = rec.enter(&command(Op::TakeIrq, &[ticks(5)]))?;
    let taken = tests_fvp::protocol::Reply::from_gprs(&exit.gprs).values[0];
    ensure_eq!(taken, 1023, "INTID without a list register");
    // No interrupt pending: the maintenance condition that was asked for is reported.
    let mut entry = command(Op::Nop, &[]);
    entry.gicv3_hcr = 1 << 3;
    let exit = rec.enter(&entry)?;
    ensure_eq!(exit.gicv3_misr & 1 << 3, 1 << 3, "gicv3_misr.NP");
    // The Realm has set its priority mask and enabled its group.
    ensure!(exit.gicv3_vmcr != 0, "gicv3_vmcr");
    realm.finish()
}
