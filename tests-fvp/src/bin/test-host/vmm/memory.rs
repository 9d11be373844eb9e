// SPDX-License-Identifier: BSD-3-Clause
//! The guest's RAM: Non-secure memory in one row, of which each granule is delegated when the Realm
//! needs it, and undelegated when the Realm shares it or is gone.
//!
//! The granule for an IPA is always the same one, private or shared, so that nothing but its state
//! has to be remembered.

use crate::check::{Check, ensure, ensure_eq, fail};
use crate::dialect::{self, SINGLE};
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Realm, entry_size};
use crate::rmi;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{Ordering, fence};
use rmm_abi::rmi::v2::AddressRange;
use rmm_abi::rmi::{DataFlags, RMI_ERROR_RTT, status as rmi_status, status_code, status_index};
use tests_fvp::guest::{BLOCK, RAM};

/// Pages of a level 3 RTT.
const PAGES: usize = (BLOCK / GRANULE) as usize;
/// Bytes that one fault brings in: a compromise between the price of an exit and that of granules
/// that are never used.
const AROUND: u64 = 16 * GRANULE;
/// RmiRipas EMPTY.
const EMPTY: u8 = 0;

/// What a granule of the guest's RAM is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    /// The Host's; the Realm has it as RAM but has not touched it.
    Free,
    /// DATA.
    Data,
    /// The Host's; the Realm has given it up to share it.
    Given,
    /// As [`Page::Given`], and mapped at the Unprotected IPA.
    Shared,
}

/// RTTs of 2 MiB.
#[derive(Clone, Copy, Default)]
struct Block {
    /// There is a level 3 RTT for the Protected IPAs.
    table: bool,
    /// The Unprotected IPAs are mapped by one level 2 entry.
    shared: bool,
}

/// What has happened to the memory.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Granules delegated, and those of them given back so far.
    pub delegated: u64,
    /// Granules undelegated.
    pub undelegated: u64,
    /// Pages that the Realm has shared.
    pub shared: u64,
    /// Level 3 RTTs folded into blocks.
    pub folded: u64,
}

/// The guest's RAM and the Realm it belongs to.
pub struct Memory {
    /// The Realm with its RTTs and RECs; its own list of pages stays empty.
    pub realm: Realm,
    /// Physical address of the first granule, 2 MiB aligned.
    physical: u64,
    end: u64,
    pages: Vec<Page>,
    blocks: Vec<Block>,
    /// What has happened.
    pub counts: Counts,
}

impl Memory {
    /// The memory of a new Realm: IPAs from [`RAM`] to `end`, which [`init_ripas`](Self::init_ripas)
    /// makes RAM.
    pub fn new(realm: Realm, physical: u64, end: u64) -> Self {
        Self {
            realm,
            physical,
            end,
            pages: vec![Page::Free; ((end - RAM) / GRANULE) as usize],
            blocks: vec![Block::default(); ((end - RAM) / BLOCK) as usize],
            counts: Counts::default(),
        }
    }

    /// Creates the missing RTTs down to a level, for a range of IPAs.
    ///
    /// # Errors
    ///
    /// If a command fails.
    pub fn create_tables(&mut self, range: Range<u64>, level: u64) -> Check {
        ensure!(level < 3, "RTTs of level {level} are made for pages only");
        range
            .step_by(entry_size(level - 1) as usize)
            .try_for_each(|ipa| self.realm.add_tables(ipa, level))
    }

    /// Makes all of the memory RAM.
    ///
    /// # Errors
    ///
    /// If a command fails, because an RTT is missing for example.
    pub fn init_ripas(&mut self, range: Range<u64>) -> Check {
        ensure!(
            range.start == RAM && range.end == self.end,
            "RAM is one range from {RAM:#x}, not {range:#x?}"
        );
        self.realm.init_ripas(range.start, range.end)
    }

    /// Bytes of RAM.
    pub fn bytes(&self) -> u64 {
        self.end - RAM
    }

    /// Whether an IPA is RAM.
    pub fn contains(&self, ipa: u64) -> bool {
        (RAM..self.end).contains(&ipa)
    }

    fn page(&mut self, ipa: u64) -> &mut Page {
        &mut self.pages[((ipa - RAM) / GRANULE) as usize]
    }

