// SPDX-License-Identifier: BSD-3-Clause
//! The whole life of a Realm, and the longest of all calls.

use super::{Share, Table};
use crate::check::Check;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm, entry_size};
use crate::rmi;
use rmm_abi::rmi::DataFlags;
use tests_fvp::protocol::layout;

/// Bytes of the Realm's memory: 64 MiB.
const BYTES: u64 = 64 << 20;

/// A Realm with [`BYTES`] measured, from the first RMI_GRANULE_DELEGATE to the last
/// RMI_GRANULE_UNDELEGATE: the sum of all its calls, EL3 included.
pub fn life(table: &mut Table) -> Check {
    let (calls, spent) = (rmi::calls(), rmi::spent());
    let top = layout::BASE + BYTES;
    let mut realm = Realm::new(&Config::DEFAULT)?;
    for base in (layout::BASE..top).step_by(entry_size(2) as usize) {
        realm.add_tables(base, 3)?;
    }
    realm.init_ripas(layout::BASE, top)?;
    for ipa in (layout::BASE..top).step_by(GRANULE as usize) {
        realm.add_page(ipa, &ipa.to_le_bytes(), DataFlags::MEASURE.bits())?;
    }
    realm.add_rec(true, &[])?;
    realm.activate()?;
    // The Realm is taken down from the last page of the list: in ascending order, as Linux does it, so that
    // the next live entry is the next one.
    realm.pages.reverse();
    realm.finish()?;
    let row = "life of a Realm with 64 MiB measured, EL3 included";
    table.note(Share::None, row, rmi::spent() - spent);
    let row = "calls in the life of a Realm with 64 MiB measured";
    table.note(Share::None, row, rmi::calls() - calls);
    Ok(())
}
