// SPDX-License-Identifier: BSD-3-Clause
//! What an instruction of a Realm comes to (A4.3.4, A5.2, B5, B6).

use super::conditions::cover;
use super::ops::Op;
use super::state::{Change, Kind, LastExit, Model, Page, Psci, RealmState};
use super::tables::{Entry, Ripas, size};
use rmm_abi::mpidr::mpidr_el1_to_index;
use rmm_abi::rmi::{RecExit, RecExitReason};
use rmm_abi::{psci, rsi, smccc};
use rmm_attest::{SoftHash, rem};
use rmm_core::fake::Taken;
use rmm_granule::fake::Pas;
use zerocopy::FromZeros;

/// A load or store of one register.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub ipa: u64,
    /// What a store writes; none is a load.
    pub store: Option<u64>,
    pub bytes: u32,
    pub signed: bool,
    /// Of an X register.
    pub wide: bool,
    /// 31 is XZR.
    pub register: usize,
    /// The CPU gives an instruction syndrome.
    pub syndrome: bool,
}

/// What a Realm does.
#[derive(Clone, Debug)]
pub enum Instruction {
    Memory(Memory),
    Fetch(u64),
    /// SMC with X0 and up.
    Call(Vec<u64>),
    Hvc,
    /// WFE rather than WFI.
    Wait(bool),
    /// Nothing; a Host on another CPU does something meanwhile.
    Meanwhile(Box<Op>),
}

/// The instruction that an exit interrupted.
pub type Doing = Instruction;

/// What an instruction comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// There is none.
    Nothing,
    /// The program begins anew.
    Restart,
    /// The REC exits first; the next entry decides.
    Exit,
    /// Completion.
    Done,
    /// Completion, with this value loaded.
    Value(u64),
    /// An exception taken at EL1: `ESR_EL1` under a mask, and `FAR_EL1` if it has one.
    Taken(u64, u64, Option<u64>),
    /// Completion of a call, with X0 and up; what is left of X1 to X3 is zero.
    Results(Vec<u64>),
    /// RSI_IPA_STATE_GET of a range in which this RIPAS reaches that far at most.
    Extent(u64, u64, Ripas),
}

impl Expected {
    /// For the statistics.
    fn name(&self) -> &'static str {
        match self {
            Self::Nothing | Self::Restart | Self::Exit => "nothing",
            Self::Done => "done",
            Self::Value(_) => "value",
            Self::Taken(_, 0x3F, _) => "granule protection fault",
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

/// What an access to an IPA comes to.
enum Reach {
    Granule(u64),
    /// Granule protection fault, the Realm's own.
    Protected,
    ExternalAbort,
    AddressSize,
    /// Stage 2 fault with this status, for the Host.
    Exit(u64),
}

#[derive(Clone, Copy, PartialEq)]
enum Want {
    Load,
    Store,
    Fetch,
}

const IL: u64 = 1 << 25;
const EA: u64 = 1 << 9;
const WNR: u64 = 1 << 6;
const SEA: u64 = EA | 0x10;
const SAME_EL_DATA: u64 = 0x25 << 26 | IL;
const SAME_EL_FETCH: u64 = 0x21 << 26 | IL;
const DATA_ABORT: u64 = 0x24 << 26;
const INSTRUCTION_ABORT: u64 = 0x20 << 26;
const ALL: u64 = u64::MAX;
/// Where the linear map of every program lies.
const LINEAR: u64 = 0xFFFF << 48;

/// Fault status of a translation fault.
fn translation(level: i64) -> u64 {
    if level < 0 {
        0x2B
    } else {
        4 | level.cast_unsigned()
    }
}

/// An exit record without what every exit has.
pub fn exit_record(reason: RecExitReason) -> Box<RecExit> {
    let mut exit = Box::new(RecExit::new_zeroed());
    exit.exit_reason = reason as u8;
    exit
}

fn abort_record(esr: u64, ipa: u64) -> Box<RecExit> {
    let mut exit = exit_record(RecExitReason::Sync);
    exit.esr = esr;
    exit.hpfar = ipa >> 12 << 4;
    exit
}

impl Memory {
    fn want(&self) -> Want {
        if self.store.is_some() {
            Want::Store
        } else {
            Want::Load
        }
    }

    /// The low bytes that the access moves.
    fn cut(&self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - 8 * self.bytes))
    }

    /// What the register holds after a load of `value`.
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

