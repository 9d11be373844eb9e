// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_DATA_MAP, RMI_RTT_DATA_MAP_INIT, RMI_RTT_DATA_UNMAP.

use rmm_abi::rmi::v2::{AddressRange, MemoryState};
use rmm_core::fake::v2::{Host2, TestRealm2, UnmapReply};
use rmm_core::fake::{Config, DESTROYED, EMPTY, EntryReport, GIB, MIB, PAGE, RAM, Status};
use rmm_granule::GranuleState::{Data, Delegated};
use rmm_granule::Pa;
use zerocopy::IntoBytes;

pub const NONE: u64 = 0;
pub const SINGLE: u64 = 1;
pub const LIST: u64 = 2;
pub const BLOCK: u64 = 2 * MIB;

/// A descriptor of `count` DELEGATED blocks.
pub fn desc(pa: u64, level: i8, count: u64) -> u64 {
    AddressRange::new(pa, level, count, MemoryState::Delegated).bits()
}

pub fn list(count: u64) -> u64 {
    LIST | count << 2
}

/// Writes a list to a new page and returns its address.
pub fn page_of(host: &Host2, list: &[u64]) -> u64 {
    host.page_with(list.as_bytes())
}

pub fn read_list(host: &Host2, pa: u64, count: usize) -> Vec<u64> {
    let bytes = host.read(pa, 8 * count);
    let words = bytes
        .chunks(8)
        .map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
    words.collect()
}

pub fn ram(realm: &TestRealm2<'_>, base: u64, top: u64) {
    let (status, out_top) = realm.host.rtt_init_ripas(realm.rd, base, top);
    assert_eq!((status, out_top), (Status::Success, top));
}

// Conformance: 2.0 RMI_RTT_DATA_MAP_INIT flags, realm_state, rtt_walk, rtte_state, entry, content
#[test]
fn map_init() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let data = realm.granule();
    let src = host.page_with(&[7; 4096]);
    let call = |flags| host.rtt_data_map_init(realm.rd, data, PAGE, src, flags);
    for flags in [2, 3, 1 << 63] {
        assert_eq!(call(flags), Status::Input, "reserved flags");
    }
    // RIPAS is EMPTY before.
    assert_eq!(call(1), Status::Success);
    assert_eq!(realm.entry(PAGE, 3), EntryReport::assigned(3, data, RAM));
    assert!(host.board().memory.peek(Pa(data)) == [7; 4096]);
    let other = realm.granule();
    assert_eq!(
        host.rtt_data_map_init(realm.rd, other, PAGE, src, 0),
        Status::Rtt(3)
    );
    assert_eq!(
        host.rtt_data_map_init(realm.rd, other, GIB, src, 0),
        Status::Rtt(1)
    );
    realm.activate();
    assert_eq!(
        host.rtt_data_map_init(realm.rd, other, 0, src, 0),
        Status::Realm(0)
    );
}

// Conformance: 2.0 RMI_RTT_DATA_MAP state, addr_contig
#[test]
fn map_pages() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let pa = realm.granules(5, PAGE);
    ram(&realm, PAGE, 3 * PAGE);
    let reply = host.rtt_data_map(realm.rd, PAGE..5 * PAGE, SINGLE, desc(pa, 3, 4));
    assert_eq!(reply, (Status::Success, 5 * PAGE));
    for n in 0..4 {
        let ripas = if n < 2 { RAM } else { EMPTY };
        assert_eq!(
            realm.entry((n + 1) * PAGE, 3),
            EntryReport::assigned(3, pa + n * PAGE, ripas)
        );
        assert_eq!(host.state(pa + n * PAGE), Data);
    }
    assert_eq!(realm.entry(5 * PAGE, 3), EntryReport::unassigned(3, EMPTY));
    assert_eq!(host.state(pa + 4 * PAGE), Delegated);
    assert!(host.board().was_published(&[0; 4096]));
}

#[test]
fn the_shorter_of_range_and_addresses_counts() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let pa = realm.granules(8, PAGE);
    let map =
        |ipa: u64, top, count| host.rtt_data_map(realm.rd, ipa..top, SINGLE, desc(pa, 3, count));
    assert_eq!(map(0, 2 * PAGE, 8), (Status::Success, 2 * PAGE));
    assert_eq!(map(0, 8 * PAGE, 3), (Status::Success, 3 * PAGE));
    // To the end of the table.
    let pa = realm.granules(4, PAGE);
    let reply = host.rtt_data_map(
        realm.rd,
        BLOCK - 2 * PAGE..BLOCK + 2 * PAGE,
        SINGLE,
        desc(pa, 3, 4),
    );
    assert_eq!(reply, (Status::Success, BLOCK));
}

