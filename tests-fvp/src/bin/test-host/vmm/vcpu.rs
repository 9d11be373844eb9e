// SPDX-License-Identifier: BSD-3-Clause
//! A vCPU: entered on the physical CPU of the same number, until the Realm is off.
//!
//! WFI is not trapped. A vCPU has its CPU to itself, so that an idle Realm may as well wait there:
//! its own timer, or the SGI by which the other CPU tells of a new interrupt, ends the wait, and
//! the REC exits only because of that.

use super::Vm;
use super::statistics::Exit;
use crate::check::{Check, ensure, fail};
use crate::console::line;
use crate::dialect;
use crate::pool;
use crate::rec::{Rec, describe, read_structure};
use crate::virtual_gic::VirtualGic;
use crate::{arch, board, gic, rmi};
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use rmm_abi::psci::{self, fid};
use rmm_abi::rmi::{
    MAX_GIC_LRS, RMI_ERROR_REALM, RecEnter, RecEnterFlags, RecExit, RecExitReason, RecRun,
    status_code,
};
use tests_fvp::guest::RAM;

/// INTIDs of the Realm's own interrupts.
const MAINTENANCE: u32 = 25;
const VIRTUAL_TIMER: u32 = 27;
const PHYSICAL_TIMER: u32 = 30;

/// ESR: exception class, and the fields of a data abort.
const EC_SHIFT: u32 = 26;
const EC_WFX: u64 = 0x01;
const EC_SYSTEM_REGISTER: u64 = 0x18;
const EC_INSTRUCTION_ABORT: u64 = 0x20;
const EC_DATA_ABORT: u64 = 0x24;
const ESR_ISV: u64 = 1 << 24;
const ESR_SAS_SHIFT: u32 = 22;
const ESR_WNR: u64 = 1 << 6;
/// Syndrome of an access to a system register: which one, and that it is written.
const ESR_REGISTER: u64 = 0x003F_FC1F;
/// ICC_SGI1R_EL1: op0 3, op1 0, CRn 12, CRm 11, op2 5; a write.
const ICC_SGI1R: u64 = 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;

/// MPIDRs of the physical CPUs.
const MPIDRS: [u64; 2] = [0, board::SECOND_CPU];

/// Makes the CPU of a vCPU look at its interrupts.
pub fn kick(cpu: usize) {
    gic::send_sgi(MPIDRS[cpu]);
}

/// A vCPU while it runs.
pub struct Vcpu<'a> {
    vm: &'a Vm,
    /// Its number.
    cpu: usize,
    rec: &'a Rec,
    /// What the next entry answers to the last exit.
    flags: RecEnterFlags,
    /// The value of an emulated read.
    value: u64,
}

impl<'a> Vcpu<'a> {
    /// A vCPU of a number.
    ///
    /// # Errors
    ///
    /// If there is none of that number.
    pub fn new(vm: &'a Vm, cpu: usize) -> Check<Self> {
        Ok(Self {
            vm,
            cpu,
            rec: vm.recs.get(cpu).ok_or("no such vCPU")?,
            flags: RecEnterFlags::empty(),
            value: 0,
        })
    }

    /// Runs until the Realm is off.
    ///
    /// # Errors
    ///
    /// If the Realm or the monitor does what the Host does not expect.
    pub fn run(&mut self) -> Check {
        gic::enable(1 << MAINTENANCE | 1 << VIRTUAL_TIMER | 1 << PHYSICAL_TIMER);
        loop {
            // First what has come, then the look at what it may mean. An SGI from here on makes
            // the entry exit at once.
            let _ = gic::taken();
            // The first CPU gets the interrupt of the UART.
            if self.cpu == 0 && self.vm.receive()? {
                self.kick_others(self.vm.wanting());
            }
            if self.vm.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            if !self.vm.on[self.cpu].load(Ordering::Acquire) {
                arch::wait_for_interrupt();
                continue;
            }
            let answer = self.enter();
            if status_code(answer.status) == RMI_ERROR_REALM {
                // The other vCPU has just switched the Realm off, and is about to say so.
                ensure!(
                    arch::wait_until(arch::PATIENCE, || self.vm.stop.load(Ordering::Acquire)),
                    "RMI_REC_ENTER: {:#x}, but the Realm is on",
                    answer.status
                );
                return Ok(());
            }
            answer.ok("RMI_REC_ENTER")?;
            self.exit()?;
        }
    }

