// SPDX-License-Identifier: BSD-3-Clause
//! The CPU as a Realm sees it: instructions and registers, for scripts.

use super::Host;
use super::registers::Registers;
use super::script::{Core, Given, HCR_VSE, Seat};
use crate::machine::{
    DebugState, El1State, Exception, GicState, PmuState, RecContext, SimdState, SveState,
    ZRegisters,
};
use rmm_granule::fake::{Fault, FaultKind};
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

/// A load or store of one register.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    ipa: u64,
    va: u64,
    sas: u32,
    sign: bool,
    sixty_four: bool,
    register: usize,
    syndrome: bool,
    write: bool,
}

/// Bits from which a Realm's kernel addresses begin: what stage 1 adds to an IPA here.
pub(super) const VA: u64 = 0xFFFF_0000_0000_0000;

impl Access {
    /// LDR X3, at the IPA's address in the linear map.
    #[must_use]
    pub fn load(ipa: u64) -> Self {
        Self {
            ipa,
            va: VA | ipa,
            sas: 3,
            sign: false,
            sixty_four: true,
            register: 3,
            syndrome: true,
            write: false,
        }
    }

    /// STR X3, likewise.
    #[must_use]
    pub fn store(ipa: u64) -> Self {
        Self {
            write: true,
            ..Self::load(ipa)
        }
    }

    /// Of 1, 2, 4 or 8 bytes.
    #[must_use]
    pub fn bytes(self, bytes: u32) -> Self {
        assert!(bytes.is_power_of_two() && bytes <= 8);
        let sas = bytes.trailing_zeros();
        Self { sas, ..self }
    }

    /// Sign-extending (LDRSB and friends).
    #[must_use]
    pub fn signed(self) -> Self {
        Self { sign: true, ..self }
    }

    /// Of a W register.
    #[must_use]
    pub fn w(self) -> Self {
        Self {
            sixty_four: false,
            ..self
        }
    }

    /// Of register `register`; 31 is XZR.
    #[must_use]
    pub fn register(self, register: usize) -> Self {
        Self { register, ..self }
    }

    /// By an instruction that the CPU gives no syndrome for, such as a pair or an exclusive.
    #[must_use]
    pub fn without_syndrome(self) -> Self {
        Self {
            syndrome: false,
            ..self
        }
    }

    /// At another virtual address.
    #[must_use]
    pub fn at(self, va: u64) -> Self {
        Self { va, ..self }
    }

    /// ISS of a Data Abort, but for the fault status.
    #[must_use]
    pub fn iss(&self) -> u64 {
        let flag = |set: bool, bit: u32| u64::from(set) << bit;
        let syndrome = 1 << 24
            | u64::from(self.sas) << 22
            | flag(self.sign, 21)
            | (self.register as u64) << 16
            | flag(self.sixty_four, 15);
        flag(self.write, 6) | if self.syndrome { syndrome } else { 0 }
    }
}

/// IL: the instruction has 32 bits.
const IL: u64 = 1 << 25;
/// Exception classes as EL2 sees them.
mod ec {
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

/// Fault status of a stage 2 fault, as the CPU reports it.
fn status(fault: Fault) -> u64 {
    let base = match fault.kind {
        // Beyond the input size is a translation fault too.
        FaultKind::Translation | FaultKind::AddressSize => 0x04,
        FaultKind::Permission => 0x0C,
        FaultKind::GranuleProtection => return 0x28,
    };
    match u64::try_from(fault.level) {
        Ok(level) => base | level,
        Err(_) => 0x2B,
    }
}

/// `HPFAR_EL2` of a fault at an IPA.
fn hpfar(ipa: u64) -> u64 {
    ipa >> 12 << 4
}

impl RealmCpu {
    pub(super) fn new(seat: Seat) -> Self {
        Self { seat }
    }

