// SPDX-License-Identifier: BSD-3-Clause
//! The fake TLB finds the bugs that it is made for.

use super::*;
use crate::fake::{Fault, FaultKind, Stage2Regs};
use crate::{Ipa, Memory, Pa, Rtt};

const VALID_PAGE: u64 = 0x7DB;
const BLOCK: u64 = 0x7D9;
const TABLE: u64 = 3;
const BIG: u64 = 0x4000_0000;

/// Start level 2: Granule 0 is the table, Granule 1 the one below it.
fn tables() -> (Machine, Stage2Regs) {
    let big = Bank {
        base: BIG,
        size: 0x40_0000,
    };
    let memory = FakeMemory::new(&[big, BANKS[0]]);
    let m = Machine {
        table: memory.granule_table(),
        memory,
    };
    drop((
        m.delegated(0).transition::<Rtt>(),
        m.delegated(1).transition::<Rtt>(),
    ));
    let base = Pa(page(0));
    (
        m,
        Stage2Regs {
            vmid: 3,
            base,
            start_level: 2,
            ipa_width: 30,
            lpa2: false,
        },
    )
}

fn write(m: &Machine, table: u64, index: u64, desc: u64) {
    m.memory
        .poke(Pa(page(table) + index * 8), &desc.to_le_bytes());
}

/// A page at IPA 0x20_1000 in Granule 2.
fn with_page() -> (Machine, Stage2Regs) {
    let (m, regs) = tables();
    drop(m.delegated(2).transition::<crate::Data>());
    write(&m, 0, 1, page(1) | TABLE);
    write(&m, 1, 1, page(2) | VALID_PAGE);
    let found = m.memory.translate_cached(&regs, 0x20_1008).unwrap();
    assert_eq!(
        (found.pa, found.ns, found.level),
        (Pa(page(2) + 8), false, 3)
    );
    (m, regs)
}

#[test]
fn translations_last_until_they_are_invalidated() {
    let (m, regs) = with_page();
    write(&m, 1, 1, 0);
    assert!(m.memory.translate_cached(&regs, 0x20_1000).is_ok());
    m.cpu().invalidate_stage2(4, Ipa(0x20_1000), 0x1000, 3);
    m.cpu().invalidate_stage2(3, Ipa(0x20_2000), 0x1000, 3);
    assert!(
        m.memory.translate_cached(&regs, 0x20_1000).is_ok(),
        "another VMID, another page"
    );
    m.cpu().invalidate_stage2(3, Ipa(0x20_1000), 0x1000, 3);
    let gone = Fault {
        level: 3,
        kind: FaultKind::Translation,
    };
    assert_eq!(m.memory.translate_cached(&regs, 0x20_1000), Err(gone));
    assert_eq!(m.memory.invalidations().len(), 3);
    let wide = Fault {
        level: 0,
        kind: FaultKind::AddressSize,
    };
    assert_eq!(m.memory.translate_cached(&regs, 1 << 30), Err(wide));
}

#[test]
#[should_panic(expected = "stale translation of 0x201000")]
fn wiping_memory_in_use_is_found() {
    let (m, _) = with_page();
    write(&m, 1, 1, 0);
    let data = m.table.lock::<crate::Data>(page(2)).unwrap();
    drop(wipe(data, &m.cpu()));
}

#[test]
#[should_panic(expected = "stale translation of 0x201000")]
fn undelegating_memory_in_use_is_found() {
    let (m, _) = with_page();
    write(&m, 1, 1, 0);
    let _ = m.memory.undelegate(Pa(page(2)));
}

#[test]
#[should_panic(expected = "stale level 2 table entry")]
fn wiping_a_table_in_use_is_found() {
    let (m, _) = with_page();
    write(&m, 0, 1, 0);
    // Only the page is invalidated.
    write(&m, 1, 1, 0);
    let table = m.table.lock::<Rtt>(page(1)).unwrap();
    drop(wipe(table, &m.cpu()));
}

#[test]
#[should_panic(expected = "stale")]
fn invalidating_before_the_break_is_found() {
    let (m, _) = with_page();
    m.cpu().invalidate_stage2(3, Ipa(0x20_1000), 0x1000, 3);
    write(&m, 1, 1, 0);
    let data = m.table.lock::<crate::Data>(page(2)).unwrap();
    drop(wipe(data, &m.cpu()));
}

#[test]
#[should_panic(expected = "TLB conflict")]
fn making_before_breaking_is_found() {
    let (m, regs) = tables();
    for pa in (BIG..BIG + 0x20_0000).step_by(4096) {
        m.memory.delegate(Pa(pa)).unwrap();
    }
    write(&m, 0, 1, BIG | BLOCK);
    assert_eq!(
        m.memory.translate_cached(&regs, 0x20_1000).unwrap().pa,
        Pa(BIG + 0x1000)
    );
    write(&m, 1, 2, (BIG + 0x2000) | VALID_PAGE);
    write(&m, 0, 1, page(1) | TABLE);
    let _ = m.memory.translate_cached(&regs, 0x20_2000);
}

#[test]
#[should_panic(expected = "reaches")]
fn a_mapping_of_foreign_memory_is_found() {
    let (m, regs) = tables();
    write(&m, 0, 1, BIG | BLOCK);
    let _ = m.memory.translate_cached(&regs, 0x20_1000);
}

#[test]
fn the_hosts_memory_may_go_at_any_time() {
    let (m, regs) = tables();
    write(&m, 0, 1, BIG | BLOCK | 1 << 55);
    assert!(m.memory.translate_cached(&regs, 0x20_1000).unwrap().ns);
    m.memory.delegate(Pa(BIG + 0x1000)).unwrap();
    let fault = Fault {
        level: 2,
        kind: FaultKind::GranuleProtection,
    };
    assert_eq!(m.memory.translate_cached(&regs, 0x20_1000), Err(fault));
    m.memory.undelegate(Pa(BIG + 0x1000)).unwrap();
}

#[test]
#[should_panic(expected = "granule protection fault on a table walk")]
fn a_table_outside_realm_pas_is_found() {
    let (m, regs) = tables();
    m.memory.undelegate(Pa(page(0))).unwrap();
    let _ = m.memory.translate_cached(&regs, 0);
}
