// SPDX-License-Identifier: BSD-3-Clause
//! Start-level RTTs: REALM_CREATE and REALM_DESTROY.

use crate::stage2::{MAX_START_TABLES, Stage2};
use crate::walk::lock_rtt;
use rmm_granule::{Delegated, GranuleTable, Ipa, Locked, Memory, Rtt, bug};

/// A start-level RTT is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRtt;

/// Makes `tables` the start-level RTTs of a new Realm, with all entries UNASSIGNED and RIPAS EMPTY,
/// or UNASSIGNED_NS.
///
/// # Panics
/// If `tables` are not the Granules of [`Stage2::start_tables`], in that order. This is a bug of the
/// caller.
pub fn init_start_tables<'t, M: Memory>(
    s2: &Stage2,
    mut tables: impl Iterator<Item = Locked<'t, Delegated>>,
    mem: &M,
) {
    for pa in s2.start_tables() {
        match tables.next() {
            // A wiped Granule already is such a table.
            Some(table) if table.pa() == pa => drop(table.transition::<Rtt>()),
            _ => bug!("other Granules than the start-level RTTs"),
        }
    }
    mem.publish_tables();
}

/// Wipes the start-level RTTs of a Realm and makes them DELEGATED.
///
/// The caller has the RD locked, and the Realm has no REC: no walk can start.
///
/// # Errors
/// One of them is live (`realm_live`). Nothing has changed then.
pub fn destroy_start_tables<M: Memory>(
    s2: &Stage2,
    granules: &GranuleTable,
    mem: &M,
) -> Result<(), LiveRtt> {
    // Each lock also waits for a walk that started earlier.
    if s2
        .start_tables()
        .any(|pa| lock_rtt(granules, pa).refs() != 0)
    {
        return Err(LiveRtt);
    }
    // They stay locked until the invalidation: TLBs may still hold ASSIGNED_NS entries, and nobody
    // may use one of these Granules before.
    let mut wiped = [const { None }; MAX_START_TABLES];
    for (slot, pa) in wiped.iter_mut().zip(s2.start_tables()) {
        // SAFETY: the Realm has no REC, so no CPU walks its tables, and no walk of the monitor starts.
        *slot = Some(unsafe { lock_rtt(granules, pa).wipe_unused_into_delegated(mem) });
    }
    let ipa_space = 1 << (s2.ipa_width & 63);
    mem.invalidate_stage2(s2.vmid, Ipa(0), ipa_space, s2.start_level);
    drop(wiped);
    Ok(())
}
