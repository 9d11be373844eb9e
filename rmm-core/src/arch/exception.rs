// SPDX-License-Identifier: BSD-3-Clause
//! Exceptions that the monitor itself takes. Those that [`fixup`] knows are ordinary. Every other
//! one is a bug or broken hardware: the monitor reports what it knows, and the CPU stops.

use super::percpu::CpuData;
use super::registers::*;
use super::{console, fixup, percpu};
use crate::encoding::space::{self, private};
use aarch64_cpu::asm::wfe;
use core::arch::global_asm;
use core::mem::offset_of;
use core::panic::PanicInfo;

const SYNC: u64 = 0;
const IRQ: u64 = 1;
const FIQ: u64 = 2;
const SERROR: u64 = 3;

global_asm!(
    include_str!("vectors.S"),
    stack_top = const space::EXCEPTION_STACK_TOP,
    frame_size = const size_of::<Frame>(),
    frame_sp = const offset_of!(Frame, sp),
    frame_elr = const offset_of!(Frame, elr),
    sync = const SYNC,
    irq = const IRQ,
    fiq = const FIQ,
    serror = const SERROR,
    data = const private::va(private::DATA),
    history_loop = const offset_of!(CpuData, history_loop),
    handler = sym rmm_exception,
);

/// The monitor's registers when it took the exception.
#[repr(C, align(16))]
struct Frame {
    x: [u64; 31],
    sp: u64,
    elr: u64,
    spsr: u64,
}

/// Handles an exception. Returns if a fixup expects it; the frame then says where to go on.
extern "C" fn rmm_exception(frame: &mut Frame, kind: u64) {
    let (esr, far) = (ESR_EL2.get(), FAR_EL2.get());
    if kind == SYNC
        && !percpu::data().crashed.get()
        && let Some(target) = fixup::target(frame.elr, esr, far)
    {
        frame.elr = target;
        return;
    }
    crash(frame, kind, esr, far)
}

/// Reports where and why, and stops this CPU.
fn crash(frame: &Frame, kind: u64, esr: u64, far: u64) -> ! {
    let data = percpu::data();
    if data.crashed.replace(true) {
        // An exception during the report of another one.
        stop();
    }
    let name = match kind {
        SYNC => "synchronous exception",
        IRQ => "IRQ",
        FIQ => "FIQ",
        SERROR => "SError",
        _ => "exception",
    };
    let cpu = data.index.get();
    console::write_crash(format_args!("CRASH: {name} in the monitor, CPU {cpu}"));
    console::write_crash(format_args!(
        "  ESR {esr:#018x} FAR {far:#018x} ELR {:#018x} SPSR {:#x}",
        frame.elr, frame.spsr
    ));
    console::write_crash(format_args!(
        "  SP  {:#018x} LR  {:#018x}",
        frame.sp, frame.x[30]
    ));
    // Not in release builds: the registers may hold bytes of a Realm, and the Host reads the
    // console.
    if cfg!(debug_assertions) {
        for (n, x) in frame.x.iter().enumerate() {
            console::write_crash(format_args!("  X{n:<2} {x:#018x}"));
        }
    }
    stop()
}

/// Stops this CPU for ever, interrupts masked. It does not return to the Host: the registers may
/// hold state of a Realm.
fn stop() -> ! {
    loop {
        wfe();
    }
}

/// Reports what is broken and where, and stops this CPU.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let data = percpu::data();
    if !data.crashed.replace(true) {
        let (cpu, why) = (data.index.get(), info.message());
        match info.location() {
            Some(place) => console::write_crash(format_args!("CRASH: CPU {cpu}: {why} at {place}")),
            None => console::write_crash(format_args!("CRASH: CPU {cpu}: {why}")),
        }
    }
    stop()
}
