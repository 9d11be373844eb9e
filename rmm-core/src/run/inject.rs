// SPDX-License-Identifier: BSD-3-Clause
//! Exceptions that the monitor makes a Realm take at EL1.
//!
//! All of these work on [`RecContext`], whose `el1` must be up to date.

use crate::machine::{IdRegisters, RecContext};

/// Exception class in a syndrome register.
pub mod ec {
    /// Unknown reason.
    pub const UNKNOWN: u64 = 0x00;
    /// WFI, WFE, WFIT or WFET.
    pub const WFX: u64 = 0x01;
    /// FP or SIMD access.
    pub const FP: u64 = 0x07;
    /// HVC from AArch64.
    pub const HVC64: u64 = 0x16;
    /// SMC from AArch64.
    pub const SMC64: u64 = 0x17;
    /// MSR, MRS or System instruction.
    pub const SYSREG: u64 = 0x18;
    /// SVE access.
    pub const SVE: u64 = 0x19;
    /// SME access.
    pub const SME: u64 = 0x1D;
    /// Instruction Abort from a lower Exception level.
    pub const INSTRUCTION_ABORT_LOWER: u64 = 0x20;
    /// Data Abort from a lower Exception level.
    pub const DATA_ABORT_LOWER: u64 = 0x24;
}

/// Exception class of a syndrome.
pub const fn class(esr: u64) -> u64 {
    esr >> 26 & 0x3F
}

/// Whether a syndrome is that of a Data Abort or an Instruction Abort from a Realm.
pub const fn is_abort(esr: u64) -> bool {
    matches!(
        class(esr),
        ec::INSTRUCTION_ABORT_LOWER | ec::DATA_ABORT_LOWER
    )
}

/// A syndrome of this exception class, with IL clear and ISS zero.
const fn with_class(ec: u64) -> u64 {
    ec << 26
}

/// IL: the instruction is 32 bits wide.
const IL: u64 = 1 << 25;
/// EA: external abort type.
const EA: u64 = 1 << 9;
/// Fault status code of a Synchronous External Abort that is not on a table walk.
const FSC_SEA: u64 = 0x10;
/// WnR and CM: the fields of an abort's ISS that mean the same at EL1.
const ISS_KEPT: u64 = 1 << 6 | 1 << 8;

mod pstate {
    pub const EL1H: u64 = 0b0101;
    pub const MODE_MASK: u64 = 0x1F;
    pub const DAIF: u64 = 0xF << 6;
    pub const SSBS: u64 = 1 << 12;
    pub const ALLINT: u64 = 1 << 13;
    pub const PAN: u64 = 1 << 22;
    pub const DIT: u64 = 1 << 24;
    pub const TCO: u64 = 1 << 25;
    pub const NZCV: u64 = 0xF << 28;
}

const SCTLR_SPAN: u64 = 1 << 23;
const SCTLR_DSSBS: u64 = 1 << 44;
const SCTLR_SPINTMASK: u64 = 1 << 62;

/// Synchronous External Abort for an access whose abort had this `ESR_EL2` and `FAR_EL2`.
///
/// EA is 1, as the specification demands for each abort that it makes a Realm take (A5.2.7).
pub fn sea(rec: &mut RecContext, id: &IdRegisters, esr: u64, far: u64) {
    abort(rec, id, esr, FSC_SEA | EA, far);
}

/// Address Size Fault of stage 1 at this level, for an access beyond the IPA space (A5.2.8).
pub fn address_size_fault(rec: &mut RecContext, id: &IdRegisters, esr: u64, far: u64, level: i8) {
    let fsc = if level < 0 {
        0x29
    } else {
        u64::from(level.unsigned_abs() & 3)
    };
    abort(rec, id, esr, fsc, far);
}

/// A fault with this fault status code. EL1 would have taken it without the monitor if stage 1 gave
/// the memory the attributes that stage 2 gives it.
pub fn stage_1_fault(rec: &mut RecContext, id: &IdRegisters, esr: u64, far: u64, status: u64) {
    abort(rec, id, esr, status, far);
}

fn abort(rec: &mut RecContext, id: &IdRegisters, esr: u64, status: u64, far: u64) {
    let lower = if class(esr) == ec::INSTRUCTION_ABORT_LOWER {
        0x20
    } else {
        0x24
    };
    // The next class is that of the same abort without a change of Exception level.
    let ec = if from_el0(rec.pstate) {
        lower
    } else {
        lower + 1
    };
    let kept = if lower == 0x24 { esr & ISS_KEPT } else { 0 };
    rec.el1.far = far;
    take(rec, id, with_class(ec) | IL | kept | status);
}

/// Undefined Instruction exception: unknown reason, returning to the instruction at `pc`.
pub fn undefined(rec: &mut RecContext, id: &IdRegisters) {
    take(rec, id, with_class(ec::UNKNOWN) | IL);
}

/// A read of an ID register that does not exist, whose trap had this `ESR_EL2`: taken with the same
/// syndrome if the CPU has FEAT_IDST, else as an Undefined Instruction exception.
pub fn unimplemented_id(rec: &mut RecContext, id: &IdRegisters, esr: u64) {
    if id.mmfr2 >> 36 & 0xF == 0 {
        return undefined(rec, id);
    }
    take(rec, id, esr);
}

fn from_el0(spsr: u64) -> bool {
    spsr & 0b1_0000 != 0 || spsr & 0b1100 == 0
}

