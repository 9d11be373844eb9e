// SPDX-License-Identifier: BSD-3-Clause
//! Manifests like those of the boards' firmware, and broken manifests.

mod boards;
mod case;
mod machines;
mod maker;
mod plan;

use super::*;
use crate::board::Board;
use maker::{Maker, PA, words};
use rmm_abi::el3::{
    BdfMapping, Console, List, MemoryBank, RootComplex, RootComplexList, RootPort, Smmu, Version,
    checksum_of, size_for,
};
use rmm_granule::{Bank, Pa};
use zerocopy::{FromBytes, FromZeros};

const PL011: Console = Console {
    base: 0x0900_0000,
    map_pages: 1,
    name: *b"pl011\0\0\0",
    clk_in_hz: 1,
    baud_rate: 115_200,
    flags: 0,
};

fn banks(list: &[(u64, u64)]) -> Vec<Bank> {
    list.iter()
        .map(|&(base, size)| Bank { base, size })
        .collect()
}

const QEMU_DRAM: (u64, u64) = (0x4000_0000, 0xC000_0000);

/// QEMU `virt` under Trusted Firmware-A 2.12 (0.3), with its flaw, or newer (0.5).
fn qemu(minor: u16) -> Maker {
    let mut maker = Maker::new(minor).dram(&[QEMU_DRAM]).consoles(&[PL011]);
    if minor == 3 {
        let name = u64::from_le_bytes(PL011.name);
        let list = &mut maker.header().plat_console;
        list.checksum = list.checksum.wrapping_add(name);
    }
    let pointer = PA + maker.free as u64;
    maker.header().plat_root_complex = RootComplexList {
        num: 0,
        rc_info_version: 1,
        _reserved: 0,
        pointer,
        checksum: pointer.wrapping_neg(),
    };
    maker
}

const FVP_DRAM: [(u64, u64); 2] = [(0x8000_0000, 0x7C00_0000), (0x8_8000_0000, 0x8000_0000)];

/// The FVP under Trusted Firmware-A 2.15.
fn fvp() -> Maker {
    let mut maker = Maker::new(5).dram(&FVP_DRAM).consoles(&[Console {
        base: 0x1C0C_0000,
        clk_in_hz: 14_745_600,
        ..PL011
    }]);
    let ncoh = [(0x5000_0000, 0x1000_0000), (0x40_0000_0000, 0xC000_0000)];
    let ncoh = ncoh.map(|(base, size)| MemoryBank { base, size });
    maker.header().plat_ncoh_region = List::new_zeroed();
    let list = maker.list(&ncoh);
    maker.header().plat_ncoh_region = list;
    let list = maker.list(&[Smmu {
        base: 0x2B40_0000,
        realm_base: 0x2B45_0000,
    }]);
    maker.header().plat_smmu = list;

    let mappings = [(0, 0x8000), (0x8000, 0xFFFF)].map(|(base, top)| BdfMapping {
        base,
        top,
        off: 0,
        smmu_idx: 0,
    });
    let complexes = PA + maker.free as u64;
    let ports = complexes + size_of::<RootComplex>() as u64;
    let bdfs = ports + 2 * size_of::<RootPort>() as u64;
    let complex = [RootComplex {
        ecam_base: 0x4000_0000,
        segment: 0,
        _reserved: [0; 3],
        num_root_ports: 2,
        root_ports: ports,
    }];
    let port = [(0x8, bdfs), (0x10, bdfs + 8)].map(|(id, at)| RootPort {
        root_port_id: id,
        _reserved: 0,
        num_bdf_mappings: 1,
        bdf_mappings: at,
    });
    maker.put(&complex);
    maker.put(&port);
    maker.put(&mappings);
    let sum = [1, complexes]
        .into_iter()
        .chain(words(&complex))
        .chain(words(&port))
        .chain(words(&mappings));
    maker.header().plat_root_complex = RootComplexList {
        num: 1,
        rc_info_version: 1,
        _reserved: 0,
        pointer: complexes,
        checksum: checksum_of(sum),
    };
    maker
}

