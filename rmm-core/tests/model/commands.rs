// SPDX-License-Identifier: BSD-3-Clause
//! What commands on granules, Realms, RECs and DATA may return and change (B4.3.1 to B4.3.13).

use super::conditions::{Conditions, Order};
use super::instructions::Expected;
use super::state::{LastExit, Model, Psci, Realm, RealmState, Rec};
use super::tables::{Entry, Ripas};
use rmm_abi::rmi::{HashAlgorithm, RealmParams, RecParams, fid, mpidr_to_index};
use rmm_attest::{Measurement, SoftHash, rim};
use rmm_core::fake::{Reply, Status};
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;
use std::collections::VecDeque;
use zerocopy::FromBytes;

pub const RD: [&str; 3] = ["rd_align", "rd_bound", "rd_state"];
const DATA: [&str; 3] = ["data_align", "data_bound", "data_state"];
const REC: [&str; 3] = ["rec_align", "rec_bound", "rec_state"];
pub const REC_GRAN: [&str; 3] = ["rec_align", "rec_bound", "rec_gran_state"];
pub const PARAMS: [&str; 3] = ["params_align", "params_bound", "params_pas"];
const WALK: &[&str] = &["rtt_walk", "rtte_state"];

/// First output address that a Realm without LPA2 cannot have.
const LIMIT_48: u64 = 1 << 48;

impl Model {
    /// Asserts that the specification permits this reply, and makes the changes of the command.
    pub fn judge(&mut self, function: u64, a: [u64; 5], reply: &Reply) {
        if self.judge_mode(function, a, reply) || self.is_v2() && self.judge_2(function, a, reply) {
            return;
        }
        match function {
            fid::RMI_VERSION => version(a[0], reply),
            fid::RMI_FEATURES => {
                assert_eq!(reply.status, Status::Success);
                assert!(a[0] == 0 || reply.x[1] == 0);
            }
            fid::RMI_GRANULE_DELEGATE => self.delegate(a[0], reply),
            fid::RMI_GRANULE_UNDELEGATE => self.undelegate(a[0], reply),
            fid::RMI_REALM_CREATE => self.realm_create(a[0], a[1], reply),
            fid::RMI_REALM_ACTIVATE => self.realm_activate(a[0], reply),
            fid::RMI_REALM_DESTROY => self.realm_destroy(a[0], reply),
            fid::RMI_REC_AUX_COUNT => self.aux_count(a[0], reply),
            fid::RMI_REC_CREATE => self.rec_create(a[0], a[1], a[2], reply),
            fid::RMI_REC_DESTROY => self.rec_destroy(a[0], reply),
            fid::RMI_PSCI_COMPLETE => self.psci_complete(a[0], a[1], a[2], reply),
            fid::RMI_DATA_CREATE => self.data_create(a, reply),
            fid::RMI_DATA_CREATE_UNKNOWN => self.data_create_unknown(a[0], a[1], a[2], reply),
            fid::RMI_DATA_DESTROY => self.data_destroy(a[0], a[1], reply),
            fid::RMI_RTT_CREATE => self.rtt_create(a[0], a[1], a[2], a[3], reply),
            fid::RMI_RTT_DESTROY => self.rtt_destroy(a[0], a[1], a[2], reply),
            fid::RMI_RTT_FOLD => self.rtt_fold(a[0], a[1], a[2], reply),
            fid::RMI_RTT_READ_ENTRY => self.rtt_read_entry(a[0], a[1], a[2], reply),
            fid::RMI_RTT_MAP_UNPROTECTED => self.rtt_map(a[0], a[1], a[2], a[3], reply),
            fid::RMI_RTT_UNMAP_UNPROTECTED => self.rtt_unmap(a[0], a[1], a[2], reply),
            fid::RMI_RTT_INIT_RIPAS => self.init_ripas(a[0], a[1], a[2], reply),
            fid::RMI_RTT_SET_RIPAS => self.set_ripas(a[0], a[1], a[2], a[3], reply),
            fid::RMI_REC_ENTER => unreachable!("judged by `judge_entry`"),
            _ => assert_eq!(reply.status, Status::NotSupported),
        }
    }

