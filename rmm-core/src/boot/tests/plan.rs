// SPDX-License-Identifier: BSD-3-Clause
//! Plans and layouts for the boards, with an EL3 that reserves memory and with one that does not.

use super::boards::*;
use super::*;
use rmm_granule::fake::keep;

/// Bytes of a CPU's block.
const BLOCK: u64 = 17 * 4096;
/// Bytes of the image with its zeroed memory.
const IMAGE: u64 = 0x7_1000;

/// EL3 and the machine of a boot.
struct Machine {
    board: &'static Board,
    /// Version of the interface.
    version: u64,
    cpus: u64,
    /// Where EL3 loaded the image.
    image: u64,
    shared_buffer: u64,
}

impl Machine {
    fn plan(&self, manifest: &Manifest) -> Result<Plan, BootError> {
        let boot = ColdBoot::new([0, self.version, self.cpus, self.shared_buffer, 0])?;
        let image = Extent {
            base: Pa(self.image),
            size: IMAGE,
        };
        Plan::new(self.board, &boot, manifest, image, BLOCK)
    }

    /// The layout if EL3 answers RMM_RESERVE_MEMORY with `base`, or has no memory.
    fn layout(&self, manifest: &Manifest, base: Option<u64>) -> Result<Layout, BootError> {
        self.plan(manifest)?.layout(|_| base.map(Pa))
    }
}

fn dram(banks: &[(u64, u64)]) -> Manifest {
    Maker::new(2).dram(banks).parse().unwrap()
}

fn at(cpus: u64, table: u64) -> Result<Layout, BootError> {
    let (cpus, table) = (Pa(cpus), Pa(table));
    Ok(Layout { table, cpus })
}

const ON_VIRT: Machine = Machine {
    board: &VIRT,
    version: 4,
    cpus: 32,
    image: 0x4010_0000,
    shared_buffer: PA,
};

const ON_FVP: Machine = Machine {
    board: &FVP,
    version: 8,
    cpus: 8,
    image: 0xFDC0_0000,
    shared_buffer: 0xFFBF_F000,
};

/// As Trusted Firmware-A announces it, however many CPUs there are.
const ON_SBSA: Machine = Machine {
    board: &SBSA,
    version: 0x2_0000,
    cpus: 512,
    image: 0x100_0000_0000,
    shared_buffer: 0x100_42FF_F000,
};

/// The plan for `virt` with a number of CPUs, and its layout.
pub fn on_virt(manifest: &Manifest, cpus: u8) -> Result<(Plan, Layout), BootError> {
    let cpus = cpus.into();
    let plan = Machine { cpus, ..ON_VIRT }.plan(manifest)?;
    Ok((plan, plan.layout(|_| None)?))
}

#[test]
fn virt() {
    let manifest = qemu(3).parse().unwrap();
    let plan = ON_VIRT.plan(&manifest).unwrap();
    // All but the region and the shared page behind it.
    let left = [(0x4000_0000, 0x10_0000), (0x4190_0000, 0xBE70_0000)];
    assert_eq!(plan.banks().as_slice(), banks(&left));
    assert_eq!(plan.words, (0xC000_0000 - 0x180_0000) / 4096);
    assert_eq!(plan.table_size, 0x20_0000);
    assert_eq!(plan.cpus_size, 32 * BLOCK);
    let asked = |_| panic!("this version has no RMM_RESERVE_MEMORY");
    assert_eq!(plan.layout(asked), at(0x4017_1000, 0x4040_0000));
    // A later EL3 has the call, and no memory for it.
    for version in [7, 8, 0x2_0000] {
        let machine = Machine { version, ..ON_VIRT };
        let layout = machine.layout(&manifest, None);
        assert_eq!(layout, at(0x4017_1000, 0x4040_0000));
    }
}

#[test]
fn fvp_before_reservations() {
    let manifest = fvp().parse().unwrap();
    let old = Machine {
        version: 6,
        ..ON_FVP
    };
    assert_eq!(old.layout(&manifest, None), at(0xFDC7_1000, 0xFDE0_0000));
    // A manifest that lists memory which is not the Host's.
    let greedy = dram(&[(0x8000_0000, 0x8000_0000)]);
    let left = [(0x8000_0000, 0x7C00_0000)];
    let plan = old.plan(&greedy).unwrap();
    assert_eq!(plan.banks().as_slice(), banks(&left));
}

