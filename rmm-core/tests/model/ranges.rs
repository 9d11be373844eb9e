// SPDX-License-Identifier: BSD-3-Clause
//! What the commands of RMI 2.0 on ranges may return and change (B4.5.17, B4.5.18, B4.5.65 to B4.5.78).

use super::commands::{RD, RttStatus};
use super::conditions::Conditions;
use super::state::{Model, RealmState};
use super::tables::{At, Entry, Ripas, size};
use rmm_core::fake::{Reply, Status};
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;

/// Most entries of a list that one call uses, and most granules that one call delegates: what the
/// specification leaves to the monitor.
const MOST_ENTRIES: usize = 32;
const MOST_GRANULES: u64 = 512;

const SINGLE: u64 = 1;
const LIST: u64 = 2;
const LIST_LABELS: [&str; 3] = ["oaddr_granule", "oaddr_list_bound", "oaddr_list_pas"];

/// An address range descriptor.
#[derive(Clone, Copy)]
struct Piece {
    level: i64,
    count: u64,
    address: u64,
    delegated: bool,
    valid: bool,
}

impl Piece {
    fn of(bits: u64) -> Self {
        let level = 3 - (bits & 3).cast_signed();
        let address = bits & ((1 << 52) - 1) & !0xFFF;
        Self {
            level,
            count: bits >> 2 & 0x3FF,
            address,
            delegated: bits >> 62 == 0,
            valid: bits >> 52 & 0x3FF == 0 && address.is_multiple_of(size(level)),
        }
    }
}

/// Where the unmapped addresses go.
struct Report {
    kind: u64,
    /// Bits of the state in a descriptor.
    state: u64,
    ranges: Vec<(u64, i64, u64)>,
    most: usize,
}

impl Report {
    fn add(&mut self, pa: u64, level: i64) -> bool {
        if self.kind == 0 {
            return true;
        }
        if let Some((base, of_level, count)) = self.ranges.last_mut()
            && *of_level == level
            && *base + *count * size(level) == pa
            && *count < 0x3FF
        {
            *count += 1;
            return true;
        }
        let fits = self.ranges.len() < self.most;
        if fits {
            self.ranges.push((pa, level, 1));
        }
        fits
    }

    fn words(&self) -> Vec<u64> {
        let words = self.ranges.iter();
        words
            .map(|(pa, level, count)| pa | (3 - level).cast_unsigned() | count << 2 | self.state)
            .collect()
    }
}

/// Judges the answer of a command that maps a range up to `end`, and returns whether it has mapped.
fn judge_mapped(c: &Conditions, reply: &Reply, end: Option<u64>) -> bool {
    let mapped = c.judge(reply.status, &[]);
    let expected = if mapped {
        end.expect("a walk has succeeded")
    } else {
        0
    };
    assert_eq!(reply.x[1], expected, "out_top");
    mapped
}

impl Model {
    pub fn range_delegate(&mut self, base: u64, top: u64, reply: &Reply) {
        self.granule_range("2.0 GRANULE_RANGE_DELEGATE", base, top, reply, |granule| {
            let may =
                granule.state == GranuleState::Undelegated && granule.pas == Some(Pas::NonSecure);
            if may {
                granule.become_wiped(GranuleState::Delegated);
                granule.pas = Some(Pas::Realm);
            }
            may
        });
    }

    pub fn range_undelegate(&mut self, base: u64, top: u64, reply: &Reply) {
        let name = "2.0 GRANULE_RANGE_UNDELEGATE";
        self.granule_range(name, base, top, reply, |granule| match granule.state {
            GranuleState::Undelegated => true,
            GranuleState::Delegated => {
                granule.become_wiped(GranuleState::Undelegated);
                granule.pas = Some(Pas::NonSecure);
                true
            }
            _ => false,
        });
    }

    fn granule_range(
        &mut self,
        name: &'static str,
        base: u64,
        top: u64,
        reply: &Reply,
        mut step: impl FnMut(&mut super::state::Granule) -> bool,
    ) {
        let mut c = Conditions::of(name);
        c.input("base_align", !base.is_multiple_of(4096));
        c.input("top_align", !top.is_multiple_of(4096));
        c.input("top_bound", top <= base);
        let mut next = base;
        if c.none() {
            let end = top.min(base.saturating_add(MOST_GRANULES * 4096));
            while next < end && self.granules.get_mut(&next).is_some_and(&mut step) {
                next += 4096;
            }
            c.input("state", next == base);
        }
        let success = c.judge(reply.status, &[]);
        assert_eq!(reply.x[1], if success { next } else { 0 }, "out_top");
    }

