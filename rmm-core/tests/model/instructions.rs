// SPDX-License-Identifier: BSD-3-Clause
//! Outcome of the instructions of a Realm other than calls (A4.3.4, A5.2).

use super::conditions::cover;
use super::state::{LastExit, Model};
use super::step::Step;
use super::tables::{Entry, Ripas, size};
use rmm_abi::rmi::{RecExit, RecExitReason};
use rmm_abi::{psci, rsi};
use rmm_core::fake::{LINEAR_MAP, Taken, esr};
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;
use zerocopy::FromZeros;

/// A load or store of one register.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub ipa: u64,
    /// The value that a store writes; `None` for a load.
    pub store: Option<u64>,
    pub bytes: u32,
    pub signed: bool,
    /// The register is an X register, not a W register.
    pub wide: bool,
    /// Number of the register; 31 is XZR.
    pub register: usize,
    /// Whether an abort has an instruction syndrome.
    pub syndrome: bool,
}

/// An instruction of a Realm.
#[derive(Clone, Debug)]
pub enum Instruction {
    Memory(Memory),
    Fetch(u64),
    /// SMC, with the arguments from X0 on.
    Call(Vec<u64>),
    Hvc,
    /// WFE if true, else WFI.
    Wait(bool),
    /// No instruction: a Host on another CPU takes a step meanwhile.
    Meanwhile(Box<Step>),
}

/// Expected outcome of an instruction.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// There is no instruction.
    Nothing,
    /// The program starts again.
    Restart,
    /// The REC exits; the outcome depends on the next entry.
    Exit,
    /// Completion.
    Done,
    /// Completion of a load with this value.
    Value(u64),
    /// An exception taken to EL1: `ESR_EL1`, a mask for it, and `FAR_EL1` if the exception has one.
    Taken(u64, u64, Option<u64>),
    /// Completion of a call, with the results from X0 on; the rest of X1 to X3 is zero.
    Results(Vec<u64>),
    /// Completion of RSI_IPA_STATE_GET: the base, the end of the range with the same RIPAS, and the
    /// RIPAS.
    Extent(u64, u64, Ripas),
}

impl Expected {
    /// Name for the statistics.
    fn name(&self) -> &'static str {
        match self {
            Self::Nothing | Self::Restart | Self::Exit => "nothing",
            Self::Done => "done",
            Self::Value(_) => "value",
            Self::Taken(_, STATUS, _) => "granule protection fault",
            Self::Taken(esr, ..) if esr & SEA == SEA => "external abort",
            Self::Taken(esr, ..) if esr >> 26 == 0 => "undefined",
            Self::Taken(..) => "address size fault",
            Self::Results(results) if results[0] == 0 => "success",
            Self::Results(_) => "error",
            Self::Extent(..) => "extent",
        }
    }

    pub fn results(results: &[u64]) -> Self {
        Self::Results(results.to_vec())
    }
}

/// Outcome of an access to an IPA.
pub enum Reach {
    /// It reaches this granule.
    Granule(u64),
    /// Granule protection fault, taken by the Realm.
    GranuleProtection,
    /// External abort, taken by the Realm.
    ExternalAbort,
    /// Address size fault, taken by the Realm.
    AddressSize,
    /// Exit due to a stage 2 fault with this status.
    Exit(u64),
}

/// Kind of an access.
#[derive(Clone, Copy, PartialEq)]
pub enum AccessKind {
    Load,
    Store,
    Fetch,
}

/// Bits of the syndrome of an external abort.
const SEA: u64 = esr::EA | esr::EXTERNAL;
const SAME_EL_DATA: u64 = esr::DATA_ABORT | esr::SAME_EL | esr::IL;
const SAME_EL_FETCH: u64 = esr::INSTRUCTION_ABORT | esr::SAME_EL | esr::IL;
const ALL: u64 = u64::MAX;
/// Mask for the fault status in `ESR_EL1`.
const STATUS: u64 = 0x3F;