    fn delegate(&mut self, pa: u64, reply: &Reply) {
        let mut c = Conditions::of("GRANULE_DELEGATE");
        let labels = ["gran_align", "gran_bound", "gran_state"];
        if self.check(&mut c, labels, pa, GranuleState::Undelegated) {
            let pas = self.granules[&pa].pas;
            // Without RAM it is not delegable, like an address that is not in the table.
            c.input("gran_bound", pas.is_none());
            c.input("gran_gpt", pas.is_some_and(|pas| pas != Pas::NonSecure));
        }
        if c.judge(reply.status, &[]) {
            let granule = self.granule(pa);
            granule.become_wiped(GranuleState::Delegated);
            granule.pas = Some(Pas::Realm);
        }
    }

    fn undelegate(&mut self, pa: u64, reply: &Reply) {
        let mut c = Conditions::of("GRANULE_UNDELEGATE");
        let labels = ["gran_align", "gran_bound", "gran_state"];
        self.check(&mut c, labels, pa, GranuleState::Delegated);
        if c.judge(reply.status, &[]) {
            let granule = self.granule(pa);
            granule.become_wiped(GranuleState::Undelegated);
            granule.pas = Some(Pas::NonSecure);
        }
    }

    fn realm_create(&mut self, rd: u64, ptr: u64, reply: &Reply) {
        let mut c = Conditions::of("REALM_CREATE");
        self.check(&mut c, RD, rd, GranuleState::Delegated);
        let mut found = None;
        if self.check_ns(&mut c, PARAMS, ptr) {
            let params = RealmParams::read_from_bytes(self.granules[&ptr].content());
            let params = params.expect("a page");
            self.check_realm_params(&mut c, rd, &params);
            found = Some(params);
        }
        if !c.judge(reply.status, &[]) {
            return;
        }
        let params = found.expect("checked above");
        let algorithm = HashAlgorithm::try_from(params.hash_algo).expect("checked above");
        let start: Vec<u64> = start_tables(&params).collect();
        for pa in &start {
            self.granule(*pa).become_wiped(GranuleState::Rtt);
        }
        self.granule(rd).become_wiped(GranuleState::Rd);
        let mut realm = Realm::new(&params, &start, algorithm);
        realm.measurements[0] = rim::realm_create(&SoftHash, algorithm, &params);
        self.realms.insert(rd, realm);
    }

    pub(super) fn check_realm_params(&self, c: &mut Conditions, rd: u64, params: &RealmParams) {
        let features = &self.features;
        let flag = |bit: u32| params.flags >> bit & 1 != 0;
        let (lpa2, sve, pmu) = (flag(0), flag(1), flag(2));
        let reserved = params.num_bps == 0 || params.num_wps == 0;
        c.input("params_valid", params.hash_algo >= 2 || reserved);

        let widest = if lpa2 { 52 } else { 48 };
        let most = if features.lpa2 { 52 } else { 48 };
        let s2sz_supported = (32..=most.min(features.pa_bits)).contains(&params.s2sz);
        c.input("params_supp", lpa2 && !features.lpa2);
        c.input("params_supp", !s2sz_supported || params.s2sz > widest);
        c.input("params_supp", params.num_bps > features.num_bps);
        c.input("params_supp", params.num_wps > features.num_wps);
        let has_vl = features.sve_vl.is_some_and(|most| params.sve_vl <= most);
        c.input("params_supp", sve && !has_vl);
        let counters = features.pmu_counters;
        let has_counters = counters.is_some_and(|most| params.pmu_num_ctrs <= most);
        c.input("params_supp", pmu && !has_counters);
        // A PMU without counters needs FEAT_HPMN0.
        c.input("params_supp", pmu && params.pmu_num_ctrs == 0);

        let number = start_number(params.s2sz, params.rtt_level_start, lpa2);
        let fits = number == Some(params.rtt_num_start);
        c.input("rtt_num_level", !fits);
        let reachable = params.rtt_level_start > 0 || features.pa_bits >= 44;
        c.input("rtt_num_level", !reachable);
        if !fits {
            return;
        }
        let bytes = u64::from(params.rtt_num_start) * 4096;
        c.input("rtt_align", !params.rtt_base.is_multiple_of(bytes));
        let delegated = |pa| self.granule_state(pa) == Some(GranuleState::Delegated);
        c.input("rtt_state", !start_tables(params).all(delegated));
        // Without LPA2 it fits into no descriptor and not into VTTBR_EL2.
        c.input("rtt_bound", !lpa2 && params.rtt_base >= LIMIT_48);
        c.input("alias", start_tables(params).any(|pa| pa == rd));
        let used = self.realms.values().any(|realm| realm.vmid == params.vmid);
        let too_wide = !features.vmid16 && params.vmid > 0xFF;
        c.input("vmid_valid", used || too_wide);
    }

