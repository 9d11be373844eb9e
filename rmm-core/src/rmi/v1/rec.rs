// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_AUX_COUNT, RMI_REC_CREATE and RMI_REC_DESTROY (B4.3.11 to B4.3.13).
//!
//! RMI_REC_CREATE of RMI 2.0 (2.0-bet3 B4.5.49) has the same page without the list of auxiliary Granules,
//! which is zero and ignored: `num_aux`, `aux_align`, `aux_state` and `aux_alias` do not exist there.

use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::{Dialect, MAX_INDEXED_RECS, MAX_RECS, Rd, RealmState};
use crate::rec::{self, NewRec, Rec};
use crate::rmi::call::Outputs;
use core::mem::MaybeUninit;
use rmm_abi::rmi::{MAX_REC_AUX, RecCreateFlags, RecParams, mpidr_to_index};
use rmm_attest::rim;
use rmm_granule::{MAX_SET, bug};

/// RMI_REC_AUX_COUNT.
pub fn aux_count<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64, out: &mut Outputs) -> Result {
    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state

    let resources = rd.map(cpu.machine).resources;
    out.x1 = resources.aux_count() as u64;
    Ok(())
}

/// RMI_REC_CREATE.
// The parameters are a page, which no other command shall find on its stack.
#[inline(never)]
pub fn create<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    rec: u64,
    params_ptr: u64,
    dialect: Dialect,
) -> Result {
    let page = cpu.granules().ns_granule(params_ptr)?; // params_align, params_bound
    let mut params = MaybeUninit::uninit();
    let params: &RecParams = page.read_value(cpu.machine, 0, &mut params)?; // params_pas

    let mut named = [0; MAX_SET];
    let num_aux = match dialect {
        Dialect::V1 => params.num_aux,
        Dialect::V2 => 0,
    };
    let named = rec_and_aux(rec, num_aux, &params.aux, &mut named);
    // rd_align, rd_bound, rd_state, rec_align, rec_bound, rec_state,
    // aux_align, aux_state, aux_alias
    let (mut rd, mut granules) = cpu.granules().lock_many::<Rd>(rd, named)?;
    let (rd_pa, recs) = (rd.pa(), rd.refs());
    let mut realm = rd.map(cpu.machine);
    require(realm.is_of(dialect))?; // Not a condition of the specification: see `Modes`.
    if realm.state() != RealmState::New {
        return Err(Error::Realm(0)); // realm_state
    }
    let most = match dialect {
        Dialect::V1 => recs >= MAX_RECS,
        // The index of one that was destroyed is not used again.
        Dialect::V2 => recs >= MAX_INDEXED_RECS - 1 || realm.rec_index >= MAX_INDEXED_RECS.into(),
    };
    if most {
        return Err(Error::Realm(0)); // num_recs
    }
    require(mpidr_to_index(params.mpidr) == realm.rec_index)?; // mpidr_index
    require(dialect == Dialect::V2 || num_aux == realm.resources.aux_count() as u64)?; // num_aux

    let Some(rec) = granules.next() else {
        bug!("the REC is the first Granule of those locked");
    };
    let new = NewRec {
        gprs: &params.gprs,
        pc: params.pc,
        is_runnable: params.rec_flags().contains(RecCreateFlags::RUNNABLE),
    };
    let rec = rec::create(cpu, rd_pa, &mut realm, rec, granules, &new);
    let algorithm = realm.hash_algorithm();
    let rim = realm.rim_mut();
    *rim = rim::rec_create(cpu.machine, algorithm, rim, params);
    drop(realm);
    // Before another CPU can lock the REC, and destroy it, which counts it out.
    rd.add_refs(1);
    drop(rec);
    Ok(())
}

/// The REC and its auxiliary Granules, in `buffer`. A `num_aux` beyond the length of the list stands
/// for the whole list here: `num_aux` is checked later.
fn rec_and_aux<'a>(
    rec: u64,
    num_aux: u64,
    list: &[u64; MAX_REC_AUX],
    buffer: &'a mut [u64; MAX_SET],
) -> &'a [u64] {
    let count = usize::try_from(num_aux).map_or(MAX_REC_AUX, |n| n.min(MAX_REC_AUX));
    let [first, aux @ ..] = buffer;
    *first = rec;
    aux.copy_from_slice(list);
    buffer.split_at(1 + count).0
}

/// RMI_REC_DESTROY.
pub fn destroy<M: Machine>(cpu: &ThisCpu<'_, M>, rec: u64) -> Result {
    let rec = cpu.granules().lock::<Rec>(rec)?; // rec_align, rec_bound, rec_gran_state
    if rec.is_running() {
        return Err(Error::Rec); // rec_state
    }

    rec::destroy(cpu, rec);
    Ok(())
}
