// SPDX-License-Identifier: BSD-3-Clause
//! Interrupts of the Host, interrupts for the Realm, and timers.

use super::Test;
use super::exit::running;
use super::spin::{SharedPage, limit, until_irq};
use crate::arch::{mrs, msr, ticks};
use crate::check::{Check, ensure, ensure_eq};
use crate::gic;
use crate::rec::{Step, check_exit, command, enter, exit_record};
use rmm_abi::rmi::{RecExit, RecExitReason};
use tests_fvp::protocol::{Op, SysReg, Wait, layout};

pub const TESTS: &[Test] = &[
    ("irq.pending_at_entry", pending_at_entry),
    ("irq.host_timer", host_timer),
    ("irq.wfi", wfi),
    ("irq.masked_priority", masked_priority),
    ("irq.virtual", virtual_interrupt),
    ("irq.virtual_state", virtual_state),
    ("timer.virtual", virtual_timer),
    ("timer.physical", physical_timer),
    ("timer.masked", masked_timer),
    ("timer.host_timers", host_timers),
];

/// A list register: pending, Group 1, of some priority.
const PENDING: u64 = 1 << 62 | 1 << 60 | 0x80 << 48;

/// The exit is for an interrupt, and tells nothing else.
fn check_irq(exit: &RecExit) -> Check {
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
    // Spins on, and can be stopped again.
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

/// An interrupt that ICC_PMR_EL1 keeps from the Host does not stop the Realm either.
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

/// The Host's list register is the Realm's interrupt.
// Conformance: RMI_REC_ENTER gic_entry
fn virtual_interrupt() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    for intid in [5, 27, 40, 1019] {
        let mut entry = command(Op::TakeIrq, &[limit()]);
        entry.gicv3_lrs[0] = PENDING | intid;
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
    entry.gicv3_lrs[0] = PENDING | 40;
    // NPIE
    entry.gicv3_hcr = 1 << 3;
    let exit = rec.enter(&entry)?;
    ensure_eq!(
        exit.gicv3_lrs[0],
        PENDING | 40,
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

/// A timer of the Realm: its output's edges are exits, its state is in the exit record.
fn realm_timer(control: SysReg, compare: SysReg, fields: fn(&RecExit) -> (u64, u64)) -> Check {
    let mut realm = running()?;
    let page = SharedPage::new(&mut realm)?;
    let rec = &realm.recs[0];
    let write =
        |register: SysReg, value| rec.value_of(Op::Msr, &[register as u64, value]).map(drop);
    let deadline = crate::arch::now() + ticks(30);
    write(compare, deadline)?;
    // On a slow machine the time has come before the Realm can spin.
    let exit = match rec.step(&command(Op::Msr, &[control as u64, 1]))? {
        Step::Exit(exit) => exit,
        Step::Done(_) => until_irq(rec, &page.spin())?,
    };
    check_irq(&exit)?;
    ensure!(crate::arch::now() >= deadline, "exit before the time");
    // ENABLE and ISTATUS.
    ensure_eq!(fields(&exit).0, 5, "control register at the exit");
    ensure_eq!(fields(&exit).1, deadline, "compare value at the exit");
    ensure_eq!(gic::taken().unwrap_or(0), 0, "interrupt taken by the Host");
    // The Realm runs on, although the timer still asserts: the Host knows.
    page.release();
    let mut entry = enter();
    entry.gicv3_lrs[0] = PENDING | 27;
    ensure_eq!(rec.finish_with(&entry)?.esr, 0, "exception");
    let status = rec.value_of(Op::Mrs, &[control as u64])?;
    ensure_eq!(status, 5, "control register");
    // It falls when the Realm masks it. The Host learns that, by an exit or in the record.
    let exit = rec.enter(&command(Op::Msr, &[control as u64, 3]))?;
    let exit = if exit.exit_reason == RecExitReason::Irq as u8 {
        rec.enter(&enter())?
    } else {
        exit
    };
    ensure_eq!(fields(&exit).0, 7, "control register at the exit, masked");
    write(control, 0)?;
    page.finish()?;
    realm.finish()
}

// Conformance: REC exits timer
fn virtual_timer() -> Check {
    realm_timer(SysReg::CntvCtl, SysReg::CntvCval, |exit| {
        (exit.cntv_ctl, exit.cntv_cval)
    })
}

// Conformance: REC exits timer
fn physical_timer() -> Check {
    realm_timer(SysReg::CntpCtl, SysReg::CntpCval, |exit| {
        (exit.cntp_ctl, exit.cntp_cval)
    })
}

/// A masked timer makes no exit, but is in every exit record.
// Conformance: REC exits always
fn masked_timer() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let value = crate::arch::now();
    for (control, compare) in [
        (SysReg::CntvCtl, SysReg::CntvCval),
        (SysReg::CntpCtl, SysReg::CntpCval),
    ] {
        rec.value_of(Op::Msr, &[compare as u64, value])?;
        rec.value_of(Op::Msr, &[control as u64, 3])?;
    }
    let exit = rec.enter(&command(Op::Nop, &[]))?;
    ensure_eq!(
        exit.exit_reason,
        RecExitReason::HostCall as u8,
        "exit reason"
    );
    for (control, compare) in [
        (exit.cntv_ctl, exit.cntv_cval),
        (exit.cntp_ctl, exit.cntp_cval),
    ] {
        ensure_eq!(control, 7, "control register at the exit");
        ensure_eq!(compare, value, "compare value at the exit");
    }
    realm.finish()
}

/// The Host's EL1 timers are not the Realm's.
// Conformance: Exceptions and accesses that do not exit timers
fn host_timers() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let far = crate::arch::now() + (1 << 40);
    msr!("cntv_cval_el0", far);
    msr!("cntv_ctl_el0", 1);
    msr!("cntp_cval_el0", far + 1);
    msr!("cntp_ctl_el0", 3);
    let result = (|| {
        for register in [
            SysReg::CntvCtl,
            SysReg::CntpCtl,
            SysReg::CntvCval,
            SysReg::CntpCval,
        ] {
            let value = rec.value_of(Op::Mrs, &[register as u64])?;
            ensure_eq!(value, 0, "the Realm's {register:?}");
        }
        rec.value_of(Op::Msr, &[SysReg::CntvCval as u64, 77])?;
        ensure_eq!(mrs!("cntv_cval_el0"), far, "CNTV_CVAL_EL0");
        ensure_eq!(mrs!("cntv_ctl_el0"), 1, "CNTV_CTL_EL0");
        ensure_eq!(mrs!("cntp_cval_el0"), far + 1, "CNTP_CVAL_EL0");
        ensure_eq!(mrs!("cntp_ctl_el0"), 3, "CNTP_CTL_EL0");
        Ok(())
    })();
    msr!("cntv_ctl_el0", 0);
    msr!("cntp_ctl_el0", 0);
    result?;
    realm.finish()
}
