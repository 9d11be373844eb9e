// SPDX-License-Identifier: BSD-3-Clause
//! Realms that RMI 2.0 makes, from creation until their last granule is undelegated.

use super::Host2;
use crate::fake::constants::PAGE;
use crate::fake::reply::{EntryReport, Status};
use crate::fake::teardown::size_at;
use crate::realm::Realm;
use rmm_abi::rmi::v2::RealmParams;
use rmm_granule::{GRANULE_SIZE, Pa};
use std::cell::{Cell, RefCell};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

impl Host2 {
    /// Parameters of a new Realm.
    #[must_use]
    pub fn realm(&self) -> RealmBuilder2<'_> {
        let mut params = RealmParams::new_zeroed();
        params.s2sz = 40;
        params.num_bps = 1;
        params.num_wps = 1;
        params.rtt_num_start = 1;
        RealmBuilder2 { host: self, params }
    }
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

    /// Unmaps everything and destroys all RTTs below the start level, in the order of Linux.
    fn tear_down_tables(&self) {
        let (host, rd) = (self.host, self.rd);
        for (base, top) in [(0, self.unprotected()), (self.unprotected(), self.end())] {
            let mut next = base;
            while next < top {
                let reply = if base == 0 {
                    host.rtt_data_unmap(rd, next..top, 0, 0)
                } else {
                    host.rtt_unprot_unmap(rd, next..top, 0, 0)
                };
                next = match reply.status {
                    Status::Success => reply.top,
                    // A block that the Host has to split first.
                    Status::Rtt(level) => {
                        self.tables(next, i64::from(level) + 1);
                        next
                    }
                    status => panic!("{status:?} at {next:#x}"),
                };
            }
        }
        let first = self.params.rtt_level_start + 1;
        for level in (first..=3).rev() {
            let (mut ipa, size) = (0, size_at(level - 1));
            while ipa < self.end() {
                let (status, _, top) = host.rtt_destroy(rd, ipa, level);
                assert!(matches!(status, Status::Success | Status::Rtt(_)));
                // Not all tables above are there.
                ipa = top.next_multiple_of(size).max(ipa + size);
            }
        }
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
            assert_eq!(self.host.realm_terminate(self.rd), Status::Success);
            self.tear_down_tables();
            assert_eq!(self.host.realm_destroy(self.rd), Status::Success);
            for pa in self.granules.take() {
                self.host.undelegate_range(pa, pa + PAGE);
            }
        });
    }
}

impl Drop for TestRealm2<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.destroy();
        }
    }
}
