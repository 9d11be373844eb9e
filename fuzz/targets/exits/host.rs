// SPDX-License-Identifier: BSD-3-Clause
//! The Host: it enters RECs with any record, and answers their exits rightly, wrongly or not at all.

use super::RECS;
use super::calls::Answers;
use super::instructions::{Instruction, Program, program};
use super::realms::{ABSENT, Entry, Guest, PAGES};
use super::record::{self, check};
use arbitrary::Arbitrary;
use rmm_abi::rmi::{RecExit, RecExitReason};
use rmm_abi::rsi::HostCall;
use rmm_core::fake::{Host, PAGE, Status};
use rmm_granule::Pa;
use std::cell::RefCell;
use zerocopy::FromBytes;

/// Most instructions between two entries.
const INSTRUCTIONS: usize = 8;

/// RmiRecEnterFlags.
const EMUL_MMIO: u64 = 1 << 0;
const INJECT_SEA: u64 = 1 << 1;
const RIPAS_RESPONSE: u64 = 1 << 4;

/// An entry, what the REC does then, and what the Host does after the exit.
#[derive(Arbitrary, Clone, Debug)]
pub struct HostEntry {
    rec: bool,
    /// The flags; a Host says that it has emulated an access mostly, and only, where that fits, unless
    /// bit 7 is set.
    flags: u8,
    gprs: [u64; 4],
    hcr: Field,
    lrs: [ListRegister; 2],
    irq: Line,
    ticks: u16,
    instructions: Vec<Instruction>,
    answer: Answer,
}

/// A value that mostly is zero.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Field {
    Zero,
    AlsoZero,
    Bit(u8),
    Any(u64),
}

/// A value of `ICH_LR<n>_EL2`.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum ListRegister {
    Zero,
    /// State, priority and vINTID; group 1, so that most are valid.
    Interrupt(u8, u8, u16),
    /// The same, with a bit changed.
    Flawed(u8, u16, u8),
    Any(u64),
}

/// The state of the CPU when the REC is entered: what is pending.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Line {
    None,
    AlsoNone,
    StillNone,
    Irq,
    Fiq,
    /// Nothing, but the Host has left the CPU in streaming SVE mode.
    Streaming,
}

/// What the Host does after an exit.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Answer {
    None,
    /// What the Realm asks for: completes a PSCI request, changes RIPAS, maps memory.
    Fit(u8),
    AlsoFit(u8),
    /// A part of the range of a RIPAS change.
    Part(u8),
    /// Asks with wrong arguments.
    Wrong(u64),
    /// Takes a page of the Realm's memory away.
    Destroy(u8),
    /// Maps a page.
    Map(u8),
}

impl Field {
    fn value(self) -> u64 {
        match self {
            Self::Zero | Self::AlsoZero => 0,
            Self::Bit(bit) => 1 << (bit % 64),
            Self::Any(value) => value,
        }
    }
}

impl ListRegister {
    fn value(self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Interrupt(state, priority, id) => {
                let state = u64::from(state & 3) << 62;
                state | 1 << 60 | u64::from(priority & 0xF8) << 48 | u64::from(id)
            }
            Self::Flawed(state, id, bit) => {
                Self::Interrupt(state, 0x80, id % 1020).value() ^ 1 << (bit % 64)
            }
            Self::Any(value) => value,
        }
    }
}

/// What the Host knows of a REC.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// IPA of the structure of a host call that is pending.
    host_call: Option<u64>,
    /// A RIPAS change that is pending: what is left of the range, and RIPAS.
    ripas: Option<(u64, u64, u8)>,
    /// The last exit was an access that can be emulated.
    is_emulatable: bool,
}

/// The Host of a Realm.
pub struct Hypervisor<'a> {
    guest: &'a Guest<'a>,
    two: bool,
    programs: [Program; RECS],
    known: RefCell<[Known; RECS]>,
}

impl<'a> Hypervisor<'a> {
    /// The Host of this Realm, whose RECs run what is in their programs.
    pub fn new(guest: &'a Guest<'a>, two: bool, full: bool, hash: u8) -> Self {
        let programs = std::array::from_fn(|_| Program::new(guest, two, full, hash));
        for (rec, own) in programs.iter().enumerate() {
            let own = own.clone();
            guest.script(rec, move |cpu| program(cpu, own));
        }
        Self {
            guest,
            two,
            programs,
            known: RefCell::default(),
        }
    }

    /// The machine's Host, whatever its interface.
    fn host(&self) -> &Host {
        match &self.guest.realm {
            super::realms::Realm::V1(realm) => realm.host,
            super::realms::Realm::V2(realm) => realm.host,
        }
    }

    /// Makes an entry, checks the exit, and answers.
    pub fn enter(&self, step: &HostEntry) {
        let rec = usize::from(step.rec);
        let host = self.host();
        host.set_irq(matches!(step.irq, Line::Irq));
        host.set_fiq(matches!(step.irq, Line::Fiq));
        let streams = matches!(step.irq, Line::Streaming);
        host.board().set_streaming(streams);
        host.board().advance(step.ticks.into());
        let record = self.record(rec, step);
        let program = &self.programs[rec];
        let instructions = step.instructions.iter().take(INSTRUCTIONS).cloned();
        program.lock().todo.extend(instructions);
        let answers_before = program.lock().answers;
        let known = self.known.borrow()[rec];
        let still_known = self.foresee(rec, known, &record);
        match self.guest.enter(rec, &record) {
            Some(exit) => {
                let claims = record.flags & EMUL_MMIO != 0;
                assert!(
                    !claims || known.is_emulatable,
                    "the Host emulates what is not for it"
                );
                check(&exit, self.two);
                self.learn(rec, still_known, &exit);
                self.answer(rec, step.answer, &exit);
            }
            None => program.lock().answers = answers_before,
        }
        for program in &self.programs {
            program.lock().memory = *self.guest.memory.borrow();
        }
    }