    fn realm_activate(&mut self, rd: u64, reply: &Reply) {
        let mut c = Conditions::of("REALM_ACTIVATE");
        if self.check(&mut c, RD, rd, GranuleState::Rd) {
            let state = self.realms[&rd].state;
            c.when("realm_state", state != RealmState::New, Status::Realm(0));
        }
        if c.judge(reply.status, &[(&RD, &["realm_state"])]) {
            self.realm(rd).state = RealmState::Active;
        }
    }

    fn realm_destroy(&mut self, rd: u64, reply: &Reply) {
        let mut c = Conditions::of("REALM_DESTROY");
        if self.check(&mut c, RD, rd, GranuleState::Rd) {
            let realm = &self.realms[&rd];
            let start = realm.tables.start_level;
            let mut rtts = realm.tables.rtts.range((start, 0)..(start + 1, 0));
            let live = rtts.any(|(_, rtt)| rtt.entries.iter().any(|entry| entry.holds_rtt()));
            let live = live || !realm.recs.is_empty();
            c.when("realm_live", live, Status::Realm(0));
            let ended = !realm.is_v2 || realm.state == RealmState::Zombie;
            c.when("realm_state", !ended, Status::Realm(0));
        }
        if c.judge(reply.status, &[(&RD, &["realm_live", "realm_state"])]) {
            let realm = self.realms.remove(&rd).expect("checked above");
            for rtt in realm.tables.rtts.values() {
                self.granule(rtt.pa).become_wiped(GranuleState::Delegated);
            }
            self.granule(rd).become_wiped(GranuleState::Delegated);
        }
    }

    fn aux_count(&mut self, rd: u64, reply: &Reply) {
        let mut c = Conditions::of("REC_AUX_COUNT");
        self.check(&mut c, RD, rd, GranuleState::Rd);
        if c.judge(reply.status, &[]) {
            let count = reply.x[1];
            assert!(count <= 16, "{count} auxiliary granules");
            let first = *self.realm(rd).aux_count.get_or_insert(count);
            assert_eq!(count, first, "the same count each time");
        }
    }

