// SPDX-License-Identifier: BSD-3-Clause
//! An emulated virtio block device behind virtio-mmio, with one queue. What it reads and writes
//! for the Realm lies in memory that the Realm has shared with the Host: the queue and, since a
//! Realm's own pages are out of a device's reach, its bounce buffers (virtio 1.2, 2.7, 4.2, 5.2).

use super::memory::Memory;
use super::staged;
use crate::check::{Check, ensure, fail};
use crate::pool::{self, GRANULE};

/// Registers of virtio-mmio, offsets in bytes.
mod register {
    pub const MAGIC: u64 = 0x000;
    pub const VERSION: u64 = 0x004;
    pub const DEVICE_ID: u64 = 0x008;
    pub const DEVICE_FEATURES: u64 = 0x010;
    pub const DEVICE_FEATURES_SEL: u64 = 0x014;
    pub const QUEUE_SEL: u64 = 0x030;
    pub const QUEUE_NUM_MAX: u64 = 0x034;
    pub const QUEUE_NUM: u64 = 0x038;
    pub const QUEUE_READY: u64 = 0x044;
    pub const QUEUE_NOTIFY: u64 = 0x050;
    pub const INTERRUPT_STATUS: u64 = 0x060;
    pub const INTERRUPT_ACK: u64 = 0x064;
    pub const STATUS: u64 = 0x070;
    /// Descriptor table, available ring and used ring: low and high word, 16 bytes apart.
    pub const RINGS: u64 = 0x080;
    pub const RINGS_LAST: u64 = 0x0A4;
    pub const CAPACITY: u64 = 0x100;
}

/// "virt".
const MAGIC: u64 = 0x7472_6976;
const BLOCK_DEVICE: u64 = 2;
/// VIRTIO_F_VERSION_1 and VIRTIO_F_ACCESS_PLATFORM, in the upper word of the features.
const FEATURES_HIGH: u64 = 0b11;
/// Largest queue.
const QUEUE: u64 = 64;
/// A buffer was used.
const USED: u64 = 1;

/// Flags of a descriptor.
const NEXT: u64 = 1;
const WRITE: u64 = 2;
/// Types of a request.
const IN: u64 = 0;
const OUT: u64 = 1;
/// Status bytes of a request.
const OK: u8 = 0;
const UNSUPPORTED: u8 = 2;

/// Bytes of the disk and of a sector.
const SIZE: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// Bytes that are copied at once.
const CHUNK: u64 = 512;

/// The device.
pub struct Disk {
    /// The disk's content, in the pool.
    content: u64,
    /// Bit that Unprotected IPAs have and their private aliases do not.
    unprotected: u64,
    features_sel: u64,
    status: u64,
    queue_sel: u64,
    queue_num: u64,
    queue_ready: u64,
    /// Descriptor table, available ring, used ring.
    rings: [u64; 3],
    /// Available entries seen so far; used entries given so far.
    seen: u16,
    interrupt_status: u64,
    /// Bytes carried.
    pub carried: u64,
}

/// A descriptor.
struct Descriptor {
    address: u64,
    bytes: u64,
    flags: u64,
    next: u64,
}

impl Disk {
    /// A disk that begins with a file that the runner has put into memory, by address and bytes. The rest of
    /// it is zero.
    ///
    /// # Errors
    ///
    /// If the pool is empty or the file too large.
    pub fn new(unprotected: u64, (file, bytes): (u64, u64)) -> Check<Self> {
        ensure!(bytes <= SIZE, "{bytes} bytes are too many for the disk");
        let granules = SIZE / GRANULE;
        let content = pool::take(granules, GRANULE)?;
        pool::fill(content, granules, 0);
        for offset in (0..bytes).step_by(8) {
            pool::write(content + offset, staged::read(file + offset));
        }
        Ok(Self {
            content,
            unprotected,
            features_sel: 0,
            status: 0,
            queue_sel: 0,
            queue_num: 0,
            queue_ready: 0,
            rings: [0; 3],
            seen: 0,
            interrupt_status: 0,
            carried: 0,
        })
    }

    /// Gives the disk's memory back.
    pub fn finish(&self) {
        pool::give(self.content, SIZE / GRANULE);
    }

    /// Whether the interrupt is asserted.
    pub fn interrupt(&self) -> bool {
        self.interrupt_status != 0
    }

    /// A read of a register.
    pub fn read(&self, offset: u64) -> u64 {
        let first_queue = self.queue_sel == 0;
        match offset {
            register::MAGIC => MAGIC,
            register::VERSION => 2,
            register::DEVICE_ID => BLOCK_DEVICE,
            register::DEVICE_FEATURES if self.features_sel == 1 => FEATURES_HIGH,
            register::QUEUE_NUM_MAX if first_queue => QUEUE,
            register::QUEUE_READY if first_queue => self.queue_ready,
            register::INTERRUPT_STATUS => self.interrupt_status,
            register::STATUS => self.status,
            register::CAPACITY => SIZE / SECTOR,
            _ => 0,
        }
    }