#[test]
fn fvp_with_reservations() {
    let manifest = fvp().parse().unwrap();
    let plan = ON_FVP.plan(&manifest).unwrap();
    assert_eq!(plan.banks().as_slice(), banks(&FVP_DRAM));
    let mut request = None;
    let layout = plan.layout(|reservation| {
        request = Some(reservation);
        Some(Pa(0xFF80_0000))
    });
    assert_eq!(layout, at(0xFFA0_0000, 0xFF80_0000));
    let (size, alignment) = (0x20_0000 + 8 * BLOCK, 21);
    assert_eq!(request, Some(Reservation { size, alignment }));
    let reserved = |base| ON_FVP.layout(&manifest, Some(base));
    assert_eq!(reserved(0xFF80_1000), Err(UNFIT), "not aligned");
    assert_eq!(reserved(0xFDC0_0000), Err(UNFIT), "the image");
    assert_eq!(reserved(0xFDA0_0000), Err(UNFIT), "ends in the image");
    assert_eq!(reserved(0xFFA0_0000), Err(UNFIT), "the shared buffer");
    assert_eq!(reserved(0xFFFF_FFE0_0000), Err(UNFIT), "beyond reach");
    assert_eq!(reserved(u64::MAX - 0x1F_FFFF), Err(UNFIT), "no such end");
}

/// Each of the two images of `LFA_SUPPORT=1` has 3 MiB, and the other image's are never used: table and
/// CPU blocks, which want a boundary of 2 MiB, fit just so behind the second image.
#[test]
fn fvp_with_two_images() {
    let manifest = fvp().parse().unwrap();
    for (image, own) in [
        (0xFDC0_0000, Err(TOO_SMALL)),
        (0xFDF0_0000, at(0xFDF7_1000, 0xFE00_0000)),
    ] {
        let machine = Machine { image, ..ON_FVP };
        let reserved = machine.layout(&manifest, Some(0xFF80_0000));
        assert_eq!(reserved, at(0xFFA0_0000, 0xFF80_0000));
        assert_eq!(machine.layout(&manifest, None), own);
        let more = dram(&[FVP_DRAM[0], (0x8_8000_0000, 4 << 30)]);
        assert_eq!(machine.layout(&more, None), Err(TOO_SMALL));
        // The whole region stays out of the Host's hands, on both sides of the image.
        let board = keep(Box::new(Board {
            reserved: &[],
            ..FVP
        }));
        let all = dram(&[(0xFD80_0000, 0x0280_0000)]);
        let plan = Machine { board, ..machine }.plan(&all).unwrap();
        let left = [(0xFD80_0000, 0x40_0000), (0xFFC0_0000, 0x40_0000)];
        assert_eq!(plan.banks().as_slice(), banks(&left));
    }
}

/// The last layout that fits into a payload ends where the payload ends.
#[test]
fn a_payload_is_filled_to_its_end() {
    const BASE: u64 = 0xFDC0_0000;
    // Behind the image one CPU's block; then, at the next 2 MiB, a table of 2 MiB.
    for (size, fits) in [(0x40_0000, true), (0x3F_F000, false)] {
        let payloads: &[(u64, u64)] = keep(Box::new([(BASE, size)]));
        let board = keep(Box::new(Board { payloads, ..FVP }));
        let machine = Machine {
            board,
            cpus: 1,
            ..ON_FVP
        };
        let layout = machine.layout(&fvp().parse().unwrap(), None);
        if fits {
            assert_eq!(layout, at(BASE + IMAGE, BASE + 0x20_0000));
        } else {
            assert_eq!(layout, Err(TOO_SMALL));
        }
    }
}

