// SPDX-License-Identifier: BSD-3-Clause
//! QEMU's board `virt` as TF-A leaves it: device tree, UART, caches, and the way into the kernel.

use core::fmt::{self, Write};
use core::ops::Range;
use linux_loader::memory::Plan;

core::arch::global_asm!(include_str!("entry.s"));

/// TF-A's device tree, and the memory up to the monitor's, which TF-A leaves to it.
pub const TREE: Range<u64> = 0x4000_0000..0x4000_0000 + TREE_BYTES as u64;
const TREE_BYTES: usize = 1 << 20;

/// Where TF-A has the monitor on this board, behind the device tree: 24 MiB, shared page included.
pub const MONITOR: Range<u64> = TREE.end..TREE.end + (24 << 20);

/// The UART, a PL011 that EL3 has set up: data and flags.
const UARTDR: *mut u32 = 0x0900_0000 as *mut u32;
const UARTFR: *const u32 = 0x0900_0018 as *const u32;
/// The transmit FIFO has no room.
const TXFF: u32 = 1 << 5;

unsafe extern "C" {
    safe fn clean_to_memory(start: u64, end: u64);
    fn enter_kernel_at(kernel: u64, tree: u64) -> !;
    /// What the linker script sets: its address counts.
    static __start: u8;
    static __end: u8;
}

/// Makes memory and the data cache agree on a range.
pub fn clean(range: Range<u64>) {
    clean_to_memory(range.start, range.end);
}

/// The device tree. Only the boot calls it, once.
pub fn device_tree() -> &'static mut [u8] {
    // TF-A wrote it with caches on; here they are off.
    clean(TREE);
    // SAFETY: RAM that TF-A leaves to the device tree, which nobody else uses while this program runs.
    unsafe { core::slice::from_raw_parts_mut(TREE.start as *mut u8, TREE_BYTES) }
}

/// This program with its stack.
pub fn image() -> Range<u64> {
    (&raw const __start) as u64..(&raw const __end) as u64
}

/// Enters the kernel.
///
/// # Safety
///
/// The kernel must be where `plan` says, and the device tree complete. Nothing of this program may be
/// needed any more.
pub unsafe fn enter_kernel(plan: &Plan) -> ! {
    clean(TREE);
    clean(plan.kernel.clone());
    if let Some(initrd) = &plan.initrd {
        clean(initrd.clone());
    }
    // SAFETY: the caller's promise; the exception level, MMU and caches are as EL3 left them, which is
    // what the kernel wants.
    unsafe { enter_kernel_at(plan.kernel.start, TREE.start) }
}

/// Waits for ever.
pub fn halt() -> ! {
    loop {
        // SAFETY: it only waits.
        unsafe { core::arch::asm!("wfi", options(nomem, nostack)) };
    }
}

/// Where messages go.
pub struct Uart;

impl Uart {
    fn put(byte: u8) {
        // SAFETY: the board's UART; its registers have no effect on memory.
        unsafe {
            while UARTFR.read_volatile() & TXFF != 0 {}
            UARTDR.write_volatile(byte.into());
        }
    }
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(Self::put);
        Ok(())
    }
}

/// Prints a line.
macro_rules! println {
    ($($arguments:tt)*) => {{
        use core::fmt::Write;
        // The UART takes everything.
        let _ = writeln!($crate::machine::Uart, $($arguments)*);
    }};
}
pub(crate) use println;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("loader: FAILED: {info}");
    halt()
}
