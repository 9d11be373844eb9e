// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_DATA_UNMAP: what it unmaps, and how it reports that.

use super::data::{BLOCK, NONE, SINGLE, desc, list, ram, read_list};
use rmm_core::fake::v2::{Host2, UnmapReply};
use rmm_core::fake::{DESTROYED, EMPTY, EntryReport, GIB, PAGE, Status};
use rmm_granule::GranuleState::Delegated;
use rmm_granule::Pa;
use rmm_granule::fake::Pas;

// Conformance: 2.0 RMI_RTT_DATA_UNMAP list_lost
#[test]
fn a_list_that_the_host_takes_away_meanwhile_has_no_entries() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    // A call looks for an interrupt after some of them.
    let (count, page) = (100, host.page());
    let pa = realm.granules(count, PAGE);
    let reply = host.rtt_data_map(realm.rd, 0..count * PAGE, SINGLE, desc(pa, 3, count));
    assert_eq!(reply, (Status::Success, count * PAGE));
    host.board().set_look_hook(move |board, _| {
        board.memory.set_pas(Pa(page), Pas::Secure);
        false
    });
    let reply = host.rtt_data_unmap(realm.rd, 0..count * PAGE, list(4), page);
    assert_eq!(reply, UnmapReply::list(count * PAGE, 0));
    assert_eq!(host.state(pa), Delegated);
    assert_eq!(realm.entry(0, 3), EntryReport::unassigned(3, EMPTY));
    host.board().set_look_hook(|_, _| false);
    host.board().memory.set_pas(Pa(page), Pas::NonSecure);
}

// Conformance: 2.0 RMI_RTT_DATA_UNMAP state, ripas, addr_single, hole
#[test]
fn unmap_pages() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let pa = realm.granules(6, PAGE);
    ram(&realm, 0, 2 * PAGE);
    let reply = host.rtt_data_map(realm.rd, 0..3 * PAGE, SINGLE, desc(pa, 3, 3));
    assert_eq!(reply.0, Status::Success);
    // Not adjacent in memory to those before.
    let reply = host.rtt_data_map(
        realm.rd,
        3 * PAGE..5 * PAGE,
        SINGLE,
        desc(pa + 4 * PAGE, 3, 2),
    );
    assert_eq!(reply.0, Status::Success);
    let unmap = |range, flags, oaddr| host.rtt_data_unmap(realm.rd, range, flags, oaddr);

    assert_eq!(
        unmap(0..PAGE, SINGLE, 0),
        UnmapReply::single(PAGE, desc(pa, 3, 1))
    );
    assert_eq!(realm.entry(0, 3), EntryReport::unassigned(3, DESTROYED));
    assert_eq!(host.state(pa), Delegated);
    assert_eq!(
        unmap(0..8 * PAGE, SINGLE, 0),
        UnmapReply::nothing(PAGE),
        "past the hole"
    );
    let expected = UnmapReply::single(3 * PAGE, desc(pa + PAGE, 3, 2));
    assert_eq!(
        unmap(PAGE..8 * PAGE, SINGLE, 0),
        expected,
        "up to another address"
    );
    assert_eq!(realm.entry(PAGE, 3), EntryReport::unassigned(3, DESTROYED));
    assert_eq!(realm.entry(2 * PAGE, 3), EntryReport::unassigned(3, EMPTY));
    assert_eq!(
        unmap(3 * PAGE..8 * PAGE, NONE, 0),
        UnmapReply::nothing(5 * PAGE),
        "not reported"
    );
    assert_eq!(host.state(pa + 5 * PAGE), Delegated);
    assert_eq!(
        unmap(3 * PAGE..8 * PAGE, NONE, 0),
        UnmapReply::nothing(8 * PAGE),
        "nothing left"
    );
}

// Conformance: 2.0 RMI_RTT_DATA_UNMAP addr_list
#[test]
fn unmap_to_a_list() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let pa = realm.granules(8, PAGE);
    let at = |n: u64| pa + n * PAGE;
    let order = [5, 6, 0, 2, 3, 4];
    for (n, page) in (0..).zip(order) {
        let range = n * PAGE..(n + 1) * PAGE;
        let reply = host.rtt_data_map(realm.rd, range, SINGLE, desc(at(page), 3, 1));
        assert_eq!(reply.0, Status::Success);
    }
    let page = host.page();
    let unmap = |range, count| host.rtt_data_unmap(realm.rd, range, list(count), page + 8);
    assert_eq!(unmap(0..PAGE, 1), UnmapReply::list(PAGE, 1));
    assert_eq!(read_list(&host, page, 3), [0, desc(at(5), 3, 1), 0]);
    assert_eq!(
        unmap(PAGE..8 * PAGE, 2),
        UnmapReply::list(3 * PAGE, 2),
        "full"
    );
    let ranges = [0, desc(at(6), 3, 1), desc(at(0), 3, 1), 0];
    assert_eq!(read_list(&host, page, 4), ranges);
    assert_eq!(
        unmap(3 * PAGE..8 * PAGE, 9),
        UnmapReply::list(6 * PAGE, 1),
        "adjacent"
    );
    assert_eq!(read_list(&host, page, 2), [0, desc(at(2), 3, 3)]);
    assert_eq!(
        unmap(6 * PAGE..8 * PAGE, 9),
        UnmapReply::list(8 * PAGE, 0),
        "a hole"
    );
}

// Conformance: 2.0 RMI_RTT_DATA_UNMAP hole
#[test]
fn an_empty_space_is_passed_in_few_calls() {
    let host = Host2::new();
    let realm = host.realm().create();
    let top = realm.unprotected();
    assert_eq!(
        host.rtt_data_unmap(realm.rd, 0..top, NONE, 0),
        UnmapReply::nothing(top)
    );
    // A hole that is larger than the range.
    let reply = host.rtt_data_unmap(realm.rd, 5 * PAGE..9 * PAGE, SINGLE, 0);
    assert_eq!(reply, UnmapReply::nothing(9 * PAGE));
    realm.tables(3 * GIB + 4 * BLOCK, 3);
    let (mut next, mut calls) = (0, 0);
    while next < top {
        let reply = host.rtt_data_unmap(realm.rd, next..top, NONE, 0);
        assert_eq!(reply.status, Status::Success);
        assert!(reply.top > next);
        (next, calls) = (reply.top, calls + 1);
    }
    assert!(calls < 10, "{calls}");
}
