// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_ENTER (B4.3.14): entry, run loop, exit.

mod abort;
mod entry;
mod exception;
pub mod gic;
mod idreg;
mod inject;
mod lazy;
mod mmio;
mod rsi;
mod stage1;
mod sysreg;

use crate::machine::{EntryControls, Exception, Machine, TimerLines, TimerState};
use crate::monitor::Cx;
use crate::realm::{Realm, RealmState};
use crate::rec::{LastExit, Rec, RecHead};
use crate::rmi::{Error, Result};
use core::mem::offset_of;
use entry::Entry;
use lazy::Live;
use rmm_abi::rmi::{RecExit, RecExitReason, RecRun};
use rmm_granule::{Auxiliary, Locked, Rd, Rec as RecState};
use zerocopy::{FromZeros, IntoBytes};

/// RMI_REC_ENTER.
// The exit record is half a page, which no other command shall find on its stack.
#[inline(never)]
pub fn enter<M: Machine>(cx: &Cx<'_, M>, rec: u64, run_ptr: u64) -> Result {
    let run = cx.granules().ns_granule(run_ptr)?;
    let mut entry = Entry::new_zeroed();
    entry.read(&run, cx.machine)?;
    let rec = check(cx, rec, &entry)?;
    let mut rec = rec.pin().map_err(|_running| Error::Rec)?;
    let (mut rec, aux) = rec.map_with_aux::<_, RecHead, Rec>(cx.machine);
    let (head, rec) = rec.split();

    let mut exit = RecExit::new_zeroed();
    let mut running = Running {
        cx,
        head,
        rec,
        aux,
        exit: &mut exit,
        live: Live::default(),
    };
    if let Some(controls) = running.resume(&entry) {
        running.run(controls);
    }
    running.report();
    run.write(cx.machine, offset_of!(RecRun, exit), exit.as_bytes())?;
    Ok(())
}

/// `rec_*`, `realm_new`, `system_off`, and what the entry asks for. The REC comes back locked: it is
/// RUNNING only once nothing can fail.
fn check<'a, M: Machine>(
    cx: &'a Cx<'_, M>,
    rec: u64,
    entry: &Entry,
) -> core::result::Result<Locked<'a, RecState>, Error> {
    let rd = {
        let rec = cx.granules().lock::<RecState>(rec)?;
        rec.head::<_, RecHead>(cx.machine).rd()
    };
    // Locks are taken in the order of addresses. In between the Host may have destroyed the REC.
    let (mut rd, mut rec) = cx.granules().lock_pair::<Rd, RecState>(rd.as_u64(), rec)?;
    let rd_pa = rd.pa();
    let open = rec.map::<_, RecHead, Rec>(cx.machine).ok_or(Error::Rec)?;
    if open.head().rd() != rd_pa {
        return Err(Error::Input);
    }
    match rd.map::<_, Realm>(cx.machine).state() {
        RealmState::New => return Err(Error::Realm(0)),
        RealmState::Active => {}
        RealmState::SystemOff => return Err(Error::Realm(1)),
    }
    entry.check(&open, cx.features())?;
    drop(open);
    Ok(rec)
}

/// A REC being entered, running, or on its way out.
///
/// [`Running::run`] enters and leaves it on the CPU. Of the other methods, those that need it
/// entered are called by that one alone; their SAFETY comments say so.
struct Running<'a, M: Machine> {
    cx: &'a Cx<'a, M>,
    head: &'a RecHead,
    rec: &'a mut Rec,
    aux: Auxiliary<'a, M>,
    exit: &'a mut RecExit,
    live: Live,
}

/// M[4] of PSTATE: AArch32.
const PSTATE_AARCH32: u64 = 1 << 4;

/// Whether the Realm goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Run the Realm again.
    Resume,
    /// Leave to the Host; the exit record says why.
    Exit,
}

impl<M: Machine> Running<'_, M> {
    /// Runs the Realm until something is for the Host.
    fn run(&mut self, controls: EntryControls) {
        let machine = self.cx.machine;
        let reported = asserted(&self.rec.context.timers);
        // SAFETY: a CPU enters one REC at a time and leaves it below. The tables are those of the
        // REC's Realm, which lives as long as it has RECs.
        unsafe { machine.enter_realm(&mut self.rec.context, &self.head.stage2, controls) };
        self.give_what_acts();
        loop {
            // A timer output that the Host has not seen yet, rising or falling, is its to act on.
            let next = if machine.mask_timers(&self.rec.context) != reported {
                self.leave(RecExitReason::Irq)
            } else {
                // SAFETY: the REC is entered.
                match unsafe { machine.run_realm(&mut self.rec.context) } {
                    Exception::Irq => self.leave(RecExitReason::Irq),
                    Exception::Fiq => self.leave(RecExitReason::Fiq),
                    Exception::SError { esr } => self.serror(esr),
                    Exception::Sync { esr, far, hpfar } => self.synchronous(esr, far, hpfar),
                }
            };
            if next == Next::Exit {
                break;
            }
        }
        self.take_all();
        // SAFETY: the REC is entered, and nothing is given to it any more.
        unsafe { machine.leave_realm(&mut self.rec.context) };
    }

    /// Brings `rec.context.el1` up to date.
    fn save_el1(&mut self) {
        // SAFETY: the REC is entered.
        unsafe { self.cx.machine.save_el1(&mut self.rec.context) };
    }

    /// Loads `rec.context.el1` after a change to it.
    fn load_el1(&self) {
        // SAFETY: the REC is entered.
        unsafe { self.cx.machine.load_el1(&self.rec.context) };
    }

    /// Leaves for this reason; the fields of the exit record that go with it are set by the caller.
    fn leave(&mut self, reason: RecExitReason) -> Next {
        self.exit.exit_reason = reason as u8;
        Next::Exit
    }

    /// Leaves due to a synchronous exception, of which the Host may see this much of the syndrome.
    fn leave_sync(&mut self, esr: u64) -> Next {
        self.exit.esr = esr;
        self.leave(RecExitReason::Sync)
    }

    /// Fills the fields that are valid at every exit (A6.1, A6.2, A8.1).
    fn report(&mut self) {
        gic::report(&self.rec.context.gic, self.exit);
        let timers = &self.rec.context.timers;
        self.exit.cntp_ctl = timers.cntp_ctl;
        self.exit.cntp_cval = timers.cntp_cval;
        self.exit.cntv_ctl = timers.cntv_ctl;
        self.exit.cntv_cval = timers.cntv_cval;
        if self.head.resources.pmu_counters().is_some() {
            self.exit.pmu_ovf_status = u8::from(lazy::pmu_overflow(&self.rec.context.pmu));
        }
    }

    /// Remembers an exit that the next entry may answer.
    fn remember(&mut self, exit: LastExit, esr: u64, far: u64) {
        self.rec.set_last_exit(exit);
        self.rec.last_esr = esr;
        self.rec.last_far = far;
    }
}

/// Outputs of the timers with these registers.
fn asserted(timers: &TimerState) -> TimerLines {
    const ENABLE: u64 = 1 << 0;
    const IMASK: u64 = 1 << 1;
    const ISTATUS: u64 = 1 << 2;
    let asserted = |ctl: u64| ctl & (ENABLE | IMASK | ISTATUS) == ENABLE | ISTATUS;
    TimerLines {
        virt: asserted(timers.cntv_ctl),
        phys: asserted(timers.cntp_ctl),
    }
}