// Conformance: 2.0 RMI_RTT_DATA_MAP same_address, rtte_state, gran_state
#[test]
fn the_same_page_twice_is_done() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let pa = realm.granules(2, PAGE);
    let map = |ipa: u64, pa| host.rtt_data_map(realm.rd, ipa..ipa + PAGE, SINGLE, desc(pa, 3, 1));
    assert_eq!(map(0, pa), (Status::Success, PAGE));
    assert_eq!(map(0, pa), (Status::Success, PAGE), "already there");
    assert_eq!(map(0, pa + PAGE), (Status::Rtt(3), 0), "another page");
    assert_eq!(map(PAGE, pa), (Status::Input, 0), "not DELEGATED");
    assert_eq!(realm.entry(0, 3), EntryReport::assigned(3, pa, EMPTY));
}

// Conformance: 2.0 RMI_RTT_DATA_MAP later, rtte_state, gran_state
#[test]
fn a_later_entry_or_granule_ends_a_mapping() {
    let host = Host2::new();
    let realm = host.realm().create();
    let pa = realm.granules(4, PAGE);
    let taken = realm.data(2 * PAGE, &[]);
    let reply = host.rtt_data_map(realm.rd, 0..4 * PAGE, SINGLE, desc(pa, 3, 4));
    assert_eq!(
        reply,
        (Status::Success, 2 * PAGE),
        "DATA with another address"
    );
    let reply = host.rtt_data_map(
        realm.rd,
        2 * PAGE..4 * PAGE,
        SINGLE,
        desc(pa + 2 * PAGE, 3, 2),
    );
    assert_eq!(reply, (Status::Rtt(3), 0));

    let list_of = |entries: &[u64]| {
        let count = entries.len() as u64;
        host.rtt_data_map(
            realm.rd,
            8 * PAGE..12 * PAGE,
            list(count),
            page_of(&host, entries),
        )
    };
    let good = desc(pa + 2 * PAGE, 3, 1);
    assert_eq!(
        list_of(&[desc(taken, 3, 1), good]),
        (Status::Input, 0),
        "the first"
    );
    assert_eq!(
        list_of(&[good, desc(taken, 3, 1), good]),
        (Status::Success, 9 * PAGE)
    );
    assert_eq!(host.state(pa + 3 * PAGE), Delegated);
}

// Conformance: 2.0 RMI_RTT_DATA_MAP addr_list
#[test]
fn map_a_list() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let pa = realm.granules(8, PAGE);
    let at = |n: u64| pa + n * PAGE;
    let entries = [
        desc(at(6), 3, 2),
        desc(0, 3, 0),
        desc(at(0), 3, 1),
        desc(at(3), 3, 2),
        desc(at(5), 2, 1),
        desc(at(1), 3, 1),
    ];
    let page = page_of(&host, &entries);
    let reply = host.rtt_data_map(realm.rd, 0..512 * PAGE, list(6), page);
    assert_eq!(reply, (Status::Success, 5 * PAGE), "up to another level");
    for (n, page) in [6, 7, 0, 3, 4].into_iter().enumerate() {
        let ipa = n as u64 * PAGE;
        assert_eq!(
            realm.entry(ipa, 3),
            EntryReport::assigned(3, at(page), EMPTY)
        );
    }
    // The list ends where its granule does.
    let page = host.page();
    host.write(page + 4088, &desc(at(1), 3, 1).to_le_bytes());
    let reply = host.rtt_data_map(realm.rd, 8 * PAGE..10 * PAGE, list(2), page + 4088);
    assert_eq!(reply, (Status::Success, 9 * PAGE));
}

// Conformance: 2.0 RMI_RTT_DATA_MAP oaddr_list_align, oaddr_list_pas
// Conformance: 2.0 RMI_RTT_DATA_UNMAP oaddr_align, oaddr_list_pas
#[test]
fn lists_in_memory_that_is_not_the_hosts() {
    let host = Host2::new();
    let realm = host.realm().create();
    let data = realm.data(0, &[]);
    let pa = realm.granule();
    let page = page_of(&host, &[desc(pa, 3, 1)]);
    for bad in [page + 4, page + 1, data, realm.rd, 0x0900_0000, 0x8800_0000] {
        let reply = host.rtt_data_map(realm.rd, PAGE..2 * PAGE, list(1), bad);
        assert_eq!(reply, (Status::Input, 0), "{bad:#x}");
        let reply = host.rtt_data_unmap(realm.rd, 0..PAGE, list(1), bad);
        assert_eq!(reply, UnmapReply::failed(Status::Input), "{bad:#x}");
    }
    for flags in [list(0), LIST] {
        let reply = host.rtt_data_map(realm.rd, PAGE..2 * PAGE, flags, page);
        assert_eq!(reply, (Status::Input, 0));
        let reply = host.rtt_data_unmap(realm.rd, 0..PAGE, flags, page);
        assert_eq!(reply, UnmapReply::failed(Status::Input));
    }
}

