// SPDX-License-Identifier: BSD-3-Clause
//! Realms for tests, from creation to the last Granule given back.

use super::host::{Host, PAGE};
use super::{EntryReport, RealmCpu, Status};
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::psci;
use rmm_abi::rmi::{
    HashAlgorithm, RealmParams, RecCreateFlags, RecEnter, RecExit, RecExitReason, RecParams,
    RecRun, index_to_mpidr,
};
use rmm_granule::{GRANULE_SIZE, Pa};
use rmm_rtt::entry_size;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::offset_of;
use zerocopy::{FromZeros, IntoBytes};

/// PC of a REC at its first entry.
const PC: u64 = 0x1000;

/// What a Realm is to be made of. Without further wishes: 40 bits of IPA, one start-level RTT at
/// level 0, SHA-256, a VMID of its own.
pub struct RealmBuilder<'h> {
    host: &'h Host,
    params: RealmParams,
}

impl<'h> RealmBuilder<'h> {
    pub(super) fn new(host: &'h Host) -> Self {
        let mut params = RealmParams::new_zeroed();
        params.s2sz = 40;
        params.num_bps = 1;
        params.num_wps = 1;
        params.rtt_num_start = 1;
        params.vmid = host.board().new_vmid();
        Self { host, params }
    }

    /// IPA width, start level and number of start-level RTTs.
    #[must_use]
    pub fn ipa(self, s2sz: u8, rtt_level_start: i64, rtt_num_start: u32) -> Self {
        self.params(|params| {
            params.s2sz = s2sz;
            params.rtt_level_start = rtt_level_start;
            params.rtt_num_start = rtt_num_start;
        })
    }

    /// Hash algorithm.
    #[must_use]
    pub fn hash(self, algorithm: HashAlgorithm) -> Self {
        self.params(|params| params.hash_algo = algorithm as u8)
    }

    /// Any parameter; `rtt_base`, if still zero, is chosen later.
    #[must_use]
    pub fn params(mut self, change: impl FnOnce(&mut RealmParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// The parameters as they are, with nothing done for them.
    #[must_use]
    pub fn given(self) -> RealmParams {
        self.params
    }

    /// The parameters, with start-level RTTs delegated.
    ///
    /// # Panics
    /// If the monitor does not take them.
    #[must_use]
    pub fn prepared(self) -> RealmParams {
        let mut params = self.params;
        let count = u64::from(params.rtt_num_start);
        if params.rtt_base == 0 {
            params.rtt_base = self
                .host
                .pages(count, (count * PAGE).next_power_of_two().max(PAGE));
        }
        for n in 0..count {
            self.host.delegate(params.rtt_base + n * PAGE);
        }
        params
    }

    /// Creates the Realm: NEW, without RECs, tables below the start level, or memory.
    ///
    /// # Panics
    /// If the monitor does not.
    #[must_use]
    pub fn create(self) -> TestRealm<'h> {
        let host = self.host;
        let params = self.prepared();
        let rd = host.granule();
        let params_ptr = host.page_with(params.as_bytes());
        assert_eq!(host.realm_create(rd, params_ptr), Status::Success);
        let start = (0..u64::from(params.rtt_num_start)).map(|n| params.rtt_base + n * PAGE);
        TestRealm {
            host,
            rd,
            params,
            recs: RefCell::default(),
            granules: RefCell::new(start.chain([rd]).collect()),
            may_be_unfinished: Cell::new(false),
            is_gone: Cell::new(false),
        }
    }

    /// Creates the Realm with `recs` RECs, of which the first is runnable, and activates it.
    ///
    /// # Panics
    /// If the monitor does not.
    #[must_use]
    pub fn active(self, recs: u64) -> TestRealm<'h> {
        let realm = self.create();
        for n in 0..recs {
            let _rec = realm.rec(n == 0);
        }
        realm.activate();
        realm
    }
}

/// A REC as its Host knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRec {
    /// The REC Granule.
    pub rec: u64,
    /// The auxiliary Granules.
    pub aux: Vec<u64>,
    /// The page of `RmiRecRun`.
    pub run: u64,
}

