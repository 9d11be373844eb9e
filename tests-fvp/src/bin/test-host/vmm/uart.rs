// SPDX-License-Identifier: BSD-3-Clause
//! An emulated PL011 that sends to the Host's console, line by line with the Realm's name before
//! each, and receives nothing. Its transmit FIFO is always empty.

use crate::arch;
use crate::console::line;
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
const TXFE_RXFE: u64 = 1 << 7 | 1 << 4;
/// IMSC, RIS, MIS: transmit interrupt, asserted by an empty FIFO.
const TX: u64 = 1 << 5;
/// PL011 revision 1p5.
const ID_BYTES: [u8; 8] = [0x11, 0x10, 0x34, 0x00, 0x0D, 0xF0, 0x05, 0xB1];

/// What a Linux kernel says when it starts user space.
const USER_SPACE: &[u8] = b"as init process";

/// The device.
pub struct Uart {
    plain: [u64; 5],
    imsc: u64,
    line: Text<380>,
    /// Counter ticks when the Realm said that it starts user space.
    pub user_space: Option<u64>,
}

impl Uart {
    /// A device after reset.
    pub const fn new() -> Self {
        Self {
            plain: [0; 5],
            imsc: 0,
            line: Text::new(),
            user_space: None,
        }
    }

    /// A read of a register.
    pub fn read(&self, offset: u64) -> u64 {
        match offset {
            FR => TXFE_RXFE,
            PLAIN..PLAIN_END => self.plain[((offset - PLAIN) / 4) as usize],
            IMSC => self.imsc,
            RIS => TX,
            MIS => TX & self.imsc,
            ID..0x1000 => u64::from(ID_BYTES[((offset - ID) / 4) as usize]),
            // DR of a device that has received nothing; RSR and ILPR.
            _ => 0,
        }
    }

    /// A write of a register.
    pub fn write(&mut self, offset: u64, value: u64) {
        match offset {
            DR => self.send(value as u8),
            PLAIN..PLAIN_END => self.plain[((offset - PLAIN) / 4) as usize] = value,
            IMSC => self.imsc = value,
            // ICR clears what the FIFO asserts again; DMACR has no DMA behind it.
            _ => {}
        }
    }

    /// Whether the interrupt is asserted.
    pub fn interrupt(&self) -> bool {
        self.imsc & TX != 0
    }

    fn send(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end_line(),
            b'\r' => {}
            // Anything but text would confuse who watches.
            b'\t' | b' '..=b'~' => self.line.push(byte),
            _ => self.line.push(b'?'),
        }
    }

    /// Prints a line that has no end yet.
    pub fn finish(&mut self) {
        if !self.line.as_bytes().is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let text = core::mem::take(&mut self.line);
        let bytes = text.as_bytes();
        line!("realm: {}", core::str::from_utf8(bytes).unwrap_or(""));
        let mut windows = bytes.windows(USER_SPACE.len());
        if self.user_space.is_none() && windows.any(|part| part == USER_SPACE) {
            self.user_space = Some(arch::now());
        }
    }
}
