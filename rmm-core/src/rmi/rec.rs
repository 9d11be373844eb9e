// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_AUX_COUNT, RMI_REC_CREATE and RMI_REC_DESTROY (B4.3.11 to B4.3.13).

use super::{Error, Outputs, Result};
use crate::machine::Machine;
use crate::monitor::Cx;
use crate::realm::{MAX_RECS, Realm, RealmState};
use crate::rec::{Rec, RecHead};
use core::mem::offset_of;
use rmm_abi::rmi::{MAX_REC_AUX, RecParams, mpidr_to_index};
use rmm_attest::rim;
use rmm_granule::{MAX_SET, Rd, RecAux};
use zerocopy::{FromZeros, IntoBytes};

/// RMI_REC_AUX_COUNT.
pub fn aux_count<M: Machine>(cx: &Cx<'_, M>, rd: u64, out: &mut Outputs) -> Result {
    let mut rd = cx.granules().lock::<Rd>(rd)?;
    let resources = rd.map::<_, Realm>(cx.machine).resources;
    out.x1 = resources.aux_count() as u64;
    Ok(())
}

/// RMI_REC_CREATE.
// Its parameters are a page, which no other command shall find on its stack.
#[inline(never)]
pub fn create<M: Machine>(cx: &Cx<'_, M>, rd: u64, rec: u64, params_ptr: u64) -> Result {
    let mut params = RecParams::new_zeroed();
    let page = cx.granules().ns_granule(params_ptr)?;
    page.read(cx.machine, 0, params.as_mut_bytes())?;

    // `rec_*` and `aux_*`. A wrong `num_aux` is told after the Realm's own errors.
    let given = usize::try_from(params.num_aux).map_or(MAX_REC_AUX, |n| n.min(MAX_REC_AUX));
    let mut named = [0; MAX_SET];
    named[0] = rec;
    named[1..].copy_from_slice(&params.aux);
    let named = named.get(..=given).ok_or(Error::Input)?;
    let (mut rd, mut granules) = cx.granules().lock_many::<Rd>(rd, named)?;

    let (rd_pa, recs) = (rd.pa(), rd.refs());
    let mut realm = rd.map::<_, Realm>(cx.machine);
    if realm.state() != RealmState::New || recs >= MAX_RECS {
        return Err(Error::Realm(0));
    }
    let index = realm.rec_index;
    if mpidr_to_index(params.mpidr) != index || params.num_aux != realm.resources.aux_count() as u64
    {
        return Err(Error::Input);
    }
    let rec = granules.next().ok_or(Error::Input)?;

    let mut aux = [0; MAX_REC_AUX];
    for (slot, granule) in aux.iter_mut().zip(granules) {
        *slot = granule.pa().as_u64();
        let _aux = granule.transition::<RecAux>();
    }
    let mut content = rec.fill::<_, RecContent>(cx.machine);
    content.head = RecHead::new(rd_pa, &realm, index, aux);
    content.rec.init(cx.monitor.next_rec(), index, &params);
    let _rec = content.commit::<rmm_granule::Rec>();
    realm.rec_index += 1;
    let algorithm = realm.hash_algorithm();
    let rim = realm.rim_mut();
    *rim = rim::rec_create(cx.machine, algorithm, rim, &params);
    drop(realm);
    rd.take_ref();
    Ok(())
}

/// A REC Granule as it is created.
#[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout)]
#[repr(C)]
struct RecContent {
    head: RecHead,
    _zero: [u8; rmm_granule::REC_HEAD_SIZE - size_of::<RecHead>()],
    rec: Rec,
}

const _: () = assert!(offset_of!(RecContent, rec) == rmm_granule::REC_HEAD_SIZE);

/// RMI_REC_DESTROY.
pub fn destroy<M: Machine>(cx: &Cx<'_, M>, rec: u64) -> Result {
    let rec = cx.granules().lock::<rmm_granule::Rec>(rec)?;
    if rec.is_running() {
        return Err(Error::Rec);
    }
    let head = rec.head::<_, RecHead>(cx.machine).clone();
    for &aux in head.aux() {
        // Nobody but this REC's owner knows the Granule as REC_AUX, and no command leaves it.
        match cx.granules().lock::<RecAux>(aux) {
            Ok(aux) => drop(aux.wipe_into_delegated(cx.machine)),
            Err(_) => cx.machine.fatal("REC without its auxiliary Granules"),
        }
    }
    let _delegated = rec.wipe_into_delegated(cx.machine);
    cx.granules().put_rec_of(head.rd());
    Ok(())
}
