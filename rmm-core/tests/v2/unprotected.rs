// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_UNPROT_MAP and RMI_RTT_UNPROT_UNMAP.

use rmm_abi::rmi::v2::{AddressRange, MemoryState};
use rmm_core::fake::v2::{Host2, UnmapReply};
use rmm_core::fake::{EntryReport, GIB, MIB, PAGE, Status};
use zerocopy::IntoBytes;

const NONE: u64 = 0;
const SINGLE: u64 = 1;
const LIST: u64 = 2;
const BLOCK: u64 = 2 * MIB;
/// Normal Write-Back, read and write.
const WB_RW: u64 = 6 << 16 | 3 << 19;
/// The same in a descriptor.
const DESC_WB_RW: u64 = 6 << 2 | 3 << 6;

fn desc(pa: u64, level: i8, count: u64) -> u64 {
    AddressRange::new(pa, level, count, MemoryState::Undelegated).bits()
}

// Conformance: 2.0 RMI_RTT_UNPROT_MAP state, block, descriptor_state
// Conformance: 2.0 RMI_RTT_UNPROT_UNMAP state, addr_single
#[test]
fn pages_blocks_and_both_encodings_of_the_state() {
    let host = Host2::new();
    let realm = host.realm().create();
    let base = realm.unprotected();
    realm.tables(base, 3);
    let pa = 0x12_3456_7000;
    for (n, state) in [(0, 0), (1, 1 << 62), (2, 1 << 63)] {
        let ipa = base + 2 * n * PAGE;
        let oaddr = desc(pa, 3, 2) & !(3 << 62) | state;
        let reply = host.rtt_unprot_map(realm.rd, ipa..ipa + 2 * PAGE, SINGLE | WB_RW, oaddr);
        assert_eq!(reply, (Status::Success, ipa + 2 * PAGE));
        let expected = EntryReport::assigned(3, pa | DESC_WB_RW, 0);
        assert_eq!(realm.entry(ipa, 3), expected);
    }
    for (level, ipa) in [(2, base + BLOCK), (1, base + GIB)] {
        let size = 1 << (12 + 9 * (3 - level));
        let range = ipa..ipa + size;
        let oaddr = desc(64 * GIB, level, 1);
        let reply = host.rtt_unprot_map(realm.rd, range.clone(), SINGLE | WB_RW, oaddr);
        assert_eq!(reply, (Status::Success, range.end));
        let reply = host.rtt_unprot_unmap(realm.rd, range.clone(), SINGLE, 0);
        assert_eq!(reply, UnmapReply::single(range.end, oaddr));
    }
    let reply = host.rtt_unprot_unmap(realm.rd, base..realm.end(), SINGLE, 0);
    assert_eq!(reply, UnmapReply::single(base + 2 * PAGE, desc(pa, 3, 2)));
    assert_eq!(realm.entry(base, 3), EntryReport::unassigned(3, 0));
}

// Conformance: 2.0 RMI_RTT_UNPROT_MAP state, attr
#[test]
fn attributes_and_permissions() {
    let host = Host2::new();
    let realm = host.realm().create();
    let base = realm.unprotected();
    realm.tables(base, 3);
    let pa = host.page();
    let map =
        |flags| host.rtt_unprot_map(realm.rd, base..base + PAGE, SINGLE | flags, desc(pa, 3, 1));
    for attribute in 0..8 {
        // Bit 0 of the field is write, bit 1 is read; in a descriptor read comes first.
        for (permissions, s2ap) in [(0, 0), (1, 2), (2, 1), (3, 3)] {
            let reply = map(attribute << 16 | permissions << 19);
            if attribute == 4 {
                assert_eq!(reply, (Status::Input, 0), "reserved");
                continue;
            }
            assert_eq!(reply, (Status::Success, base + PAGE));
            let expected = pa | attribute << 2 | s2ap << 6;
            assert_eq!(realm.entry(base, 3).desc, expected);
            let reply = host.rtt_unprot_unmap(realm.rd, base..base + PAGE, NONE, 0);
            assert_eq!(reply, UnmapReply::nothing(base + PAGE));
        }
    }
    for flags in [
        WB_RW | 1 << 21,
        WB_RW | 1 << 22,
        WB_RW | 1 << 23,
        WB_RW | 1 << 63,
    ] {
        assert_eq!(map(flags), (Status::Input, 0), "{flags:#x}");
    }
}

// Conformance: 2.0 RMI_RTT_UNPROT_MAP addr_list
// Conformance: 2.0 RMI_RTT_UNPROT_UNMAP addr_list
#[test]
fn lists() {
    let host = Host2::new();
    let realm = host.realm().create();
    let base = realm.unprotected();
    realm.tables(base, 3);
    let entries = [desc(0x8000, 3, 2), desc(0x4000, 3, 1), desc(0x5000, 3, 1)];
    let page = host.page_with(entries.as_bytes());
    let range = base..base + 16 * PAGE;
    let flags = LIST | 3 << 2;
    let reply = host.rtt_unprot_map(realm.rd, range.clone(), flags | WB_RW, page);
    assert_eq!(reply, (Status::Success, base + 4 * PAGE));
    let reply = host.rtt_unprot_unmap(realm.rd, range, flags, page);
    assert_eq!(reply, UnmapReply::list(base + 4 * PAGE, 2));
    let expected = [desc(0x8000, 3, 2), desc(0x4000, 3, 2)];
    assert_eq!(host.read(page, 16), expected.as_bytes());
}

