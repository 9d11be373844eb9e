// SPDX-License-Identifier: BSD-3-Clause
//! An emulated PL011. Its transmit FIFO is always empty. What the Realm sends goes to the Host's
//! console: line by line with a name before each, or byte by byte.
//!
//! While the guest's console has no input, its registers are a page that the Realm may read: what it
//! reads costs no exit, which for each character sent is two of three accesses. Its writes are stage 2
//! permission faults, and reach the Host as accesses to emulate. A read of the data register takes a
//! byte of input, so the page is unmapped while there is input. The port to the relying party is never
//! mapped.

use crate::arch;
use crate::check::Check;
use crate::console::{self, LINE, line};
use crate::dialect;
use crate::pool;
use crate::realm::{READ_ONLY, Realm};
use tests_fvp::text::Text;

/// Register offsets (Arm PrimeCell UART PL011 Technical Reference Manual, 3.2).
const DR: u64 = 0x00;
const FR: u64 = 0x18;
/// IBRD, FBRD, LCR_H, CR and IFLS: they hold what is written, and nothing depends on it.
const PLAIN: u64 = 0x24;
const PLAIN_END: u64 = 0x38;
const IMSC: u64 = 0x38;
const RIS: u64 = 0x3C;
const MIS: u64 = 0x40;
/// Peripheral and PrimeCell identification, eight registers of a byte each.
const ID: u64 = 0xFE0;

/// FR: transmit FIFO empty, receive FIFO empty.
const TXFE: u64 = 1 << 7;
const RXFE: u64 = 1 << 4;
/// IMSC, RIS, MIS: transmit interrupt, asserted by an empty FIFO, and receive interrupt.
const TX: u64 = 1 << 5;
const RX: u64 = 1 << 4;
/// PL011 revision 1p5.
const ID_BYTES: [u64; 8] = [0x11, 0x10, 0x34, 0x00, 0x0D, 0xF0, 0x05, 0xB1];

/// What a Linux kernel says when it starts user space.
const USER_SPACE: &[u8] = b"as init process";

/// Bytes that wait for the Realm at most: more than the relying party sends before it gets an answer.
const INPUT: usize = 4096;

/// How the Host prints what the Realm sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Whole lines, this before each, and nothing but text.
    Lines(&'static str),
    /// Each byte at once, for a terminal.
    Bytes,
}

/// The device.
pub struct Uart {
    output: Output,
    /// The registers.
    page: u64,
    /// The IPA at which the Realm reads the page while there is no input.
    window: Option<u64>,
    line: Text<LINE>,
    input: Input,
    /// Lines sent.
    pub sent: u64,
    /// Counter ticks when the Realm said that it starts user space.
    pub user_space: Option<u64>,
}

impl Uart {
    /// The guest's console after reset, mapped for a Realm at an Unprotected IPA.
    ///
    /// # Errors
    ///
    /// If the pool is empty or the monitor refuses.
    pub fn console(realm: &mut Realm, ipa: u64, output: Output) -> Check<Self> {
        let mut uart = Self::port(output)?;
        realm.add_tables(ipa, 3)?;
        uart.window = Some(ipa);
        uart.map(realm.rd)?;
        Ok(uart)
    }

    /// A device after reset, of which each access has to be emulated.
    ///
    /// # Errors
    ///
    /// If the pool is empty.
    pub fn port(output: Output) -> Check<Self> {
        let page = pool::take_one()?;
        pool::fill(page, 1, 0);
        let uart = Self {
            output,
            page,
            window: None,
            line: Text::new(),
            input: Input::new(),
            sent: 0,
            user_space: None,
        };
        for (offset, byte) in (ID..).step_by(4).zip(ID_BYTES) {
            uart.set(offset, byte);
        }
        uart.update();
        Ok(uart)
    }

    /// Lets the Realm read the page.
    fn map(&self, rd: u64) -> Check {
        if let Some(ipa) = self.window {
            dialect::spoken().map_unprotected(rd, ipa, 3, self.page | READ_ONLY)?;
        }
        Ok(())
    }

    /// Makes each access of the Realm exit.
    fn unmap(&self, rd: u64) -> Check {
        if let Some(ipa) = self.window {
            dialect::spoken().unmap_unprotected(rd, ipa, 3)?;
        }
        Ok(())
    }