    fn block(&mut self, ipa: u64) -> &mut Block {
        &mut self.blocks[((ipa - RAM) / BLOCK) as usize]
    }

    /// The states of the pages of a block.
    fn pages_of(&mut self, block: u64) -> &mut [Page] {
        let first = ((block - RAM) / GRANULE) as usize;
        &mut self.pages[first..first + PAGES]
    }

    /// The granule behind an IPA.
    fn granule(&self, ipa: u64) -> u64 {
        self.physical + (ipa - RAM)
    }

    /// Makes sure that there is a level 3 RTT for an IPA.
    fn add_table(&mut self, ipa: u64) -> Check {
        if !self.block(ipa).table {
            self.realm.add_table(ipa & !(BLOCK - 1), 3)?;
            self.block(ipa).table = true;
        }
        Ok(())
    }

    /// Delegates the granules for a row of pages.
    fn delegate(&mut self, ipa: u64, count: u64) -> Check<u64> {
        let granule = self.granule(ipa);
        dialect::spoken().delegate(granule, count)?;
        self.counts.delegated += count;
        Ok(granule)
    }

    /// Takes back granules in a row, which have to be readable and zero.
    fn undelegate(&mut self, granule: u64, count: u64) -> Check {
        dialect::spoken().undelegate(granule, count)?;
        self.counts.undelegated += count;
        let words = granule..granule + count * GRANULE;
        for address in words.step_by(8) {
            let word = with_exposed_provenance::<u64>(address as usize);
            // SAFETY: memory of the guest's RAM, which the Host has just got back; a fault is
            // reported as the Host's crash.
            let word = unsafe { word.read_volatile() };
            ensure_eq!(word, 0, "returned granule at {address:#x}");
        }
        Ok(())
    }

    /// Loads one page from Non-secure memory, measured: an unmeasured kernel would attest nothing.
    /// Hashing takes about as long as all else a page needs: for Debian's kernel on QEMU 3 s.
    ///
    /// # Errors
    ///
    /// If a command fails.
    pub fn load(&mut self, ipa: u64, source: u64) -> Check {
        ensure!(self.contains(ipa), "load of {ipa:#x}, which is not RAM");
        self.add_table(ipa)?;
        let granule = self.delegate(ipa, 1)?;
        rmi::data_create(
            self.realm.rd,
            granule,
            ipa,
            source,
            DataFlags::MEASURE.bits(),
        )
        .ok("RMI_DATA_CREATE")?;
        *self.page(ipa) = Page::Data;
        Ok(())
    }

    /// Folds the level 3 RTTs of blocks that are full: one entry maps 2 MiB.
    ///
    /// # Errors
    ///
    /// If a command fails.
    pub fn fold(&mut self) -> Check {
        for block in (RAM..self.end).step_by(BLOCK as usize) {
            let full = self.pages_of(block).iter().all(|page| *page == Page::Data);
            if full && self.block(block).table {
                let folded = rmi::rtt_fold(self.realm.rd, block, 3).ok("RMI_RTT_FOLD")?;
                let table = self.realm.forget_table(3, block)?;
                ensure_eq!(folded[0], table, "RTT given back");
                pool::give_delegated(table)?;
                self.block(block).table = false;
                self.counts.folded += 1;
            }
        }
        Ok(())
    }

    /// The Realm has touched a Protected IPA that has no memory: brings in that page and the ones
    /// around it.
    ///
    /// # Errors
    ///
    /// If a command fails.
    pub fn fault(&mut self, ipa: u64) -> Check {
        match *self.page(ipa) {
            Page::Free => {}
            // The other CPU was faster.
            Page::Data => return Ok(()),
            Page::Given | Page::Shared => fail!("fault at {ipa:#x}, which the Realm has shared"),
        }
        self.add_table(ipa)?;
        let first = ipa & !(AROUND - 1);
        let mut next = first;
        while next < first + AROUND {
            let row = (next..first + AROUND).step_by(GRANULE as usize);
            let count = row.take_while(|ipa| *self.page(*ipa) == Page::Free).count() as u64;
            if count > 0 {
                self.map(next, count)?;
            }
            next += count.max(1) * GRANULE;
        }
        Ok(())
    }

