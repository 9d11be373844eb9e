// SPDX-License-Identifier: BSD-3-Clause
//! Realms that RMI 2.0 makes, from creation until their last granule is undelegated.

use super::Host2;
use crate::fake::constants::PAGE;
use crate::fake::realm_cpu::RealmCpu;
use crate::fake::reply::{EntryReport, Status};
use crate::fake::teardown::size_at;
use crate::realm::Realm;
use rmm_abi::rmi::v2::{RealmParams, RecEnter, RecExit, RecParams, RecRun};
use rmm_abi::rmi::{RecCreateFlags, index_to_mpidr};
use rmm_granule::{GRANULE_SIZE, GranuleState, Pa};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::offset_of;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

impl Host2 {
    /// Parameters of a new Realm.
    #[must_use]
    pub fn realm(&self) -> RealmBuilder2<'_> {
        RealmBuilder2 {
            host: self,
            params: realm_params(),
        }
    }
}

/// Parameters of a Realm with 40 bits of IPA and one start-level RTT at level 0, whose address is zero.
#[must_use]
pub fn realm_params() -> RealmParams {
    let mut params = RealmParams::new_zeroed();
    params.s2sz = 40;
    params.num_bps = 1;
    params.num_wps = 1;
    params.rtt_num_start = 1;
    params
}

/// Parameters of a Realm. Unless changed: 40 bits of IPA, one start-level RTT at level 0, SHA-256.
pub struct RealmBuilder2<'h> {
    host: &'h Host2,
    params: RealmParams,
}

impl<'h> RealmBuilder2<'h> {
    /// Changes any parameter. If `rtt_base` is zero, it is chosen later.
    #[must_use]
    pub fn params(mut self, change: impl FnOnce(&mut RealmParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// The parameters, for which the start-level RTTs have been delegated.
    #[must_use]
    pub fn prepared(self) -> RealmParams {
        let mut params = self.params;
        let count = u64::from(params.rtt_num_start);
        if params.rtt_base == 0 {
            let align = (count * PAGE).next_power_of_two().max(PAGE);
            params.rtt_base = self.host.pages(count, align);
        }
        let end = params.rtt_base + count * PAGE;
        self.host.delegate_range(params.rtt_base, end);
        params
    }

    /// Creates the Realm: NEW, without RECs, memory, and RTTs below the start level.
    ///
    /// # Panics
    /// If the monitor refuses.
    #[must_use]
    pub fn create(self) -> TestRealm2<'h> {
        let host = self.host;
        let params = self.prepared();
        let rd = host.granule();
        let params_ptr = host.page_with(params.as_bytes());
        assert_eq!(host.realm_create(rd, params_ptr), Status::Success);
        let start = (0..u64::from(params.rtt_num_start)).map(|n| params.rtt_base + n * PAGE);
        TestRealm2 {
            host,
            rd,
            params,
            recs: RefCell::default(),
            granules: RefCell::new(start.chain([rd]).collect()),
            is_destroyed: Cell::new(false),
        }
    }
}

/// A Realm as its Host knows it. The drop destroys the Realm and undelegates its granules.
pub struct TestRealm2<'h> {
    /// The Host.
    pub host: &'h Host2,
    /// The RD granule.
    pub rd: u64,
    /// Its parameters.
    pub params: RealmParams,
    /// REC granule and page for `RmiRecRun` of each REC.
    recs: RefCell<Vec<(u64, u64)>>,
    /// Granules that were delegated for it.
    granules: RefCell<Vec<u64>>,
    is_destroyed: Cell<bool>,
}

