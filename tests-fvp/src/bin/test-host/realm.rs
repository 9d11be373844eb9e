// SPDX-License-Identifier: BSD-3-Clause
//! A Realm: created step by step, and destroyed with a look at every granule that comes back.

use crate::check::{Check, ensure, ensure_eq};
use crate::dialect;
use crate::pool::{self, GRANULE};
use crate::rec::Rec;
use crate::rmi;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, Ordering};
use rmm_abi::rmi::{DataFlags, RealmParams, RecCreateFlags, RecParams, index_to_mpidr, v2};
use tests_fvp::protocol::layout;
use zerocopy::{FromZeros, IntoBytes};

/// The test Realm's image.
#[cfg(not(any(clippy, doc)))]
pub static IMAGE: &[u8] = include_bytes!(env!("REALM_IMAGE", "the packed test Realm's file"));
/// Clippy and rustdoc look at the code without an image.
#[cfg(any(clippy, doc))]
pub static IMAGE: &[u8] = &[];

/// What a Realm is created with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// IPA width in bits.
    pub s2sz: u8,
    /// Start level.
    pub level: i64,
    /// Start level tables.
    pub tables: u32,
    /// RmiHashAlgorithm.
    pub hash: u8,
    /// RmiRealmFlags.
    pub flags: u64,
    /// Vector length in units of 128 bits minus one.
    pub sve_vl: u8,
    /// Breakpoints minus one.
    pub num_bps: u8,
    /// Watchpoints minus one.
    pub num_wps: u8,
    /// PMU counters.
    pub pmu_num_ctrs: u8,
    /// Realm Personalization Value.
    pub rpv: [u8; 64],
    /// VMID; `None` for one that was not used lately.
    pub vmid: Option<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Config {
    /// 40 bits from one table of level 0, SHA-256, nothing optional.
    pub const DEFAULT: Self = Self {
        s2sz: 40,
        level: 0,
        tables: 1,
        hash: 0,
        flags: 0,
        sve_vl: 0,
        num_bps: 1,
        num_wps: 1,
        pmu_num_ctrs: 0,
        rpv: [0x5A; 64],
        vmid: None,
    };

    /// RmiRealmParams with the start level tables at an address.
    pub fn params(&self, rtt_base: u64) -> RealmParams {
        let mut params = RealmParams::new_zeroed();
        params.flags = self.flags;
        params.s2sz = self.s2sz;
        params.sve_vl = self.sve_vl;
        params.num_bps = self.num_bps;
        params.num_wps = self.num_wps;
        params.pmu_num_ctrs = self.pmu_num_ctrs;
        params.hash_algo = self.hash;
        params.rpv = self.rpv;
        params.vmid = self.vmid.unwrap_or_else(next_vmid);
        params.rtt_base = rtt_base;
        params.rtt_level_start = self.level;
        params.rtt_num_start = self.tables;
        params
    }

    /// As [`Self::params`], for RMI 2.0: the monitor chooses the VMID.
    pub fn params_2(&self, rtt_base: u64) -> v2::RealmParams {
        let mut params = v2::RealmParams::new_zeroed();
        // LPA2, SVE and PMU are the same bits.
        params.flags0 = self.flags;
        params.s2sz = self.s2sz;
        params.sve_vl = self.sve_vl;
        params.num_bps = self.num_bps;
        params.num_wps = self.num_wps;
        params.pmu_num_ctrs = self.pmu_num_ctrs;
        params.hash_algo = self.hash;
        params.rpv = self.rpv;
        params.rtt_base = rtt_base;
        params.rtt_level_start = self.level;
        params.rtt_num_start = self.tables;
        params
    }

    /// First address of the Unprotected half.
    pub fn unprotected(&self) -> u64 {
        1 << (self.s2sz - 1)
    }
}

/// A VMID that was not used lately, below 256.
fn next_vmid() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed) & 0xFF
}

/// What a Host chooses in a descriptor for unprotected memory: read and write, Normal Write-Back.
pub const ATTRIBUTES: u64 = 3 << 6 | 6 << 2;

/// The same, which the Realm can only read.
pub const READ_ONLY: u64 = 1 << 6 | 6 << 2;

/// Bytes that an entry at a level stands for.
pub const fn entry_size(level: u64) -> u64 {
    GRANULE << (9 * (3 - level))
}

