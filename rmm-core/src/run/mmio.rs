// SPDX-License-Identifier: BSD-3-Clause
//! Emulated accesses: the syndrome of an Emulatable Data Abort and its completion (A4.2.3, A4.4).

use crate::machine::RecContext;

/// The instruction syndrome (ISS) of a Data Abort with ISV = 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u64);

impl Access {
    /// The access of this abort.
    #[must_use]
    pub const fn new(esr: u64) -> Self {
        Self(esr)
    }

    /// Syndrome Access Size: bits of the access.
    const fn bits(self) -> u32 {
        8 << (self.0 >> 22 & 3)
    }

    /// Syndrome Sign Extend.
    const fn sign_extend(self) -> bool {
        self.0 >> 21 & 1 != 0
    }

    /// Syndrome Register Transfer: 31 is XZR.
    const fn register(self) -> usize {
        (self.0 >> 16 & 0x1F) as usize
    }

    /// The register is 64 bits wide.
    const fn sixty_four(self) -> bool {
        self.0 >> 15 & 1 != 0
    }

    /// Write, not read.
    #[must_use]
    pub const fn is_write(self) -> bool {
        self.0 >> 6 & 1 != 0
    }

    /// The lowest `bits()` bits.
    const fn cut(self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - self.bits()))
    }

    /// What the access writes, cut to its size: bits of the register beyond it are none of the
    /// Host's business.
    #[must_use]
    pub fn written(self, rec: &RecContext) -> u64 {
        self.cut(rec.gprs.get(self.register()).copied().unwrap_or(0))
    }

    /// Completes the access: `value` is what the Host read for it; the PC moves on.
    pub fn complete(self, rec: &mut RecContext, value: u64) {
        if !self.is_write()
            && let Some(register) = rec.gprs.get_mut(self.register())
        {
            *register = self.extend(self.cut(value));
        }
        rec.step_over();
    }

    fn extend(self, value: u64) -> u64 {
        let unused = 64 - self.bits();
        let value = if self.sign_extend() {
            ((value << unused).cast_signed() >> unused).cast_unsigned()
        } else {
            value
        };
        if self.sixty_four() {
            value
        } else {
            value & 0xFFFF_FFFF
        }
    }
}
