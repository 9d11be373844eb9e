// SPDX-License-Identifier: BSD-3-Clause
//! Which calls of RMI 2.0 have a page of their own, and what its commands on Realms may return and change
//! (B4.5.38, B4.5.46 to B4.5.48).

use super::commands::{PARAMS, RD, start_tables};
use super::conditions::Conditions;
use super::state::{Model, Psci, Realm, RealmState};
use rmm_abi::rmi::v2::{RealmParams, fid};
use rmm_abi::rmi::{self, HashAlgorithm};
use rmm_core::fake::{Reply, Status};
use rmm_granule::GranuleState;
use zerocopy::{FromBytes, FromZeros};

const DENIED: u64 = (-3_i64).cast_unsigned();

impl Model {
    /// Judges a call that has another page in 2.0 than in 1.0, or none there. Whether it is one.
    pub fn judge_2(&mut self, function: u64, a: [u64; 5], reply: &Reply) -> bool {
        match function {
            fid::RMI_GRANULE_RANGE_DELEGATE => self.range_delegate(a[0], a[1], reply),
            fid::RMI_GRANULE_RANGE_UNDELEGATE => self.range_undelegate(a[0], a[1], reply),
            fid::RMI_REALM_CREATE => self.realm_create_2(a[0], a[1], reply),
            fid::RMI_REALM_TERMINATE => self.realm_terminate(a[0], reply),
            fid::RMI_PSCI_COMPLETE if self.granule_state(a[1]) != Some(GranuleState::Rec) => {
                self.psci_complete_2(a[0], a[1], reply);
            }
            fid::RMI_RTT_DATA_MAP => self.data_map(a, reply),
            fid::RMI_RTT_DATA_UNMAP => self.data_unmap(a, reply),
            fid::RMI_RTT_UNPROT_MAP => self.unprot_map(a, reply),
            fid::RMI_RTT_UNPROT_UNMAP => self.unprot_unmap(a, reply),
            fid::RMI_RTT_INIT_RIPAS => self.init_ripas_2(a[0], a[1], a[2], reply),
            _ => return false,
        }
        true
    }

    fn realm_create_2(&mut self, rd: u64, ptr: u64, reply: &Reply) {
        let mut c = Conditions::of("2.0 REALM_CREATE");
        self.check(&mut c, RD, rd, GranuleState::Delegated);
        let mut found = None;
        if self.check_ns(&mut c, PARAMS, ptr) {
            let page = self.granules[&ptr].content();
            let params = RealmParams::read_from_bytes(page).expect("a page");
            let (flags, lfa, mec) = (
                params.flags0,
                params.flags0 >> 5 & 3,
                params.flags0 >> 7 & 3,
            );
            c.input("params_valid", params.hash_algo > 2 || lfa > 1 || mec > 1);
            let planes = params.num_aux_planes != 0 || params.ats_plane != 0;
            let absent = flags & (1 << 1 | 1 << 3) != 0 || params.flags1 & 7 != 0 || planes;
            c.input("params_supp", absent);
            c.when("mec_policy", mec == 1, Status::Global);
            let common = common(&params);
            self.check_realm_params(&mut c, rd, &common);
            found = Some((common, params));
        }
        if !c.judge(reply.status, &[]) {
            return;
        }
        let (common, params) = found.expect("checked above");
        let algorithm = HashAlgorithm::try_from(params.hash_algo).expect("checked above");
        let start: Vec<u64> = start_tables(&common).collect();
        for pa in &start {
            self.granule(*pa).become_wiped(GranuleState::Rtt);
        }
        self.granule(rd).become_wiped(GranuleState::Rd);
        let realm = Realm::new(&common, &start, algorithm);
        self.realms.insert(rd, realm);
        self.realm(rd).is_v2 = true;
        // The monitor has chosen the VMID, and RECs have no auxiliary granules.
        self.realm(rd).aux_count = Some(0);
    }

    fn realm_terminate(&mut self, rd: u64, reply: &Reply) {
        let mut c = Conditions::of("2.0 REALM_TERMINATE");
        if self.check(&mut c, RD, rd, GranuleState::Rd) {
            let mut recs = self.realms[&rd].recs.values();
            let running = recs.any(|rec| self.recs[rec].running);
            c.when("rec_running", running, Status::Realm(0));
        }
        if c.judge(reply.status, &[(&RD, &["rec_running"])]) {
            self.realm(rd).state = RealmState::Zombie;
        }
    }

    /// RMI_PSCI_COMPLETE in the form without a target.
    fn psci_complete_2(&mut self, calling: u64, status: u64, reply: &Reply) {
        const CALLING: [&str; 3] = ["calling_align", "calling_bound", "calling_state"];
        let mut c = Conditions::of("2.0 PSCI_COMPLETE");
        let mut target = None;
        if self.check(&mut c, CALLING, calling, GranuleState::Rec) {
            let rec = &self.recs[&calling];
            c.input("pending", rec.psci.is_none());
            if let Some(Psci::CpuOn { target: index, .. }) = rec.psci {
                target = self.realms[&rec.rd].recs.get(&index).copied();
                // An absent REC can only be denied, and one that is on cannot.
                let runnable = target.is_some_and(|target| self.recs[&target].runnable);
                let permitted = match status {
                    0 => target.is_some(),
                    DENIED => !runnable,
                    _ => false,
                };
                c.input("status", !permitted);
            }
        }
        if c.judge(reply.status, &[]) {
            self.complete_psci(calling, target, status);
        }
    }
}

/// The parameters that 1.0 has, too.
fn common(params: &RealmParams) -> rmi::RealmParams {
    let mut common = rmi::RealmParams::new_zeroed();
    common.flags = params.flags0 & (1 << 0 | 1 << 2);
    common.s2sz = params.s2sz;
    common.num_bps = params.num_bps;
    common.num_wps = params.num_wps;
    common.pmu_num_ctrs = params.pmu_num_ctrs;
    common.rpv = params.rpv;
    common.rtt_base = params.rtt_base;
    common.rtt_level_start = params.rtt_level_start;
    common.rtt_num_start = params.rtt_num_start;
    // No VMID is in use that is as wide as this, and 8 bits are enough for it.
    common.vmid = 0xFF;
    common
}
