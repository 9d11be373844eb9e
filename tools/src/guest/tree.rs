// SPDX-License-Identifier: BSD-3-Clause
//! The guest's device tree.

use super::layout::Layout;
use tests_fvp::guest as machine;
use vm_fdt::{Error, FdtWriter};

/// phandle of the interrupt controller.
const GIC: u32 = 1;
/// phandle of the fixed clock.
const CLOCK: u32 = 2;

/// Cells of an interrupt: kind, number, trigger.
const SPI: u32 = 0;
const PPI: u32 = 1;
const LEVEL_HIGH: u32 = 4;

/// Writes the device tree.
///
/// # Errors
///
/// If the command line cannot be a property.
pub fn write(layout: &Layout, cpus: u64, command_line: &str) -> Result<Vec<u8>, String> {
    build(layout, cpus, command_line).map_err(|error| format!("device tree: {error}"))
}

fn build(layout: &Layout, cpus: u64, command_line: &str) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_string("compatible", "linux,dummy-virt")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_u32("interrupt-parent", GIC)?;

    let aliases = tree.begin_node("aliases")?;
    tree.property_string("serial0", &format!("/{}", uart_name(machine::UART)))?;
    tree.property_string("serial1", &format!("/{}", uart_name(machine::PORT)))?;
    tree.end_node(aliases)?;

    let chosen = tree.begin_node("chosen")?;
    tree.property_string("bootargs", command_line)?;
    tree.property_string("stdout-path", "serial0")?;
    if let Some(initrd) = &layout.initrd {
        tree.property_u64("linux,initrd-start", initrd.start)?;
        tree.property_u64("linux,initrd-end", initrd.end)?;
    }
    tree.end_node(chosen)?;

    let memory = tree.begin_node(&format!("memory@{:x}", machine::RAM))?;
    tree.property_string("device_type", "memory")?;
    tree.property_array_u64("reg", &[machine::RAM, layout.ram_end - machine::RAM])?;
    tree.end_node(memory)?;

    let nodes = tree.begin_node("cpus")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 0)?;
    for n in (0..).take(usize::try_from(cpus).unwrap_or_default()) {
        let cpu = tree.begin_node(&format!("cpu@{n:x}"))?;
        tree.property_string("device_type", "cpu")?;
        tree.property_string("compatible", "arm,armv8")?;
        tree.property_string("enable-method", "psci")?;
        tree.property_u32("reg", n)?;
        tree.end_node(cpu)?;
    }
    tree.end_node(nodes)?;

    // A Realm calls its monitor by SMC.
    let psci = tree.begin_node("psci")?;
    strings(&mut tree, "compatible", &["arm,psci-1.0", "arm,psci-0.2"])?;
    tree.property_string("method", "smc")?;
    tree.end_node(psci)?;

    let timer = tree.begin_node("timer")?;
    tree.property_string("compatible", "arm,armv8-timer")?;
    // Secure, Non-secure, virtual and hypervisor timer, for CPUs 0 to 7.
    let interrupts = [13, 14, 11, 10].map(|ppi| [PPI, ppi, 0xFF << 8 | LEVEL_HIGH]);
    tree.property_array_u32("interrupts", interrupts.as_flattened())?;
    tree.property_null("always-on")?;
    tree.end_node(timer)?;

    let clock = tree.begin_node("apb-pclk")?;
    tree.property_string("compatible", "fixed-clock")?;
    tree.property_u32("#clock-cells", 0)?;
    tree.property_u32("clock-frequency", 24_000_000)?;
    tree.property_phandle(CLOCK)?;
    tree.end_node(clock)?;

    let gic = tree.begin_node(&format!("intc@{:x}", machine::GICD))?;
    tree.property_string("compatible", "arm,gic-v3")?;
    tree.property_u32("#interrupt-cells", 3)?;
    tree.property_null("interrupt-controller")?;
    let distributor = [machine::GICD, machine::GICD_SIZE];
    let redistributors = [machine::GICR, machine::GICR_SIZE * cpus];
    tree.property_array_u64("reg", &[distributor, redistributors].concat())?;
    tree.property_phandle(GIC)?;
    tree.end_node(gic)?;

    uart(&mut tree, machine::UART, machine::UART_INTID)?;
    uart(&mut tree, machine::PORT, machine::PORT_INTID)?;

    let disk = tree.begin_node(&format!("virtio_mmio@{:x}", machine::DISK))?;
    tree.property_string("compatible", "virtio,mmio")?;
    tree.property_array_u64("reg", &[machine::DISK, machine::DISK_SIZE])?;
    interrupt(&mut tree, machine::DISK_INTID)?;
    tree.property_null("dma-coherent")?;
    tree.end_node(disk)?;

    tree.end_node(root)?;
    tree.finish()
}

