// SPDX-License-Identifier: BSD-3-Clause
//! RTT_DESTROY: a table that is not live gives way to an entry without memory.

use crate::entry::{UNASSIGNED_NS, unassigned};
use crate::error::TopError;
use crate::walk::Root;
use rmm_abi::rmi::Ripas;
use rmm_granule::{Ipa, Memory, Pa};

/// An RTT that was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// The Granule it was in, now DELEGATED.
    pub rtt: Pa,
    /// The `top` output.
    pub top: Ipa,
}

/// Destroys the RTT of `level` for the root's IPA. In the Protected half its range becomes
/// UNASSIGNED, DESTROYED, whatever RIPAS it had; in the Unprotected half UNASSIGNED_NS.
///
/// `level` is below the start level.
///
/// # Errors
/// The walk ends above `level` - 1, the entry there is not TABLE, or the RTT is live.
#[inline]
pub fn destroy<M: Memory>(root: Root<'_>, mem: &M, level: i8) -> Result<Destroyed, TopError> {
    let mut at = root.walk(mem, level.wrapping_sub(1));
    if at.level != level.wrapping_sub(1) || !at.is_table() {
        return Err(at.top_error());
    }
    let child = at.lock_child();
    if child.refs() != 0 {
        return Err(TopError { level, top: at.ipa });
    }
    let rtt = child.pa();
    at.write(if at.is_protected() {
        unassigned(Ripas::Destroyed)
    } else {
        UNASSIGNED_NS
    });
    at.table.granule().put_ref();
    at.invalidate(level);
    drop(child.wipe_into_delegated(mem));
    Ok(Destroyed { rtt, top: at.top() })
}
