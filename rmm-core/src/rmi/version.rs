// SPDX-License-Identifier: BSD-3-Clause
//! RMI_VERSION, which is the same in all dialects (2.0-bet3 B2, B4.5.92).

use super::call::Outputs;
use crate::machine::Machine;
use crate::mode::Mode;
use crate::monitor::ThisCpu;
use rmm_abi::rmi::RMI_VERSION_1_0;
use rmm_abi::rmi::v2::RMI_VERSION_2_0;

/// The requested revision is not implemented: `RMI_ERROR_INPUT`.
pub struct NotImplemented;

/// RMI_VERSION. The answer does not depend on the mode. Success chooses the mode if no Granule is
/// delegated.
pub fn version<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    requested: u64,
    out: &mut Outputs,
) -> Result<(), NotImplemented> {
    if !cpu.monitor.modes.offers_v2() {
        // 1.0 is the only revision, and so the lower and the higher of every answer.
        (out.x1, out.x2) = (RMI_VERSION_1_0, RMI_VERSION_1_0);
        return match requested {
            RMI_VERSION_1_0 => Ok(()),
            _ => Err(NotImplemented),
        };
    }
    version_of_two(cpu, requested, out)
}

/// As [`version`], where 2.0 is offered.
#[inline(never)]
fn version_of_two<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    requested: u64,
    out: &mut Outputs,
) -> Result<(), NotImplemented> {
    out.x2 = RMI_VERSION_2_0;
    out.x1 = match requested {
        // Nothing below the request: the highest revision.
        ..RMI_VERSION_1_0 => RMI_VERSION_2_0,
        RMI_VERSION_1_0..RMI_VERSION_2_0 => RMI_VERSION_1_0,
        RMI_VERSION_2_0.. => RMI_VERSION_2_0,
    };
    if requested != out.x1 {
        return Err(NotImplemented);
    }
    choose(cpu, requested == RMI_VERSION_2_0);
    Ok(())
}

/// Chooses RMI 2.0 or 1.0, unless a Granule is delegated. A Host that speaks 2.0 already stays in the
/// state that it has.
fn choose<M: Machine>(cpu: &ThisCpu<'_, M>, v2: bool) {
    let now = cpu.monitor.modes.get();
    let next = match (v2, now) {
        (false, Mode::V1) | (true, Mode::V2Init | Mode::V2Active) => return,
        (false, _) => Mode::V1,
        (true, _) => Mode::V2Init,
    };
    cpu.monitor.modes.change(cpu.machine, now, next);
}