    /// Delegates and maps the granules of a row of pages.
    fn map(&mut self, ipa: u64, count: u64) -> Check {
        let granule = self.delegate(ipa, count)?;
        let mut done = 0;
        while done < count {
            let offset = done * GRANULE;
            let (rd, left) = (self.realm.rd, count - done);
            done += dialect::spoken().map(rd, ipa + offset, granule + offset, left)?;
        }
        for n in 0..count {
            *self.page(ipa + n * GRANULE) = Page::Data;
        }
        Ok(())
    }

    /// Applies the RIPAS change that a REC has asked for.
    ///
    /// # Errors
    ///
    /// If a command fails.
    pub fn change_ripas(&mut self, rec: u64, range: Range<u64>, ripas: u8) -> Check {
        ensure!(
            !range.is_empty() && self.contains(range.start) && range.end <= self.end,
            "change of RIPAS of {range:#x?}, which is not RAM"
        );
        if ripas != EMPTY {
            self.unshare(&range)?;
        }
        let mut base = range.start;
        while base < range.end {
            let answer = rmi::rtt_set_ripas(self.realm.rd, rec, base, range.end);
            if status_code(answer.status) == RMI_ERROR_RTT && status_index(answer.status) == 2 {
                // A 2 MiB entry that the change is to divide.
                self.add_table(base)?;
                continue;
            }
            let next = answer.ok("RMI_RTT_SET_RIPAS")?[0];
            ensure!(
                base < next && next <= range.end,
                "RMI_RTT_SET_RIPAS from {base:#x} to {next:#x}"
            );
            base = next;
        }
        if ripas == EMPTY {
            self.give_up(&range)?;
        }
        Ok(())
    }

    /// The Realm is to share these IPAs: takes their DATA granules back.
    fn give_up(&mut self, range: &Range<u64>) -> Check {
        self.unmap(range)?;
        for ipa in range.clone().step_by(GRANULE as usize) {
            if matches!(*self.page(ipa), Page::Given | Page::Shared) {
                continue;
            }
            *self.page(ipa) = Page::Given;
            self.counts.shared += 1;
        }
        Ok(())
    }

    /// The Realm is to have these IPAs for itself: unmaps them at their Unprotected addresses.
    fn unshare(&mut self, range: &Range<u64>) -> Check {
        let half = self.realm.config.unprotected();
        for ipa in range.clone().step_by(GRANULE as usize) {
            if self.block(ipa).shared {
                let block = ipa & !(BLOCK - 1);
                dialect::spoken().unmap_unprotected(self.realm.rd, half + block, 2)?;
                self.block(ipa).shared = false;
                self.pages_of(block).fill(Page::Given);
            }
            if *self.page(ipa) == Page::Shared {
                dialect::spoken().unmap_unprotected(self.realm.rd, half + ipa, 3)?;
                *self.page(ipa) = Page::Given;
            }
            if *self.page(ipa) == Page::Given {
                *self.page(ipa) = Page::Free;
                self.counts.shared -= 1;
            }
        }
        Ok(())
    }

    /// The Realm has touched the Unprotected alias of an IPA that it has shared: maps the page, or
    /// the whole block if all of it is shared.
    ///
    /// # Errors
    ///
    /// If a command fails, or the Realm has not shared the IPA.
    pub fn share(&mut self, ipa: u64) -> Check {
        match *self.page(ipa) {
            Page::Given => {}
            Page::Shared => return Ok(()),
            Page::Free | Page::Data => fail!("access to the alias of {ipa:#x}, which is private"),
        }
        let half = self.realm.config.unprotected();
        let block = ipa & !(BLOCK - 1);
        let has_table = self.realm.table(3, half + block).is_some();
        let whole = self.pages_of(block).iter().all(|page| *page == Page::Given);
        if whole && !has_table {
            self.realm.add_tables(half + block, 2)?;
            let desc = self.granule(block) | ATTRIBUTES;
            dialect::spoken().map_unprotected(self.realm.rd, half + block, 2, desc)?;
            self.block(ipa).shared = true;
            self.pages_of(block).fill(Page::Shared);
        } else {
            self.realm.add_tables(half + block, 3)?;
            let desc = self.granule(ipa) | ATTRIBUTES;
            dialect::spoken().map_unprotected(self.realm.rd, half + ipa, 3, desc)?;
            *self.page(ipa) = Page::Shared;
        }
        Ok(())
    }

