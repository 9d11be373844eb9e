// SPDX-License-Identifier: BSD-3-Clause
//! The PSCI functions (specification B6.3).
//!
//! The comment behind a check is the ID of the failure condition in the specification.

use crate::{
    Context, Exit, Failure, Gprs, Outcome, PsciEffect, done, function, is_protected, require,
    set_results, word,
};
use rmm_abi::mpidr::{MPIDR_EL1_MASK, mpidr_el1_to_index};
use rmm_abi::psci::{self, fid};
use rmm_abi::smccc;

/// Serves a PSCI function. An unknown function fails with NOT_SUPPORTED.
pub(crate) fn handle(
    ctx: &impl Context,
    regs: &mut Gprs,
    exit: &mut Option<Gprs>,
) -> Result<Outcome, Failure> {
    Ok(match function(regs) {
        fid::PSCI_VERSION => done(regs, &[psci::VERSION_1_1]),
        fid::PSCI_FEATURES => features(regs),
        fid::PSCI_CPU_SUSPEND => cpu_suspend(regs, exit),
        fid::PSCI_CPU_OFF => notify(regs, exit, [0; 3], PsciEffect::CpuOff),
        fid::PSCI_CPU_ON => cpu_on(ctx, regs, exit)?,
        fid::PSCI_AFFINITY_INFO => affinity_info(ctx, regs, exit)?,
        fid::PSCI_SYSTEM_OFF | fid::PSCI_SYSTEM_RESET => {
            notify(regs, exit, [0; 3], PsciEffect::SystemOff)
        }
        _ => return Err(Failure(smccc::NOT_SUPPORTED)),
    })
}

/// PSCI_FEATURES (specification B6.3.5).
fn features(regs: &mut Gprs) -> Outcome {
    let result = match word(regs[1]) {
        fid::PSCI_VERSION
        | fid::PSCI_FEATURES
        | fid::PSCI_CPU_SUSPEND
        | fid::PSCI_CPU_OFF
        | fid::PSCI_CPU_ON
        | fid::PSCI_AFFINITY_INFO
        | fid::PSCI_SYSTEM_OFF
        | fid::PSCI_SYSTEM_RESET
        | smccc::SMCCC_VERSION => psci::SUCCESS,
        _ => psci::NOT_SUPPORTED,
    };
    done(regs, &[result])
}

/// PSCI_CPU_SUSPEND (specification B6.3.4). Every power state is a suspend request: entry point and
/// context are ignored, and the REC continues after the call.
fn cpu_suspend(regs: &mut Gprs, exit: &mut Option<Gprs>) -> Outcome {
    let args = [word(regs[1]), regs[2], regs[3]];
    notify(regs, exit, args, PsciEffect::None)
}

/// PSCI_CPU_ON (specification B6.3.3).
fn cpu_on(ctx: &impl Context, regs: &Gprs, exit: &mut Option<Gprs>) -> Result<Outcome, Failure> {
    let (target, entry_point, context_id) = (regs[1], regs[2], regs[3]);
    let index = mpidr_el1_to_index(target);
    require(is_protected(ctx, entry_point), psci::INVALID_ADDRESS)?; // entry
    require(ctx.rec_exists(index), psci::INVALID_PARAMETERS)?; // mpidr
    // The calling REC is checked here, because RMI_PSCI_COMPLETE refuses it as the target; any other
    // target is checked there.
    require(index != ctx.rec_index(), psci::ALREADY_ON)?; // runnable
    let args = [target & MPIDR_EL1_MASK, entry_point, word(context_id)];
    Ok(request(regs, exit, args))
}

/// PSCI_AFFINITY_INFO (specification B6.3.1).
fn affinity_info(
    ctx: &impl Context,
    regs: &mut Gprs,
    exit: &mut Option<Gprs>,
) -> Result<Outcome, Failure> {
    let (target, lowest_level) = (regs[1], word(regs[2]));
    let index = mpidr_el1_to_index(target);
    require(lowest_level == 0, psci::INVALID_PARAMETERS)?; // target_bound
    require(ctx.rec_exists(index), psci::INVALID_PARAMETERS)?; // target_match
    if index == ctx.rec_index() {
        return Ok(done(regs, &[psci::AFFINITY_ON]));
    }
    match ctx.rec_is_on(index) {
        Some(true) => return Ok(done(regs, &[psci::AFFINITY_ON])),
        Some(false) => return Ok(done(regs, &[psci::AFFINITY_OFF])),
        None => {}
    }
    let args = [target & MPIDR_EL1_MASK, lowest_level, 0];
    Ok(request(regs, exit, args))
}

/// Notifies the Host of the call, which is complete.
fn notify(regs: &mut Gprs, exit: &mut Option<Gprs>, args: [u64; 3], effect: PsciEffect) -> Outcome {
    show(regs, exit, args);
    set_results(regs, &[psci::SUCCESS]);
    Outcome::Exit(Exit::Psci {
        pending: false,
        effect,
    })
}

/// Forwards the call to the Host, which has to complete it.
fn request(regs: &Gprs, exit: &mut Option<Gprs>, args: [u64; 3]) -> Outcome {
    show(regs, exit, args);
    Outcome::Exit(Exit::Psci {
        pending: true,
        effect: PsciEffect::None,
    })
}

/// Writes the call to the exit record.
fn show(regs: &Gprs, exit: &mut Option<Gprs>, args: [u64; 3]) {
    let shown = exit.insert([0; 31]);
    shown[0] = function(regs);
    shown[1..4].copy_from_slice(&args);
}

/// Effect of a completed request on the target REC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Completion {
    /// Nothing.
    Unchanged,
    /// The target becomes runnable, with the PE state of a reset.
    Start {
        /// Program counter.
        pc: u64,
        /// X0; X1 to X30 are zero.
        context_id: u64,
    },
}

/// The pending request does not permit this completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Completes a pending request: the part of RMI_PSCI_COMPLETE that concerns the two RECs
/// (specification B4.3.7, B3.27).
///
/// `calling` are the registers of the REC that made the request. `target_index` and `target_runnable`
/// describe the target, which belongs to the same Realm. `status` is the PSCI status from the Host.
///
/// # Errors
/// [`Refused`] if the target is not the requested one or the status is not permitted. Nothing has
/// changed, and the request is still pending.
pub fn complete(
    calling: &mut Gprs,
    target_index: u64,
    target_runnable: bool,
    status: u64,
) -> Result<Completion, Refused> {
    if mpidr_el1_to_index(calling[1]) != target_index {
        return Err(Refused);
    }
    let (pc, context_id) = (calling[2], calling[3]);
    let (result, completion) = match (function(calling), status, target_runnable) {
        (fid::PSCI_CPU_ON, psci::SUCCESS, true) => (psci::ALREADY_ON, Completion::Unchanged),
        (fid::PSCI_CPU_ON, psci::SUCCESS, false) => {
            (psci::SUCCESS, Completion::Start { pc, context_id })
        }
        (fid::PSCI_CPU_ON, psci::DENIED, false) => (psci::DENIED, Completion::Unchanged),
        (fid::PSCI_AFFINITY_INFO, psci::SUCCESS, true) => {
            (psci::AFFINITY_ON, Completion::Unchanged)
        }
        (fid::PSCI_AFFINITY_INFO, psci::SUCCESS, false) => {
            (psci::AFFINITY_OFF, Completion::Unchanged)
        }
        _ => return Err(Refused),
    };
    set_results(calling, &[result]);
    Ok(completion)
}