/// A Realm, and the granules that the Host has delegated for it.
pub struct Realm {
    /// The RD.
    pub rd: u64,
    /// The first start level table.
    pub rtt_base: u64,
    /// What it was created with.
    pub config: Config,
    /// RTTs: level, first IPA, address.
    pub tables: Vec<(u64, u64, u64)>,
    /// DATA granules: IPA, address.
    pub pages: Vec<(u64, u64)>,
    /// RECs, by index.
    pub recs: Vec<Rec>,
    living: bool,
}

impl Realm {
    /// Creates a Realm, state NEW.
    pub fn new(config: &Config) -> Check<Self> {
        let tables = u64::from(config.tables);
        let rd = pool::take_delegated()?;
        let rtt_base = pool::take_delegated_row(tables, tables * GRANULE)?;
        if let Err(why) = dialect::spoken().create_realm(config, rd, rtt_base) {
            pool::give_delegated(rd)?;
            pool::give_delegated_row(rtt_base, tables)?;
            return Err(why);
        }
        Ok(Self {
            rd,
            rtt_base,
            config: *config,
            tables: Vec::new(),
            pages: Vec::new(),
            recs: Vec::new(),
            living: true,
        })
    }

    /// A Realm with the test image, `recs` RECs of which the first is runnable, state ACTIVE.
    pub fn running(config: &Config, recs: u64, mode: u64) -> Check<Self> {
        let mut realm = Self::loaded(config)?;
        for n in 0..recs {
            realm.add_rec(n == 0, &[mode, config.unprotected()])?;
        }
        realm.activate()?;
        Ok(realm)
    }

    /// A Realm with the test image, state NEW.
    pub fn loaded(config: &Config) -> Check<Self> {
        let mut realm = Self::new(config)?;
        let top = layout::BASE + layout::SIZE;
        realm.add_tables(layout::BASE, 3)?;
        if !dialect::is_v2() {
            realm.init_ripas(layout::BASE, top)?;
        }
        let pages = (layout::BASE..top).step_by(GRANULE as usize);
        let mut image = IMAGE.chunks(GRANULE as usize);
        for ipa in pages {
            match image.next() {
                Some(bytes) => realm.add_page(ipa, bytes, DataFlags::MEASURE.bits())?,
                None => realm.add_unknown(ipa)?,
            };
        }
        ensure!(image.next().is_none(), "the image is larger than the Realm");
        if dialect::is_v2() {
            // As Linux: when the content is there.
            realm.init_ripas(layout::BASE, top)?;
        }
        Ok(realm)
    }

    /// A Realm of one page of code, with the REC that runs it from its first instruction, state
    /// NEW.
    pub fn of_code(config: &Config, code: &[u32], gprs: &[u64]) -> Check<Self> {
        let mut realm = Self::new(config)?;
        realm.add_tables(layout::BASE, 3)?;
        realm.init_ripas(layout::BASE, layout::BASE + GRANULE)?;
        realm.add_page(layout::BASE, code.as_bytes(), DataFlags::MEASURE.bits())?;
        realm.add_rec(true, gprs)?;
        Ok(realm)
    }

    /// Creates the missing RTTs down to a level, for an IPA.
    pub fn add_tables(&mut self, ipa: u64, level: u64) -> Check {
        for level in (self.config.level + 1).cast_unsigned()..=level {
            // The range of the parent's entry; the parent may be level -1.
            let base = ipa & !((entry_size(level) << 9) - 1);
            if self.table(level, base).is_none() {
                self.add_table(base, level)?;
            }
        }
        Ok(())
    }

    /// Maps a page of the Host, with the attributes of its descriptor, at an Unprotected IPA. Returns
    /// its address; the caller gives it back.
    pub fn share(&mut self, ipa: u64, attributes: u64) -> Check<u64> {
        let memory = pool::take_one()?;
        self.add_tables(ipa, 3)?;
        dialect::spoken().map_unprotected(self.rd, ipa, 3, memory | attributes)?;
        Ok(memory)
    }

    /// The address of the RTT of a level that begins at an IPA.
    pub fn table(&self, level: u64, base: u64) -> Option<u64> {
        let found = self
            .tables
            .iter()
            .find(|table| (table.0, table.1) == (level, base))?;
        Some(found.2)
    }

    /// Creates one RTT. Returns its address.
    pub fn add_table(&mut self, ipa: u64, level: u64) -> Check<u64> {
        let rtt = pool::take_delegated()?;
        if let Err(why) = rmi::rtt_create(self.rd, rtt, ipa, level).ok("RMI_RTT_CREATE") {
            pool::give_delegated(rtt)?;
            return Err(why);
        }
        self.tables.push((level, ipa, rtt));
        Ok(rtt)
    }

