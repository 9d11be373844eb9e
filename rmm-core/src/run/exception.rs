// SPDX-License-Identifier: BSD-3-Clause
//! Exceptions taken from a Realm, other than aborts (A4.3.4, A4.3.10).

use super::inject::{self, ec};
use super::rsi::RsiContext;
use super::sysreg::{Action, ISS_RT, Trap};
use super::{Next, PSTATE_AARCH32, Running, idreg};
use crate::machine::Machine;
use crate::realm::{Realm, RealmState};
use crate::rec::Rec;
use rmm_abi::rmi::RecExitReason;
use rmm_granule::Rd;
use rmm_rsi::{Exit, Outcome, PsciEffect};

/// EC and TI, all the Host sees of a trapped WFx.
const ESR_WFX: u64 = 0x3F << 26 | 3;
/// EC, IDS, AET, EA and DFSC: what the Host sees of an SError.
const ESR_SERROR: u64 = 0x3F << 26 | 1 << 24 | 7 << 10 | 1 << 9 | 0x3F;

impl<M: Machine> Running<'_, M> {
    /// A synchronous exception.
    pub fn synchronous(&mut self, esr: u64, far: u64, hpfar: u64) -> Next {
        if self.rec.context.pstate & PSTATE_AARCH32 != 0 && !inject::is_abort(esr) {
            // No Realm has AArch32; what it does there is not emulated.
            return self.undefined();
        }
        match inject::class(esr) {
            ec::WFX => self.wait(esr),
            ec::FP if !self.live.simd => self.give_simd(),
            // SME of a Host in streaming mode traps in place of SVE.
            ec::SVE | ec::SME if !self.live.simd && self.head.resources.sve_vl().is_some() => {
                self.give_simd()
            }
            ec::SMC64 => self.call(),
            ec::HVC64 => {
                // The return address of an HVC is behind it, that of an Undefined Instruction not.
                self.rec.context.pc = self.rec.context.pc.wrapping_sub(4);
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
        self.save_el1();
        inject::undefined(&mut self.rec.context, &self.cx.features().id);
        self.load_el1();
        Next::Resume
    }

    /// WFI, WFE, WFIT or WFET, which the Host asked to have trapped.
    fn wait(&mut self, esr: u64) -> Next {
        // TI bit 1: with a timeout, in the register that RN names.
        if esr & 2 != 0 {
            let register = (esr >> 5 & 0x1F) as usize;
            let gprs = &self.rec.context.gprs;
            self.exit.gprs[0] = gprs.get(register).copied().unwrap_or(0);
        }
        self.rec.context.step_over();
        self.leave_sync(esr & ESR_WFX)
    }

    /// MSR, MRS or System instruction.
    fn system_register(&mut self, esr: u64) -> Next {
        let trap = Trap::new(esr);
        let (hardware, resources) = (&self.cx.features().id, &self.head.resources);
        let id_register = |crm, op2| idreg::read(crm, op2, hardware, resources);
        match trap.action(&self.rec.context, id_register) {
            Action::Read(value) => trap.set_target(&mut self.rec.context, value),
            Action::Undefined if trap.is_unimplemented_id() => {
                self.save_el1();
                inject::unimplemented_id(&mut self.rec.context, hardware, esr);
                self.load_el1();
                return Next::Resume;
            }
            Action::Undefined => return self.undefined(),
            Action::Exit(value) => {
                self.exit.gprs[0] = value;
                self.rec.context.step_over();
                return self.leave_sync(esr & !ISS_RT);
            }
            // Given, the registers do not trap any more: the instruction is tried again.
            Action::Debug if !self.live.debug => {
                self.give_debug();
                return Next::Resume;
            }
            // OS lock, external debug: not for a Realm.
            Action::Debug if trap.is_read() => {
                trap.set_target(&mut self.rec.context, trap.hidden_debug_value());
            }
            Action::Debug | Action::Ignore => {}
            Action::Pmu => match resources.pmu_counters() {
                Some(counters) if !self.live.pmu => {
                    self.give_pmu(counters);
                    return Next::Resume;
                }
                _ => return self.undefined(),
            },
        }
        self.rec.context.step_over();
        Next::Resume
    }

    /// SMC: an RSI or PSCI call, or nobody's.
    fn call(&mut self) -> Next {
        let Rec {
            context, attest, ..
        } = &mut *self.rec;
        let mut realm = RsiContext::new(self.cx, self.head, attest);
        let exit = match rmm_rsi::handle(&mut realm, &mut context.gprs, &mut self.exit.gprs) {
            Outcome::Return => {
                self.rec.context.step_over();
                return Next::Resume;
            }
            Outcome::Abort(abort) => {
                self.exit.hpfar = abort.hpfar();
                return self.leave_sync(abort.esr());
            }
            Outcome::Exit(exit) => exit,
        };
        self.rec.context.step_over();
        match exit {
            Exit::HostCall { imm } => {
                self.rec.set_host_call_pending(true);
                self.exit.imm = imm;
                self.leave(RecExitReason::HostCall)
            }
            Exit::RipasChange {
                base,
                top,
                ripas,
                change_destroyed,
            } => {
                self.rec.set_ripas(base, top, ripas, change_destroyed);
                self.exit.ripas_base = base;
                self.exit.ripas_top = top;
                self.exit.ripas_value = ripas as u8;
                self.leave(RecExitReason::RipasChange)
            }
            Exit::Psci { pending, effect } => {
                self.rec.set_psci_pending(pending);
                match effect {
                    PsciEffect::None => {}
                    PsciEffect::CpuOff => self.rec.set_runnable(false),
                    PsciEffect::SystemOff => self.system_off(),
                }
                self.leave(RecExitReason::Psci)
            }
            Exit::Irq => self.leave(RecExitReason::Irq),
        }
    }

    /// The Realm has ended itself.
    fn system_off(&mut self) {
        match self.cx.granules().lock::<Rd>(self.head.rd().as_u64()) {
            Ok(mut rd) => rd
                .map::<_, Realm>(self.cx.machine)
                .set_state(RealmState::SystemOff),
            Err(_) => self.cx.machine.fatal("REC without its Realm"),
        }
    }

    /// An SError, reported by the hardware while the Realm ran.
    pub fn serror(&mut self, esr: u64) -> Next {
        const IDS: u64 = 1 << 24;
        const DFSC_ASYNCHRONOUS: u64 = 0x11;
        let categorised = esr & IDS == 0 && esr & 0x3F == DFSC_ASYNCHRONOUS;
        match esr >> 10 & 7 {
            // Unrecoverable or recoverable state of the Realm: it is told, too.
            // SAFETY: the REC is entered.
            1 | 3 if categorised => unsafe {
                self.cx.machine.pend_serror(&mut self.rec.context, esr);
            },
            // Restartable or corrected.
            2 | 6 if categorised => {}
            _ => self.cx.machine.fatal("uncontained SError"),
        }
        self.exit.esr = esr & ESR_SERROR;
        self.leave(RecExitReason::SError)
    }
}
