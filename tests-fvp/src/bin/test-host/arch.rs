// SPDX-License-Identifier: BSD-3-Clause
//! The Host's processor: start, exceptions, system registers, recoverable accesses, PSCI.

use crate::{board, gic};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use rmm_abi::psci;
use tests_fvp::cpu::{Frame, IRQ, SYNC};
use tests_fvp::smc::smc;
pub(crate) use tests_fvp::{mrs, msr};

/// Bytes of stack of each CPU.
const STACK_SIZE: usize = 0x2_0000;
/// CPUs that the Host uses at most.
pub const CPUS: usize = 8;

/// Memory that only the assembly uses.
#[repr(C, align(4096))]
struct Stacks(UnsafeCell<[[u8; STACK_SIZE]; CPUS]>);

// SAFETY: Rust code never reads or writes it by this name; each CPU has its own part.
unsafe impl Sync for Stacks {}

static STACKS: Stacks = Stacks(UnsafeCell::new([[0; STACK_SIZE]; CPUS]));

/// A translation table.
#[repr(C, align(4096))]
struct Table([u64; 512]);

/// Bytes that a level 1 table maps.
const HALF_TIB: u64 = 512 << 30;
/// First GiB that is not mapped, if it is not DRAM.
const DEVICES_END: u64 = 64;
/// Entry of the level 0 table that maps the board's DRAM, if it does not lie in the first [`HALF_TIB`].
const HIGH: u64 = if board::BANK.start < HALF_TIB {
    1
} else {
    board::BANK.start / HALF_TIB
};

/// The identity map's level 1 tables; the level 0 table is in `entry.s`.
static LOW_TABLE: Table = identity(0);
static HIGH_TABLE: Table = identity(HIGH * HALF_TIB);

/// Identity map of the [`HALF_TIB`] at `base`: 1 GiB blocks of Normal memory where the board has DRAM,
/// of Device memory elsewhere in the first [`DEVICES_END`] GiB.
const fn identity(base: u64) -> Table {
    // Valid block, Access Flag, Inner Shareable, AP[1] (RES1 at EL2).
    const NORMAL: u64 = 1 | 1 << 10 | 3 << 8 | 1 << 6;
    // Attribute 1, execute-never.
    const DEVICE: u64 = NORMAL | 1 << 2 | 1 << 54;
    let mut entries = [0; 512];
    let mut n = 0;
    while n < entries.len() {
        let address = base + ((n as u64) << 30);
        if board::is_dram(address) {
            entries[n] = address | NORMAL;
        } else if address < DEVICES_END << 30 {
            entries[n] = address | DEVICE;
        }
        n += 1;
    }
    Table(entries)
}

global_asm!(
    include_str!("../../macros.s"),
    include_str!("entry.s"),
    stacks = sym STACKS,
    stack_size = const STACK_SIZE,
    low_table = sym LOW_TABLE,
    high_table = sym HIGH_TABLE,
    high = const HIGH,
    main = sym crate::host_main,
    secondary = sym crate::cpus::secondary_main,
    exception = sym exception,
);

unsafe extern "C" {
    fn secondary_start();
    fn guarded_start();
    fn guarded_end();
    fn guarded_fault();
    fn guarded_read(address: u64) -> Guarded;
    fn guarded_write(address: u64, value: u64) -> Guarded;
    fn guarded_zcr() -> Guarded;
    fn guarded_smcr() -> Guarded;
    fn guarded_umov() -> Guarded;
}

/// X0 and X1 of the guarded accesses.
#[repr(C)]
struct Guarded {
    value: u64,
    esr: u64,
}

extern "C" fn exception(kind: u64, frame: &mut Frame) {
    let guarded = guarded_start as *const () as u64..=guarded_end as *const () as u64;
    if kind == IRQ {
        gic::take();
    } else if kind == SYNC && guarded.contains(&frame.elr) {
        frame.x[1] = frame.esr;
        frame.elr = guarded_fault as *const () as u64;
    } else {
        crate::crash(format_args!(
            "exception {kind} of the Host: esr {:#x} elr {:#x} far {:#x} spsr {:#x}",
            frame.esr, frame.elr, frame.far, frame.spsr
        ));
    }
}

/// Reads a word that may not be readable.
///
/// # Errors
///
/// ESR_EL2 of the fault.
pub fn try_read(address: u64) -> Result<u64, u64> {
    // SAFETY: a load has no effect on memory Rust knows of, and its fault is recovered.
    let result = unsafe { guarded_read(address) };
    if result.esr == 0 {
        Ok(result.value)
    } else {
        Err(result.esr)
    }
}

