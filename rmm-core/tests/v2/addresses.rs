// SPDX-License-Identifier: BSD-3-Clause
//! Addresses that each command must refuse: not aligned, no memory, granules in another state, memory that
//! is not the Host's. All other arguments are right: with the right address, which is tried last, the
//! answer is another one.

use rmm_abi::rmi::v2::fid;
use rmm_core::fake::v2::{Host2, TestRealm2, rec_params};
use rmm_core::fake::{PAGE, Status};
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;
use zerocopy::IntoBytes;

const SINGLE: u64 = 1;
/// A list of one entry.
const LIST: u64 = 2 | 1 << 2;
/// Memory attributes and permissions of RMI_RTT_UNPROT_MAP.
const SHARED: u64 = 6 << 16 | 3 << 19;

/// A Realm, NEW, with a REC and a page of memory at IPA 0, and granules of other kinds.
struct Samples<'h> {
    host: &'h Host2,
    realm: TestRealm2<'h>,
    page: u64,
    delegated: u64,
    data: u64,
    rtt: u64,
}

impl<'h> Samples<'h> {
    fn new(host: &'h Host2) -> Self {
        let realm = host.realm().create();
        let _rec = realm.rec(true);
        let data = realm.data(0, &[]);
        Self {
            host,
            page: host.page(),
            delegated: realm.granule(),
            data,
            rtt: realm.entry(0, 2).desc,
            realm,
        }
    }

    /// Addresses of granules by state.
    fn all(&self) -> [(GranuleState, u64); 7] {
        [
            (GranuleState::Undelegated, self.page),
            (GranuleState::Delegated, self.delegated),
            (GranuleState::Rd, self.realm.rd),
            (GranuleState::Rec, self.realm.rec_pa(0)),
            (GranuleState::Rtt, self.rtt),
            (GranuleState::Rtt, self.realm.params.rtt_base),
            (GranuleState::Data, self.data),
        ]
    }

    /// Asserts that a call accepts a granule of this state alone.
    #[track_caller]
    fn check(&self, wanted: GranuleState, answer: Status, call: impl Fn(u64) -> Status) {
        let (good, others): (Vec<_>, Vec<_>) = self
            .all()
            .into_iter()
            .partition(|(state, _)| *state == wanted);
        let good = good[0].1;
        let unaligned = [1, 8, 0x800, PAGE - 1].map(|offset| good + offset);
        let no_memory = [0, 0x0900_0000, 0x8000_0000, 1 << 48, u64::MAX - 0xFFF];
        let others = others.into_iter().map(|(_, pa)| pa);
        for bad in unaligned.into_iter().chain(no_memory).chain(others) {
            assert_eq!(call(bad), Status::Input, "{bad:#x}");
        }
        if wanted == GranuleState::Undelegated {
            for pas in [Pas::Secure, Pas::Root, Pas::Realm] {
                self.host.move_to(good, pas);
                assert_eq!(call(good), Status::Input, "{pas:?}");
            }
            self.host.move_to(good, Pas::NonSecure);
        }
        assert_eq!(call(good), answer, "the right address");
    }
}