/// A Realm as its Host knows it. The drop destroys it and takes back every Granule.
pub struct TestRealm<'h> {
    /// The Host.
    pub host: &'h Host,
    /// The RD Granule.
    pub rd: u64,
    /// What it was created from.
    pub params: RealmParams,
    recs: RefCell<Vec<TestRec>>,
    /// Granules delegated for it.
    granules: RefCell<Vec<u64>>,
    may_be_unfinished: Cell<bool>,
    is_gone: Cell<bool>,
}

impl TestRealm<'_> {
    /// First IPA of the Unprotected half.
    #[must_use]
    pub fn unprotected(&self) -> u64 {
        1 << (self.params.s2sz - 1)
    }

    /// First IPA beyond the IPA space.
    #[must_use]
    pub fn end(&self) -> u64 {
        1 << self.params.s2sz
    }

    /// A Granule for this Realm, delegated.
    #[must_use]
    pub fn granule(&self) -> u64 {
        let pa = self.host.granule();
        self.granules.borrow_mut().push(pa);
        pa
    }

    /// Granules in a row, aligned, delegated.
    #[must_use]
    pub fn granules(&self, count: u64, align: u64) -> u64 {
        let base = self.host.pages(count, align);
        self.host.leniently(|| {
            for pa in (base..).step_by(GRANULE_SIZE).take(to_usize(count)) {
                self.host.delegate(pa);
                self.granules.borrow_mut().push(pa);
            }
        });
        base
    }

    /// Parameters of the REC with this index, with auxiliary Granules.
    ///
    /// # Panics
    /// If there are not as many as the monitor wants.
    #[must_use]
    pub fn rec_params(&self, index: u64, runnable: bool) -> RecParams {
        let mut params = RecParams::new_zeroed();
        if runnable {
            params.flags = RecCreateFlags::RUNNABLE.bits();
        }
        params.mpidr = index_to_mpidr(index);
        params.pc = PC;
        let (status, count) = self.host.rec_aux_count(self.rd);
        assert_eq!(status, Status::Success);
        params.num_aux = count;
        for aux in &mut params.aux[..to_usize(count)] {
            *aux = self.granule();
        }
        params
    }

    /// Creates the next REC and returns its index.
    ///
    /// # Panics
    /// If the monitor does not.
    #[must_use]
    pub fn rec(&self, runnable: bool) -> usize {
        let index = self.recs.borrow().len();
        self.rec_with(&self.rec_params(index as u64, runnable))
    }

    /// Creates the next REC from these parameters and returns its index.
    ///
    /// # Panics
    /// If the monitor does not.
    pub fn rec_with(&self, params: &RecParams) -> usize {
        let rec = self.granule();
        let params_ptr = self.host.page_with(params.as_bytes());
        let status = self.host.rec_create(self.rd, rec, params_ptr);
        assert_eq!(status, Status::Success);
        let mut recs = self.recs.borrow_mut();
        recs.push(TestRec {
            rec,
            aux: params.aux[..to_usize(params.num_aux)].to_vec(),
            run: self.host.page(),
        });
        recs.len() - 1
    }

    /// What the Host knows of a REC.
    #[must_use]
    pub fn rec_of(&self, index: usize) -> TestRec {
        self.recs.borrow()[index].clone()
    }

    /// The REC Granule of a REC.
    #[must_use]
    pub fn rec_pa(&self, index: usize) -> u64 {
        self.recs.borrow()[index].rec
    }

    /// Activates the Realm.
    ///
    /// # Panics
    /// If the monitor does not.
    pub fn activate(&self) {
        assert_eq!(self.host.realm_activate(self.rd), Status::Success);
    }

    /// Creates what tables are missing for `ipa` down to `level`.
    ///
    /// # Panics
    /// If the monitor does not.
    pub fn tables(&self, ipa: u64, level: i64) {
        for level in self.params.rtt_level_start + 1..=level {
            let base = ipa & !(size_at(level - 1) - 1);
            if self.entry(base, level - 1).state != 2 {
                let status = self.host.rtt_create(self.rd, self.granule(), base, level);
                assert_eq!(status, Status::Success, "table of level {level}");
            }
        }
    }

    /// The entry that a walk to `level` reaches.
    ///
    /// # Panics
    /// If the monitor does not tell.
    #[must_use]
    pub fn entry(&self, ipa: u64, level: i64) -> EntryReport {
        let (status, entry) = self.host.rtt_read_entry(self.rd, ipa, level);
        assert_eq!(status, Status::Success);
        entry
    }

    /// Maps a page of memory with this content at `ipa` by DATA_CREATE, its tables included;
    /// returns the DATA Granule.
    ///
    /// # Panics
    /// If the monitor does not.
    pub fn data(&self, ipa: u64, content: &[u8]) -> u64 {
        self.tables(ipa, 3);
        let data = self.granule();
        let src = self.host.page_with(content);
        let status = self.host.data_create(self.rd, data, ipa, src, 0);
        assert_eq!(status, Status::Success);
        data
    }

    /// Maps a page of memory at `ipa` by DATA_CREATE_UNKNOWN, its tables included; returns the DATA
    /// Granule.
    ///
    /// # Panics
    /// If the monitor does not.
    pub fn unknown(&self, ipa: u64) -> u64 {
        self.tables(ipa, 3);
        let data = self.granule();
        let status = self.host.data_create_unknown(self.rd, data, ipa);
        assert_eq!(status, Status::Success);
        data
    }

    /// Gives `[base, top)` the RIPAS RAM, in as many steps as it takes.
    ///
    /// # Panics
    /// If the monitor does not.
    pub fn ram(&self, base: u64, top: u64) {
        let mut next = base;
        while next < top {
            let (status, out_top) = self.host.rtt_init_ripas(self.rd, next, top);
            assert_eq!(status, Status::Success);
            next = out_top;
        }
    }

    /// Maps a block of memory of 2 MiB at `ipa`: 512 pages, folded. Returns its address.
    ///
    /// # Panics
    /// If the monitor does not.
    pub fn block(&self, ipa: u64) -> u64 {
        let base = self.host.leniently(|| {
            let base = self.granules(512, 512 * PAGE);
            self.tables(ipa, 3);
            for offset in (0..512 * PAGE).step_by(GRANULE_SIZE) {
                let status = self
                    .host
                    .data_create_unknown(self.rd, base + offset, ipa + offset);
                assert_eq!(status, Status::Success);
            }
            base
        });
        assert_eq!(self.host.rtt_fold(self.rd, ipa, 3).0, Status::Success);
        base
    }

    /// Maps the Host's page at `pa` at an Unprotected IPA, for reading and writing, its tables
    /// included.
    ///
    /// # Panics
    /// If the monitor does not.
    pub fn share(&self, ipa: u64, pa: u64) {
        self.tables(ipa, 3);
        let desc = pa | NS_ATTRIBUTES;
        let status = self.host.rtt_map_unprotected(self.rd, ipa, 3, desc);
        assert_eq!(status, Status::Success);
    }

    /// Makes `script` what runs in a REC from now on.
    ///
    /// # Panics
    /// If the REC runs.
    pub fn script<F>(&self, rec: usize, script: impl FnOnce(RealmCpu) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let vmpidr = index_to_mpidr_el1(rec as u64);
        self.host
            .board()
            .set_script(self.params.vmid, vmpidr, script);
    }

    /// Scripts need not come to their end.
    pub fn may_be_unfinished(&self) {
        self.may_be_unfinished.set(true);
    }

    /// Enters a REC and returns the exit record.
    ///
    /// # Panics
    /// If RMI_REC_ENTER fails.
    #[must_use]
    pub fn enter(&self, rec: usize) -> RecExit {
        self.enter_with(rec, |_| ())
    }

    /// Enters a REC with these entry fields and returns the exit record.
    ///
    /// # Panics
    /// If RMI_REC_ENTER fails.
    #[must_use]
    pub fn enter_with(&self, rec: usize, fields: impl FnOnce(&mut RecEnter)) -> RecExit {
        let (status, exit) = self.try_enter(rec, fields);
        assert_eq!(status, Status::Success);
        exit
    }

    /// Enters a REC; the exit record is meaningful on success.
    pub fn try_enter(&self, rec: usize, fields: impl FnOnce(&mut RecEnter)) -> (Status, RecExit) {
        let TestRec { rec, run, .. } = self.rec_of(rec);
        self.prepare(run, fields);
        let status = self.host.rec_enter(rec, run);
        let exit = offset_of!(RecRun, exit) as u64;
        (status, self.host.get(run + exit))
    }

    /// Fills a page of `RmiRecRun` for an entry; the exit half is full of what nobody wrote.
    pub fn prepare(&self, run: u64, fields: impl FnOnce(&mut RecEnter)) {
        let mut record = RecRun::new_zeroed();
        record.exit.as_mut_bytes().fill(0xA5);
        fields(&mut record.enter);
        self.host.put(run, &record);
    }

    /// Has REC 0 end the Realm: state SYSTEM_OFF.
    ///
    /// # Panics
    /// If it cannot.
    pub fn turn_off(&self) {
        self.script(0, |cpu| async move {
            let _never = cpu.smc(&[psci::fid::PSCI_SYSTEM_OFF]).await;
        });
        self.may_be_unfinished();
        assert_eq!(self.enter(0).exit_reason, RecExitReason::Psci as u8);
    }

    /// Takes everything away from the Realm and destroys it, its RECs first.
    fn tear_down(&self) {
        let word = |pa| self.host.board().word(pa).unwrap_or(0) >> 12;
        for rec in self.recs.borrow().iter() {
            if word(rec.rec) == 3 {
                assert_eq!(self.host.rec_destroy(rec.rec), Status::Success);
            }
        }
        let spare = || self.granule();
        empty(
            self.host,
            self.rd,
            self.params.s2sz,
            self.params.rtt_level_start,
            &spare,
        );
        assert_eq!(self.host.realm_destroy(self.rd), Status::Success);
        for pa in self.granules.borrow().iter() {
            if word(*pa) == 1 {
                self.host.undelegate(*pa);
            }
            assert_eq!(word(*pa), 0, "{pa:#x} does not come back");
            self.host.board().memory.assert_no_stale(Pa(*pa));
        }
    }

    /// Destroys the Realm, as the drop does.
    ///
    /// # Panics
    /// If something does not come back as it was lent, or a script did not come to its end.
    pub fn destroy(&self) {
        if !self.is_gone.replace(true) {
            self.host.leniently(|| self.tear_down());
            let unfinished = self.host.board().forget_scripts(self.params.vmid);
            let finished = unfinished.is_empty() || self.may_be_unfinished.get();
            assert!(finished, "scripts of RECs {unfinished:x?} did not end");
        }
    }

    /// The test has destroyed the Realm itself.
    pub fn is_gone(&self) {
        self.is_gone.set(true);
    }
}

