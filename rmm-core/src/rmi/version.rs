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
    let (lower, higher) = if cpu.monitor.modes.offers_v2() {
        (lower_of_two(requested), RMI_VERSION_2_0)
    } else {
        // 1.0 is the only revision, and so the lower and the higher of every answer.
        (RMI_VERSION_1_0, RMI_VERSION_1_0)
    };
    (out.x1, out.x2) = (lower, higher);
    if requested != lower {
        return Err(NotImplemented);
    }
    if higher == RMI_VERSION_2_0 {
        choose(cpu, requested == RMI_VERSION_2_0);
    }
    Ok(())
}

/// The lower revision of the answer, where both are offered.
const fn lower_of_two(requested: u64) -> u64 {
    match requested {
        // Nothing below the request: the highest revision.
        ..RMI_VERSION_1_0 => RMI_VERSION_2_0,
        RMI_VERSION_1_0..RMI_VERSION_2_0 => RMI_VERSION_1_0,
        RMI_VERSION_2_0.. => RMI_VERSION_2_0,
    }
}

/// Chooses RMI 2.0 or 1.0, unless a Granule is delegated. A Host that speaks 2.0 already stays in the
/// state that it has.
#[inline(never)]
fn choose<M: Machine>(cpu: &ThisCpu<'_, M>, v2: bool) {
    let modes = &cpu.monitor.modes;
    loop {
        let now = modes.get();
        let next = match (v2, now) {
            (false, Mode::V1) | (true, Mode::V2Init | Mode::V2Active) => return,
            (false, _) => Mode::V1,
            (true, _) => Mode::V2Init,
        };
        // Again only if another CPU has just changed the mode.
        if modes.change(cpu.machine, now, next).is_some() {
            return;
        }
    }
}