    /// What a store writes.
    fn written(&self) -> u64 {
        let value = self.store.unwrap_or(0);
        self.cut(if self.register == 31 { 0 } else { value })
    }
}

/// For the statistics.
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
        Some(Instruction::Meanwhile(_)) => "a Host meanwhile",
        None => "nothing",
    }
}

impl Model {
    /// A Realm's access (A5.2).
    fn reach(&self, rd: u64, ipa: u64, want: Want) -> Reach {
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
            Entry::Unassigned(_) | Entry::Assigned(..) => Reach::Exit(translation(at.level)),
            Entry::AssignedNs(attributes, pa) => {
                let pa = pa + (offset & !0xFFF);
                let pas = self.granules.get(&pa).and_then(|granule| granule.pas);
                let may = match want {
                    Want::Load => attributes >> 6 & 1 == 1,
                    Want::Store => attributes >> 7 & 1 == 1,
                    Want::Fetch => false,
                };
                // The CPU may report either first where both apply; the fake one this.
                if pas != Some(Pas::NonSecure) {
                    Reach::Protected
                } else if may {
                    Reach::Granule(pa)
                } else if want == Want::Fetch {
                    Reach::ExternalAbort
                } else {
                    Reach::Exit(0xC | at.level.cast_unsigned())
                }
            }
            Entry::UnassignedNs if want == Want::Fetch => Reach::ExternalAbort,
            Entry::UnassignedNs => Reach::Exit(translation(at.level)),
            Entry::Table(_) => unreachable!("a walk to level 3"),
        }
    }

    /// The instruction under way is tried: what it does is done, and what comes of it noted.
    pub fn attempt(&mut self, rec: u64) {
        let Some(instruction) = self.rec(rec).doing.clone() else {
            return;
        };
        let expected = match instruction {
            Instruction::Memory(memory) => self.access(rec, memory),
            Instruction::Fetch(ipa) => self.fetch(rec, ipa),
            Instruction::Call(args) => self.call(rec, &args),
            Instruction::Hvc => Expected::Taken(IL, ALL, None),
            Instruction::Wait(event) => self.wait(rec, event),
            Instruction::Meanwhile(_) => Expected::Done,
        };
        self.rec(rec).expected = expected;
    }

    /// The REC exits with this record.
    pub fn leave(&mut self, rec: u64, exit: Box<RecExit>, last: LastExit) -> Expected {
        let rec = self.rec(rec);
        rec.exit = Some(exit);
        rec.last = last;
        Expected::Exit
    }

    fn access(&mut self, rec: u64, memory: Memory) -> Expected {
        let rd = self.recs[&rec].rd;
        let far = LINEAR | memory.ipa;
        let wnr = if memory.store.is_some() { WNR } else { 0 };
        self.realm(rd).probe(memory.ipa);
        let status = match self.reach(rd, memory.ipa, memory.want()) {
            Reach::Granule(pa) => return self.complete_access(pa, memory),
            Reach::Protected => return Expected::Taken(0x28, 0x3F, Some(far)),
            Reach::ExternalAbort => {
                return Expected::Taken(SAME_EL_DATA | wnr | SEA, ALL, Some(far));
            }
            Reach::AddressSize => return Expected::Taken(SAME_EL_DATA | wnr, ALL, Some(far)),
            Reach::Exit(status) => status,
        };
        if self.realms[&rd].tables.is_protected(memory.ipa) {
            let exit = abort_record(DATA_ABORT | status, memory.ipa);
            return self.leave(rec, exit, LastExit::Other);
        }
        if !memory.syndrome {
            let exit = abort_record(DATA_ABORT | status, memory.ipa);
            return self.leave(rec, exit, LastExit::Unprotected);
        }
        let sas = u64::from(memory.bytes.trailing_zeros());
        let iss = 1 << 24 | sas << 22 | u64::from(memory.wide) << 15 | wnr;
        let mut exit = abort_record(DATA_ABORT | iss | status, memory.ipa);
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
        let far = Some(LINEAR | ipa);
        self.realm(rd).probe(ipa);
        match self.reach(rd, ipa, Want::Fetch) {
            Reach::Granule(_) => Expected::Done,
            Reach::Protected => Expected::Taken(0x28, 0x3F, far),
            Reach::ExternalAbort => Expected::Taken(SAME_EL_FETCH | SEA, ALL, far),
            Reach::AddressSize => Expected::Taken(SAME_EL_FETCH, ALL, far),
            Reach::Exit(status) => {
                let exit = abort_record(INSTRUCTION_ABORT | status, ipa);
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

    /// Realm memory at a Protected IPA for the monitor itself (rsi-psci-1.0, 3).
    fn realm_memory(&mut self, rec: u64, ipa: u64) -> Result<u64, Expected> {
        let rd = self.recs[&rec].rd;
        match self.reach(rd, ipa, Want::Load) {
            Reach::Granule(pa) => Ok(pa),
            Reach::Exit(status) => {
                let exit = abort_record(DATA_ABORT | status, ipa);
                Err(self.leave(rec, exit, LastExit::Other))
            }
            _ => Err(Expected::results(&[rsi::RSI_ERROR_INPUT])),
        }
    }

    fn call(&mut self, rec: u64, args: &[u64]) -> Expected {
        use rmm_abi::psci::fid::*;
        use rmm_abi::rsi::fid::*;
        let rd = self.recs[&rec].rd;
        let arg = |n: usize| args.get(n).copied().unwrap_or(0);
        let refused = Expected::results(&[rsi::RSI_ERROR_INPUT]);
        match args[0] {
            RSI_VERSION => {
                let status = u64::from(arg(1) != 0x1_0000);
                Expected::results(&[status, 0x1_0000, 0x1_0000])
            }
            RSI_FEATURES => Expected::results(&[0, 0]),
            RSI_MEASUREMENT_READ => match self.realms[&rd].measurements.get(arg(1) as usize) {
                Some(value) => {
                    let words = value.0.as_chunks::<8>().0;
                    let words = words.iter().map(|word| u64::from_le_bytes(*word));
                    Expected::Results([0].into_iter().chain(words).collect())
                }
                None => refused,
            },
            RSI_MEASUREMENT_EXTEND => {
                let (index, length) = (arg(1) as usize, arg(2) as usize);
                if !(1..=4).contains(&index) || length > 64 {
                    return refused;
                }
                let value: Vec<u8> = (3..11).flat_map(|n| arg(n).to_le_bytes()).collect();
                let realm = self.realm(rd);
                let old = &mut realm.measurements[index];
                *old = rem::extend(&SoftHash, realm.algorithm, old, &value[..length]);
                Expected::results(&[0])
            }
            RSI_REALM_CONFIG => self.realm_config(rec, arg(1)),
            RSI_IPA_STATE_SET => {
                let value = match arg(3) {
                    0 => Ripas::Empty,
                    1 => Ripas::Ram,
                    _ => return refused,
                };
                if !self.is_protected_range(rd, arg(1), arg(2)) {
                    return refused;
                }
                let mut exit = exit_record(RecExitReason::RipasChange);
                (exit.ripas_base, exit.ripas_top) = (arg(1), arg(2));
                exit.ripas_value = value as u8;
                self.rec(rec).change = Some(Change {
                    addr: arg(1),
                    top: arg(2),
                    value,
                    from_destroyed: arg(4) & 1 != 0,
                });
                self.leave(rec, exit, LastExit::Other)
            }
            RSI_IPA_STATE_GET if self.is_protected_range(rd, arg(1), arg(2)) => {
                self.extent(rd, arg(1), arg(2))
            }
            RSI_IPA_STATE_GET => refused,
            RSI_HOST_CALL => self.host_call(rec, arg(1)),
            smccc::SMCCC_VERSION => Expected::results(&[self.smccc_version()]),
            PSCI_VERSION => Expected::results(&[0x1_0001]),
            PSCI_FEATURES => {
                let known = [
                    PSCI_VERSION,
                    PSCI_FEATURES,
                    PSCI_CPU_SUSPEND,
                    PSCI_CPU_OFF,
                    PSCI_CPU_ON,
                    PSCI_AFFINITY_INFO,
                    PSCI_SYSTEM_OFF,
                    PSCI_SYSTEM_RESET,
                    smccc::SMCCC_VERSION,
                ];
                let is_known = known.contains(&arg(1));
                Expected::results(&[if is_known { 0 } else { u64::MAX }])
            }
            PSCI_CPU_SUSPEND => {
                self.psci_exit(rec, &args[..4], None);
                Expected::results(&[0])
            }
            PSCI_CPU_OFF => {
                self.rec(rec).runnable = false;
                self.psci_exit(rec, &args[..1], None)
            }
            PSCI_SYSTEM_OFF | PSCI_SYSTEM_RESET => {
                self.realm(rd).state = RealmState::SystemOff;
                self.psci_exit(rec, &args[..1], None)
            }
            PSCI_CPU_ON => {
                let target = mpidr_el1_to_index(arg(1));
                if !self.realms[&rd].tables.is_protected(arg(2)) {
                    return Expected::results(&[psci::INVALID_ADDRESS]);
                }
                if let Some(result) = self.psci_target(rec, target, psci::ALREADY_ON) {
                    return result;
                }
                let request = Psci::CpuOn {
                    target,
                    entry: arg(2),
                    context: arg(3),
                };
                self.psci_exit(rec, &args[..4], Some(request))
            }
            PSCI_AFFINITY_INFO => {
                if arg(2) != 0 {
                    return Expected::results(&[psci::INVALID_PARAMETERS]);
                }
                let target = mpidr_el1_to_index(arg(1));
                if let Some(result) = self.psci_target(rec, target, 0) {
                    return result;
                }
                self.psci_exit(rec, &args[..3], Some(Psci::AffinityInfo { target }))
            }
            _ => Expected::results(&[u64::MAX]),
        }
    }

    /// What a PSCI call that names a REC returns at once; `own` if it is the caller.
    fn psci_target(&self, rec: u64, target: u64, own: u64) -> Option<Expected> {
        let rec = &self.recs[&rec];
        // The monitor keeps no list: an index that was used counts, be the REC gone or not.
        if target >= self.realms[&rec.rd].rec_index {
            Some(Expected::results(&[psci::INVALID_PARAMETERS]))
        } else if target == rec.index {
            Some(Expected::results(&[own]))
        } else {
            None
        }
    }

    fn psci_exit(&mut self, rec: u64, args: &[u64], request: Option<Psci>) -> Expected {
        let mut exit = exit_record(RecExitReason::Psci);
        exit.gprs[..args.len()].copy_from_slice(args);
        self.rec(rec).psci = request;
        self.leave(rec, exit, LastExit::Other)
    }

    fn is_protected_range(&self, rd: u64, base: u64, top: u64) -> bool {
        let half = self.realms[&rd].tables.half();
        (base | top).is_multiple_of(4096) && base < top && top <= half
    }

    /// How far the RIPAS at `base` reaches.
    fn extent(&self, rd: u64, base: u64, top: u64) -> Expected {
        let tables = &self.realms[&rd].tables;
        let ripas = tables.walk(base, 3).entry.ripas();
        let mut end = base;
        while end < top {
            let at = tables.walk(end, 3);
            if at.entry.ripas() != ripas {
                break;
            }
            end = at.end();
        }
        Expected::Extent(base, end.min(top), ripas.expect("Protected"))
    }

    fn realm_config(&mut self, rec: u64, ipa: u64) -> Expected {
        let rd = self.recs[&rec].rd;
        let tables = &self.realms[&rd].tables;
        if !ipa.is_multiple_of(4096) || !tables.is_protected(ipa) {
            return Expected::results(&[rsi::RSI_ERROR_INPUT]);
        }
        let pa = match self.realm_memory(rec, ipa) {
            Ok(pa) => pa,
            Err(expected) => return expected,
        };
        let realm = &self.realms[&rd];
        let mut page: Page = [0; 4096];
        page[0] = realm.tables.s2sz;
        page[8] = realm.algorithm as u8;
        page[0x200..][..64].copy_from_slice(&realm.rpv);
        *self.granule(pa).content_mut() = page;
        Expected::results(&[0])
    }

    fn host_call(&mut self, rec: u64, ipa: u64) -> Expected {
        let rd = self.recs[&rec].rd;
        if !ipa.is_multiple_of(256) || !self.realms[&rd].tables.is_protected(ipa) {
            return Expected::results(&[rsi::RSI_ERROR_INPUT]);
        }
        let pa = match self.realm_memory(rec, ipa) {
            Ok(pa) => pa,
            Err(expected) => return expected,
        };
        let structure = &self.granules[&pa].content()[(ipa & 0xFFF) as usize..][..256];
        let mut exit = exit_record(RecExitReason::HostCall);
        exit.imm = u16::from_le_bytes([structure[0], structure[1]]);
        let gprs = structure[8..].as_chunks::<8>().0;
        for (to, from) in exit.gprs.iter_mut().zip(gprs) {
            *to = u64::from_le_bytes(*from);
        }
        self.rec(rec).host_call = Some(ipa);
        self.leave(rec, exit, LastExit::Other)
    }

    /// The answer to a host call at entry: whether the Realm goes on.
    pub fn complete_host_call(&mut self, rec: u64, ipa: u64, gprs: &[u64; 31]) -> bool {
        let rd = self.recs[&rec].rd;
        let Reach::Granule(pa) = self.reach(rd, ipa, Want::Store) else {
            let level = self.realms[&rd].tables.walk(ipa, 3).level;
            let exit = abort_record(DATA_ABORT | translation(level), ipa);
            self.leave(rec, exit, LastExit::Other);
            return false;
        };
        let content = self.granule(pa).content_mut();
        for (n, value) in gprs.iter().enumerate() {
            let offset = (ipa & 0xFFF) as usize + 8 + 8 * n;
            content[offset..][..8].copy_from_slice(&value.to_le_bytes());
        }
        let rec = self.rec(rec);
        rec.host_call = None;
        rec.expected = Expected::results(&[0]);
        true
    }

    /// The exception that inject_sea brings for the access under way.
    pub fn injected(memory: &Memory) -> Expected {
        let wnr = if memory.store.is_some() { WNR } else { 0 };
        Expected::Taken(SAME_EL_DATA | wnr | SEA, ALL, Some(LINEAR | memory.ipa))
    }

    fn smccc_version(&self) -> u64 {
        if self.features.sve_vl.is_some() {
            0x1_0003
        } else {
            0x1_0002
        }
    }

    /// What hardware makes of an IPA: the Granule that a valid translation leads to.
    pub fn translation(&self, rd: u64, ipa: u64) -> Option<u64> {
        let tables = &self.realms[&rd].tables;
        let at = tables.walk(ipa, 3);
        let offset = ipa & (size(at.level) - 1) & !0xFFF;
        match at.entry {
            Entry::Assigned(Ripas::Ram, pa) => {
                assert_eq!(self.kind(pa + offset), Some(Kind::Data), "{ipa:#x}");
                Some(pa + offset)
            }
            Entry::AssignedNs(_, pa) => Some(pa + offset),
            _ => None,
        }
    }

    /// Holds what an instruction came to against what it should have: registers before and after,
    /// the PC it was at, and the exception if one was taken.
    pub fn done(
        &mut self,
        rec: u64,
        before: &[u64; 31],
        after: &[u64; 31],
        pc: u64,
        taken: Option<Taken>,
    ) {
        let rec = self.rec(rec);
        let instruction = rec.doing.take();
        let expected = std::mem::replace(&mut rec.expected, Expected::Nothing);
        let what = || format!("{instruction:x?}, expected {expected:x?}, taken {taken:x?}");
        assert!(rec.exit.is_none(), "no exit: {}", what());
        cover(name(instruction.as_ref()), expected.name());
        let mut left = 0;
        match (&expected, &instruction) {
            (Expected::Taken(esr, mask, far), _) => {
                let taken = taken.unwrap_or_else(|| panic!("no exception: {}", what()));
                assert_eq!(taken.esr & mask, *esr, "{}", what());
                assert!(far.is_none_or(|far| far == taken.far), "{}", what());
                assert_eq!((taken.elr, taken.vector), (pc, 0x200), "{}", what());
                return;
            }
            _ if taken.is_some() => panic!("an exception: {}", what()),
            (Expected::Done, _) => {}
            (Expected::Value(value), Some(Instruction::Memory(memory))) => {
                if let Some(register) = after.get(memory.register) {
                    assert_eq!(register, value, "{}", what());
                }
                left = 4;
            }
            (Expected::Results(results), _) => {
                for (n, register) in after.iter().enumerate().take(results.len().max(4)) {
                    let result = results.get(n).copied().unwrap_or(0);
                    assert_eq!(*register, result, "X{n} after {}", what());
                }
                left = results.len().max(4);
            }
            (Expected::Extent(base, end, ripas), _) => {
                assert_eq!((after[0], after[2], after[3]), (0, *ripas as u64, 0));
                assert!(after[1] > *base && after[1] <= *end, "{}", what());
                left = 4;
            }
            _ => panic!("nothing was to come of this: {}", what()),
        }
        assert_eq!(after[left..], before[left..], "{}", what());
    }
}
