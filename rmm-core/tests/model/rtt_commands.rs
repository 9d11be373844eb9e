// SPDX-License-Identifier: BSD-3-Clause
//! What commands on RTTs may return and change (B4.3.15 to B4.3.22).

use super::commands::{RD, REC_GRAN, RttStatus};
use super::conditions::{Conditions, Order};
use super::state::{Model, RealmState};
use super::tables::{At, Entry, Ripas, Tables, size};
use rmm_attest::{SoftHash, rim};
use rmm_core::fake::{EntryReport, Reply, Status};
use rmm_granule::GranuleState;

const WALK: &[&str] = &["rtt_walk", "rtte_state"];
/// Order of the conditions of commands that take a level.
const LEVEL_ORDER: &[Order] = &[(&RD, WALK), (&["level_bound", "ipa_bound"], WALK)];

impl Model {
    /// Adds the conditions `rd_*`, `level_bound`, `ipa_align` and `ipa_bound` of an RTT below the
    /// start level. Returns where a walk to the entry of its parent ends.
    fn table_at(&self, c: &mut Conditions, rd: u64, ipa: u64, level: u64) -> Option<At> {
        if !self.check(c, RD, rd, GranuleState::Rd) {
            return None;
        }
        let tables = &self.realms[&rd].tables;
        let level = level.cast_signed();
        let is_level = tables.is_level(level) && level != tables.start_level;
        c.input("level_bound", !is_level);
        c.input("ipa_bound", ipa >= tables.end());
        if !is_level {
            return None;
        }
        c.input("ipa_align", !ipa.is_multiple_of(size(level - 1)));
        (ipa < tables.end()).then(|| {
            let at = tables.walk(ipa, level - 1);
            c.when("rtt_walk", at.level < level - 1, Status::rtt(at.level));
            at
        })
    }

    pub(super) fn rtt_create(&mut self, rd: u64, rtt: u64, ipa: u64, level: u64, reply: &Reply) {
        let mut c = Conditions::of("RTT_CREATE");
        let labels = ["rtt_align", "rtt_bound", "rtt_state"];
        self.check(&mut c, labels, rtt, GranuleState::Delegated);
        let at = self.table_at(&mut c, rd, ipa, level);
        if let Some(realm) = self.realms.get(&rd) {
            c.input("rtt_bound2", !realm.tables.lpa2 && rtt >= 1 << 48);
        }
        if let Some(at) = at {
            let is_table = matches!(at.entry, Entry::Table(_));
            c.when("rtte_state", is_table, Status::rtt(at.level));
        }
        if c.judge(reply.status, LEVEL_ORDER) {
            let at = at.expect("checked above");
            self.granule(rtt).become_wiped(GranuleState::Rtt);
            self.realm(rd).tables.unfold(&at, rtt);
        }
    }

    pub(super) fn rtt_destroy(&mut self, rd: u64, ipa: u64, level: u64, reply: &Reply) {
        let mut c = Conditions::of("RTT_DESTROY");
        let at = self.table_at(&mut c, rd, ipa, level);
        let mut live = false;
        if let Some(at) = at {
            let is_table = matches!(at.entry, Entry::Table(_));
            c.when("rtte_state", !is_table, Status::rtt(at.level));
            live = is_table && self.realms[&rd].tables.child_is_live(&at);
            c.when("rtt_live", live, Status::rtt(level.cast_signed()));
        }
        let order: [Order; 2] = [
            (&RD, &["rtt_walk", "rtte_state", "rtt_live"]),
            (&["level_bound", "ipa_bound"], WALK),
        ];
        let success = c.judge(reply.status, &order);
        if let (true, Some(at)) = (success, at) {
            let tables = &mut self.realm(rd).tables;
            let entry = if tables.is_protected(ipa) {
                Entry::Unassigned(Ripas::Destroyed)
            } else {
                Entry::UnassignedNs
            };
            let rtt = tables.remove_child(&at, entry);
            assert_eq!(reply.x[1], rtt, "rtt");
            self.granule(rtt).become_wiped(GranuleState::Delegated);
        } else {
            assert_eq!(reply.x[1], 0, "rtt");
        }
        if live && matches!(reply.status, Status::Rtt(_)) {
            assert_eq!(reply.x[2], ipa, "top of a live RTT");
        } else {
            self.judge_top(rd, ipa, at.map(|at| at.level), reply, reply.x[2]);
        }
    }