    /// Where the Host finds bytes that the Realm has shared, all within one page.
    fn shared(&mut self, ipa: u64, bytes: usize) -> Check<u64> {
        let last = ipa + bytes as u64 - 1;
        ensure!(
            self.contains(ipa) && ipa / GRANULE == last / GRANULE,
            "{bytes} bytes at {ipa:#x} are not within a page of RAM"
        );
        match *self.page(ipa) {
            Page::Given | Page::Shared => Ok(self.granule(ipa)),
            Page::Free | Page::Data => fail!("{ipa:#x} is private, but a device is to use it"),
        }
    }

    /// Reads what the Realm has shared.
    ///
    /// # Errors
    ///
    /// If it has not shared it.
    pub fn read_shared(&mut self, ipa: u64, bytes: &mut [u8]) -> Check {
        let address = self.shared(ipa, bytes.len())?;
        for (n, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: Non-secure memory of the guest's RAM, to which there are no references.
            *byte = unsafe { with_exposed_provenance::<u8>(address as usize + n).read_volatile() };
        }
        // What the Realm wrote before the notification is seen after it.
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Writes where the Realm has shared memory.
    ///
    /// # Errors
    ///
    /// If it has not shared it.
    pub fn write_shared(&mut self, ipa: u64, bytes: &[u8]) -> Check {
        let address = self.shared(ipa, bytes.len())?;
        // The Realm sees data before the index that announces it.
        fence(Ordering::SeqCst);
        for (n, byte) in bytes.iter().enumerate() {
            let to = with_exposed_provenance_mut::<u8>(address as usize + n);
            // SAFETY: as for `read_shared`.
            unsafe { to.write_volatile(*byte) };
        }
        Ok(())
    }

    /// Takes back the DATA granules of these IPAs.
    fn unmap(&mut self, range: &Range<u64>) -> Check {
        if dialect::is_v2() {
            return self.unmap_range(range);
        }
        for ipa in range.clone().step_by(GRANULE as usize) {
            if *self.page(ipa) == Page::Data {
                self.add_table(ipa)?;
                let (granule, _) = dialect::spoken().unmap(self.realm.rd, ipa)?;
                ensure_eq!(granule, self.granule(ipa), "DATA given back");
                self.undelegate(granule, 1)?;
            }
        }
        Ok(())
    }

    /// As [`unmap`](Self::unmap), by ranges and as Linux does it: a block that the range does not cover is
    /// split first.
    fn unmap_range(&mut self, range: &Range<u64>) -> Check {
        let mut next = range.start;
        while next < range.end {
            let answer = rmi::v2::data_unmap(self.realm.rd, next, range.end, SINGLE, 0);
            if answer.status == rmi_status(RMI_ERROR_RTT, 2) && !self.block(next).table {
                self.add_table(next)?;
                continue;
            }
            let out = answer.ok("RMI_RTT_DATA_UNMAP")?;
            ensure!(
                out[0] > next && out[0] <= range.end,
                "RMI_RTT_DATA_UNMAP from {next:#x} to {:#x}",
                out[0]
            );
            let found = AddressRange::from_bits(out[1]);
            if found.count() != 0 {
                ensure_eq!(found.address(), self.granule(next), "DATA given back");
                let level = u64::from(found.level().unsigned_abs());
                let bytes = found.count() * entry_size(level);
                ensure_eq!(bytes, out[0] - next, "bytes given back");
                self.undelegate(found.address(), bytes / GRANULE)?;
            }
            next = out[0];
        }
        Ok(())
    }

    /// Destroys the Realm and takes every granule back.
    ///
    /// # Errors
    ///
    /// If a command fails, or a granule does not come back as it should. What is left stays with
    /// the monitor.
    pub fn finish(mut self) -> Check<Counts> {
        self.unmap(&(RAM..self.end))?;
        let counts = self.counts;
        ensure_eq!(
            counts.undelegated,
            counts.delegated,
            "granules of RAM that are back"
        );
        self.realm.finish()?;
        Ok(counts)
    }
}
