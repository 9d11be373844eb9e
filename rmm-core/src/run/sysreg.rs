// SPDX-License-Identifier: BSD-3-Clause
//! Trapped system registers: identification, interrupts for other PEs, and hidden registers.

use crate::machine::{RecContext, Timer, TimerRegister};

/// A trapped MSR, MRS or System instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap(u64);

/// `op0, op1, CRn, CRm, op2` of a register, in the layout of [`Trap::encoding`].
#[must_use]
pub const fn encoding(op0: u64, op1: u64, crn: u64, crm: u64, op2: u64) -> u64 {
    op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1
}

const ENCODING_MASK: u64 = encoding(3, 7, 15, 15, 7);

/// Writes that only the Host can act on.
const ICC_DIR_EL1: u64 = encoding(3, 0, 12, 11, 1);
const ICC_SGI1R_EL1: u64 = encoding(3, 0, 12, 11, 5);
const ICC_ASGI1R_EL1: u64 = encoding(3, 0, 12, 11, 6);
const ICC_SGI0R_EL1: u64 = encoding(3, 0, 12, 11, 7);

/// IMPLEMENTATION DEFINED registers, of which no Realm sees anything.
const ACTLR_EL1: u64 = encoding(3, 0, 1, 0, 1);
const AIDR_EL1: u64 = encoding(3, 1, 0, 0, 7);

const OSLSR_EL1: u64 = encoding(2, 0, 1, 1, 4);

/// What to do about a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A read: the Realm gets this value.
    Read(u64),
    /// A write that is ignored.
    Ignore,
    /// A write that the Host acts on: the REC leaves with this value.
    Exit(u64),
    /// A debug register: lend the Realm breakpoints and watchpoints.
    Debug,
    /// A PMU register: lend the Realm the PMU, if it has one.
    Pmu,
    /// A register of an EL1 timer whose signal is masked: done on behalf of the Realm.
    Timer(Timer, TimerRegister),
    /// The register does not exist for the Realm.
    Undefined,
}

impl Trap {
    /// The trap with this `ESR_EL2`.
    #[must_use]
    pub const fn new(esr: u64) -> Self {
        Self(esr)
    }

    const fn encoding(self) -> u64 {
        self.0 & ENCODING_MASK
    }

    /// MRS, not MSR.
    #[must_use]
    pub const fn is_read(self) -> bool {
        self.0 & 1 != 0
    }

    const fn rt(self) -> usize {
        (self.0 >> 5 & 0x1F) as usize
    }

    const fn op0(self) -> u64 {
        self.0 >> 20 & 3
    }

    const fn op1(self) -> u64 {
        self.0 >> 14 & 7
    }

    /// The space of ID registers that `HCR_EL2.TID3` traps: op0 3, op1 0, CRn 0, CRm 1 to 7; and
    /// REVIDR_EL1 next to it.
    const fn is_id(self) -> bool {
        self.op0() == 3 && self.op1() == 0 && self.0 >> 10 & 0xF == 0
    }

    /// Whether a read of this register, if it does not exist, is reported with the syndrome of the
    /// read (FEAT_IDST): op0 3, op1 1 or 3, CRn 0, CRm 0 to 7.
    #[must_use]
    pub const fn is_unimplemented_id(self) -> bool {
        let (crn, crm) = (self.0 >> 10 & 0xF, self.0 >> 1 & 0xF);
        self.is_read() && self.op0() == 3 && matches!((self.op1(), crn, crm), (1 | 3, 0, ..8))
    }

    /// CRm and op2.
    const fn id(self) -> (u64, u64) {
        (self.0 >> 1 & 0xF, self.0 >> 17 & 7)
    }

    /// Self-hosted debug registers: op0 2, op1 0, CRn 0, 1 and 7.
    const fn is_debug(self) -> bool {
        self.op0() == 2 && self.op1() == 0 && matches!(self.0 >> 10 & 0xF, 0 | 1 | 7)
    }

    /// The debug communications channel as EL0 sees it: op0 2, op1 3, CRn 0.
    const fn is_dcc(self) -> bool {
        self.op0() == 2 && self.op1() == 3 && self.0 >> 10 & 0xF == 0
    }

    /// Value of a debug register that stays trapped while the others are lent: `OSLSR_EL1` says that
    /// the OS lock is implemented and open, any other register is zero.
    #[must_use]
    pub const fn hidden_debug_value(self) -> u64 {
        const OSLM: u64 = 1 << 3;
        if self.encoding() == OSLSR_EL1 {
            OSLM
        } else {
            0
        }
    }

    /// PMU registers: op0 3, and op1 3 with CRn 9, CRm 12 to 14 or CRn 14, CRm 8 to 15, or op1 0
    /// with CRn 9, CRm 14.
    const fn is_pmu(self) -> bool {
        let (crn, crm) = (self.0 >> 10 & 0xF, self.0 >> 1 & 0xF);
        self.op0() == 3
            && matches!(
                (self.op1(), crn, crm),
                (3, 9, 12..=14) | (3, 14, 8..=15) | (0, 9, 14)
            )
    }