    /// Adds the conditions of a range in one half of the IPA space. Returns where the walk to its base
    /// ends.
    fn range_at(
        &self,
        c: &mut Conditions,
        rd: u64,
        (base, top): (u64, u64),
        protected: bool,
    ) -> Option<At> {
        c.input("base_align", !base.is_multiple_of(4096));
        c.input("top_align", !top.is_multiple_of(4096));
        c.input("size_valid", top <= base);
        if !self.check(c, RD, rd, GranuleState::Rd) {
            return None;
        }
        let tables = &self.realms[&rd].tables;
        let half = tables.half();
        let is_in = if protected {
            top <= half
        } else {
            base >= half && top <= tables.end()
        };
        c.input("ipa_bound", !is_in);
        (is_in && base < top).then(|| tables.walk(base, 3))
    }

    /// The entry `n` entries after the end of a walk.
    fn entry_after(&self, rd: u64, at: &At, n: usize) -> Option<At> {
        let index = at.index + n;
        let entries = &self.realms[&rd].tables.rtts[&(at.level, at.table)].entries;
        let entry = *entries.get(index)?;
        Some(At {
            index,
            entry,
            ..*at
        })
    }

    /// The descriptors of a list; `None` if it cannot be read.
    fn list(&self, c: &mut Conditions, addr: u64, count: u64) -> Option<(u64, usize)> {
        c.input("oaddr_list_align", !addr.is_multiple_of(8));
        c.input("oaddr_count", count == 0);
        let readable = self.check_ns(c, LIST_LABELS, addr & !0xFFF);
        let room = (4096 - (addr & 0xFFF)) / 8;
        let count = count.min(room).min(MOST_ENTRIES as u64);
        (readable && addr.is_multiple_of(8)).then_some((addr & !0xFFF, count as usize))
    }

    /// The addresses of a mapping command, as pieces of `level` or of that of the descriptors, the larger
    /// one; and the level of the descriptors.
    fn sources(&self, c: &mut Conditions, flags: u64, oaddr: u64) -> Option<(i64, Vec<Piece>)> {
        let words: Vec<u64> = match flags & 3 {
            SINGLE => vec![oaddr],
            LIST => {
                let (page, count) = self.list(c, oaddr, flags >> 2 & 0x3FFF)?;
                let words = self.granules[&page].content().as_chunks::<8>().0;
                let words = words[(oaddr & 0xFFF) as usize / 8..][..count].iter();
                words.map(|word| u64::from_le_bytes(*word)).collect()
            }
            _ => {
                c.input("oaddr_type", true);
                return None;
            }
        };
        let pieces = words.into_iter().map(Piece::of);
        let pieces: Vec<Piece> = pieces.filter(|piece| piece.count != 0).collect();
        let Some(first) = pieces.first() else {
            c.input("oaddr_empty", true);
            return None;
        };
        c.input("oaddr_single_align", !first.valid);
        let level = first.level;
        let alike = pieces
            .into_iter()
            .take_while(|piece| piece.valid && piece.level == level);
        Some((level, alike.collect()))
    }

    /// Addresses of blocks of `level`.
    fn blocks(pieces: &[Piece], level: i64) -> impl Iterator<Item = u64> {
        let step = size(level);
        pieces.iter().flat_map(move |piece| {
            let end = piece.address + piece.count * size(piece.level);
            (piece.address..end).step_by(step as usize)
        })
    }

