// SPDX-License-Identifier: BSD-3-Clause
//! An emulated PL011 that sends to the Host's console, line by line with the Realm's name before
//! each, and receives nothing. Its transmit FIFO is always empty.
//!
//! The registers are a page that the Realm may read: what it reads costs no exit, which for each
//! character sent is two of three accesses. Its writes are stage 2 permission faults, and come to
//! the Host as accesses to emulate.

use crate::arch;
use crate::check::Check;
use crate::console::line;
use crate::pool;
use crate::realm::Realm;
use crate::rmi;
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
const ID_BYTES: [u64; 8] = [0x11, 0x10, 0x34, 0x00, 0x0D, 0xF0, 0x05, 0xB1];

/// Attributes of the page: S2AP read only, MemAttr Normal Write-Back.
const READ_ONLY: u64 = 1 << 6 | 6 << 2;

/// What a Linux kernel says when it starts user space.
const USER_SPACE: &[u8] = b"as init process";

/// The device.
pub struct Uart {
    /// The registers.
    page: u64,
    imsc: u64,
    line: Text<380>,
    /// Counter ticks when the Realm said that it starts user space.
    pub user_space: Option<u64>,
}

impl Uart {
    /// A device after reset, mapped for a Realm at an Unprotected IPA.
    ///
    /// # Errors
    ///
    /// If the pool is empty or the monitor refuses.
    pub fn new(realm: &mut Realm, ipa: u64) -> Check<Self> {
        let page = pool::take_one()?;
        pool::fill(page, 1, 0);
        let uart = Self {
            page,
            imsc: 0,
            line: Text::new(),
            user_space: None,
        };
        uart.set(FR, TXFE_RXFE);
        uart.set(RIS, TX);
        for (offset, byte) in (ID..).step_by(4).zip(ID_BYTES) {
            uart.set(offset, byte);
        }
        realm.add_tables(ipa, 3)?;
        rmi::rtt_map_unprotected(realm.rd, ipa, 3, page | READ_ONLY)
            .ok("RMI_RTT_MAP_UNPROTECTED")?;
        Ok(uart)
    }

    /// Sets a register of 32 bits.
    fn set(&self, offset: u64, value: u64) {
        let address = self.page + (offset & !7);
        let shift = offset % 8 * 8;
        let other = pool::read(address) & !(0xFFFF_FFFF << shift);
        pool::write(address, other | (value & 0xFFFF_FFFF) << shift);
    }

    /// A write of a register.
    pub fn write(&mut self, offset: u64, value: u64) {
        match offset {
            DR => self.send(value as u8),
            PLAIN..PLAIN_END => self.set(offset, value),
            IMSC => {
                self.imsc = value;
                self.set(IMSC, value);
                self.set(MIS, value & TX);
            }
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
        line!("realm: {}", core::str::from_utf8(bytes).unwrap_or(""));
        let mut windows = bytes.windows(USER_SPACE.len());
        if self.user_space.is_none() && windows.any(|part| part == USER_SPACE) {
            self.user_space = Some(arch::now());
        }
    }
}
