// SPDX-License-Identifier: BSD-3-Clause
//! Many Realms, one after the other and some at a time.

use crate::arch::{mrs, now};
use crate::check::{Check, ensure_eq};
use crate::console::line;
use crate::pool;
use crate::realm::{Config, Realm};
use crate::rec::{check_exit, enter, exit_record};
use crate::tests::Test;
use rmm_abi::rmi::RecExitReason;

pub const TESTS: &[Test] = &[("realm.thousand", thousand)];

/// Realms in all, and at a time.
const REALMS: u64 = 1000;
const TOGETHER: u64 = 8;

/// `ldr x1, [x0]`, `b .`.
const CODE: [u32; 2] = [0xF940_0001, 0x1400_0000];
/// EC, ISV, SAS and SF of the exit that the load makes, and DFSC: no translation at level 0.
const LOAD_EXIT: u64 = 0x24 << 26 | 1 << 24 | 3 << 22 | 1 << 15 | 4;

/// Each Realm has RTTs, a page and a REC that is entered once. Undelegated granules are zero.
// Conformance: Invariants wiped
fn thousand() -> Check {
    // ID_AA64MMFR1_EL1.VMIDBits
    let vmids = if mrs!("id_aa64mmfr1_el1") >> 4 & 0xF == 2 {
        0x1_0000
    } else {
        0x100
    };
    let start = now();
    let in_use = pool::in_use();
    let mut made = 0;
    while made < REALMS {
        let batch: [Check<Realm>; TOGETHER as usize] = core::array::from_fn(|n| {
            // Odd, so that all VMIDs differ until all have been used.
            one(((made + n as u64) * 0x4D1 % vmids) as u16)
        });
        for realm in batch {
            let realm = realm?;
            enter_once(&realm)?;
            realm.finish()?;
            made += 1;
        }
        ensure_eq!(pool::in_use(), in_use, "granules after {made} Realms");
    }
    let milliseconds = (now() - start) * 1000 / mrs!("cntfrq_el0");
    line!("host: {made} Realms in {milliseconds} ms");
    Ok(())
}

/// A Realm of one page and one REC.
fn one(vmid: u16) -> Check<Realm> {
    let config = Config {
        vmid: Some(vmid),
        ..Config::default()
    };
    let realm = Realm::of_code(&config, &CODE, &[config.unprotected()])?;
    realm.activate()?;
    Ok(realm)
}

fn enter_once(realm: &Realm) -> Check {
    let exit = realm.recs[0].enter(&enter())?;
    let mut expected = exit_record(RecExitReason::Sync);
    expected.esr = LOAD_EXIT;
    expected.hpfar = realm.config.unprotected() >> 8;
    check_exit(&exit, &expected)
}
