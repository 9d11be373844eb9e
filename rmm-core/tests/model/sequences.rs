// SPDX-License-Identifier: BSD-3-Clause
//! Steps of many calls: building a Realm, filling an RTT, destroying all that a Realm has.

use super::calls::{BLOCK, SOURCE};
use super::instructions::Instruction;
use super::state::Model;
use super::stepper::{SharedModel, Stepper};
use super::tables::{Entry, size};
use rmm_abi::rmi::v2::fid as v2;
use rmm_abi::rmi::{RecEnter, fid};
use rmm_core::fake::{Host, NS_ATTRIBUTES};
use rmm_granule::fake::Pas;
use rmm_granule::{GranuleState, Pa};
use zerocopy::FromZeros;

impl Stepper<'_> {
    /// A RIPAS change, from the request to its completion, in part or as a whole.
    pub fn ripas(&mut self, rd: u64) {
        let rec = self.rec(rd);
        self.ripas_request(rd, rec);
        for _ in 0..=self.draw.below(3) {
            self.apply_ripas(rec, rd);
        }
        self.plain_entry(rec);
    }

    /// A PSCI call, its completion, and the next instructions of the Realm.
    pub fn psci(&mut self, rd: u64) {
        let rec = self.ready_rec(rd);
        let rd = self.shared.lock().recs.get(&rec).map_or(rd, |rec| rec.rd);
        let call = Instruction::Call(self.psci_call(rd, rec));
        let run = self.run_page();
        self.enter(rec, run, &RecEnter::new_zeroed(), vec![call], false);
        for _ in 0..self.draw.below(3) {
            self.psci_complete(rd);
        }
        self.plain_entry(rec);
    }

    /// RTTs for an IPA down to level 3.
    pub fn tables(&mut self, rd: u64, ipa: u64) {
        self.tables_to(rd, ipa, 3);
    }

    /// RTTs for an IPA down to this level.
    pub fn tables_to(&mut self, rd: u64, ipa: u64, lowest: i64) {
        let start = self.shared.lock().realms[&rd].tables.start_level;
        for level in start + 1..=lowest {
            let base = ipa & !(size(level - 1) - 1);
            let model = self.shared.lock();
            let tables = &model.realms[&rd].tables;
            if ipa >= tables.end() || tables.walk(ipa, 3).level >= level {
                continue;
            }
            drop(model);
            let rtt = self.fresh();
            let args = [rd, rtt, base, level.cast_unsigned()];
            self.plain_call(fid::RMI_RTT_CREATE, &args);
        }
    }

    /// Destroys a Realm if there are three or more, because there are few granules.
    pub fn limit_realms(&mut self) {
        if self.shared.lock().realms.len() < 3 {
            return;
        }
        let Some(rd) = self.realm() else { return };
        let (twist, low) = (self.twist.take(), self.low);
        if !self.nested {
            self.tear_down(rd);
        }
        (self.twist, self.low) = (twist, low);
    }

    /// A Realm with RECs, RTTs and memory.
    pub fn setup(&mut self) {
        let Some(rd) = self.realm_create() else {
            return;
        };
        for _ in 0..=self.draw.below(3) {
            self.rec_create(rd);
        }
        let half = self.shared.lock().realms[&rd].tables.half();
        self.tables(rd, 0);
        let ram = self.draw.of(&[1, 4, 512]) * 4096;
        self.plain_call(fid::RMI_RTT_INIT_RIPAS, &[rd, 0, ram]);
        let v2 = self.is_v2();
        for n in 0..self.draw.below(4) as u64 {
            if v2 && n >= 2 {
                self.data_page(rd, n * 4096);
                continue;
            }
            let data = self.fresh();
            let args = [rd, data, n * 4096, SOURCE, n & 1];
            if n < 2 {
                self.plain_call(fid::RMI_DATA_CREATE, &args);
            } else {
                self.plain_call(fid::RMI_DATA_CREATE_UNKNOWN, &args[..3]);
            }
        }
        if self.draw.once_in(2) {
            self.tables(rd, half);
            let pa = self.granule(GranuleState::Undelegated);
            if v2 {
                self.unprot_page(rd, half, pa);
            } else {
                let args = [rd, half, 3, pa | NS_ATTRIBUTES];
                self.plain_call(fid::RMI_RTT_MAP_UNPROTECTED, &args);
            }
        }
        if !self.draw.once_in(3) {
            self.plain_call(fid::RMI_REALM_ACTIVATE, &[rd]);
        }
    }

    /// 2 MiB of DATA granules, folded into one entry.
    pub fn block(&mut self, rd: u64) {
        let free = |model: &Model| {
            let mut all = model.granules.range(BLOCK..BLOCK + (2 << 20));
            all.all(|(_, granule)| {
                matches!(
                    granule.state,
                    GranuleState::Delegated | GranuleState::Undelegated
                ) && granule.pas != Some(Pas::Secure)
                    && granule.pas != Some(Pas::Root)
            })
        };
        if self.nested || !free(&self.shared.lock()) {
            return;
        }
        let ipa = self.draw.below(4) as u64 * (2 << 20);
        if self.draw.once_in(2) {
            let (base, top) = (ipa, ipa + (2 << 20));
            self.plain_call(fid::RMI_RTT_INIT_RIPAS, &[rd, base, top]);
        }
        self.tables(rd, ipa);
        for offset in (0..2 << 20).step_by(4096) {
            let pa = BLOCK + offset;
            if self.shared.lock().granule_state(pa) == Some(GranuleState::Undelegated) {
                self.plain_call(fid::RMI_GRANULE_DELEGATE, &[pa]);
            }
            let args = [rd, pa, ipa + offset];
            self.plain_call(fid::RMI_DATA_CREATE_UNKNOWN, &args);
        }
        self.plain_call(fid::RMI_RTT_FOLD, &[rd, ipa, 3]);
    }

    /// An RTT full of Host memory, folded into one entry.
    pub fn ns_block(&mut self, rd: u64) {
        if self.nested {
            return;
        }
        let half = self.shared.lock().realms[&rd].tables.half();
        let level = self.draw.of(&[3, 3, 2]);
        let ipa = half + self.draw.below(2) as u64 * size(level - 1);
        self.tables(rd, ipa);
        if level == 2 {
            let (ipa, level) = (ipa & !(size(2) - 1), 3_i64);
            self.plain_call(fid::RMI_RTT_FOLD, &[rd, ipa, level.cast_unsigned()]);
        }
        let odd = self.draw.below(1024) as u64;
        for n in 0..512 {
            // In half of all cases one of them has other attributes.
            let attributes = if n == odd {
                NS_ATTRIBUTES ^ 1 << 7
            } else {
                NS_ATTRIBUTES
            };
            let pa = (4 << 30) + n * size(level);
            let args = [
                rd,
                ipa + n * size(level),
                level.cast_unsigned(),
                pa | attributes,
            ];
            self.plain_call(fid::RMI_RTT_MAP_UNPROTECTED, &args);
        }
        let args = [rd, ipa, level.cast_unsigned()];
        self.plain_call(fid::RMI_RTT_FOLD, &args);
    }

    /// Destroys all that a Realm has in the model, then the Realm.
    pub fn tear_down(&mut self, rd: u64) {
        self.low = true;
        if self.is_v2() {
            self.plain_call(v2::RMI_REALM_TERMINATE, &[rd]);
        }
        let recs: Vec<u64> = self.shared.lock().realms[&rd]
            .recs
            .values()
            .copied()
            .collect();
        for rec in recs {
            self.plain_call(fid::RMI_REC_DESTROY, &[rec]);
        }
        while let Some((level, base)) = self.last_rtt(rd) {
            self.empty_rtt(rd, level, base);
            let start = self.shared.lock().realms[&rd].tables.start_level;
            if level == start {
                break;
            }
            let args = [rd, base, level.cast_unsigned()];
            self.plain_call(fid::RMI_RTT_DESTROY, &args);
        }
        self.plain_call(fid::RMI_REALM_DESTROY, &[rd]);
    }

    /// The last RTT of the highest level, or a start-level RTT that still has DATA.
    fn last_rtt(&self, rd: u64) -> Option<(i64, u64)> {
        let model = self.shared.lock();
        let tables = &model.realms[&rd].tables;
        let (level, _) = *tables.rtts.keys().next_back()?;
        let mut of_level = tables.rtts.iter().filter(|((at, _), _)| *at == level);
        let holds = |entry: &Entry| matches!(entry, Entry::Assigned(..));
        of_level
            .find(|(_, rtt)| level > tables.start_level || rtt.entries.iter().any(holds))
            .map(|(key, _)| *key)
    }

    fn empty_rtt(&mut self, rd: u64, level: i64, base: u64) {
        for n in 0..512 {
            let ipa = base + n * size(level);
            let entry =
                self.shared.lock().realms[&rd].tables.rtts[&(level, base)].entries[n as usize];
            if !matches!(entry, Entry::Assigned(..)) {
                continue;
            }
            if self.is_v2() && level >= 2 {
                let args = [rd, ipa, ipa + size(level), 0, 0];
                self.plain_call(v2::RMI_RTT_DATA_UNMAP, &args);
            } else if level == 3 {
                self.plain_call(fid::RMI_DATA_DESTROY, &[rd, ipa]);
            } else {
                let rtt = self.fresh();
                let below = level + 1;
                let args = [rd, rtt, ipa, below.cast_unsigned()];
                self.plain_call(fid::RMI_RTT_CREATE, &args);
                self.empty_rtt(rd, below, ipa);
                let args = [rd, ipa, below.cast_unsigned()];
                self.plain_call(fid::RMI_RTT_DESTROY, &args);
            }
        }
    }
}

/// Undelegates all granules that are still DELEGATED.
pub fn undelegate_all(shared: &SharedModel, host: &Host) {
    let delegated: Vec<u64> = {
        let model = shared.lock();
        let all = model.granules.iter();
        let own = all.filter(|(_, granule)| granule.state == GranuleState::Delegated);
        own.map(|(pa, _)| *pa).collect()
    };
    for pa in delegated {
        let mut hand = Stepper::new(shared, host);
        if hand.is_v2() {
            hand.plain_call(v2::RMI_GRANULE_RANGE_UNDELEGATE, &[pa, pa + 4096]);
        } else {
            hand.plain_call(fid::RMI_GRANULE_UNDELEGATE, &[pa]);
        }
        host.board().memory.assert_no_stale(Pa(pa));
    }
}
