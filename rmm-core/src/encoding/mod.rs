// SPDX-License-Identifier: BSD-3-Clause
//! What the registers, descriptors and operands of AArch64 hold: arithmetic that touches no register,
//! so that the build machine can test it. `arch` reads and writes the registers.
//!
//! The tests state bit numbers as the Arm Architecture Reference Manual (DDI 0487) gives them.
//!
//! * [`fields`]: where the fields of a register are.
//! * [`space`]: the layout of the monitor's address space.
//! * [`stage1`]: its descriptors, windows and registers.
//! * [`stage2`]: the registers and TLBI operands of a Realm's translation.
//! * [`traps`]: what a Realm's use of the CPU traps on; [`timers`]: its timers.
//! * [`vectors`]: what the monitor does about vector state.
//! * [`features`]: what ID registers say; [`errata`]: which errata a core has.
//! * [`sha`]: message schedules for the SHA instructions.
//! * [`syndrome`], [`fixup`]: how to go on after an exception.
// Tests do not use all that `arch` does.
#![cfg_attr(not(target_os = "none"), allow(dead_code))]

pub mod errata;
pub mod features;
pub mod fields;
pub mod fixup;
pub mod sha;
pub mod space;
pub mod stage1;
pub mod stage2;
pub mod syndrome;
pub mod timers;
pub mod traps;
pub mod vectors;

/// The value with these bits set, for comparison with the manual.
#[cfg(test)]
fn bits<const N: usize>(bits: [u32; N]) -> u64 {
    bits.into_iter().fold(0, |value, bit| {
        assert_eq!(value >> bit & 1, 0, "bit {bit} is named twice");
        value | 1 << bit
    })
}
