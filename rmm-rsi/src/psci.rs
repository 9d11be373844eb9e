// SPDX-License-Identifier: BSD-3-Clause
//! The PSCI functions (specification B6.3).
//!
//! The register X0 is sign-extended to 64 bits in every error.

use crate::{
    Context, Exit, Gprs, Outcome, PsciEffect, done, function, is_protected, set_results, word,
};
use rmm_abi::mpidr::{MPIDR_EL1_MASK, mpidr_el1_to_index};
use rmm_abi::psci::{self, fid};
use rmm_abi::smccc;

/// Serves a PSCI function; `None` if the function identifier is not one.
pub(crate) fn handle(ctx: &impl Context, regs: &mut Gprs, exit: &mut Gprs) -> Option<Outcome> {
    Some(match function(regs) {
        fid::PSCI_VERSION => done(regs, &[psci::VERSION_1_1]),
        fid::PSCI_FEATURES => features(regs),
        fid::PSCI_CPU_SUSPEND => cpu_suspend(regs, exit),
        fid::PSCI_CPU_OFF => notify(regs, exit, [0; 3], PsciEffect::CpuOff),
        fid::PSCI_CPU_ON => cpu_on(ctx, regs, exit),
        fid::PSCI_AFFINITY_INFO => affinity_info(ctx, regs, exit),
        fid::PSCI_SYSTEM_OFF | fid::PSCI_SYSTEM_RESET => {
            notify(regs, exit, [0; 3], PsciEffect::SystemOff)
        }
        _ => return None,
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

/// PSCI_CPU_SUSPEND (specification B6.3.4). Every power state is a suspend request; the entry point
/// and the context are ignored, and execution goes on after the call.
fn cpu_suspend(regs: &mut Gprs, exit: &mut Gprs) -> Outcome {
    let args = [word(regs[1]), regs[2], regs[3]];
    notify(regs, exit, args, PsciEffect::None)
}

/// PSCI_CPU_ON (specification B6.3.3).
fn cpu_on(ctx: &impl Context, regs: &mut Gprs, exit: &mut Gprs) -> Outcome {
    let (target, entry_point, context_id) = (regs[1], regs[2], regs[3]);
    let index = mpidr_el1_to_index(target);
    if !is_protected(ctx, entry_point) {
        return done(regs, &[psci::INVALID_ADDRESS]);
    }
    if !ctx.rec_exists(index) {
        return done(regs, &[psci::INVALID_PARAMETERS]);
    }
    // RMI_PSCI_COMPLETE cannot name the calling REC as the target.
    if index == ctx.rec_index() {
        return done(regs, &[psci::ALREADY_ON]);
    }
    request(
        regs,
        exit,
        [target & MPIDR_EL1_MASK, entry_point, word(context_id)],
    )
}

/// PSCI_AFFINITY_INFO (specification B6.3.1).
fn affinity_info(ctx: &impl Context, regs: &mut Gprs, exit: &mut Gprs) -> Outcome {
    let (target, lowest_level) = (regs[1], word(regs[2]));
    let index = mpidr_el1_to_index(target);
    if lowest_level != 0 || !ctx.rec_exists(index) {
        return done(regs, &[psci::INVALID_PARAMETERS]);
    }
    if index == ctx.rec_index() {
        return done(regs, &[psci::AFFINITY_ON]);
    }
    request(regs, exit, [target & MPIDR_EL1_MASK, lowest_level, 0])
}

/// The Host learns of the call and need not answer.
fn notify(regs: &mut Gprs, exit: &mut Gprs, args: [u64; 3], effect: PsciEffect) -> Outcome {
    show(regs, exit, args);
    set_results(regs, &[psci::SUCCESS]);
    Outcome::Exit(Exit::Psci {
        pending: false,
        effect,
    })
}

/// The Host has to answer the call.
fn request(regs: &Gprs, exit: &mut Gprs, args: [u64; 3]) -> Outcome {
    show(regs, exit, args);
    Outcome::Exit(Exit::Psci {
        pending: true,
        effect: PsciEffect::None,
    })
}

/// Shows the call to the Host.
fn show(regs: &Gprs, exit: &mut Gprs, args: [u64; 3]) {
    exit[0] = function(regs);
    exit[1..4].copy_from_slice(&args);
}

/// What the answer to a pending request does to the target REC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Completion {
    /// Nothing.
    Unchanged,
    /// The target becomes runnable, with PE state as after reset.
    Start {
        /// Program counter.
        pc: u64,
        /// X0; X1 to X30 are zero.
        context_id: u64,
    },
}

/// An answer that the pending request does not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Finishes a pending request: RMI_PSCI_COMPLETE as far as it concerns the two RECs (specification
/// B4.3.7, B3.27).
///
/// `calling` are the registers of the REC that made the request, and `target_index`,
/// `target_runnable` describe the other one, which belongs to the same Realm. `status` is the
/// Host's answer.
///
/// # Errors
/// [`Refused`] if the target is not the one requested or the status is not permitted; nothing has
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
