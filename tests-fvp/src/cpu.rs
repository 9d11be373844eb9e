// SPDX-License-Identifier: BSD-3-Clause
//! What both programs do with the CPU: exception frames and system registers.

/// What the vectors of `macros.s` save.
#[repr(C)]
pub struct Frame {
    /// X0 to X30.
    pub x: [u64; 31],
    /// ELR of the exception level.
    pub elr: u64,
    /// SPSR.
    pub spsr: u64,
    /// ESR.
    pub esr: u64,
    /// FAR.
    pub far: u64,
}

/// Number of the vector for a synchronous exception of the current level on SP_ELx.
pub const SYNC: u64 = 4;
/// Number of the vector for an IRQ.
pub const IRQ: u64 = 5;

/// Reads a system register by name.
#[macro_export]
macro_rules! mrs {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading this register has no effect that Rust code notices.
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack)) };
        value
    }};
}

/// Writes a system register by name.
#[macro_export]
macro_rules! msr {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the register holds nothing that Rust code relies on.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack)) };
    }};
}
