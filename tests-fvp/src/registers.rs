// SPDX-License-Identifier: BSD-3-Clause
//! Patterns in registers that Host and Realm both have, and the monitor must keep apart.
//!
//! The Host runs with HCR_EL2.E2H = 0: its `_EL1` registers are as unused as the Realm's here.

use crate::protocol::pattern;
use core::arch::asm;

/// Defines a function that writes patterns to registers and one that finds out which differ. A
/// register has a mask of the bits that hold anything.
macro_rules! registers {
    ($set:ident, $check:ident, $names:ident: $($name:literal & $mask:expr),+ $(,)?) => {
        /// The registers, in the order of the bits of the check.
        pub const $names: &[&str] = &[$($name),+];

        /// Writes the pattern of a seed to the registers.
        pub fn $set(seed: u64) {
            let mut n = 0;
            $(
                let mask: u64 = $mask;
                // SAFETY: nothing here relies on the register's content.
                unsafe {
                    asm!(concat!("msr ", $name, ", {}"), in(reg) pattern(seed, n) & mask,
                         options(nostack));
                }
                n += 1;
            )+
            let _ = n;
            // SAFETY: a barrier.
            unsafe { asm!("isb", options(nostack)) };
        }

        /// Bit n: whether register n differs from the pattern of a seed.
        #[must_use]
        pub fn $check(seed: u64) -> u64 {
            let (mut n, mut different) = (0, 0);
            $(
                let mask: u64 = $mask;
                let value: u64;
                // SAFETY: reading the register has no effect.
                unsafe {
                    asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack));
                }
                different |= u64::from((value ^ pattern(seed, n)) & mask != 0) << n;
                n += 1;
            )+
            let _ = n;
            different
        }
    };
}

/// All bits.
const ALL: u64 = u64::MAX;
/// A granule's address below 2^48.
const ADDRESS: u64 = 0xFFFF_FFFF_F000;

registers! { el1_set, el1_check, EL1_NAMES:
    "tpidr_el1" & ALL,
    "tpidr_el0" & ALL,
    "tpidrro_el0" & ALL,
    "contextidr_el1" & 0xFFFF_FFFF,
    "far_el1" & ALL,
    "esr_el1" & 0xFFFF_FFFF,
    "elr_el1" & ALL,
    "spsr_el1" & 0xF000_0000,
    "par_el1" & ADDRESS,
    "ttbr1_el1" & ADDRESS,
    "sp_el0" & ALL,
    "cntkctl_el1" & 0x303,
    // APIAKeyLo, APIAKeyHi, APIBKeyLo, APDAKeyLo, APDBKeyHi, APGAKeyHi.
    "s3_0_c2_c1_0" & ALL,
    "s3_0_c2_c1_1" & ALL,
    "s3_0_c2_c1_2" & ALL,
    "s3_0_c2_c2_0" & ALL,
    "s3_0_c2_c2_3" & ALL,
    "s3_0_c2_c3_1" & ALL,
}

registers! { host_set, host_check, HOST_NAMES:
    // WXN, UCI, DZE, nTWI, SA, M, C, I: any combination will do.
    "sctlr_el1" & 0x40C_100D,
    "tcr_el1" & 0x7_3F3F_3F3F,
    "ttbr0_el1" & ADDRESS,
    "mair_el1" & ALL,
    "vbar_el1" & ADDRESS,
    "cpacr_el1" & 0x30_0000,
    "mdscr_el1" & 0x1000,
    "cntv_cval_el0" & ALL,
    "cntp_cval_el0" & ALL,
    // IMASK without ENABLE.
    "cntv_ctl_el0" & 2,
    "cntp_ctl_el0" & 2,
    "vpidr_el2" & 0xFFFF_FFFF,
    "vmpidr_el2" & 0xFF_00FF_FFFF,
    "tpidr_el2" & ALL,
    // Address and context of breakpoint 0, which stays disabled.
    "dbgbvr0_el1" & ADDRESS,
    "dbgwvr0_el1" & ADDRESS,
}

/// Content of the vector registers.
#[repr(C, align(16))]
struct Vectors([u64; 64]);

/// Writes the pattern of a seed to V0 to V31.
///
/// # Safety
///
/// Floating point must not trap, and the caller's code must not use it.
pub unsafe fn vectors_set(seed: u64) {
    let vectors = Vectors(core::array::from_fn(|n| pattern(seed, n as u64)));
    // SAFETY: reads the array; the caller has no use for the registers.
    unsafe {
        asm!(
            ".arch_extension fp", ".arch_extension simd",
            "ldp q0, q1, [{0}]", "ldp q2, q3, [{0}, #32]", "ldp q4, q5, [{0}, #64]",
            "ldp q6, q7, [{0}, #96]", "ldp q8, q9, [{0}, #128]", "ldp q10, q11, [{0}, #160]",
            "ldp q12, q13, [{0}, #192]", "ldp q14, q15, [{0}, #224]", "ldp q16, q17, [{0}, #256]",
            "ldp q18, q19, [{0}, #288]", "ldp q20, q21, [{0}, #320]", "ldp q22, q23, [{0}, #352]",
            "ldp q24, q25, [{0}, #384]", "ldp q26, q27, [{0}, #416]", "ldp q28, q29, [{0}, #448]",
            "ldp q30, q31, [{0}, #480]",
            // Rounding mode and default NaN, cumulative exception flags.
            "msr fpcr, {1}", "msr fpsr, {2}",
            ".arch_extension nosimd", ".arch_extension nofp",
            in(reg) &raw const vectors,
            in(reg) pattern(seed, 64) & FPCR,
            in(reg) pattern(seed, 65) & FPSR,
            options(nostack),
        );
    }
}

