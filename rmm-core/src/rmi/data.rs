// SPDX-License-Identifier: BSD-3-Clause
//! RMI_DATA_CREATE, RMI_DATA_CREATE_UNKNOWN and RMI_DATA_DESTROY (B4.3.1 to B4.3.3).

use super::rtt::{protected, walk};
use super::{Error, Outputs, Result};
use crate::machine::Machine;
use crate::monitor::Cx;
use crate::realm::{Realm, RealmState};
use rmm_abi::rmi::DataFlags;
use rmm_attest::{Measurement, rim};
use rmm_granule::{Data, Delegated, GRANULE_SIZE, Rd};

/// RMI_DATA_CREATE.
pub fn create<M: Machine>(
    cx: &Cx<'_, M>,
    rd: u64,
    data: u64,
    ipa: u64,
    src: u64,
    flags: u64,
) -> Result {
    let src = cx.granules().ns_granule(src)?;
    let (mut rd, data) = cx.granules().lock_pair::<Rd, Delegated>(rd, data)?;
    let mut realm = rd.map::<_, Realm>(cx.machine);
    let stage2 = realm.stage2;
    let ipa = protected(&stage2, ipa)?;
    if !stage2.can_output(data.pa()) {
        return Err(Error::Input);
    }
    if realm.state() != RealmState::New {
        return Err(Error::Realm(0));
    }
    let slot = rmm_rtt::data_slot(cx.root(&stage2, ipa)?, cx.machine)?;
    // A fault on the way leaves a Granule half written; dropped, it is wiped.
    let mut content = data.fill::<_, [u8; GRANULE_SIZE]>(cx.machine);
    src.read(cx.machine, 0, &mut *content)?;

    let algorithm = realm.hash_algorithm();
    let digest = if flags & DataFlags::MEASURE.bits() != 0 {
        Measurement::of(cx.machine, algorithm, &[&*content])
    } else {
        Measurement::ZERO
    };
    cx.machine.publish_instructions(&content);
    slot.map_ram(content.commit::<Data>());
    let rim = realm.rim_mut();
    *rim = rim::data_create(cx.machine, algorithm, rim, ipa.as_u64(), flags, &digest);
    Ok(())
}

/// RMI_DATA_CREATE_UNKNOWN. The content is zero, which the Realm is not promised.
pub fn create_unknown<M: Machine>(cx: &Cx<'_, M>, rd: u64, data: u64, ipa: u64) -> Result {
    let (mut rd, data) = cx.granules().lock_pair::<Rd, Delegated>(rd, data)?;
    let stage2 = rd.map::<_, Realm>(cx.machine).stage2;
    let ipa = protected(&stage2, ipa)?;
    if !stage2.can_output(data.pa()) {
        return Err(Error::Input);
    }
    let root = cx.root(&stage2, ipa)?;
    drop(rd);
    let slot = rmm_rtt::data_slot(root, cx.machine)?;
    let content = data.fill::<_, [u8; GRANULE_SIZE]>(cx.machine);
    cx.machine.publish_instructions(&content);
    slot.map(content.commit::<Data>());
    Ok(())
}

/// RMI_DATA_DESTROY.
pub fn destroy<M: Machine>(cx: &Cx<'_, M>, rd: u64, ipa: u64, out: &mut Outputs) -> Result {
    let ((), root) = walk(cx, rd, |stage2| Ok(((), protected(stage2, ipa)?)))?;
    let unmapped = match rmm_rtt::unmap_data(root, cx.machine) {
        Ok(unmapped) => unmapped,
        Err(error) => {
            out.x2 = error.top.as_u64();
            return Err(error.into());
        }
    };
    out.x1 = unmapped.data.pa().as_u64();
    out.x2 = unmapped.top.as_u64();
    let _delegated = unmapped.data.wipe_into_delegated(cx.machine);
    Ok(())
}
