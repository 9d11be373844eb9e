// SPDX-License-Identifier: BSD-3-Clause
//! The test Realm: does at Realm EL1 what the test Host asks for.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The target has 64 bits: `u64` and `usize` are one.
#![allow(clippy::cast_possible_truncation)]

#[cfg(target_os = "none")]
mod demo;
#[cfg(target_os = "none")]
mod realm;
#[cfg(target_os = "none")]
mod runtime;

/// On the build machine there is nothing to run.
#[cfg(not(target_os = "none"))]
fn main() {}
