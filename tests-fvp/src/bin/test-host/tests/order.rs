// SPDX-License-Identifier: BSD-3-Clause
//! Several conditions at once: RMI_REC_ENTER looks at the addresses before all else.

use super::Test;
use crate::check::Check;
use crate::pool;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, enter, enter_with};
use crate::{board, rmi};
use alloc::format;
use rmm_abi::psci::{SUCCESS, fid};
use rmm_abi::rmi::{RMI_ERROR_REALM, RecEnterFlags, status};
use tests_fvp::protocol::{MODE_COMMANDS, Op};

pub const TESTS: &[Test] = &[("rec.enter_order", enter_order)];

/// A misplaced record, or an address inside the REC, is what is told, whatever else is wrong.
pub fn check_misplaced(rec: &Rec, delegated: u64, what: &str) -> Check {
    for run in [rec.run + 8, rec.run + 0x800, board::UART, delegated] {
        rmi::rec_enter(rec.pa, run).input(&format!("{what}, run {run:#x}"))?;
    }
    for pa in [rec.pa + 8, rec.pa + 0xFFF] {
        rmi::rec_enter(pa, rec.run).input(&format!("{what}, rec {pa:#x}"))?;
    }
    Ok(())
}

// Conformance: RMI_REC_ENTER run<realm_new, run<system_off, run<rec_runnable, run<rec_psci
// Conformance: RMI_REC_ENTER run<rec_gicv3, run<rec_mmio
// Conformance: RMI_REC_ENTER rec_align<realm_new, rec_align<system_off, rec_align<rec_runnable
// Conformance: RMI_REC_ENTER rec_align<rec_psci, rec_align<rec_gicv3, rec_align<rec_mmio
fn enter_order() -> Check {
    let delegated = pool::take_delegated()?;
    let mut realm = Realm::loaded(&Config::default())?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.add_rec(false, &[])?;
    let [first, second] = &realm.recs[..] else {
        crate::check::fail!("not two RECs")
    };
    let misplaced = |rec: &Rec, what: &str| check_misplaced(rec, delegated, what);
    misplaced(first, "Realm is NEW")?;
    first.try_enter(&enter()).realm("Realm is NEW")?;
    realm.activate()?;
    misplaced(second, "REC is not runnable")?;
    second.try_enter(&enter()).rec("REC is not runnable")?;
    first.boot()?;
    // Records that are bad where they are, and read from 8 bytes further on or from the middle.
    let mut record = enter();
    record.gicv3_hcr = 1;
    first.try_enter(&record).rec("gicv3_hcr")?;
    pool::write(first.run + 0x308, 1);
    misplaced(first, "gicv3_hcr")?;
    first
        .try_enter(&enter_with(RecEnterFlags::EMUL_MMIO))
        .rec("emul_mmio")?;
    pool::write(first.run + 8, RecEnterFlags::EMUL_MMIO.bits());
    misplaced(first, "emul_mmio")?;
    let entry = first.value_of(Op::EntryPoint, &[])?;
    first.exit_of(Op::Smc, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
    misplaced(first, "PSCI request")?;
    first.try_enter(&enter()).rec("PSCI request")?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
    first.finish_with(&enter())?;
    first.exit_of(Op::Smc, &[fid::PSCI_SYSTEM_OFF])?;
    misplaced(first, "Realm is SYSTEM_OFF")?;
    let off = status(RMI_ERROR_REALM, 1);
    first.try_enter(&enter()).is(off, "Realm is SYSTEM_OFF")?;
    pool::give_delegated(delegated)?;
    realm.finish()
}
