// SPDX-License-Identifier: BSD-3-Clause
//! The CPU as a Realm sees it: instructions and registers, for scripts.

use super::Host;
use super::registers::Registers;
use super::script::{Core, Given, HCR_VSE, Seat};
use crate::machine::{
    DebugState, El1State, Exception, GicState, PmuState, RecContext, SimdState, SveState,
    ZRegisters,
};
use std::future::poll_fn;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::Poll;

/// The CPU that runs this REC.
///
/// Each instruction begins at PC and, when it is done, PC has moved on by 4. One that leaves the
/// Realm is judged by where the monitor lets the Realm continue: behind it (somebody did its work),
/// at it (it is tried again), or at a vector of `VBAR_EL1` ([`Taken`]).
pub struct RealmCpu {
    seat: Seat,
}

/// An exception that the Realm took at EL1. Its handler returns behind the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Offset of the vector from `VBAR_EL1`.
    pub vector: u64,
    /// `ESR_EL1`.
    pub esr: u64,
    /// `FAR_EL1`.
    pub far: u64,
    /// `ELR_EL1`.
    pub elr: u64,
    /// `SPSR_EL1`.
    pub spsr: u64,
    /// PSTATE in the handler.
    pub pstate: u64,
}

/// Where the Realm continues after an exception that was taken to the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Behind the instruction.
    Done,
    /// At the instruction.
    Again,
    /// In its own handler, from which it has returned.
    Taken(Taken),
}

/// One of the two EL1 timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The virtual timer.
    Virtual,
    /// The physical timer.
    Physical,
}

/// IL: the instruction has 32 bits.
pub(super) const IL: u64 = 1 << 25;
/// Exception classes as EL2 sees them.
pub(super) mod ec {
    pub const WFX: u64 = 0x01 << 26;
    pub const FP: u64 = 0x07 << 26;
    pub const HVC: u64 = 0x16 << 26;
    pub const SMC: u64 = 0x17 << 26;
    pub const SYSREG: u64 = 0x18 << 26;
    pub const SVE: u64 = 0x19 << 26;
    pub const INSTRUCTION_ABORT: u64 = 0x20 << 26;
    pub const DATA_ABORT: u64 = 0x24 << 26;
    /// Added to the class of an abort that EL1 itself causes.
    pub const SAME_EL: u64 = 1 << 26;
}

impl RealmCpu {
    pub(super) fn new(seat: Seat) -> Self {
        Self { seat }
    }

    pub(super) fn core<R>(&self, f: impl FnOnce(&mut Core) -> R) -> R {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        f(seat.as_mut().expect("a script runs in its REC alone"))
    }

    /// General registers, PC and PSTATE.
    pub fn context<R>(&self, f: impl FnOnce(&mut RecContext) -> R) -> R {
        self.core(|core| f(&mut core.context))
    }

    /// X0 to X30.
    #[must_use]
    pub fn gprs(&self) -> [u64; 31] {
        self.context(|context| context.gprs)
    }

    /// Writes X`n`.
    pub fn set(&self, n: usize, value: u64) {
        self.context(|context| context.gprs[n] = value);
    }

    /// Gives every register from X`first` to X30 a value of its own.
    pub fn mark(&self, first: usize) {
        self.context(|context| {
            for (n, register) in context.gprs.iter_mut().enumerate().skip(first) {
                *register = 0x5EC_0000 | n as u64;
            }
        });
    }

    /// EL1 system registers; MSR and MRS that do not trap.
    pub fn el1<R>(&self, f: impl FnOnce(&mut El1State) -> R) -> R {
        self.core(|core| f(&mut core.registers.el1))
    }

    /// The virtual GIC interface, whose list registers a Realm changes as it takes interrupts.
    pub fn gic<R>(&self, f: impl FnOnce(&mut GicState) -> R) -> R {
        self.core(|core| f(&mut core.registers.gic))
    }

    /// `SP_EL0` and the pointer authentication keys.
    pub fn own<R>(&self, f: impl FnOnce(&mut u64, &mut [u64; 10]) -> R) -> R {
        self.core(|core| f(&mut core.registers.sp_el0, &mut core.registers.pauth))
    }

    /// Sets a timer: ENABLE (1) and IMASK (2), and when it is due.
    pub fn set_timer(&self, timer: Timer, ctl: u64, cval: u64) {
        self.core(|core| {
            let timers = &mut core.registers.timers;
            match timer {
                Timer::Virtual => (timers.cntv_ctl, timers.cntv_cval) = (ctl, cval),
                Timer::Physical => (timers.cntp_ctl, timers.cntp_cval) = (ctl, cval),
            }
        });
    }