    /// RMI_REC_ENTER.
    fn enter(&mut self) -> rmi::Answer {
        let (lrs, hcr) = self.vm.gic.lock().load(self.cpu);
        let enter = self.rec.run + offset_of!(RecRun, enter) as u64;
        pool::write(
            enter + offset_of!(RecEnter, flags) as u64,
            self.flags.bits(),
        );
        pool::write(enter + offset_of!(RecEnter, gprs) as u64, self.value);
        self.flags = RecEnterFlags::empty();
        if dialect::is_v2() {
            let mut gic = self.rec.gic.lock();
            gic.load(&lrs, hcr);
            let answer = rmi::rec_enter(self.rec.pa, self.rec.run);
            *gic = VirtualGic::save();
            return answer;
        }
        pool::write(enter + offset_of!(RecEnter, gicv3_hcr) as u64, hcr);
        let first = enter + offset_of!(RecEnter, gicv3_lrs) as u64;
        for (address, entry) in (first..).step_by(8).zip(lrs) {
            pool::write(address, entry);
        }
        rmi::rec_enter(self.rec.pa, self.rec.run)
    }

    /// A word of the exit record.
    fn word(&self, offset: usize) -> u64 {
        let exit = self.rec.run + offset_of!(RecRun, exit) as u64;
        pool::read(exit + offset as u64)
    }

    /// Deals with an exit.
    fn exit(&mut self) -> Check {
        self.interrupts();
        let reason = self.word(offset_of!(RecExit, exit_reason)) as u8;
        match RecExitReason::try_from(reason) {
            Ok(RecExitReason::Sync) => self.synchronous(),
            Ok(RecExitReason::Irq) => {
                self.vm.statistics.count(Exit::Irq);
                Ok(())
            }
            Ok(RecExitReason::Psci) => {
                self.vm.statistics.count(Exit::Psci);
                self.psci()
            }
            Ok(RecExitReason::RipasChange) => {
                self.vm.statistics.count(Exit::Ripas);
                let base = self.word(offset_of!(RecExit, ripas_base));
                let top = self.word(offset_of!(RecExit, ripas_top));
                let ripas = self.word(offset_of!(RecExit, ripas_value)) as u8;
                let mut memory = self.vm.memory.lock();
                memory.change_ripas(self.rec.pa, base..top, ripas)
            }
            _ => self.unexpected(),
        }
    }

    fn unexpected(&self) -> Check {
        let exit = self.rec.run + offset_of!(RecRun, exit) as u64;
        fail!(
            "vCPU {}: {}",
            self.cpu,
            describe(&read_structure::<RecExit>(exit))
        )
    }

    /// Takes back the list registers, and sets the lines of the timers.
    fn interrupts(&self) {
        let first = offset_of!(RecExit, gicv3_lrs);
        let lrs: [u64; MAX_GIC_LRS] = if dialect::is_v2() {
            self.rec.gic.lock().lrs
        } else {
            core::array::from_fn(|n| self.word(first + 8 * n))
        };
        let asserted = |control: u64| control & 0b111 == 0b101;
        let virt = asserted(self.word(offset_of!(RecExit, cntv_ctl)));
        let phys = asserted(self.word(offset_of!(RecExit, cntp_ctl)));
        let mut gic = self.vm.gic.lock();
        gic.unload(self.cpu, &lrs);
        gic.set_private(self.cpu, VIRTUAL_TIMER, virt);
        gic.set_private(self.cpu, PHYSICAL_TIMER, phys);
    }

