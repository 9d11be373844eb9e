// SPDX-License-Identifier: BSD-3-Clause
//! A Host of either interface, and the Realms that it makes: all that differs between the two.

use rmm_abi::rmi::v2::RecEnter as RecEnter2;
use rmm_abi::rmi::{RealmFlags, RecEnter, RecExit};
use rmm_core::fake::v2::{Host2, TestRealm2};
use rmm_core::fake::{Config, Host, PAGE, RealmCpu, Status, TestRealm};
use std::cell::RefCell;
use std::future::Future;
use zerocopy::{FromBytes, IntoBytes};

/// Pages of memory from IPA 0 on that a Realm has at first.
pub const PAGES: usize = 3;
/// IPA of a page that is RAM, and that the Host has not mapped.
pub const ABSENT: u64 = 4 * PAGE;
/// First Unprotected IPA. A page of the Host is there.
pub const UNPROTECTED: u64 = 1 << 39;

/// A Host.
pub enum AnyHost {
    V1(Host),
    V2(Host2),
}

/// What Realms differ in.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Number of RECs.
    pub recs: usize,
    /// Whether all of them are runnable, not the first alone.
    pub runnable: bool,
    /// `RmiHashAlgorithm`.
    pub hash: u8,
    /// Each byte of the Realm Personalization Value.
    pub rpv: u8,
    /// Whether the Realm has SVE, where RMI 1.0 makes it, and a PMU.
    pub full: bool,
}

/// A Realm with a few pages of memory.
pub enum Realm<'h> {
    V1(TestRealm<'h>),
    V2(TestRealm2<'h>),
}

/// A Realm and what is mapped in it.
pub struct Guest<'h> {
    pub realm: Realm<'h>,
    /// The granules at the first IPAs.
    pub memory: RefCell<[Option<u64>; PAGES]>,
}

/// What a Host may write to the entry record or, in 2.0, to the virtual GIC interface.
#[derive(Clone, Debug)]
pub struct Entry {
    pub flags: u64,
    pub gprs: [u64; 31],
    pub hcr: u64,
    pub lrs: Vec<u64>,
}

impl AnyHost {
    /// The Host of this machine, which speaks 2.0 if `two`.
    pub fn new(two: bool, config: Config) -> Self {
        if two {
            let config = Config {
                interface: Config::v2().interface,
                ..config
            };
            Self::V2(Host2::with(config))
        } else {
            Self::V1(Host::with(config))
        }
    }

    /// What does not depend on the interface.
    pub fn host(&self) -> &Host {
        match self {
            Self::V1(host) => host,
            Self::V2(host) => host,
        }
    }

    /// An ACTIVE Realm.
    pub fn guest(&self, parameters: Parameters) -> Guest<'_> {
        let Parameters {
            recs,
            runnable,
            hash,
            rpv,
            full,
        } = parameters;
        let page = self.host().page();
        let (realm, memory) = match self {
            Self::V1(host) => {
                let realm = host.realm().params(|params| {
                    (params.hash_algo, params.rpv) = (hash, [rpv; 64]);
                    if full {
                        params.flags = (RealmFlags::SVE | RealmFlags::PMU).bits();
                        (params.sve_vl, params.pmu_num_ctrs) = (1, 2);
                    }
                });
                let realm = realm.create();
                for n in 0..recs {
                    let _rec = realm.rec(n == 0 || runnable);
                }
                realm.tables(0, 3);
                realm.ram(ABSENT, ABSENT + PAGE);
                let memory = std::array::from_fn(|n| Some(realm.data(n as u64 * PAGE, &[])));
                realm.share(UNPROTECTED, page);
                realm.activate();
                realm.allow_unfinished_scripts();
                (Realm::V1(realm), memory)
            }
            Self::V2(host) => {
                let realm = host.realm().params(|params| {
                    (params.hash_algo, params.rpv) = (hash, [rpv; 64]);
                    if full {
                        params.flags0 = RealmFlags::PMU.bits();
                        params.pmu_num_ctrs = 2;
                    }
                });
                let realm = realm.create();
                for n in 0..recs {
                    let _rec = realm.rec(n == 0 || runnable);
                }
                realm.tables(0, 3);
                let (status, _) = host.rtt_init_ripas(realm.rd, ABSENT, ABSENT + PAGE);
                assert_eq!(status, Status::Success);
                let memory = std::array::from_fn(|n| Some(realm.data(n as u64 * PAGE, &[])));
                realm.tables(UNPROTECTED, 3);
                // Single, Normal Write-Back, read and write.
                let range = UNPROTECTED..UNPROTECTED + PAGE;
                let (status, _) =
                    host.rtt_unprot_map(realm.rd, range, 1 | 6 << 16 | 3 << 19, page | 1 << 2);
                assert_eq!(status, Status::Success);
                realm.activate();
                (Realm::V2(realm), memory)
            }
        };
        let memory = RefCell::new(memory);
        Guest { realm, memory }
    }
}

