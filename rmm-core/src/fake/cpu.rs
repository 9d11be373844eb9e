// SPDX-License-Identifier: BSD-3-Clause
//! One CPU of the fake machine.

use super::board::Board;
use super::registers::{Registers, poison};
use super::running::{FaultAddress, HCR_VSE, Lent, RunningRec};
use super::script::{RecName, Script};
use crate::machine::{
    CallEl3, CpuFeatures, Delegations, EntryControls, Exception, GicState, Machine, OnCpu,
    RecContext, SimdState, SveState, Timer, TimerLines, TimerRegister, ZRegisters,
};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;
use rmm_abi::smccc;
use rmm_attest::Hash;
use rmm_granule::fake::{FakeCpuMemory, Stage2Regs};
use rmm_granule::{GRANULE_SIZE, Ipa, Memory, NsFault, Pa};
use rmm_rtt::Stage2;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use zerocopy::FromZeros;

/// A CPU, used by one thread.
///
/// It asserts that the monitor keeps to the contract of [`Machine`]: a REC is entered, run and left
/// in this order; timers are masked before each run; EL1 registers are saved before they are
/// loaded; what is lent is reclaimed before the REC leaves.
pub(super) struct FakeCpu {
    index: usize,
    board: Arc<Board>,
    memory: FakeCpuMemory,
    registers: RefCell<Registers>,
    /// What they are while the Host runs.
    registers_of_host: Registers,
    entered: RefCell<Option<Entered>>,
}

/// A REC between `enter_realm` and `leave_realm`.
struct Entered {
    name: RecName,
    script: Script,
    stage2: Stage2Regs,
    controls: EntryControls,
    /// Registers of the Host.
    host: Registers,
    lent: Lent,
    /// Result of `mask_timers` since the last run.
    masked: Option<TimerLines>,
    /// Whether `RecContext::el1` is up to date.
    el1_saved: bool,
    /// The stage 2 fault that ended the last run.
    fault: Option<FaultAddress>,
}

impl FakeCpu {
    pub(super) fn new(board: &Arc<Board>, index: usize) -> Self {
        let lines = board.lines.get(index).expect("a CPU of the board");
        let was_in_use = lines.in_use.swap(true, Ordering::SeqCst);
        assert!(!was_in_use, "two threads use one CPU");
        Self {
            index,
            board: board.clone(),
            memory: board.memory.cpu(),
            registers: RefCell::new(Registers::of_host(index)),
            registers_of_host: Registers::of_host(index),
            entered: RefCell::default(),
        }
    }

    /// Asserts that no RMI call left anything behind on this CPU: no window is open, no REC is
    /// entered, and the registers are those of the Host, but for SVE state after a call with the SVE hint.
    pub(super) fn assert_quiet(&self, function: u64) {
        self.memory.assert_quiet();
        assert!(self.entered.borrow().is_none(), "a REC is still entered");
        let mut registers = self.registers.borrow_mut();
        if smccc::has_sve_hint(function) {
            registers.renew_sve(&self.registers_of_host);
        }
        registers.assert_host(&self.registers_of_host);
    }

    /// Calls `work` with the virtual GIC interface, while no REC is entered.
    pub(super) fn with_gic<R>(&self, work: impl FnOnce(&mut GicState) -> R) -> R {
        work(&mut self.registers.borrow_mut().gic)
    }

    fn with_entered<R>(&self, work: impl FnOnce(&mut Registers, &mut Entered) -> R) -> R {
        let mut entered = self.entered.borrow_mut();
        let entered = entered.as_mut().expect("no REC is entered");
        work(&mut self.registers.borrow_mut(), entered)
    }
}

impl Drop for FakeCpu {
    fn drop(&mut self) {
        let lines = &self.board.lines[self.index];
        lines.in_use.store(false, Ordering::SeqCst);
    }
}

// SAFETY: each method calls the same method of `FakeCpuMemory`, which keeps the contract.
unsafe impl Memory for FakeCpu {
    fn map(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        self.memory.map(pa)
    }

    fn map_part(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        self.memory.map_part(pa)
    }

    unsafe fn unmap(&self, window: NonNull<[u8; GRANULE_SIZE]>) {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { self.memory.unmap(window) }
    }

    fn read_ns<const N: usize>(
        &self,
        granule: Pa,
        parts: [(usize, &mut [MaybeUninit<u8>]); N],
    ) -> Result<(), NsFault> {
        self.memory.read_ns(granule, parts)
    }

    fn write_ns<const N: usize>(
        &self,
        granule: Pa,
        zero: Range<usize>,
        parts: [(usize, &[u8]); N],
    ) -> Result<(), NsFault> {
        self.memory.write_ns(granule, zero, parts)
    }

    fn zero(&self, granule: &mut [u8; GRANULE_SIZE]) {
        self.memory.zero(granule);
    }

