// SPDX-License-Identifier: BSD-3-Clause
//! The CPU as a Realm sees it: instructions and registers, for scripts.

use super::board::Board;
use super::esr;
use super::registers::Registers;
use super::running::{FaultAddress, HCR_VSE, Lent, RecSlot, RunningRec};
use super::sync::lock;
use crate::machine::{
    DebugState, El1State, Exception, GicState, PmuState, RecContext, SimdState, SveState, Timer,
    TimerRegister, ZRegisters,
};
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Poll;

/// The CPU that runs this REC.
///
/// Each instruction begins at PC; when it is complete, PC is 4 more. After an instruction that
/// leaves the Realm, the PC says how the monitor lets the Realm continue: behind the instruction,
/// which was emulated; at the instruction, which is tried again; or at a vector of `VBAR_EL1`
/// ([`Taken`]).
pub struct RealmCpu {
    slot: RecSlot,
    board: Weak<Board>,
}

/// An exception that the Realm took at EL1. Its handler has returned to the next instruction.
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
    /// PSTATE in the exception handler.
    pub pstate: u64,
}

/// Where the Realm continues after an exception that was taken to the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// At the next instruction.
    Done,
    /// At the same instruction.
    Again,
    /// In its own exception handler, which has returned.
    Taken(Taken),
}

impl RealmCpu {
    pub(super) fn new(slot: RecSlot, board: &Arc<Board>) -> Self {
        Self {
            slot,
            board: Arc::downgrade(board),
        }
    }

    pub(super) fn running<R>(&self, work: impl FnOnce(&mut RunningRec) -> R) -> R {
        let mut slot = lock(&self.slot);
        work(
            slot.as_mut()
                .expect("a script uses its CPU while the REC runs"),
        )
    }

    pub(super) fn board(&self) -> Arc<Board> {
        self.board.upgrade().expect("a REC runs on a machine")
    }

    /// General registers, PC and PSTATE.
    pub fn context<R>(&self, work: impl FnOnce(&mut RecContext) -> R) -> R {
        self.running(|rec| work(&mut rec.context))
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

    /// Sets each register X`n` from X`first` to X30 to another value: 0x5EC_0000 | `n`.
    pub fn mark(&self, first: usize) {
        self.context(|context| {
            for (n, register) in context.gprs.iter_mut().enumerate().skip(first) {
                *register = 0x5EC_0000 | n as u64;
            }
        });
    }

    /// EL1 system registers that do not trap.
    pub fn el1<R>(&self, work: impl FnOnce(&mut El1State) -> R) -> R {
        self.running(|rec| work(&mut rec.registers.el1))
    }

    /// The virtual GIC interface. A Realm changes its list registers by taking interrupts.
    pub fn gic<R>(&self, work: impl FnOnce(&mut GicState) -> R) -> R {
        self.running(|rec| work(&mut rec.registers.gic))
    }

    /// `SP_EL0` and the pointer authentication keys.
    pub fn sp_el0_and_keys<R>(&self, work: impl FnOnce(&mut u64, &mut [u64; 10]) -> R) -> R {
        self.running(|rec| work(&mut rec.registers.sp_el0, &mut rec.registers.pauth))
    }

    /// Sets the compare value of a timer, and its control register: ENABLE (1) and IMASK (2).
    pub async fn set_timer(&self, timer: Timer, ctl: u64, cval: u64) {
        self.write_timer(timer, TimerRegister::Cval, cval).await;
        self.write_timer(timer, TimerRegister::Ctl, ctl).await;
    }

    /// Writes a register of a timer, which traps if the signal of the timer is masked.
    ///
    /// # Panics
    /// If the Realm takes an exception.
    pub async fn write_timer(&self, timer: Timer, register: TimerRegister, value: u64) {
        if self.is_masked(timer) {
            let encoding = encoding(timer, register);
            self.msr(encoding, value).await.expect("no exception");
        } else {
            let now = self.now();
            self.running(|rec| rec.registers.write_timer(timer, register, value, now));
        }
    }

    /// Reads a register of a timer, which traps if the signal of the timer is masked.
    ///
    /// # Panics
    /// If the Realm takes an exception.
    pub async fn read_timer(&self, timer: Timer, register: TimerRegister) -> u64 {
        if self.is_masked(timer) {
            self.mrs(encoding(timer, register))
                .await
                .expect("no exception")
        } else {
            let now = self.now();
            self.running(|rec| rec.registers.read_timer(timer, register, now))
        }
    }

    fn is_masked(&self, timer: Timer) -> bool {
        self.running(|rec| match timer {
            Timer::Virtual => rec.masked.virt,
            Timer::Physical => rec.masked.phys,
        })
    }

    /// The counter.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.board().now()
    }

