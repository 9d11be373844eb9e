// SPDX-License-Identifier: BSD-3-Clause
//! What the test Host shares with the test Realm and, in [`guest`], with the tools of the build machine.
//!
//! The Host is the board's BL33, at Normal EL2; the Realm's code is inside the Host's image. The
//! Realm decides nothing: its RECs ask the Host by host calls what to do next, do it, and report
//! (see [`protocol`]). So a test is one function of the Host, readable from top to bottom.
#![no_std]

#[cfg(target_os = "none")]
pub mod cpu;
pub mod guest;
pub mod protocol;
#[cfg(target_os = "none")]
pub mod registers;
#[cfg(target_os = "none")]
pub mod smc;
pub mod text;