/// An exit record with this reason, without the fields that every exit has.
pub fn exit_record(reason: RecExitReason) -> Box<RecExit> {
    let mut exit = Box::new(RecExit::new_zeroed());
    exit.exit_reason = reason as u8;
    exit
}

/// The exit record of an abort, without the fields that every exit has.
pub fn abort_record(esr: u64, ipa: u64) -> Box<RecExit> {
    let mut exit = exit_record(RecExitReason::Sync);
    exit.esr = esr;
    exit.hpfar = ipa >> 12 << 4;
    exit
}

impl Memory {
    fn access_kind(&self) -> AccessKind {
        if self.store.is_some() {
            AccessKind::Store
        } else {
            AccessKind::Load
        }
    }

    /// The low bytes that the access moves.
    fn cut(&self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - 8 * self.bytes))
    }

    /// Value of the register after a load of `value`.
    pub fn extended(&self, value: u64) -> u64 {
        let unused = 64 - 8 * self.bytes;
        let value = value << unused;
        let value = if self.signed {
            (value.cast_signed() >> unused).cast_unsigned()
        } else {
            value >> unused
        };
        if self.wide {
            value
        } else {
            value & 0xFFFF_FFFF
        }
    }

    /// The bytes that a store writes.
    fn written(&self) -> u64 {
        let value = self.store.unwrap_or(0);
        self.cut(if self.register == 31 { 0 } else { value })
    }
}

/// Name of an instruction, for the statistics.
fn name(instruction: Option<&Instruction>) -> &'static str {
    match instruction {
        Some(Instruction::Memory(memory)) if memory.store.is_some() => "a store",
        Some(Instruction::Memory(_)) => "a load",
        Some(Instruction::Fetch(_)) => "a fetch",
        Some(Instruction::Call(args)) => match args[0] {
            rsi::fid::RSI_IPA_STATE_SET => "RSI_IPA_STATE_SET",
            rsi::fid::RSI_IPA_STATE_GET => "RSI_IPA_STATE_GET",
            rsi::fid::RSI_HOST_CALL => "RSI_HOST_CALL",
            rsi::fid::RSI_REALM_CONFIG => "RSI_REALM_CONFIG",
            psci::fid::PSCI_CPU_ON => "PSCI_CPU_ON",
            psci::fid::PSCI_AFFINITY_INFO => "PSCI_AFFINITY_INFO",
            _ => "another call",
        },
        Some(Instruction::Hvc) => "HVC",
        Some(Instruction::Wait(_)) => "WFx",
        Some(Instruction::Meanwhile(_)) => "a step of another Host",
        None => "nothing",
    }
}

impl Model {
    /// Outcome of an access of a Realm (A5.2).
    pub fn reach(&self, rd: u64, ipa: u64, kind: AccessKind) -> Reach {
        let tables = &self.realms[&rd].tables;
        if ipa >= tables.end() {
            return Reach::AddressSize;
        }
        let at = tables.walk(ipa, 3);
        let offset = ipa - at.base();
        match at.entry {
            Entry::Assigned(Ripas::Ram, pa) => Reach::Granule(pa + (offset & !0xFFF)),
            Entry::Unassigned(Ripas::Empty) | Entry::Assigned(Ripas::Empty, _) => {
                Reach::ExternalAbort
            }
            Entry::Unassigned(_) | Entry::Assigned(..) => {
                Reach::Exit(esr::translation_fault(at.level))
            }
            Entry::AssignedNs(attributes, pa) => {
                let pa = pa + (offset & !0xFFF);
                let pas = self.granules.get(&pa).and_then(|granule| granule.pas);
                let may = match kind {
                    AccessKind::Load => attributes >> 6 & 1 == 1,
                    AccessKind::Store => attributes >> 7 & 1 == 1,
                    AccessKind::Fetch => false,
                };
                // Where both faults apply, a CPU may report either. The fake CPU reports this one.
                if pas != Some(Pas::NonSecure) {
                    Reach::GranuleProtection
                } else if may {
                    Reach::Granule(pa)
                } else if kind == AccessKind::Fetch {
                    Reach::ExternalAbort
                } else {
                    Reach::Exit(esr::permission_fault(at.level))
                }
            }
            Entry::UnassignedNs if kind == AccessKind::Fetch => Reach::ExternalAbort,
            Entry::UnassignedNs => Reach::Exit(esr::translation_fault(at.level)),
            Entry::Table(_) => unreachable!("a walk to level 3"),
        }
    }