    /// The timer register: op0 3, op1 3, CRn 14, CRm 2 (physical) or 3 (virtual).
    const fn timer(self) -> Option<(Timer, TimerRegister)> {
        let (crn, (crm, op2)) = (self.0 >> 10 & 0xF, self.id());
        let timer = match (self.op0(), self.op1(), crn, crm) {
            (3, 3, 14, 2) => Timer::Physical,
            (3, 3, 14, 3) => Timer::Virtual,
            _ => return None,
        };
        let register = match op2 {
            0 => TimerRegister::Tval,
            1 => TimerRegister::Ctl,
            2 => TimerRegister::Cval,
            _ => return None,
        };
        Some((timer, register))
    }

    /// DC ISW, CSW and CISW: op0 1, op1 0, CRn 7, CRm 6, 10 and 14, op2 2.
    const fn is_cache_by_set(self) -> bool {
        let (crn, crm) = (self.0 >> 10 & 0xF, self.0 >> 1 & 0xF);
        let (_, op2) = self.id();
        self.op0() == 1 && self.op1() == 0 && crn == 7 && matches!(crm, 6 | 10 | 14) && op2 == 2
    }

    /// A register of the GIC CPU interface: op0 3, op1 0, and CRn 12, CRm 8 to 12, or CRn 4, CRm 6.
    #[must_use]
    pub const fn is_gic(self) -> bool {
        let (crn, (crm, _)) = (self.0 >> 10 & 0xF, self.id());
        self.op0() == 3 && self.op1() == 0 && matches!((crn, crm), (12, 8..=12) | (4, 6))
    }

    /// The value of the source register; XZR is zero.
    #[must_use]
    pub fn source(self, rec: &RecContext) -> u64 {
        rec.gprs.get(self.rt()).copied().unwrap_or(0)
    }

    /// Puts the value of a read into its register.
    pub fn set_target(self, rec: &mut RecContext, value: u64) {
        if let Some(register) = rec.gprs.get_mut(self.rt()) {
            *register = value;
        }
    }