    /// Drops an RTT that a command has returned from the list. Returns its address.
    pub fn forget_table(&mut self, level: u64, ipa: u64) -> Check<u64> {
        let wanted = |table: &(u64, u64, u64)| (table.0, table.1) == (level, ipa);
        let n = self.tables.iter().position(wanted).ok_or("no such table")?;
        Ok(self.tables.swap_remove(n).2)
    }

    /// Destroys one RTT and undelegates its granule.
    pub fn remove_table(&mut self, ipa: u64, level: u64) -> Check<u64> {
        let out = rmi::rtt_destroy(self.rd, ipa, level).ok("RMI_RTT_DESTROY")?;
        let rtt = self.forget_table(level, ipa)?;
        ensure_eq!(out[0], rtt, "RTT given back");
        pool::give_delegated(rtt)?;
        Ok(out[1])
    }

    /// Folds a table and undelegates its granule.
    pub fn fold(&mut self, ipa: u64, level: u64) -> Check {
        let out = rmi::rtt_fold(self.rd, ipa, level).ok("RMI_RTT_FOLD")?;
        let rtt = self.forget_table(level, ipa)?;
        ensure_eq!(out[0], rtt, "RTT given back");
        pool::give_delegated(rtt)
    }

    /// Makes 2 MiB of memory one block, at an IPA that a level 3 table begins at. Returns its
    /// address.
    pub fn add_block(&mut self, ipa: u64) -> Check<u64> {
        let block = pool::take_delegated_row(512, entry_size(2))?;
        let mut done = 0;
        while done < 512 {
            let offset = done * GRANULE;
            done += dialect::spoken().map(self.rd, ipa + offset, block + offset, 512 - done)?;
        }
        self.fold(ipa, 3)?;
        Ok(block)
    }

    /// Unfolds a block, destroys its pages, and undelegates them and the table.
    pub fn remove_block(&mut self, ipa: u64, block: u64) -> Check {
        self.add_table(ipa, 3)?;
        for offset in (0..entry_size(2)).step_by(GRANULE as usize) {
            let (data, _) = dialect::spoken().unmap(self.rd, ipa + offset)?;
            ensure_eq!(data, block + offset, "data");
            pool::give_delegated(block + offset)?;
        }
        self.remove_table(ipa, 3).map(drop)
    }

    /// Makes IPAs RAM, in as many calls as that needs.
    pub fn init_ripas(&self, mut base: u64, top: u64) -> Check {
        while base < top {
            let next = rmi::rtt_init_ripas(self.rd, base, top).ok("RMI_RTT_INIT_RIPAS")?[0];
            ensure!(
                next > base && next <= top,
                "RMI_RTT_INIT_RIPAS from {base:#x}: {next:#x}"
            );
            base = next;
        }
        Ok(())
    }

    /// Adds a page with content. Returns its address.
    pub fn add_page(&mut self, ipa: u64, bytes: &[u8], flags: u64) -> Check<u64> {
        let source = pool::take_one()?;
        pool::fill(source, 1, 0);
        pool::write_bytes(source, bytes);
        let data = pool::take_delegated()?;
        let answer = rmi::data_create(self.rd, data, ipa, source, flags);
        pool::give(source, 1);
        self.page_added(ipa, data, answer.ok("RMI_DATA_CREATE").map(drop))
    }

    /// Adds a page without content. Returns its address.
    pub fn add_unknown(&mut self, ipa: u64) -> Check<u64> {
        let data = pool::take_delegated()?;
        let mapped = dialect::spoken().map(self.rd, ipa, data, 1);
        self.page_added(ipa, data, mapped.map(drop))
    }

    fn page_added(&mut self, ipa: u64, data: u64, result: Check) -> Check<u64> {
        match result {
            Ok(()) => {
                self.pages.push((ipa, data));
                Ok(data)
            }
            Err(why) => {
                pool::give_delegated(data)?;
                Err(why)
            }
        }
    }

    /// Destroys a page and undelegates its granule. Returns `top`.
    pub fn remove_page(&mut self, ipa: u64) -> Check<u64> {
        let (data, top) = self.destroy_page(ipa)?;
        pool::give_delegated(data)?;
        Ok(top)
    }