    fn publish_tables(&self) {
        self.memory.publish_tables();
    }

    fn invalidate_stage2(&self, vmid: u16, base: Ipa, size: u64, level: i8) {
        self.memory.invalidate_stage2(vmid, base, size, level);
    }
}

impl Hash for FakeCpu {}

impl CallEl3 for FakeCpu {
    fn call_el3(&self, fid: u64, args: [u64; 4]) -> [u64; 4] {
        self.board.el3.call(&self.board.memory, fid, args)
    }
}

impl Machine for FakeCpu {
    fn cpu(&self) -> usize {
        self.index
    }

    fn features(&self) -> &CpuFeatures {
        &self.board.config.features
    }

    fn delegations(&self) -> &Delegations {
        &self.board.lines[self.index].delegations
    }

    fn for_each_cpu(&self, look: &mut dyn FnMut(&Delegations)) {
        for lines in &self.board.lines {
            look(&lines.delegations);
        }
    }

    fn begin_independent_timing(&self) {
        let lines = &self.board.lines[self.index];
        lines.dit.store(true, Ordering::SeqCst);
    }

    fn random(&self) -> Option<[u8; 32]> {
        self.board.random()
    }

    fn list_registers(&self) -> u64 {
        let registers = self.registers.borrow();
        registers.gic.lrs.iter().fold(0, |all, lr| all | lr)
    }

    fn is_stuck_in_streaming(&self) -> bool {
        self.board.sme_closed.load(Ordering::SeqCst)
            && self.board.is_streaming.load(Ordering::SeqCst)
    }

    fn close_host_gic(&self) {
        self.registers.borrow_mut().close_gic();
    }

    fn interrupt_pending(&self) -> bool {
        self.board.look(self.index);
        let lines = &self.board.lines[self.index];
        lines.irq.load(Ordering::SeqCst) || lines.fiq.load(Ordering::SeqCst)
    }

    unsafe fn enter_realm(&self, rec: &mut RecContext, stage2: &Stage2, controls: EntryControls) {
        let mut entered = self.entered.borrow_mut();
        assert!(entered.is_none(), "two RECs are entered on one CPU");
        let mut registers = self.registers.borrow_mut();
        let name = (stage2.vmid, rec.vmpidr);
        *entered = Some(Entered {
            name,
            script: self.board.scripts.enter(name),
            stage2: Stage2Regs {
                vmid: stage2.vmid,
                base: stage2.base,
                start_level: stage2.start_level,
                ipa_width: stage2.ipa_width,
                lpa2: stage2.lpa2 != 0,
            },
            controls,
            host: registers.clone(),
            lent: Lent::default(),
            masked: None,
            el1_saved: false,
            fault: None,
        });
        registers.load(rec, controls.host_gic);
        let is_open = controls.host_gic || registers.gic.hcr & 0x8101 == 0x8101;
        assert!(is_open, "En, vSGIEOICount, DVIM");
    }

    fn resolve_ipa(&self, _: &OnCpu<'_>, va: u64) -> Option<Ipa> {
        // A scripted Realm has no tables of stage 1: the script says what its VA translates to.
        self.with_entered(|_, entered| {
            let fault = entered
                .fault
                .expect("only the VA of a stage 2 fault is resolved");
            assert_eq!(va, fault.va, "the VA of the last stage 2 fault");
            fault.resolves.then_some(Ipa(fault.ipa))
        })
    }

    fn is_streaming(&self, _: &OnCpu<'_>) -> bool {
        assert!(
            !self.is_stuck_in_streaming(),
            "a REC in the streaming mode of the Host"
        );
        self.with_entered(|_, _| self.board.is_streaming.load(Ordering::SeqCst))
    }

    fn publish_instructions(&self, granule: &[u8; GRANULE_SIZE]) {
        self.board.publish(granule);
    }

    fn run_realm(&self, rec: &mut OnCpu<'_>) -> Exception {
        let lines = &self.board.lines[self.index];
        lines.dit.store(false, Ordering::SeqCst);
        self.with_entered(|registers, entered| {
            let masked = entered.masked.take();
            let masked = masked.expect("timers are masked before each run");
            entered.el1_saved = false;
            poison(rec);
            if lines.irq.load(Ordering::SeqCst) {
                return Exception::Irq;
            }
            if lines.fiq.load(Ordering::SeqCst) {
                return Exception::Fiq;
            }
            let running = RunningRec {
                context: rec.clone(),
                registers: registers.clone(),
                lent: entered.lent,
                controls: entered.controls,
                stage2: entered.stage2,
                masked,
                cpu: self.index,
                fault: None,
                exception: None,
            };
            let (running, exception) = entered.script.resume(running);
            **rec = running.context;
            *registers = running.registers;
            entered.fault = running.fault;
            poison(rec);
            exception
        })
    }