    pub(super) fn rtt_fold(&mut self, rd: u64, ipa: u64, level: u64, reply: &Reply) {
        let mut c = Conditions::of("RTT_FOLD");
        let at = self.table_at(&mut c, rd, ipa, level);
        let mut folded = None;
        if let Some(at) = at {
            let is_table = matches!(at.entry, Entry::Table(_));
            c.when("rtte_state", !is_table, Status::rtt(at.level));
            if is_table && at.level == level.cast_signed() - 1 {
                folded = self.realms[&rd].tables.folded(&at);
                let mixed = folded.is_none();
                c.when("rtt_homo", mixed, Status::rtt(level.cast_signed()));
            }
        }
        let order: [Order; 2] = [
            (&RD, &["rtt_walk", "rtte_state", "rtt_homo"]),
            (&["level_bound", "ipa_bound"], WALK),
        ];
        if !c.judge(reply.status, &order) {
            assert_eq!(reply.x[1], 0, "rtt");
            return;
        }
        let (at, folded) = (at.expect("checked above"), folded.expect("checked above"));
        let rtt = self.realm(rd).tables.remove_child(&at, folded);
        assert_eq!(reply.x[1], rtt, "rtt");
        self.granule(rtt).become_wiped(GranuleState::Delegated);
    }

    pub(super) fn rtt_read_entry(&mut self, rd: u64, ipa: u64, level: u64, reply: &Reply) {
        let mut c = Conditions::of("RTT_READ_ENTRY");
        let mut expected = [0; 4];
        if self.check(&mut c, RD, rd, GranuleState::Rd) {
            let tables = &self.realms[&rd].tables;
            let level = level.cast_signed();
            c.input("level_bound", !tables.is_level(level));
            c.input("ipa_bound", ipa >= tables.end());
            if tables.is_level(level) {
                c.input("ipa_align", !ipa.is_multiple_of(size(level)));
            }
            if c.none() {
                let EntryReport {
                    level,
                    state,
                    desc,
                    ripas,
                } = tables.report(&tables.walk(ipa, level));
                expected = [level.cast_unsigned(), state, desc, ripas];
            }
        }
        c.judge(reply.status, &[]);
        assert_eq!(reply.x[1..5], expected, "entry");
    }

    /// Adds the conditions `rd_*`, `level_bound`, `ipa_align` and `ipa_bound` of an Unprotected
    /// entry. Returns where a walk to it ends.
    fn ns_entry_at(&self, c: &mut Conditions, rd: u64, ipa: u64, level: u64) -> Option<At> {
        if !self.check(c, RD, rd, GranuleState::Rd) {
            return None;
        }
        let tables = &self.realms[&rd].tables;
        let level = level.cast_signed();
        let is_level = (1..=3).contains(&level) && tables.is_level(level);
        let is_unprotected = (tables.half()..tables.end()).contains(&ipa);
        c.input("level_bound", !is_level);
        c.input("ipa_bound", !is_unprotected);
        if !is_level {
            return None;
        }
        c.input("ipa_align", !ipa.is_multiple_of(size(level)));
        is_unprotected.then(|| {
            let at = tables.walk(ipa, level);
            c.when("rtt_walk", at.level < level, Status::rtt(at.level));
            at
        })
    }

