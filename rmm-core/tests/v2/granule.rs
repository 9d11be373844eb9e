// SPDX-License-Identifier: BSD-3-Clause
//! RMI_GRANULE_RANGE_DELEGATE, RMI_GRANULE_RANGE_UNDELEGATE, RMI_GRANULE_TRACKING_GET, RMI_GPT_INFO,
//! RMI_GPT_L1_CREATE.

use rmm_abi::el3;
use rmm_core::fake::v2::Host2;
use rmm_core::fake::{Config, GIB, PAGE, Status};
use rmm_granule::GranuleState::{Delegated, Rd, Undelegated};
use rmm_granule::fake::Pas;
use rmm_granule::{Bank, Pa};

const HOLE: u64 = 0x8800_0000;

// Conformance: 2.0 RMI_GRANULE_RANGE_DELEGATE gran_state
// Conformance: 2.0 RMI_GRANULE_RANGE_UNDELEGATE gran_state, content
#[test]
fn delegate_and_undelegate() {
    let host = Host2::new();
    let base = host.pages(5, PAGE);
    host.write(base, &[0x5A; 5 * 4096]);
    let top = base + 4 * PAGE;
    assert_eq!(
        host.granule_range_delegate(base, top),
        (Status::Success, top)
    );
    for n in 0..4 {
        let pa = base + n * PAGE;
        assert_eq!(host.state(pa), Delegated);
        assert_eq!(host.board().memory.pas(Pa(pa)), Some(Pas::Realm));
        assert!(host.board().memory.peek(Pa(pa)) == [0; 4096], "wiped");
    }
    assert_eq!(host.state(top), Undelegated);
    assert_eq!(
        host.granule_range_undelegate(base, top),
        (Status::Success, top)
    );
    for n in 0..4 {
        assert_eq!(host.state(base + n * PAGE), Undelegated);
    }
    assert!((0..4).all(|n| host.read(base + n * PAGE, 4096) == [0; 4096]));
    assert_eq!(host.read(top, 4096), [0x5A; 4096]);
}

// Conformance: 2.0 RMI_GRANULE_RANGE_DELEGATE base_align, top_align, top_bound, tracking
// Conformance: 2.0 RMI_GRANULE_RANGE_UNDELEGATE base_align, top_align, top_bound, tracking
#[test]
fn ranges() {
    let host = Host2::new();
    let page = host.page();
    for (base, top) in [
        (page + 8, page + PAGE),
        (page, page + PAGE + 8),
        (page, page),
        (page + PAGE, page),
        (page, 0),
        (u64::MAX - 0xFFF, 0),
        (u64::MAX - 0x1FFF, u64::MAX - 0xFFF),
        (0, PAGE),
        (0x8000_0000, 0x8000_1000),
    ] {
        assert_eq!(
            host.granule_range_delegate(base, top),
            (Status::Input, 0),
            "{base:#x}"
        );
        assert_eq!(
            host.granule_range_undelegate(base, top),
            (Status::Input, 0),
            "{base:#x}"
        );
    }
}

// Conformance: 2.0 RMI_GRANULE_RANGE_DELEGATE populated
#[test]
fn memory_that_is_none() {
    let host = Host2::new();
    assert_eq!(
        host.granule_range_delegate(HOLE, HOLE + PAGE),
        (Status::Input, 0)
    );
    assert!(!host.board().el3.is_realm_hole(HOLE));
}

// Conformance: 2.0 RMI_GRANULE_RANGE_DELEGATE state, gpt, later
#[test]
fn the_first_granule_alone_fails_a_call() {
    let host = Host2::new();
    let base = host.pages(4, PAGE);
    let at = |n: u64| base + n * PAGE;
    assert_eq!(host.granule_range_delegate(at(2), at(3)).0, Status::Success);
    assert_eq!(
        host.granule_range_delegate(at(0), at(4)),
        (Status::Success, at(2))
    );
    assert_eq!(
        host.granule_range_delegate(at(2), at(4)),
        (Status::Input, 0)
    );
    assert_eq!(
        host.granule_range_delegate(at(3), at(4)),
        (Status::Success, at(4))
    );
    host.undelegate_range(at(0), at(4));

    for pas in [Pas::Secure, Pas::Root, Pas::Realm] {
        host.move_to(at(1), pas);
        assert_eq!(host.granule_range_delegate(at(1), at(4)).0, Status::Input);
        assert_eq!(
            host.granule_range_delegate(at(0), at(4)),
            (Status::Success, at(1))
        );
        host.undelegate_range(at(0), at(1));
        host.move_to(at(1), Pas::NonSecure);
    }
    host.board().el3.set_hook(|_, _| Some(el3::error::BAD_PAS));
    assert_eq!(host.granule_range_delegate(at(0), at(4)).0, Status::Input);
}

