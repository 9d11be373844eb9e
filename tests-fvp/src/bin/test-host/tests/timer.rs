// SPDX-License-Identifier: BSD-3-Clause
//! Timers of a Realm and of the Host.

use super::Test;
use super::exit::running;
use super::irq::check_irq;
use super::spin::{SharedPage, limit, until_irq};
use super::vgic::pending;
use crate::arch::{mrs, msr, ticks};
use crate::check::{Check, ensure, ensure_eq};
use crate::gic;
use crate::rec::{Step, command, enter};
use rmm_abi::rmi::{RecExit, RecExitReason};
use tests_fvp::protocol::{Op, SysReg};

pub const TESTS: &[Test] = &[
    ("timer.virtual", virtual_timer),
    ("timer.physical", physical_timer),
    ("timer.virtual_again", virtual_again),
    ("timer.physical_again", physical_again),
    ("timer.masked", masked_timer),
    ("timer.host_timers", host_timers),
];

/// Control and compare value of a timer at an exit, by its control register.
pub fn told(exit: &RecExit, control: SysReg) -> (u64, u64) {
    match control {
        SysReg::CntvCtl => (exit.cntv_ctl, exit.cntv_cval),
        _ => (exit.cntp_ctl, exit.cntp_cval),
    }
}

/// A timer of the Realm: its output's edges are exits, its state is in the exit record.
fn realm_timer(control: SysReg, compare: SysReg) -> Check {
    let mut realm = running()?;
    let page = SharedPage::new(&mut realm)?;
    let rec = &realm.recs[0];
    let write =
        |register: SysReg, value| rec.value_of(Op::Msr, &[register as u64, value]).map(drop);
    let deadline = crate::arch::now() + ticks(30);
    write(compare, deadline)?;
    // On a slow machine the timer fires before the Realm can spin.
    let exit = match rec.step(&command(Op::Msr, &[control as u64, 1]))? {
        Step::Exit(exit) => exit,
        Step::Done(_) => until_irq(rec, &page.spin())?,
    };
    check_irq(&exit)?;
    ensure!(crate::arch::now() >= deadline, "exit before the time");
    // ENABLE and ISTATUS.
    ensure_eq!(told(&exit, control).0, 5, "control register at the exit");
    ensure_eq!(
        told(&exit, control).1,
        deadline,
        "compare value at the exit"
    );
    ensure_eq!(gic::taken().unwrap_or(0), 0, "interrupt taken by the Host");
    // The Realm runs on, although the timer still asserts: the Host knows.
    page.release();
    let mut entry = enter();
    entry.gicv3_lrs[0] = pending(27, 0x80);
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
    ensure_eq!(
        told(&exit, control).0,
        7,
        "control register at the exit, masked"
    );
    write(control, 0)?;
    page.finish()?;
    realm.finish()
}

// Conformance: REC exits timer
fn virtual_timer() -> Check {
    realm_timer(SysReg::CntvCtl, SysReg::CntvCval)
}

// Conformance: REC exits timer
fn physical_timer() -> Check {
    realm_timer(SysReg::CntpCtl, SysReg::CntpCval)
}

/// A timer that the Realm sets anew while it is asserted: the Host sees each time that it fires.
fn fires_again(control: SysReg, compare: SysReg) -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let args = [control as u64, compare as u64, ticks(10), limit()];
    let mut entry = command(Op::FireTwice, &args);
    let mut fired = [0; 2];
    let mut times = 0;
    let reply = loop {
        match rec.step(&entry)? {
            Step::Done(reply) => break reply,
            Step::Exit(exit) => {
                check_irq(&exit)?;
                // ENABLE and ISTATUS. Exits when the timer is quiet again are in between.
                let (ctl, cval) = told(&exit, control);
                if ctl == 5 && !fired.contains(&cval) {
                    ensure!(times < 2, "the timer fires a third time");
                    fired[times] = cval;
                    times += 1;
                }
            }
        }
        entry = enter();
    };
    ensure_eq!(fired[0], reply.values[0], "first compare value at an exit");
    ensure_eq!(fired[1], reply.values[1], "second compare value at an exit");
    realm.finish()
}

// Conformance: REC exits timer
fn virtual_again() -> Check {
    fires_again(SysReg::CntvCtl, SysReg::CntvCval)
}

// Conformance: REC exits timer
fn physical_again() -> Check {
    fires_again(SysReg::CntpCtl, SysReg::CntpCval)
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

/// The Realm neither sees nor changes the Host's EL1 timers.
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