// Conformance: 2.0 RMI_RTT_DATA_MAP rd_align, rd_bound, rd_state
// Conformance: 2.0 RMI_RTT_DATA_UNMAP rd_align, rd_bound, rd_state
// Conformance: 2.0 RMI_RTT_UNPROT_MAP rd_align, rd_bound, rd_state
// Conformance: 2.0 RMI_RTT_UNPROT_UNMAP rd_align, rd_bound, rd_state
// Conformance: 2.0 RMI_RTT_INIT_RIPAS rd_align, rd_bound, rd_state
// Conformance: 2.0 RMI_REC_CREATE rd_align, rd_bound, rd_state
// Conformance: 2.0 RMI_REALM_ACTIVATE rd_align, rd_bound, rd_state
// Conformance: 2.0 RMI_REALM_TERMINATE rd_align, rd_tracking, rd_state
// Conformance: 2.0 RMI_REALM_DESTROY rd_align, rd_tracking, rd_state
// Conformance: 2.0 RMI_RTT_READ_ENTRY rd, 2.0 RMI_RTT_CREATE rd, 2.0 RMI_RTT_DESTROY rd, 2.0 RMI_RTT_FOLD rd
// Conformance: 2.0 RMI_RTT_DATA_MAP_INIT rd
#[test]
fn rd_of_each_command() {
    let host = Host2::new();
    let samples = Samples::new(&host);
    let params = host.page_with(rec_params(1, true).as_bytes());
    let spare = samples.realm.granule();
    let middle = samples.realm.unprotected();
    let (src, desc) = (host.page(), spare | 1 << 2);
    let commands: [(u64, &[u64], Status); 13] = [
        (fid::RMI_RTT_READ_ENTRY, &[0, 3], Status::Success),
        (fid::RMI_RTT_CREATE, &[spare, 0, 3], Status::Rtt(2)),
        (fid::RMI_RTT_DESTROY, &[0, 3], Status::Rtt(3)),
        (fid::RMI_RTT_FOLD, &[0, 3], Status::Rtt(3)),
        (
            fid::RMI_RTT_DATA_MAP_INIT,
            &[spare, 0, src, 0],
            Status::Rtt(3),
        ),
        (
            fid::RMI_RTT_DATA_MAP,
            &[0, PAGE, SINGLE, desc],
            Status::Rtt(3),
        ),
        (
            fid::RMI_RTT_DATA_UNMAP,
            &[PAGE, 2 * PAGE, 0, 0],
            Status::Success,
        ),
        (
            fid::RMI_RTT_UNPROT_MAP,
            &[middle, middle + PAGE, SINGLE | SHARED, desc],
            Status::Rtt(0),
        ),
        (
            fid::RMI_RTT_UNPROT_UNMAP,
            &[middle, middle + PAGE, 0, 0],
            Status::Success,
        ),
        (fid::RMI_RTT_INIT_RIPAS, &[0, PAGE], Status::Success),
        (fid::RMI_REC_CREATE, &[spare, params], Status::Success),
        (fid::RMI_REALM_ACTIVATE, &[], Status::Success),
        (fid::RMI_REALM_TERMINATE, &[], Status::Success),
    ];
    for (function, args, answer) in commands {
        samples.check(GranuleState::Rd, answer, |rd| {
            let args: Vec<u64> = [&[rd], args].concat();
            host.call(function, &args).status
        });
    }
    samples.check(GranuleState::Rd, Status::Realm(0), |rd| {
        host.realm_destroy(rd)
    });
    assert_eq!(host.rec_destroy(spare), Status::Success);
}

// Conformance: 2.0 RMI_REC_ENTER rec_align, rec_bound, rec_gran_state
// Conformance: 2.0 RMI_PSCI_COMPLETE calling_align, calling_bound, calling_state
// Conformance: 2.0 RMI_REC_DESTROY rec_align, rec_tracking, rec_gran_state
#[test]
fn rec_of_each_command() {
    let host = Host2::new();
    let samples = Samples::new(&host);
    let run = host.page();
    samples.check(GranuleState::Rec, Status::Realm(0), |rec| {
        host.rec_enter(rec, run)
    });
    // Nothing is pending.
    samples.check(GranuleState::Rec, Status::Input, |rec| {
        host.psci_complete_2(rec, 0)
    });
    samples.check(GranuleState::Rec, Status::Success, |rec| {
        host.rec_destroy(rec)
    });
}

// Conformance: 2.0 RMI_RTT_DATA_MAP_INIT data_align, data_bound, data_state
// Conformance: 2.0 RMI_RTT_CREATE rtt
// Conformance: 2.0 RMI_REC_CREATE rec_align, rec_bound, rec_state
// Conformance: 2.0 RMI_REALM_CREATE rd_align, rd_bound, rd_state
#[test]
fn granules_to_be_used() {
    let host = Host2::new();
    let samples = Samples::new(&host);
    let realm = &samples.realm;
    let rd = realm.rd;
    let src = host.page();
    samples.check(GranuleState::Delegated, Status::Success, |data| {
        host.rtt_data_map_init(rd, data, PAGE, src, 0)
    });
    assert_eq!(
        host.rtt_data_unmap(rd, PAGE..2 * PAGE, 0, 0).status,
        Status::Success
    );
    samples.check(GranuleState::Delegated, Status::Success, |rtt| {
        host.rtt_create(rd, rtt, 2 << 20, 3)
    });
    assert_eq!(host.rtt_destroy(rd, 2 << 20, 3).0, Status::Success);
    let params = host.page_with(rec_params(1, true).as_bytes());
    samples.check(GranuleState::Delegated, Status::Success, |rec| {
        host.rec_create(rd, rec, params)
    });
    assert_eq!(host.rec_destroy(samples.delegated), Status::Success);
    let params = host.page_with(host.realm().prepared().as_bytes());
    samples.check(GranuleState::Delegated, Status::Success, |rd| {
        host.realm_create(rd, params)
    });
    assert_eq!(host.realm_terminate(samples.delegated), Status::Success);
    assert_eq!(host.realm_destroy(samples.delegated), Status::Success);
}