impl Drop for TestRealm<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.destroy();
        }
    }
}

/// Takes all memory and tables from the Realm at `rd`; `spare` gives Granules for unfolding.
pub(super) fn empty(host: &Host, rd: u64, s2sz: u8, start_level: i64, spare: &dyn Fn() -> u64) {
    let tree = Tree {
        host,
        rd,
        unprotected: 1 << (s2sz - 1),
        spare,
    };
    for ipa in (0..1 << s2sz).step_by(to_usize(size_at(start_level))) {
        tree.empty_entry(ipa, start_level);
    }
}

/// The tables of a Realm.
struct Tree<'a> {
    host: &'a Host,
    rd: u64,
    unprotected: u64,
    spare: &'a dyn Fn() -> u64,
}

impl Tree<'_> {
    /// Empties the entry of `level` at `ipa`.
    fn empty_entry(&self, ipa: u64, level: i64) {
        let (host, rd) = (self.host, self.rd);
        let (status, entry) = host.rtt_read_entry(rd, ipa, level);
        assert_eq!(status, Status::Success);
        let protected = ipa < self.unprotected;
        match entry.state {
            1 if protected && level == 3 => {
                assert_eq!(host.data_destroy(rd, ipa).0, Status::Success);
            }
            1 if !protected => {
                let (status, _) = host.rtt_unmap_unprotected(rd, ipa, level);
                assert_eq!(status, Status::Success);
            }
            0 => {}
            state => {
                let child = level + 1;
                if state == 1 {
                    let status = host.rtt_create(rd, (self.spare)(), ipa, child);
                    assert_eq!(status, Status::Success);
                }
                for n in 0..512 {
                    self.empty_entry(ipa + n * size_at(child), child);
                }
                assert_eq!(host.rtt_destroy(rd, ipa, child).0, Status::Success);
            }
        }
    }
}

/// MemAttr Normal Write-Back, S2AP read and write.
const NS_ATTRIBUTES: u64 = 6 << 2 | 3 << 6;

fn size_at(level: i64) -> u64 {
    entry_size(i8::try_from(level).expect("a level"))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("64 bits")
}
