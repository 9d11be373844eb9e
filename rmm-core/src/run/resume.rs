// SPDX-License-Identifier: BSD-3-Clause
//! What the last exit left open, completed with the Host's response before the Realm runs (A4.2).

use super::Exit;
use super::inject;
use super::mmio::EmulatedAccess;
use super::rsi::RsiContext;
use super::sysreg::Trap;
use crate::aux::RecAux;
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::rec::{LastExit, RecBody, RecHead};
use rmm_rsi::Gprs;
use zerocopy::FromZeros;

/// The response of a Host to the last exit.
#[derive(Clone, Copy, Debug)]
pub struct HostResponse<'a> {
    /// The result of an emulated access or of a read of a system register in X0, or the registers of a
    /// host call.
    pub gprs: &'a Gprs,
    /// The Host has emulated the access of an Emulatable Data Abort. Ignored with `inject_sea`.
    pub emulated: bool,
    /// The Realm is to take a Synchronous External Abort for its access to an Unprotected IPA.
    /// Ignored if that was not the last exit.
    pub inject_sea: bool,
    /// The Host rejects the pending RIPAS change.
    pub reject_ripas: bool,
}

/// Completes what the last exit left open. The Host may say `emulated` only after an Emulatable Data
/// Abort.
///
/// # Errors
/// The REC has to leave again without running: the memory for the answer to a host call is not
/// there. The host call stays pending.
pub fn resume<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    head: &RecHead,
    rec: &mut RecBody,
    aux: &mut RecAux<'_, M>,
    response: HostResponse<'_>,
) -> Result<(), Exit> {
    let RecBody {
        context,
        attributes,
    } = rec;
    let (esr, far) = attributes.last_syndrome();
    // Zero unless the last exit was one that the Host may answer.
    if esr != 0 {
        match attributes.last_exit() {
            LastExit::RegisterRead => Trap::new(esr).set_target(context, response.gprs[0]),
            _ if response.inject_sea => inject::sea(context, &cpu.features().id, esr, far),
            LastExit::EmulatableAbort if response.emulated => {
                EmulatedAccess::new(esr).complete(context, response.gprs[0]);
            }
            _ => {}
        }
    }
    attributes.forget_exit();

    let change = attributes.ripas_change;
    if change.is_pending() {
        let change = rmm_rsi::RipasChange {
            addr: change.addr,
            top: change.top,
            ripas: change.ripas(),
        };
        rmm_rsi::complete_ripas_change(&mut context.gprs, &change, response.reject_ripas);
        attributes.ripas_change.zero();
    }
    if attributes.is_host_call_pending() {
        let (_, token) = aux.split();
        let mut realm = RsiContext::new(cpu, head, token);
        rmm_rsi::complete_host_call(&mut realm, &mut context.gprs, response.gprs)
            .map_err(Exit::RsiAbort)?;
        attributes.set_host_call_pending(false);
    }
    Ok(())
}
