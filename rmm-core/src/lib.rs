// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Management Monitor without its board.
//!
//! * [`monitor`]: the state all CPUs share and the entry of an RMI call.
//! * [`rmi`]: the RMI commands, one room a kind, each reading as its page of the specification.
//! * [`realm`], [`rec`]: the Realm descriptor and the REC.
//! * [`run`]: from RMI_REC_ENTER to the REC exit.
//! * [`boot`]: what EL3 hands over and what the monitor makes of it.
//! * [`machine`], [`board`]: what all this asks of the hardware.
//! * `encoding`: what AArch64's registers and descriptors hold, as arithmetic.
//! * `arch`: AArch64; every instruction that is not Rust's and every access to a system register.
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
pub mod monitor;
mod pas;
pub mod realm;
pub mod rec;
pub mod rmi;
mod run;
mod signature;
mod stored;
mod vmid;
