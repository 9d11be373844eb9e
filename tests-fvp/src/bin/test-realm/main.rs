// SPDX-License-Identifier: BSD-3-Clause
//! The test Realm: does at Realm EL1 what the test Host asks for.
#![cfg_attr(target_os = "none", no_std, no_main)]
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
#[cfg(target_os = "none")]
core::arch::global_asm!(".section .text.entry,\"ax\"\n.global _start\n_start: b .");

/// On the build machine there is nothing to run.
#[cfg(not(target_os = "none"))]
fn main() {}
