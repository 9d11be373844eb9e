// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_ENTER: what it refuses and in which order, what it ignores, what it keeps.

use crate::arch::ticks;
use crate::check::{Check, ensure, ensure_eq};
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, Step, check_exit, command, enter, enter_with, exit_record};
use crate::tests::instruct::{instruct, kept};
use crate::tests::needs::part_without_memory;
use crate::tests::samples::{Kind, Samples};
use crate::tests::{Test, needs};
use crate::{board, gic, pool, rmi};
use alloc::format;
use rmm_abi::psci;
use rmm_abi::psci::{SUCCESS, fid};
use rmm_abi::rmi::{RMI_ERROR_REALM, RecEnter, RecEnterFlags, RecExitReason, status};
use tests_fvp::protocol::{MODE_COMMANDS, Op};

pub const TESTS: &[Test] = &[
    ("rec.enter_wrong", enter_wrong),
    ("rec.enter_states", enter_states),
    ("rec.enter_other_fields", enter_other_fields),
    ("rec.enter_registers_kept", enter_registers_kept),
    ("rec.enter_gic_wrong", enter_gic_wrong),
    ("rec.enter_emulation_wrong", enter_emulation_wrong),
    (
        "rec.enter_failed_changes_nothing",
        failed_enter_changes_nothing,
    ),
    ("rec.enter_order", enter_order),
];

// Conformance: RMI_REC_ENTER rec_align, rec_bound, rec_gran_state, rec<others, run_align
// Conformance: RMI_REC_ENTER run_bound, run_pas
fn enter_wrong() -> Check {
    let samples = Samples::new()?;
    samples.realm.activate()?;
    let rec = &samples.realm.recs[0];
    for (kind, address) in samples.except(&[Kind::Rec]) {
        rmi::rec_enter(address, rec.run).input(&format!("rec {kind:?} {address:#x}"))?;
    }
    for (kind, address) in samples.except(&[Kind::Undelegated]) {
        rmi::rec_enter(rec.pa, address).input(&format!("run {kind:?} {address:#x}"))?;
    }
    rmi::rec_enter(rec.pa, rec.pa).input("run is rec")?;
    if let Some(address) = part_without_memory() {
        rmi::rec_enter(rec.pa, address).input("run without memory")?;
    }
    rec.boot()?;
    samples.finish()
}

/// The Realm's and the REC's states that keep a REC from running.
// Conformance: RMI_REC_ENTER realm_new, rec_runnable, system_off
// Conformance: RMI_REC_CREATE runnable
// Conformance: RMI_REALM_ACTIVATE realm_state
fn enter_states() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.add_rec(false, &[])?;
    realm.recs[0].try_enter(&enter()).realm("Realm is NEW")?;
    realm.recs[1]
        .try_enter(&enter())
        .realm("Realm is NEW, REC not runnable")?;
    realm.activate()?;
    realm.recs[1]
        .try_enter(&enter())
        .rec("REC is not runnable")?;
    let rec = realm.boot()?;
    let exit = rec.exit_of(Op::Smc, &[psci::fid::PSCI_SYSTEM_OFF])?;
    ensure_eq!(exit.gprs[0], psci::fid::PSCI_SYSTEM_OFF, "exit");
    rec.try_enter(&enter())
        .is(status(RMI_ERROR_REALM, 1), "Realm is SYSTEM_OFF")?;
    rmi::realm_activate(realm.rd).realm("RMI_REALM_ACTIVATE of SYSTEM_OFF")?;
    realm.finish()
}