    pub(super) fn rtt_map(&mut self, rd: u64, ipa: u64, level: u64, desc: u64, reply: &Reply) {
        const ATTRIBUTES: u64 = 7 << 2 | 3 << 6;
        let mut c = Conditions::of("RTT_MAP_UNPROTECTED");
        let at = self.ns_entry_at(&mut c, rd, ipa, level);
        let mut output = 0;
        if let Some(realm) = self.realms.get(&rd) {
            let tables = &realm.tables;
            let own = ATTRIBUTES | address_bits(tables.lpa2);
            let beyond = if tables.lpa2 { 0 } else { 0xF << 48 };
            c.input("attr_valid", desc & !(own | beyond) != 0);
            c.input("attr_valid", desc >> 2 & 7 == 4);
            c.input("addr_bound", desc & beyond != 0);
            output = address(tables, desc);
            if (1..=3).contains(&level) {
                let aligned = output.is_multiple_of(size(level.cast_signed()));
                c.input("addr_align", !aligned);
            }
        }
        if let Some(at) = at {
            let free = at.entry == Entry::UnassignedNs;
            c.when("rtte_state", !free, Status::rtt(at.level));
        }
        if c.judge(reply.status, LEVEL_ORDER) {
            let entry = Entry::AssignedNs(desc & ATTRIBUTES, output);
            let realm = self.realm(rd);
            realm.tables.set(&at.expect("checked above"), entry);
            realm.probe(ipa);
        }
    }

    pub(super) fn rtt_unmap(&mut self, rd: u64, ipa: u64, level: u64, reply: &Reply) {
        let mut c = Conditions::of("RTT_UNMAP_UNPROTECTED");
        let at = self.ns_entry_at(&mut c, rd, ipa, level);
        if let Some(at) = at {
            let assigned = matches!(at.entry, Entry::AssignedNs(..));
            c.when("rtte_state", !assigned, Status::rtt(at.level));
        }
        let success = c.judge(reply.status, LEVEL_ORDER);
        if let (true, Some(at)) = (success, at) {
            self.realm(rd).tables.set(&at, Entry::UnassignedNs);
        }
        self.judge_top(rd, ipa, at.map(|at| at.level), reply, reply.x[1]);
    }

    /// Adds the conditions of RMI_RTT_INIT_RIPAS that both interfaces have. Returns where the walk to the first
    /// entry ends.
    pub(super) fn first_to_init(
        &self,
        c: &mut Conditions,
        rd: u64,
        base: u64,
        top: u64,
    ) -> Option<At> {
        c.input("size_valid", top <= base);
        c.input("top_gran_align", !top.is_multiple_of(4096));
        if !self.check(c, RD, rd, GranuleState::Rd) {
            return None;
        }
        let realm = &self.realms[&rd];
        let tables = &realm.tables;
        c.input("top_bound", !tables.is_protected(top.wrapping_sub(4096)));
        let is_new = realm.state == RealmState::New;
        c.when("realm_state", !is_new, Status::Realm(0));
        if !tables.is_protected(base) {
            return None;
        }
        let at = tables.walk(base, 3);
        let status = Status::rtt(at.level);
        c.when("base_align", base != at.base(), status);
        c.when("no_progress", at.end() > top, status);
        Some(at)
    }

    pub(super) fn init_ripas(&mut self, rd: u64, base: u64, top: u64, reply: &Reply) {
        let mut c = Conditions::of("RTT_INIT_RIPAS");
        let first = self.first_to_init(&mut c, rd, base, top);
        if let Some(at) = &first {
            let unassigned = matches!(at.entry, Entry::Unassigned(_));
            c.when("rtte_state", !unassigned, Status::rtt(at.level));
        }
        let order: [Order; 3] = [
            (&RD, &["realm_state"]),
            (&RD, &["base_align", "rtte_state", "no_progress"]),
            (&["top_gran_align"], &["no_progress"]),
        ];
        if !c.judge(reply.status, &order) {
            assert_eq!(reply.x[1], 0, "out_top");
            return;
        }
        let mut at = first.expect("checked above");
        let realm = self.realm(rd);
        realm.probe(base);
        let mut next = base;
        while at.index < 512 {
            at.entry = realm.tables.rtts[&(at.level, at.table)].entries[at.index];
            if at.end() > top || matches!(at.entry, Entry::Table(_)) {
                break;
            }
            realm.tables.set(&at, at.entry.with_ripas(Ripas::Ram));
            let rim = &mut realm.measurements[0];
            *rim = rim::init_ripas(&SoftHash, realm.algorithm, rim, at.base(), at.end());
            next = at.end();
            at.index += 1;
        }
        assert_eq!(reply.x[1], next, "out_top");
    }

