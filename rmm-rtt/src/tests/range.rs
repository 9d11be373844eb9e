// SPDX-License-Identifier: BSD-3-Clause
//! Mapping and unmapping of several pages or blocks in one operation.

use super::*;
use rmm_granule::GranuleError;

impl Realm {
    /// Maps these Granules from `base` on, pages of `level`.
    fn map_range(&self, base: u64, top: u64, level: i8, pas: &[u64]) -> Result<u64, MapError> {
        let blocks = |_| pas.iter().map(|pa| Pa(*pa));
        let start = self.start(base);
        map_data_range(start, &self.cpu, level, Ipa(top), blocks, |_| (), || false).map(|top| top.0)
    }

    /// Unmaps from `base` on, and returns what was reported, too. `most` is the room of the report.
    fn unmap_range(
        &self,
        base: u64,
        top: u64,
        most: usize,
        stop: bool,
    ) -> (Result<u64, RttError>, Vec<u64>) {
        let mut found = Vec::new();
        let report = |pa: Pa, _| {
            let has_room = found.len() < most;
            if has_room {
                found.push(pa.0);
            }
            has_room
        };
        let start = self.start(base);
        let end = unmap_data_range(start, &self.cpu, Ipa(top), report, || stop);
        (end.map(|top| top.0), found)
    }

    /// Delegates new Granules.
    fn delegated(&self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.granule().pa().0).collect()
    }
}

const ALL: usize = usize::MAX;

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn pages_come_and_go() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    realm.init(0, 300 * PAGE).unwrap();
    let pas = realm.delegated(300);
    assert_eq!(realm.map_range(0, 300 * PAGE, 3, &pas), Ok(300 * PAGE));
    let ipa = |n: usize| n as u64 * PAGE;
    for (n, pa) in pas.iter().enumerate() {
        assert_eq!(realm.touch(ipa(n)), Ok(Pa(*pa)));
    }
    // The same again counts as done; another Granule does not.
    assert_eq!(realm.map_range(0, 300 * PAGE, 3, &pas), Ok(300 * PAGE));
    assert_eq!(
        realm.map_range(0, PAGE, 3, &pas[1..]),
        Err(MapError::Rtt(rtt(3)))
    );
    realm.check();
    // The end of the range, and of the report, stop it.
    let unmapped = realm.unmap_range(PAGE, 3 * PAGE, ALL, false);
    assert_eq!(unmapped, (Ok(3 * PAGE), pas[1..3].to_vec()));
    let unmapped = realm.unmap_range(3 * PAGE, 300 * PAGE, 100, false);
    assert_eq!(unmapped, (Ok(103 * PAGE), pas[3..103].to_vec()));
    // The caller stops it between two batches.
    let unmapped = realm.unmap_range(103 * PAGE, 300 * PAGE, ALL, true);
    assert_eq!(unmapped, (Ok(167 * PAGE), pas[103..167].to_vec()));
    realm.check();
    for (n, pa) in pas.iter().enumerate().take(167).skip(1) {
        assert_eq!(realm.touch(ipa(n)), no_translation(3));
        assert!(realm.is_clean(Pa(*pa)));
        let ripas = DESTROYED;
        assert_eq!(realm.entry(ipa(n)), (3, RttEntry::Unassigned { ripas }));
    }
    for n in [0, 167, 299] {
        assert_eq!(realm.touch(ipa(n)), Ok(Pa(pas[n])));
    }
    // A hole is passed over, up to what is live.
    assert_eq!(
        realm.unmap_range(PAGE, 300 * PAGE, ALL, false),
        (Ok(167 * PAGE), vec![])
    );
    assert_eq!(
        realm.unmap_range(PAGE, 9 * PAGE, ALL, false),
        (Ok(9 * PAGE), vec![])
    );
}

#[test]
fn a_page_that_was_not_valid_keeps_its_ripas() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    let pas = realm.delegated(2);
    realm.make_unassigned(PAGE, DESTROYED);
    assert_eq!(realm.map_range(0, 2 * PAGE, 3, &pas), Ok(2 * PAGE));
    assert_eq!(
        realm.unmap_range(0, 2 * PAGE, ALL, false),
        (Ok(2 * PAGE), pas)
    );
    for (ipa, ripas) in [(0, EMPTY), (PAGE, DESTROYED)] {
        assert_eq!(realm.entry(ipa), (3, RttEntry::Unassigned { ripas }));
    }
}

