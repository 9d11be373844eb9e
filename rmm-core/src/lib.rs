// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Management Monitor without its board.
//!
//! From the top down; nothing depends on what stands above it.
//!
//! * `arch`: AArch64; every instruction that is not Rust's and every access to a system register.
//!   `fake`: the same for programs on the build machine.
//! * [`rmi`]: the RMI commands by dialect, each reading as its page of the specification.
//! * `run`: the engine that runs a REC between entry and exit.
//! * [`realm`], [`rec`], `aux`, `gic`, `pas`, `signature`: what the dialects share.
//! * [`monitor`]: the state that all CPUs share. [`mode`]: which dialect the Host speaks.
//! * [`boot`], `attestation`, `el3`: what EL3 hands over, and what is exchanged with it.
//! * [`machine`], [`board`]: what all this asks of the hardware.
//! * `encoding`: what AArch64's registers and descriptors hold, as arithmetic.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(not(any(target_os = "none", feature = "fake")), no_std)]

#[cfg(target_os = "none")]
pub mod arch;
mod attestation;
mod aux;
pub mod board;
pub mod boot;
mod el3;
#[cfg(any(target_os = "none", test))]
mod encoding;
#[cfg(all(feature = "fake", not(target_os = "none")))]
pub mod fake;
mod gic;
pub mod machine;
pub mod mode;
pub mod monitor;
mod pas;
pub mod realm;
pub mod rec;
pub mod rmi;
mod run;
mod signature;
mod stored;
mod vmid;
