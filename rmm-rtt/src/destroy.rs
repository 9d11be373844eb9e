// SPDX-License-Identifier: BSD-3-Clause
//! RTT_DESTROY: an RTT that is not live is replaced by an entry without memory.

use crate::entry::{UNASSIGNED_NS, unassigned};
use crate::error::TopError;
use crate::walk::StartRtt;
use rmm_abi::rmi::Ripas;
use rmm_granule::{Ipa, Memory, Pa};

/// Outputs of RTT_DESTROY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// The `rtt` output: the Granule of the RTT, now DELEGATED.
    pub rtt: Pa,
    /// The `top` output.
    pub top: Ipa,
}

/// Destroys the RTT of `level` for the IPA of the walk. In the Protected half its range becomes
/// UNASSIGNED with RIPAS DESTROYED, whatever RIPAS it had; in the Unprotected half UNASSIGNED_NS.
///
/// `level` is below the start level.
///
/// # Errors
/// `rtt_walk` and `rtte_state` with the level that the walk reached; `rtt_live` with `level`.
#[inline]
pub fn destroy<M: Memory>(start: StartRtt<'_>, mem: &M, level: i8) -> Result<Destroyed, TopError> {
    let mut at = start.walk_to_parent(mem, level);
    if !at.is_parent_of(level) {
        return Err(at.top_error()); // rtt_walk
    }
    if !at.is_table() {
        return Err(at.top_error()); // rtte_state
    }
    let child = at.lock_child();
    if child.refs() != 0 {
        return Err(TopError { level, top: at.ipa }); // rtt_live
    }
    let rtt = child.pa();
    at.write(if at.is_protected() {
        unassigned(Ripas::Destroyed)
    } else {
        UNASSIGNED_NS
    });
    at.table.granule().remove_refs(1);
    // Before the wipe: TLBs may hold the RTT itself, and ASSIGNED_NS entries of it.
    at.invalidate(level);
    // SAFETY: no entry refers to the RTT any more, in tables or in TLBs.
    drop(unsafe { child.wipe_unused_into_delegated(mem) });
    Ok(Destroyed { rtt, top: at.top() })
}