/// Fields that have no effect at this entry: reserved flags and bytes, the answer to another exit.
// Conformance: RMI_REC_ENTER other_fields, inject_sea_ignored
// Conformance: Virtual GIC and timers spare_list_registers
fn enter_other_fields() -> Check {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let entry_point = rec.value_of(Op::EntryPoint, &[])?;
    let list_registers = needs::features()?.gicv3_num_lrs() as usize + 1;
    let used = RecEnterFlags::EMUL_MMIO | RecEnterFlags::TRAP_WFI | RecEnterFlags::TRAP_WFE;
    let mut full = command(Op::EntryPoint, &[]);
    full.flags = !used.bits();
    full._reserved0.fill(0xFF);
    full._reserved1.fill(0xFF);
    full._reserved2.fill(0xFF);
    full.gprs[12..].fill(u64::MAX);
    full.gicv3_lrs[list_registers..].fill(u64::MAX);
    let reply = rec.finish_with(&full)?;
    ensure_eq!(reply.esr, 0, "exception");
    ensure_eq!(reply.values[0], entry_point, "value of the command");
    let lrs = rec.last_exit().gicv3_lrs;
    ensure!(lrs == [0; 16], "list registers {lrs:x?}");
    // After an exit that takes no answer.
    rec.exit_of(Op::Smc, &[psci::fid::PSCI_CPU_SUSPEND])?;
    full.gprs.fill(u64::MAX);
    let reply = rec.finish_with(&full)?;
    ensure!(
        reply.values[..4] == [psci::SUCCESS, 0, 0, 0],
        "X0 to X3: {:x?}",
        reply.values
    );
    realm.finish()
}

/// A Realm that waits is stopped by an interrupt, and finds its registers.
// Conformance: RMI_REC_ENTER registers_kept
fn enter_registers_kept() -> Check {
    const WFI: u64 = 0xD503_207F;
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let mut answer = enter();
    answer.gprs.fill(u64::MAX);
    let mut with = instruct(WFI, 0x5EC2, 0x5EC3);
    let mut stopped = 0;
    // An interrupt that comes before the WFI does not end it: the next one does.
    let reply = loop {
        gic::start_timer(ticks(20));
        let step = rec.step(&with);
        let taken = gic::taken().unwrap_or(0);
        gic::stop_timer();
        match step? {
            Step::Exit(exit) => {
                check_exit(&exit, &exit_record(RecExitReason::Irq))?;
                ensure_eq!(taken, gic::EL2_TIMER, "interrupt taken by the Host");
                stopped += 1;
            }
            Step::Done(reply) => break kept(reply)?,
        }
        with = answer;
    };
    ensure!(stopped > 0, "the Realm did not wait");
    ensure_eq!(reply.esr, 0, "exception");
    ensure_eq!(reply.values[0], 0x5EC2, "X0");
    ensure_eq!(reply.values[1], 0x5EC3, "X1");
    realm.finish()
}

// Conformance: RMI_REC_ENTER rec_gicv3
// Conformance: Bugs others fixed ich_hcr_mbz
fn enter_gic_wrong() -> Check {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let refused = |what: &str, change: &dyn Fn(&mut RecEnter)| {
        let mut enter = enter();
        change(&mut enter);
        rec.try_enter(&enter).rec(what).map(drop)
    };
    let free = 0x40FEu64;
    for bit in (0..64).filter(|bit| free >> bit & 1 == 0) {
        refused(&format!("gicv3_hcr bit {bit}"), &|e| e.gicv3_hcr = 1 << bit)?;
    }
    let last = needs::features()?.gicv3_num_lrs() as usize;
    for n in [0, last] {
        // HW, in every state: invalid, pending, active, both.
        for state in 0..4 {
            let what = format!("list register {n} with HW and state {state}");
            refused(&what, &|e| {
                e.gicv3_lrs[n] = 1 << 61 | state << 62 | 32 << 32 | 32
            })?;
        }
        for intid in [1020, 1023, 6000, 1 << 24] {
            let what = format!("list register {n} with INTID {intid}");
            refused(&what, &|e| e.gicv3_lrs[n] = 1 << 62 | 1 << 60 | intid)?;
        }
    }
    if last > 0 {
        refused("the same INTID twice", &|e| {
            e.gicv3_lrs[0] = 1 << 62 | 1 << 60 | 40;
            e.gicv3_lrs[1] = 1 << 62 | 1 << 60 | 40;
        })?;
    }
    // The bits that the Host may set.
    let mut enter = command(Op::Nop, &[]);
    enter.gicv3_hcr = 1 << 3;
    match rec.step(&enter)? {
        Step::Done(_) => {}
        Step::Exit(exit) => crate::check::fail!("{}", crate::rec::describe(&exit)),
    }
    realm.finish()
}

