// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_INIT_RIPAS and RMI_RTT_SET_RIPAS (B4.3.18, B4.3.21).

use super::rtt::Checked;
use super::{Error, Outputs, Result};
use crate::machine::Machine;
use crate::monitor::Cx;
use crate::realm::{Realm, RealmState};
use crate::rec::{Rec, RecHead};
use rmm_abi::rmi::Ripas;
use rmm_attest::rim;
use rmm_granule::{GRANULE_SIZE, Ipa, Rd};

/// `size_valid` and `top_gran_align`.
fn range(base: u64, top: u64) -> Checked<(Ipa, Ipa)> {
    let top = Ipa::granule(top).filter(|top| top.as_u64() > base);
    Ok((Ipa(base), top.ok_or(Error::Input)?))
}

/// RMI_RTT_INIT_RIPAS.
pub fn init<M: Machine>(cx: &Cx<'_, M>, rd: u64, base: u64, top: u64, out: &mut Outputs) -> Result {
    let (base, top) = range(base, top)?;
    let mut rd = cx.granules().lock::<Rd>(rd)?;
    let mut realm = rd.map::<_, Realm>(cx.machine);
    let stage2 = realm.stage2;
    if !stage2.is_protected(Ipa(top.as_u64() - GRANULE_SIZE as u64)) {
        return Err(Error::Input);
    }
    if realm.state() != RealmState::New {
        return Err(Error::Realm(0));
    }
    let root = cx.root(&stage2, base)?;
    let algorithm = realm.hash_algorithm();
    let rim = realm.rim_mut();
    let measure = |base: Ipa, top: Ipa| {
        *rim = rim::init_ripas(cx.machine, algorithm, rim, base.as_u64(), top.as_u64());
    };
    out.x1 = rmm_rtt::init_ripas(root, cx.machine, top, measure)?.as_u64();
    Ok(())
}

/// RMI_RTT_SET_RIPAS.
pub fn set<M: Machine>(
    cx: &Cx<'_, M>,
    rd: u64,
    rec: u64,
    base: u64,
    top: u64,
    out: &mut Outputs,
) -> Result {
    let (base, top) = range(base, top)?;
    let (mut rd, mut rec) = cx.granules().lock_pair::<Rd, rmm_granule::Rec>(rd, rec)?;
    let rd_pa = rd.pa();
    let stage2 = rd.map::<_, Realm>(cx.machine).stage2;
    let mut rec = rec.map::<_, RecHead, Rec>(cx.machine).ok_or(Error::Rec)?;
    let (head, rec) = rec.split();
    if head.rd() != rd_pa {
        return Err(Error::Rec);
    }
    let change = &mut rec.ripas;
    if base.as_u64() != change.addr || top.as_u64() > change.top {
        return Err(Error::Input);
    }
    let root = cx.root(&stage2, base)?;
    drop(rd);
    let ripas = Ripas::try_from(change.value).map_err(|_| Error::Input)?;
    let may_leave_destroyed = change.destroyed != 0;
    let end = rmm_rtt::set_ripas(root, cx.machine, top, ripas, may_leave_destroyed)?;
    change.addr = end.as_u64();
    out.x1 = end.as_u64();
    Ok(())
}
