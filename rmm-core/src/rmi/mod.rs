// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Management Interface (RMI): a folder for each dialect, and the choice between them.
//!
//! A dialect owns its commands, status codes, register and structure layouts, and what a Host may
//! see of a REC exit. What the commands do to Realms, RECs, Granules and tables is shared and knows
//! none of these: `realm`, `rec`, `pas`, `run` and the crates below.
//!
//! * `version`: RMI_VERSION, which chooses the dialect ([`Mode`]).
//! * `call`: the registers of a call.
//! * [`v1`]: RMI 1.0. [`v2`]: RMI 2.0.

mod call;
pub mod v1;
pub mod v2;
mod version;

use crate::machine::Machine;
use crate::mode::Mode;
use crate::monitor::{Monitor, ThisCpu};
use rmm_abi::{rmi::v2::fid, smccc};

/// Serves one RMI call on this CPU: `regs` are X0 to X7 of the call, and then those on return.
///
/// X1 to X3 are zero unless the command declares them as outputs; X4 up come back as they were
/// unless it does.
// It ends with the call of another function: a stack frame of its own would cost each command.
#[inline]
pub fn handle<M: Machine>(cpu: &ThisCpu<'_, M>, regs: &mut [u64; 8]) {
    if cpu.monitor.modes.is_v1() {
        v1::dispatch(cpu, regs);
    } else {
        handle_other(cpu, regs);
    }
}

/// As [`handle`], in another mode than 1.0.
// Out of line: inlined, its frame would be that of each call of 1.0, too.
#[inline(never)]
fn handle_other<M: Machine>(cpu: &ThisCpu<'_, M>, regs: &mut [u64; 8]) {
    *regs = match decide(cpu.monitor, regs[0]) {
        Mode::V1 | Mode::Undecided => v1::shared(cpu, *regs),
        mode => v2::dispatch(cpu, mode, *regs),
    }
}

/// The mode in which to serve a call with this function identifier. A Host that has not asked for a
/// version, but makes a call that prepares the use of Realms, decides by that.
fn decide(monitor: &Monitor, x0: u64) -> Mode {
    let modes = &monitor.modes;
    let mode = modes.get();
    if mode != Mode::Undecided {
        return mode;
    }
    let next = match smccc::without_sve_hint(x0) {
        fid::RMI_RMM_CONFIG_SET | fid::RMI_RMM_ACTIVATE => Mode::V2Init,
        other if v1::decides(other) => Mode::V1,
        _ => return mode,
    };
    modes.step(mode, next);
    // If another CPU was faster, its decision holds.
    modes.get()
}
