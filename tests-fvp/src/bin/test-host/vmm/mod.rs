// SPDX-License-Identifier: BSD-3-Clause
//! A small virtual machine monitor: a Linux kernel with up to two vCPUs as a Realm, from creation
//! to destruction.

mod disk;
mod launch;
mod memory;
mod staged;
mod statistics;
mod uart;
mod vcpu;
mod vgic;

use crate::check::{Check, ensure, ensure_eq};
use crate::console::line;
use crate::dialect::{self, Dialect};
use crate::params::Parameters;
use crate::pool;
use crate::rec::Rec;
use crate::{arch, board, console, cpus, gic, rmi, virtual_gic};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use disk::Disk;
use memory::Memory;
use rmm_abi::rmi::FeatureRegister0;
use spin::Mutex;
use statistics::{Span, Statistics};
use tests_fvp::guest::{self as machine, NEEDS_RMI_2};
use uart::{Output, Uart};
use vcpu::Vcpu;
use vgic::{CPUS, Gic};

/// First IPA behind the distributor, the console, the port, the disk.
const GICD_END: u64 = machine::GICD + machine::GICD_SIZE;
const UART_END: u64 = machine::UART + machine::UART_SIZE;
const PORT_END: u64 = machine::PORT + machine::UART_SIZE;
const DISK_END: u64 = machine::DISK + machine::DISK_SIZE;