    /// Tries the current instruction: makes its changes and records its expected outcome.
    pub fn attempt(&mut self, rec: u64) {
        let Some(instruction) = self.rec(rec).current.clone() else {
            return;
        };
        let expected = match instruction {
            Instruction::Memory(memory) => self.access(rec, memory),
            Instruction::Fetch(ipa) => self.fetch(rec, ipa),
            Instruction::Call(args) => self.call(rec, &args),
            Instruction::Hvc => Expected::Taken(esr::IL, ALL, None),
            Instruction::Wait(event) => self.wait(rec, event),
            Instruction::Meanwhile(_) => Expected::Done,
        };
        self.rec(rec).expected = expected;
    }

    /// Records that the REC exits with this exit record.
    pub fn leave(&mut self, rec: u64, exit: Box<RecExit>, last: LastExit) -> Expected {
        let rec = self.rec(rec);
        rec.exit = Some(exit);
        rec.last = last;
        Expected::Exit
    }

    fn access(&mut self, rec: u64, memory: Memory) -> Expected {
        let rd = self.recs[&rec].rd;
        let far = LINEAR_MAP | memory.ipa;
        let wnr = if memory.store.is_some() { esr::WNR } else { 0 };
        self.realm(rd).probe(memory.ipa);
        let status = match self.reach(rd, memory.ipa, memory.access_kind()) {
            Reach::Granule(pa) => return self.complete_access(pa, memory),
            Reach::GranuleProtection => {
                return Expected::Taken(esr::GRANULE_PROTECTION, STATUS, Some(far));
            }
            Reach::ExternalAbort => {
                return Expected::Taken(SAME_EL_DATA | wnr | SEA, ALL, Some(far));
            }
            Reach::AddressSize => return Expected::Taken(SAME_EL_DATA | wnr, ALL, Some(far)),
            Reach::Exit(status) => status,
        };
        if self.realms[&rd].tables.is_protected(memory.ipa) {
            let exit = abort_record(esr::DATA_ABORT | status, memory.ipa);
            return self.leave(rec, exit, LastExit::Other);
        }
        if !memory.syndrome {
            let exit = abort_record(esr::DATA_ABORT | status, memory.ipa);
            return self.leave(rec, exit, LastExit::Unprotected);
        }
        let sf = if memory.wide { esr::SF } else { 0 };
        let iss = esr::ISV | esr::sas(memory.bytes) | sf | wnr;
        let mut exit = abort_record(esr::DATA_ABORT | iss | status, memory.ipa);
        exit.far = far & 0xFFF;
        exit.gprs[0] = memory.written();
        self.leave(rec, exit, LastExit::Emulatable)
    }

