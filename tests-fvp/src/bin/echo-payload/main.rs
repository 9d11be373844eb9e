// SPDX-License-Identifier: BSD-3-Clause
//! The smallest payload for BL33 on QEMU's board `virt`, to test how payloads are run.
//!
//! It prints the exception level, then whatever it receives, but for three letters: `q` powers
//! the machine off, `r` resets it, and `h` hangs.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
core::arch::global_asm!(
    include_str!("entry.s"),
    uart = const 0x0900_0000,
    off = const rmm_abi::psci::fid::PSCI_SYSTEM_OFF,
    reset = const rmm_abi::psci::fid::PSCI_SYSTEM_RESET,
);

/// There is no Rust code that could panic.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// On the build machine there is nothing to run.
#[cfg(not(target_os = "none"))]
fn main() {}