/// The machine that the Realm sees, and the Realm.
pub struct Vm {
    memory: Mutex<Memory>,
    gic: Mutex<Gic>,
    uart: Mutex<Uart>,
    port: Mutex<Uart>,
    disk: Mutex<Disk>,
    recs: Vec<Rec>,
    cpus: u64,
    rd: u64,
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
    let start = arch::now();
    if parameters.guest.dialect == Dialect::V2 {
        ensure!(dialect::offers_v2(), "{NEEDS_RMI_2}");
        line!("host: speaks RMI 2.0");
    }
    parameters.guest.dialect.speak()?;
    let vm = Arc::new(create(parameters)?);
    let loaded = arch::now();
    line!(
        "host: Realm with {} vCPUs and {} MiB created, loaded and active",
        vm.cpus,
        vm.memory.lock().bytes() >> 20
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
    let port = vm.port.into_inner();
    port.finish();
    ensure_eq!(pool::in_use(), 0, "granules not given back");
    if dialect::is_v2() {
        // The monitor agrees that no granule is delegated.
        rmi::v2::rmm_deactivate().ok("RMI_RMM_DEACTIVATE")?;
    }
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
    line!(
        "host: {} lines carried from the Realm to the relying party",
        port.sent
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

/// Launches the Realm, and makes its devices.
fn create(parameters: &Parameters) -> Check<Vm> {
    let num_lrs = match dialect::spoken() {
        Dialect::V1 => {
            let features = rmi::features(0).ok("RMI_FEATURES")?[0];
            FeatureRegister0::from_bits(features).gicv3_num_lrs() as usize + 1
        }
        Dialect::V2 => virtual_gic::list_registers(),
    };
    let mut memory = launch::launch(parameters)?;
    let unprotected = memory.realm.config.unprotected();
    Ok(Vm {
        rd: memory.realm.rd,
        recs: memory.realm.recs.clone(),
        cpus: memory.realm.recs.len() as u64,
        uart: Mutex::new(Uart::console(
            &mut memory.realm,
            unprotected + machine::UART,
            if parameters.guest.terminal {
                Output::Bytes
            } else {
                Output::Lines("realm:")
            },
        )?),
        port: Mutex::new(Uart::port(Output::Lines(machine::FROM_PORT.trim_end()))?),
        memory: Mutex::new(memory),
        gic: Mutex::new(Gic::new(num_lrs)),
        disk: Mutex::new(Disk::new(unprotected, parameters.guest.disk)?),
        unprotected,
        on: [AtomicBool::new(true), AtomicBool::new(false)],
        stop: AtomicBool::new(false),
        second: Mutex::new(Ok(())),
        statistics: Statistics::new(),
    })
}

/// Runs all vCPUs until the Realm is off.
fn operate(vm: &Arc<Vm>) -> Check {
    gic::enable_shared(board::UART_INTID);
    console::listen();
    if vm.cpus > 1 {
        let second = vm.clone();
        cpus::second().start(move || {
            let outcome = run_vcpu(&second, 1);
            *second.second.lock() = outcome;
        })?;
    }
    let first = run_vcpu(vm, 0);
    if vm.cpus > 1 {
        cpus::second().finish()?;
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

    /// A read of a device. `None` where there is no device.
    fn read(&self, address: u64, bytes: u64) -> Check<Option<u64>> {
        let redistributors = machine::GICR + machine::GICR_SIZE * self.cpus;
        Ok(match address {
            machine::GICD..GICD_END => {
                let gic = self.gic.lock();
                Some(gic.read_distributor(address - machine::GICD, bytes))
            }
            machine::GICR.. if address < redistributors => {
                let gic = self.gic.lock();
                Some(gic.read_redistributor(address - machine::GICR, bytes, self.cpus))
            }
            machine::UART..UART_END => {
                let mut uart = self.uart.lock();
                let value = uart.read(self.rd, address - machine::UART)?;
                let mut gic = self.gic.lock();
                gic.set_shared(machine::UART_INTID, uart.interrupt());
                if uart.room() > 0 && console::has_input() {
                    // Only the first CPU receives.
                    vcpu::kick(0);
                }
                Some(value)
            }
            machine::PORT..PORT_END => {
                let mut port = self.port.lock();
                let value = port.read(self.rd, address - machine::PORT)?;
                let mut gic = self.gic.lock();
                gic.set_shared(machine::PORT_INTID, port.interrupt());
                Some(value)
            }
            machine::DISK..DISK_END => Some(self.disk.lock().read(address - machine::DISK)),
            _ => None,
        })
    }

    /// A write of a device. Returns whether there is one.
    fn write(&self, address: u64, bytes: u64, value: u64) -> Check<bool> {
        let redistributors = machine::GICR + machine::GICR_SIZE * self.cpus;
        match address {
            machine::GICD..GICD_END => {
                let mut gic = self.gic.lock();
                gic.write_distributor(address - machine::GICD, bytes, value);
            }
            machine::GICR.. if address < redistributors => {
                let mut gic = self.gic.lock();
                gic.write_redistributor(address - machine::GICR, bytes, value);
            }
            machine::UART..UART_END => {
                let mut uart = self.uart.lock();
                uart.write(address - machine::UART, value);
                let level = uart.interrupt();
                self.gic.lock().set_shared(machine::UART_INTID, level);
            }
            machine::PORT..PORT_END => {
                let mut port = self.port.lock();
                port.write(address - machine::PORT, value);
                self.gic
                    .lock()
                    .set_shared(machine::PORT_INTID, port.interrupt());
            }
            machine::DISK..DISK_END => {
                let mut disk = self.disk.lock();
                disk.write(address - machine::DISK, value, &mut self.memory.lock())?;
                let level = disk.interrupt();
                self.gic.lock().set_shared(machine::DISK_INTID, level);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Passes on what the runner sends: bytes for the guest's console, lines for its second port.
    /// Returns whether there were any.
    fn receive(&self) -> Check<bool> {
        let (mut bytes, mut any) = (Vec::new(), false);
        let mut outcome = Ok(());
        let room = self.uart.lock().room();
        console::receive(room, |input| match input {
            console::Input::Byte(byte) => bytes.push(byte),
            console::Input::Line(line) => {
                if let Some(line) = line.strip_prefix(machine::TO_PORT.as_bytes()) {
                    any = true;
                    let mut port = self.port.lock();
                    let line = [line, b"\n"].concat();
                    let received = port.receive(self.rd, &line);
                    outcome = core::mem::replace(&mut outcome, Ok(())).and(received);
                    let mut gic = self.gic.lock();
                    gic.set_shared(machine::PORT_INTID, port.interrupt());
                }
            }
        });
        outcome?;
        if !bytes.is_empty() {
            any = true;
            let mut uart = self.uart.lock();
            uart.receive(self.rd, &bytes)?;
            let mut gic = self.gic.lock();
            gic.set_shared(machine::UART_INTID, uart.interrupt());
        }
        Ok(any)
    }

    /// The vCPUs, as bits, that have interrupts to take.
    fn wanting(&self) -> u32 {
        let gic = self.gic.lock();
        (0..self.recs.len()).fold(0, |bits, cpu| bits | u32::from(gic.wants(cpu)) << cpu)
    }
}