    fn rec_create(&mut self, rd: u64, rec: u64, ptr: u64, reply: &Reply) {
        let v2 = self.is_v2();
        let mut c = Conditions::of("REC_CREATE");
        self.check(&mut c, REC, rec, GranuleState::Delegated);
        let has_rd = self.check(&mut c, RD, rd, GranuleState::Rd);
        if has_rd {
            let state = self.realms[&rd].state;
            c.when("realm_state", state != RealmState::New, Status::Realm(0));
        }
        let mut found = None;
        if self.check_ns(&mut c, PARAMS, ptr) {
            let params = RecParams::read_from_bytes(self.granules[&ptr].content());
            let mut params = params.expect("a page");
            if has_rd {
                let realm = &self.realms[&rd];
                let index = mpidr_to_index(params.mpidr);
                c.input("mpidr_index", index != realm.rec_index);
                let count = realm.aux_count.expect("asked at creation");
                c.input("num_aux", !v2 && params.num_aux != count);
            }
            if v2 {
                params.num_aux = 0;
            }
            let count = usize::try_from(params.num_aux).map_or(16, |count| count.min(16));
            let aux = &params.aux[..count];
            c.input("aux_align", aux.iter().any(|pa| pa % 4096 != 0));
            let same = |n: usize| aux[n] == rec || aux[..n].contains(&aux[n]);
            c.input("aux_alias", (0..count).any(same));
            let delegated = |pa: &u64| self.granule_state(*pa) == Some(GranuleState::Delegated);
            c.input("aux_state", !aux.iter().all(delegated));
            found = Some(params);
        }
        let order: [Order; 2] = [
            (&RD, &["realm_state", "num_recs"]),
            // Arm's compliance suite needs this order.
            (&["realm_state"], &["mpidr_index"]),
        ];
        if !c.judge(reply.status, &order) {
            return;
        }
        let params = found.expect("checked above");
        let count = usize::try_from(params.num_aux).expect("checked above");
        let aux = params.aux[..count].to_vec();
        self.granule(rec).become_wiped(GranuleState::Rec);
        for pa in &aux {
            self.granule(*pa).become_wiped(GranuleState::RecAux);
        }
        let runnable = params.flags & 1 != 0;
        let realm = self.realm(rd);
        let index = realm.rec_index;
        realm.rec_index += 1;
        realm.recs.insert(index, rec);
        if runnable {
            let rim = &mut realm.measurements[0];
            *rim = rim::rec_create(&SoftHash, realm.algorithm, rim, &params);
        }
        let rec_state = Rec {
            rd,
            index,
            aux,
            running: false,
            runnable,
            psci: None,
            change: None,
            host_call: None,
            last: LastExit::Other,
            traps: (false, false),
            gic: (0, [0; 16]),
            start: (params.pc, params.gprs),
            todo: VecDeque::new(),
            current: None,
            expected: Expected::Restart,
            exit: None,
        };
        self.recs.insert(rec, rec_state);
    }

    fn rec_destroy(&mut self, rec: u64, reply: &Reply) {
        let mut c = Conditions::of("REC_DESTROY");
        if self.check(&mut c, REC_GRAN, rec, GranuleState::Rec) {
            c.when("rec_state", self.recs[&rec].running, Status::Rec);
        }
        if c.judge(reply.status, &[(&REC_GRAN, &["rec_state"])]) {
            let gone = self.recs.remove(&rec).expect("checked above");
            for pa in &gone.aux {
                self.granule(*pa).become_wiped(GranuleState::Delegated);
            }
            self.granule(rec).become_wiped(GranuleState::Delegated);
            self.realm(gone.rd).recs.remove(&gone.index);
        }
    }

    fn psci_complete(&mut self, calling: u64, target: u64, status: u64, reply: &Reply) {
        const CALLING: [&str; 3] = ["calling_align", "calling_bound", "calling_state"];
        const TARGET: [&str; 3] = ["target_align", "target_bound", "target_state"];
        const DENIED: u64 = -3_i64 as u64;
        let mut c = Conditions::of("PSCI_COMPLETE");
        c.input("alias", calling == target);
        let has_calling = self.check(&mut c, CALLING, calling, GranuleState::Rec);
        let has_target = self.check(&mut c, TARGET, target, GranuleState::Rec);
        if has_calling && has_target {
            let (from, to) = (&self.recs[&calling], &self.recs[&target]);
            c.input("pending", from.psci.is_none());
            c.input("owner", from.rd != to.rd);
            if let Some(request) = from.psci {
                let (Psci::CpuOn { target, .. } | Psci::AffinityInfo { target }) = request;
                c.input("target", to.index != target);
                let is_on = matches!(request, Psci::CpuOn { .. });
                let denied = status == DENIED && is_on && !to.runnable;
                c.input("status", status != 0 && !denied);
            }
        }
        if !c.judge(reply.status, &[]) {
            return;
        }
        self.complete_psci(calling, Some(target), status);
    }

