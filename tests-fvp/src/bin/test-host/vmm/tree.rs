// SPDX-License-Identifier: BSD-3-Clause
//! The guest's device tree.

use super::layout::{self, Layout};
use crate::check::Check;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
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
pub fn write(layout: &Layout, cpus: u64, command_line: &str) -> Check<Vec<u8>> {
    Ok(build(layout, cpus, command_line).map_err(|error| format!("device tree: {error}"))?)
}

fn build(layout: &Layout, cpus: u64, command_line: &str) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_string("compatible", "linux,dummy-virt")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_u32("interrupt-parent", GIC)?;

    let chosen = tree.begin_node("chosen")?;
    tree.property_string("bootargs", command_line)?;
    tree.property_string("stdout-path", &format!("/pl011@{:x}", layout::UART))?;
    if layout.initrd.1 > layout.initrd.0 {
        tree.property_u64("linux,initrd-start", layout.initrd.0)?;
        tree.property_u64("linux,initrd-end", layout.initrd.1)?;
    }
    tree.end_node(chosen)?;

    let memory = tree.begin_node(&format!("memory@{:x}", layout::RAM))?;
    tree.property_string("device_type", "memory")?;
    tree.property_array_u64("reg", &[layout::RAM, layout.ram_end - layout::RAM])?;
    tree.end_node(memory)?;

    let nodes = tree.begin_node("cpus")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 0)?;
    for n in 0..cpus as u32 {
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

    let gic = tree.begin_node(&format!("intc@{:x}", layout::GICD))?;
    tree.property_string("compatible", "arm,gic-v3")?;
    tree.property_u32("#interrupt-cells", 3)?;
    tree.property_null("interrupt-controller")?;
    let frames = [layout::GICD, 0x1_0000, layout::GICR, 0x2_0000 * cpus];
    tree.property_array_u64("reg", &frames)?;
    tree.property_phandle(GIC)?;
    tree.end_node(gic)?;

    let uart = tree.begin_node(&format!("pl011@{:x}", layout::UART))?;
    strings(&mut tree, "compatible", &["arm,pl011", "arm,primecell"])?;
    tree.property_array_u64("reg", &[layout::UART, 0x1000])?;
    tree.property_array_u32("interrupts", &[SPI, layout::UART_INTID - 32, LEVEL_HIGH])?;
    tree.property_array_u32("clocks", &[CLOCK, CLOCK])?;
    strings(&mut tree, "clock-names", &["uartclk", "apb_pclk"])?;
    tree.end_node(uart)?;

    let disk = tree.begin_node(&format!("virtio_mmio@{:x}", layout::DISK))?;
    tree.property_string("compatible", "virtio,mmio")?;
    tree.property_array_u64("reg", &[layout::DISK, 0x200])?;
    tree.property_array_u32("interrupts", &[SPI, layout::DISK_INTID - 32, LEVEL_HIGH])?;
    tree.property_null("dma-coherent")?;
    tree.end_node(disk)?;

    tree.end_node(root)?;
    tree.finish()
}

fn strings(tree: &mut FdtWriter, name: &str, values: &[&str]) -> Result<(), Error> {
    let mut list = vec![];
    for value in values {
        list.push(value.to_string());
    }
    tree.property_string_list(name, list)
}