#[test]
fn what_cannot_be_mapped() {
    let realm = Realm::plain();
    realm.tables(0, 3);
    let pas = realm.delegated(2);
    // Not DELEGATED: the first one is an error, a later one the end.
    let outside = POOL.base + POOL.size - PAGE;
    let wrong = [pas[0], outside];
    assert_eq!(
        realm.map_range(0, 2 * PAGE, 3, &wrong[1..]),
        Err(MapError::Granule)
    );
    assert_eq!(realm.map_range(0, 2 * PAGE, 3, &wrong), Ok(PAGE));
    // The walk's own table, which is locked.
    let table = [realm.read(0, 2).desc];
    assert_eq!(
        realm.map_range(PAGE, 2 * PAGE, 3, &table),
        Err(MapError::Granule)
    );
    // One that another CPU has locked at this moment.
    let locked = realm.granules.lock::<Delegated>(pas[1]).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let cpu = realm.memory.cpu();
            let start = start_rtt(&realm.s2, realm.granules, Ipa(PAGE)).unwrap();
            let blocks = |_| std::iter::once(Pa(pas[1]));
            map_data_range(start, &cpu, 3, Ipa(2 * PAGE), blocks, |_| (), || false)
        });
        assert_eq!(other.join().unwrap(), Err(MapError::Busy));
    });
    drop(locked);
    // Within an entry, beyond the range, and in the other half.
    let page = &pas[1..];
    assert_eq!(
        realm.map_range(2 * MIB + PAGE, 4 * MIB, 3, page),
        Err(MapError::Rtt(rtt(2)))
    );
    assert_eq!(
        realm.map_range(2 * MIB, 2 * MIB + PAGE, 3, page),
        Err(MapError::Rtt(rtt(2)))
    );
    let ipa = realm.shared();
    realm.tables(ipa, 3);
    let error = realm.map_range(ipa, ipa + PAGE, 3, page);
    assert_eq!(error, Err(MapError::Rtt(rtt(3))));
    assert_eq!(MapError::from(GranuleError::Alias), MapError::Granule);
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn blocks_come_and_go_whole() {
    let realm = Realm::plain();
    realm.tables(0, 2);
    realm.init(0, 2 * MIB).unwrap();
    let base = BLOCKS.base;
    for page in (0..2 * MIB - PAGE).step_by(4096) {
        drop(realm.granule_at(base + page));
    }
    // The last Granule of the block is missing: none of the others stays DATA.
    assert_eq!(
        realm.map_range(0, 2 * MIB, 2, &[base]),
        Err(MapError::Granule)
    );
    for page in (0..2 * MIB - PAGE).step_by(4096) {
        assert!(realm.is_clean(Pa(base + page)));
    }
    drop(realm.granule_at(base + 2 * MIB - PAGE));
    assert_eq!(realm.map_range(0, 2 * MIB, 2, &[base]), Ok(2 * MIB));
    for page in [0, 5 * PAGE, 2 * MIB - PAGE] {
        assert_eq!(realm.touch(page), Ok(Pa(base + page)));
    }
    realm.check();
    // Not in part.
    assert_eq!(realm.unmap_range(0, MIB, ALL, false), (Err(rtt(2)), vec![]));
    assert_eq!(
        realm.unmap_range(PAGE, 2 * MIB, ALL, false),
        (Err(rtt(2)), vec![])
    );
    // A table ends it.
    realm.tables(2 * MIB, 3);
    assert_eq!(
        realm.unmap_range(0, 4 * MIB, ALL, false),
        (Ok(2 * MIB), vec![base])
    );
    assert_eq!(realm.entry(2 * MIB).0, 3);
    for page in [0, 5 * PAGE, 2 * MIB - PAGE] {
        assert_eq!(realm.touch(page), no_translation(2));
        assert!(realm.is_clean(Pa(base + page)));
    }
}

#[test]
fn memory_beyond_the_reach_of_descriptors() {
    let realm = Realm::plain();
    realm.tables(0, 2);
    for pa in [1 << 48, (1 << 48) - MIB, u64::MAX << 21] {
        assert_eq!(
            realm.map_range(0, 2 * MIB, 2, &[pa]),
            Err(MapError::Granule),
            "{pa:#x}"
        );
    }
    // A page of DRAM that wider descriptors would reach.
    realm.tables(0, 3);
    drop(realm.granule_at(FAR.base));
    assert_eq!(
        realm.map_range(0, PAGE, 3, &[FAR.base]),
        Err(MapError::Granule)
    );
}

#[test]
fn unprotected_pages_come_and_go() {
    let realm = Realm::plain();
    let ipa = realm.shared();
    realm.tables(ipa, 3);
    let pages = |count: u64| {
        let s2 = realm.s2;
        move |_| {
            (0..count).map(move |n| NsDesc::parse(&s2, 3, NS_WB | BLOCKS.base + n * PAGE).unwrap())
        }
    };
    let map = |first: u64, end: u64| {
        let start = realm.start(ipa + first * PAGE);
        let top = Ipa(ipa + end * PAGE);
        map_unprotected_range(start, &realm.cpu, 3, top, pages(9)).map(|end| (end.0 - ipa) / PAGE)
    };
    let unmap = |first: u64, end: u64, most: usize| {
        let mut room = most;
        let start = realm.start(ipa + first * PAGE);
        let top = Ipa(ipa + end * PAGE);
        let report = |_, _| {
            let has_room = room > 0;
            room = room.saturating_sub(1);
            has_room
        };
        unmap_unprotected_range(start, &realm.cpu, top, report).map(|end| (end.0 - ipa) / PAGE)
    };
    assert_eq!(map(1, 8), Ok(8));
    assert_eq!(map(7, 9), Err(rtt(3)), "mapped already");
    assert_eq!(map(0, 8), Ok(1), "up to what is mapped");
    for n in 0..8 {
        assert!(realm.touch(ipa + n * PAGE).is_ok());
    }
    assert_eq!(unmap(2, 4, 9), Ok(4));
    assert_eq!(unmap(2, 9, 9), Ok(4), "a hole");
    assert_eq!(unmap(4, 9, 2), Ok(6), "a full report");
    for n in 0..8 {
        let is_mapped = !(2..6).contains(&n);
        assert_eq!(realm.touch(ipa + n * PAGE).is_ok(), is_mapped, "{n}");
    }
    realm.tables(0, 3);
    let (start, top) = (realm.start(0), Ipa(PAGE));
    let error = map_unprotected_range(start, &realm.cpu, 3, top, pages(1));
    assert_eq!(error, Err(rtt(3)));
    let error = unmap_unprotected_range(realm.start(0), &realm.cpu, top, |_, _| true);
    assert_eq!(error, Err(rtt(3)));
    let data = realm.unmap_range(ipa, ipa + PAGE, ALL, false);
    assert_eq!(data, (Err(rtt(3)), vec![]));
}
