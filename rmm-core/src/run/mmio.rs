// SPDX-License-Identifier: BSD-3-Clause
//! Emulated accesses: the syndrome of an Emulatable Data Abort and its completion (A4.2.3, A4.4).

use crate::machine::RecContext;

/// The instruction syndrome (ISS) of a Data Abort with ISV = 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmulatedAccess(u64);

impl EmulatedAccess {
    /// The access of this abort.
    #[must_use]
    pub const fn new(esr: u64) -> Self {
        Self(esr)
    }

    /// Syndrome EmulatedAccess Size: bits of the access.
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
    const fn is_write(self) -> bool {
        self.0 >> 6 & 1 != 0
    }

    /// The lowest `bits()` bits.
    const fn cut(self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - self.bits()))
    }

    /// What the access writes, cut to its size: the Host does not see the other bits of the register. Zero for a read.
    #[must_use]
    pub fn written(self, rec: &RecContext) -> u64 {
        if !self.is_write() {
            return 0;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    /// Syndrome of an access of `8 << sas` bits to X5.
    fn access(sas: u64, sign: bool, sixty_four: bool, write: bool) -> EmulatedAccess {
        let flag = |set: bool, bit: u32| u64::from(set) << bit;
        EmulatedAccess::new(
            1 << 24 | sas << 22 | flag(sign, 21) | 5 << 16 | flag(sixty_four, 15) | flag(write, 6),
        )
    }

    fn read(access: EmulatedAccess, value: u64) -> u64 {
        let mut rec = RecContext::new_zeroed();
        rec.gprs[5] = !0;
        access.complete(&mut rec, value);
        assert_eq!(rec.pc, 4);
        rec.gprs[5]
    }

    #[test]
    fn reads_are_cut_and_extended() {
        let value = 0xFEDC_BA98_F6F5_F4F3;
        for (sas, plain, signed, signed_32) in [
            (0, 0xF3, 0xFFFF_FFFF_FFFF_FFF3, 0xFFFF_FFF3),
            (1, 0xF4F3, 0xFFFF_FFFF_FFFF_F4F3, 0xFFFF_F4F3),
            (2, 0xF6F5_F4F3, 0xFFFF_FFFF_F6F5_F4F3, 0xF6F5_F4F3),
        ] {
            assert_eq!(read(access(sas, false, true, false), value), plain);
            assert_eq!(read(access(sas, true, true, false), value), signed);
            assert_eq!(read(access(sas, true, false, false), value), signed_32);
        }
        assert_eq!(read(access(3, false, true, false), value), value);
        assert_eq!(read(access(0, true, true, false), 0x7F), 0x7F, "sign clear");
    }

    #[test]
    fn writes_show_no_more_than_the_access() {
        let mut rec = RecContext::new_zeroed();
        rec.gprs[5] = 0x1122_3344_5566_7788;
        for (sas, value) in [
            (0, 0x88),
            (1, 0x7788),
            (2, 0x5566_7788),
            (3, 0x1122_3344_5566_7788),
        ] {
            let write = access(sas, false, true, true);
            assert_eq!(write.written(&rec), value);
        }
        access(3, false, true, true).complete(&mut rec, 0);
        assert_eq!((rec.pc, rec.gprs[5]), (4, 0x1122_3344_5566_7788));
    }

    #[test]
    fn the_zero_register() {
        let mut rec = RecContext::new_zeroed();
        rec.gprs.fill(7);
        let xzr = EmulatedAccess::new(1 << 24 | 3 << 22 | 31 << 16 | 1 << 15);
        let write = EmulatedAccess::new(1 << 24 | 3 << 22 | 31 << 16 | 1 << 15 | 1 << 6);
        assert_eq!(write.written(&rec), 0);
        xzr.complete(&mut rec, 9);
        assert_eq!((rec.pc, rec.gprs), (4, [7; 31]));
    }
}
