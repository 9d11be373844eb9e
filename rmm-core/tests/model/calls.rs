// SPDX-License-Identifier: BSD-3-Clause
//! Steps of one call: from the numbers of a step to arguments, which mostly fit the state.

use super::commands::{start_number, start_tables};
use super::step::{Draw, Step, StepKind};
use super::stepper::{SharedModel, Stepper};
use super::tables::{Entry, size};
use rmm_abi::rmi::v2::fid as v2;
use rmm_abi::rmi::{RealmParams, RecParams, fid, index_to_mpidr};
use rmm_core::fake::{Host, NS_ATTRIBUTES, Status};
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;
use zerocopy::FromZeros;

/// Pages that stay Host memory unless a twist names them: parameters, source, entry records.
pub const PARAMS: u64 = POOL;
pub const SOURCE: u64 = POOL + 0x1000;
const NESTED_RUN: u64 = POOL + 0x2000;
const RUN: u64 = POOL + 0x3000;

/// The granules from which steps choose.
pub const POOL: u64 = 0x8000_2000;
pub const POOL_END: u64 = 0x8006_0000;
/// The granules of a block.
pub const BLOCK: u64 = 0x8020_0000;
/// Granules that only Realms with LPA2 can address.
pub const HIGH: u64 = 1 << 48;
/// Granules without RAM.
pub const HOLE: u64 = 0x8800_0000;

/// IPA width, start level and LPA2 of the Realms that steps create.
const SHAPES: &[(u8, i64, bool)] = &[
    (40, 0, false),
    (32, 1, false),
    (39, 1, false),
    (41, 1, false),
    (32, 2, false),
    (33, 2, false),
    (48, 0, false),
    (40, 0, true),
    (48, 0, true),
    (50, 0, true),
    (49, -1, true),
    (52, -1, true),
];

/// Takes a step.
pub fn take(shared: &SharedModel, host: &Host, step: &Step, nested: bool) {
    let mut hand = Stepper {
        draw: Draw::new(step.numbers),
        twist: step.twist,
        nested,
        ..Stepper::new(shared, host)
    };
    hand.take(step.kind);
}