    /// A register of 32 bits.
    fn get(&self, offset: u64) -> u64 {
        pool::read(self.page + (offset & !7)) >> (offset % 8 * 8) & 0xFFFF_FFFF
    }

    /// Sets a register of 32 bits.
    fn set(&self, offset: u64, value: u64) {
        let address = self.page + (offset & !7);
        let shift = offset % 8 * 8;
        let other = pool::read(address) & !(0xFFFF_FFFF << shift);
        pool::write(address, other | (value & 0xFFFF_FFFF) << shift);
    }

    /// Sets the registers that depend on the input and on the interrupt mask.
    fn update(&self) {
        let empty = self.input.is_empty();
        self.set(FR, if empty { TXFE | RXFE } else { TXFE });
        let raw = if empty { TX } else { TX | RX };
        self.set(RIS, raw);
        self.set(MIS, raw & self.get(IMSC));
    }

    /// A read of a register by a Realm.
    ///
    /// # Errors
    ///
    /// If the monitor refuses to map the page when there is no more input.
    pub fn read(&mut self, rd: u64, offset: u64) -> Check<u64> {
        if offset != DR || self.input.is_empty() {
            return Ok(self.get(offset & 0xFFC));
        }
        let byte = self.input.take();
        self.update();
        if self.input.is_empty() {
            self.map(rd)?;
        }
        Ok(u64::from(byte))
    }

    /// A write of a register.
    pub fn write(&mut self, offset: u64, value: u64) {
        match offset {
            DR => self.send(value as u8),
            PLAIN..PLAIN_END => self.set(offset, value),
            IMSC => {
                self.set(IMSC, value);
                self.update();
            }
            // ICR clears what the FIFOs assert again; DMACR has no DMA behind it.
            _ => {}
        }
    }

    /// How many more bytes the Realm can be sent.
    pub fn room(&self) -> usize {
        INPUT - self.input.count
    }

    /// Sends a Realm bytes; those without room are lost.
    ///
    /// # Errors
    ///
    /// If the monitor refuses to unmap the page.
    pub fn receive(&mut self, rd: u64, bytes: &[u8]) -> Check {
        // Before the flag says that there is input: a read of the data register must exit.
        if self.input.is_empty() && !bytes.is_empty() {
            self.unmap(rd)?;
        }
        for byte in bytes {
            self.input.put(*byte);
        }
        self.update();
        Ok(())
    }

    /// Whether the interrupt is asserted.
    pub fn interrupt(&self) -> bool {
        self.get(MIS) != 0
    }

    fn send(&mut self, byte: u8) {
        if self.output == Output::Bytes {
            console::print_byte(byte);
        }
        match byte {
            b'\n' => self.end_line(),
            b'\r' => {}
            // Anything but text would confuse who watches.
            b'\t' | b' '..=b'~' => self.line.push(byte),
            _ => self.line.push(b'?'),
        }
    }

    /// Prints a line that has no end yet.
    pub fn flush(&mut self) {
        if !self.line.as_bytes().is_empty() {
            self.end_line();
        }
    }

    /// Gives the page back, once the Realm is gone.
    pub fn finish(&self) {
        pool::give(self.page, 1);
    }

    fn end_line(&mut self) {
        let text = core::mem::take(&mut self.line);
        let bytes = text.as_bytes();
        if let Output::Lines(name) = self.output {
            line!("{name} {}", core::str::from_utf8(bytes).unwrap_or(""));
        }
        self.sent += 1;
        let mut windows = bytes.windows(USER_SPACE.len());
        if self.user_space.is_none() && windows.any(|part| part == USER_SPACE) {
            self.user_space = Some(arch::now());
        }
    }
}

/// Bytes that wait for the Realm, first in, first out. What does not fit is lost.
struct Input {
    bytes: [u8; INPUT],
    first: usize,
    count: usize,
}

impl Input {
    const fn new() -> Self {
        Self {
            bytes: [0; INPUT],
            first: 0,
            count: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn put(&mut self, byte: u8) {
        if self.count < INPUT {
            self.bytes[(self.first + self.count) % INPUT] = byte;
            self.count += 1;
        }
    }

    /// The next byte, 0 if there is none.
    fn take(&mut self) -> u8 {
        if self.is_empty() {
            return 0;
        }
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % INPUT;
        self.count -= 1;
        byte
    }
}