    /// Takes the pending virtual SError: `VSESR_EL2`, or `None` if no SError is pending.
    #[must_use]
    pub fn take_serror(&self) -> Option<u64> {
        self.running(|rec| {
            let pending = rec.context.hcr_extra & HCR_VSE != 0;
            rec.context.hcr_extra &= !HCR_VSE;
            pending.then_some(rec.registers.vsesr)
        })
    }

    /// Leaves the Realm by this exception.
    pub(super) async fn trap(&self, exception: Exception) {
        self.running(|rec| rec.exception = Some(exception));
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

    /// Takes pending interrupts and begins the next instruction. Returns PC.
    pub(super) async fn begin(&self) -> u64 {
        loop {
            let board = self.board();
            let interrupt = self.running(|rec| {
                let lines = rec.registers.timer_lines(board.now());
                let timer = lines.virt && !rec.masked.virt || lines.phys && !rec.masked.phys;
                timer || board.lines[rec.cpu].irq.load(Ordering::SeqCst)
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

    /// Where the Realm continues after an exception in the instruction at `start`. If it is in its
    /// exception handler, the handler returns.
    pub(super) fn after(&self, start: u64) -> After {
        let pc = self.context(|context| context.pc);
        if pc == start {
            return After::Again;
        }
        if pc == start.wrapping_add(4) {
            return After::Done;
        }
        self.running(|rec| {
            let el1 = &rec.registers.el1;
            let vector = pc.wrapping_sub(el1.vbar);
            assert!(
                matches!(vector, 0 | 0x200 | 0x400 | 0x600),
                "the Realm continues at {pc:#x}, which is no vector"
            );
            let taken = Taken {
                vector,
                esr: el1.esr,
                far: el1.far,
                elr: el1.elr,
                spsr: el1.spsr,
                pstate: rec.context.pstate,
            };
            rec.context.pc = taken.elr.wrapping_add(4);
            rec.context.pstate = taken.spsr;
            After::Taken(taken)
        })
    }

    /// An instruction that causes this synchronous exception, which is taken to the monitor.
    pub async fn sync(&self, esr: u64, far: u64, hpfar: u64) -> After {
        let start = self.begin().await;
        self.trap(Exception::Sync { esr, far, hpfar }).await;
        self.after(start)
    }

    /// As [`RealmCpu::sync`], for any syndrome: the Realm continues wherever the monitor lets it, and
    /// the next instruction is there. Stage 1 translates `far` to the IPA in `hpfar`, unless it is odd.
    pub async fn raise(&self, esr: u64, far: u64, hpfar: u64) {
        let _start = self.begin().await;
        self.running(|rec| {
            rec.fault = Some(FaultAddress {
                va: far,
                ipa: hpfar >> 4 << 12,
                resolves: far & 1 == 0,
            });
        });
        self.trap(Exception::Sync { esr, far, hpfar }).await;
    }

    /// SMC with these arguments from X0 up; returns all registers.
    ///
    /// # Panics
    /// If the Realm takes an exception instead.
    pub async fn smc(&self, args: &[u64]) -> [u64; 31] {
        self.context(|context| context.gprs[..args.len()].copy_from_slice(args));
        loop {
            match self.sync(esr::SMC | esr::IL, 0, 0).await {
                After::Done => return self.gprs(),
                After::Again => {}
                After::Taken(taken) => panic!("SMC took an exception: {taken:x?}"),
            }
        }
    }

    /// SMC with these arguments, all other registers marked ([`RealmCpu::mark`]). Asserts that no
    /// register changes but the arguments and the results: X0 to X3, or as many as `results` says.
    /// Returns the results.
    ///
    /// # Panics
    /// If another register changes, or the Realm takes an exception instead.
    pub async fn call(&self, args: &[u64], results: usize) -> Vec<u64> {
        let results = results.max(4);
        self.mark(0);
        let before = self.gprs();
        let after = self.smc(args).await;
        let kept = args.len().max(results);
        assert_eq!(after[kept..], before[kept..], "X{kept} up after {args:x?}");
        after[..results].to_vec()
    }

    /// As [`RealmCpu::call`], and asserts that X0 is `result` and X1 to X3 are zero.
    ///
    /// # Panics
    /// If a register is different.
    pub async fn call_returns(&self, args: &[u64], result: u64) {
        assert_eq!(self.call(args, 1).await, [result, 0, 0, 0], "{args:x?}");
    }

    /// SMC that does not return. Whoever makes the REC runnable again sets the PC.
    pub async fn smc_without_return(&self, args: &[u64]) {
        self.context(|context| context.gprs[..args.len()].copy_from_slice(args));
        let _start = self.begin().await;
        let (far, hpfar) = (0, 0);
        let esr = esr::SMC | esr::IL;
        self.trap(Exception::Sync { esr, far, hpfar }).await;
    }

    /// HVC.
    pub async fn hvc(&self) -> After {
        let start = self.begin().await;
        self.done();
        let (far, hpfar) = (0, 0);
        let esr = esr::HVC | esr::IL;
        self.trap(Exception::Sync { esr, far, hpfar }).await;
        self.after(start)
    }

    /// WFI; WFIT if there is a register with a timeout.
    pub async fn wfi(&self, timeout: Option<usize>) {
        let trapped = self.running(|rec| rec.controls.trap_wfi);
        self.wait(trapped, 0, timeout).await;
    }

    /// WFE; WFET if there is a register with a timeout.
    pub async fn wfe(&self, timeout: Option<usize>) {
        let trapped = self.running(|rec| rec.controls.trap_wfe);
        self.wait(trapped, 1, timeout).await;
    }

    /// Waits. If the instruction is not trapped, an IRQ ends the wait.
    async fn wait(&self, trapped: bool, event: u64, timeout: Option<usize>) {
        let start = self.begin().await;
        if !trapped {
            self.done();
            return self.trap(Exception::Irq).await;
        }
        // TI[1], RV and RN; CV and COND are the same for all of them.
        let operand = timeout.map_or(0, |register| 2 | 1 << 2 | (register as u64) << 5);
        let esr = esr::WFX | esr::IL | 1 << 24 | 0xE << 20 | operand | event;
        let (far, hpfar) = (0, 0);
        self.trap(Exception::Sync { esr, far, hpfar }).await;
        assert_eq!(self.after(start), After::Done, "a trapped WFx is complete");
    }

    /// MRS to X2 from a register that traps (`op0, op1, CRn, CRm, op2`).
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn mrs(&self, register: [u64; 5]) -> Result<u64, Taken> {
        match self.sync(msr(register) | 1, 0, 0).await {
            After::Taken(taken) => Err(taken),
            after => {
                assert_eq!(after, After::Done);
                Ok(self.gprs()[2])
            }
        }
    }

    /// MSR from X2 to a register that traps (`op0, op1, CRn, CRm, op2`).
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn msr(&self, register: [u64; 5], value: u64) -> Result<(), Taken> {
        self.set(2, value);
        match self.sync(msr(register), 0, 0).await {
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
    pub async fn simd<R>(&self, work: impl FnOnce(&mut SimdState) -> R) -> Result<R, Taken> {
        let esr = esr::FP | esr::IL | 1 << 24 | 0xE << 20;
        let is_lent = |lent: &Lent| lent.simd == Some(None);
        self.use_lent(esr, is_lent, |r| work(&mut r.simd)).await
    }

    /// Uses SVE registers: Z0 to Z15, Z16 to Z31 and the rest.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn sve<R>(
        &self,
        work: impl FnOnce(&mut [ZRegisters; 2], &mut SveState) -> R,
    ) -> Result<R, Taken> {
        let esr = esr::SVE | esr::IL;
        let is_lent = |lent: &Lent| matches!(lent.simd, Some(Some(_)));
        self.use_lent(esr, is_lent, |r| work(&mut r.z, &mut r.sve))
            .await
    }

    /// Uses breakpoint and watchpoint registers.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn debug<R>(&self, work: impl FnOnce(&mut DebugState) -> R) -> Result<R, Taken> {
        let dbgbvr0 = msr([2, 0, 0, 0, 4]);
        self.use_lent(dbgbvr0, |lent| lent.debug, |r| work(&mut r.debug))
            .await
    }

    /// Uses PMU registers.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn pmu<R>(&self, work: impl FnOnce(&mut PmuState) -> R) -> Result<R, Taken> {
        let pmcr = msr([3, 3, 9, 12, 0]);
        self.use_lent(pmcr, |lent| lent.pmu.is_some(), |r| work(&mut r.pmu))
            .await
    }

    /// Whether FP/SIMD registers are lent to the Realm.
    #[must_use]
    pub fn has_simd(&self) -> bool {
        self.running(|rec| rec.lent.simd.is_some())
    }

    /// Whether breakpoints and watchpoints are lent to the Realm.
    #[must_use]
    pub fn has_debug(&self) -> bool {
        self.running(|rec| rec.lent.debug)
    }

    /// Whether the PMU is lent to the Realm.
    #[must_use]
    pub fn has_pmu(&self) -> bool {
        self.running(|rec| rec.lent.pmu.is_some())
    }

    /// Calls `work` with registers that trap with the syndrome `esr` until they are lent.
    async fn use_lent<R>(
        &self,
        esr: u64,
        is_lent: impl Fn(&Lent) -> bool,
        work: impl FnOnce(&mut Registers) -> R,
    ) -> Result<R, Taken> {
        loop {
            let start = self.begin().await;
            if self.running(|rec| is_lent(&rec.lent)) {
                self.done();
                return Ok(self.running(|rec| work(&mut rec.registers)));
            }
            let (far, hpfar) = (0, 0);
            self.trap(Exception::Sync { esr, far, hpfar }).await;
            match self.after(start) {
                After::Again => {
                    let is_lent = self.running(|rec| is_lent(&rec.lent));
                    assert!(is_lent, "tried again without being lent: {esr:#x}");
                }
                After::Taken(taken) => return Err(taken),
                After::Done => panic!("emulated instead of lent: {esr:#x}"),
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
fn msr([op0, op1, crn, crm, op2]: [u64; 5]) -> u64 {
    esr::SYSREG | esr::IL | op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | 2 << 5 | crm << 1
}

/// A script moves from thread to thread with its REC.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<RealmCpu>();
};

/// The encoding of a timer register: `op0, op1, CRn, CRm, op2`.
fn encoding(timer: Timer, register: TimerRegister) -> [u64; 5] {
    let crm = match timer {
        Timer::Physical => 2,
        Timer::Virtual => 3,
    };
    let op2 = match register {
        TimerRegister::Tval => 0,
        TimerRegister::Ctl => 1,
        TimerRegister::Cval => 2,
    };
    [3, 3, 14, crm, op2]
}
