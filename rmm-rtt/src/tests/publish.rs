// SPDX-License-Identifier: BSD-3-Clause
//! What table walkers see: on a machine a store to a table may stay unseen until
//! [`Memory::publish_tables`]. The fake memory shows it at once, so this file compares what is published.

use super::*;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;
use rmm_granule::{GRANULE_SIZE, Memory, NsFault};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// All RTTs by address, as walkers see them: an entry that is not valid is 0.
type Tables = BTreeMap<u64, Vec<u64>>;

/// A CPU that asserts that each operation publishes what it writes: a table before an entry refers to it,
/// and everything before an invalidation and before the operation ends. And that a valid entry is replaced
/// by one that is not, and this invalidated, before anything else is there.
struct Publishing<'r> {
    realm: &'r Realm,
    published: RefCell<Tables>,
    /// Entries, by RTT and index, that were valid and may be in TLBs.
    cached: RefCell<BTreeSet<(u64, usize)>>,
}

impl<'r> Publishing<'r> {
    fn new(realm: &'r Realm) -> Self {
        let published = RefCell::new(tables(realm));
        Self {
            realm,
            published,
            cached: RefCell::default(),
        }
    }

    fn assert_published(&self) {
        let now = tables(self.realm);
        for (pa, entries) in &*self.published.borrow() {
            // One that is no RTT any more is wiped.
            if let Some(now) = now.get(pa) {
                assert!(now == entries, "not published: RTT at {pa:#x}");
            }
        }
    }

    /// Does `work`, an operation on the tables.
    fn during<R>(&self, work: impl FnOnce(&Self) -> R) -> R {
        let result = work(self);
        self.assert_published();
        assert_eq!(self.cached.borrow().len(), 0, "not invalidated");
        result
    }
}

fn tables(realm: &Realm) -> Tables {
    let pages = (POOL.base..POOL.base + POOL.size).step_by(GRANULE_SIZE);
    pages
        .filter(|pa| realm.granules.state(*pa) == Ok(GranuleState::Rtt))
        .map(|pa| {
            let content = realm.memory.peek(Pa(pa));
            let words = content.as_chunks().0.iter();
            let seen = words.map(|word| u64::from_ne_bytes(*word));
            (pa, seen.map(|desc| desc * (desc & 1)).collect())
        })
        .collect()
}

