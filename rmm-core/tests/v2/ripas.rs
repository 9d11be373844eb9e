// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_INIT_RIPAS.

use rmm_core::fake::v2::Host2;
use rmm_core::fake::{DESTROYED, EMPTY, GIB, MIB, PAGE, RAM, Status};

// Conformance: 2.0 RMI_RTT_INIT_RIPAS ripas, out_top, destroyed, not_measured
#[test]
fn void_data_and_ram() {
    let host = Host2::new();
    let realm = host.realm().create();
    let data = realm.data(PAGE, &[]);
    let init = |base, top| host.rtt_init_ripas(realm.rd, base, top);
    let measurements = || host.board().memory.peek(rmm_granule::Pa(realm.rd));
    let before = measurements();
    assert_eq!(init(0, 4 * PAGE), (Status::Success, 4 * PAGE));
    assert!(measurements() == before, "not measured");
    for n in 0..4 {
        assert_eq!(realm.entry(n * PAGE, 3).ripas, RAM);
    }
    assert_eq!(realm.entry(PAGE, 3).desc, data);
    assert_eq!(
        init(0, 4 * PAGE),
        (Status::Success, 4 * PAGE),
        "RAM already"
    );
    assert_eq!(
        init(2 * MIB, 1 << 39),
        (Status::Success, GIB),
        "blocks, to the end of a table"
    );
    let reply = host.rtt_data_unmap(realm.rd, PAGE..2 * PAGE, 0, 0);
    assert_eq!(reply.status, Status::Success);
    assert_eq!(realm.entry(PAGE, 3).ripas, DESTROYED);
    assert_eq!(
        init(0, 4 * PAGE),
        (Status::Success, PAGE),
        "up to DESTROYED"
    );
    assert_eq!(init(PAGE, 4 * PAGE), (Status::Rtt(3), 0));
}

// Conformance: 2.0 RMI_RTT_INIT_RIPAS size_valid, top_bound, top_gran_align, realm_state, base_align
// Conformance: 2.0 RMI_RTT_INIT_RIPAS no_progress
#[test]
fn failures() {
    let host = Host2::new();
    let realm = host.realm().create();
    let init = |base, top| host.rtt_init_ripas(realm.rd, base, top);
    assert_eq!(init(0, PAGE), (Status::Rtt(0), 0), "no_progress");
    realm.tables(0, 3);
    assert_eq!(
        init(2 * MIB + PAGE, 4 * MIB),
        (Status::Rtt(2), 0),
        "base_align"
    );
    assert_eq!(realm.entry(2 * MIB, 3).ripas, EMPTY);
    // Not even where there is nothing to do.
    assert_eq!(init(2 * MIB, 4 * MIB), (Status::Success, 4 * MIB));
    assert_eq!(init(2 * MIB + PAGE, 4 * MIB), (Status::Rtt(2), 0));
    assert_eq!(init(2 * MIB, 3 * MIB), (Status::Rtt(2), 0), "no_progress");
    assert_eq!(init(0, PAGE), (Status::Success, PAGE));
    assert_eq!(init(8, PAGE), (Status::Rtt(3), 0), "base_align");
    let middle = realm.unprotected();
    for (base, top) in [
        (PAGE, PAGE),
        (PAGE, 0),
        (0, 8),
        (middle - PAGE, middle + PAGE),
    ] {
        assert_eq!(init(base, top), (Status::Input, 0));
    }
    assert_eq!(
        host.rtt_init_ripas(realm.rd + 8, 0, PAGE),
        (Status::Input, 0)
    );
    realm.activate();
    assert_eq!(init(0, PAGE), (Status::Realm(0), 0));
}