#[test]
fn sbsa() {
    let manifest = dram(&[(0x100_0000_0000, 2 << 30)]);
    let plan = ON_SBSA.plan(&manifest).unwrap();
    let left = [(0x100_4300_0000, (2 << 30) - 0x4300_0000)];
    assert_eq!(plan.banks().as_slice(), banks(&left));
    assert_eq!(plan.cpus_size, 512 * BLOCK);
    // From the top of the region down, as EL3 does.
    let size = 0x20_0000 + 512 * BLOCK;
    let base = (0x100_42FF_F000 - size) & !0x1F_FFFF;
    let reserved = ON_SBSA.layout(&manifest, Some(base));
    assert_eq!(reserved, at(base + 0x20_0000, base));
    // 2.15 has the call but no memory for it, and 2.13 does not have the call: 34 MiB of CPU
    // blocks, then the table.
    let refused = at(0x100_0007_1000, 0x100_0240_0000);
    assert_eq!(ON_SBSA.layout(&manifest, None), refused);
    let old = Machine {
        version: 6,
        ..ON_SBSA
    };
    assert_eq!(old.layout(&manifest, None), refused);
    // The largest memory that the board can have needs 512 MiB of table.
    let most = dram(&[(0x100_0000_0000, 1 << 40)]);
    let plan = ON_SBSA.plan(&most).unwrap();
    assert_eq!(plan.table_size, 512 << 20);
    assert_eq!(ON_SBSA.layout(&most, None), refused);
}

#[test]
fn an_image_outside_its_region_is_refused() {
    let manifest = qemu(5).parse().unwrap();
    let ends_with_region = 0x418F_F000 - IMAGE;
    for (image, refused) in [
        (0x4010_0000, false),
        (0x400F_F000, true),
        (ends_with_region, false),
        (ends_with_region + 0x1000, true),
        (0x4190_0000, true),
        (u64::MAX - 0xFFF, true),
    ] {
        let machine = Machine { image, ..ON_VIRT };
        let plan = machine.plan(&manifest);
        assert_eq!(plan.err() == Some(ELSEWHERE), refused, "{image:#x}");
    }
    let manifest = fvp().parse().unwrap();
    for (image, refused) in [
        (0xFDF0_0000 - IMAGE, false),
        (0xFDF0_0000 - IMAGE + 0x1000, true),
        (0xFE20_0000 - IMAGE, false),
        (0xFE20_0000, true),
    ] {
        let machine = Machine { image, ..ON_FVP };
        let plan = machine.plan(&manifest);
        assert_eq!(plan.err() == Some(ELSEWHERE), refused, "{image:#x}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let plan = |banks: &[(u64, u64)], cpus| on_virt(&dram(banks), cpus).map(|(_, layout)| layout);
    // 20 MiB remain for the table: 40 GiB.
    assert!(plan(&[(0, 40 << 30)], 32).is_ok());
    assert_eq!(plan(&[(0, 41 << 30)], 32), Err(TOO_SMALL));
    assert_eq!(plan(&[(0, 1 << 48)], 1), Err(TOO_SMALL));
    // So are more CPUs.
    let large = (0x4000_0000, 36 << 30);
    assert!(plan(&[large], 40).is_ok());
    assert_eq!(plan(&[large], 255), Err(TOO_SMALL));
    // Memory that the monitor cannot map is not delegable.
    let high = Maker::new(2).dram(&[QEMU_DRAM, ((1 << 48) - 0x2000, 0x5000)]);
    let high = Manifest::parse(&high.page, Pa(PA), 52).unwrap();
    let (high, _) = on_virt(&high, 1).unwrap();
    let last = high.banks().as_slice().last().copied();
    let (base, size) = ((1 << 48) - 0x2000, 0x2000);
    assert_eq!(last, Some(Bank { base, size }));
    let many: Vec<_> = (0..rmm_granule::MAX_BANKS as u64)
        .map(|index| (0x4010_0000 - 0x1000 + index * 0x1_0000_0000, 0x4000_0000))
        .collect();
    assert_eq!(
        plan(&many, 1),
        Err(BootError::Other("too many pieces of DRAM"))
    );
}

/// Inside the region the monitor's memory ends at the shared buffer.
#[test]
fn the_shared_buffer_is_left_alone() {
    let manifest = qemu(5).parse().unwrap();
    for (shared_buffer, expected) in [
        (0x4060_0000, at(0x4017_1000, 0x4040_0000)),
        (0x405F_F000, Err(TOO_SMALL)),
        (0x4010_0000 - 0x1000, at(0x4017_1000, 0x4040_0000)),
    ] {
        let machine = Machine {
            shared_buffer,
            ..ON_VIRT
        };
        assert_eq!(machine.layout(&manifest, None), expected);
    }
}