    /// Destroys a page; its granule stays delegated. Returns its address and `top`.
    pub fn destroy_page(&mut self, ipa: u64) -> Check<(u64, u64)> {
        let (destroyed, top) = dialect::spoken().unmap(self.rd, ipa)?;
        // From the end: a Realm is taken down from there.
        let found = self.pages.iter().rposition(|page| page.0 == ipa);
        let (_, data) = self.pages.swap_remove(found.ok_or("no such page")?);
        ensure_eq!(destroyed, data, "DATA given back");
        Ok((data, top))
    }

    /// Creates the next REC, which starts at the test image.
    pub fn add_rec(&mut self, runnable: bool, gprs: &[u64]) -> Check<usize> {
        self.add_rec_at(layout::BASE, runnable, gprs)
    }

    /// Creates the next REC, which starts at an IPA.
    pub fn add_rec_at(&mut self, pc: u64, runnable: bool, gprs: &[u64]) -> Check<usize> {
        let count = dialect::spoken().aux_count(self.rd)?;
        ensure!(count <= 16, "RMI_REC_AUX_COUNT: {count}");
        let rec = pool::take_delegated()?;
        let mut aux = Vec::new();
        for _ in 0..count {
            aux.push(pool::take_delegated()?);
        }
        let index = self.recs.len();
        let mut params = rec_params(index as u64, runnable, gprs, &aux);
        params.pc = pc;
        let page = pool::take_one()?;
        pool::write_bytes(page, params.as_bytes());
        let created = rmi::rec_create(self.rd, rec, page).ok("RMI_REC_CREATE");
        pool::give(page, 1);
        if let Err(why) = created {
            aux.push(rec);
            aux.into_iter().try_for_each(pool::give_delegated)?;
            return Err(why);
        }
        let run = pool::take_one()?;
        pool::fill(run, 1, 0);
        self.recs.push(Rec {
            pa: rec,
            run,
            aux,
            gic: Default::default(),
        });
        Ok(index)
    }

    /// Activates the Realm.
    pub fn activate(&self) -> Check {
        rmi::realm_activate(self.rd)
            .ok("RMI_REALM_ACTIVATE")
            .map(drop)
    }

    /// Enters the first REC until it asks for its first command.
    pub fn boot(&self) -> Check<&Rec> {
        let rec = self.recs.first().ok_or("no REC")?;
        rec.boot()?;
        Ok(rec)
    }

    /// Destroys everything and undelegates every granule.
    pub fn finish(mut self) -> Check {
        self.tear_down()
    }

    fn tear_down(&mut self) -> Check {
        self.living = false;
        // Continue after a failure, which is reported; what remains is lost to the pool.
        let mut result = Ok(());
        let mut note = |step: Check| {
            if result.is_ok() {
                result = step;
            }
        };
        for rec in core::mem::take(&mut self.recs) {
            note(rec.destroy());
        }
        while let Some((ipa, _)) = self.pages.last().copied() {
            let step = self.remove_page(ipa).map(drop);
            if step.is_err() {
                self.pages.pop();
            }
            note(step);
        }
        note(dialect::spoken().end_realm(self.rd));
        self.tables.sort_unstable_by_key(|table| table.0);
        while let Some((level, ipa, _)) = self.tables.last().copied() {
            let step = self.remove_table(ipa, level).map(drop);
            if step.is_err() {
                self.tables.pop();
            }
            note(step);
        }
        let destroyed = rmi::realm_destroy(self.rd)
            .ok("RMI_REALM_DESTROY")
            .map(drop);
        if destroyed.is_ok() {
            note(pool::give_delegated(self.rd));
            note(pool::give_delegated_row(
                self.rtt_base,
                u64::from(self.config.tables),
            ));
        }
        note(destroyed);
        result
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        if self.living {
            // A test has failed already; this only cleans up for the next one.
            let _ = self.tear_down();
        }
    }
}

/// RmiRecParams of the test Realm's REC `index`.
pub fn rec_params(index: u64, runnable: bool, gprs: &[u64], aux: &[u64]) -> RecParams {
    let mut params = RecParams::new_zeroed();
    if runnable {
        params.flags = RecCreateFlags::RUNNABLE.bits();
    }
    params.mpidr = index_to_mpidr(index);
    params.pc = layout::BASE;
    params.gprs[..gprs.len()].copy_from_slice(gprs);
    params.num_aux = aux.len() as u64;
    params.aux[..aux.len()].copy_from_slice(aux);
    params
}