// SAFETY: each method calls the same method of `FakeCpuMemory`, which keeps the contract.
unsafe impl Memory for Publishing<'_> {
    fn map(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        self.realm.cpu.map(pa)
    }

    unsafe fn unmap(&self, window: NonNull<[u8; GRANULE_SIZE]>) {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { self.realm.cpu.unmap(window) }
    }

    fn read_ns<const N: usize>(
        &self,
        granule: Pa,
        parts: [(usize, &mut [MaybeUninit<u8>]); N],
    ) -> Result<(), NsFault> {
        self.realm.cpu.read_ns(granule, parts)
    }

    fn write_ns<const N: usize>(
        &self,
        granule: Pa,
        zero: Range<usize>,
        parts: [(usize, &[u8]); N],
    ) -> Result<(), NsFault> {
        self.realm.cpu.write_ns(granule, zero, parts)
    }

    fn zero(&self, granule: &mut [u8; GRANULE_SIZE]) {
        self.realm.cpu.zero(granule);
    }

    fn publish_tables(&self) {
        let now = tables(self.realm);
        let before = self.published.replace(now.clone());
        let empty = vec![0; RTT_ENTRIES];
        for (pa, entries) in &now {
            let old = before.get(pa).unwrap_or(&empty);
            for (n, (new, old)) in entries.iter().zip(old).enumerate() {
                if new == old {
                    continue;
                }
                assert!(*new == 0 || *old == 0, "make without break");
                let mut cached = self.cached.borrow_mut();
                if *new == 0 {
                    cached.insert((*pa, n));
                    continue;
                }
                assert!(!cached.contains(&(*pa, n)), "make before the invalidation");
                let child = self.realm.s2.output(*new).0;
                if let Some(content) = now.get(&child) {
                    let known = before.get(&child).unwrap_or(&empty);
                    assert!(content == known, "an entry refers to what is not published");
                }
            }
        }
        self.realm.cpu.publish_tables();
    }

    fn invalidate_stage2(&self, vmid: u16, base: Ipa, size: u64, level: i8) {
        self.assert_published();
        self.cached.borrow_mut().clear();
        self.realm.cpu.invalidate_stage2(vmid, base, size, level);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn pages_and_tables() {
    let realm = Realm::plain();
    realm.tables(0, 2);
    let (rtt, data, more) = (realm.granule(), realm.granule(), realm.granule());
    let cpu = Publishing::new(&realm);
    cpu.during(|cpu| create(realm.start(0), cpu, 3, rtt))
        .unwrap();
    cpu.during(|cpu| {
        data_slot(realm.start(0), cpu)
            .unwrap()
            .map_ram(data.transition())
    });
    cpu.during(|cpu| {
        data_slot(realm.start(2 * PAGE), cpu)
            .unwrap()
            .map(more.transition())
    });
    let init = |cpu: &Publishing<'_>| init_ripas(realm.start(PAGE), cpu, Ipa(3 * PAGE), |_, _| ());
    assert_eq!(cpu.during(init), Ok(Ipa(3 * PAGE)));
    for ripas in [EMPTY, RAM] {
        let change = Change::Requested { destroyed: true };
        let set =
            |cpu: &Publishing<'_>| set_ripas(realm.start(0), cpu, Ipa(3 * PAGE), ripas, change);
        assert_eq!(cpu.during(set), Ok(Ipa(3 * PAGE)));
    }
    for ipa in [0, 2 * PAGE] {
        let unmapped = cpu.during(|cpu| unmap_data(realm.start(ipa), cpu)).unwrap();
        drop(unmapped.wipe(&cpu));
    }
    cpu.during(|cpu| destroy(realm.start(0), cpu, 3)).unwrap();

    let ipa = realm.shared();
    realm.tables(ipa, 3);
    let cpu = Publishing::new(&realm);
    let desc = NsDesc::parse(&realm.s2, 3, NS_WB).unwrap();
    cpu.during(|cpu| map_unprotected(realm.start(ipa), cpu, 3, desc))
        .unwrap();
    cpu.during(|cpu| unmap_unprotected(realm.start(ipa), cpu, 3))
        .unwrap();
    cpu.during(|cpu| fold(realm.start(ipa), cpu, 3)).unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn blocks() {
    for ripas in [RAM, EMPTY] {
        let realm = Realm::plain();
        realm.block(0, BLOCKS.base, ripas);
        let rtt = realm.granule();
        let cpu = Publishing::new(&realm);
        cpu.during(|cpu| create(realm.start(0), cpu, 3, rtt))
            .unwrap();
        cpu.during(|cpu| fold(realm.start(0), cpu, 3)).unwrap();
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn ranges() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    realm.init(0, 4 * PAGE).unwrap();
    let granules: Vec<Pa> = (0..4).map(|_| realm.granule().pa()).collect();
    let cpu = Publishing::new(&realm);
    let top = Ipa(4 * PAGE);
    let map = |cpu: &Publishing<'_>| {
        let blocks = |_| granules.iter().copied();
        map_data_range(realm.start(0), cpu, 3, top, blocks, |_| (), || false)
    };
    assert_eq!(cpu.during(map), Ok(top));
    let unmap =
        |cpu: &Publishing<'_>| unmap_data_range(realm.start(0), cpu, top, |_, _| true, || false);
    assert_eq!(cpu.during(unmap), Ok(top));

    let ipa = realm.shared();
    realm.tables(ipa, 3);
    let cpu = Publishing::new(&realm);
    let top = Ipa(ipa + 4 * PAGE);
    let desc = NsDesc::parse(&realm.s2, 3, NS_WB).unwrap();
    let map = |cpu: &Publishing<'_>| {
        map_unprotected_range(realm.start(ipa), cpu, 3, top, |_| {
            std::iter::repeat_n(desc, 4)
        })
    };
    assert_eq!(cpu.during(map), Ok(top));
    let unmap =
        |cpu: &Publishing<'_>| unmap_unprotected_range(realm.start(ipa), cpu, top, |_, _| true);
    assert_eq!(cpu.during(unmap), Ok(top));
}
