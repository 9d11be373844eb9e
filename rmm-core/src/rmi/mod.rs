// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Management Interface (RMI): a folder for each dialect.
//!
//! A dialect owns its commands, status codes, register and structure layouts, and what a Host may
//! see of a REC exit. What the commands do to Realms, RECs, Granules and tables is shared and knows
//! none of these: `realm`, `rec`, `pas`, `run` and the crates below.

pub mod v1;

use crate::machine::Machine;
use crate::monitor::{Monitor, ThisCpu};

/// Serves one RMI call on this CPU: X0 to X7 in, X0 to X7 out.
///
/// X1 to X3 are zero unless the command declares them as outputs; X4 up come back as they were
/// unless it does.
pub fn handle<M: Machine>(monitor: &Monitor, machine: &M, call: [u64; 8]) -> [u64; 8] {
    v1::dispatch(&ThisCpu { monitor, machine }, call)
}
