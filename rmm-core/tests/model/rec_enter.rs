// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_ENTER (B4.3.14, A4.2, A4.3).

use super::commands::REC_GRAN;
use super::conditions::{Conditions, cover};
use super::instructions::{Expected, Instruction, exit_record};
use super::state::{LastExit, Model, Realm, RealmState};
use super::tables::Ripas;
use rmm_abi::rmi::{RecEnter, RecExit, RecExitReason};
use rmm_core::fake::{Status, describe_record};
use rmm_core::machine::CpuFeatures;
use rmm_granule::GranuleState;
use zerocopy::IntoBytes;

const RUN: [&str; 3] = ["run_align", "run_bound", "run_pas"];
const EMUL_MMIO: u64 = 1 << 0;
const INJECT_SEA: u64 = 1 << 1;
const TRAP_WFI: u64 = 1 << 2;
const TRAP_WFE: u64 = 1 << 3;
const REJECT: u64 = 1 << 4;

impl Model {
    /// The failure conditions of an entry with these fields, which matter only if the page is
    /// readable.
    pub fn entry_conditions(&self, rec: u64, run: u64, enter: &RecEnter) -> Conditions {
        let mut c = Conditions::of("REC_ENTER");
        let readable = self.check_ns(&mut c, RUN, run);
        if !self.check(&mut c, REC_GRAN, rec, GranuleState::Rec) {
            return c;
        }
        let rec = &self.recs[&rec];
        let Realm { state, is_v2, .. } = self.realms[&rec.rd];
        c.when("realm_new", state == RealmState::New, Status::Realm(0));
        let off = state == RealmState::SystemOff;
        c.when("system_off", off, Status::Realm(if is_v2 { 0 } else { 1 }));
        c.when("zombie", state == RealmState::Zombie, Status::Realm(0));
        c.when("rec_state", rec.running, Status::Rec);
        c.when("rec_runnable", !rec.runnable, Status::Rec);
        c.when("rec_psci", rec.psci.is_some(), Status::Rec);
        if readable {
            let valid = if is_v2 {
                // Of the registers of the Host, which are set as the record says.
                let used = usize::from(self.features.gic_num_lrs) + 1;
                enter.gicv3_lrs[..used].iter().all(|lr| lr >> 61 & 1 == 0)
            } else {
                is_valid_gic(enter, &self.features)
            };
            c.when("rec_gicv3", !valid, Status::Rec);
            let emulated = enter.flags & EMUL_MMIO != 0;
            let may = rec.last == LastExit::Emulatable;
            c.when("rec_mmio", emulated && !may, Status::Rec);
        }
        c
    }

    /// Asserts that the conditions permit this status of an entry.
    pub fn judge_entry(c: &Conditions, status: Status) {
        let first: &[&str] = &[
            "rec_align",
            "rec_bound",
            "rec_gran_state",
            "run_pas",
            "run_bound",
            "run_align",
        ];
        let then: &[&str] = &[
            "rec_state",
            "rec_runnable",
            "rec_mmio",
            "realm_new",
            "system_off",
            "zombie",
            "rec_gicv3",
            "rec_psci",
        ];
        c.judge(status, &[(first, then)]);
    }

