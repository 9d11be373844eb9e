// SPDX-License-Identifier: BSD-3-Clause
//! DRAM and its Granule protection table.

use crate::addr::{GRANULE_SIZE, Pa};
use crate::memory::NsFault;
use crate::table::Bank;
use std::boxed::Box;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::vec::Vec;

/// Physical address space that a Granule is in, as its GPT entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pas {
    /// Non-secure.
    NonSecure,
    /// Realm.
    Realm,
    /// Secure.
    Secure,
    /// Root.
    Root,
}

/// DRAM, all zero and in Non-secure PAS at first.
pub(super) struct Dram {
    pub(super) banks: Vec<Bank>,
    /// The Granules that were accessed, by address.
    granules: RwLock<HashMap<u64, Box<Granule>, BuildHasherDefault<PageHasher>>>,
}

impl Dram {
    pub(super) fn new(banks: &[Bank]) -> Self {
        Self {
            banks: banks.to_vec(),
            granules: RwLock::default(),
        }
    }

    fn is_dram(&self, base: u64) -> bool {
        self.banks.iter().any(|bank| {
            base.checked_sub(bank.base)
                .is_some_and(|offset| offset < bank.size)
        })
    }

    /// Calls `f` with the Granule that holds `pa`; `None` where there is no DRAM.
    pub(super) fn with<R>(&self, pa: Pa, f: impl FnOnce(&Granule) -> R) -> Option<R> {
        let base = pa.granule_base().0;
        let granules = self.granules.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(granule) = granules.get(&base) {
            return Some(f(granule));
        }
        drop(granules);
        if !self.is_dram(base) {
            return None;
        }
        let mut granules = self
            .granules
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Some(f(granules.entry(base).or_insert_with(Granule::new)))
    }

    /// The PAS of the Granule at `pa`; `None` where there is no DRAM.
    pub(super) fn pas(&self, pa: Pa) -> Option<Pas> {
        let base = pa.granule_base().0;
        let granules = self.granules.read().unwrap_or_else(PoisonError::into_inner);
        let accessed = granules.get(&base).map(|granule| granule.pas());
        accessed.or_else(|| self.is_dram(base).then_some(Pas::NonSecure))
    }

    /// One table entry as the hardware walker reads it.
    pub(super) fn table_entry(&self, table: Pa, index: usize) -> u64 {
        self.with(table, |granule| {
            let page = granule
                .in_pas(Pas::Realm)
                .expect("granule protection fault on a table walk");
            page.0[index].load(Ordering::SeqCst)
        })
        .expect("table walk outside DRAM")
    }
}

/// Hashes addresses of Granules, in less time than the usual hasher takes under Miri.
#[derive(Default)]
struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("addresses are words");
    }

    fn write_u64(&mut self, address: u64) {
        self.0 = address.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
}

/// The content of a Granule: atomics, because CPUs and Realms may access it at the same time.
#[repr(C, align(4096))]
pub(super) struct Page([AtomicU64; GRANULE_SIZE / 8]);

/// A Granule of DRAM with its GPT entry.
pub(super) struct Granule {
    /// Held for reading during an access that depends on it: a change of the GPT waits for those.
    pas: RwLock<Pas>,
    pub(super) page: Page,
}

impl Granule {
    fn new() -> Box<Self> {
        Box::new(Self {
            pas: RwLock::new(Pas::NonSecure),
            page: Page([const { AtomicU64::new(0) }; GRANULE_SIZE / 8]),
        })
    }

    fn pas(&self) -> Pas {
        *self.pas.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pas_mut(&self) -> RwLockWriteGuard<'_, Pas> {
        self.pas.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page for an access through `pas`; the Granule stays in it until the drop.
    pub(super) fn in_pas(&self, pas: Pas) -> Result<Accessible<'_>, NsFault> {
        let found = self.pas.read().unwrap_or_else(PoisonError::into_inner);
        if *found != pas {
            return Err(NsFault);
        }
        Ok(Accessible {
            page: &self.page,
            _pas: found,
        })
    }
}

/// A page whose Granule cannot change its PAS meanwhile.
pub(super) struct Accessible<'a> {
    page: &'a Page,
    _pas: RwLockReadGuard<'a, Pas>,
}

impl Deref for Accessible<'_> {
    type Target = Page;

    fn deref(&self) -> &Page {
        self.page
    }
}

impl Page {
    pub(super) fn read(&self, offset: usize, dst: &mut [u8]) {
        if offset == 0 && dst.len() == GRANULE_SIZE {
            let (words, _) = dst.as_chunks_mut::<8>();
            for (to, from) in words.iter_mut().zip(&self.0) {
                *to = from.load(Ordering::Relaxed).to_ne_bytes();
            }
            return;
        }
        let mut at = offset;
        for part in split(offset, dst.len()) {
            let bytes = self.0[at / 8].load(Ordering::Relaxed).to_ne_bytes();
            dst[at - offset..][..part].copy_from_slice(&bytes[at % 8..][..part]);
            at += part;
        }
    }

    pub(super) fn write(&self, offset: usize, src: &[u8]) {
        let mut at = offset;
        for part in split(offset, src.len()) {
            let new = &src[at - offset..][..part];
            let update = |old: u64| {
                let mut bytes = old.to_ne_bytes();
                bytes[at % 8..][..part].copy_from_slice(new);
                Some(u64::from_ne_bytes(bytes))
            };
            let order = Ordering::Relaxed;
            self.0[at / 8]
                .fetch_update(order, order, update)
                .expect("always some");
            at += part;
        }
    }
}

/// Lengths in bytes of the parts of `[offset, offset + length)` that lie in one 8-byte word each.
fn split(offset: usize, length: usize) -> impl Iterator<Item = usize> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        let part = (8 - at % 8).min(end - at);
        at += part;
        (part > 0).then_some(part)
    })
}