    fn core<R>(&self, f: impl FnOnce(&mut Core) -> R) -> R {
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
    async fn trap(&self, exception: Exception) {
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
    async fn begin(&self) -> u64 {
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

    fn done(&self) {
        self.context(|context| context.pc += 4);
    }

    /// Where the Realm is after an exception in the instruction at `start`; has its handler return.
    fn after(&self, start: u64) -> After {
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

    /// LDR X3 from an IPA.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn read(&self, ipa: u64) -> Result<u64, Taken> {
        self.access(Access::load(ipa)).await?;
        Ok(self.gprs()[3])
    }

    /// STR X3 to an IPA.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn write(&self, ipa: u64, value: u64) -> Result<(), Taken> {
        self.set(3, value);
        self.access(Access::store(ipa)).await
    }

    /// Copies a structure's bytes to Realm memory, 8 at a time.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn write_bytes(&self, ipa: u64, bytes: &[u8]) -> Result<(), Taken> {
        for (n, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write(ipa + 8 * n as u64, u64::from_le_bytes(word))
                .await?;
        }
        Ok(())
    }

    /// Copies Realm memory, 8 bytes at a time.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn read_bytes(&self, ipa: u64, length: usize) -> Result<Vec<u8>, Taken> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let word = self.read(ipa + bytes.len() as u64).await?;
            bytes.extend(word.to_le_bytes());
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// A load or store, tried until it is done.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn access(&self, access: Access) -> Result<(), Taken> {
        loop {
            let start = self.begin().await;
            let Err(fault) = self.core(|core| try_access(core, access)) else {
                self.done();
                return Ok(());
            };
            let esr = ec::DATA_ABORT | IL | access.iss() | status(fault);
            match self
                .abort(start, fault, esr, access.va, hpfar(access.ipa))
                .await
            {
                After::Done => return Ok(()),
                After::Again => {}
                After::Taken(taken) => return Err(taken),
            }
        }
    }

    /// Executes a NOP at an IPA.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn fetch(&self, ipa: u64) -> Result<(), Taken> {
        let home = self.begin().await;
        let va = VA | ipa;
        self.context(|context| context.pc = va);
        let result = loop {
            let start = self.begin().await;
            let fetched = self.core(|core| core.board.memory.realm_fetch(&core.stage2, ipa));
            let Err(fault) = fetched else {
                break Ok(());
            };
            let esr = ec::INSTRUCTION_ABORT | IL | status(fault);
            match self.abort(start, fault, esr, va, hpfar(ipa)).await {
                After::Again => {}
                After::Done => panic!("a fetch cannot be emulated"),
                After::Taken(taken) => break Err(taken),
            }
        };
        self.context(|context| context.pc = home + 4);
        result
    }

    /// An abort of stage 2, taken to the monitor; a granule protection fault is the Realm's own.
    async fn abort(&self, start: u64, fault: Fault, esr: u64, far: u64, hpfar: u64) -> After {
        if fault.kind == FaultKind::GranuleProtection {
            self.core(|core| {
                let (el1, context) = (&mut core.registers.el1, &mut core.context);
                // No syndrome at EL1.
                el1.esr = (esr | ec::SAME_EL) & !(0x7FF << 14);
                (el1.far, el1.elr, el1.spsr) = (far, context.pc, context.pstate);
                context.pc = el1.vbar + 0x200;
                context.pstate = 0x3C5;
            });
        } else {
            let hpfar = self.core(|core| {
                let lines = &core.board.lines[core.cpu];
                lines.fault_ipa.store(hpfar << 8, Ordering::SeqCst);
                // The register is not valid for a permission fault.
                match fault.kind {
                    FaultKind::Permission => 0x5A5A_5A50,
                    _ => hpfar,
                }
            });
            self.trap(Exception::Sync { esr, far, hpfar }).await;
        }
        self.after(start)
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

fn try_access(core: &mut Core, access: Access) -> Result<(), Fault> {
    let length = 1_usize << access.sas;
    let memory = &core.board.memory;
    let register = core.context.gprs.get_mut(access.register);
    if access.write {
        let value = register.map_or(0, |register| *register).to_le_bytes();
        return memory.realm_write(&core.stage2, access.ipa, &value[..length]);
    }
    let mut bytes = [0; 8];
    memory.realm_read(&core.stage2, access.ipa, &mut bytes[..length])?;
    let unused = 64 - 8 * (1_u32 << access.sas);
    let mut value = u64::from_le_bytes(bytes);
    if access.sign {
        value = ((value << unused).cast_signed() >> unused).cast_unsigned();
    }
    if !access.sixty_four {
        value &= 0xFFFF_FFFF;
    }
    if let Some(register) = register {
        *register = value;
    }
    Ok(())
}

/// Scripts move from thread to thread with their REC.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<RealmCpu>();
};
