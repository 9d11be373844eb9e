// SPDX-License-Identifier: BSD-3-Clause
//! Exceptions taken from a Realm, other than aborts (A4.3.4, A4.3.10).

use super::inject::{self, ec};
use super::rsi::RsiContext;
use super::sysreg::{Action, Trap};
use super::{Exit, Next, PSTATE_AARCH32, Running, idreg};
use crate::machine::{Machine, SErrorClass};
use crate::realm;
use crate::rec::{LastExit, PendingRipasChange};
use rmm_granule::bug;
use rmm_rsi::{Outcome, PsciEffect};

/// RV, and the bit of TI that tells WFIT and WFET from WFI and WFE: RN is the number of the register with
/// the timeout.
const ESR_TIMEOUT: u64 = 1 << 2 | 1 << 1;

impl<M: Machine> Running<'_, M> {
    /// A synchronous exception.
    pub fn synchronous(&mut self, esr: u64, far: u64, hpfar: u64) -> Next {
        // Calls come first: they are the most frequent, and AArch32 has a class of its own for them.
        if inject::class(esr) == ec::SMC64 {
            return self.call();
        }
        self.trap(esr, far, hpfar)
    }

    /// A synchronous exception other than a call.
    // Out of line: inlined, its many constants would be loaded on the way to each call.
    #[inline(never)]
    fn trap(&mut self, esr: u64, far: u64, hpfar: u64) -> Next {
        if self.entered.pstate & PSTATE_AARCH32 != 0 && !inject::is_abort(esr) {
            // No Realm has AArch32; nothing that traps from there is emulated.
            return self.undefined();
        }
        match inject::class(esr) {
            ec::WFX => self.wait(esr),
            ec::FP => self.simd(),
            // SME traps in place of SVE if the Host is in streaming mode.
            ec::SVE | ec::SME if self.entered.has_sve() => self.simd(),
            ec::HVC64 => {
                // The return address of an HVC is the next instruction, that of an Undefined
                // Instruction exception the instruction itself.
                // A PC below 4 is the Realm's own doing, and wraps as in the CPU.
                self.entered.pc = self.entered.pc.wrapping_sub(4);
                self.undefined()
            }
            ec::SYSREG => self.system_register(esr),
            ec::INSTRUCTION_ABORT_LOWER => self.instruction_abort(esr, far, hpfar),
            ec::DATA_ABORT_LOWER => self.data_abort(esr, far, hpfar),
            _ => self.undefined(),
        }
    }

    /// The Realm takes an Undefined Instruction exception.
    fn undefined(&mut self) -> Next {
        let id = &self.cpu.features().id;
        self.entered
            .with_el1(|context| inject::undefined(context, id));
        Next::Resume
    }

    /// FP/SIMD or SVE: once lent it does not trap any more, and the instruction is tried again.
    fn simd(&mut self) -> Next {
        if self.entered.lend_simd() {
            Next::Resume
        } else {
            self.undefined()
        }
    }

    /// WFI, WFE, WFIT or WFET, which the Host wanted to trap.
    fn wait(&mut self, esr: u64) -> Next {
        // Only then does RN name a register: without RV, X0 would stand for one that is not known, and
        // WFI and WFE have none.
        let timeout = if esr & ESR_TIMEOUT == ESR_TIMEOUT {
            let register = (esr >> 5 & 0x1F) as usize;
            self.entered.gprs.get(register).copied().unwrap_or(0)
        } else {
            0
        };
        self.entered.step_over();
        Next::Leave(Exit::Wait { esr, timeout })
    }

    /// MSR, MRS or System instruction.
    fn system_register(&mut self, esr: u64) -> Next {
        let trap = Trap::new(esr);
        let (hardware, resources) = (&self.cpu.features().id, &self.head.resources);
        let id_register = |crm, op2| idreg::read(crm, op2, hardware, resources);
        match trap.action(&self.entered, id_register) {
            Action::Read(value) => trap.set_target(&mut self.entered, value),
            Action::Undefined if trap.is_unimplemented_id() => {
                self.entered
                    .with_el1(|context| inject::unimplemented_id(context, hardware, esr));
                return Next::Resume;
            }
            // The Host of a Realm of RMI 2.0 sets these traps, and emulates the access.
            Action::Undefined if trap.is_gic() && self.head.is_v2() => {
                return self.gic_register(trap, esr);
            }
            Action::Undefined => return self.undefined(),
            Action::Exit(value) => {
                self.entered.step_over();
                return Next::Leave(Exit::SystemRegister { esr, value });
            }
            // Once lent, the registers do not trap any more: the instruction is tried again.
            Action::Debug => {
                if self.entered.lend_debug() {
                    return Next::Resume;
                }
                // OS lock, external debug: not for a Realm.
                if trap.is_read() {
                    trap.set_target(&mut self.entered, trap.hidden_debug_value());
                }
            }
            Action::Pmu => {
                if self.entered.lend_pmu() {
                    return Next::Resume;
                }
                return self.undefined();
            }
            // The loop looks at the timer again before the next run.
            Action::Timer(timer, register) => {
                if trap.is_read() {
                    let value = self.entered.timer_register(timer, register);
                    trap.set_target(&mut self.entered, value);
                } else {
                    let value = trap.source(&self.entered);
                    self.entered.set_timer_register(timer, register, value);
                }
            }
            Action::Ignore => {}
        }
        self.entered.step_over();
        Next::Resume
    }

    /// A register of the GIC CPU interface for which the Host has set a trap.
    fn gic_register(&mut self, trap: Trap, esr: u64) -> Next {
        let value = if trap.is_read() {
            self.attributes.record_exit(LastExit::RegisterRead, esr, 0);
            0
        } else {
            trap.source(&self.entered)
        };
        self.entered.step_over();
        Next::Leave(Exit::SystemRegister { esr, value })
    }

    /// SMC: an RSI or PSCI call, or nobody's.
    fn call(&mut self) -> Next {
        let mut realm = RsiContext::new(self.cpu, self.head, self.token.reborrow());
        let exit = match rmm_rsi::handle(&mut realm, &mut self.entered.gprs, self.to_host) {
            Outcome::Return => {
                self.entered.step_over();
                return Next::Resume;
            }
            Outcome::Abort(abort) => return Next::Leave(Exit::RsiAbort(abort)),
            Outcome::Exit(exit) => exit,
        };
        self.entered.step_over();
        Next::Leave(match exit {
            rmm_rsi::Exit::HostCall { imm } => {
                self.attributes.set_host_call_pending(true);
                Exit::HostCall { imm }
            }
            rmm_rsi::Exit::RipasChange {
                base,
                top,
                ripas,
                change_destroyed,
            } => {
                self.attributes.ripas_change =
                    PendingRipasChange::new(base, top, ripas, change_destroyed);
                Exit::RipasChange { base, top, ripas }
            }
            rmm_rsi::Exit::Psci { pending, effect } => {
                self.attributes.set_psci_pending(pending);
                match effect {
                    PsciEffect::None => {}
                    PsciEffect::CpuOff => self.attributes.set_runnable(false),
                    PsciEffect::SystemOff => realm::switch_off(self.cpu, self.head.rd()),
                }
                Exit::Psci
            }
            rmm_rsi::Exit::Irq => Exit::Irq,
        })
    }

    /// An SError, reported by the hardware while the Realm ran, after which the REC leaves to the Host.
    ///
    /// # Panics
    /// The error is uncontainable: the hardware says that it may have spread beyond the Realm.
    // Out of line, for the same reason as `trap`.
    #[cold]
    #[inline(never)]
    pub fn serror(&mut self, esr: u64) {
        match SErrorClass::of(esr) {
            SErrorClass::Corrected | SErrorClass::Restartable => {}
            // The state of this REC is lost or has to be repaired: the Realm takes the error, too.
            SErrorClass::Recoverable | SErrorClass::Unrecoverable => self.entered.pend_serror(esr),
            // A device that the Host has mapped is enough to raise one. What it has done to the Realm
            // is not known, so the Realm ends; no other Realm had a part in the access.
            SErrorClass::Unknown => self.end_realm(),
            SErrorClass::Uncontainable => bug!("uncontained SError"),
        }
    }

    /// Ends the Realm because of an error that only the Realm itself can have suffered from: as after
    /// PSCI_SYSTEM_OFF, none of its RECs is entered any more. The Host learns the error by the exit that
    /// follows, and destroys the Realm, which wipes its memory.
    pub fn end_realm(&mut self) {
        realm::switch_off(self.cpu, self.head.rd());
    }
}
