// SPDX-License-Identifier: BSD-3-Clause
//! RECs that run: what the Realm finds, and what the Host sees of it.
//!
//! A Realm is a script ([`RealmCpu`](rmm_core::fake::RealmCpu)). The script asserts what the Realm
//! finds, the test asserts what the Host sees. A test fails if a script has not ended.

#[path = "../support/attested.rs"]
mod attested;

mod aborts;
mod attestation;
mod exceptions;
mod faults;
mod gic;
mod host_call;
mod isolation;
mod locks;
mod measurement;
mod mmio;
mod psci;
mod rec_exit;
mod rec_exit_always;
mod ripas;
mod rsi;
mod state;
mod timers;

use rmm_abi::rmi::RealmFlags;
use rmm_core::fake::{Host, RealmBuilder, RealmCpu, TestRealm, full_features};

/// The Host of a machine whose CPUs have SVE and a PMU.
fn full_host() -> Host {
    Host::with_features(full_features())
}

/// Parameters of a Realm with SVE and a PMU, for [`full_host`].
fn full_realm(host: &Host) -> RealmBuilder<'_> {
    host.realm().params(|p| {
        p.flags = (RealmFlags::SVE | RealmFlags::PMU).bits();
        p.sve_vl = 1;
        p.pmu_num_ctrs = 4;
    })
}

/// Where scripts have their exception vectors.
const VBAR: u64 = 0xFFFF_0000_0008_0000;

fn set_vectors(cpu: &RealmCpu) {
    cpu.el1(|el1| el1.vbar = VBAR);
}

/// Maps a page of Host memory at the first Unprotected IPA with this S2AP. Returns the IPA.
fn share_with(realm: &TestRealm<'_>, s2ap: u64) -> u64 {
    let ipa = realm.unprotected();
    realm.tables(ipa, 3);
    let desc = realm.host.page_with(&[0x11; 4096]) | 6 << 2 | s2ap << 6;
    let status = realm.host.rtt_map_unprotected(realm.rd, ipa, 3, desc);
    assert_eq!(status, rmm_core::fake::Status::Success);
    ipa
}