    fn synchronous(&mut self) -> Check {
        let esr = self.word(offset_of!(RecExit, esr));
        let page = self.word(offset_of!(RecExit, hpfar)) >> 4 << 12;
        match esr >> EC_SHIFT {
            EC_INSTRUCTION_ABORT => self.fault(page),
            EC_DATA_ABORT => {
                let half = self.vm.unprotected;
                if page < half {
                    self.fault(page)
                } else if page - half >= RAM {
                    self.vm.statistics.count(Exit::Share);
                    self.vm.memory.lock().share(page - half)
                } else if esr & ESR_ISV != 0 {
                    self.vm.statistics.count(Exit::Mmio);
                    let offset = self.word(offset_of!(RecExit, far)) & 0xFFF;
                    self.device(page - half + offset, esr)
                } else {
                    self.unexpected()
                }
            }
            EC_SYSTEM_REGISTER if esr & ESR_REGISTER == ICC_SGI1R => {
                self.vm.statistics.count(Exit::Sgi);
                let value = self.word(offset_of!(RecExit, gprs));
                let targets = self.vm.gic.lock().send_sgi(self.cpu, value);
                self.kick_others(targets);
                Ok(())
            }
            EC_WFX => fail!("vCPU {}: WFI is not trapped, but exits", self.cpu),
            _ => self.unexpected(),
        }
    }

    /// A Protected IPA without memory.
    fn fault(&self, ipa: u64) -> Check {
        self.vm.statistics.count(Exit::Fault);
        let mut memory = self.vm.memory.lock();
        ensure!(
            memory.contains(ipa),
            "vCPU {}: fault at {ipa:#x}, which is not RAM",
            self.cpu
        );
        memory.fault(ipa)
    }

    /// An access to a device.
    fn device(&mut self, address: u64, esr: u64) -> Check {
        let bytes = 1 << (esr >> ESR_SAS_SHIFT & 3);
        self.flags = RecEnterFlags::EMUL_MMIO;
        if esr & ESR_WNR != 0 {
            let value = self.word(offset_of!(RecExit, gprs));
            let known = self.vm.write(address, bytes, value)?;
            let targets = self.vm.wanting();
            self.kick_others(targets);
            ensure!(known, "write to {address:#x}, where no device is");
        } else {
            let value = self.vm.read(address, bytes)?;
            self.value = value.ok_or_else(|| no_device(address))?;
        }
        Ok(())
    }

    /// Makes other vCPUs, given as bits, look at their interrupts.
    fn kick_others(&self, targets: u32) {
        for n in 0..self.vm.recs.len() {
            if n != self.cpu && targets >> n & 1 != 0 {
                kick(n);
            }
        }
    }

    fn psci(&self) -> Check {
        let first = offset_of!(RecExit, gprs);
        match self.word(first) {
            fid::PSCI_CPU_ON => {
                let target = self.word(first + 8) as usize;
                let other = self.vm.recs.get(target);
                let Some(other) = other.filter(|_| target != self.cpu) else {
                    fail!("PSCI_CPU_ON of vCPU {target:#x}")
                };
                let completed =
                    dialect::spoken().psci_complete(self.rec.pa, other.pa, psci::SUCCESS);
                completed.ok("RMI_PSCI_COMPLETE")?;
                line!("host: PSCI_CPU_ON: vCPU {target} runs on CPU {target}");
                self.vm.on[target].store(true, Ordering::Release);
                kick(target);
            }
            fid::PSCI_AFFINITY_INFO => {
                let target = self.word(first + 8) as usize;
                let other = self.vm.recs.get(target).ok_or("PSCI_AFFINITY_INFO")?;
                let completed = rmi::psci_complete(self.rec.pa, other.pa, psci::SUCCESS);
                completed.ok("RMI_PSCI_COMPLETE")?;
            }
            fid::PSCI_CPU_OFF => {
                line!("host: PSCI_CPU_OFF of vCPU {}", self.cpu);
                self.vm.on[self.cpu].store(false, Ordering::Release);
            }
            // The Realm's context is kept by its REC: as if an interrupt had come at once.
            fid::PSCI_CPU_SUSPEND => {}
            fid::PSCI_SYSTEM_OFF => {
                self.vm.uart.lock().flush();
                line!("host: PSCI_SYSTEM_OFF by vCPU {}", self.cpu);
                self.vm.end();
            }
            fid::PSCI_SYSTEM_RESET => fail!("the Realm resets itself"),
            _ => self.unexpected()?,
        }
        Ok(())
    }
}

fn no_device(address: u64) -> alloc::string::String {
    alloc::format!("read of {address:#x}, where no device is")
}