// Conformance: 2.0 RMI_RTT_DATA_MAP_INIT src_align, src_pas
// Conformance: 2.0 RMI_REALM_CREATE params_align, params_pas
// Conformance: 2.0 RMI_REC_CREATE params_align, params_pas
// Conformance: 2.0 RMI_RMM_CONFIG_GET config_align, config_pas
// Conformance: 2.0 RMI_REC_ENTER run_align, run_pas
// Conformance: 2.0 RMI_RTT_DATA_MAP oaddr_list_align, oaddr_list_pas
// Conformance: 2.0 RMI_RTT_DATA_UNMAP oaddr_align, oaddr_list_pas
// Conformance: 2.0 RMI_RTT_UNPROT_MAP oaddr_align, oaddr_list_pas
// Conformance: 2.0 RMI_RTT_UNPROT_UNMAP oaddr_align, oaddr_list_pas
#[test]
fn pages_of_the_host() {
    let host = Host2::new();
    let samples = Samples::new(&host);
    let realm = &samples.realm;
    let (rd, spare, middle) = (realm.rd, realm.granule(), realm.unprotected());
    samples.check(GranuleState::Undelegated, Status::Success, |src| {
        host.rtt_data_map_init(rd, spare, PAGE, src, 0)
    });
    assert_eq!(
        host.rtt_data_unmap(rd, PAGE..2 * PAGE, 0, 0).status,
        Status::Success
    );
    host.put(samples.page, &host.realm().prepared());
    samples.check(GranuleState::Undelegated, Status::Success, |params| {
        host.realm_create(spare, params)
    });
    assert_eq!(host.realm_terminate(spare), Status::Success);
    assert_eq!(host.realm_destroy(spare), Status::Success);
    host.put(samples.page, &rec_params(1, true));
    samples.check(GranuleState::Undelegated, Status::Success, |params| {
        host.rec_create(rd, spare, params)
    });
    assert_eq!(host.rec_destroy(spare), Status::Success);
    samples.check(GranuleState::Undelegated, Status::Success, |page| {
        host.rmm_config_get(page).0
    });
    realm.activate();
    samples.check(GranuleState::Undelegated, Status::Success, |run| {
        host.rec_enter(realm.rec_pa(0), run)
    });

    // Lists are aligned to an entry.
    let ranges = [(PAGE..2 * PAGE), (middle..middle + PAGE)];
    realm.tables(middle, 3);
    let map = |unprotected: bool, list| match unprotected {
        false => host.rtt_data_map(rd, ranges[0].clone(), LIST, list).0,
        true => {
            host.rtt_unprot_map(rd, ranges[1].clone(), LIST | SHARED, list)
                .0
        }
    };
    let unmap = |unprotected: bool, list| match unprotected {
        false => {
            host.rtt_data_unmap(rd, ranges[0].clone(), LIST, list)
                .status
        }
        true => {
            host.rtt_unprot_unmap(rd, ranges[1].clone(), LIST, list)
                .status
        }
    };
    let page = samples.page;
    for unprotected in [false, true] {
        let bad = samples
            .all()
            .into_iter()
            .filter(|(state, _)| *state != GranuleState::Undelegated);
        let no_memory = [0, 0x0900_0000, 0x8000_0000, 1 << 48, u64::MAX - 7];
        let unaligned = [1, 4, 0xFFC].map(|offset| page + offset);
        for bad in bad.map(|(_, pa)| pa).chain(no_memory).chain(unaligned) {
            assert_eq!(map(unprotected, bad), Status::Input, "{bad:#x}");
            assert_eq!(unmap(unprotected, bad), Status::Input, "{bad:#x}");
        }
        host.move_to(page, Pas::Secure);
        assert_eq!(map(unprotected, page), Status::Input);
        assert_eq!(unmap(unprotected, page), Status::Input);
        host.move_to(page, Pas::NonSecure);
        host.put(page + 8, &(spare | 1 << 2));
        assert_eq!(map(unprotected, page + 8), Status::Success);
        assert_eq!(unmap(unprotected, page + 8), Status::Success);
    }
}
