// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_INIT_RIPAS and RMI_RTT_SET_RIPAS (B4.3.18, B4.3.21), the latter for both interfaces.

use super::args::start_rtt;
use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::{Rd, RealmState};
use crate::rec::Rec;
use crate::rmi::call::Outputs;
use rmm_abi::rmi::Ripas;
use rmm_attest::rim;
use rmm_granule::{GRANULE_SIZE, Ipa};
use rmm_rtt::Change;

/// RMI_RTT_INIT_RIPAS.
pub fn init<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    base: u64,
    top: u64,
    out: &mut Outputs,
) -> Result {
    require(top > base)?; // size_valid
    let top = Ipa::granule(top).ok_or(Error::Input)?; // top_gran_align
    let base = Ipa(base);
    let mut rd = cpu.granules().lock::<Rd>(rd)?; // rd_align, rd_bound, rd_state
    let mut realm = rd.map(cpu.machine);
    require(!realm.is_v2())?; // Not a condition of the specification: see `Modes`.
    let stage2 = realm.stage2;
    // `top` is above `base` and so at least a Granule.
    let last = Ipa(top.as_u64() - GRANULE_SIZE as u64);
    require(stage2.is_protected(last))?; // top_bound
    if realm.state() != RealmState::New {
        return Err(Error::Realm(0)); // realm_state
    }
    let start = start_rtt(cpu, &stage2, base)?;

    let algorithm = realm.hash_algorithm();
    let rim = realm.rim_mut();
    // base_align, rtte_state, no_progress
    let out_top = cpu.machine.hashing(|hash| {
        rmm_rtt::init_ripas(start, cpu.machine, top, |base, top| {
            *rim = rim::init_ripas(hash, algorithm, rim, base.as_u64(), top.as_u64());
        })
    })?;
    out.x1 = out_top.as_u64();
    Ok(())
}

/// RMI_RTT_SET_RIPAS.
pub fn set<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    rec: u64,
    base: u64,
    top: u64,
    out: &mut Outputs,
) -> Result {
    require(top > base)?; // size_valid
    let top = Ipa::granule(top).ok_or(Error::Input)?; // top_gran_align
    // rd_align, rd_bound, rd_state, rec_align, rec_bound, rec_gran_state
    let (mut rd, mut rec) = cpu.granules().lock_pair::<Rd, Rec>(rd, rec)?;
    let rd_pa = rd.pa();
    let stage2 = rd.map(cpu.machine).stage2;
    let mut rec = rec.map(cpu.machine).ok_or(Error::Rec)?; // rec_state
    let (head, rec) = rec.split();
    if head.rd() != rd_pa {
        return Err(Error::Rec); // rec_owner
    }
    let change = &mut rec.attributes.ripas_change;
    require(base == change.addr)?; // base_bound
    require(top.as_u64() <= change.top)?; // top_bound
    let start = start_rtt(cpu, &stage2, Ipa(base))?;
    drop(rd);

    let ripas = change.ripas();
    // In RMI 2.0 the consent of the Realm matters only for RAM (2.0-bet3 B4.5.75).
    let destroyed = change.changes_destroyed() || head.is_v2() && ripas == Ripas::Empty;
    let requested = Change::Requested { destroyed };
    let out_top = rmm_rtt::set_ripas(start, cpu.machine, top, ripas, requested)?; // base_align, no_progress
    change.addr = out_top.as_u64();
    out.x1 = out_top.as_u64();
    Ok(())
}