// Conformance: 2.0 RMI_RTT_UNPROT_MAP base_align, top_align, size_valid, ipa_bound, oaddr_type, attr
// Conformance: 2.0 RMI_RTT_UNPROT_UNMAP base_align, top_align, size_valid, ipa_bound
#[test]
fn inputs() {
    let host = Host2::new();
    let realm = host.realm().create();
    let base = realm.unprotected();
    realm.tables(base, 3);
    let good = desc(host.page(), 3, 1);
    for range in [
        0..PAGE,
        base - PAGE..base + PAGE,
        base..base,
        base + PAGE..base,
        base + 8..base + PAGE,
        base..base + 8,
        realm.end() - PAGE..realm.end() + PAGE,
    ] {
        let reply = host.rtt_unprot_map(realm.rd, range.clone(), SINGLE | WB_RW, good);
        assert_eq!(reply, (Status::Input, 0), "{range:x?}");
        let reply = host.rtt_unprot_unmap(realm.rd, range.clone(), NONE, 0);
        assert_eq!(reply, UnmapReply::failed(Status::Input), "{range:x?}");
    }
    for kind in [NONE, 3] {
        let reply = host.rtt_unprot_map(realm.rd, base..base + PAGE, kind | WB_RW, good);
        assert_eq!(reply, (Status::Input, 0), "oaddr_type {kind}");
    }
    for oaddr in [
        desc(0x1000, 3, 0),
        desc(0x1000, 2, 1),
        desc(0x1000, 0, 1),
        desc(1 << 48, 3, 1),
        good | 1 << 55,
    ] {
        let reply = host.rtt_unprot_map(realm.rd, base..base + GIB, SINGLE | WB_RW, oaddr);
        assert_eq!(reply, (Status::Input, 0), "{oaddr:#x}");
    }
}

// Conformance: 2.0 RMI_RTT_UNPROT_MAP rtte_state, rtte_size
// Conformance: 2.0 RMI_RTT_UNPROT_UNMAP rtte_size, hole
#[test]
fn walks() {
    let host = Host2::new();
    let realm = host.realm().create();
    let base = realm.unprotected();
    let map = |ipa: u64, size, level| {
        host.rtt_unprot_map(realm.rd, ipa..ipa + size, SINGLE | WB_RW, desc(0, level, 1))
    };
    assert_eq!(map(base, PAGE, 3), (Status::Rtt(0), 0));
    realm.tables(base, 2);
    assert_eq!(map(base, PAGE, 3), (Status::Rtt(2), 0));
    assert_eq!(map(base, BLOCK - PAGE, 2), (Status::Rtt(2), 0), "rtte_size");
    assert_eq!(map(base, BLOCK, 2), (Status::Success, base + BLOCK));
    assert_eq!(map(base, BLOCK, 2), (Status::Rtt(2), 0), "rtte_state");
    let unmap = |range| host.rtt_unprot_unmap(realm.rd, range, NONE, 0);
    assert_eq!(unmap(base..base + PAGE), UnmapReply::failed(Status::Rtt(2)));
    assert_eq!(
        unmap(base + PAGE..base + BLOCK),
        UnmapReply::failed(Status::Rtt(2))
    );
    assert_eq!(unmap(base..realm.end()), UnmapReply::nothing(base + BLOCK));
    assert_eq!(
        unmap(base..base + PAGE),
        UnmapReply::nothing(base + PAGE),
        "in a hole"
    );
}

// Conformance: 2.0 RMI_RTT_UNPROT_MAP block_in_table
#[test]
fn a_block_fills_a_table_that_is_there() {
    let host = Host2::new();
    let realm = host.realm().create();
    let base = realm.unprotected();
    let map = |ipa: u64, size, pa, level| {
        let oaddr = desc(pa, level, 1);
        host.rtt_unprot_map(realm.rd, ipa..ipa + size, SINGLE | WB_RW, oaddr)
    };
    assert_eq!(
        map(base, GIB, 0, 0),
        (Status::Rtt(0), 0),
        "no block of level 0"
    );
    realm.tables(base, 3);
    assert_eq!(
        map(base + PAGE, PAGE, BLOCK, 2),
        (Status::Success, base + 2 * PAGE)
    );
    assert_eq!(
        realm.entry(base + PAGE, 3),
        EntryReport::assigned(3, BLOCK | DESC_WB_RW, 0)
    );
    assert_eq!(map(base, BLOCK, 0, 2), (Status::Success, base + PAGE));
    let end = base + BLOCK;
    let reply = map(base + 2 * PAGE, GIB - 2 * PAGE, 0, 1);
    assert_eq!(reply, (Status::Success, end), "to the end of the table");
    assert_eq!(
        realm.entry(end - PAGE, 3),
        EntryReport::assigned(3, (509 * PAGE) | DESC_WB_RW, 0)
    );
    let reply = host.rtt_unprot_unmap(realm.rd, base..end, SINGLE, 0);
    assert_eq!(reply, UnmapReply::single(base + PAGE, desc(0, 3, 1)));
}
