// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's own access to Realm memory.

use crate::entry::{Entry, ripas_of};
use crate::stage2::{PAGE_LEVEL, entry_size};
use crate::walk::Root;
use rmm_abi::rmi::Ripas;
use rmm_granule::{Data, GRANULE_SIZE, Locked, Memory, Pa, Rtt};

/// The Granule of Realm memory that holds an IPA, ASSIGNED with RIPAS RAM for as long as this value
/// lives: it keeps the leaf RTT and the DATA Granule locked.
#[derive(Debug)]
pub struct RealmGranule<'t> {
    data: Locked<'t, Data>,
    _table: Locked<'t, Rtt>,
}

/// Why there is no Realm memory at an IPA: the entry is not ASSIGNED with RIPAS RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMapped {
    /// Level that the walk reached.
    pub level: i8,
    /// RIPAS; `None` in the Unprotected half.
    pub ripas: Option<Ripas>,
}

/// Finds the Granule of Realm memory that holds the root's IPA.
///
/// # Errors
/// The entry is not ASSIGNED with RIPAS RAM.
#[inline]
pub fn access<'t, M: Memory>(root: Root<'t>, mem: &M) -> Result<RealmGranule<'t>, NotMapped> {
    let at = root.walk(mem, PAGE_LEVEL);
    let protected = at.is_protected();
    let Entry::Assigned {
        pa,
        ripas: Ripas::Ram,
    } = at.s2.decode(at.desc, at.level, protected)
    else {
        let ripas = protected.then(|| ripas_of(at.desc));
        return Err(NotMapped {
            level: at.level,
            ripas,
        });
    };
    let within = at.ipa.0 & (entry_size(at.level) - GRANULE_SIZE as u64);
    let data = at
        .granules
        .lock(Pa(pa.0 | within).0)
        .expect("a DATA Granule");
    Ok(RealmGranule {
        data,
        _table: at.table.close(),
    })
}

impl RealmGranule<'_> {
    /// Physical address of the Granule.
    #[must_use]
    pub fn pa(&self) -> Pa {
        self.data.pa()
    }

    /// Copies bytes from `offset` on to `dst`; the Realm may be writing them.
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule.
    pub fn read<M: Memory>(&self, mem: &M, offset: usize, dst: &mut [u8]) {
        self.data.read(mem, offset, dst);
    }

    /// Copies `src` to the Granule from `offset` on.
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule.
    pub fn write<M: Memory>(&self, mem: &M, offset: usize, src: &[u8]) {
        self.data.write(mem, offset, src);
    }
}