// Conformance: 2.0 RMI_RTT_DATA_MAP base_align, top_align, size_valid, ipa_bound, flags, oaddr_type
// Conformance: 2.0 RMI_RTT_DATA_MAP oaddr_single_align, gran_state
// Conformance: 2.0 RMI_RTT_DATA_UNMAP base_align, top_align, size_valid, ipa_bound, flags
#[test]
fn map_inputs() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let pa = realm.granules(4, PAGE);
    let good = desc(pa, 3, 1);
    let middle = realm.unprotected();
    let backwards = |start: u64, end: u64| start..end;
    let bad_ranges = [
        8..PAGE,
        0..PAGE + 8,
        PAGE..PAGE,
        backwards(2 * PAGE, PAGE),
        middle..middle + PAGE,
        middle - PAGE..middle + PAGE,
        realm.end()..realm.end() + PAGE,
        backwards(u64::MAX - 0xFFF, 0),
    ];
    for range in bad_ranges {
        let reply = host.rtt_data_map(realm.rd, range.clone(), SINGLE, good);
        assert_eq!(reply, (Status::Input, 0), "{range:x?}");
        let reply = host.rtt_data_unmap(realm.rd, range.clone(), NONE, 0);
        assert_eq!(reply, UnmapReply::failed(Status::Input), "{range:x?}");
    }
    for flags in [
        NONE,
        3,
        SINGLE | 1 << 16,
        SINGLE | 1 << 20,
        SINGLE | 1 << 63,
    ] {
        let reply = host.rtt_data_map(realm.rd, 0..PAGE, flags, good);
        assert_eq!(reply, (Status::Input, 0), "{flags:#x}");
    }
    for oaddr in [
        desc(pa, 3, 0),
        good | 1 << 62,
        good | 1 << 63,
        good | 1 << 52,
        desc(pa + PAGE, 2, 1),
        desc(0, 1, 1),
        desc(0, 0, 1),
        desc(PAGE, 1, 1),
        desc(host.page(), 3, 1),
        desc(realm.rd, 3, 1),
        desc(0x0900_0000, 3, 1),
        desc(1 << 48, 3, 1),
        desc((1 << 52) - PAGE, 3, 1),
    ] {
        let reply = host.rtt_data_map(realm.rd, 0..1 << 30, SINGLE, oaddr);
        assert_eq!(reply, (Status::Input, 0), "{oaddr:#x}");
    }
    for rd in [realm.rd + 8, pa, 0x0900_0000, host.page()] {
        assert_eq!(
            host.rtt_data_map(rd, 0..PAGE, SINGLE, good),
            (Status::Input, 0)
        );
        let reply = host.rtt_data_unmap(rd, 0..PAGE, NONE, 0);
        assert_eq!(reply, UnmapReply::failed(Status::Input));
    }
    // Of unmapping.
    for (flags, oaddr) in [
        (3, 0),
        (NONE, 8),
        (SINGLE, 8),
        (SINGLE | 1 << 2, 0),
        (1 << 16, 0),
        (1 << 63, 0),
    ] {
        let reply = host.rtt_data_unmap(realm.rd, 0..PAGE, flags, oaddr);
        assert_eq!(reply, UnmapReply::failed(Status::Input), "{flags:#x}");
    }
}

// Conformance: 2.0 RMI_RTT_DATA_MAP rtte_align, rtte_size
#[test]
fn map_walks() {
    let host = Host2::new();
    let realm = host.realm().create();
    let pa = realm.granules(512, BLOCK);
    let page = desc(pa, 3, 1);
    let block = desc(pa, 2, 1);
    let map = |range, oaddr| host.rtt_data_map(realm.rd, range, SINGLE, oaddr);
    host.leniently(|| {
        assert_eq!(map(0..PAGE, page), (Status::Rtt(0), 0));
        realm.tables(0, 2);
        assert_eq!(map(0..PAGE, page), (Status::Rtt(2), 0));
        assert_eq!(
            map(0..BLOCK - PAGE, block),
            (Status::Rtt(2), 0),
            "rtte_size"
        );
        assert_eq!(
            map(PAGE..BLOCK + PAGE, block),
            (Status::Rtt(2), 0),
            "base_align"
        );
    });
}