impl Guest<'_> {
    /// The granule of a REC.
    pub fn rec(&self, rec: usize) -> u64 {
        match &self.realm {
            Realm::V1(realm) => realm.rec_pa(rec),
            Realm::V2(realm) => realm.rec_pa(rec),
        }
    }

    /// The RD.
    pub fn rd(&self) -> u64 {
        match &self.realm {
            Realm::V1(realm) => realm.rd,
            Realm::V2(realm) => realm.rd,
        }
    }

    /// Sets the script of a REC.
    pub fn script<F>(&self, rec: usize, script: impl FnOnce(RealmCpu) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match &self.realm {
            Realm::V1(realm) => realm.script(rec, script),
            Realm::V2(realm) => realm.script(rec, script),
        }
    }

    /// Enters a REC. The exit record has the layout of RMI 1.0: that of 2.0 is the same without the
    /// fields for the GIC.
    pub fn enter(&self, rec: usize, entry: &Entry) -> Option<RecExit> {
        let (status, exit) = match &self.realm {
            Realm::V1(realm) => realm.try_enter(rec, |record: &mut RecEnter| {
                (record.flags, record.gprs) = (entry.flags, entry.gprs);
                record.gicv3_hcr = entry.hcr;
                for (to, lr) in record.gicv3_lrs.iter_mut().zip(&entry.lrs) {
                    *to = *lr;
                }
            }),
            Realm::V2(realm) => {
                realm.host.gic(|gic| {
                    // The monitor opens the interface by En.
                    gic.hcr = entry.hcr & !1;
                    gic.lrs.fill(0);
                    for (to, lr) in gic.lrs.iter_mut().zip(&entry.lrs) {
                        *to = *lr;
                    }
                });
                let (status, exit) = realm.try_enter(rec, |record: &mut RecEnter2| {
                    (record.flags, record.gprs) = (entry.flags, entry.gprs);
                });
                let exit = RecExit::read_from_bytes(exit.as_bytes()).expect("the same size");
                (status, exit)
            }
        };
        (status == Status::Success).then_some(exit)
    }

    /// Takes the page with this number away from the Realm.
    pub fn destroy(&self, page: usize) {
        let ipa = page as u64 * PAGE;
        let is_gone = match &self.realm {
            Realm::V1(realm) => realm.host.data_destroy(realm.rd, ipa).0 == Status::Success,
            Realm::V2(realm) => {
                let reply = realm.host.rtt_data_unmap(realm.rd, ipa..ipa + PAGE, 0, 0);
                reply.status == Status::Success
            }
        };
        let before = self.memory.borrow_mut()[page].take();
        assert!(is_gone || before.is_none(), "page {page} stays");
    }

    /// Maps a page, whose content the Realm cannot know, at this number of a page, or at [`ABSENT`].
    pub fn map(&self, page: usize) {
        let ipa = if page < PAGES {
            page as u64 * PAGE
        } else {
            ABSENT
        };
        let (data, is_mapped) = match &self.realm {
            Realm::V1(realm) => {
                let data = realm.granule();
                let status = realm.host.data_create_unknown(realm.rd, data, ipa);
                (data, status == Status::Success)
            }
            Realm::V2(realm) => {
                let data = realm.granule();
                let range = ipa..ipa + PAGE;
                let (status, _) = realm.host.rtt_data_map(realm.rd, range, 1, data | 1 << 2);
                (data, status == Status::Success)
            }
        };
        if is_mapped && let Some(place) = self.memory.borrow_mut().get_mut(page) {
            assert_eq!(*place, None, "page {page} was there");
            *place = Some(data);
        }
    }

    /// RMI_RTT_SET_RIPAS: `out_top` if it succeeds.
    pub fn set_ripas(&self, rec: usize, base: u64, top: u64) -> Option<u64> {
        let (rd, rec) = (self.rd(), self.rec(rec));
        let (status, out_top) = match &self.realm {
            Realm::V1(realm) => realm.host.rtt_set_ripas(rd, rec, base, top),
            Realm::V2(realm) => realm.host.rtt_set_ripas(rd, rec, base, top),
        };
        (status == Status::Success).then_some(out_top)
    }

    /// RMI_PSCI_COMPLETE; `without_target` in the form of 2.0 from bet2 on.
    pub fn psci_complete(&self, rec: usize, target: usize, status: i64, without_target: bool) {
        let (calling, target) = (self.rec(rec), self.rec(target));
        let _status = match &self.realm {
            Realm::V2(realm) if without_target => realm.host.psci_complete_2(calling, status),
            Realm::V1(realm) => realm.host.psci_complete(calling, target, status),
            Realm::V2(realm) => realm.host.psci_complete(calling, target, status),
        };
    }
}