    pub fn data_map(&mut self, [rd, base, top, flags, oaddr]: [u64; 5], reply: &Reply) {
        let mut c = Conditions::of("2.0 RTT_DATA_MAP");
        c.input("flags", flags >> 16 != 0);
        let sources = self.sources(&mut c, flags, oaddr);
        if let Some((_, pieces)) = &sources {
            let delegated = pieces.first().is_none_or(|piece| piece.delegated);
            c.input("gran_state", !delegated);
        }
        let at = self.range_at(&mut c, rd, (base, top), true);
        if let Some(realm) = self.realms.get(&rd) {
            let may = matches!(realm.state, RealmState::New | RealmState::Active);
            c.when("realm_state", !may, Status::Realm(0));
        }
        let mut done = Vec::new();
        if let (Some((level, pieces)), Some(at)) = (&sources, at) {
            let status = Status::rtt(at.level);
            c.when("rtte_size", at.level < (*level).max(2), status);
            c.when("rtte_align", at.base() != base, status);
            c.when("rtte_size", at.end() > top, status);
            if at.level >= (*level).max(2) && at.base() == base {
                for (n, pa) in Self::blocks(pieces, at.level).enumerate() {
                    let Some(entry) = self.entry_after(rd, &at, n) else {
                        break;
                    };
                    // A granule that this call has mapped already is not DELEGATED any more.
                    let twice = done.iter().any(|(_, other)| *other == pa);
                    if entry.end() > top || twice || !self.may_map(rd, &entry, pa) {
                        break;
                    }
                    done.push((entry, pa));
                }
            }
            if done.is_empty() {
                let is_void = matches!(at.entry, Entry::Unassigned(_));
                c.when("rtte_state", !is_void, status);
                let pa = pieces.first().map(|piece| piece.address);
                let usable = pa.is_some_and(|pa| self.are_delegated(rd, pa, at.level));
                c.input("gran_state", !usable);
            }
        }
        let end = at.map(|at| base + done.len() as u64 * size(at.level));
        if !judge_mapped(&c, reply, end) {
            return;
        }
        for (entry, pa) in done {
            let Entry::Unassigned(ripas) = entry.entry else {
                continue;
            };
            for pa in (pa..pa + size(entry.level)).step_by(4096) {
                self.granule(pa).become_wiped(GranuleState::Data);
            }
            let realm = self.realm(rd);
            realm.tables.set(&entry, Entry::Assigned(ripas, pa));
            realm.probe(entry.base());
        }
    }

    /// Whether RMI_RTT_DATA_MAP goes on at this entry.
    fn may_map(&self, rd: u64, entry: &At, pa: u64) -> bool {
        match entry.entry {
            Entry::Unassigned(_) => self.are_delegated(rd, pa, entry.level),
            Entry::Assigned(_, mapped) => mapped == pa,
            _ => false,
        }
    }

    /// Whether a block has DELEGATED granules that the Realm can address.
    fn are_delegated(&self, rd: u64, pa: u64, level: i64) -> bool {
        let limit = if self.realms[&rd].tables.lpa2 { 52 } else { 48 };
        let delegated = |pa| self.granule_state(pa) == Some(GranuleState::Delegated);
        pa + size(level) <= 1 << limit
            && level > 1
            && (pa..pa + size(level)).step_by(4096).all(delegated)
    }

    /// Adds the conditions of flags and addresses of an unmapping command.
    fn report(&self, c: &mut Conditions, flags: u64, oaddr: u64, state: u64) -> Report {
        let (kind, capacity) = (flags & 3, flags >> 2 & 0x3FFF);
        c.input("oaddr_type", kind == 3);
        c.input("flags", flags >> 16 != 0);
        let mut most = 1;
        if kind == LIST {
            if let Some((_, count)) = self.list(c, oaddr, capacity) {
                most = count;
            }
        } else {
            c.input("oaddr_unused", oaddr != 0 || capacity != 0);
        }
        Report {
            kind,
            state,
            ranges: Vec::new(),
            most,
        }
    }

    pub fn data_unmap(&mut self, a: [u64; 5], reply: &Reply) {
        self.unmap("2.0 RTT_DATA_UNMAP", a, reply, true);
    }

    pub fn unprot_unmap(&mut self, a: [u64; 5], reply: &Reply) {
        self.unmap("2.0 RTT_UNPROT_UNMAP", a, reply, false);
    }

    fn unmap(
        &mut self,
        name: &'static str,
        [rd, base, top, flags, oaddr]: [u64; 5],
        reply: &Reply,
        protected: bool,
    ) {
        let mut c = Conditions::of(name);
        let state = if protected { 0 } else { 1 << 62 };
        let mut report = self.report(&mut c, flags, oaddr, state);
        let at = self.range_at(&mut c, rd, (base, top), protected);
        let mut done = Vec::new();
        let mut out_top = 0;
        if let Some(at) = at {
            if at.entry.is_live() {
                let status = Status::rtt(at.level);
                let is_part = at.base() != base || at.end() > top;
                c.when("rtte_size", is_part, status);
                c.when("rtte_size", protected && at.level < 2, status);
                for n in 0.. {
                    let Some(entry) = self.entry_after(rd, &at, n) else {
                        break;
                    };
                    let pa = match entry.entry {
                        Entry::Assigned(_, pa) | Entry::AssignedNs(_, pa) => pa,
                        _ => break,
                    };
                    if entry.end() > top || !report.add(pa, at.level) {
                        break;
                    }
                    done.push((entry, pa));
                }
                out_top = base + done.len() as u64 * size(at.level);
            } else {
                out_top = self.realms[&rd].tables.top(&at, base).min(top);
            }
        }
        if !c.judge(reply.status, &[]) {
            assert_eq!(reply.x[1..4], [0; 3], "outputs");
            return;
        }
        let words = report.words();
        let expected = match report.kind {
            SINGLE => [out_top, words.first().copied().unwrap_or(0), 0],
            LIST => [out_top, 0, words.len() as u64],
            _ => [out_top, 0, 0],
        };
        assert_eq!(reply.x[1..4], expected, "out_top, out_range, out_count");
        for (entry, pa) in done {
            let empty = match entry.entry {
                Entry::Assigned(Ripas::Empty, _) => Entry::Unassigned(Ripas::Empty),
                Entry::Assigned(..) => Entry::Unassigned(Ripas::Destroyed),
                _ => Entry::UnassignedNs,
            };
            self.realm(rd).tables.set(&entry, empty);
            let granules = (pa..pa + size(entry.level)).step_by(4096);
            for pa in granules.filter(|_| protected) {
                self.granule(pa).become_wiped(GranuleState::Delegated);
            }
        }
        if report.kind == LIST {
            let page = self.granule(oaddr & !0xFFF).content_mut();
            for (n, word) in words.iter().enumerate() {
                page[(oaddr & 0xFFF) as usize + 8 * n..][..8].copy_from_slice(&word.to_le_bytes());
            }
        }
    }