    /// The counter.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.core(|core| core.board.now())
    }

    /// Takes the virtual SError that is pending, if there is one: `VSESR_EL2`.
    #[must_use]
    pub fn take_serror(&self) -> Option<u64> {
        self.core(|core| {
            let pending = core.context.hcr_extra & HCR_VSE != 0;
            core.context.hcr_extra &= !HCR_VSE;
            pending.then_some(core.registers.vsesr)
        })
    }

    /// What a Host does on another CPU while this REC is RUNNING.
    pub fn meanwhile<R>(&self, f: impl FnOnce(&Host) -> R) -> R {
        let (board, cpu) = self.core(|core| (core.board.clone(), core.cpu));
        f(&Host::of_board(&board, cpu + 1))
    }

    /// Leaves the Realm by this exception.
    pub(super) async fn trap(&self, exception: Exception) {
        self.core(|core| core.exception = Some(exception));
        let mut was_away = false;
        poll_fn(|_| {
            if was_away {
                return Poll::Ready(());
            }
            was_away = true;
            Poll::Pending
        })
        .await;
    }

    /// Begins an instruction, after the interrupts that are pending. Returns PC.
    pub(super) async fn begin(&self) -> u64 {
        loop {
            let interrupt = self.core(|core| {
                let lines = core.registers.timer_lines(core.board.now());
                let timer = lines.virt && !core.masked.virt || lines.phys && !core.masked.phys;
                timer || core.board.lines[core.cpu].irq.load(Ordering::SeqCst)
            });
            if !interrupt {
                return self.context(|context| context.pc);
            }
            self.trap(Exception::Irq).await;
        }
    }

    pub(super) fn done(&self) {
        self.context(|context| context.pc += 4);
    }

    /// Where the Realm is after an exception in the instruction at `start`; has its handler return.
    pub(super) fn after(&self, start: u64) -> After {
        let pc = self.context(|context| context.pc);
        if pc == start {
            return After::Again;
        }
        if pc == start + 4 {
            return After::Done;
        }
        self.core(|core| {
            let el1 = &core.registers.el1;
            let vector = pc.wrapping_sub(el1.vbar);
            assert!(
                matches!(vector, 0 | 0x200 | 0x400 | 0x600),
                "the Realm continues at {pc:#x}"
            );
            let taken = Taken {
                vector,
                esr: el1.esr,
                far: el1.far,
                elr: el1.elr,
                spsr: el1.spsr,
                pstate: core.context.pstate,
            };
            core.context.pc = taken.elr + 4;
            core.context.pstate = taken.spsr;
            After::Taken(taken)
        })
    }

    /// A synchronous exception taken to the monitor, whatever its cause.
    pub async fn sync(&self, esr: u64, far: u64, hpfar: u64) -> After {
        let start = self.begin().await;
        self.trap(Exception::Sync { esr, far, hpfar }).await;
        self.after(start)
    }

    /// SMC with these arguments from X0 up; returns all registers.
    ///
    /// # Panics
    /// If the Realm takes an exception instead.
    pub async fn smc(&self, args: &[u64]) -> [u64; 31] {
        self.context(|context| context.gprs[..args.len()].copy_from_slice(args));
        loop {
            match self.sync(ec::SMC | IL, 0, 0).await {
                After::Done => return self.gprs(),
                After::Again => {}
                After::Taken(taken) => panic!("SMC is undefined: {taken:x?}"),
            }
        }
    }

    /// SMC that does not return: whoever lets the REC run again says where.
    pub async fn smc_without_return(&self, args: &[u64]) {
        self.context(|context| context.gprs[..args.len()].copy_from_slice(args));
        let _start = self.begin().await;
        let (far, hpfar) = (0, 0);
        let esr = ec::SMC | IL;
        self.trap(Exception::Sync { esr, far, hpfar }).await;
    }

    /// HVC.
    pub async fn hvc(&self) -> After {
        let start = self.begin().await;
        self.done();
        let (far, hpfar) = (0, 0);
        let esr = ec::HVC | IL;
        self.trap(Exception::Sync { esr, far, hpfar }).await;
        self.after(start)
    }

    /// WFI, and WFIT if a register holds a timeout.
    pub async fn wfi(&self, timeout: Option<usize>) {
        let trapped = self.core(|core| core.controls.trap_wfi);
        self.wait(trapped, 0, timeout).await;
    }

    /// WFE, and WFET if a register holds a timeout.
    pub async fn wfe(&self, timeout: Option<usize>) {
        let trapped = self.core(|core| core.controls.trap_wfe);
        self.wait(trapped, 1, timeout).await;
    }

    /// Not trapped, the wait ends at an interrupt for the Host.
    async fn wait(&self, trapped: bool, event: u64, timeout: Option<usize>) {
        let start = self.begin().await;
        if !trapped {
            self.done();
            return self.trap(Exception::Irq).await;
        }
        // TI[1], RV and RN; CV and COND are as always.
        let operand = timeout.map_or(0, |register| 2 | 1 << 2 | (register as u64) << 5);
        let esr = ec::WFX | IL | 1 << 24 | 0xE << 20 | operand | event;
        let (far, hpfar) = (0, 0);
        self.trap(Exception::Sync { esr, far, hpfar }).await;
        assert_eq!(self.after(start), After::Done, "WFx is done once trapped");
    }

    /// MRS to X2 of a register that traps (`op0, op1, CRn, CRm, op2`).
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn mrs(&self, register: [u64; 5]) -> Result<u64, Taken> {
        match self.sync(system(register) | 1, 0, 0).await {
            After::Taken(taken) => Err(taken),
            after => {
                assert_eq!(after, After::Done);
                Ok(self.gprs()[2])
            }
        }
    }

    /// MSR from X2 of a register that traps.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn msr(&self, register: [u64; 5], value: u64) -> Result<(), Taken> {
        self.set(2, value);
        match self.sync(system(register), 0, 0).await {
            After::Taken(taken) => Err(taken),
            after => {
                assert_eq!(after, After::Done);
                Ok(())
            }
        }
    }

    /// Uses FP/SIMD registers, in a Realm without SVE.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn simd<R>(&self, f: impl FnOnce(&mut SimdState) -> R) -> Result<R, Taken> {
        let esr = ec::FP | IL | 1 << 24 | 0xE << 20;
        self.lazily(esr, |given| given.simd == Some(None), |r| f(&mut r.simd))
            .await
    }

    /// Uses SVE registers: Z0 to Z15, Z16 to Z31 and the rest.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn sve<R>(
        &self,
        f: impl FnOnce(&mut [ZRegisters; 2], &mut SveState) -> R,
    ) -> Result<R, Taken> {
        self.lazily(
            ec::SVE | IL,
            |given| matches!(given.simd, Some(Some(_))),
            |r| f(&mut r.z, &mut r.sve),
        )
        .await
    }

    /// Uses breakpoint and watchpoint registers.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn debug<R>(&self, f: impl FnOnce(&mut DebugState) -> R) -> Result<R, Taken> {
        let dbgbvr0 = system([2, 0, 0, 0, 4]);
        self.lazily(dbgbvr0, |given| given.debug, |r| f(&mut r.debug))
            .await
    }

    /// Uses PMU registers.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn pmu<R>(&self, f: impl FnOnce(&mut PmuState) -> R) -> Result<R, Taken> {
        let pmcr = system([3, 3, 9, 12, 0]);
        self.lazily(pmcr, |given| given.pmu.is_some(), |r| f(&mut r.pmu))
            .await
    }

    /// Whether FP/SIMD registers are the Realm's now.
    #[must_use]
    pub fn has_simd(&self) -> bool {
        self.core(|core| core.given.simd.is_some())
    }

    /// Whether breakpoints and watchpoints are the Realm's now.
    #[must_use]
    pub fn has_debug(&self) -> bool {
        self.core(|core| core.given.debug)
    }

    /// Whether the PMU is the Realm's now.
    #[must_use]
    pub fn has_pmu(&self) -> bool {
        self.core(|core| core.given.pmu.is_some())
    }

    /// Uses registers that trap with this syndrome until the Realm has been given them.
    async fn lazily<R>(
        &self,
        esr: u64,
        is_given: impl Fn(&Given) -> bool,
        f: impl FnOnce(&mut Registers) -> R,
    ) -> Result<R, Taken> {
        loop {
            let start = self.begin().await;
            if self.core(|core| is_given(&core.given)) {
                self.done();
                return Ok(self.core(|core| f(&mut core.registers)));
            }
            let (far, hpfar) = (0, 0);
            self.trap(Exception::Sync { esr, far, hpfar }).await;
            match self.after(start) {
                After::Again => assert!(self.core(|core| is_given(&core.given)), "not given"),
                After::Taken(taken) => return Err(taken),
                After::Done => panic!("emulated: {esr:#x}"),
            }
        }
    }

    /// A physical IRQ arrives.
    pub async fn irq(&self) {
        self.trap(Exception::Irq).await;
    }

    /// A physical FIQ arrives.
    pub async fn fiq(&self) {
        self.trap(Exception::Fiq).await;
    }

    /// A physical SError arrives, with this `ESR_EL2`.
    pub async fn serror(&self, esr: u64) {
        self.trap(Exception::SError { esr }).await;
    }
}

/// `ESR_EL2` of a trapped MSR from X2.
fn system([op0, op1, crn, crm, op2]: [u64; 5]) -> u64 {
    ec::SYSREG | IL | op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | 2 << 5 | crm << 1
}

/// Scripts move from thread to thread with their REC.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<RealmCpu>();
};
