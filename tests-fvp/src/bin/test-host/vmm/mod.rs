// SPDX-License-Identifier: BSD-3-Clause
//! A small virtual machine monitor: a Linux kernel with up to two vCPUs as a Realm, from creation
//! to destruction.

mod disk;
mod layout;
mod memory;
mod staged;
mod statistics;
mod tree;
mod uart;
mod vcpu;
mod vgic;

use crate::check::{Check, ensure, ensure_eq};
use crate::console::line;
use crate::params::{Guest, Parameters};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm};
use crate::rec::Rec;
use crate::{arch, board, cpu1, rmi};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use disk::Disk;
use layout::{BLOCK, Layout};
use memory::Memory;
use rmm_abi::rmi::FeatureRegister0;
use spin::Mutex;
use staged::KernelHeader;
use statistics::{Span, Statistics};
use uart::Uart;
use vcpu::Vcpu;
use vgic::{CPUS, Gic};

/// Bytes between two lines on the progress of loading.
const PROGRESS: u64 = 8 << 20;

/// The machine that the Realm sees, and the Realm.
pub struct Vm {
    memory: Mutex<Memory>,
    gic: Mutex<Gic>,
    uart: Mutex<Uart>,
    disk: Mutex<Disk>,
    recs: Vec<Rec>,
    cpus: u64,
    /// First address of the Unprotected half.
    unprotected: u64,
    /// Which vCPUs PSCI has switched on.
    on: [AtomicBool; CPUS],
    /// The run is over.
    stop: AtomicBool,
    /// How the second vCPU's run went.
    second: Mutex<Check>,
    statistics: Statistics,
}

/// Runs the guest and says how it went.
pub fn run(parameters: &Parameters) {
    match life(parameters) {
        Ok(()) => line!("host: run complete"),
        Err(why) => line!("host: FAILED: {why}"),
    }
}

fn life(parameters: &Parameters) -> Check {
    let guest = &parameters.guest;
    let start = arch::now();
    let vm = Arc::new(create(parameters)?);
    let loaded = arch::now();
    line!(
        "host: Realm with {} vCPUs and {} MiB created, loaded and active",
        guest.cpus,
        guest.ram >> 20
    );

    let outcome = operate(&vm);
    let stopped = arch::now();
    let vm = Arc::try_unwrap(vm).map_err(|_| "the second CPU still runs")?;
    let user_space = vm.uart.lock().user_space;
    vm.statistics.print();
    outcome?;

    let disk = vm.disk.into_inner();
    disk.finish();
    let counts = vm.memory.into_inner().finish()?;
    vm.uart.into_inner().finish();
    ensure_eq!(pool::in_use(), 0, "granules not given back");
    let destroyed = arch::now();
    line!(
        "host: Realm destroyed; {} granules of RAM and all others are back, readable and zero",
        counts.undelegated
    );
    line!(
        "host: {} pages shared, {} KiB carried through them; {} blocks of 2 MiB folded; {} RMI calls",
        counts.shared,
        disk.carried >> 10,
        counts.folded,
        rmi::calls()
    );
    line!("host: RMI calls: {}", rmi::calls_by_command());
    line!(
        "host: time: {} to create and load, {} to user space, {} in user space, {} to destroy",
        Span(loaded - start),
        Span(user_space.unwrap_or(stopped) - loaded),
        Span(stopped - user_space.unwrap_or(stopped)),
        Span(destroyed - stopped)
    );
    rmi::check_convention()
}

/// Creates the Realm, loads kernel, device tree and initrd, and activates it.
fn create(parameters: &Parameters) -> Check<Vm> {
    let guest = &parameters.guest;
    ensure!(
        (1..=CPUS as u64).contains(&guest.cpus),
        "a guest has 1 to {CPUS} CPUs, not {}",
        guest.cpus
    );
    ensure!(
        guest.ram > 0 && guest.ram.is_multiple_of(BLOCK),
        "the guest's memory is not a multiple of 2 MiB"
    );
    let header = KernelHeader::read(guest.kernel.0, guest.kernel.1)?;
    let layout = Layout::new(&header, guest.ram, guest.initrd.1)?;
    // Behind what the runner has put into memory.
    let staged = (guest.kernel.0 + guest.kernel.1).max(guest.initrd.0 + guest.initrd.1);
    let physical = staged.max(board::POOL.end).next_multiple_of(BLOCK);
    ensure!(
        physical + guest.ram <= board::BANK.start + parameters.memory,
        "the machine has too little memory for a guest with {} MiB",
        guest.ram >> 20
    );

    let features = FeatureRegister0::from_bits(rmi::features(0).ok("RMI_FEATURES")?[0]);
    let num_lrs = features.gicv3_num_lrs() as usize + 1;
    let mut config = Config {
        level: 1,
        tables: 2,
        rpv: [0; 64],
        ..Config::default()
    };
    let name = b"a Linux guest";
    config.rpv[..name.len()].copy_from_slice(name);
    let unprotected = config.unprotected();
    let mut memory = Memory::new(Realm::new(&config)?, physical, layout.ram_end)?;
    load(&mut memory, guest, &layout, unprotected)?;

    for n in 0..guest.cpus {
        // The boot protocol: X0 is the device tree's address.
        memory
            .realm
            .add_rec_at(layout.kernel, n == 0, &[layout.tree])?;
    }
    memory.realm.activate()?;
    Ok(Vm {
        recs: memory.realm.recs.clone(),
        uart: Mutex::new(Uart::new(&mut memory.realm, unprotected + layout::UART)?),
        memory: Mutex::new(memory),
        gic: Mutex::new(Gic::new(num_lrs)),
        disk: Mutex::new(Disk::new(unprotected)?),
        cpus: guest.cpus,
        unprotected,
        on: [AtomicBool::new(true), AtomicBool::new(false)],
        stop: AtomicBool::new(false),
        second: Mutex::new(Ok(())),
        statistics: Statistics::new(),
    })
}

