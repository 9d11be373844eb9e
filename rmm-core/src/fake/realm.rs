// SPDX-License-Identifier: BSD-3-Clause
//! Realms for tests, from creation until their last granule is undelegated.

use super::constants::{NS_ATTRIBUTES, PAGE};
use super::host::Host;
use super::realm_cpu::RealmCpu;
use super::reply::{EntryReport, Status};
use super::teardown::{empty, size_at};
use rmm_abi::psci;
use rmm_abi::rmi::{
    HashAlgorithm, RealmParams, RecCreateFlags, RecEnter, RecEnterFlags, RecExit, RecExitReason,
    RecParams, RecRun, index_to_mpidr,
};
use rmm_granule::{GRANULE_SIZE, GranuleState, Pa};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::offset_of;
use zerocopy::{FromZeros, IntoBytes};

/// PC of a REC at its first entry.
const PC: u64 = 0x1000;

impl Host {
    /// Parameters of a new Realm.
    pub fn realm(&self) -> RealmBuilder<'_> {
        RealmBuilder::new(self)
    }
}

/// Parameters of a Realm. Unless changed: 40 bits of IPA, one start-level RTT at level 0, SHA-256,
/// a new VMID.
pub struct RealmBuilder<'h> {
    host: &'h Host,
    params: RealmParams,
}

impl<'h> RealmBuilder<'h> {
    fn new(host: &'h Host) -> Self {
        let mut params = RealmParams::new_zeroed();
        params.s2sz = 40;
        params.num_bps = 1;
        params.num_wps = 1;
        params.rtt_num_start = 1;
        params.vmid = host.board().new_vmid();
        Self { host, params }
    }

    /// Sets IPA width, start level and number of start-level RTTs.
    #[must_use]
    pub fn ipa(self, s2sz: u8, rtt_level_start: i64, rtt_num_start: u32) -> Self {
        self.params(|params| {
            params.s2sz = s2sz;
            params.rtt_level_start = rtt_level_start;
            params.rtt_num_start = rtt_num_start;
        })
    }

    /// Sets the hash algorithm.
    #[must_use]
    pub fn hash(self, algorithm: HashAlgorithm) -> Self {
        self.params(|params| params.hash_algo = algorithm as u8)
    }

    /// Changes any parameter. If `rtt_base` is zero, it is chosen later.
    #[must_use]
    pub fn params(mut self, change: impl FnOnce(&mut RealmParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// The parameters. Nothing is delegated for them.
    #[must_use]
    pub fn unprepared(self) -> RealmParams {
        self.params
    }

    /// The parameters, for which the start-level RTTs have been delegated.
    ///
    /// # Panics
    /// If the monitor refuses.
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

    /// Creates the Realm: NEW, without RECs, memory, and RTTs below the start level.
    ///
    /// # Panics
    /// If the monitor refuses.
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
            allows_unfinished_scripts: Cell::new(false),
            is_destroyed: Cell::new(false),
        }
    }

    /// Creates the Realm with `recs` RECs, of which the first is runnable, and activates it.
    ///
    /// # Panics
    /// If the monitor refuses.
    #[must_use]
    pub fn active(self, recs: u64) -> TestRealm<'h> {
        let realm = self.create();
        for n in 0..recs {
            let _rec = realm.rec(n == 0);
        }
        realm.activate();
        realm
    }

    /// Creates the Realm with `recs` runnable RECs and a page of RAM, all zero, at IPA 0, and
    /// activates it.
    ///
    /// # Panics
    /// If the monitor refuses.
    #[must_use]
    pub fn with_page(self, recs: usize) -> TestRealm<'h> {
        let realm = self.create();
        for _ in 0..recs {
            let _rec = realm.rec(true);
        }
        realm.data(0, &[]);
        realm.activate();
        realm
    }
}

/// Fields of an entry record: these flags, and nothing else.
pub fn entry_flags(flags: RecEnterFlags) -> impl FnOnce(&mut RecEnter) {
    move |enter| enter.flags = flags.bits()
}

/// A REC as its Host knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRec {
    /// The REC granule.
    pub rec: u64,
    /// The auxiliary granules.
    pub aux: Vec<u64>,
    /// The page for `RmiRecRun`.
    pub run: u64,
}