    fn complete_access(&mut self, pa: u64, memory: Memory) -> Expected {
        let offset = (memory.ipa & 0xFFF) as usize;
        let length = memory.bytes as usize;
        if memory.store.is_some() {
            let bytes = memory.written().to_le_bytes();
            self.granule(pa).content_mut()[offset..][..length].copy_from_slice(&bytes[..length]);
            return Expected::Done;
        }
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&self.granules[&pa].content()[offset..][..length]);
        Expected::Value(memory.extended(u64::from_le_bytes(bytes)))
    }

    fn fetch(&mut self, rec: u64, ipa: u64) -> Expected {
        let rd = self.recs[&rec].rd;
        let far = Some(LINEAR_MAP | ipa);
        self.realm(rd).probe(ipa);
        match self.reach(rd, ipa, AccessKind::Fetch) {
            Reach::Granule(_) => Expected::Done,
            Reach::GranuleProtection => Expected::Taken(esr::GRANULE_PROTECTION, STATUS, far),
            Reach::ExternalAbort => Expected::Taken(SAME_EL_FETCH | SEA, ALL, far),
            Reach::AddressSize => Expected::Taken(SAME_EL_FETCH, ALL, far),
            Reach::Exit(status) => {
                let exit = abort_record(esr::INSTRUCTION_ABORT | status, ipa);
                self.leave(rec, exit, LastExit::Other)
            }
        }
    }

    fn wait(&mut self, rec: u64, event: bool) -> Expected {
        let (wfi, wfe) = self.recs[&rec].traps;
        let exit = if if event { wfe } else { wfi } {
            let mut exit = exit_record(RecExitReason::Sync);
            exit.esr = 1 << 26 | u64::from(event);
            exit
        } else {
            exit_record(RecExitReason::Irq)
        };
        self.leave(rec, exit, LastExit::Other);
        Expected::Done
    }

    /// The exception that inject_sea causes for this access.
    pub fn injected(memory: &Memory) -> Expected {
        let wnr = if memory.store.is_some() { esr::WNR } else { 0 };
        Expected::Taken(SAME_EL_DATA | wnr | SEA, ALL, Some(LINEAR_MAP | memory.ipa))
    }

    /// The granule to which hardware translates an IPA; `None` if there is no valid translation.
    pub fn translation(&self, rd: u64, ipa: u64) -> Option<u64> {
        let tables = &self.realms[&rd].tables;
        let at = tables.walk(ipa, 3);
        let offset = ipa & (size(at.level) - 1) & !0xFFF;
        match at.entry {
            Entry::Assigned(Ripas::Ram, pa) => {
                assert_eq!(
                    self.granule_state(pa + offset),
                    Some(GranuleState::Data),
                    "{ipa:#x}"
                );
                Some(pa + offset)
            }
            Entry::AssignedNs(_, pa) => Some(pa + offset),
            _ => None,
        }
    }

    /// Asserts that an instruction had its expected outcome: registers before and after, the PC of
    /// the instruction, and the exception if one was taken.
    pub fn done(
        &mut self,
        rec: u64,
        before: &[u64; 31],
        after: &[u64; 31],
        pc: u64,
        taken: Option<Taken>,
    ) {
        let rec = self.rec(rec);
        let instruction = rec.current.take();
        let expected = std::mem::replace(&mut rec.expected, Expected::Nothing);
        let what = || format!("{instruction:x?}, expected {expected:x?}, taken {taken:x?}");
        assert!(rec.exit.is_none(), "an exit was expected: {}", what());
        cover(name(instruction.as_ref()), expected.name());
        let mut kept_from = 0;
        match (&expected, &instruction) {
            (Expected::Taken(esr, mask, far), _) => {
                let taken =
                    taken.unwrap_or_else(|| panic!("an exception was expected: {}", what()));
                assert_eq!(taken.esr & mask, *esr, "{}", what());
                assert!(far.is_none_or(|far| far == taken.far), "{}", what());
                assert_eq!((taken.elr, taken.vector), (pc, 0x200), "{}", what());
                return;
            }
            _ if taken.is_some() => panic!("unexpected exception: {}", what()),
            (Expected::Done, _) => {}
            (Expected::Value(value), Some(Instruction::Memory(memory))) => {
                if let Some(register) = after.get(memory.register) {
                    assert_eq!(register, value, "{}", what());
                }
                kept_from = 4;
            }
            (Expected::Results(results), _) => {
                for (n, register) in after.iter().enumerate().take(results.len().max(4)) {
                    let result = results.get(n).copied().unwrap_or(0);
                    assert_eq!(*register, result, "X{n} after {}", what());
                }
                kept_from = results.len().max(4);
            }
            (Expected::Extent(base, end, ripas), _) => {
                assert_eq!((after[0], after[2], after[3]), (0, *ripas as u64, 0));
                assert!(after[1] > *base && after[1] <= *end, "{}", what());
                kept_from = 4;
            }
            _ => panic!("unexpected completion: {}", what()),
        }
        assert_eq!(after[kept_from..], before[kept_from..], "{}", what());
    }
}
