// SPDX-License-Identifier: BSD-3-Clause
//! Whole lines on the board's PL011, which the firmware has set up.

use crate::{arch, board};
use core::fmt::{self, Write};
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Mutex;
use tests_fvp::text::Text;

/// Data register, offset in bytes.
const DR: u64 = 0x00;
/// Flag register.
const FR: u64 = 0x18;
/// FR: transmit FIFO full.
const TXFF: u32 = 1 << 5;

static UART: Mutex<()> = Mutex::new(());

/// Milliseconds without a line after which a Host that makes calls says so.
const QUIET: u64 = 10_000;
/// Counter when the last line was printed.
static PRINTED: AtomicU64 = AtomicU64::new(0);

/// Sends bytes and a line end.
fn send(bytes: &[u8]) {
    let data = with_exposed_provenance_mut::<u32>(board::UART as usize + DR as usize);
    let flags = with_exposed_provenance_mut::<u32>(board::UART as usize + FR as usize);
    for byte in bytes.iter().chain(b"\n") {
        // SAFETY: the registers of the PL011, mapped as Device memory.
        unsafe {
            while flags.read_volatile() & TXFF != 0 {}
            data.write_volatile(u32::from(*byte));
        }
    }
}

/// Prints one line, at most 400 bytes.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Text::<400>::new();
    // A `Text` cuts what is too long and never fails.
    let _ = line.write_fmt(arguments);
    let _guard = UART.lock();
    send(line.as_bytes());
    PRINTED.store(arch::now(), Ordering::Relaxed);
}

/// Prints a line about the calls made so far, if none was printed for [`QUIET`].
pub fn sign_of_life(now: u64, calls: fn() -> u64) {
    if now.wrapping_sub(PRINTED.load(Ordering::Relaxed)) > arch::ticks(QUIET) {
        print(format_args!("host: still at it: {} calls", calls()));
    }
}

/// As [`print`], after a failure: does not wait for a CPU that will never go on.
pub fn print_failing(arguments: fmt::Arguments<'_>) {
    // SAFETY: the lock guards no data, only the order of lines.
    unsafe { UART.force_unlock() };
    print(arguments);
}

/// Prints one line.
macro_rules! line {
    ($($argument:tt)*) => {
        $crate::console::print(format_args!($($argument)*))
    };
}
pub(crate) use line;