fn uart_name(address: u64) -> String {
    format!("pl011@{address:x}")
}

fn uart(tree: &mut FdtWriter, address: u64, intid: u32) -> Result<(), Error> {
    let uart = tree.begin_node(&uart_name(address))?;
    strings(tree, "compatible", &["arm,pl011", "arm,primecell"])?;
    tree.property_array_u64("reg", &[address, machine::UART_SIZE])?;
    interrupt(tree, intid)?;
    tree.property_array_u32("clocks", &[CLOCK, CLOCK])?;
    strings(tree, "clock-names", &["uartclk", "apb_pclk"])?;
    tree.end_node(uart)
}

/// A shared interrupt, of which the device tree counts from INTID 32.
fn interrupt(tree: &mut FdtWriter, intid: u32) -> Result<(), Error> {
    tree.property_array_u32("interrupts", &[SPI, intid - 32, LEVEL_HIGH])
}

fn strings(tree: &mut FdtWriter, name: &str, values: &[&str]) -> Result<(), Error> {
    let list = values.iter().map(ToString::to_string).collect();
    tree.property_string_list(name, list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Every property by its path (Devicetree Specification, 5.4).
    fn properties(blob: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let word = |at: usize| u32::from_be_bytes(blob[at..at + 4].try_into().unwrap());
        let index = |at: usize| usize::try_from(word(at)).unwrap();
        let name = |at: usize| {
            let bytes = blob[at..].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        assert_eq!((word(0), index(4)), (0xD00D_FEED, blob.len()));
        let (mut at, strings) = (index(8), index(12));
        let (mut path, mut found) = (Vec::new(), BTreeMap::new());
        loop {
            let token = word(at);
            at += 4;
            match token {
                1 => {
                    path.push(name(at));
                    at += (path.last().unwrap().len() + 1).next_multiple_of(4);
                }
                2 => drop(path.pop()),
                3 => {
                    let (bytes, key) = (index(at), name(strings + index(at + 4)));
                    let value = blob[at + 8..at + 8 + bytes].to_vec();
                    found.insert(format!("{}/{key}", path.join("/")), value);
                    at += 8 + bytes.next_multiple_of(4);
                }
                9 => return found,
                _ => panic!("token {token}"),
            }
        }
    }

    fn cells(values: &[u64]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_be_bytes()).collect()
    }

    fn interrupts(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_be_bytes()).collect()
    }

    const LAYOUT: Layout = Layout {
        ram_end: 0x5000_0000,
        kernel: 0x4000_0000,
        tree: 0x4420_0000,
        initrd: Some(0x4440_0000..0x4440_1234),
    };

    #[test]
    fn a_guest_finds_its_memory_initrd_and_devices() {
        let found = properties(&write(&LAYOUT, 2, "quiet console=ttyAMA0").unwrap());
        for (path, value) in [
            ("/chosen/bootargs", b"quiet console=ttyAMA0\0".to_vec()),
            ("/chosen/stdout-path", b"serial0\0".to_vec()),
            ("/chosen/linux,initrd-start", cells(&[0x4440_0000])),
            ("/chosen/linux,initrd-end", cells(&[0x4440_1234])),
            ("/memory@40000000/reg", cells(&[0x4000_0000, 0x1000_0000])),
            ("/cpus/cpu@0/reg", interrupts(&[0])),
            ("/cpus/cpu@1/reg", interrupts(&[1])),
            ("/psci/method", b"smc\0".to_vec()),
            ("/aliases/serial0", b"/pl011@9000000\0".to_vec()),
            ("/aliases/serial1", b"/pl011@9010000\0".to_vec()),
            ("/pl011@9000000/interrupts", interrupts(&[0, 1, 4])),
            ("/pl011@9010000/interrupts", interrupts(&[0, 3, 4])),
            ("/pl011@9010000/reg", cells(&[0x901_0000, 0x1000])),
            ("/virtio_mmio@a000000/interrupts", interrupts(&[0, 2, 4])),
            (
                "/intc@8000000/reg",
                cells(&[0x800_0000, 0x1_0000, 0x80A_0000, 0x4_0000]),
            ),
        ] {
            assert_eq!(found.get(path), Some(&value), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_described() {
        let layout = Layout {
            initrd: None,
            ..LAYOUT
        };
        let found = properties(&write(&layout, 1, "").unwrap());
        assert!(found.contains_key("/cpus/cpu@0/reg"));
        assert!(!found.keys().any(|path| path.contains("initrd")));
        assert!(!found.keys().any(|path| path.contains("cpu@1")));
        assert!(write(&layout, 1, "a\0b").is_err());
    }
}