/// Bits of FPCR that any implementation has: FZ, RMode, DN.
const FPCR: u64 = 0x3C0_0000;
/// Bits of FPSR that any implementation has: QC and the cumulative flags.
const FPSR: u64 = 0x0800_001F;

/// How many of V0 to V31 (in halves), FPCR and FPSR differ from the pattern of a seed.
///
/// # Safety
///
/// Floating point must not trap.
#[must_use]
pub unsafe fn vectors_check(seed: u64) -> u64 {
    let mut vectors = Vectors([0; 64]);
    let (fpcr, fpsr): (u64, u64);
    // SAFETY: writes the array alone.
    unsafe {
        asm!(
            ".arch_extension fp", ".arch_extension simd",
            "stp q0, q1, [{0}]", "stp q2, q3, [{0}, #32]", "stp q4, q5, [{0}, #64]",
            "stp q6, q7, [{0}, #96]", "stp q8, q9, [{0}, #128]", "stp q10, q11, [{0}, #160]",
            "stp q12, q13, [{0}, #192]", "stp q14, q15, [{0}, #224]", "stp q16, q17, [{0}, #256]",
            "stp q18, q19, [{0}, #288]", "stp q20, q21, [{0}, #320]", "stp q22, q23, [{0}, #352]",
            "stp q24, q25, [{0}, #384]", "stp q26, q27, [{0}, #416]", "stp q28, q29, [{0}, #448]",
            "stp q30, q31, [{0}, #480]",
            "mrs {1}, fpcr", "mrs {2}, fpsr",
            ".arch_extension nosimd", ".arch_extension nofp",
            in(reg) &raw mut vectors,
            out(reg) fpcr,
            out(reg) fpsr,
            options(nostack),
        );
    }
    let words = vectors.0.iter().zip(0..);
    let different = words
        .filter(|(word, n)| **word != pattern(seed, *n))
        .count() as u64;
    different
        + u64::from((fpcr ^ pattern(seed, 64)) & FPCR != 0)
        + u64::from((fpsr ^ pattern(seed, 65)) & FPSR != 0)
}

/// Bytes of the longest vector.
const SVE_LONGEST: usize = 256;

/// Content of the SVE registers in the current length: Z0 to Z31 one after the other; P0 to P15
/// likewise, and FFR behind them.
#[repr(C, align(16))]
struct Sve {
    z: [u64; 32 * SVE_LONGEST / 8],
    p: [u8; 17 * SVE_LONGEST / 8],
}

/// Bytes of a vector in the current length.
fn sve_length() -> usize {
    let bytes: usize;
    // SAFETY: reads the length.
    unsafe {
        asm!(".arch_extension sve", "rdvl {0}, #1", ".arch_extension nosve", out(reg) bytes,
             options(nostack));
    }
    bytes
}

impl Sve {
    /// All zero. What is larger is filled in place: stacks are small.
    const fn zero() -> Self {
        Self {
            z: [0; 32 * SVE_LONGEST / 8],
            p: [0; 17 * SVE_LONGEST / 8],
        }
    }

    /// Becomes what a seed makes of the registers at a vector length.
    fn fill(&mut self, seed: u64, length: usize) {
        for (word, n) in self.z.iter_mut().zip(0..) {
            *word = pattern(seed, n);
        }
        self.p = Self::predicates(seed, length);
    }

    /// The part of [`Sve::fill`] for P0 to P15 and FFR.
    fn predicates(seed: u64, length: usize) -> [u8; 17 * SVE_LONGEST / 8] {
        let mut p = core::array::from_fn(|n| pattern(seed, 0x1000 + n as u64).to_le_bytes()[1]);
        // FFR has ones below zeroes: not none of them, nor all.
        let ones = 1 + (pattern(seed, 0x2000) >> 8) as usize % (length - 1);
        for (n, byte) in p.iter_mut().skip(16 * length / 8).enumerate() {
            let bits = (0..8).filter(|bit| 8 * n + bit < ones);
            *byte = bits.fold(0, |byte, bit| byte | 1 << bit);
        }
        p
    }