    fn record(&self, rec: usize, step: &HostEntry) -> Entry {
        let mut flags = u64::from(step.flags & 0x3F);
        if step.flags & 0x80 == 0 {
            let emulates = step.flags & 0x40 == 0 && self.known.borrow()[rec].is_emulatable;
            flags = flags & !EMUL_MMIO | u64::from(emulates);
        }
        let mut gprs = [0; 31];
        gprs[..4].copy_from_slice(&step.gprs);
        Entry {
            flags,
            gprs,
            hcr: step.hcr.value(),
            lrs: step.lrs.map(ListRegister::value).to_vec(),
        }
    }

    /// What the Realm must find if this entry succeeds. Returns what is pending then.
    fn foresee(&self, rec: usize, mut known: Known, record: &Entry) -> Known {
        let mut program = self.programs[rec].lock();
        let answers: &mut Answers = &mut program.answers;
        if let Some((addr, top, ripas)) = known.ripas.take() {
            let rejects = record.flags & RIPAS_RESPONSE != 0 && ripas == 1 && addr != top;
            answers.ripas = Some((addr, u64::from(rejects)));
        }
        // What the Realm has not looked at until now, the Host may have taken away since.
        answers.host_call = None;
        if let Some(pa) = known.host_call.and_then(|ipa| self.page_at(ipa)) {
            answers.host_call = Some((pa, record.gprs));
            known.host_call = None;
        }
        let emulated = record.flags & (EMUL_MMIO | INJECT_SEA) == EMUL_MMIO;
        if known.is_emulatable && emulated {
            answers.emulated = Some(record.gprs[0]);
        }
        known.is_emulatable = false;
        known
    }

    /// The granule at an IPA, if the Realm may use it.
    fn page_at(&self, ipa: u64) -> Option<u64> {
        let (status, entry) = self.host().rtt_read_entry(self.guest.rd(), ipa & !0xFFF, 3);
        let is_ram = (entry.level, entry.state, entry.ripas) == (3, 1, 1);
        (status == Status::Success && is_ram).then(|| entry.address())
    }

    fn learn(&self, rec: usize, mut known: Known, exit: &RecExit) {
        known.is_emulatable = record::is_emulatable(exit);
        match record::reason(exit) {
            RecExitReason::RipasChange => {
                let (base, top) = (exit.ripas_base, exit.ripas_top);
                assert!(
                    base < top && (base | top) % PAGE == 0,
                    "{base:#x}..{top:#x}"
                );
                known.ripas = Some((base, top, exit.ripas_value));
            }
            RecExitReason::HostCall => {
                let call = self.programs[rec].lock().host_call;
                let ipa = call.expect("a host call that the Realm made");
                known.host_call = Some(ipa);
                let pa = self.page_at(ipa).expect("memory of the Realm");
                let content = self.host().board().memory.peek(Pa(pa));
                let at = usize::try_from(ipa % PAGE).expect("in a page");
                let (made, _) = HostCall::read_from_prefix(&content[at..]).expect("in a page");
                assert_eq!((made.imm, made.gprs), (exit.imm, exit.gprs));
            }
            _ => {}
        }
        self.known.borrow_mut()[rec] = known;
    }

    fn answer(&self, rec: usize, answer: Answer, exit: &RecExit) {
        let guest = self.guest;
        match answer {
            Answer::None => {}
            Answer::Fit(n) | Answer::AlsoFit(n) => self.fit(rec, n, exit),
            Answer::Part(pages) => {
                let top = exit.ripas_base.saturating_add(u64::from(pages % 8) * PAGE);
                self.set_ripas(rec, exit.ripas_base, top);
            }
            Answer::Wrong(value) => {
                self.set_ripas(rec, exit.ripas_base, value);
                self.set_ripas(rec, value, exit.ripas_top);
                guest.psci_complete(rec, rec, value.cast_signed(), value & 1 == 0);
            }
            Answer::Destroy(n) => guest.destroy(usize::from(n) % PAGES),
            Answer::Map(n) => guest.map(usize::from(n) % (PAGES + 1)),
        }
    }

    /// What the Realm asks for.
    fn fit(&self, rec: usize, n: u8, exit: &RecExit) {
        let guest = self.guest;
        match record::reason(exit) {
            RecExitReason::RipasChange => self.set_ripas(rec, exit.ripas_base, exit.ripas_top),
            RecExitReason::Psci => {
                let target = usize::from(exit.gprs[1] & 0xF == 1);
                // SUCCESS, DENIED, and what is no answer.
                let status = [0, 0, 0, -3, -2, 1][usize::from(n % 6)];
                guest.psci_complete(rec, target, status, n & 0x80 != 0);
            }
            RecExitReason::Sync if exit.hpfar != 0 || exit.esr >> 26 & 0x3F == 0x24 => {
                let ipa = exit.hpfar >> 4 << 12;
                if ipa < PAGES as u64 * PAGE || ipa == ABSENT {
                    guest.map(usize::try_from(ipa / PAGE).expect("small").min(PAGES));
                }
            }
            _ => {}
        }
    }

    fn set_ripas(&self, rec: usize, base: u64, top: u64) {
        let Some(out_top) = self.guest.set_ripas(rec, base, top) else {
            return;
        };
        let known = &mut self.known.borrow_mut()[rec];
        let (addr, end, _) = known.ripas.as_mut().expect("a change that is pending");
        assert!(base == *addr && out_top > base && out_top <= top.min(*end));
        *addr = out_top;
    }
}
