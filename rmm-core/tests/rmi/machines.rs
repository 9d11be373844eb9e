// SPDX-License-Identifier: BSD-3-Clause
//! Machines whose memory is planned as boot plans it, from a manifest: each end of what a Host may
//! delegate serves a Realm, and the page beyond is refused.

use rmm_abi::el3::{BootManifest, List, MemoryBank, checksum_of, size_for};
use rmm_abi::rmi::RecExitReason;
use rmm_core::board::Board;
use rmm_core::boot::{ColdBoot, Extent, Manifest, Plan};
use rmm_core::fake::{Config, GIB, Host, MIB, PAGE, Status, assert_reason};
use rmm_granule::{Bank, GRANULE_SIZE, Pa};
use zerocopy::{FromBytes, IntoBytes};

/// Memory of the monitor: 24 MiB, with the page shared with EL3 behind it.
const REGION: (u64, u64) = (0x4010_0000, 0x017F_F000);
const SHARED: u64 = REGION.0 + REGION.1;

const BOARD: Board = Board {
    name: "fake",
    region: REGION,
    payloads: &[],
    reserved: &[(0x9000_0000, 0x1000)],
};

/// A manifest 0.2 that lists these DRAM banks (base, size in bytes).
fn manifest(banks: &[(u64, u64)]) -> Manifest {
    let mut page = [0; GRANULE_SIZE];
    let banks: Vec<_> = banks
        .iter()
        .map(|&(base, size)| MemoryBank { base, size })
        .collect();
    let (num, pointer) = (banks.len() as u64, SHARED + size_for(2) as u64);
    let words = banks.iter().flat_map(|bank| [bank.base, bank.size]);
    let (header, rest) = BootManifest::mut_from_prefix(&mut page).unwrap();
    header.version = 2;
    header.plat_dram = List {
        num,
        pointer,
        checksum: checksum_of(words.chain([num, pointer])),
    };
    assert_eq!(size_for(5), GRANULE_SIZE - rest.len());
    page[size_for(2)..][..banks.as_bytes().len()].copy_from_slice(banks.as_bytes());
    Manifest::parse(&page, Pa(SHARED), 48).unwrap()
}

/// A machine with these DRAM banks, and what its Host must not delegate although it is in one of them.
/// EL3 reserves memory at `reserve`.
fn machine(banks: &[(u64, u64)], reserve: Option<u64>) -> (Host, Vec<Bank>, Vec<u64>) {
    let boot = ColdBoot::new([0, 8, 4, SHARED, 0]).unwrap();
    let image = Extent {
        base: Pa(REGION.0),
        size: MIB,
    };
    let plan = Plan::new(&BOARD, &boot, &manifest(banks), image, 17 * PAGE).unwrap();
    let layout = plan.layout(|_| reserve.map(Pa)).unwrap();
    let memory = plan.memory(&layout);
    let mut dram = plan.banks().as_slice().to_vec();
    let pieces = dram.clone();
    // The Host allocates from the first one.
    dram.sort_by_key(|bank| std::cmp::Reverse(bank.size));
    let host = Host::with(Config {
        dram,
        holes: Vec::new(),
        reserved: memory
            .map(|Extent { base, size }| Bank { base: base.0, size })
            .to_vec(),
        interface: boot.el3.version(),
        ..Config::default()
    });
    let parts = memory
        .iter()
        .flat_map(|part| [part.base.0, part.end() - PAGE]);
    let withheld = parts.chain([REGION.0, SHARED - PAGE, SHARED, 0, 0x9000_0000, 1 << 48]);
    (host, pieces, withheld.collect())
}

/// The page at `pa` serves as RD.
fn is_fit_for_rd(host: &Host, pa: u64) {
    host.delegate(pa);
    let params = host.realm().prepared();
    let params_ptr = host.page_with(params.as_bytes());
    assert_eq!(
        host.realm_create(pa, params_ptr),
        Status::Success,
        "{pa:#x}"
    );
    assert_eq!(host.realm_destroy(pa), Status::Success);
    host.undelegate(params.rtt_base);
    host.undelegate(pa);
}