    unsafe fn leave_realm(&self, rec: &mut OnCpu<'_>) {
        let entered = self.entered.borrow_mut().take();
        let entered = entered.expect("no REC is entered");
        assert_eq!(entered.lent, Lent::default(), "still lent");
        let mut registers = self.registers.borrow_mut();
        registers.save(rec, self.board.now(), entered.controls.host_gic);
        let gic = registers.gic.clone();
        *registers = entered.host;
        registers.gic = gic;
        registers.close_gic();
        self.board.scripts.leave(entered.name, entered.script);
    }

    fn save_el1(&self, rec: &mut OnCpu<'_>) {
        self.with_entered(|registers, entered| {
            rec.el1 = registers.el1.clone();
            entered.el1_saved = true;
        });
    }

    fn load_el1(&self, rec: &OnCpu<'_>) {
        self.with_entered(|registers, entered| {
            assert!(entered.el1_saved, "EL1 registers loaded but not saved");
            registers.el1 = rec.el1.clone();
        });
    }

    fn pend_serror(&self, rec: &mut OnCpu<'_>, syndrome: u64) {
        self.with_entered(|registers, _| {
            registers.vsesr = syndrome;
            rec.vsesr = syndrome;
            rec.hcr_extra |= HCR_VSE;
        });
    }

    fn mask_timers(&self, _: &OnCpu<'_>) -> TimerLines {
        self.with_entered(|registers, entered| {
            let lines = registers.timer_lines(self.board.now());
            entered.masked = Some(lines);
            lines
        })
    }

    fn lists_pending_interrupt(&self, _: &OnCpu<'_>) -> bool {
        self.with_entered(|registers, _| registers.gic.lrs.iter().any(|lr| lr >> 62 & 1 != 0))
    }

    fn timer_register(&self, _: &OnCpu<'_>, timer: Timer, register: TimerRegister) -> u64 {
        let now = self.board.now();
        self.with_entered(|registers, _| registers.read_timer(timer, register, now))
    }

    fn set_timer_register(
        &self,
        _: &mut OnCpu<'_>,
        timer: Timer,
        register: TimerRegister,
        value: u64,
    ) {
        let now = self.board.now();
        self.with_entered(|registers, _| registers.write_timer(timer, register, value, now));
    }

    fn lend_simd(&self, _: &OnCpu<'_>, simd: &SimdState) {
        self.with_entered(|registers, entered| {
            entered.lent.lend_simd(None);
            registers.simd = simd.clone();
        });
    }

    fn reclaim_simd(&self, _: &OnCpu<'_>, simd: &mut SimdState) {
        self.with_entered(|registers, entered| {
            entered.lent.reclaim_simd(None);
            *simd = registers.simd.clone();
            registers.simd = entered.host.simd.clone();
            if entered.controls.no_sve_state {
                registers.clear_sve();
                self.board.sve_cleared.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    fn lend_sve(&self, _: &OnCpu<'_>, vl: u8, [low, high]: [&ZRegisters; 2], rest: &SveState) {
        self.with_entered(|registers, entered| {
            entered.lent.lend_simd(Some(vl));
            *registers.z = [low.clone(), high.clone()];
            registers.sve = rest.clone();
            registers.simd = SimdState::new_zeroed();
        });
    }

    fn reclaim_sve(
        &self,
        _: &OnCpu<'_>,
        vl: u8,
        [low, high]: [&mut ZRegisters; 2],
        rest: &mut SveState,
    ) {
        self.with_entered(|registers, entered| {
            entered.lent.reclaim_simd(Some(vl));
            [*low, *high] = *registers.z.clone();
            *rest = registers.sve.clone();
            registers.z = entered.host.z.clone();
            registers.sve = entered.host.sve.clone();
            registers.simd = entered.host.simd.clone();
            if entered.controls.no_sve_state {
                registers.clear_sve();
                self.board.sve_cleared.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    fn lend_debug(&self, rec: &OnCpu<'_>) {
        self.with_entered(|registers, entered| {
            entered.lent.lend_debug();
            registers.debug = rec.debug.clone();
        });
    }

    fn reclaim_debug(&self, rec: &mut OnCpu<'_>) {
        self.with_entered(|registers, entered| {
            entered.lent.reclaim_debug();
            rec.debug = registers.debug.clone();
            registers.debug = entered.host.debug.clone();
        });
    }

    fn lend_pmu(&self, rec: &OnCpu<'_>, counters: u8) {
        self.with_entered(|registers, entered| {
            entered.lent.lend_pmu(counters);
            registers.pmu = rec.pmu.clone();
        });
    }

    fn reclaim_pmu(&self, rec: &mut OnCpu<'_>, counters: u8) {
        self.with_entered(|registers, entered| {
            entered.lent.reclaim_pmu(counters);
            rec.pmu = registers.pmu.clone();
            registers.pmu = entered.host.pmu.clone();
        });
    }
}
