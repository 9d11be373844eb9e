// SPDX-License-Identifier: BSD-3-Clause
//! Arm CCA attestation for relying parties and guests.
//!
//! - Verifying tokens (feature `verifier`): [`token`] takes a CCA token apart, [`verify`] judges it by a
//!   [`verify::Policy`]. Below them: [`cbor`], [`cose`], [`claims`], [`platform`], [`realm`], [`keys`].
//! - Expected measurements (feature `launch`, part of `verifier`): [`rim`] computes a Realm Initial Measurement step by step,
//!   [`launch`] does so from a launch description.
//! - Releasing a secret to an attested Realm (feature `guest`): [`protocol`] with both sides, [`seal`], and
//!   [`tsm`], which gets tokens from Linux.
//!
//! Nothing here depends on the monitor. README.md beside this crate explains the tools made of it.
#![forbid(unsafe_code)]

pub mod hash;
pub mod hex;

#[cfg(feature = "verifier")]
pub mod cbor;
#[cfg(feature = "verifier")]
pub mod claims;
#[cfg(feature = "verifier")]
pub mod cose;
#[cfg(feature = "verifier")]
pub mod keys;
#[cfg(feature = "launch")]
pub mod launch;
#[cfg(feature = "verifier")]
pub mod platform;
#[cfg(feature = "verifier")]
pub mod realm;
#[cfg(feature = "launch")]
pub mod rim;
#[cfg(feature = "verifier")]
pub mod token;
#[cfg(feature = "verifier")]
pub mod verify;

#[cfg(feature = "guest")]
pub mod protocol;
#[cfg(feature = "guest")]
pub mod seal;
#[cfg(feature = "guest")]
pub mod tsm;