impl TestRealm2<'_> {
    /// Activates the Realm.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn activate(&self) {
        assert_eq!(self.host.realm_activate(self.rd), Status::Success);
    }

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
        let pages = (base..).step_by(GRANULE_SIZE);
        self.granules
            .borrow_mut()
            .extend(pages.take(usize::try_from(count).expect("64 bits")));
        self.host
            .leniently(|| self.host.delegate_range(base, base + count * PAGE));
        base
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

    /// Maps a page with this content at `ipa` by RMI_RTT_DATA_MAP_INIT. Creates missing RTTs. Returns
    /// the DATA granule.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn data(&self, ipa: u64, content: &[u8]) -> u64 {
        self.tables(ipa, 3);
        let data = self.granule();
        let src = self.host.page_with(content);
        let status = self.host.rtt_data_map_init(self.rd, data, ipa, src, 0);
        assert_eq!(status, Status::Success);
        data
    }

    /// Creates the next REC, in one call, and returns its index.
    ///
    /// # Panics
    /// If the monitor refuses.
    #[must_use]
    pub fn rec(&self, runnable: bool) -> usize {
        let index = self.recs.borrow().len();
        let params = rec_params(index as u64, runnable);
        let rec = self.granule();
        let params_ptr = self.host.page_with(params.as_bytes());
        let status = self.host.rec_create(self.rd, rec, params_ptr);
        assert_eq!(status, Status::Success);
        self.recs.borrow_mut().push((rec, self.host.page()));
        index
    }

    /// The granule of the REC with this index.
    #[must_use]
    pub fn rec_pa(&self, index: usize) -> u64 {
        self.recs.borrow()[index].0
    }

    /// Creates `recs` RECs, of which the first is runnable, and activates the Realm.
    ///
    /// # Panics
    /// If the monitor refuses.
    #[must_use]
    pub fn with_recs(self, recs: usize) -> Self {
        for n in 0..recs {
            let _rec = self.rec(n == 0);
        }
        self.activate();
        self
    }

    /// Sets the script that runs in a REC from the next instruction on.
    pub fn script<F>(&self, rec: usize, script: impl FnOnce(RealmCpu) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.host.script(self.vmid(), rec as u64, script);
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

    /// Enters a REC with these fields of the entry record. The exit record is valid on success. A byte
    /// that the monitor does not write is 0xA5.
    pub fn try_enter(&self, rec: usize, fields: impl FnOnce(&mut RecEnter)) -> (Status, RecExit) {
        let (rec, run) = self.recs.borrow()[rec];
        let mut record = RecRun::new_zeroed();
        record.exit.as_mut_bytes().fill(0xA5);
        fields(&mut record.enter);
        self.host.put(run, &record);
        let status = self.host.rec_enter(rec, run);
        let exit = offset_of!(RecRun, exit) as u64;
        (status, self.host.get(run + exit))
    }

    /// VMID that the monitor has chosen.
    ///
    /// # Panics
    /// If the Realm does not exist.
    #[must_use]
    pub fn vmid(&self) -> u16 {
        let content = self.host.board().memory.peek(Pa(self.rd));
        let (realm, _) = Realm::read_from_prefix(&content).expect("an RD");
        realm.stage2.vmid
    }

    /// Records that the test has destroyed the Realm itself.
    pub fn mark_destroyed(&self) {
        self.is_destroyed.set(true);
    }

    /// Destroys the Realm and undelegates its granules, unless that was done before.
    ///
    /// # Panics
    /// If the monitor refuses.
    pub fn destroy(&self) {
        if self.is_destroyed.replace(true) {
            return;
        }
        self.host.leniently(|| {
            let vmid = self.vmid();
            assert_eq!(self.host.realm_terminate(self.rd), Status::Success);
            for (rec, _) in self.recs.take() {
                if self.host.state(rec) == GranuleState::Rec {
                    assert_eq!(self.host.rec_destroy(rec), Status::Success);
                }
            }
            empty(
                self.host,
                self.rd,
                self.params.s2sz,
                self.params.rtt_level_start,
                &|| self.granule(),
            );
            assert_eq!(self.host.realm_destroy(self.rd), Status::Success);
            let _unfinished = self.host.board().scripts.remove_realm(vmid);
            for pa in self.granules.take() {
                self.host.undelegate_range(pa, pa + PAGE);
            }
        });
    }
}

/// Unmaps all memory of the Realm at `rd` and destroys all RTTs below the start level, in the order of
/// Linux. `spare` allocates a DELEGATED granule for a table, where a block has to be split.
fn empty(host: &Host2, rd: u64, s2sz: u8, start_level: i64, spare: &dyn Fn() -> u64) {
    let (middle, end) = (1 << (s2sz - 1), 1 << s2sz);
    for (base, top) in [(0, middle), (middle, end)] {
        let mut next = base;
        while next < top {
            let reply = if base == 0 {
                host.rtt_data_unmap(rd, next..top, 0, 0)
            } else {
                host.rtt_unprot_unmap(rd, next..top, 0, 0)
            };
            match reply.status {
                Status::Success => next = reply.top,
                Status::Rtt(level) => {
                    let level = i64::from(level);
                    let base = next & !(size_at(level) - 1);
                    let status = host.rtt_create(rd, spare(), base, level + 1);
                    assert_eq!(status, Status::Success);
                }
                status => panic!("{status:?} at {next:#x}"),
            }
        }
    }
    for level in (start_level + 1..=3).rev() {
        let (mut ipa, size) = (0, size_at(level - 1));
        while ipa < end {
            let (status, _, top) = host.rtt_destroy(rd, ipa, level);
            assert!(matches!(status, Status::Success | Status::Rtt(_)));
            // Not all tables above are there.
            ipa = top.next_multiple_of(size).max(ipa + size);
        }
    }
}

/// Destroys every REC and every Realm and undelegates every granule, no matter what created them, in
/// whichever dialect the Host speaks. No other command is being served.
///
/// # Panics
/// If the monitor refuses, or a granule comes back with content.
pub fn sweep(host: &Host2) {
    host.leniently(|| {
        let board = host.board();
        let all = |state| board.granules_in(state).collect::<Vec<u64>>();
        for rec in all(GranuleState::Rec) {
            assert_eq!(host.rec_destroy(rec), Status::Success);
        }
        for rd in all(GranuleState::Rd) {
            let content = board.memory.peek(Pa(rd));
            let (realm, _) = Realm::read_from_prefix(&content).expect("an RD");
            let stage2 = realm.stage2;
            let spare = || host.granule();
            assert_eq!(host.realm_terminate(rd), Status::Success);
            empty(
                host,
                rd,
                stage2.ipa_width,
                stage2.start_level.into(),
                &spare,
            );
            assert_eq!(host.realm_destroy(rd), Status::Success);
        }
        for pa in all(GranuleState::Delegated) {
            match host.granule_undelegate(pa) {
                Status::NotSupported => host.undelegate_range(pa, pa + PAGE),
                status => assert_eq!(status, Status::Success),
            }
        }
    });
}

/// Parameters of the REC with this index.
#[must_use]
pub fn rec_params(index: u64, runnable: bool) -> RecParams {
    let mut params = RecParams::new_zeroed();
    if runnable {
        params.flags = RecCreateFlags::RUNNABLE.bits();
    }
    params.mpidr = index_to_mpidr(index);
    params.pc = PC;
    params
}

/// PC of a REC at its first entry.
const PC: u64 = 0x1000;

impl Drop for TestRealm2<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.destroy();
        }
    }
}