/// Offset of the synchronous vector for an exception that interrupts this PSTATE.
fn vector(spsr: u64) -> u64 {
    match spsr & pstate::MODE_MASK {
        m if m & 0b1_0000 != 0 => 0x600,
        m if m & 0b1100 == 0 => 0x400,
        m if m & 1 != 0 => 0x200,
        _ => 0x000,
    }
}

/// Takes a synchronous exception to EL1, as the architecture's `AArch64.TakeException` does.
fn take(rec: &mut RecContext, id: &IdRegisters, esr: u64) {
    rec.el1.esr = esr;
    rec.el1.elr = rec.pc;
    rec.el1.spsr = rec.pstate;
    rec.pc = rec.el1.vbar.wrapping_add(vector(rec.pstate));
    rec.pstate = entry_pstate(rec.pstate, rec.el1.sctlr, id);
}

/// PSTATE after an exception to EL1.
fn entry_pstate(old: u64, sctlr: u64, id: &IdRegisters) -> u64 {
    let has = |register: u64, shift: u32| register >> shift & 0xF != 0;
    let mut new = pstate::EL1H | pstate::DAIF | old & (pstate::NZCV | pstate::DIT | pstate::PAN);
    if sctlr & SCTLR_SPAN == 0 {
        new |= pstate::PAN;
    }
    if has(id.pfr1, 4) && sctlr & SCTLR_DSSBS != 0 {
        new |= pstate::SSBS;
    }
    if id.pfr1 >> 8 & 0xF >= 2 {
        new |= pstate::TCO;
    }
    if has(id.pfr1, 36) && sctlr & SCTLR_SPINTMASK == 0 {
        new |= pstate::ALLINT;
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn rec(pstate: u64) -> RecContext {
        let mut rec = RecContext::new_zeroed();
        rec.pc = 0x4000;
        rec.pstate = pstate;
        rec.el1.vbar = 0x8_0000;
        rec
    }

    #[test]
    fn sea_of_a_data_abort_from_el1() {
        let mut rec = rec(0x3C5);
        // A write with a full syndrome: ISV, SAS, SRT, SF, FnV, WnR, translation fault level 3.
        let esr =
            with_class(0x24) | IL | 1 << 24 | 3 << 22 | 5 << 16 | 1 << 15 | 1 << 10 | 1 << 6 | 7;
        sea(&mut rec, &IdRegisters::default(), esr, 0x1234);
        assert_eq!(rec.el1.esr, with_class(0x25) | IL | 1 << 9 | 1 << 6 | 0x10);
        assert_eq!(
            (rec.el1.far, rec.el1.elr, rec.el1.spsr),
            (0x1234, 0x4000, 0x3C5)
        );
        assert_eq!(rec.pc, 0x8_0200);
        assert_eq!(
            rec.pstate,
            0x3C5 | 1 << 22,
            "PAN is set where SPAN is clear"
        );
    }

    #[test]
    fn instruction_abort_from_el0() {
        let mut rec = rec(0);
        sea(
            &mut rec,
            &IdRegisters::default(),
            with_class(0x20) | IL | 0x47,
            0,
        );
        assert_eq!(rec.el1.esr, with_class(0x20) | IL | 1 << 9 | 0x10);
        assert_eq!(rec.pc, 0x8_0400);
    }

    #[test]
    fn vectors() {
        for (pstate, offset) in [(0b0100, 0), (0b0101, 0x200), (0, 0x400), (0x10, 0x600)] {
            let mut rec = rec(pstate);
            undefined(&mut rec, &IdRegisters::default());
            assert_eq!(rec.pc, 0x8_0000 + offset);
            assert_eq!(rec.el1.esr, 0x0200_0000);
        }
    }

    #[test]
    fn id_registers_that_do_not_exist() {
        // MRS X5, SMIDR_EL1.
        let esr = with_class(ec::SYSREG) | IL | 3 << 20 | 6 << 17 | 1 << 14 | 5 << 5 | 1;
        let with_idst = IdRegisters {
            mmfr2: 1 << 36,
            ..IdRegisters::default()
        };
        for (id, seen) in [(with_idst, esr), (IdRegisters::default(), IL)] {
            let mut rec = rec(0x3C5);
            unimplemented_id(&mut rec, &id, esr);
            assert_eq!((rec.el1.esr, rec.pc), (seen, 0x8_0200));
        }
    }

    // Conformance: Bugs others fixed pstate_after_injection
    #[test]
    fn pstate_follows_features_and_sctlr() {
        let flags = pstate::NZCV | pstate::DIT | 3 << 10 | 1 << 20 | 1 << 21 | 1 << 23;
        let base = pstate::EL1H | pstate::DAIF | pstate::NZCV | pstate::DIT;
        let none = IdRegisters::default();
        assert_eq!(entry_pstate(flags, SCTLR_SPAN, &none), base);
        let all = IdRegisters {
            pfr1: 1 << 4 | 2 << 8 | 1 << 36,
            ..none
        };
        let set = SCTLR_SPAN | SCTLR_DSSBS;
        assert_eq!(
            entry_pstate(flags, set, &all),
            base | pstate::SSBS | pstate::TCO | pstate::ALLINT
        );
        assert_eq!(entry_pstate(flags, set | SCTLR_SPINTMASK, &none), base);
    }

    #[test]
    fn address_size_fault_levels() {
        for (level, fsc) in [(-1, 0x29), (0, 0), (3, 3)] {
            let mut rec = rec(0x3C5);
            address_size_fault(
                &mut rec,
                &IdRegisters::default(),
                with_class(0x24) | 1 << 6,
                1,
                level,
            );
            assert_eq!(rec.el1.esr, with_class(0x25) | IL | 1 << 6 | fsc);
        }
    }
}