    /// Makes the changes of an entry before the Realm runs. If it is interrupted, the Realm does
    /// not run.
    pub fn begin(
        &mut self,
        rec_pa: u64,
        enter: &RecEnter,
        todo: Vec<Instruction>,
        interrupted: bool,
    ) {
        let flag = |bit: u64| enter.flags & bit != 0;
        let rec = self.rec(rec_pa);
        rec.running = true;
        rec.exit = None;
        rec.todo.extend(todo);
        rec.traps = (flag(TRAP_WFI), flag(TRAP_WFE));
        let used = usize::from(self.features.gic_num_lrs) + 1;
        let rec = self.rec(rec_pa);
        rec.gic.0 = enter.gicv3_hcr;
        rec.gic.1[..used].copy_from_slice(&enter.gicv3_lrs[..used]);

        let last = std::mem::replace(&mut rec.last, LastExit::Other);
        let change = rec.change.take();
        let host_call = rec.host_call;
        match &rec.current {
            Some(Instruction::Memory(memory)) if flag(INJECT_SEA) && last != LastExit::Other => {
                rec.expected = Self::injected(memory);
            }
            Some(Instruction::Memory(memory)) if flag(EMUL_MMIO) => {
                rec.expected = match memory.store {
                    Some(_) => Expected::Done,
                    None => Expected::Value(memory.extended(enter.gprs[0])),
                };
            }
            _ => {}
        }
        if let Some(change) = change {
            let undone = change.value == Ripas::Ram && change.addr != change.top;
            let response = u64::from(undone && flag(REJECT));
            rec.expected = Expected::results(&[0, change.addr, response]);
        }
        if let Some(ipa) = host_call
            && !self.complete_host_call(rec_pa, ipa, &enter.gprs)
        {
            return;
        }
        if interrupted {
            self.leave(rec_pa, exit_record(RecExitReason::Irq), LastExit::Other);
        } else if self.recs[&rec_pa].expected == Expected::Exit {
            self.attempt(rec_pa);
        }
    }

    /// Asserts that the REC has left with the expected exit record; `None` if the record was not
    /// written.
    pub fn finish(&mut self, rec: u64, found: Option<&RecExit>) {
        let is_v2 = self.realms[&self.recs[&rec].rd].is_v2;
        let rec = self.rec(rec);
        rec.running = false;
        let expected = rec.exit.take();
        let Some(found) = found else {
            return;
        };
        let Some(mut expected) = expected else {
            panic!("unexpected exit:\n{}", describe_record(found));
        };
        cover("REC exit", reason(&expected));
        if !is_v2 {
            expected.gicv3_hcr = rec.gic.0;
            expected.gicv3_lrs = rec.gic.1;
            // The CPU computes it from the list registers.
            expected.gicv3_misr = found.gicv3_misr;
        }
        let same = expected.as_bytes() == found.as_bytes();
        assert!(
            same,
            "exit record:\n{}expected:\n{}",
            describe_record(found),
            describe_record(&expected)
        );
    }
}

/// The kind of an exit, for the statistics.
fn reason(exit: &RecExit) -> &'static str {
    match (exit.exit_reason, exit.esr >> 26, exit.esr >> 24 & 1) {
        (0, 0x24, 1) => "emulatable abort",
        (0, 0x24, _) => "non-emulatable abort",
        (0, 0x20, _) => "instruction abort",
        (0, 1, _) => "WFx",
        (1, ..) => "IRQ",
        (3, ..) => "PSCI",
        (4, ..) => "RIPAS change",
        (5, ..) => "host call",
        _ => "another",
    }
}

/// Whether `gicv3_hcr` and `gicv3_lrs` are valid (A6.1).
fn is_valid_gic(enter: &RecEnter, features: &CpuFeatures) -> bool {
    if enter.gicv3_hcr & !0x40FE != 0 {
        return false;
    }
    let used = usize::from(features.gic_num_lrs) + 1;
    let lrs = &enter.gicv3_lrs[..used];
    let state = |lr: u64| lr >> 62;
    lrs.iter().enumerate().all(|(n, &lr)| {
        if lr >> 61 & 1 != 0 {
            return false;
        }
        if state(lr) == 0 {
            return true;
        }
        let id = lr & 0xFFFF_FFFF;
        let extended = features.gic_ext_range && matches!(id, 1056..=1119 | 4096..=5119);
        let most = if features.gic_id_24 { 1 << 24 } else { 1 << 16 };
        let is_id = id < 1020 || extended || (8192..most).contains(&id);
        let low_priority = 0xFF >> features.gic_pri_bits;
        let reserved = lr >> 56 & 0xF | lr >> 45 & 7 | lr >> 32 & 0x1DFF;
        let twice = lrs[..n]
            .iter()
            .any(|&other| state(other) != 0 && other & 0xFFFF_FFFF == id);
        is_id && lr >> 48 & low_priority == 0 && reserved == 0 && !twice
    })
}