/// A Realm uses the page at `pa`.
fn is_fit_for_data(host: &Host, pa: u64) {
    host.delegate(pa);
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    let src = host.page_with(&[7; GRANULE_SIZE]);
    let status = host.data_create(realm.rd, pa, 0, src, 0);
    assert_eq!(status, Status::Success, "{pa:#x}");
    realm.activate();
    realm.script(0, |cpu| async move {
        assert_eq!(cpu.read(PAGE - 8).await, Ok(0x0707_0707_0707_0707));
        cpu.write(0, 1).await.expect("RAM");
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    realm.destroy();
    host.undelegate(pa);
}

/// Tries the ends of each bank that boot leaves to the Host, which are `expected` (base, size in bytes).
fn check(banks: &[(u64, u64)], reserve: Option<u64>, expected: &[(u64, u64)]) {
    let (host, pieces, withheld) = machine(banks, reserve);
    let pieces: Vec<_> = pieces.iter().map(|bank| (bank.base, bank.size)).collect();
    assert_eq!(pieces, expected);
    host.leniently(|| {
        // The Host's own pages come after the first page of the largest bank, which is tried below.
        let _first = (!pieces.is_empty()).then(|| host.page());
        let is_listed = |pa: u64| {
            pieces
                .iter()
                .any(|&(base, size)| pa.wrapping_sub(base) < size)
        };
        let mut refused = withheld;
        for &(base, size) in &pieces {
            for pa in [base, base + size - PAGE] {
                // EL3's reservation may begin or end where a bank does.
                if !refused.contains(&pa) {
                    is_fit_for_rd(&host, pa);
                    is_fit_for_data(&host, pa);
                }
            }
            let beyond = [base.wrapping_sub(PAGE), base + size];
            refused.extend(beyond.into_iter().filter(|&pa| !is_listed(pa)));
        }
        for pa in refused {
            assert_eq!(host.granule_delegate(pa), Status::Input, "{pa:#x}");
        }
    });
}

#[test]
fn one_gib() {
    let behind = (0x4190_0000, 0x3E70_0000);
    check(&[(0x4000_0000, GIB)], None, &[(0x4000_0000, MIB), behind]);
}

#[test]
fn three_gib() {
    let left = [
        (0x4000_0000, MIB),
        (0x4190_0000, 0x4E70_0000),
        (0x9000_1000, 0x6FFF_F000),
    ];
    check(&[(0x4000_0000, 3 * GIB)], None, &left);
}

#[test]
fn many_banks() {
    // Pages alone, page 0, banks that touch the monitor's region on both sides, and that touch another.
    let banks = [
        (0, 0x3000),
        (0x5000, 0x1000),
        (0x400F_F000, 0x1000),
        (0x4010_0000, 0x0180_1000),
        (0x4200_0000, 0x0200_0000),
        (0x4400_0000, 0x0200_0000),
        (0x8FFF_F000, 0x3000),
        (0x100_0000_0000, 0x1000),
        ((1 << 48) - 0x2000, 0x2000),
    ];
    let left = [
        (0x1000, 0x2000),
        (0x5000, 0x1000),
        (0x400F_F000, 0x1000),
        (0x4190_0000, 0x1000),
        (0x4200_0000, 0x0200_0000),
        (0x4400_0000, 0x0200_0000),
        (0x8FFF_F000, 0x1000),
        (0x9000_1000, 0x1000),
        (0x100_0000_0000, 0x1000),
        ((1 << 48) - 0x2000, 0x2000),
    ];
    check(&banks, None, &left);
}

/// EL3 reserves memory for the monitor at the start of a bank of the manifest.
#[test]
fn reserved_in_dram() {
    let banks = [(0x4200_0000, 64 * MIB), (0x8000_0000, 64 * MIB)];
    check(&banks, Some(0x8000_0000), &banks);
}

/// The monitor boots, and answers, without DRAM for a Host.
#[test]
fn no_memory_is_left() {
    let banks = [(0, PAGE), REGION, (SHARED, PAGE), (0x9000_0000, PAGE)];
    check(&banks, None, &[]);
    let (host, ..) = machine(&banks, None);
    assert_eq!(host.version(0x1_0000).0, Status::Success);
}