#[test]
fn versions() {
    for (version, status) in [
        (0, -6),
        (1, -6),
        (2, 0),
        (3, 0),
        (4, 0),
        (5, 0),
        (6, 0),
        (0x1_0002, -6),
        (0x8000_0003, -6),
    ] {
        let mut maker = Maker::new(0).dram(&[QEMU_DRAM]);
        maker.header().version = version;
        let parsed = maker.parse();
        assert_eq!(parsed.map_or_else(BootError::status, |_| 0), status);
        if let Ok(manifest) = parsed {
            assert_eq!(manifest.version.encode(), u64::from(version));
            assert_eq!(manifest.banks().as_slice(), banks(&[QEMU_DRAM]));
            assert_eq!(manifest.console, None);
        }
    }
}

#[test]
fn fields_of_later_versions_are_not_read() {
    for minor in 2..=5 {
        let mut maker = qemu(minor);
        if minor == 2 {
            maker = Maker::new(2).dram(&[QEMU_DRAM]);
        }
        let known = size_for(minor);
        maker.page[known..size_for(5)].fill(0xA5);
        let manifest = maker.parse().unwrap();
        assert_eq!(manifest.console.is_some(), minor >= 3);
    }
}

#[test]
fn qemu_manifests() {
    for minor in 3..=5 {
        let manifest = qemu(minor).parse().unwrap();
        assert_eq!(manifest.version, Version::new(0, minor));
        assert_eq!(manifest.banks().as_slice(), banks(&[QEMU_DRAM]));
        assert_eq!(manifest.flawed_console_checksum, minor == 3);
        let console = manifest.console.unwrap();
        assert_eq!(console.base, Pa(0x0900_0000));
        assert_eq!((console.clock, console.baud), (1, 115_200));
    }
}

#[test]
fn fvp_manifest() {
    let manifest = fvp().parse().unwrap();
    assert_eq!(manifest.banks().as_slice(), banks(&FVP_DRAM));
    assert!(!manifest.flawed_console_checksum);
    assert_eq!(manifest.console.unwrap().base, Pa(0x1C0C_0000));
}

#[test]
fn banks_break_no_rule() {
    for (list, why) in [
        (&[][..], "no DRAM"),
        (&[(0x1000, 0)], "whole pages"),
        (&[(0x1008, 0x1000)], "whole pages"),
        (&[(0x1000, 0x1008)], "whole pages"),
        (&[(0x8000, 0x1000), (0x1000, 0x1000)], "ascend"),
        (&[(0x1000, 0x2000), (0x2000, 0x1000)], "overlap"),
        (&[(1 << 48, 0x1000)], "beyond"),
        (&[((1 << 48) - 0x1000, 0x2000)], "beyond"),
        (&[(u64::MAX - 0xFFF, 0x1000)], "beyond"),
    ] {
        let error = Maker::new(2).dram(list).parse().unwrap_err();
        assert_eq!(error.status(), -7);
        assert!(error.to_string().contains(why), "{error} {list:x?}");
    }
    let all = [((1 << 48) - 0x1000, 0x1000)];
    assert!(Maker::new(2).dram(&all).parse().is_ok());
    let touching = [(0x1000, 0x1000), (0x2000, 0x1000)];
    assert!(Maker::new(2).dram(&touching).parse().is_ok());
    let many: Vec<_> = (1..=rmm_granule::MAX_BANKS as u64 + 1)
        .map(|index| (index << 30, 0x1000))
        .collect();
    let most = &many[1..];
    assert!(Maker::new(2).dram(most).parse().is_ok());
    let error = Maker::new(2).dram(&many).parse().unwrap_err();
    assert_eq!(error, BootError::Manifest("too many DRAM banks"));
}

#[test]
fn consoles_break_no_rule() {
    let with = |consoles: &[Console]| {
        Maker::new(3)
            .dram(&[QEMU_DRAM])
            .consoles(consoles)
            .parse()
            .map(|manifest| manifest.console.map(|console| console.base.0))
    };
    let other = Console {
        name: *b"ns16550\0",
        base: 0x123,
        map_pages: 0,
        ..PL011
    };
    assert_eq!(with(&[]), Ok(None));
    assert_eq!(with(&[other]), Ok(None));
    assert_eq!(with(&[other, PL011]), Ok(Some(0x0900_0000)));
    let second = Console {
        base: 0x0A00_0000,
        ..PL011
    };
    assert_eq!(with(&[second, PL011]), Ok(Some(0x0A00_0000)));
    for broken in [
        Console { base: 0, ..PL011 },
        Console {
            base: 0x0900_0010,
            ..PL011
        },
        Console {
            base: 1 << 48,
            ..PL011
        },
        Console {
            map_pages: 0,
            ..PL011
        },
    ] {
        assert_eq!(with(&[broken]).unwrap_err().status(), -7);
    }
}

