// SPDX-License-Identifier: BSD-3-Clause
//! Manifests with devices, right but for one bit.

use super::maker::{Maker, PA, words};
use arbitrary::Arbitrary;
use rmm_abi::el3::{
    BdfMapping, Console, List, MemoryBank, RootComplex, RootComplexList, RootPort, Smmu,
    checksum_of, size_for,
};
use rmm_core::boot::{BootError, Manifest};
use rmm_granule::{GRANULE_SIZE, Pa};
use zerocopy::FromZeros;

/// Most elements of a list.
const MOST: usize = 3;

/// What the manifest lists.
#[derive(Arbitrary, Debug)]
pub struct Devices {
    consoles: Vec<Uart>,
    regions: Vec<(u32, u32)>,
    smmus: Vec<(u32, u32)>,
    /// Root complexes, each with its ports, of which each has so many mappings.
    complexes: Vec<Vec<u8>>,
    /// Bit of the elements that is wrong.
    flip: Option<(u16, u8)>,
}

/// A console.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Uart {
    is_pl011: bool,
    page: u32,
    offset: Option<u8>,
    pages: u8,
    clock: u64,
    baud: u64,
}

impl Uart {
    fn console(self) -> Console {
        Console {
            base: u64::from(self.page) << 12 | u64::from(self.offset.unwrap_or(0)),
            map_pages: self.pages.into(),
            name: if self.is_pl011 {
                *b"pl011\0\0\0"
            } else {
                *b"16550\0\0\0"
            },
            clk_in_hz: self.clock,
            baud_rate: self.baud,
            flags: 0,
        }
    }
}

impl Devices {
    fn maker(&self) -> Maker {
        let consoles: Vec<_> = self.consoles().map(Uart::console).collect();
        let mut maker = Maker::new(5)
            .dram(&[(0x4000_0000, 0x4000_0000)])
            .consoles(&consoles);
        let regions = self.regions.iter().take(MOST);
        let regions: Vec<_> = regions
            .map(|&(base, size)| MemoryBank {
                base: base.into(),
                size: size.into(),
            })
            .collect();
        for n in 0..2 {
            let list = maker.list(&regions);
            let header = maker.header();
            *if n == 0 {
                &mut header.plat_ncoh_region
            } else {
                &mut header.plat_coh_region
            } = list;
        }
        let smmus = self.smmus.iter().take(MOST);
        let smmus: Vec<_> = smmus
            .map(|&(base, realm_base)| Smmu {
                base: base.into(),
                realm_base: realm_base.into(),
            })
            .collect();
        let list: List = maker.list(&smmus);
        maker.header().plat_smmu = list;
        self.root_complexes(&mut maker);
        maker
    }

    fn consoles(&self) -> impl Iterator<Item = Uart> {
        self.consoles.iter().take(MOST).copied()
    }

    /// Mappings first, then the ports, then the complexes, each of which points to those before.
    fn root_complexes(&self, maker: &mut Maker) {
        let mut sum = Vec::new();
        let mut complexes = Vec::new();
        for ports in self.complexes.iter().take(MOST) {
            let mut made = Vec::new();
            for (n, mappings) in (0_u16..).zip(ports.iter().take(MOST)) {
                let mappings: Vec<_> = (0..u16::from(mappings % 4))
                    .map(|n| BdfMapping {
                        base: n << 8,
                        top: n << 8 | 0xFF,
                        off: 0,
                        smmu_idx: 0,
                    })
                    .collect();
                sum.extend(words(&mappings));
                let mut port = RootPort::new_zeroed();
                port.root_port_id = n;
                port.num_bdf_mappings = u32::try_from(mappings.len()).expect("few");
                port.bdf_mappings = maker.put(&mappings);
                made.push(port);
            }
            sum.extend(words(&made));
            let mut complex = RootComplex::new_zeroed();
            complex.ecam_base = 0x4000_0000;
            complex.num_root_ports = u32::try_from(made.len()).expect("few");
            complex.root_ports = maker.put(&made);
            complexes.push(complex);
        }
        sum.extend(words(&complexes));
        let num = u32::try_from(complexes.len()).expect("few");
        let pointer = maker.put(&complexes);
        sum.extend([num.into(), pointer]);
        maker.header().plat_root_complex = RootComplexList {
            num: num.into(),
            rc_info_version: 1,
            _reserved: 0,
            pointer,
            checksum: checksum_of(sum),
        };
    }

    /// The monitor takes the manifest, and its first PL011, unless a bit is wrong.
    pub fn check(&self) {
        let mut maker = self.maker();
        let elements = size_for(5)..maker.free;
        if let Some((at, bit)) = self.flip {
            let at = elements.start + usize::from(at) % elements.len();
            maker.page[at] ^= 1 << (bit % 8);
            let parsed = Manifest::parse(&maker.page, Pa(PA), 48);
            assert!(matches!(parsed, Err(BootError::Manifest(_))), "{parsed:?}");
            return;
        }
        let parsed = Manifest::parse(&maker.page, Pa(PA), 48);
        let console = self.consoles().find(|console| console.is_pl011);
        let is_fit =
            |uart: &Uart| uart.page != 0 && uart.offset.unwrap_or(0) == 0 && uart.pages > 0;
        if let Some(uart) = console.filter(|uart| !is_fit(uart)) {
            assert_eq!(
                parsed.err(),
                Some(BootError::Manifest("console registers")),
                "{uart:?}"
            );
            return;
        }
        let manifest = parsed.expect("nothing is wrong");
        let found = manifest
            .console
            .map(|info| (info.base.0, info.clock, info.baud));
        let expected = console.map(|uart| (u64::from(uart.page) << 12, uart.clock, uart.baud));
        assert_eq!(found, expected);
        assert!(!manifest.flawed_console_checksum);
        assert_eq!(manifest.banks().as_slice().len(), 1);
        assert!(elements.end <= GRANULE_SIZE);
    }
}