// Conformance: 2.0 RMI_GRANULE_RANGE_UNDELEGATE undelegated
#[test]
fn undelegate_passes_over_what_is_undelegated() {
    let host = Host2::new();
    let base = host.pages(4, PAGE);
    let at = |n: u64| base + n * PAGE;
    assert_eq!(
        host.granule_range_undelegate(at(0), at(4)),
        (Status::Success, at(4))
    );
    host.delegate_range(at(1), at(2));
    host.delegate_range(at(3), at(4));
    assert_eq!(
        host.granule_range_undelegate(at(0), at(4)),
        (Status::Success, at(4))
    );
    assert_eq!(host.state(at(1)), Undelegated);
}

// Conformance: 2.0 RMI_GRANULE_RANGE_DELEGATE state
// Conformance: 2.0 RMI_GRANULE_RANGE_UNDELEGATE state, later
#[test]
fn granules_in_use_are_not_undelegated() {
    let host = Host2::new();
    let realm = host.realm().create();
    let reply = host.granule_range_undelegate(realm.rd, realm.rd + PAGE);
    assert_eq!(reply, (Status::Input, 0));
    assert_eq!(host.state(realm.rd), Rd);
    let reply = host.granule_range_delegate(realm.rd, realm.rd + PAGE);
    assert_eq!(reply, (Status::Input, 0));
    let base = realm.granules(3, PAGE);
    let status = host.rtt_create(realm.rd, base + PAGE, 0, 1);
    assert_eq!(status, Status::Success);
    let reply = host.granule_range_undelegate(base, base + 3 * PAGE);
    assert_eq!(reply, (Status::Success, base + PAGE), "up to the RTT");
    assert_eq!(host.state(base + 2 * PAGE), Delegated);
}

// Conformance: 2.0 RMI_GRANULE_RANGE_DELEGATE interrupt
// Conformance: 2.0 RMI_GRANULE_RANGE_UNDELEGATE interrupt
#[test]
fn a_call_ends_when_the_host_has_an_interrupt() {
    let host = Host2::new();
    let base = host.pages(4, PAGE);
    host.set_irq(true);
    let reply = host.granule_range_delegate(base, base + 4 * PAGE);
    assert_eq!(
        reply,
        (Status::Success, base + PAGE),
        "progress all the same"
    );
    let reply = host.granule_range_undelegate(base, base + 4 * PAGE);
    assert_eq!(
        reply,
        (Status::Success, base + PAGE),
        "progress all the same"
    );
    host.set_irq(false);
}

// Conformance: 2.0 RMI_GRANULE_RANGE_DELEGATE bounded
// Conformance: 2.0 RMI_GRANULE_RANGE_UNDELEGATE bounded
#[test]
fn a_call_has_an_end() {
    let host = Host2::new();
    host.leniently(|| {
        let base = host.pages(520, PAGE);
        let (first, top) = (base + 512 * PAGE, base + 520 * PAGE);
        assert_eq!(
            host.granule_range_delegate(base, top),
            (Status::Success, first)
        );
        assert_eq!(
            host.granule_range_delegate(first, top),
            (Status::Success, top)
        );
        assert_eq!(
            host.granule_range_undelegate(base, top),
            (Status::Success, first)
        );
        assert_eq!(
            host.granule_range_undelegate(first, top),
            (Status::Success, top)
        );
    });
}

// Conformance: 2.0 RMI_RMM_DEACTIVATE gran_state
#[test]
fn deactivate_needs_all_granules_undelegated() {
    let host = Host2::new();
    let granule = host.granule();
    assert_eq!(host.rmm_deactivate(), Status::Global);
    assert_eq!(host.rmm_state_get().1, 2, "still active");
    host.undelegate_range(granule, granule + PAGE);
    assert_eq!(host.rmm_deactivate(), Status::Success);
}

const FINE: u64 = 2;
const RESERVED: u64 = 0;

