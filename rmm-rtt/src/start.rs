// SPDX-License-Identifier: BSD-3-Clause
//! Start-level RTTs: REALM_CREATE and REALM_DESTROY.

use crate::stage2::Stage2;
use crate::walk::lock_table;
use rmm_granule::{Delegated, GRANULE_SIZE, GranuleTable, Ipa, Locked, Memory, Pa};

/// Most concatenated start-level RTTs.
pub const MAX_START_TABLES: usize = 16;

/// A start-level RTT is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live;

/// Makes `tables` the start-level RTTs of a new Realm: every entry UNASSIGNED with RIPAS EMPTY, or
/// UNASSIGNED_NS. They are the Granules that `s2` names.
pub fn init_start_tables<'t, M: Memory>(
    s2: &Stage2,
    tables: impl Iterator<Item = Locked<'t, Delegated>>,
    mem: &M,
) {
    for (expected, table) in start_tables(s2).zip(tables) {
        debug_assert_eq!(expected, table.pa());
        // A wiped Granule is such a table.
        drop(table.transition::<rmm_granule::Rtt>());
    }
    mem.publish_tables();
}

/// Wipes the start-level RTTs of a Realm and makes them DELEGATED.
///
/// The caller has the RD locked and the Realm has no REC: no walk can start.
///
/// # Errors
/// One of them is live; nothing has changed then.
pub fn destroy_start_tables<M: Memory>(
    s2: &Stage2,
    granules: &GranuleTable,
    mem: &M,
) -> Result<(), Live> {
    // Waits for walks that started earlier.
    if start_tables(s2).any(|pa| lock_table(granules, pa).refs() != 0) {
        return Err(Live);
    }
    // Nobody gets a table before the TLBs have forgotten what it said: it may have mapped memory of
    // the Host.
    let mut wiped = [const { None }; MAX_START_TABLES];
    for (slot, pa) in wiped.iter_mut().zip(start_tables(s2)) {
        *slot = Some(lock_table(granules, pa).wipe_into_delegated(mem));
    }
    mem.invalidate_stage2(s2.vmid, Ipa(0), 1 << (s2.ipa_width & 63), s2.start_level);
    drop(wiped);
    Ok(())
}

fn start_tables(s2: &Stage2) -> impl Iterator<Item = Pa> {
    let base = s2.base.0;
    (0..u64::from(s2.num_start)).map(move |n| Pa(base.wrapping_add(n * GRANULE_SIZE as u64)))
}