impl Stepper<'_> {
    fn take(&mut self, kind: StepKind) {
        match kind {
            StepKind::Version => self.version(),
            StepKind::Raw => self.raw(),
            StepKind::Write => self.write(),
            StepKind::Move => self.move_page(),
            StepKind::Mode => self.mode_step(),
            StepKind::Switch => self.switch(),
            StepKind::Delegate if self.is_v2() => {
                self.granule_range(v2::RMI_GRANULE_RANGE_DELEGATE, GranuleState::Undelegated);
            }
            StepKind::Undelegate if self.is_v2() => {
                self.granule_range(v2::RMI_GRANULE_RANGE_UNDELEGATE, GranuleState::Delegated);
            }
            StepKind::Delegate => self.delegate(),
            StepKind::Undelegate => {
                let pa = self.granule(GranuleState::Delegated);
                self.call(fid::RMI_GRANULE_UNDELEGATE, &[pa]);
            }
            StepKind::RealmCreate => {
                self.limit_realms();
                self.realm_create();
            }
            StepKind::Setup => {
                self.limit_realms();
                self.setup();
            }
            _ => match self.realm() {
                Some(rd) => self.on_realm(kind, rd),
                None => self.setup(),
            },
        }
    }

    fn on_realm(&mut self, kind: StepKind, rd: u64) {
        if self.is_v2() && self.on_realm_2(kind, rd) {
            return;
        }
        match kind {
            StepKind::Activate => {
                self.call(fid::RMI_REALM_ACTIVATE, &[rd]);
            }
            StepKind::RealmDestroy => {
                self.call(fid::RMI_REALM_DESTROY, &[rd]);
            }
            StepKind::AuxCount => {
                self.call(fid::RMI_REC_AUX_COUNT, &[rd]);
            }
            StepKind::RecCreate => self.rec_create(rd),
            StepKind::RecDestroy => {
                let rec = self.rec(rd);
                self.call(fid::RMI_REC_DESTROY, &[rec]);
            }
            StepKind::Enter => self.some_entry(rd),
            StepKind::PsciComplete => self.psci_complete(rd),
            StepKind::DataCreate | StepKind::DataCreateUnknown => self.data_create(kind, rd),
            StepKind::DataDestroy => {
                let is_data = |entry: &Entry| matches!(entry, Entry::Assigned(..));
                let (ipa, _) = self.entry(rd, is_data);
                self.call(fid::RMI_DATA_DESTROY, &[rd, ipa]);
            }
            StepKind::RttCreate => self.rtt_create(rd),
            StepKind::RttDestroy | StepKind::RttFold => {
                let (ipa, level) = self.table(rd);
                let function = match kind {
                    StepKind::RttFold => fid::RMI_RTT_FOLD,
                    _ => fid::RMI_RTT_DESTROY,
                };
                self.call(function, &[rd, ipa, level.cast_unsigned()]);
            }
            StepKind::ReadEntry => {
                let (ipa, level) = self.entry(rd, |_| true);
                self.call(fid::RMI_RTT_READ_ENTRY, &[rd, ipa, level.cast_unsigned()]);
            }
            StepKind::Map => self.map(rd),
            StepKind::Unmap => {
                let is_ns = |entry: &Entry| matches!(entry, Entry::AssignedNs(..));
                let (ipa, level) = self.entry(rd, is_ns);
                let args = [rd, ipa, level.cast_unsigned()];
                self.call(fid::RMI_RTT_UNMAP_UNPROTECTED, &args);
            }
            StepKind::InitRipas => {
                let (base, top) = self.range(rd);
                self.call(fid::RMI_RTT_INIT_RIPAS, &[rd, base, top]);
            }
            StepKind::SetRipas => self.set_ripas(rd),
            StepKind::Tables => {
                let ipa = self.ipa(rd);
                self.tables(rd, ipa);
            }
            StepKind::Block => self.block(rd),
            StepKind::NsBlock => self.ns_block(rd),
            StepKind::Ripas => self.ripas(rd),
            StepKind::Psci => self.psci(rd),
            StepKind::TearDown => self.tear_down(rd),
            StepKind::Terminate => {
                self.call(v2::RMI_REALM_TERMINATE, &[rd]);
            }
            _ => unreachable!("not a step of a Realm"),
        }
    }

    /// As [`Stepper::on_realm`], for what RMI 2.0 has another command. Whether it has.
    fn on_realm_2(&mut self, kind: StepKind, rd: u64) -> bool {
        match kind {
            StepKind::DataCreateUnknown => self.data_map(rd),
            StepKind::DataDestroy => self.data_unmap(rd),
            StepKind::Map => self.unprot_map(rd),
            StepKind::Unmap => self.unprot_unmap(rd),
            StepKind::Block => self.block_2(rd),
            StepKind::NsBlock => self.ns_block_2(rd),
            _ => return false,
        }
        true
    }

    fn version(&mut self) {
        let requested = self.draw.of(&[0x1_0000, 0x1_0001, 0, 0x2_0000]);
        self.call(fid::RMI_VERSION, &[requested]);
        let index = self.draw.below(3) as u64;
        self.call(fid::RMI_FEATURES, &[index]);
    }

    fn raw(&mut self) {
        let function = match self.draw.below(32) as u64 {
            // RMI_REC_ENTER would run a Realm behind the back of the model.
            0xC => 0,
            n => n,
        };
        let args: [u64; 5] = std::array::from_fn(|_| {
            let bits = self.draw.bits();
            match self.draw.below(4) {
                0 => bits,
                1 => bits & 0xF,
                2 => POOL + (bits & 0x3F_0000),
                _ => BLOCK + (bits & 0x1F_F000),
            }
        });
        let base = self.draw.of(&[
            0xC400_0150,
            0xC400_0150,
            0xC400_01E0,
            0xC400_01F0,
            0xC400_0200,
        ]);
        self.plain_call(base + function, &args);
    }

    fn write(&mut self) {
        let pa = self.granule(GranuleState::Undelegated);
        let value = self.draw.bits();
        self.put(pa, &[value; 32]);
    }

    /// Secure world or EL3 moves a page of Host memory to another PAS, or back.
    fn move_page(&mut self) {
        let pa = self.granule(GranuleState::Undelegated);
        let pas = self
            .draw
            .of(&[Pas::Secure, Pas::Root, Pas::NonSecure, Pas::NonSecure]);
        let mut model = self.shared.lock();
        let granule = model.granule(pa);
        if granule.state == GranuleState::Undelegated && granule.pas.is_some() && pa > RUN {
            granule.pas = Some(pas);
            model.note(format!("{pa:#x} goes to {pas:?}"));
            self.host.move_to(pa, pas);
        }
    }

    fn delegate(&mut self) {
        let pa = self.granule(GranuleState::Undelegated);
        self.call(fid::RMI_GRANULE_DELEGATE, &[pa]);
        for _ in 0..self.draw.below(4) {
            let pa = self.granule(GranuleState::Undelegated);
            self.plain_call(fid::RMI_GRANULE_DELEGATE, &[pa]);
        }
    }

    /// A granule in this state, from the pool if it has one.
    pub fn granule(&mut self, state: GranuleState) -> u64 {
        let model = self.shared.lock();
        let in_range = |range: (u64, u64)| {
            let all = model.granules.range(range.0..range.1);
            let fit = all.filter(|(pa, granule)| granule.state == state && **pa > RUN);
            fit.map(|(pa, _)| *pa).collect::<Vec<u64>>()
        };
        let mut found = in_range((POOL, POOL_END));
        if !self.low && self.draw.once_in(16) {
            found = in_range((HIGH, u64::MAX));
        } else if found.is_empty() {
            found = in_range((0, HIGH));
        }
        drop(model);
        self.draw.some(&found).unwrap_or(POOL_END - 0x1000)
    }

    /// A DELEGATED granule; delegates one if there is none.
    pub fn fresh(&mut self) -> u64 {
        self.fresh_but(&[])
    }

    /// As [`Stepper::fresh`], but none of these.
    fn fresh_but(&mut self, others: &[u64]) -> u64 {
        let pa = self.granule(GranuleState::Delegated);
        let found = self.shared.lock().granule_state(pa) == Some(GranuleState::Delegated);
        if found && !others.contains(&pa) {
            return pa;
        }
        let pa = self.granule(GranuleState::Undelegated);
        self.delegate_page(pa);
        pa
    }

    /// The RD of some Realm.
    pub fn realm(&mut self) -> Option<u64> {
        let all: Vec<u64> = self.shared.lock().realms.keys().copied().collect();
        self.draw.some(&all)
    }

    /// A REC of this Realm, or of another Realm if it has none.
    pub fn rec(&mut self, rd: u64) -> u64 {
        let model = self.shared.lock();
        let own: Vec<u64> = model.realms[&rd].recs.values().copied().collect();
        let others: Vec<u64> = model.recs.keys().copied().collect();
        drop(model);
        let own = self.draw.some(&own);
        own.or_else(|| self.draw.some(&others)).unwrap_or(POOL)
    }

    /// A page near a boundary: start of a half or of an RTT, end of the IPA space.
    pub fn ipa(&mut self, rd: u64) -> u64 {
        let model = self.shared.lock();
        let tables = &model.realms[&rd].tables;
        let (half, end) = (tables.half(), tables.end());
        drop(model);
        let anchors = [
            0,
            0,
            0,
            0,
            half,
            half,
            half,
            1 << 21,
            1 << 30,
            half - (1 << 21),
            half - (1 << 30),
            half - 4096,
            half + (1 << 21),
            half + (1 << 30),
            end - (1 << 21),
            end - (1 << 30),
            end - 4096,
            end,
        ];
        let anchor = self.draw.of(&anchors);
        anchor + self.draw.of(&[0, 0, 0, 1, 1, 2, 3, 511, 512]) * 4096
    }

    /// IPA and level of an entry that fits, or of any place.
    pub fn entry(&mut self, rd: u64, fits: impl Fn(&Entry) -> bool) -> (u64, i64) {
        let model = self.shared.lock();
        let mut found = Vec::new();
        for ((level, base), rtt) in &model.realms[&rd].tables.rtts {
            let entries = rtt.entries.iter().enumerate();
            let fit = entries.filter(|(_, entry)| fits(entry));
            let some = fit.map(|(n, _)| (base + n as u64 * size(*level), *level));
            found.extend(some.take(6));
        }
        drop(model);
        if self.draw.once_in(6) {
            found.clear();
        }
        self.draw.some(&found).unwrap_or_else(|| {
            let level = self.draw.of(&[3, 2, 1]);
            (self.ipa(rd) & !(size(level) - 1), level)
        })
    }

    /// First IPA and level of an RTT below the start level, or of a place where one could be.
    fn table(&mut self, rd: u64) -> (u64, i64) {
        let model = self.shared.lock();
        let tables = &model.realms[&rd].tables;
        let below = |(level, _): &&(i64, u64)| *level > tables.start_level;
        let found: Vec<(i64, u64)> = tables.rtts.keys().filter(below).copied().collect();
        drop(model);
        if let (Some((level, base)), false) = (self.draw.some(&found), self.draw.once_in(6)) {
            return (base, level);
        }
        let level = self.draw.of(&[3, 2, 1]);
        (self.ipa(rd) & !(size(level - 1) - 1), level)
    }

    /// An IPA range of a few entries.
    fn range(&mut self, rd: u64) -> (u64, u64) {
        let (base, level) = self.entry(rd, |entry| matches!(entry, Entry::Unassigned(_)));
        let length = self.draw.of(&[1, 1, 2, 3, 512, 600]) * size(level);
        let less = self.draw.of(&[0, 0, 0, 4096]);
        (base, (base + length).wrapping_sub(less))
    }

    pub fn realm_create(&mut self) -> Option<u64> {
        let model = self.shared.lock();
        let features = model.features;
        let used: Vec<u16> = model.realms.values().map(|realm| realm.vmid).collect();
        drop(model);
        let any = self.draw.once_in(16);
        let shapes = SHAPES.iter().copied();
        let shapes: Vec<_> = shapes
            .filter(|shape| any || features.lpa2 || !shape.2)
            .collect();
        let vmids: Vec<u16> = (0..8).filter(|vmid| any || !used.contains(vmid)).collect();
        let (s2sz, level, lpa2) = self.draw.of(&shapes);
        let mut params = RealmParams::new_zeroed();
        params.flags = u64::from(lpa2);
        params.s2sz = s2sz;
        params.num_bps = 1;
        params.num_wps = 1;
        params.rtt_level_start = level;
        params.rtt_num_start = start_number(s2sz, level, lpa2)?;
        params.hash_algo = self.draw.below(2) as u8;
        params.rpv = [self.draw.below(256) as u8; 64];
        params.vmid = self.draw.some(&vmids).unwrap_or(0);
        if features.sve_vl.is_some() && self.draw.once_in(3) {
            params.flags |= 2;
            params.sve_vl = 1;
        }
        let number = u64::from(params.rtt_num_start);
        params.rtt_base = self.start_tables(number);
        if let Some((which @ 128.., how)) = self.twist {
            self.twist = None;
            twist_realm_params(&mut params, which, how);
        }
        let tables: Vec<u64> = start_tables(&params).take(16).collect();
        let rd = self.fresh_but(&tables);
        if self.is_v2() {
            return self.realm_create_2(rd, &params);
        }
        self.put(PARAMS, &params);
        let reply = self.call(fid::RMI_REALM_CREATE, &[rd, PARAMS]);
        // A twist may have changed the RD.
        (reply.status == Status::Success).then_some(self.last_rd)
    }

    /// Granules side by side for start-level RTTs, delegated if they can be.
    fn start_tables(&mut self, number: u64) -> u64 {
        let align = number.next_power_of_two() * 4096;
        let model = self.shared.lock();
        let fits = |base: &u64| {
            (0..number).all(|n| {
                let kind = model.granule_state(base + n * 4096);
                matches!(
                    kind,
                    Some(GranuleState::Delegated | GranuleState::Undelegated)
                )
            })
        };
        let first = (RUN + 4096).next_multiple_of(align);
        let places = (first..POOL_END).step_by(align as usize);
        let found: Vec<u64> = places.filter(fits).collect();
        drop(model);
        let base = self.draw.some(&found).unwrap_or(first);
        for pa in (base..).step_by(4096).take(number as usize) {
            if self.shared.lock().granule_state(pa) == Some(GranuleState::Undelegated) {
                self.delegate_page(pa);
            }
        }
        base
    }

    pub fn rec_create(&mut self, rd: u64) {
        let model = self.shared.lock();
        let realm = &model.realms[&rd];
        let (index, aux) = (realm.rec_index, realm.aux_count.unwrap_or(0));
        drop(model);
        let mut params = RecParams::new_zeroed();
        params.flags = u64::from(index == 0 || !self.draw.once_in(2));
        params.mpidr = index_to_mpidr(index);
        params.pc = 0x4000_0000 + 0x1000 * self.draw.below(16) as u64;
        params.gprs = std::array::from_fn(|_| self.draw.bits());
        params.num_aux = aux;
        let rec = self.fresh();
        let mut named = vec![rec];
        for aux in &mut params.aux[..aux as usize] {
            *aux = self.fresh_but(&named);
            named.push(*aux);
        }
        if let Some((which @ 128.., how)) = self.twist {
            self.twist = None;
            twist_rec_params(&mut params, which, how);
        }
        self.put(PARAMS, &params);
        self.call(fid::RMI_REC_CREATE, &[rd, rec, PARAMS]);
    }

    pub fn psci_complete(&mut self, rd: u64) {
        let model = self.shared.lock();
        let waiting = model.recs.iter().filter(|(_, rec)| rec.psci.is_some());
        let waiting: Vec<u64> = waiting.map(|(pa, _)| *pa).collect();
        drop(model);
        let calling = self.draw.some(&waiting).unwrap_or_else(|| self.rec(rd));
        let target = self.psci_target(calling).unwrap_or_else(|| self.rec(rd));
        let status = self.draw.of(&[0, 0, 0, -3, -3, -1, 1]);
        let args = [calling, target, i64::cast_unsigned(status)];
        if self.is_v2() && self.draw.once_in(2) {
            // The form without a target.
            self.call(fid::RMI_PSCI_COMPLETE, &[calling, args[2]]);
            return;
        }
        self.call(fid::RMI_PSCI_COMPLETE, &args);
    }

    /// The target of a pending PSCI request, if it still exists.
    fn psci_target(&mut self, calling: u64) -> Option<u64> {
        use super::state::Psci;
        let model = self.shared.lock();
        let rec = model.recs.get(&calling)?;
        let (Psci::CpuOn { target, .. } | Psci::AffinityInfo { target }) = rec.psci?;
        model.realms[&rec.rd].recs.get(&target).copied()
    }

    fn data_create(&mut self, kind: StepKind, rd: u64) {
        let (ipa, _) = self.entry_of_level_3(rd);
        let data = self.fresh();
        if kind == StepKind::DataCreateUnknown {
            self.call(fid::RMI_DATA_CREATE_UNKNOWN, &[rd, data, ipa]);
            return;
        }
        let value = self.draw.bits();
        self.put(SOURCE, &[value; 512]);
        let flags = self.draw.below(2) as u64;
        self.call(fid::RMI_DATA_CREATE, &[rd, data, ipa, SOURCE, flags]);
    }

    /// An UNASSIGNED page, or any page.
    fn entry_of_level_3(&mut self, rd: u64) -> (u64, i64) {
        for _ in 0..4 {
            let found = self.entry(rd, |entry| matches!(entry, Entry::Unassigned(_)));
            if found.1 == 3 {
                return found;
            }
        }
        (self.ipa(rd), 3)
    }

    fn rtt_create(&mut self, rd: u64) {
        let (ipa, above) = self.entry(rd, |entry| !matches!(entry, Entry::Table(_)));
        let level = (above + 1).min(3);
        let ipa = ipa & !(size(level - 1) - 1);
        let rtt = self.fresh();
        self.call(fid::RMI_RTT_CREATE, &[rd, rtt, ipa, level.cast_unsigned()]);
    }

    fn map(&mut self, rd: u64) {
        let (ipa, level) = self.entry(rd, |entry| *entry == Entry::UnassignedNs);
        let target = match self.draw.below(4) {
            0 => self.draw.bits() & ((1 << 47) - 1),
            1 => BLOCK,
            _ => self.granule(GranuleState::Undelegated),
        };
        let attributes = match self.draw.below(4) {
            0 => (self.draw.below(8) as u64) << 2 | (self.draw.below(4) as u64) << 6,
            _ => NS_ATTRIBUTES,
        };
        let address = target & !(size(level.clamp(1, 3)) - 1);
        let args = [rd, ipa, level.cast_unsigned(), address | attributes];
        self.call(fid::RMI_RTT_MAP_UNPROTECTED, &args);
    }

    fn set_ripas(&mut self, rd: u64) {
        let model = self.shared.lock();
        let waiting = model.recs.iter().filter(|(_, rec)| rec.change.is_some());
        let waiting: Vec<u64> = waiting.map(|(pa, _)| *pa).collect();
        drop(model);
        let rec = self.draw.some(&waiting).unwrap_or_else(|| self.rec(rd));
        self.apply_ripas(rec, rd);
    }

    /// RMI_RTT_SET_RIPAS for a pending RIPAS change, for a part of it or all of it.
    pub fn apply_ripas(&mut self, rec: u64, rd: u64) {
        let model = self.shared.lock();
        let (rd, change) = match model.recs.get(&rec) {
            Some(rec) => (rec.rd, rec.change),
            None => (rd, None),
        };
        drop(model);
        let (base, end) = change.map_or((0, 4096), |change| (change.addr, change.top));
        let top = match self.draw.below(4) {
            0 => base + 4096,
            1 => base + (1 << 21),
            _ => end,
        };
        self.call(fid::RMI_RTT_SET_RIPAS, &[rd, rec, base, top]);
    }

    /// The page for the entry record.
    pub fn run_page(&self) -> u64 {
        if self.nested { NESTED_RUN } else { RUN }
    }
}

/// Changes one field of the parameters.
fn twist_realm_params(params: &mut RealmParams, which: u8, how: u8) {
    match which % 11 {
        0 => params.flags ^= 1 << (how % 4),
        1 => params.s2sz = how,
        2 => params.s2sz = params.s2sz.wrapping_add(1),
        3 => params.num_bps = how % 8,
        4 => params.num_wps = how % 8,
        5 => params.hash_algo = how % 4,
        6 => params.vmid = u16::from(how) << 4,
        7 => params.rtt_base ^= 1 << (how % 52),
        8 => params.rtt_level_start = i64::from(how % 8) - 2,
        9 => params.rtt_num_start = u32::from(how),
        _ => (params.flags, params.sve_vl) = (params.flags | 2, how % 8),
    }
}

/// Changes one field of the parameters.
fn twist_rec_params(params: &mut RecParams, which: u8, how: u8) {
    match which % 6 {
        0 => params.mpidr ^= 1 << (how % 20),
        1 => params.num_aux = u64::from(how),
        2 => params.aux[0] ^= 1 << (how % 52),
        3 => params.aux[0] = params.aux[1],
        4 => params.flags ^= 1 << (how % 2),
        _ => params.mpidr ^= 1 << (4 + how % 4),
    }
}
