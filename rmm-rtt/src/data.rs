// SPDX-License-Identifier: BSD-3-Clause
//! DATA_CREATE, DATA_CREATE_UNKNOWN and DATA_DESTROY: mapping and unmapping DATA Granules.

use crate::entry::{is_unassigned, ripas_of, unassigned};
use crate::error::{RttError, TopError};
use crate::stage2::PAGE_LEVEL;
use crate::walk::{StartRtt, WalkEnd};
use rmm_abi::rmi::Ripas;
use rmm_granule::{Data, Delegated, Ipa, Locked, Memory, Pa, bug};

/// An UNASSIGNED page of the Protected half, with its RTT locked: mapping a DATA Granule there cannot
/// fail.
#[must_use = "the RTT is unlocked at once"]
pub struct DataSlot<'t, 'm, M: Memory>(WalkEnd<'t, 'm, M>);

/// Finds the page at the IPA of the walk, for DATA_CREATE or DATA_CREATE_UNKNOWN.
///
/// # Errors
/// `rtt_walk` and `rtte_state`, with the level that the walk reached.
#[inline]
pub fn data_slot<'t, 'm, M: Memory>(
    start: StartRtt<'t>,
    mem: &'m M,
) -> Result<DataSlot<'t, 'm, M>, RttError> {
    let at = start.walk(mem, PAGE_LEVEL);
    if at.level != PAGE_LEVEL {
        return Err(at.error()); // rtt_walk
    }
    if !is_unassigned(at.desc) || !at.is_protected() {
        return Err(at.error()); // rtte_state
    }
    Ok(DataSlot(at))
}

impl<M: Memory> DataSlot<'_, '_, M> {
    /// Maps `data` with RIPAS RAM (DATA_CREATE).
    ///
    /// # Panics
    /// If a descriptor of the Realm cannot hold the address of `data`; see
    /// [`Stage2::can_output`](crate::Stage2::can_output). This is a bug of the caller.
    #[inline]
    pub fn map_ram(self, data: Locked<'_, Data>) {
        self.map_with(data, Ripas::Ram);
    }

    /// Maps `data`, and leaves the RIPAS as it is (DATA_CREATE_UNKNOWN).
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
        at.table.granule().add_refs(1);
        at.write(desc);
    }
}

/// Outputs of DATA_DESTROY.
#[derive(Debug)]
#[must_use = "the Granule is to be wiped"]
pub struct Unmapped<'t> {
    /// The Granule, which no translation of a Realm leads to any more.
    data: Locked<'t, Data>,
    /// The `top` output.
    pub top: Ipa,
}

impl<'t> Unmapped<'t> {
    /// The `data` output: physical address of the Granule.
    #[must_use]
    pub fn pa(&self) -> Pa {
        self.data.pa()
    }

    /// Wipes the Granule and makes it DELEGATED.
    #[inline]
    pub fn wipe<M: Memory>(self, mem: &M) -> Locked<'t, Delegated> {
        // SAFETY: `unmap_data` removed its one translation from tables and TLBs.
        unsafe { self.data.wipe_unused_into_delegated(mem) }
    }
}

/// Unmaps the DATA Granule at the IPA of the walk (DATA_DESTROY). RIPAS RAM becomes DESTROYED.
///
/// # Errors
/// `rtt_walk` and `rtte_state`, with the level that the walk reached.
#[inline]
pub fn unmap_data<'t, M: Memory>(start: StartRtt<'t>, mem: &M) -> Result<Unmapped<'t>, TopError> {
    let mut at = start.walk(mem, PAGE_LEVEL);
    if at.level != PAGE_LEVEL {
        return Err(at.top_error()); // rtt_walk
    }
    if is_unassigned(at.desc) || !at.is_protected() {
        return Err(at.top_error()); // rtte_state
    }
    let Ok(data) = at.granules.lock_own(at.s2.output(at.desc)) else {
        bug!("an ASSIGNED entry without its DATA Granule");
    };
    match ripas_of(at.desc) {
        Ripas::Ram => {
            at.write(unassigned(Ripas::Destroyed));
            at.invalidate(PAGE_LEVEL);
        }
        // The entry was not valid, so no TLB holds it.
        ripas => at.write(unassigned(ripas)),
    }
    at.table.granule().remove_refs(1);
    Ok(Unmapped {
        data,
        top: at.top(),
    })
}