/// Loads what the Realm starts with, measured.
fn load(memory: &mut Memory, guest: &Guest, layout: &Layout, unprotected: u64) -> Check {
    // Before the kernel knows that it is a Realm it needs the alias; a later console finds the
    // device tree's address. 2048 bounce buffers of 2 KiB are plenty for one disk: of the usual
    // 64 MiB each page would have to change hands twice.
    let command_line = format!(
        "earlycon=pl011,{:#x} console=ttyAMA0 panic=-1 swiotlb=2048 {}",
        unprotected + layout::UART,
        guest.append
    );
    let tree = tree::write(layout, guest.cpus, &command_line)?;
    let pages = (tree.len() as u64).div_ceil(GRANULE);
    let source = pool::take(pages, GRANULE)?;
    pool::fill(source, pages, 0);
    pool::write_bytes(source, &tree);

    let parts = [
        (layout.kernel, guest.kernel),
        (layout.tree, (source, tree.len() as u64)),
        (layout.initrd.0, guest.initrd),
    ];
    let total: u64 = parts.iter().map(|(_, (_, bytes))| bytes).sum();
    line!("host: command line: {command_line}");
    let start = arch::now();
    let mut done = 0;
    for (ipa, (source, bytes)) in parts {
        for offset in (0..bytes).step_by(GRANULE as usize) {
            memory.load(ipa + offset, source + offset)?;
            done += GRANULE;
            if done.is_multiple_of(PROGRESS) {
                line!(
                    "host: loads and measures: {} of {} MiB, {}",
                    done >> 20,
                    total.div_ceil(1 << 20),
                    Span(arch::now() - start)
                );
            }
        }
    }
    pool::give(source, pages);
    memory.fold()
}

/// Runs all vCPUs until the Realm is off.
fn operate(vm: &Arc<Vm>) -> Check {
    if vm.cpus > 1 {
        let second = vm.clone();
        cpu1::start(move || {
            let outcome = run_vcpu(&second, 1);
            *second.second.lock() = outcome;
        })?;
    }
    let first = run_vcpu(vm, 0);
    if vm.cpus > 1 {
        cpu1::finish()?;
    }
    first?;
    core::mem::replace(&mut *vm.second.lock(), Ok(()))
}

fn run_vcpu(vm: &Vm, cpu: usize) -> Check {
    let outcome = Vcpu::new(vm, cpu).and_then(|mut vcpu| vcpu.run());
    // A vCPU that fails ends the run of the other.
    vm.end();
    outcome
}

impl Vm {
    /// Ends the run of all vCPUs.
    fn end(&self) {
        if !self.stop.swap(true, Ordering::AcqRel) {
            for cpu in 0..self.recs.len() {
                vcpu::kick(cpu);
            }
        }
    }

    /// A read of a device. None where there is no device.
    fn read(&self, address: u64, bytes: u64) -> Option<u64> {
        let redistributors = layout::GICR + 0x2_0000 * self.cpus;
        match address {
            layout::GICD..0x0801_0000 => {
                let gic = self.gic.lock();
                Some(gic.read_distributor(address - layout::GICD, bytes))
            }
            layout::GICR.. if address < redistributors => {
                let gic = self.gic.lock();
                Some(gic.read_redistributor(address - layout::GICR, bytes, self.cpus))
            }
            layout::DISK..0x0A00_0200 => Some(self.disk.lock().read(address - layout::DISK)),
            _ => None,
        }
    }

    /// A write of a device. Returns whether there is one.
    fn write(&self, address: u64, bytes: u64, value: u64) -> Check<bool> {
        let redistributors = layout::GICR + 0x2_0000 * self.cpus;
        match address {
            layout::GICD..0x0801_0000 => {
                let mut gic = self.gic.lock();
                gic.write_distributor(address - layout::GICD, bytes, value);
            }
            layout::GICR.. if address < redistributors => {
                let mut gic = self.gic.lock();
                gic.write_redistributor(address - layout::GICR, bytes, value);
            }
            layout::UART..0x0900_1000 => {
                let mut uart = self.uart.lock();
                uart.write(address - layout::UART, value);
                let level = uart.interrupt();
                self.gic.lock().set_shared(layout::UART_INTID, level);
            }
            layout::DISK..0x0A00_0200 => {
                let mut disk = self.disk.lock();
                disk.write(address - layout::DISK, value, &mut self.memory.lock())?;
                let level = disk.interrupt();
                self.gic.lock().set_shared(layout::DISK_INTID, level);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The vCPUs, as bits, that have interrupts to take.
    fn wanting(&self) -> u32 {
        let gic = self.gic.lock();
        (0..self.recs.len()).fold(0, |bits, cpu| bits | u32::from(gic.wants(cpu)) << cpu)
    }
}