// Conformance: 2.0 RMI_GRANULE_TRACKING_GET fine, reserved, out_top
#[test]
fn tracking_of_memory() {
    let host = Host2::before_activation(Config {
        dram: vec![
            Bank {
                base: 0x8000_0000,
                size: 32 << 20,
            },
            Bank {
                base: 0x9000_0000,
                size: 4 << 20,
            },
        ],
        ..Config::v2()
    });
    let uniform = |base: u64, top: u64| {
        let (status, category, state, end) = host.granule_tracking_get(base, top);
        assert_eq!((status, category), (Status::Success, 0));
        (state, end)
    };
    // The first MiB is reserved, and there is nothing between the banks.
    assert_eq!(uniform(0x8000_0000, 0x8200_0000), (RESERVED, 0x8010_0000));
    assert_eq!(uniform(0x8010_0000, 0x8200_0000), (FINE, 0x8200_0000));
    assert_eq!(uniform(0x8010_0000, 0x8010_1000), (FINE, 0x8010_1000));
    assert_eq!(uniform(0x8010_0000, 0x9000_0000), (FINE, 0x8200_0000));
    assert_eq!(uniform(0x8200_0000, 1 << 48), (RESERVED, HOLE));
    assert_eq!(uniform(0x8880_0000, 1 << 48), (RESERVED, 0x9000_0000));
    assert_eq!(uniform(0x8FFF_F000, 0x9000_1000), (RESERVED, 0x9000_0000));
    assert_eq!(uniform(0x9000_0000, 1 << 48), (FINE, 0x9040_0000));
    assert_eq!(uniform(0x9040_0000, 1 << 48), (RESERVED, 1 << 48));
    assert_eq!(uniform(0, 1 << 48), (RESERVED, 0x8000_0000));
    // A Host that goes on from each end comes to its end.
    let mut next = 0;
    while next < 1 << 48 {
        let (_, end) = uniform(next, 1 << 48);
        assert!(end > next);
        next = end;
    }
}

// Conformance: 2.0 RMI_GRANULE_TRACKING_GET bounded
#[test]
fn tracking_looks_at_a_part_of_a_large_range() {
    let host = Host2::with(Config {
        dram: vec![Bank {
            base: 0x8000_0000,
            size: 64 << 20,
        }],
        ..Config::v2()
    });
    let (base, top) = (0x8010_0000, 0x8400_0000);
    let end = base + rmm_granule::MAX_EXTENT as u64 * PAGE;
    assert!(end < top);
    assert_eq!(
        host.granule_tracking_get(base, top),
        (Status::Success, 0, FINE, end)
    );
    assert_eq!(
        host.granule_tracking_get(end, top),
        (Status::Success, 0, FINE, top)
    );
}

// Conformance: 2.0 RMI_GRANULE_TRACKING_GET base_align, top_align, size_valid, bound
#[test]
fn tracking_inputs() {
    let host = Host2::new();
    let page = host.page();
    for (base, top) in [
        (page + 1, page + PAGE),
        (page, page + PAGE - 8),
        (page, page),
        (page, page - PAGE),
        (page, (1 << 48) + PAGE),
        (1 << 48, (1 << 48) + PAGE),
        (u64::MAX - 0xFFF, 0),
    ] {
        let reply = host.granule_tracking_get(base, top);
        assert_eq!(reply, (Status::Input, 0, 0, 0), "{base:#x}");
    }
}

// Conformance: 2.0 RMI_GPT_INFO base_align, top_align, size_valid, base_bound, platform
// Conformance: 2.0 RMI_GPT_L1_CREATE addr_align, addr_bound, l0gpt_state
#[test]
fn gpt() {
    let host = Host2::new();
    assert_eq!(
        host.gpt_info(2 * GIB, 5 * GIB),
        (Status::Success, 5 * GIB, 1)
    );
    for (base, top) in [
        (PAGE, GIB),
        (0, GIB + PAGE),
        (GIB, GIB),
        (2 * GIB, GIB),
        (1 << 48, 1 << 49),
    ] {
        assert_eq!(host.gpt_info(base, top), (Status::Input, 0, 0), "{base:#x}");
    }
    assert_eq!(host.gpt_l1_create(2 * GIB), Status::Gpt);
    for addr in [PAGE, 1 << 48, u64::MAX - (GIB - 1)] {
        assert_eq!(host.gpt_l1_create(addr), Status::Input, "{addr:#x}");
    }
}
