// SPDX-License-Identifier: BSD-3-Clause
//! Exception syndromes: bits of `ESR_EL2` and `ESR_EL1` (Arm ARM D24.2.39, D24.2.40).

/// EC of a trapped WFI, WFE, WFIT or WFET.
pub const WFX: u64 = 0x01 << 26;
/// EC of an access to FP/SIMD or SVE that `CPTR_EL2` traps.
pub const FP: u64 = 0x07 << 26;
/// EC of HVC.
pub const HVC: u64 = 0x16 << 26;
/// EC of SMC.
pub const SMC: u64 = 0x17 << 26;
/// EC of a trapped MSR, MRS or System instruction.
pub const SYSREG: u64 = 0x18 << 26;
/// EC of a trapped SVE instruction.
pub const SVE: u64 = 0x19 << 26;
/// EC of an Instruction Abort from a lower Exception level.
pub const INSTRUCTION_ABORT: u64 = 0x20 << 26;
/// EC of a Data Abort from a lower Exception level.
pub const DATA_ABORT: u64 = 0x24 << 26;
/// EC of an SError.
pub const SERROR: u64 = 0x2F << 26;
/// What distinguishes the EC of an abort taken from the same Exception level.
pub const SAME_EL: u64 = 1 << 26;

/// IL: the instruction is 32 bits long.
pub const IL: u64 = 1 << 25;
/// ISV: the syndrome describes the access.
pub const ISV: u64 = 1 << 24;
/// SF: the register is 64 bits wide.
pub const SF: u64 = 1 << 15;
/// EA: external abort type.
pub const EA: u64 = 1 << 9;
/// S1PTW: stage 2 fault on the walk of stage 1.
pub const S1PTW: u64 = 1 << 7;
/// WnR: a write, not a read.
pub const WNR: u64 = 1 << 6;
/// Fault status of a synchronous external abort on the access itself.
pub const EXTERNAL: u64 = 0x10;
/// Fault status of a granule protection fault on the access itself.
pub const GRANULE_PROTECTION: u64 = 0x28;

/// SAS of an access of this many bytes.
#[must_use]
pub const fn sas(bytes: u32) -> u64 {
    (bytes.trailing_zeros() as u64) << 22
}

/// Fault status of a translation fault at this level.
///
/// # Panics
/// If there is no such level.
#[must_use]
pub const fn translation_fault(level: i64) -> u64 {
    match level {
        -1 => 0x2B,
        0..=3 => 0x04 | level.cast_unsigned(),
        _ => panic!("not a level"),
    }
}

/// Fault status of a permission fault at this level.
///
/// # Panics
/// If there is no such level.
#[must_use]
pub const fn permission_fault(level: i64) -> u64 {
    match level {
        0..=3 => 0x0C | level.cast_unsigned(),
        _ => panic!("not a level"),
    }
}