/// Writes a word that may not be writable.
///
/// # Errors
///
/// ESR_EL2 of the fault.
///
/// # Safety
///
/// Rust must hold no reference to the word.
pub unsafe fn try_write(address: u64, value: u64) -> Result<(), u64> {
    // SAFETY: as the caller promises; the store's fault is recovered.
    let result = unsafe { guarded_write(address, value) };
    if result.esr == 0 {
        Ok(())
    } else {
        Err(result.esr)
    }
}

/// Whether EL3 leaves SVE, which the CPU has, to the Normal world. If not, an access is Undefined.
pub fn is_sve_open() -> bool {
    // SAFETY: reads a system register; the exception is recovered.
    unsafe { guarded_zcr() }.esr == 0
}

/// As [`is_sve_open`], for SME.
pub fn is_sme_open() -> bool {
    // SAFETY: as for `is_sve_open`.
    unsafe { guarded_smcr() }.esr == 0
}

/// Whether every instruction is legal. In streaming mode most of Advanced SIMD and the whole of FFR are not,
/// unless `SMCR_EL2.FA64` and that of EL3 permit them.
pub fn is_full_a64() -> bool {
    // SAFETY: reads a register; the exception is recovered.
    unsafe { guarded_umov() }.esr == 0
}

/// Whether a value of ESR_EL2 is a granule protection fault of a data access.
pub fn is_gpf(esr: u64) -> bool {
    esr >> 26 == 0x25 && esr & 0x3F == 0x28
}

/// Waits until earlier writes of system registers have their effect.
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack)) };
}

/// Waits until an interrupt is pending, masked or not.
pub fn wait_for_interrupt() {
    // SAFETY: an interrupt of the Host's own GIC set-up ends the wait.
    unsafe { asm!("wfi", options(nostack)) };
}

/// Takes pending interrupts, then masks them again.
pub fn take_interrupts() {
    // SAFETY: the handler touches only atomics and the interrupt controller.
    unsafe {
        asm!(
            "msr daifclr, #2",
            "isb",
            "nop",
            "msr daifset, #2",
            "isb",
            options(nostack)
        )
    };
}

/// Counter ticks.
pub fn now() -> u64 {
    isb();
    mrs!("cntpct_el0")
}

/// Counter ticks of a number of milliseconds.
pub fn ticks(milliseconds: u64) -> u64 {
    mrs!("cntfrq_el0") / 1000 * milliseconds
}

/// Milliseconds after which something that must happen is taken to have failed. Only a broken
/// monitor takes that long: a busy machine must not.
pub const PATIENCE: u64 = 30_000;

/// Waits until a condition holds.
///
/// Returns whether it did within the time given in milliseconds.
pub fn wait_until(milliseconds: u64, mut condition: impl FnMut() -> bool) -> bool {
    let end = now() + ticks(milliseconds);
    while !condition() {
        if now() > end {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// `PSCI_CPU_ON` of the CPU of a number from 1 to [`CPUS`] - 1. Returns the status.
pub fn start_cpu(number: usize) -> u64 {
    assert!((1..CPUS).contains(&number));
    let mut r = [0; 18];
    r[0] = psci::fid::PSCI_CPU_ON;
    r[1] = board::mpidr(number);
    r[2] = secondary_start as *const () as u64;
    r[3] = STACKS.0.get() as u64 + ((number + 1) * STACK_SIZE) as u64;
    // SAFETY: the CPU starts on a stack of its own.
    unsafe { smc(&r)[0] }
}

/// `PSCI_CPU_OFF` of this CPU. Returns only if EL3 refuses, with the status.
pub fn switch_off() -> u64 {
    let mut r = [0; 18];
    r[0] = psci::fid::PSCI_CPU_OFF;
    // SAFETY: if the call does not return, what is on this CPU's stack is lost, and nothing refers to it.
    unsafe { smc(&r)[0] }
}

/// `PSCI_AFFINITY_INFO` of the CPU of an MPIDR.
pub fn affinity_info(mpidr: u64) -> u64 {
    let mut r = [0; 18];
    r[0] = psci::fid::PSCI_AFFINITY_INFO;
    r[1] = mpidr;
    // SAFETY: the call has no effect.
    unsafe { smc(&r)[0] }
}

/// `PSCI_SYSTEM_OFF`: ends QEMU.
pub fn power_off() -> ! {
    let mut r = [0; 18];
    r[0] = psci::fid::PSCI_SYSTEM_OFF;
    // SAFETY: the call does not return.
    let _ = unsafe { smc(&r) };
    loop {
        core::hint::spin_loop();
    }
}
