// SPDX-License-Identifier: BSD-3-Clause
//! DATA Granules of a Realm: mapping and unmapping.

use crate::entry::{is_unassigned, ripas_of, unassigned};
use crate::error::{RttError, TopError};
use crate::stage2::PAGE_LEVEL;
use crate::walk::{At, Root};
use rmm_abi::rmi::Ripas;
use rmm_granule::{Data, Ipa, Locked, Memory};

/// An UNASSIGNED page of the Protected half, its RTT locked: a DATA Granule can be mapped at it
/// and this cannot fail.
#[must_use = "the RTT is unlocked at once"]
pub struct DataSlot<'t, 'm, M: Memory>(At<'t, 'm, M>);

/// Finds the page at the root's IPA fit for DATA_CREATE or DATA_CREATE_UNKNOWN.
///
/// # Errors
/// The walk ends above level 3, or the entry there is not UNASSIGNED.
#[inline]
pub fn data_slot<'t, 'm, M: Memory>(
    root: Root<'t>,
    mem: &'m M,
) -> Result<DataSlot<'t, 'm, M>, RttError> {
    let at = root.walk(mem, PAGE_LEVEL);
    if at.level != PAGE_LEVEL || !is_unassigned(at.desc) || !at.is_protected() {
        return Err(at.error());
    }
    Ok(DataSlot(at))
}

impl<M: Memory> DataSlot<'_, '_, M> {
    /// Maps `data` with RIPAS RAM (DATA_CREATE).
    ///
    /// # Panics
    /// If the Realm cannot address `data`; see [`Stage2::can_output`](crate::Stage2::can_output).
    #[inline]
    pub fn map_ram(self, data: Locked<'_, Data>) {
        self.map_with(data, Ripas::Ram);
    }

    /// Maps `data` and leaves the RIPAS as it is (DATA_CREATE_UNKNOWN).
    ///
    /// # Panics
    /// As [`DataSlot::map_ram`].
    #[inline]
    pub fn map(self, data: Locked<'_, Data>) {
        let ripas = ripas_of(self.0.desc);
        self.map_with(data, ripas);
    }

    #[inline(always)]
    fn map_with(self, data: Locked<'_, Data>, ripas: Ripas) {
        let Self(mut at) = self;
        let desc = at.s2.assigned(data.pa(), PAGE_LEVEL, ripas);
        at.table.granule().take_ref();
        at.write(desc);
    }
}

/// What was mapped at a page.
#[derive(Debug)]
#[must_use = "the Granule is to be wiped"]
pub struct Unmapped<'t> {
    /// The Granule, which no Realm reaches any more; to be wiped.
    pub data: Locked<'t, Data>,
    /// The `top` output.
    pub top: Ipa,
}

/// Unmaps the DATA Granule at the root's IPA (DATA_DESTROY). RIPAS RAM becomes DESTROYED.
///
/// # Errors
/// The walk ends above level 3, or the entry there is not ASSIGNED.
#[inline]
pub fn unmap_data<'t, M: Memory>(root: Root<'t>, mem: &M) -> Result<Unmapped<'t>, TopError> {
    let mut at = root.walk(mem, PAGE_LEVEL);
    if at.level != PAGE_LEVEL || is_unassigned(at.desc) || !at.is_protected() {
        return Err(at.top_error());
    }
    let pa = at.s2.output(at.desc);
    let data = at.granules.lock(pa.0).expect("a DATA Granule");
    match ripas_of(at.desc) {
        Ripas::Ram => {
            at.write(unassigned(Ripas::Destroyed));
            at.invalidate(PAGE_LEVEL);
        }
        ripas => at.write(unassigned(ripas)),
    }
    at.table.granule().put_ref();
    Ok(Unmapped {
        data,
        top: at.top(),
    })
}