    pub fn unprot_map(&mut self, [rd, base, top, flags, oaddr]: [u64; 5], reply: &Reply) {
        let mut c = Conditions::of("2.0 RTT_UNPROT_MAP");
        let (memory, access) = (flags >> 16 & 7, flags >> 19 & 0xF);
        c.input("flags", flags >> 23 != 0);
        c.input("attr", memory == 4 || access > 3);
        // Write and read of the flags are read and write of a descriptor.
        let attributes = memory << 2 | (access & 1) << 7 | (access >> 1 & 1) << 6;
        let sources = self.sources(&mut c, flags, oaddr);
        let at = self.range_at(&mut c, rd, (base, top), false);
        let mut done = Vec::new();
        if let (Some((level, pieces)), Some(at)) = (&sources, at) {
            let status = Status::rtt(at.level);
            let limit = if self.realms[&rd].tables.lpa2 { 52 } else { 48 };
            let fits = |pa: u64| pa >> limit == 0;
            let first = pieces.first();
            c.input(
                "addr_bound",
                first.is_some_and(|piece| !fits(piece.address)),
            );
            c.when("rtte_size", at.level < (*level).max(1), status);
            c.when("rtte_align", at.base() != base, status);
            c.when("rtte_size", at.end() > top, status);
            c.when("rtte_state", at.entry != Entry::UnassignedNs, status);
            if c.none() {
                for (n, pa) in Self::blocks(pieces, at.level).enumerate() {
                    let Some(entry) = self.entry_after(rd, &at, n) else {
                        break;
                    };
                    if entry.end() > top || entry.entry != Entry::UnassignedNs || !fits(pa) {
                        break;
                    }
                    done.push((entry, pa));
                }
            }
        }
        let end = at.map(|at| base + done.len() as u64 * size(at.level));
        if !judge_mapped(&c, reply, end) {
            return;
        }
        let realm = self.realm(rd);
        realm.probe(base);
        for (entry, pa) in done {
            realm.tables.set(&entry, Entry::AssignedNs(attributes, pa));
        }
    }

    pub fn init_ripas_2(&mut self, rd: u64, base: u64, top: u64, reply: &Reply) {
        let mut c = Conditions::of("2.0 RTT_INIT_RIPAS");
        let first = self.first_to_init(&mut c, rd, base, top);
        if let Some(at) = &first {
            let destroyed = at.entry.ripas() == Some(Ripas::Destroyed);
            c.when("destroyed", destroyed, Status::rtt(at.level));
        }
        let order: [super::conditions::Order; 3] = [
            (&RD, &["realm_state"]),
            (&RD, &["base_align", "no_progress", "destroyed"]),
            (&["top_gran_align"], &["no_progress"]),
        ];
        if !c.judge(reply.status, &order) {
            assert_eq!(reply.x[1], 0, "out_top");
            return;
        }
        let at = first.expect("checked above");
        self.realm(rd).probe(base);
        let mut next = base;
        for n in 0.. {
            let Some(entry) = self.entry_after(rd, &at, n) else {
                break;
            };
            let ends = matches!(entry.entry.ripas(), None | Some(Ripas::Destroyed));
            if ends || entry.end() > top {
                break;
            }
            let ram = entry.entry.with_ripas(Ripas::Ram);
            self.realm(rd).tables.set(&entry, ram);
            next = entry.end();
        }
        assert_eq!(reply.x[1], next, "out_top");
    }
}