    /// What to do; `id_register` returns what the Realm sees of an ID register, by CRm and op2.
    #[must_use]
    pub fn action(self, rec: &RecContext, id_register: impl FnOnce(u64, u64) -> u64) -> Action {
        if self.is_debug() {
            return Action::Debug;
        }
        // The debug communications channel always exists; nobody listens.
        if self.is_dcc() || self.encoding() == ACTLR_EL1 {
            return if self.is_read() {
                Action::Read(0)
            } else {
                Action::Ignore
            };
        }
        // Stage 2 makes all accesses to a Realm's memory cacheable: there is nothing to clean, and the
        // lines of others are left alone.
        if self.is_cache_by_set() && !self.is_read() {
            return Action::Ignore;
        }
        if self.is_pmu() {
            return Action::Pmu;
        }
        if self.is_read() && self.is_id() {
            let (crm, op2) = self.id();
            return Action::Read(id_register(crm, op2));
        }
        if let Some((timer, register)) = self.timer() {
            return Action::Timer(timer, register);
        }
        match self.encoding() {
            AIDR_EL1 if self.is_read() => Action::Read(0),
            ICC_DIR_EL1 | ICC_SGI1R_EL1 | ICC_ASGI1R_EL1 | ICC_SGI0R_EL1 if !self.is_read() => {
                Action::Exit(self.source(rec))
            }
            _ => Action::Undefined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn esr(encoding: u64, rt: u64, read: bool) -> u64 {
        0x18 << 26 | 1 << 25 | encoding | rt << 5 | u64::from(read)
    }

    #[test]
    fn id_registers_are_read_and_never_written() {
        let rec = RecContext::new_zeroed();
        let pfr0 = encoding(3, 0, 0, 4, 0);
        let seen = |crm, op2| crm << 8 | op2;
        assert_eq!(
            Trap::new(esr(pfr0, 3, true)).action(&rec, seen),
            Action::Read(0x400)
        );
        assert_eq!(
            Trap::new(esr(pfr0, 3, false)).action(&rec, seen),
            Action::Undefined
        );
    }

    #[test]
    fn interrupts_for_others_go_to_the_host() {
        let mut rec = RecContext::new_zeroed();
        rec.gprs[7] = 0x1234;
        for (crm, op2) in [(11, 1), (11, 5), (11, 6), (11, 7)] {
            let register = encoding(3, 0, 12, crm, op2);
            let action = Trap::new(esr(register, 7, false)).action(&rec, |_, _| 0);
            assert_eq!(action, Action::Exit(0x1234));
            let action = Trap::new(esr(register, 31, false)).action(&rec, |_, _| 0);
            assert_eq!(action, Action::Exit(0), "XZR");
            let action = Trap::new(esr(register, 7, true)).action(&rec, |_, _| 0);
            assert_eq!(action, Action::Undefined);
        }
    }

    // Conformance: Memory attributes and caches set_way
    #[test]
    fn caches_by_set_and_way_are_left_alone() {
        let rec = RecContext::new_zeroed();
        let action = |register, read| Trap::new(esr(register, 1, read)).action(&rec, |_, _| 0);
        for crm in [6, 10, 14] {
            assert_eq!(action(encoding(1, 0, 7, crm, 2), false), Action::Ignore);
            // Allocation tags: no Realm has them.
            for op2 in [4, 6] {
                assert_eq!(
                    action(encoding(1, 0, 7, crm, op2), false),
                    Action::Undefined
                );
            }
        }
        assert_eq!(action(encoding(1, 0, 7, 8, 2), false), Action::Undefined);
        assert_eq!(action(encoding(1, 1, 7, 6, 2), false), Action::Undefined);
        assert_eq!(action(encoding(3, 0, 7, 6, 2), false), Action::Undefined);
    }

    #[test]
    fn debug_and_pmu_registers_are_given() {
        let rec = RecContext::new_zeroed();
        for (register, action) in [
            (encoding(2, 0, 0, 0, 4), Action::Debug),
            (encoding(2, 0, 0, 2, 2), Action::Debug),
            (encoding(2, 0, 1, 0, 4), Action::Debug),
            (encoding(3, 3, 9, 12, 0), Action::Pmu),
            (encoding(3, 3, 14, 15, 7), Action::Pmu),
            (encoding(3, 0, 9, 14, 1), Action::Pmu),
            // SPMUs.
            (encoding(2, 0, 9, 12, 0), Action::Undefined),
            // PMMIR's neighbour in another CRm.
            (encoding(3, 0, 9, 13, 0), Action::Undefined),
        ] {
            for read in [false, true] {
                let found = Trap::new(esr(register, 1, read)).action(&rec, |_, _| 0);
                assert_eq!(found, action, "{register:#x}");
            }
        }
    }

    // Conformance: REC exits timer
    #[test]
    fn timer_registers() {
        use Timer::{Physical, Virtual};
        use TimerRegister::{Ctl, Cval, Tval};
        let rec = RecContext::new_zeroed();
        for (register, action) in [
            (encoding(3, 3, 14, 2, 0), Action::Timer(Physical, Tval)),
            (encoding(3, 3, 14, 2, 1), Action::Timer(Physical, Ctl)),
            (encoding(3, 3, 14, 2, 2), Action::Timer(Physical, Cval)),
            (encoding(3, 3, 14, 3, 0), Action::Timer(Virtual, Tval)),
            (encoding(3, 3, 14, 3, 1), Action::Timer(Virtual, Ctl)),
            (encoding(3, 3, 14, 3, 2), Action::Timer(Virtual, Cval)),
            (encoding(3, 3, 14, 3, 3), Action::Undefined),
            // CNTPCT_EL0, and the EL2 timer.
            (encoding(3, 3, 14, 0, 1), Action::Undefined),
            (encoding(3, 4, 14, 2, 1), Action::Undefined),
        ] {
            for read in [false, true] {
                let found = Trap::new(esr(register, 1, read)).action(&rec, |_, _| 0);
                assert_eq!(found, action, "{register:#x}");
            }
        }
    }

    #[test]
    fn nobody_listens_to_the_debug_channel() {
        let rec = RecContext::new_zeroed();
        for register in [encoding(2, 3, 0, 1, 0), encoding(2, 3, 0, 5, 0)] {
            let read = Trap::new(esr(register, 1, true)).action(&rec, |_, _| 0);
            let write = Trap::new(esr(register, 1, false)).action(&rec, |_, _| 0);
            assert_eq!((read, write), (Action::Read(0), Action::Ignore));
        }
        assert_eq!(Trap::new(esr(OSLSR_EL1, 1, true)).hidden_debug_value(), 8);
        assert_eq!(
            Trap::new(esr(encoding(2, 0, 1, 3, 4), 1, true)).hidden_debug_value(),
            0
        );
    }

    // Conformance: Exceptions and accesses that do not exit implementation_defined
    #[test]
    fn nothing_of_the_implementer_is_seen() {
        let rec = RecContext::new_zeroed();
        let action = |register, read| Trap::new(esr(register, 1, read)).action(&rec, |_, _| 0);
        assert_eq!(action(ACTLR_EL1, true), Action::Read(0));
        assert_eq!(action(ACTLR_EL1, false), Action::Ignore);
        for (op1, op2) in [(0, 6), (1, 7)] {
            let register = encoding(3, op1, 0, 0, op2);
            assert_eq!(action(register, true), Action::Read(0));
            assert_eq!(action(register, false), Action::Undefined);
        }
    }

    // Conformance: Exceptions and accesses that do not exit hidden
    #[test]
    fn what_is_hidden_is_undefined() {
        let rec = RecContext::new_zeroed();
        let amcr = encoding(3, 3, 13, 2, 0);
        let impdef = encoding(3, 0, 15, 0, 0);
        let trace = encoding(2, 1, 0, 0, 0);
        let smidr = encoding(3, 1, 0, 0, 6);
        for register in [amcr, impdef, trace, smidr] {
            for read in [false, true] {
                let action = Trap::new(esr(register, 1, read)).action(&rec, |_, _| 0);
                assert_eq!(action, Action::Undefined);
            }
        }
    }
}
