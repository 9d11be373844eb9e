// SPDX-License-Identifier: BSD-3-Clause
//! Where kernel and initrd go on a machine like QEMU's `virt` under TF-A, and what the device tree says.

use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};
use linux_loader::kernel::Header;
use linux_loader::memory::Plan;
use linux_loader::reserve::reserve_monitor;
use linux_loader::{Error, tree};
use std::ops::Range;
use vm_fdt::FdtWriter;

const DRAM: u64 = 0x4000_0000;
const MONITOR: Range<u64> = 0x4010_0000..0x4190_0000;
const TAKEN: [Range<u64>; 2] = [DRAM..0x4010_0000, 0x6000_0000..0x6002_0000];
const MIB: u64 = 1 << 20;

/// A machine.
struct Machine {
    /// Banks of RAM.
    banks: Vec<Range<u64>>,
    /// The names and ranges of reserved memory.
    reserved: Vec<(&'static str, Range<u64>)>,
}

impl Machine {
    fn new(ram: u64) -> Self {
        Self {
            banks: std::iter::once(DRAM..DRAM + ram).collect(),
            reserved: vec![("rmm", MONITOR)],
        }
    }

    fn tree(&self) -> Vec<u8> {
        let reg = |range: &Range<u64>| [range.start, range.end - range.start];
        let mut fdt = FdtWriter::new().unwrap();
        let root = fdt.begin_node("").unwrap();
        fdt.property_u32("#address-cells", 2).unwrap();
        fdt.property_u32("#size-cells", 2).unwrap();
        for bank in &self.banks {
            let node = fdt.begin_node(&format!("memory@{:x}", bank.start)).unwrap();
            fdt.property_array_u64("reg", &reg(bank)).unwrap();
            fdt.end_node(node).unwrap();
        }
        if !self.reserved.is_empty() {
            let parent = fdt.begin_node("reserved-memory").unwrap();
            fdt.property_u32("#address-cells", 2).unwrap();
            fdt.property_u32("#size-cells", 2).unwrap();
            fdt.property_null("ranges").unwrap();
            for (name, range) in &self.reserved {
                let node = fdt.begin_node(name).unwrap();
                fdt.property_array_u64("reg", &reg(range)).unwrap();
                fdt.property_null("no-map").unwrap();
                fdt.end_node(node).unwrap();
            }
            fdt.end_node(parent).unwrap();
        }
        let device = fdt.begin_node("fw-cfg@9020000").unwrap();
        fdt.property_array_u64("reg", &[0x0902_0000, 0x18]).unwrap();
        fdt.property_string("compatible", "qemu,fw-cfg-mmio")
            .unwrap();
        fdt.end_node(device).unwrap();
        let chosen = fdt.begin_node("chosen").unwrap();
        fdt.property_string("bootargs", "before").unwrap();
        fdt.property_u64("kaslr-seed", 7).unwrap();
        fdt.end_node(chosen).unwrap();
        fdt.end_node(root).unwrap();
        fdt.finish().unwrap()
    }

    fn plan(&self, kernel: &Header, initrd: u64) -> Result<Plan, Error> {
        Plan::new(Fdt::new(&self.tree()).unwrap(), &TAKEN, kernel, initrd)
    }
}

fn kernel(text_offset: u64, memory: u64) -> Header {
    Header {
        text_offset,
        memory,
    }
}

#[test]
fn a_kernel_goes_behind_the_monitor_and_the_initrd_behind_it() {
    let plan = Machine::new(3 << 30).plan(&kernel(0, 50 * MIB + 1), 5 * MIB);
    let plan = plan.unwrap();
    assert_eq!(plan.kernel, 0x41A0_0000..0x41A0_0000 + 50 * MIB + 1);
    let initrd = 0x41A0_0000 + 52 * MIB;
    assert_eq!(plan.initrd, Some(initrd..initrd + 5 * MIB));
}

#[test]
fn the_text_offset_is_from_a_multiple_of_2_mib() {
    let machine = Machine::new(3 << 30);
    let plan = machine.plan(&kernel(0x8_0000, MIB), 0).unwrap();
    assert_eq!(plan.kernel.start, 0x41A8_0000);
    assert_eq!(plan.initrd, None);
}

#[test]
fn nothing_overlaps_what_is_taken() {
    let machine = Machine::new(3 << 30);
    // The loader at 0x6000_0000 is in the way of either.
    let big = machine.plan(&kernel(0, 512 * MIB), MIB).unwrap();
    assert_eq!(big.kernel.start, 0x6020_0000);
    let plan = machine.plan(&kernel(0, 32 * MIB), 1024 * MIB).unwrap();
    assert_eq!(plan.kernel.start, 0x41A0_0000);
    assert_eq!(plan.initrd.unwrap().start, 0x6020_0000);
}

#[test]
fn other_reservations_and_banks_count() {
    let mut machine = Machine::new(64 * MIB);
    machine.reserved.push(("other@0", 0x4200_0000..0x4300_0000));
    machine.banks.push(0x8000_0000..0x9000_0000);
    let plan = machine.plan(&kernel(0, 20 * MIB), MIB).unwrap();
    assert_eq!(plan.kernel.start, 0x8000_0000);
    let small = machine.plan(&kernel(0, 6 * MIB), MIB).unwrap();
    assert_eq!(small.kernel.start, 0x41A0_0000);
    assert_eq!(small.initrd.unwrap().start, 0x4300_0000);
}

#[test]
fn what_does_not_fit_is_refused() {
    let machine = Machine::new(128 * MIB);
    let plan = |memory, initrd| machine.plan(&kernel(0, memory), initrd);
    assert_eq!(plan(128 * MIB, 0), Err(Error::NoRoomForKernel));
    assert_eq!(plan(64 * MIB, 64 * MIB), Err(Error::NoRoomForInitrd));
    assert_eq!(plan(u64::MAX, 0), Err(Error::NoRoomForKernel));
    assert_eq!(plan(MIB, u64::MAX), Err(Error::NoRoomForInitrd));
    let far = kernel(u64::MAX, MIB);
    assert_eq!(machine.plan(&far, 0), Err(Error::NoRoomForKernel));
}

#[test]
fn without_a_monitor_nothing_is_booted() {
    let mut machine = Machine::new(3 << 30);
    machine.reserved[0].0 = "other";
    let plan = machine.plan(&kernel(0, MIB), 0);
    assert_eq!(plan, Err(Error::NoMonitor));
}

/// A machine whose tree has no reservation for the monitor, or no reserved memory at all.
fn without_reservation(parent: bool) -> Machine {
    let mut machine = Machine::new(3 << 30);
    if parent {
        machine.reserved = vec![("other", 0x5000_0000..0x5000_1000)];
    } else {
        machine.reserved.clear();
    }
    machine
}

/// The tree in memory that is larger.
fn written(memory: &[u8]) -> Fdt<'_> {
    let total = u32::from_be_bytes(memory[4..8].try_into().unwrap());
    Fdt::new(&memory[..total as usize]).unwrap()
}

