// SPDX-License-Identifier: BSD-3-Clause
//! The test Host: a bare-metal hypervisor at Normal EL2, as small as the tests allow.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The target has 64 bits: `u64` and `usize` are one.
#![allow(clippy::cast_possible_truncation)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod arch;
#[cfg(target_os = "none")]
mod bench;
#[cfg(target_os = "none")]
mod board;
#[cfg(target_os = "none")]
mod check;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod cpus;
#[cfg(target_os = "none")]
mod demo;
#[cfg(target_os = "none")]
mod dialect;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod host;
#[cfg(target_os = "none")]
mod isolation;
#[cfg(target_os = "none")]
mod params;
#[cfg(target_os = "none")]
mod pool;
#[cfg(target_os = "none")]
mod realm;
#[cfg(target_os = "none")]
mod rec;
#[cfg(target_os = "none")]
mod rmi;
#[cfg(target_os = "none")]
mod tests;
#[cfg(target_os = "none")]
mod virtual_gic;
#[cfg(target_os = "none")]
mod vmm;

#[cfg(target_os = "none")]
use host::{crash, host_main};

/// On the build machine there is nothing to run.
#[cfg(not(target_os = "none"))]
fn main() {}
