// SPDX-License-Identifier: BSD-3-Clause
//! The console: a PL011 that the manifest names, shared with EL3 and the Host.

use crate::boot::ConsoleInfo;
use arm_pl011_uart::{
    DataBits, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer,
};
use core::fmt::{self, Write};
use core::ptr::NonNull;
use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;

/// Slowest input clock in Hz that a baud rate can be derived from. QEMU, whose console has no baud
/// rate, states 1 Hz.
const SLOWEST_CLOCK: u64 = 100_000;

static CONSOLE: Mutex<Option<Uart<'static>>> = Mutex::new(None);

/// Opens the console whose registers are mapped at `registers`.
///
/// # Safety
/// `registers` maps the register page of a PL011, as device memory and for ever, and this function
/// is called once.
pub unsafe fn open(registers: NonNull<u8>, info: &ConsoleInfo) {
    // SAFETY: the caller promises that the registers are mapped, and nothing else here uses them.
    let registers = unsafe { UniqueMmioPointer::new(registers.cast::<PL011Registers>()) };
    let mut uart = Uart::new(registers);
    if info.clock >= SLOWEST_CLOCK
        && let (Ok(baud), Ok(clock)) = (u32::try_from(info.baud), u32::try_from(info.clock))
    {
        let line = LineConfig {
            data_bits: DataBits::Bits8,
            parity: Parity::None,
            stop_bits: StopBits::One,
        };
        // If the clock does not allow the rate, the console stays as EL3 left it.
        let _ = uart.enable(line, baud, clock);
    }
    *CONSOLE.lock() = Some(uart);
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// Writes a line even if this CPU, or one that is stuck, holds the console.
pub fn write_crash(line: fmt::Arguments<'_>) {
    const PATIENCE: u32 = 10_000_000;
    let mut left = PATIENCE;
    while CONSOLE.is_locked() && left > 0 {
        core::hint::spin_loop();
        left -= 1;
    }
    if left == 0 {
        // SAFETY: the holder does not unlock. The monitor is about to stop, and a garbled line
        // says more than none; two writers of the registers do no other harm.
        unsafe { CONSOLE.force_unlock() };
    }
    write(line);
}

/// Writes a line, not mixed with those of other CPUs.
fn write(line: fmt::Arguments<'_>) {
    if let Some(uart) = CONSOLE.lock().as_mut() {
        // Writes to the UART do not fail.
        let _ = writeln!(Lines(uart), "RMM {line}");
    }
}

/// Ends lines as a terminal expects it.
struct Lines<'a>(&'a mut Uart<'static>);

impl Write for Lines<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.0.write_word(b'\r');
            }
            self.0.write_word(byte);
        }
        Ok(())
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        write(format_args!("{}: {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}