    /// A write of a register.
    ///
    /// # Errors
    ///
    /// If a request is not what a driver should send.
    pub fn write(&mut self, offset: u64, value: u64, memory: &mut Memory) -> Check {
        match offset {
            register::DEVICE_FEATURES_SEL => self.features_sel = value,
            register::QUEUE_SEL => self.queue_sel = value,
            register::QUEUE_NUM => self.queue_num = value.min(QUEUE),
            register::QUEUE_READY => self.queue_ready = value & 1,
            register::QUEUE_NOTIFY => self.serve(memory)?,
            register::INTERRUPT_ACK => self.interrupt_status &= !value,
            register::STATUS if value == 0 => {
                (self.queue_ready, self.seen, self.interrupt_status) = (0, 0, 0);
                self.status = 0;
            }
            register::STATUS => self.status = value,
            register::RINGS..=register::RINGS_LAST => {
                let ring = &mut self.rings[((offset - register::RINGS) / 0x10) as usize];
                match offset % 0x10 {
                    0 => *ring = *ring & !0xFFFF_FFFF | value & 0xFFFF_FFFF,
                    4 => *ring = *ring & 0xFFFF_FFFF | value << 32,
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The private alias of an address that the driver gives.
    fn ipa(&self, address: u64) -> u64 {
        address & !self.unprotected
    }

    /// A number of the queue's, of 2, 4 or 8 bytes.
    fn number(&self, memory: &mut Memory, address: u64, bytes: usize) -> Check<u64> {
        let mut word = [0; 8];
        memory.read_shared(self.ipa(address), &mut word[..bytes])?;
        Ok(u64::from_le_bytes(word))
    }

    fn descriptor(&self, memory: &mut Memory, index: u64) -> Check<Descriptor> {
        ensure!(index < self.queue_num, "virtio descriptor {index}");
        let at = self.rings[0] + 16 * index;
        Ok(Descriptor {
            address: self.number(memory, at, 8)?,
            bytes: self.number(memory, at + 8, 4)?,
            flags: self.number(memory, at + 12, 2)?,
            next: self.number(memory, at + 14, 2)?,
        })
    }

    /// Serves every request in the queue.
    fn serve(&mut self, memory: &mut Memory) -> Check {
        ensure!(
            self.queue_ready != 0 && self.queue_num.is_power_of_two(),
            "virtio queue is not ready"
        );
        let [_, available, used] = self.rings;
        while self.number(memory, available + 2, 2)? != u64::from(self.seen) {
            let slot = u64::from(self.seen) % self.queue_num;
            let head = self.number(memory, available + 4 + 2 * slot, 2)?;
            let written = self.request(memory, head)?;
            let entry = head | written << 32;
            let at = self.ipa(used + 4 + 8 * slot);
            memory.write_shared(at, &entry.to_le_bytes())?;
            self.seen = self.seen.wrapping_add(1);
            memory.write_shared(self.ipa(used + 2), &self.seen.to_le_bytes())?;
            self.interrupt_status |= USED;
        }
        Ok(())
    }

    /// One request: header, data, status byte. Returns how many bytes the device has written.
    fn request(&mut self, memory: &mut Memory, head: u64) -> Check<u64> {
        let header = self.descriptor(memory, head)?;
        ensure!(
            header.flags & NEXT != 0 && header.bytes == 16,
            "virtio request without data"
        );
        let kind = self.number(memory, header.address, 4)?;
        let mut position = self.number(memory, header.address + 8, 8)?;
        position = position.saturating_mul(SECTOR);
        let mut next = header.next;
        let mut written = 1;
        for _ in 0..self.queue_num {
            let part = self.descriptor(memory, next)?;
            if part.flags & NEXT == 0 {
                ensure!(
                    part.flags & WRITE != 0 && part.bytes == 1,
                    "virtio request without status"
                );
                let status = if kind <= OUT { OK } else { UNSUPPORTED };
                memory.write_shared(self.ipa(part.address), &[status])?;
                return Ok(written);
            }
            if kind <= OUT {
                self.carry(memory, &part, kind, position)?;
                position += part.bytes;
            }
            if kind == IN {
                written += part.bytes;
            }
            next = part.next;
        }
        fail!("virtio request has no end")
    }

    /// Carries data between disk and Realm.
    fn carry(&mut self, memory: &mut Memory, part: &Descriptor, kind: u64, at: u64) -> Check {
        ensure!(
            at.checked_add(part.bytes).is_some_and(|end| end <= SIZE),
            "virtio request beyond the disk's end"
        );
        let mut buffer = [0; CHUNK as usize];
        for offset in (0..part.bytes).step_by(CHUNK as usize) {
            let bytes = CHUNK.min(part.bytes - offset) as usize;
            let (data, disk) = (&mut buffer[..bytes], self.content + at + offset);
            // Linux aligns a sector's buffer to its size: no chunk crosses a page.
            let ipa = self.ipa(part.address) + offset;
            if kind == OUT {
                memory.read_shared(ipa, data)?;
                pool::write_bytes(disk, data);
            } else {
                for (word, address) in data.chunks_mut(8).zip((disk..).step_by(8)) {
                    word.copy_from_slice(&pool::read(address).to_le_bytes()[..word.len()]);
                }
                memory.write_shared(ipa, data)?;
            }
        }
        self.carried += part.bytes;
        Ok(())
    }
}
