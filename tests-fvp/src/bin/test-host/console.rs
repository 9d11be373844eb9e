// SPDX-License-Identifier: BSD-3-Clause
//! Whole lines on the board's PL011, which the firmware has set up, out and in.

use crate::{arch, board};
use core::fmt::{self, Write};
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use spin::Mutex;
use tests_fvp::guest::CONSOLE;
use tests_fvp::text::Text;

/// Data register, offset in bytes.
const DR: u64 = 0x00;
/// Flag register.
const FR: u64 = 0x18;
/// Interrupt mask.
const IMSC: u64 = 0x38;
/// FR: transmit FIFO full, receive FIFO empty.
const TXFF: u32 = 1 << 5;
const RXFE: u32 = 1 << 4;
/// IMSC: receive and receive timeout.
const RECEIVE: u32 = 1 << 4 | 1 << 6;

/// Bytes of a line at most; what is longer is cut.
pub const LINE: usize = 1100;

static UART: Mutex<()> = Mutex::new(());

/// Milliseconds without a line after which a Host that makes calls says so.
const QUIET: u64 = 10_000;
/// Counter when the last line was printed.
static PRINTED: AtomicU64 = AtomicU64::new(0);

fn register(offset: u64) -> *mut u32 {
    with_exposed_provenance_mut((board::UART + offset) as usize)
}

/// Sends bytes.
fn send(bytes: impl IntoIterator<Item = u8>) {
    let (data, flags) = (register(DR), register(FR));
    for byte in bytes {
        // SAFETY: the registers of the PL011, mapped as Device memory.
        unsafe {
            while flags.read_volatile() & TXFF != 0 {}
            data.write_volatile(u32::from(byte));
        }
    }
}

/// Prints one line.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Text::<LINE>::new();
    // A `Text` cuts what is too long and never fails.
    let _ = line.write_fmt(arguments);
    let _guard = UART.lock();
    send(line.as_bytes().iter().copied().chain(*b"\n"));
    PRINTED.store(arch::now(), Ordering::Relaxed);
}

/// Prints a byte of a guest's console, which the runner can tell from the lines around it.
pub fn print_byte(byte: u8) {
    let _guard = UART.lock();
    send([CONSOLE, byte]);
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

/// The interrupt has come since [`receive`] was called last.
static INPUT: AtomicBool = AtomicBool::new(false);

/// Lets input raise the UART's interrupt.
pub fn listen() {
    // SAFETY: a register of the PL011, mapped as Device memory.
    unsafe { register(IMSC).write_volatile(RECEIVE) };
}

/// The interrupt handler: masks the interrupt until [`receive`] has read the input.
pub fn interrupted() {
    // SAFETY: as for `listen`.
    unsafe { register(IMSC).write_volatile(0) };
    INPUT.store(true, Ordering::Release);
}

/// What the runner sends.
pub enum Input<'a> {
    /// A whole line.
    Line(&'a [u8]),
    /// A byte for the guest's console.
    Byte(u8),
}

/// Reads the input that the interrupt announced, if it did: as long as the Host has room for `room`
/// bytes of the guest's console. The rest waits in the UART for the next call.
pub fn receive(mut room: usize, mut take: impl FnMut(Input<'_>)) {
    static PARTIAL: Mutex<Partial> = Mutex::new(Partial {
        line: Text::new(),
        marked: false,
    });
    if !INPUT.swap(false, Ordering::AcqRel) {
        return;
    }
    let mut partial = PARTIAL.lock();
    // SAFETY: registers of the PL011, mapped as Device memory.
    while unsafe { register(FR).read_volatile() } & RXFE == 0 {
        if room == 0 {
            INPUT.store(true, Ordering::Release);
            return;
        }
        // SAFETY: likewise.
        let byte = unsafe { register(DR).read_volatile() } as u8;
        if core::mem::take(&mut partial.marked) {
            take(Input::Byte(byte));
            room -= 1;
            continue;
        }
        match byte {
            CONSOLE => partial.marked = true,
            b'\n' => take(Input::Line(core::mem::take(&mut partial.line).as_bytes())),
            byte => partial.line.push(byte),
        }
    }
    listen();
}

/// Whether input waits that [`receive`] had no room for.
pub fn has_input() -> bool {
    INPUT.load(Ordering::Acquire)
}

/// Input up to now.
struct Partial {
    line: Text<LINE>,
    /// The last byte was [`CONSOLE`].
    marked: bool,
}

/// Prints one line.
macro_rules! line {
    ($($argument:tt)*) => {
        $crate::console::print(format_args!($($argument)*))
    };
}
pub(crate) use line;
