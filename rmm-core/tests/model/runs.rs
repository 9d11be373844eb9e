// SPDX-License-Identifier: BSD-3-Clause
//! Steps that run a Realm: entries, and the instructions of the Realm.

use super::instructions::{Instruction, Memory};
use super::state::{LastExit, RealmState};
use super::step::{Step, StepKind};
use super::stepper::Stepper;
use super::tables::{Entry, Ripas};
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::rmi::RecEnter;
use rmm_abi::{psci, rsi, smccc};
use zerocopy::FromZeros;

/// Valid values of a list register.
const VALID_LRS: &[u64] = &[
    0,
    1 << 62 | 27,
    3 << 62 | 0x80 << 48 | 1019,
    1 << 63 | 8192,
    1 << 62 | 1 << 41 | 33,
];
/// Invalid values of a list register.
const INVALID_LRS: &[u64] = &[
    1 << 62 | 1020,
    1 << 61,
    1 << 62 | 1 << 48 | 34,
    1 << 63 | 27,
];

impl Stepper<'_> {
    /// An entry without flags and without new instructions.
    pub fn plain_entry(&mut self, rec: u64) {
        let enter = RecEnter::new_zeroed();
        let run = self.run_page();
        self.enter(rec, run, &enter, Vec::new(), false);
    }

    /// An entry of a REC, mostly of this Realm.
    pub fn some_entry(&mut self, rd: u64) {
        let rec = self.ready_rec(rd);
        let mut enter = RecEnter::new_zeroed();
        let last = self.shared.lock().recs.get(&rec).map(|rec| rec.last);
        enter.flags = match last {
            Some(LastExit::Emulatable) => self.draw.of(&[0, 1, 1, 2, 3, 1]),
            Some(LastExit::Unprotected) => self.draw.of(&[0, 2, 2]),
            _ => self.draw.of(&[0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1]),
        };
        enter.flags |= self.draw.of(&[0, 0, 0, 4, 8, 12]);
        enter.flags |= self.draw.of(&[0, 16]);
        enter.gprs = std::array::from_fn(|_| self.draw.bits());
        enter.gicv3_hcr = self.draw.of(&[0, 0, 2, 0x40FE]);
        let first = self.draw.below(VALID_LRS.len());
        let used = self.draw.below(VALID_LRS.len());
        for n in 0..used {
            enter.gicv3_lrs[n] = VALID_LRS[(first + n) % VALID_LRS.len()];
        }
        if self.draw.once_in(12) {
            // There are four list registers; a fifth is ignored.
            enter.gicv3_lrs[self.draw.below(5)] = self.draw.of(INVALID_LRS);
        } else if self.draw.once_in(24) {
            enter.gicv3_hcr |= 1 << self.draw.below(64);
        }
        let rd = self.shared.lock().recs.get(&rec).map_or(rd, |rec| rec.rd);
        let todo = (0..self.draw.below(4)).map(|_| self.instruction(rd, rec));
        let todo: Vec<Instruction> = todo.collect();
        let interrupted = self.draw.once_in(12);
        let run = self.run_page();
        self.enter(rec, run, &enter, todo, interrupted);
    }

    /// A REC, mostly one that can be entered.
    pub fn ready_rec(&mut self, rd: u64) -> u64 {
        let model = self.shared.lock();
        let all = model.recs.iter();
        let ready = all.filter(|(_, rec)| {
            let waits = rec.psci.is_some() || rec.running || !rec.runnable;
            let active = model.realms[&rec.rd].state == RealmState::Active;
            active && !waits
        });
        let ready: Vec<u64> = ready.map(|(pa, _)| *pa).collect();
        drop(model);
        if self.draw.once_in(8) {
            return self.rec(rd);
        }
        self.draw.some(&ready).unwrap_or_else(|| self.rec(rd))
    }

    fn instruction(&mut self, rd: u64, rec: u64) -> Instruction {
        match self.draw.below(16) {
            0..6 => Instruction::Memory(self.memory(rd)),
            6 => Instruction::Fetch(self.mapped_ipa(rd) & !3),
            7 => Instruction::Call(self.ripas_call(rd)),
            8 => Instruction::Call(self.host_call(rd)),
            9 | 10 => Instruction::Call(self.psci_call(rd, rec)),
            11 => Instruction::Call(self.other_call(rd)),
            12 => Instruction::Hvc,
            13 => Instruction::Wait(self.draw.once_in(2)),
            _ if self.nested => Instruction::Memory(self.memory(rd)),
            _ => self.meanwhile(),
        }
    }

    /// A step of a Host on another CPU while the REC runs.
    fn meanwhile(&mut self) -> Instruction {
        let kinds = [
            StepKind::DataDestroy,
            StepKind::DataCreateUnknown,
            StepKind::Unmap,
            StepKind::Map,
            StepKind::RttFold,
            StepKind::RttDestroy,
            StepKind::RttCreate,
            StepKind::Enter,
            StepKind::SetRipas,
            StepKind::RecDestroy,
            StepKind::RealmDestroy,
            StepKind::PsciComplete,
            StepKind::Delegate,
            StepKind::Undelegate,
            StepKind::Tables,
        ];
        let twist = self.draw.once_in(4);
        let step = Step {
            kind: self.draw.of(&kinds),
            numbers: self.draw.inner(),
            twist: twist.then(|| (self.draw.below(256) as u8, self.draw.below(256) as u8)),
        };
        Instruction::Meanwhile(Box::new(step))
    }

    /// An IPA, mostly one to which memory is mapped.
    fn mapped_ipa(&mut self, rd: u64) -> u64 {
        let offset = self.draw.of(&[0, 8, 0x100, 0xFF8]);
        let page = if self.draw.once_in(3) {
            self.ipa(rd)
        } else {
            let mapped =
                |entry: &Entry| matches!(entry, Entry::Assigned(..) | Entry::AssignedNs(..));
            let (base, _) = self.entry(rd, mapped);
            base + self.draw.of(&[0, 0, 4096])
        };
        // No CPU has wider IPAs.
        let page = if page < 1 << 52 {
            page
        } else {
            self.shared.lock().realms[&rd].tables.end() - 4096
        };
        page | offset
    }

    /// An IPA, mostly one of RIPAS RAM with a DATA granule.
    fn ram_ipa(&mut self, rd: u64) -> u64 {
        let has_ram = |entry: &Entry| matches!(entry, Entry::Assigned(Ripas::Ram, _));
        match self.draw.below(4) {
            0 => self.mapped_ipa(rd),
            n => self.entry(rd, has_ram).0 + 0x500 * (n as u64 - 1),
        }
    }

    fn memory(&mut self, rd: u64) -> Memory {
        let ipa = self.mapped_ipa(rd);
        let bytes = self.draw.of(&[8, 8, 4, 2, 1]);
        let store = self.draw.once_in(2).then(|| self.draw.bits());
        let signed = store.is_none() && bytes < 8 && self.draw.once_in(3);
        Memory {
            ipa,
            store,
            bytes,
            signed,
            wide: bytes == 8 || signed && (bytes == 4 || self.draw.once_in(2)),
            register: self.draw.of(&[3, 3, 3, 31]),
            syndrome: !self.draw.once_in(4),
        }
    }

    fn protected_range(&mut self, rd: u64) -> (u64, u64) {
        let ripas = |entry: &Entry| entry.ripas().is_some();
        let (base, level) = self.entry(rd, ripas);
        let length = self.draw.of(&[1, 1, 2, 4, 512]) << (12 + 9 * (3 - level.clamp(2, 3)));
        (base, base.wrapping_add(length))
    }

    fn ripas_call(&mut self, rd: u64) -> Vec<u64> {
        let (base, top) = self.protected_range(rd);
        if self.draw.once_in(3) {
            return vec![rsi::fid::RSI_IPA_STATE_GET, base, top];
        }
        let ripas = self.draw.of(&[0, 1, 1, 0, 1, 2, 3]);
        let flags = self.draw.below(2) as u64;
        vec![rsi::fid::RSI_IPA_STATE_SET, base, top, ripas, flags]
    }

    /// Enters a REC, which requests a RIPAS change.
    pub fn ripas_request(&mut self, rd: u64, rec: u64) {
        let (base, top) = self.protected_range(rd);
        let ripas = self.draw.below(2) as u64;
        let flags = self.draw.below(2) as u64;
        let call = vec![rsi::fid::RSI_IPA_STATE_SET, base, top, ripas, flags];
        let enter = RecEnter::new_zeroed();
        let run = self.run_page();
        self.enter(rec, run, &enter, vec![Instruction::Call(call)], false);
    }

    fn host_call(&mut self, rd: u64) -> Vec<u64> {
        let ipa = self.ram_ipa(rd) & !0xFF;
        let odd = self.draw.of(&[0, 0, 0, 0, 8]);
        vec![rsi::fid::RSI_HOST_CALL, ipa | odd]
    }

    pub fn psci_call(&mut self, rd: u64, rec: u64) -> Vec<u64> {
        use psci::fid::*;
        let model = self.shared.lock();
        let count = model.realms[&rd].rec_index;
        let half = model.realms[&rd].tables.half();
        let own = model.recs.get(&rec).map_or(0, |rec| rec.index);
        drop(model);
        let other = (own + 1) % count.max(1);
        let target = self.draw.of(&[other, other, other, own, count]);
        let target = index_to_mpidr_el1(target) & !(1 << 31);
        match self.draw.below(16) {
            0..6 => {
                let entry = self.draw.of(&[0x4100_0000, 0x4100_0000, half, half - 4]);
                vec![PSCI_CPU_ON, target, entry, self.draw.below(256) as u64]
            }
            6..10 => vec![PSCI_AFFINITY_INFO, target, self.draw.of(&[0, 0, 0, 1])],
            10 | 11 => vec![PSCI_CPU_SUSPEND, 1, 2, 3],
            12 => vec![PSCI_CPU_OFF],
            13 => vec![PSCI_VERSION],
            14 => {
                let function =
                    self.draw
                        .of(&[PSCI_CPU_ON, 0x8400_0003, 0x8400_0005, PSCI_SYSTEM_OFF]);
                vec![PSCI_FEATURES, function]
            }
            _ if self.draw.once_in(3) => vec![self.draw.of(&[PSCI_SYSTEM_OFF, PSCI_SYSTEM_RESET])],
            _ => vec![0x8400_0003, target, 0, 0],
        }
    }

    fn other_call(&mut self, rd: u64) -> Vec<u64> {
        use rsi::fid::*;
        match self.draw.below(8) {
            0 => vec![RSI_VERSION, self.draw.of(&[0x1_0000, 0x1_0001, 0x2_0000])],
            1 => vec![RSI_FEATURES, self.draw.below(3) as u64],
            2 => vec![RSI_MEASUREMENT_READ, self.draw.below(6) as u64],
            3 => {
                let size = self.draw.of(&[0, 1, 32, 64, 65]);
                let mut args = vec![RSI_MEASUREMENT_EXTEND, self.draw.below(6) as u64, size];
                args.extend((0..8).map(|_| self.draw.bits()));
                args
            }
            4 => vec![smccc::SMCCC_VERSION],
            5 => vec![0xC400_0150 + self.draw.below(80) as u64 % 0x40],
            6 => vec![RSI_REALM_CONFIG, self.ram_ipa(rd) & !0xFFF],
            _ => vec![RSI_REALM_CONFIG, self.ram_ipa(rd)],
        }
    }
}