/// A Realm as its Host knows it. The drop destroys the Realm and undelegates its granules.
pub struct TestRealm<'h> {
    /// The Host.
    pub host: &'h Host,
    /// The RD granule.
    pub rd: u64,
    /// Its parameters.
    pub params: RealmParams,
    recs: RefCell<Vec<TestRec>>,
    /// Granules that were delegated for it.
    granules: RefCell<Vec<u64>>,
    allows_unfinished_scripts: Cell<bool>,
    is_destroyed: Cell<bool>,
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

    /// A new granule for this Realm, delegated.
    #[must_use]
    pub fn granule(&self) -> u64 {
        let pa = self.host.granule();
        self.granules.borrow_mut().push(pa);
        pa
    }

    /// New granules side by side, delegated, the first aligned to `align` bytes.
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

    /// Parameters of the REC with this index, with delegated auxiliary granules.
    ///
    /// # Panics
    /// If the monitor refuses.
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
    /// If the monitor refuses.
    #[must_use]
    pub fn rec(&self, runnable: bool) -> usize {
        let index = self.recs.borrow().len();
        self.rec_with(&self.rec_params(index as u64, runnable))
    }

    /// Creates the next REC from these parameters and returns its index.
    ///
    /// # Panics
    /// If the monitor refuses.
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

    /// The REC with this index.
    #[must_use]
    pub fn rec_of(&self, index: usize) -> TestRec {
        self.recs.borrow()[index].clone()
    }

    /// The granule of the REC with this index.
    #[must_use]
    pub fn rec_pa(&self, index: usize) -> u64 {
        self.recs.borrow()[index].rec
    }

    /// Activates the Realm.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn activate(&self) {
        assert_eq!(self.host.realm_activate(self.rd), Status::Success);
    }

    /// Creates the RTTs that are missing for `ipa` down to `level`.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn tables(&self, ipa: u64, level: i64) {
        for level in self.params.rtt_level_start + 1..=level {
            let base = ipa & !(size_at(level - 1) - 1);
            if self.entry(base, level - 1).state != 2 {
                let status = self.host.rtt_create(self.rd, self.granule(), base, level);
                assert_eq!(status, Status::Success, "RTT of level {level}");
            }
        }
    }

    /// The entry where a walk to `level` ends.
    ///
    /// # Panics
    /// If the monitor refuses.
    #[must_use]
    pub fn entry(&self, ipa: u64, level: i64) -> EntryReport {
        let (status, entry) = self.host.rtt_read_entry(self.rd, ipa, level);
        assert_eq!(status, Status::Success);
        entry
    }

    /// Maps a page with this content at `ipa` by RMI_DATA_CREATE. Creates missing RTTs. Returns the
    /// DATA granule.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn data(&self, ipa: u64, content: &[u8]) -> u64 {
        self.tables(ipa, 3);
        let data = self.granule();
        let src = self.host.page_with(content);
        let status = self.host.data_create(self.rd, data, ipa, src, 0);
        assert_eq!(status, Status::Success);
        data
    }

    /// Maps a page at `ipa` by RMI_DATA_CREATE_UNKNOWN. Creates missing RTTs. Returns the DATA
    /// granule.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn data_unknown(&self, ipa: u64) -> u64 {
        self.tables(ipa, 3);
        let data = self.granule();
        let status = self.host.data_create_unknown(self.rd, data, ipa);
        assert_eq!(status, Status::Success);
        data
    }

    /// Sets the RIPAS of `[base, top)` to RAM by RMI_RTT_INIT_RIPAS, in as many calls as it takes.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn ram(&self, base: u64, top: u64) {
        let mut next = base;
        while next < top {
            let (status, out_top) = self.host.rtt_init_ripas(self.rd, next, top);
            assert_eq!(status, Status::Success);
            next = out_top;
        }
    }

    /// Maps a block of 2 MiB at `ipa`: 512 pages by RMI_DATA_CREATE_UNKNOWN, folded. Returns its
    /// address.
    ///
    /// # Panics
    /// If the monitor refuses.
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

    /// Maps the page of Host memory at `pa` at an Unprotected IPA, for reading and writing. Creates
    /// missing RTTs.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn share(&self, ipa: u64, pa: u64) {
        self.tables(ipa, 3);
        let desc = pa | NS_ATTRIBUTES;
        let status = self.host.rtt_map_unprotected(self.rd, ipa, 3, desc);
        assert_eq!(status, Status::Success);
    }

    /// Sets the script that runs in a REC from its next instruction on.
    ///
    /// # Panics
    /// If the REC is entered.
    pub fn script<F>(&self, rec: usize, script: impl FnOnce(RealmCpu) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.host.script(self.params.vmid, rec as u64, script);
    }

    /// Permits that scripts have not ended when the Realm is destroyed.
    pub fn allow_unfinished_scripts(&self) {
        self.allows_unfinished_scripts.set(true);
    }

    /// Enters a REC. Returns the exit record.
    ///
    /// # Panics
    /// If RMI_REC_ENTER fails.
    #[must_use]
    pub fn enter(&self, rec: usize) -> RecExit {
        self.enter_with(rec, |_| ())
    }

    /// Enters a REC with these fields of the entry record. Returns the exit record.
    ///
    /// # Panics
    /// If RMI_REC_ENTER fails.
    #[must_use]
    pub fn enter_with(&self, rec: usize, fields: impl FnOnce(&mut RecEnter)) -> RecExit {
        let (status, exit) = self.try_enter(rec, fields);
        assert_eq!(status, Status::Success);
        exit
    }

    /// Enters a REC with these fields of the entry record. The exit record is valid on success.
    pub fn try_enter(&self, rec: usize, fields: impl FnOnce(&mut RecEnter)) -> (Status, RecExit) {
        let TestRec { rec, run, .. } = self.rec_of(rec);
        self.prepare(run, fields);
        let status = self.host.rec_enter(rec, run);
        let exit = offset_of!(RecRun, exit) as u64;
        (status, self.host.get(run + exit))
    }

    /// Writes the entry record to a page for `RmiRecRun`. The exit record is filled with 0xA5, so
    /// that a byte which the monitor does not write differs from zero.
    pub fn prepare(&self, run: u64, fields: impl FnOnce(&mut RecEnter)) {
        let mut record = RecRun::new_zeroed();
        record.exit.as_mut_bytes().fill(0xA5);
        fields(&mut record.enter);
        self.host.put(run, &record);
    }

    /// Lets REC 0 call PSCI_SYSTEM_OFF: the Realm is in state SYSTEM_OFF.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn turn_off(&self) {
        self.script(0, |cpu| async move {
            let _never = cpu.smc(&[psci::fid::PSCI_SYSTEM_OFF]).await;
        });
        self.allow_unfinished_scripts();
        assert_eq!(self.enter(0).exit_reason, RecExitReason::Psci as u8);
    }

    /// Destroys the RECs, memory and tables, then the Realm, and undelegates its granules.
    fn tear_down(&self) {
        let host = self.host;
        for rec in self.recs.borrow().iter() {
            if host.state(rec.rec) == GranuleState::Rec {
                assert_eq!(host.rec_destroy(rec.rec), Status::Success);
            }
        }
        let (s2sz, start_level) = (self.params.s2sz, self.params.rtt_level_start);
        empty(host, self.rd, s2sz, start_level, &|| self.granule());
        assert_eq!(host.realm_destroy(self.rd), Status::Success);
        for pa in self.granules.borrow().iter().copied() {
            if host.state(pa) == GranuleState::Delegated {
                host.undelegate(pa);
            }
            assert_eq!(host.state(pa), GranuleState::Undelegated, "{pa:#x}");
            host.board().memory.assert_no_stale(Pa(pa));
        }
    }

    /// Destroys the Realm, as the drop does.
    ///
    /// # Panics
    /// If the monitor refuses, if a granule does not come back UNDELEGATED and all zero, or if a
    /// script has not ended.
    pub fn destroy(&self) {
        if self.is_destroyed.replace(true) {
            return;
        }
        self.host.leniently(|| self.tear_down());
        let unfinished = self.host.board().scripts.remove_realm(self.params.vmid);
        assert!(
            unfinished.is_empty() || self.allows_unfinished_scripts.get(),
            "scripts of RECs {unfinished:x?} have not ended"
        );
    }

    /// Records that the test has destroyed the Realm itself.
    pub fn mark_destroyed(&self) {
        self.is_destroyed.set(true);
    }
}

impl Drop for TestRealm<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.destroy();
        }
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("64 bits")
}
