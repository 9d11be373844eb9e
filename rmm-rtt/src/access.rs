// SPDX-License-Identifier: BSD-3-Clause
//! Accesses of the monitor to Realm memory, for RSI commands.

use crate::entry::{RttEntry, ripas_of};
use crate::stage2::PAGE_LEVEL;
use crate::walk::StartRtt;
use rmm_abi::rmi::Ripas;
use rmm_granule::{Data, Locked, Memory, Pa, Rtt, bug};

/// The Granule of Realm memory at an IPA. It stays ASSIGNED with RIPAS RAM as long as this value
/// lives, which keeps the leaf RTT and the DATA Granule locked.
#[derive(Debug)]
pub struct RealmGranule<'t> {
    pub(crate) data: Locked<'t, Data>,
    _table: Locked<'t, Rtt>,
}

/// There is no Realm memory at an IPA: the entry is not ASSIGNED with RIPAS RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMapped {
    /// Level that the walk reached, -1 to 3.
    pub level: i8,
    /// RIPAS; `None` in the Unprotected half.
    pub ripas: Option<Ripas>,
}

/// Finds the Granule of Realm memory that holds the IPA of the walk.
///
/// # Errors
/// The entry is not ASSIGNED with RIPAS RAM.
#[inline]
pub fn lock_realm_granule<'t, M: Memory>(
    start: StartRtt<'t>,
    mem: &M,
) -> Result<RealmGranule<'t>, NotMapped> {
    let at = start.walk(mem, PAGE_LEVEL);
    let protected = at.is_protected();
    let RttEntry::Assigned {
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
    // The base of an entry differs from an IPA in it by the offset bits alone, and the physical
    // address of a block has none of them.
    let within = (at.ipa.0 ^ at.base().0) | pa.0;
    let Ok(data) = at.granules.lock_own(Pa(within).granule_base()) else {
        bug!("an ASSIGNED entry without its DATA Granule");
    };
    Ok(RealmGranule {
        data,
        _table: at.table.close(),
    })
}

impl RealmGranule<'_> {
    /// Copies bytes from `offset` on to `dst`; the Realm may be writing them.
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule. This is a bug of the caller.
    pub fn read<M: Memory>(&self, mem: &M, offset: usize, dst: &mut [u8]) {
        self.data.read(mem, offset, dst);
    }

    /// Copies `src` to the Granule, from `offset` on.
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule. This is a bug of the caller.
    pub fn write<M: Memory>(&self, mem: &M, offset: usize, src: &[u8]) {
        self.data.write(mem, offset, src);
    }

    /// Writes the whole Granule: the parts, each from its offset on, and zero bytes.
    ///
    /// # Panics
    /// If a part does not lie within the Granule. This is a bug of the caller.
    pub fn write_whole<M: Memory>(&self, mem: &M, parts: &[(usize, &[u8])]) {
        self.data.write_whole(mem, parts);
    }
}
