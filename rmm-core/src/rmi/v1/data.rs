// SPDX-License-Identifier: BSD-3-Clause
//! RMI_DATA_CREATE, RMI_DATA_CREATE_UNKNOWN and RMI_DATA_DESTROY (B4.3.1 to B4.3.3).

use super::args::{lock_start_rtt, protected, start_rtt};
use super::{Error, Result, require};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::{Rd, RealmState};
use crate::rmi::call::Outputs;
use rmm_abi::rmi::DataFlags;
use rmm_attest::{Measurement, rim};
use rmm_granule::{Data, Delegated};

/// RMI_DATA_CREATE.
pub fn create<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    rd: u64,
    data: u64,
    ipa: u64,
    src: u64,
    flags: u64,
) -> Result {
    let src = cpu.granules().ns_granule(src)?; // src_align, src_bound
    // rd_align, rd_bound, rd_state, data_align, data_bound, data_state
    let (mut rd, data) = cpu.granules().lock_pair::<Rd, Delegated>(rd, data)?;
    let mut realm = rd.map(cpu.machine);
    let stage2 = realm.stage2;
    let ipa = protected(&stage2, ipa)?; // ipa_align, ipa_bound
    require(stage2.can_output(data.pa()))?; // data_bound2
    if realm.state() != RealmState::New {
        return Err(Error::Realm(0)); // realm_state
    }
    let start = start_rtt(cpu, &stage2, ipa)?;
    let slot = rmm_rtt::data_slot(start, cpu.machine)?; // rtt_walk, rtte_state
    // A fault leaves the Granule half written; the drop wipes it.
    let mut content = data.new_content::<_, Data>(cpu.machine);
    src.read(cpu.machine, 0, &mut *content)?; // src_pas

    let algorithm = realm.hash_algorithm();
    let rim = realm.rim_mut();
    *rim = cpu.machine.hashing(|hash| {
        let digest = if flags & DataFlags::MEASURE.bits() != 0 {
            Measurement::of(hash, algorithm, &*content)
        } else {
            Measurement::ZERO
        };
        rim::data_create(hash, algorithm, rim, ipa.as_u64(), flags, &digest)
    });
    cpu.machine.publish_instructions(&content);
    slot.map_ram(content.commit());
    Ok(())
}

/// RMI_DATA_CREATE_UNKNOWN. The content is zero, which the specification does not promise the
/// Realm.
pub fn create_unknown<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64, data: u64, ipa: u64) -> Result {
    // rd_align, rd_bound, rd_state, data_align, data_bound, data_state
    let (mut rd, data) = cpu.granules().lock_pair::<Rd, Delegated>(rd, data)?;
    let stage2 = rd.map(cpu.machine).stage2;
    let ipa = protected(&stage2, ipa)?; // ipa_align, ipa_bound
    require(stage2.can_output(data.pa()))?; // data_bound2
    let start = start_rtt(cpu, &stage2, ipa)?;
    drop(rd);
    let slot = rmm_rtt::data_slot(start, cpu.machine)?; // rtt_walk, rtte_state

    let content = data.new_content::<_, Data>(cpu.machine);
    cpu.machine.publish_instructions(&content);
    slot.map(content.commit());
    Ok(())
}

/// RMI_DATA_DESTROY.
pub fn destroy<M: Machine>(cpu: &ThisCpu<'_, M>, rd: u64, ipa: u64, out: &mut Outputs) -> Result {
    // rd_align, rd_bound, rd_state, ipa_align, ipa_bound
    let ((), start) = lock_start_rtt(cpu, rd, |stage2| Ok(((), protected(stage2, ipa)?)))?;

    let unmapped = match rmm_rtt::unmap_data(start, cpu.machine) {
        Ok(unmapped) => unmapped,
        // rtt_walk, rtte_state
        Err(error) => {
            out.x2 = error.top.as_u64();
            return Err(error.into());
        }
    };
    out.x1 = unmapped.pa().as_u64();
    out.x2 = unmapped.top.as_u64();
    let _delegated = unmapped.wipe(cpu.machine);
    Ok(())
}
