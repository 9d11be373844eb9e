// SPDX-License-Identifier: BSD-3-Clause
//! The registers of a call, which are the same in all dialects.

/// The output registers that a command declares, X1 to X4. They are zero unless written.
#[derive(Default)]
pub struct Outputs {
    /// X1.
    pub x1: u64,
    /// X2.
    pub x2: u64,
    /// X3.
    pub x3: u64,
    /// X4; `None` leaves the value of the caller.
    pub x4: Option<u64>,
}

impl Outputs {
    /// Makes X0 to X7 of a call those on return. Registers from X4 on that are no output come back as the
    /// caller had them: SMCCC lets Hosts rely on it.
    pub fn write(&self, x0: u64, regs: &mut [u64; 8]) {
        [regs[0], regs[1], regs[2], regs[3]] = [x0, self.x1, self.x2, self.x3];
        if let Some(x4) = self.x4 {
            regs[4] = x4;
        }
    }
}

/// Runs a command in a stack frame of its own. Inlined, the command with the largest frame would
/// make every call save and restore what only that one needs.
#[inline(never)]
pub fn outlined<T>(command: impl FnOnce() -> T) -> T {
    command()
}
