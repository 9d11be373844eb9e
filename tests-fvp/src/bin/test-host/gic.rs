// SPDX-License-Identifier: BSD-3-Clause
//! GICv3: as much as it takes to receive an SGI, a timer interrupt, or that of the UART.

use crate::arch::{isb, mrs, msr};
use crate::{arch, board, console};
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU32, Ordering};

/// INTID of the EL2 physical timer.
pub const EL2_TIMER: u32 = 26;
/// INTID of an SGI that the Host sends itself.
pub const SGI: u32 = 3;
/// The EL1 virtual and physical timers, INTIDs 27 and 30, as bits: a Realm's stop it only if their
/// interrupts are enabled.
const REALM_TIMERS: u32 = 1 << 27 | 1 << 30;
/// The INTID that means none.
const SPURIOUS: u32 = 1023;

/// The INTID that each CPU took last, plus one.
static TAKEN: [AtomicU32; arch::CPUS] = [const { AtomicU32::new(0) }; arch::CPUS];

fn register(address: u64) -> *mut u32 {
    with_exposed_provenance_mut(address as usize)
}

/// Number of this CPU.
pub fn cpu() -> usize {
    board::number(mrs!("mpidr_el1"))
}

/// The redistributor of this CPU.
fn redistributor() -> u64 {
    redistributor_of(mrs!("mpidr_el1"))
        .unwrap_or_else(|| crate::crash(format_args!("this CPU has no redistributor")))
}

/// The redistributor of the CPU of an MPIDR; none if there is no such CPU.
pub fn redistributor_of(mpidr: u64) -> Option<u64> {
    let affinity = mpidr & 0xFF_FFFF | (mpidr >> 8 & 0xFF00_0000);
    let mut base = board::GICR;
    loop {
        // SAFETY: GICR_TYPER of a redistributor, mapped as Device memory.
        let typer =
            unsafe { with_exposed_provenance_mut::<u64>(base as usize + 8).read_volatile() };
        let (vlpis, last) = (typer & 2 != 0, typer & 1 << 4 != 0);
        if typer >> 32 == affinity {
            return Some(base);
        }
        if last {
            return None;
        }
        base += if vlpis { 0x4_0000 } else { 0x2_0000 };
    }
}

/// Makes this CPU able to receive [`EL2_TIMER`] and [`SGI`].
pub fn setup() {
    let sgi_base = redistributor() + 0x1_0000;
    let enabled = 1 << EL2_TIMER | 1 << SGI | REALM_TIMERS;
    // SAFETY: registers of the GIC, mapped as Device memory.
    unsafe {
        let distributor = register(board::GICD);
        // ARE_NS, EnableGrp1A.
        distributor.write_volatile(distributor.read_volatile() | 0x12);
        // GICR_IPRIORITYR<n>: the middle of what Non-secure may use.
        for n in 0..8 {
            register(sgi_base + 0x400 + 4 * n).write_volatile(0x8080_8080);
        }
        register(sgi_base + 0x100).write_volatile(enabled);
    }
    msr!("icc_sre_el2", 0xF);
    isb();
    msr!("icc_pmr_el1", 0xF8);
    msr!("icc_igrpen1_el1", 1);
    isb();
}

/// Acknowledges and ends one interrupt: the interrupt handler.
pub fn take() {
    // Below 2^24, as every INTID.
    let intid = (mrs!("icc_iar1_el1") & 0xFF_FFFF) as u32;
    if intid == EL2_TIMER {
        stop_timer();
    }
    if intid == board::UART_INTID {
        console::interrupted();
    }
    if intid < SPURIOUS {
        msr!("icc_eoir1_el1", u64::from(intid));
        isb();
    }
    if let Some(slot) = TAKEN.get(cpu()) {
        slot.store(intid + 1, Ordering::Release);
    }
}

/// The interrupt that this CPU took since the last call.
pub fn taken() -> Option<u32> {
    arch::take_interrupts();
    TAKEN.get(cpu())?.swap(0, Ordering::AcqRel).checked_sub(1)
}

/// Sends [`SGI`] to the CPU of an MPIDR.
pub fn send_sgi(mpidr: u64) {
    let affinity = (mpidr >> 8 & 0xFF) << 16 | (mpidr >> 16 & 0xFF) << 32;
    msr!(
        "icc_sgi1r_el1",
        u64::from(SGI) << 24 | affinity | 1 << (mpidr & 0xF)
    );
    isb();
}

/// Starts the EL2 timer: its interrupt comes after a number of ticks.
pub fn start_timer(ticks: u64) {
    msr!("cnthp_cval_el2", arch::now() + ticks);
    msr!("cnthp_ctl_el2", 1);
    isb();
}

/// Stops the EL2 timer.
pub fn stop_timer() {
    msr!("cnthp_ctl_el2", 0);
    isb();
}

/// Stops the EL2 timer if it may not have fired.
pub fn stop_timer_if(condition: bool) {
    if condition {
        stop_timer();
    }
}

/// Makes this CPU able to receive more of its own interrupts, INTIDs 0 to 31 as bits.
pub fn enable(interrupts: u32) {
    // SAFETY: GICR_ISENABLER0, mapped as Device memory.
    unsafe { register(redistributor() + 0x1_0100).write_volatile(interrupts) };
}

/// Makes the first CPU able to receive a shared interrupt, which is a level.
pub fn enable_shared(intid: u32) {
    let n = u64::from(intid);
    // SAFETY: registers of the distributor, mapped as Device memory. EL3 has put all shared interrupts
    // into Non-secure group 1.
    unsafe {
        let priority = with_exposed_provenance_mut::<u8>((board::GICD + 0x400 + n) as usize);
        priority.write_volatile(0x80);
        let route = with_exposed_provenance_mut::<u64>((board::GICD + 0x6000 + 8 * n) as usize);
        route.write_volatile(0);
        register(board::GICD + 0x100 + 4 * (n / 32)).write_volatile(1 << (n % 32));
    }
}
