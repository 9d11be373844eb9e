// SPDX-License-Identifier: BSD-3-Clause
//! The engine that runs a REC: what is done on behalf of the Realm between an entry and the exit to
//! the Host (specification A4). It knows neither status codes nor the layout of any RMI structure.
//!
//! * [`resume()`] completes what the last exit left open, with the Host's response.
//! * [`run()`] enters the REC, runs it, handles its exceptions, and returns why it has to leave.

mod abort;
mod entered;
mod exception;
mod idreg;
mod inject;
mod mmio;
mod resume;
mod rsi;
mod stage1;
mod sysreg;

pub use resume::{HostResponse, resume};
pub use rsi::with_realm;

use crate::aux::{RecAux, TokenAux};
use crate::machine::{EntryControls, Exception, Machine, TimerLines};
use crate::monitor::ThisCpu;
use crate::rec::{RecAttributes, RecBody, RecHead};
use entered::Entered;
use rmm_abi::rmi::Ripas;
use rmm_granule::Ipa;
use rmm_rsi::Gprs;

/// Why a REC leaves to the Host. Syndromes are raw values of the CPU: it is up to the dialect what
/// of them the Host may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// WFI, WFE, WFIT or WFET, which the Host wanted to trap.
    Wait {
        /// `ESR_EL2`.
        esr: u64,
        /// The timeout of WFIT or WFET; else zero.
        timeout: u64,
    },
    /// A write of a system register that only the Host can act on.
    SystemRegister {
        /// `ESR_EL2`.
        esr: u64,
        /// The value written.
        value: u64,
    },
    /// A Data Abort at a Protected IPA, or a Non-emulatable one at an Unprotected IPA.
    DataAbort {
        /// `ESR_EL2`.
        esr: u64,
        /// Page of the access.
        ipa: Ipa,
    },
    /// An Emulatable Data Abort.
    EmulatableAbort {
        /// `ESR_EL2`.
        esr: u64,
        /// `FAR_EL2`.
        far: u64,
        /// Page of the access.
        ipa: Ipa,
        /// The value of a write, cut to the size of the access; of a read zero.
        written: u64,
    },
    /// An Instruction Abort at a Protected IPA.
    InstructionAbort {
        /// `ESR_EL2`.
        esr: u64,
        /// Page of the access.
        ipa: Ipa,
    },
    /// An external abort of an access by the Realm.
    ExternalAbort {
        /// `ESR_EL2`.
        esr: u64,
    },
    /// Realm memory that an RSI call needs, or the answer to a host call, is not there.
    RsiAbort(rmm_rsi::Abort),
    /// An IRQ is pending, or an output of an EL1 timer has changed.
    Irq,
    /// An FIQ is pending.
    Fiq,
    /// An SError.
    SError {
        /// `ESR_EL2`.
        esr: u64,
    },
    /// A host call; its registers are in the array that [`run`] was given.
    HostCall {
        /// Immediate of the call.
        imm: u16,
    },
    /// A RIPAS change.
    RipasChange {
        /// First IPA.
        base: u64,
        /// IPA after the last one.
        top: u64,
        /// RIPAS that the Realm requests.
        ripas: Ripas,
    },
    /// A PSCI call; its registers are in the array that [`run`] was given.
    Psci,
}

/// Enters the REC on this CPU and runs it until something is for the Host. `to_host`, `None` before,
/// receives the registers X0 to X30 of a host call or a PSCI call.
pub fn run<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    head: &RecHead,
    rec: &mut RecBody,
    aux: &mut RecAux<'_, M>,
    controls: EntryControls,
    to_host: &mut Option<Gprs>,
) -> Exit {
    let mut known = rec.context.timers.asserted();
    let RecBody {
        context,
        attributes,
    } = rec;
    let (vectors, token) = aux.split();
    // SAFETY: a CPU serves one RMI call at a time, and no other place enters a REC. The guard
    // leaves it at the end of this function.
    let entered = unsafe { Entered::enter(cpu.machine, head, context, vectors, controls) };
    let mut running = Running {
        cpu,
        head,
        entered,
        attributes,
        token,
        to_host,
    };
    running.entered.lend_active();
    loop {
        let lines = running.entered.mask_timers();
        if lines != known {
            if running.must_report(known, lines) {
                return Exit::Irq;
            }
            known = lines;
        }
        let next = match running.entered.run() {
            Exception::Irq => return Exit::Irq,
            Exception::Fiq => return Exit::Fiq,
            Exception::SError { esr } => {
                running.serror(esr);
                return Exit::SError { esr };
            }
            Exception::Sync { esr, far, hpfar } => running.synchronous(esr, far, hpfar),
        };
        if let Next::Leave(exit) = next {
            return exit;
        }
    }
}

/// A REC that runs.
struct Running<'a, M: Machine> {
    cpu: &'a ThisCpu<'a, M>,
    head: &'a RecHead,
    entered: Entered<'a, M>,
    attributes: &'a mut RecAttributes,
    token: TokenAux<'a, M>,
    to_host: &'a mut Option<Gprs>,
}

impl<M: Machine> Running<'_, M> {
    /// Whether the Host has to act on this change of the timers' outputs (A6.2): it makes an interrupt
    /// pending when an output rises, and takes a pending one back when it falls. If none is pending, a
    /// fall changes nothing that the Realm sees, and the Host learns it from the record of the next exit.
    // Out of line: most runs see no change.
    #[inline(never)]
    fn must_report(&self, known: TimerLines, lines: TimerLines) -> bool {
        lines.rise_from(&known) || self.entered.lists_pending_interrupt()
    }
}

/// `PSTATE.M[4]`: AArch32.
const PSTATE_AARCH32: u64 = 1 << 4;

/// What comes after an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The Realm goes on.
    Resume,
    /// The REC leaves to the Host.
    Leave(Exit),
}