/// Linux would make the same table again and again if the answer were an error.
// Conformance: 2.0 RMI_RTT_DATA_MAP block_in_table
#[test]
fn a_block_fills_a_table_that_is_there() {
    let host = Host2::new();
    let realm = host.realm().create();
    host.leniently(|| {
        let pa = realm.granules(1024, BLOCK);
        let map = |range, level, count| {
            host.rtt_data_map(realm.rd, range, SINGLE, desc(pa, level, count))
        };
        realm.tables(0, 3);
        assert_eq!(map(PAGE..4 * PAGE, 2, 1), (Status::Success, 4 * PAGE));
        for n in 0..3 {
            let entry = EntryReport::assigned(3, pa + n * PAGE, EMPTY);
            assert_eq!(realm.entry((n + 1) * PAGE, 3), entry);
        }
        assert_eq!(host.state(pa + 3 * PAGE), Delegated);
        let reply = host.rtt_data_unmap(realm.rd, 0..BLOCK, NONE, 0);
        assert_eq!(reply, UnmapReply::nothing(PAGE));
        let reply = host.rtt_data_unmap(realm.rd, PAGE..BLOCK, NONE, 0);
        assert_eq!(reply, UnmapReply::nothing(4 * PAGE));

        assert_eq!(map(0..2 * BLOCK, 2, 2), (Status::Success, BLOCK));
        assert_eq!(
            realm.entry(BLOCK - PAGE, 3),
            EntryReport::assigned(3, pa + 511 * PAGE, EMPTY)
        );
        assert_eq!(map(0..BLOCK, 2, 1), (Status::Success, BLOCK), "done");
        // The next entry of level 2 is VOID.
        let next = desc(pa + BLOCK, 2, 1);
        let reply = host.rtt_data_map(realm.rd, BLOCK..2 * BLOCK, SINGLE, next);
        assert_eq!(reply, (Status::Success, 2 * BLOCK));
        assert_eq!(
            realm.entry(BLOCK, 3),
            EntryReport::assigned(2, pa + BLOCK, EMPTY)
        );
    });
}

// Conformance: 2.0 RMI_RTT_DATA_MAP block, rtte_size
#[test]
fn a_block_of_1_gib_is_mapped_in_blocks_of_2_mib() {
    let host = Host2::with(Config {
        reserved: Vec::new(),
        ..Config::v2()
    });
    let pa = host.pages(512, GIB);
    let realm = host.realm().create();
    host.leniently(|| {
        realm.tables(0, 1);
        let map = |pa| host.rtt_data_map(realm.rd, 0..GIB, SINGLE, desc(pa, 1, 1));
        assert_eq!(map(pa), (Status::Rtt(1), 0), "the entry is too large");
        realm.tables(0, 2);
        assert_eq!(map(pa), (Status::Input, 0), "not DELEGATED");
        host.delegate_range(pa, pa + BLOCK);
        assert_eq!(map(pa), (Status::Success, BLOCK), "what is DELEGATED");
        assert_eq!(realm.entry(0, 3), EntryReport::assigned(2, pa, EMPTY));
        let reply = host.rtt_data_unmap(realm.rd, 0..BLOCK, NONE, 0);
        assert_eq!(reply, UnmapReply::nothing(BLOCK));
        host.undelegate_range(pa, pa + BLOCK);
    });
}

/// Its lock is held by the call itself, and a Host repeats a call that is BUSY.
// Conformance: 2.0 RMI_RTT_DATA_MAP gran_state
#[test]
fn the_table_that_is_written_is_no_data() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 2);
    let table = realm.granule();
    assert_eq!(host.rtt_create(realm.rd, table, 0, 3), Status::Success);
    let reply = host.rtt_data_map(realm.rd, 0..PAGE, SINGLE, desc(table, 3, 1));
    assert_eq!(reply, (Status::Input, 0));
}