    /// Completes the PSCI request of `calling`, which may be completed so. Without a target it is denied.
    pub(super) fn complete_psci(&mut self, calling: u64, target: Option<u64>, status: u64) {
        let runnable = target.is_some_and(|target| self.recs[&target].runnable);
        let request = self.rec(calling).psci.take().expect("checked before");
        let result = match (request, status, target) {
            (Psci::CpuOn { .. }, 0, _) if runnable => -4,
            (Psci::CpuOn { entry, context, .. }, 0, Some(target)) => {
                self.turn_on(target, entry, context);
                0
            }
            (Psci::CpuOn { .. }, ..) => -3,
            (Psci::AffinityInfo { .. }, ..) => i64::from(!runnable),
        };
        self.rec(calling).expected = Expected::results(&[result.cast_unsigned()]);
    }

    fn turn_on(&mut self, rec: u64, entry: u64, context: u64) {
        let rec = self.rec(rec);
        rec.runnable = true;
        rec.start = (entry, [context, 0, 0, 0, 0, 0, 0, 0]);
        rec.todo.clear();
        rec.current = None;
        rec.last = LastExit::Other;
        rec.expected = Expected::Restart;
    }

    fn data_create(&mut self, [rd, data, ipa, src, flags]: [u64; 5], reply: &Reply) {
        let mut c = Conditions::of("DATA_CREATE");
        self.check_ns(&mut c, ["src_align", "src_bound", "src_pas"], src);
        self.check_data(&mut c, rd, data, ipa);
        if self.granule_state(rd) == Some(GranuleState::Rd) {
            let state = self.realms[&rd].state;
            c.when("realm_state", state != RealmState::New, Status::Realm(0));
        }
        if self.is_v2() {
            c.input("flags", flags > 1);
        }
        c.may_be_input(flags > 1);
        let order: [Order; 3] = [(&RD, &["realm_state"]), (&RD, WALK), (&["ipa_bound"], WALK)];
        if !c.judge(reply.status, &order) {
            return;
        }
        let content = *self.granules[&src].content();
        self.map_data(rd, data, ipa, Some(Ripas::Ram));
        *self.granule(data).content_mut() = content;
        let realm = self.realm(rd);
        let digest = if flags & 1 != 0 {
            Measurement::of(&SoftHash, realm.algorithm, &content)
        } else {
            Measurement::ZERO
        };
        let rim = &mut realm.measurements[0];
        *rim = rim::data_create(&SoftHash, realm.algorithm, rim, ipa, flags, &digest);
    }

    fn data_create_unknown(&mut self, rd: u64, data: u64, ipa: u64, reply: &Reply) {
        let mut c = Conditions::of("DATA_CREATE_UNKNOWN");
        self.check_data(&mut c, rd, data, ipa);
        if c.judge(reply.status, &[(&RD, WALK), (&["ipa_bound"], WALK)]) {
            self.map_data(rd, data, ipa, None);
        }
    }

    /// Adds the conditions of both commands that create DATA.
    fn check_data(&self, c: &mut Conditions, rd: u64, data: u64, ipa: u64) {
        self.check(c, DATA, data, GranuleState::Delegated);
        c.input("ipa_align", !ipa.is_multiple_of(4096));
        if !self.check(c, RD, rd, GranuleState::Rd) {
            return;
        }
        let tables = &self.realms[&rd].tables;
        c.input("data_bound2", !tables.lpa2 && data >= LIMIT_48);
        c.input("ipa_bound", !tables.is_protected(ipa));
        if tables.is_protected(ipa) {
            let at = tables.walk(ipa, 3);
            c.when("rtt_walk", at.level < 3, Status::rtt(at.level));
            let unassigned = matches!(at.entry, Entry::Unassigned(_));
            c.when("rtte_state", !unassigned, Status::rtt(at.level));
        }
    }