/// Offsets of the lists' headers, each with its checksum last.
const LISTS: [(usize, usize); 6] = [
    (0x10, 24),
    (0x28, 24),
    (0x40, 24),
    (0x58, 24),
    (0x70, 24),
    (0x88, 32),
];

#[test]
fn every_checksum_counts() {
    for (at, size) in LISTS {
        let mut maker = fvp();
        maker.page[at + size - 1] ^= 0x80;
        assert_eq!(maker.parse().unwrap_err().status(), -7, "{at:#x}");
    }
    // Every byte of every array counts, but for the console's name: that flaw is tolerated.
    let whole = fvp();
    for at in size_for(5)..whole.free {
        let mut maker = fvp();
        maker.page[at] ^= 0x10;
        let error = maker.parse().unwrap_err();
        assert_eq!(error.status(), -7, "{at:#x}");
    }
}

#[test]
fn arrays_stay_in_the_page() {
    for (list, _) in LISTS {
        let pointer = if list == 0x88 { list + 16 } else { list + 8 };
        for (num, address) in [
            (1, PA - 8),
            (1, PA + 4096 - 8),
            (1, PA + 4096),
            (1, u64::MAX - 7),
            (1, 0),
            (257, PA),
            (u64::MAX / 8, PA + 8),
            (u64::MAX, PA),
        ] {
            let mut maker = fvp();
            maker.page[list..][..8].copy_from_slice(&u64::to_le_bytes(num));
            maker.page[pointer..][..8].copy_from_slice(&u64::to_le_bytes(address));
            let error = maker.parse().unwrap_err();
            assert_eq!(error.status(), -7);
            assert!(error.to_string().contains("outside"), "{error}");
        }
    }
    // Root ports and BDF mappings as well.
    let ports = fvp();
    let complex = usize::try_from(
        RootComplexList::read_from_prefix(&ports.page[0x88..])
            .unwrap()
            .0
            .pointer
            - PA,
    )
    .unwrap();
    let port = complex + size_of::<RootComplex>();
    for at in [complex + 16, port + 8, complex + 12, port + 4] {
        let mut maker = fvp();
        maker.page[at + 2] ^= 0xFF;
        let error = maker.parse().unwrap_err();
        assert!(error.to_string().contains("outside"), "{error}");
    }
}

#[test]
fn root_complexes_of_a_later_layout_are_left_alone() {
    let mut maker = fvp();
    maker.header().plat_root_complex.rc_info_version = 2;
    maker.header().plat_root_complex.pointer = 0;
    assert!(maker.parse().is_ok());
}

#[test]
#[allow(clippy::cast_possible_truncation, reason = "random anyway")]
fn no_page_makes_it_panic() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    let mut accepted = 0;
    for round in 0..rounds {
        let mut maker = if round % 2 == 0 { fvp() } else { qemu(3) };
        // Few bytes, mostly where the structures are.
        for _ in 0..=random() % 3 {
            let at = (random() % maker.free as u64) as usize;
            maker.page[at] = random() as u8;
        }
        let pa = Pa(if random() % 8 == 0 {
            random() & !0xFFF
        } else {
            PA
        });
        let bits = [32, 48, 52, 255][(random() % 4) as usize];
        if let Ok(manifest) = Manifest::parse(&maker.page, pa, bits) {
            accepted += 1;
            let _ = plan::on_virt(&manifest, random() as u8);
        }
    }
    assert!(accepted > 0);
}

#[test]
fn errors_have_their_status() {
    for (error, status) in [
        (BootError::Other("x"), -1),
        (BootError::Version, -2),
        (BootError::Cpus, -3),
        (BootError::CpuId, -4),
        (BootError::SharedBuffer, -5),
        (BootError::ManifestVersion, -6),
        (BootError::Manifest("x"), -7),
    ] {
        assert_eq!(error.status(), status);
    }
}