    /// Becomes what the registers but FFR hold.
    ///
    /// # Safety
    ///
    /// SVE, or in streaming mode SME, must not trap.
    unsafe fn read_without_ffr(&mut self) {
        // SAFETY: writes the arrays alone.
        unsafe {
            asm!(
                ".arch_extension sve",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                "str z\\n, [{0}, #\\n, mul vl]",
                ".endr",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "str p\\n, [{1}, #\\n, mul vl]",
                ".endr",
                ".arch_extension nosve",
                in(reg) &raw mut self.z,
                in(reg) &raw mut self.p,
                options(nostack),
            );
        }
    }

    /// Becomes what the registers hold.
    ///
    /// # Safety
    ///
    /// SVE must not trap.
    unsafe fn read(&mut self) {
        // SAFETY: as the caller promises.
        unsafe { self.read_without_ffr() };
        // SAFETY: writes the array alone; P0, which FFR goes through, is loaded again.
        unsafe {
            asm!(
                ".arch_extension sve",
                "rdffr p0.b", "str p0, [{0}, #16, mul vl]", "ldr p0, [{0}]",
                ".arch_extension nosve",
                in(reg) &raw mut self.p,
                options(nostack),
            );
        }
    }

    /// Writes the registers but FFR.
    ///
    /// # Safety
    ///
    /// SVE, or in streaming mode SME, must not trap, and the caller's code must not use it.
    unsafe fn write_without_ffr(&self) {
        // SAFETY: reads the arrays; the caller has no use for the registers.
        unsafe {
            asm!(
                ".arch_extension sve",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "ldr p\\n, [{1}, #\\n, mul vl]",
                ".endr",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                "ldr z\\n, [{0}, #\\n, mul vl]",
                ".endr",
                ".arch_extension nosve",
                in(reg) &raw const self.z,
                in(reg) &raw const self.p,
                options(nostack),
            );
        }
    }

    /// How many words of Z0 to Z31, and bytes of the first `predicates` of P0 to P15 and FFR, differ from
    /// the pattern of a seed.
    fn different(&self, seed: u64, length: usize, predicates: usize) -> u64 {
        let z = self.z.iter().zip(0..).take(32 * length / 8);
        let z = z.filter(|(word, n)| **word != pattern(seed, *n));
        let wanted = Self::predicates(seed, length);
        let p = self.p.iter().zip(&wanted).take(predicates * length / 8);
        (z.count() + p.filter(|(a, b)| a != b).count()) as u64
    }
}

/// Writes the pattern of a seed to Z0 to Z31, P0 to P15 and FFR.
///
/// # Safety
///
/// SVE must not trap, and the caller's code must not use it.
#[inline(never)]
pub unsafe fn sve_set(seed: u64) {
    let mut sve = Sve::zero();
    sve.fill(seed, sve_length());
    // SAFETY: reads the array; the caller has no use for the registers.
    unsafe {
        asm!(
            ".arch_extension sve",
            "ldr p0, [{0}, #16, mul vl]", "wrffr p0.b",
            ".arch_extension nosve",
            in(reg) &raw const sve.p,
            options(nostack),
        );
    }
    // SAFETY: as the caller promises.
    unsafe { sve.write_without_ffr() };
}

/// How many words of Z0 to Z31, and bytes of P0 to P15 and FFR, differ from the pattern of a
/// seed.
///
/// # Safety
///
/// SVE must not trap.
#[must_use]
#[inline(never)]
pub unsafe fn sve_check(seed: u64) -> u64 {
    let length = sve_length();
    let mut found = Sve::zero();
    // SAFETY: as the caller promises.
    unsafe { found.read() };
    found.different(seed, length, 17)
}

/// As [`sve_set`], in streaming mode, which may have no FFR.
///
/// # Safety
///
/// The CPU is in streaming mode, SME does not trap, and the caller's code does not use the registers.
pub unsafe fn streaming_set(seed: u64) {
    let mut sve = Sve::zero();
    sve.fill(seed, sve_length());
    // SAFETY: as the caller promises.
    unsafe { sve.write_without_ffr() };
}

/// As [`sve_check`], in streaming mode, which may have no FFR.
///
/// # Safety
///
/// The CPU is in streaming mode, and SME does not trap.
#[must_use]
pub unsafe fn streaming_check(seed: u64) -> u64 {
    let length = sve_length();
    let mut found = Sve::zero();
    // SAFETY: as the caller promises.
    unsafe { found.read_without_ffr() };
    found.different(seed, length, 16)
}

/// How many words of Z0 to Z31, and bytes of P0 to P15 and FFR, are not zero.
///
/// # Safety
///
/// SVE must not trap.
#[must_use]
// A Realm's stack has room for one such array, not for a second in the caller's frame.
#[inline(never)]
pub unsafe fn sve_used() -> u64 {
    let length = sve_length();
    let mut found = Sve::zero();
    // SAFETY: as the caller promises.
    unsafe { found.read() };
    let z = found.z.iter().take(32 * length / 8);
    let p = found.p.iter().take(17 * length / 8);
    (z.filter(|z| **z != 0).count() + p.filter(|p| **p != 0).count()) as u64
}