    /// Maps a DATA granule, all zero, at a page. Sets the RIPAS if there is one.
    fn map_data(&mut self, rd: u64, data: u64, ipa: u64, ripas: Option<Ripas>) {
        self.granule(data).become_wiped(GranuleState::Data);
        let realm = self.realm(rd);
        let at = realm.tables.walk(ipa, 3);
        let ripas = ripas.or(at.entry.ripas()).expect("a Protected IPA");
        realm.tables.set(&at, Entry::Assigned(ripas, data));
        realm.probe(ipa);
    }

    fn data_destroy(&mut self, rd: u64, ipa: u64, reply: &Reply) {
        let mut c = Conditions::of("DATA_DESTROY");
        c.input("ipa_align", !ipa.is_multiple_of(4096));
        let mut found = None;
        if self.check(&mut c, RD, rd, GranuleState::Rd) {
            let tables = &self.realms[&rd].tables;
            c.input("ipa_bound", !tables.is_protected(ipa));
            if tables.is_protected(ipa) {
                let at = tables.walk(ipa, 3);
                c.when("rtt_walk", at.level < 3, Status::rtt(at.level));
                let assigned = matches!(at.entry, Entry::Assigned(..));
                c.when("rtte_state", !assigned, Status::rtt(at.level));
                found = Some(at);
            }
        }
        let success = c.judge(reply.status, &[(&RD, WALK), (&["ipa_bound"], WALK)]);
        if let (true, Some(at)) = (success, found) {
            let Entry::Assigned(ripas, data) = at.entry else {
                unreachable!("checked above");
            };
            assert_eq!(reply.x[1], data, "data");
            let ripas = match ripas {
                Ripas::Empty => Ripas::Empty,
                Ripas::Ram | Ripas::Destroyed => Ripas::Destroyed,
            };
            let realm = self.realm(rd);
            realm.tables.set(&at, Entry::Unassigned(ripas));
            self.granule(data).become_wiped(GranuleState::Delegated);
        } else {
            assert_eq!(reply.x[1], 0, "data");
        }
        self.judge_top(rd, ipa, found.map(|at| at.level), reply, reply.x[2]);
    }

    /// Asserts the `top` output of a command whose walk ended at this level.
    pub fn judge_top(&self, rd: u64, ipa: u64, level: Option<i64>, reply: &Reply, top: u64) {
        let expected = match (reply.status, level) {
            (Status::Success | Status::Rtt(_), Some(level)) => {
                let tables = &self.realms[&rd].tables;
                tables.top(&tables.walk(ipa, level), ipa)
            }
            _ => 0,
        };
        assert_eq!(top, expected, "top after {:?}", reply.status);
    }
}

fn version(requested: u64, reply: &Reply) {
    let expected = if requested == 0x1_0000 {
        Status::Success
    } else {
        Status::Input
    };
    assert_eq!(reply.status, expected);
    assert_eq!(reply.x[1..3], [0x1_0000; 2]);
}

/// Number of start-level RTTs of a Realm with this IPA width (B3.55).
pub fn start_number(s2sz: u8, level: i64, lpa2: bool) -> Option<u32> {
    let widest = if lpa2 { 52 } else { 48 };
    // Narrowest width, widest width of one RTT, widest width of concatenated RTTs.
    let (narrowest, alone, most) = match level {
        -1 if lpa2 => (49, 52, 52),
        0 => (40, 48, widest),
        1 => (32, 39, 43),
        2 => (32, 30, 34),
        _ => return None,
    };
    (narrowest..=most)
        .contains(&s2sz)
        .then(|| 1 << s2sz.saturating_sub(alone))
}

/// Addresses of the start-level RTTs.
pub fn start_tables(params: &RealmParams) -> impl Iterator<Item = u64> + use<> {
    let base = params.rtt_base;
    (0..u64::from(params.rtt_num_start)).map(move |n| base.wrapping_add(n * 4096))
}

/// RMI_ERROR_RTT with a level of the model.
pub trait RttStatus {
    /// The status.
    fn rtt(level: i64) -> Self;
}

impl RttStatus for Status {
    fn rtt(level: i64) -> Self {
        Self::Rtt(i8::try_from(level).expect("a level"))
    }
}