/// emul_mmio needs an Emulatable Data Abort; inject_sea without one does nothing.
// Conformance: RMI_REC_ENTER rec_mmio, rec_mmio_both, inject_sea_ignored
fn enter_emulation_wrong() -> Check {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = &realm.recs[0];
    let emulate = enter_with(RecEnterFlags::EMUL_MMIO);
    rec.try_enter(&emulate)
        .rec("emul_mmio before the first entry")?;
    rec.boot()?;
    rec.try_enter(&emulate).rec("emul_mmio after a host call")?;
    let both = enter_with(RecEnterFlags::EMUL_MMIO | RecEnterFlags::INJECT_SEA);
    rec.try_enter(&both)
        .rec("emul_mmio and inject_sea after a host call")?;
    let mut inject = command(Op::Nop, &[]);
    inject.flags = RecEnterFlags::INJECT_SEA.bits();
    rec.finish_with(&inject)?;
    realm.finish()
}

/// A failed entry changes nothing.
// Conformance: RMI calls failure_changes_nothing
fn failed_enter_changes_nothing() -> Check {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let mut bad = command(Op::Hvc, &[]);
    bad.gicv3_lrs[0] = 1 << 62 | 1 << 60 | 40;
    bad.gicv3_hcr = 1;
    rec.try_enter(&bad).rec("bad gicv3_hcr")?;
    // The exit half is not written.
    for word in (rec.run + GRANULE / 2..rec.run + GRANULE).step_by(8) {
        ensure_eq!(pool::read(word), u64::MAX, "exit half at {word:#x}");
    }
    let answer = rec.enter(&command(Op::EntryPoint, &[]))?;
    ensure_eq!(answer.gicv3_lrs[0], 0, "list register of the failed entry");
    realm.finish()
}

/// A misplaced record, or an address inside the REC, is reported before anything else that is wrong.
pub fn check_misplaced(rec: &Rec, delegated: u64, what: &str) -> Check {
    for run in [rec.run + 8, rec.run + 0x800, board::UART, delegated] {
        rmi::rec_enter(rec.pa, run).input(&format!("{what}, run {run:#x}"))?;
    }
    for pa in [rec.pa + 8, rec.pa + 0xFFF] {
        rmi::rec_enter(pa, rec.run).input(&format!("{what}, rec {pa:#x}"))?;
    }
    Ok(())
}

// Conformance: RMI_REC_ENTER run<realm_new, run<system_off, run<rec_runnable, run<rec_psci
// Conformance: RMI_REC_ENTER run<rec_gicv3, run<rec_mmio
// Conformance: RMI_REC_ENTER rec_align<realm_new, rec_align<system_off, rec_align<rec_runnable
// Conformance: RMI_REC_ENTER rec_align<rec_psci, rec_align<rec_gicv3, rec_align<rec_mmio
fn enter_order() -> Check {
    let delegated = pool::take_delegated()?;
    let mut realm = Realm::loaded(&Config::default())?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.add_rec(false, &[])?;
    let [first, second] = &realm.recs[..] else {
        crate::check::fail!("not two RECs")
    };
    let misplaced = |rec: &Rec, what: &str| check_misplaced(rec, delegated, what);
    misplaced(first, "Realm is NEW")?;
    first.try_enter(&enter()).realm("Realm is NEW")?;
    realm.activate()?;
    misplaced(second, "REC is not runnable")?;
    second.try_enter(&enter()).rec("REC is not runnable")?;
    first.boot()?;
    // Records that are bad where they are, and read from 8 bytes further on or from the middle.
    let mut record = enter();
    record.gicv3_hcr = 1;
    first.try_enter(&record).rec("gicv3_hcr")?;
    pool::write(first.run + 0x308, 1);
    misplaced(first, "gicv3_hcr")?;
    first
        .try_enter(&enter_with(RecEnterFlags::EMUL_MMIO))
        .rec("emul_mmio")?;
    pool::write(first.run + 8, RecEnterFlags::EMUL_MMIO.bits());
    misplaced(first, "emul_mmio")?;
    let entry = first.value_of(Op::EntryPoint, &[])?;
    first.exit_of(Op::Smc, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
    misplaced(first, "PSCI request")?;
    first.try_enter(&enter()).rec("PSCI request")?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
    first.finish_with(&enter())?;
    first.exit_of(Op::Smc, &[fid::PSCI_SYSTEM_OFF])?;
    misplaced(first, "Realm is SYSTEM_OFF")?;
    let off = status(RMI_ERROR_REALM, 1);
    first.try_enter(&enter()).is(off, "Realm is SYSTEM_OFF")?;
    pool::give_delegated(delegated)?;
    realm.finish()
}
