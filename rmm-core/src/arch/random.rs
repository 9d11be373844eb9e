// SPDX-License-Identifier: BSD-3-Clause
//! Random numbers of the CPU (FEAT_RNG).

use crate::machine::IdRegisters;
use core::arch::asm;

/// Attempts to get a word. The generator may need time between two words.
const ATTEMPTS: usize = 64;

/// A random number; `None` if the CPU has no generator, or the generator does not work.
pub fn number(id: &IdRegisters) -> Option<[u8; 32]> {
    // ID_AA64ISAR0_EL1.RNDR.
    if id.isar0 >> 60 == 0 {
        return None;
    }
    let mut number = [0; 32];
    for bytes in number.as_chunks_mut().0 {
        *bytes = (0..ATTEMPTS).find_map(|_| word())?.to_ne_bytes();
    }
    Some(number)
}

// Out of line, or the loops above unroll.
/// Reads `RNDR`, which says by NZCV whether it had a number.
#[inline(never)]
fn word() -> Option<u64> {
    let (word, valid): (u64, u64);
    // SAFETY: reads a register that the CPU has.
    unsafe {
        asm!(
            "mrs {word}, s3_3_c2_c4_0",
            "cset {valid}, ne",
            word = out(reg) word,
            valid = out(reg) valid,
            options(nomem, nostack)
        );
    }
    (valid != 0).then_some(word)
}