#[test]
fn a_missing_reservation_is_added() {
    for parent in [false, true] {
        let mut memory = without_reservation(parent).tree();
        let before = memory.len();
        memory.resize(before + 4096, 0);
        assert_eq!(tree::monitor(written(&memory)), None);
        reserve_monitor(&mut memory, &MONITOR).unwrap();
        let fdt = written(&memory);
        assert_eq!(tree::monitor(fdt), Some(MONITOR));
        let node = fdt.find_node("/reserved-memory/rmm").unwrap();
        assert!(node.property("no-map").is_some());
        let parents = fdt.root().children();
        let parents = parents.filter(|node| node.name() == "reserved-memory");
        assert_eq!(parents.count(), 1);
        let other = fdt.find_node("/reserved-memory/other");
        assert_eq!(other.is_some(), parent);
        // The rest is as before, and the kernel is clear of the monitor.
        assert_eq!(tree::fw_cfg(fdt), Ok(0x0902_0000));
        let plan = Plan::new(fdt, &TAKEN, &kernel(0, MIB), 0).unwrap();
        assert_eq!(plan.kernel.start, 0x41A0_0000);
        let mut open = tree::open(&mut memory).unwrap();
        tree::choose(&mut open, "quiet", None).unwrap();
        assert!(tree::monitor(open.as_read_only()).is_some());

        // Once is enough.
        let once = memory.clone();
        reserve_monitor(&mut memory, &MONITOR).unwrap();
        assert!(memory == once);
    }
}

#[test]
fn a_reservation_that_has_no_room_or_no_place_is_an_error() {
    for parent in [false, true] {
        let tree = without_reservation(parent).tree();
        // A node with two properties takes 52 bytes.
        for room in 0..52 {
            let mut memory = tree.clone();
            memory.resize(tree.len() + room, 0);
            assert_eq!(reserve_monitor(&mut memory, &MONITOR), Err(Error::TreeFull));
        }
        // Whatever is broken: no panic, and no answer but these.
        for at in 0..tree.len() {
            let mut memory = tree.clone();
            memory[at] ^= 0xFF;
            memory.resize(tree.len() + 4096, 0);
            let _either = reserve_monitor(&mut memory, &MONITOR);
        }
    }
    assert_eq!(reserve_monitor(&mut [0; 64], &MONITOR), Err(Error::BadTree));
}

#[test]
fn the_tree_says_what_was_chosen() {
    let mut memory = Machine::new(3 << 30).tree();
    assert_eq!(
        tree::monitor(Fdt::new(&memory).unwrap()),
        Some(0x4010_0000..0x4190_0000)
    );
    assert_eq!(tree::fw_cfg(Fdt::new(&memory).unwrap()), Ok(0x0902_0000));
    let bytes = memory.len();
    memory.resize(bytes + 4096, 0);
    let mut open = tree::open(&mut memory).unwrap();
    let initrd = 0x4500_0000..0x4510_0000;
    tree::choose(&mut open, "console=ttyAMA0 quiet", Some(&initrd)).unwrap();

    let fdt = open.as_read_only();
    let chosen = fdt.find_node("/chosen").unwrap();
    let value = |name: &str| {
        let mut found = chosen
            .properties()
            .filter(|property| property.name() == name);
        let value = found.next().map(|property| property.value().to_vec());
        assert!(found.next().is_none(), "{name} is there twice");
        value.unwrap()
    };
    assert_eq!(value("bootargs"), b"console=ttyAMA0 quiet\0");
    assert_eq!(value("linux,initrd-start"), 0x4500_0000u64.to_be_bytes());
    assert_eq!(value("linux,initrd-end"), 0x4510_0000u64.to_be_bytes());
    assert_eq!(value("kaslr-seed"), 7u64.to_be_bytes());
    assert!(tree::monitor(fdt).is_some());
}

#[test]
fn a_tree_that_cannot_grow_or_be_read_is_an_error() {
    let mut memory = Machine::new(3 << 30).tree();
    let mut open = tree::open(&mut memory).unwrap();
    let line = "x".repeat(2000);
    assert_eq!(tree::choose(&mut open, &line, None), Err(Error::TreeFull));
    assert!(matches!(tree::open(&mut [0; 4096]), Err(Error::BadTree)));
    assert!(matches!(tree::open(&mut [0; 4]), Err(Error::BadTree)));
}