    pub(super) fn set_ripas(&mut self, rd: u64, rec: u64, base: u64, top: u64, reply: &Reply) {
        let mut c = Conditions::of("RTT_SET_RIPAS");
        c.input("size_valid", top <= base);
        c.input("top_gran_align", !top.is_multiple_of(4096));
        let has_rd = self.check(&mut c, RD, rd, GranuleState::Rd);
        let mut change = None;
        if self.check(&mut c, REC_GRAN, rec, GranuleState::Rec) {
            let rec = &self.recs[&rec];
            c.when("rec_state", rec.running, Status::Rec);
            c.when("rec_owner", has_rd && rec.rd != rd, Status::Rec);
            change = rec.change;
            let (addr, end) = change.map_or((0, 0), |change| (change.addr, change.top));
            c.input("base_bound", base != addr);
            c.input("top_bound", top > end);
        }
        let mut out_top = None;
        if let (true, Some(change)) = (has_rd, change) {
            let tables = &self.realms[&rd].tables;
            if tables.is_protected(base) {
                let at = tables.walk(base, 3);
                let differs = at.entry.ripas() != Some(change.value);
                let misaligned = base != at.base();
                let status = Status::rtt(at.level);
                c.when("base_align", misaligned && differs, status);
                // In 2.0 the flag matters only for RAM.
                let to_empty = self.realms[&rd].is_v2 && change.value == Ripas::Empty;
                let end = scan(tables, &at, top, change.from_destroyed || to_empty);
                c.when("no_progress", end <= base && differs, status);
                // An entry that has the RIPAS already counts as progress, even if only part of it
                // is in the range.
                let part = misaligned || at.end() > top;
                out_top = Some(if part { at.end().min(top) } else { end });
            }
        }
        let order: [Order; 5] = [
            (&RD, &["base_align", "no_progress"]),
            (&REC_GRAN, &["rec_state", "rec_owner"]),
            (&["base_bound"], &["base_align"]),
            (&["top_gran_align"], &["no_progress"]),
            // Arm's compliance suite needs this order.
            (&["rec_owner"], &["top_bound"]),
        ];
        if !c.judge(reply.status, &order) {
            assert_eq!(reply.x[1], 0, "out_top");
            return;
        }
        let out_top = out_top.expect("checked above");
        assert_eq!(reply.x[1], out_top, "out_top");
        let change = self.rec(rec).change.as_mut().expect("checked above");
        change.addr = out_top;
        let value = change.value;
        let tables = &mut self.realm(rd).tables;
        let mut at = tables.walk(base, 3);
        while at.index < 512 && at.end() <= out_top {
            at.entry = tables.rtts[&(at.level, at.table)].entries[at.index];
            tables.set(&at, at.entry.with_ripas(value));
            at.index += 1;
        }
    }
}

/// Where the scan of RTT_SET_RIPAS ends (B3.75).
fn scan(tables: &Tables, from: &At, top: u64, from_destroyed: bool) -> u64 {
    let entries = &tables.rtts[&(from.level, from.table)].entries;
    let stops = |entry: Entry| {
        let destroyed = entry.ripas() == Some(Ripas::Destroyed);
        matches!(entry, Entry::Table(_)) || destroyed && !from_destroyed
    };
    let first = (from.index..512).find(|&n| stops(entries[n]));
    let end = from.table + first.unwrap_or(512) as u64 * size(from.level);
    end.min(top & !(size(from.level) - 1))
}

/// Bits of the address in a descriptor.
fn address_bits(lpa2: bool) -> u64 {
    if lpa2 {
        ((1 << 50) - 1) & !0xFFF | 3 << 8
    } else {
        ((1 << 48) - 1) & !0xFFF
    }
}

/// The address in a descriptor that the Host passes.
fn address(tables: &Tables, desc: u64) -> u64 {
    if tables.lpa2 {
        desc & ((1 << 50) - 1) & !0xFFF | (desc >> 8 & 3) << 50
    } else {
        desc & ((1 << 48) - 1) & !0xFFF
    }
}