// Conformance: 2.0 RMI_RTT_DATA_MAP block
// Conformance: 2.0 RMI_RTT_DATA_UNMAP state, rtte_size
#[test]
fn blocks() {
    let host = Host2::new();
    let realm = host.realm().create();
    host.leniently(|| {
        realm.tables(0, 2);
        let pa = realm.granules(1024, BLOCK);
        ram(&realm, 0, BLOCK);
        let map = |ipa: u64, top, count| {
            host.rtt_data_map(realm.rd, ipa..top, SINGLE, desc(pa, 2, count))
        };
        assert_eq!(map(0, 2 * BLOCK, 2), (Status::Success, 2 * BLOCK));
        assert_eq!(realm.entry(0, 3), EntryReport::assigned(2, pa, RAM));
        assert_eq!(
            realm.entry(BLOCK, 3),
            EntryReport::assigned(2, pa + BLOCK, EMPTY)
        );
        for page in [pa, pa + 511 * PAGE, pa + 1023 * PAGE] {
            assert_eq!(host.state(page), Data);
        }
        assert_eq!(map(0, BLOCK, 1), (Status::Success, BLOCK), "already there");

        let unmap = |range| host.rtt_data_unmap(realm.rd, range, SINGLE, 0);
        assert_eq!(
            unmap(PAGE..BLOCK),
            UnmapReply::failed(Status::Rtt(2)),
            "base in a block"
        );
        assert_eq!(
            unmap(0..PAGE),
            UnmapReply::failed(Status::Rtt(2)),
            "rtte_size"
        );
        assert_eq!(
            unmap(0..2 * BLOCK),
            UnmapReply::single(2 * BLOCK, desc(pa, 2, 2))
        );
        assert_eq!(realm.entry(0, 3), EntryReport::unassigned(2, DESTROYED));
        assert_eq!(realm.entry(BLOCK, 3), EntryReport::unassigned(2, EMPTY));
        for page in [pa, pa + 511 * PAGE, pa + 1023 * PAGE] {
            assert_eq!(host.state(page), Delegated);
        }
    });
}

// Conformance: 2.0 RMI_RTT_DATA_MAP gran_state
#[test]
fn a_block_that_is_not_all_delegated_is_not_mapped() {
    let host = Host2::new();
    let realm = host.realm().create();
    host.leniently(|| {
        realm.tables(0, 2);
        let pa = realm.granules(512, BLOCK);
        host.undelegate_range(pa + 300 * PAGE, pa + 301 * PAGE);
        let map = || host.rtt_data_map(realm.rd, 0..BLOCK, SINGLE, desc(pa, 2, 1));
        assert_eq!(map(), (Status::Input, 0));
        for n in [0, 1, 299, 301, 511] {
            assert_eq!(host.state(pa + n * PAGE), Delegated);
        }
        assert_eq!(realm.entry(0, 3), EntryReport::unassigned(2, EMPTY));
        host.delegate_range(pa + 300 * PAGE, pa + 301 * PAGE);
        assert_eq!(map(), (Status::Success, BLOCK));
    });
}

// Conformance: 2.0 RMI_RTT_DATA_MAP interrupt
// Conformance: 2.0 RMI_RTT_DATA_UNMAP interrupt
#[test]
fn a_call_ends_when_the_host_has_an_interrupt() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let pa = realm.granules(200, PAGE);
    let range = 0..200 * PAGE;
    host.set_irq(true);
    let reply = host.rtt_data_map(realm.rd, range.clone(), SINGLE, desc(pa, 3, 200));
    assert_eq!(reply, (Status::Success, PAGE));
    host.set_irq(false);
    let reply = host.rtt_data_map(realm.rd, range.clone(), SINGLE, desc(pa, 3, 200));
    assert_eq!(reply, (Status::Success, 200 * PAGE));
    host.set_irq(true);
    let reply = host.rtt_data_unmap(realm.rd, range, SINGLE, 0);
    assert_eq!(reply, UnmapReply::single(64 * PAGE, desc(pa, 3, 64)));
    host.set_irq(false);
}

// Conformance: 2.0 RMI_RTT_DATA_MAP realm_state
// Conformance: 2.0 RMI_RTT_DATA_UNMAP zombie
#[test]
fn a_realm_that_cannot_run_gets_no_memory() {
    let host = Host2::new();
    let realm = host.realm().create();
    let data = realm.data(0, &[]);
    let pa = realm.granule();
    let map = |ipa: u64| host.rtt_data_map(realm.rd, ipa..ipa + PAGE, SINGLE, desc(pa, 3, 1));
    realm.activate();
    assert_eq!(map(PAGE), (Status::Success, 2 * PAGE));
    assert_eq!(host.realm_terminate(realm.rd), Status::Success);
    assert_eq!(map(2 * PAGE), (Status::Realm(0), 0));
    let reply = host.rtt_data_unmap(realm.rd, 0..PAGE, SINGLE, 0);
    assert_eq!(
        reply,
        UnmapReply::single(PAGE, desc(data, 3, 1)),
        "the Host may clean up"
    );
}
