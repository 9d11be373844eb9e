// SPDX-License-Identifier: BSD-3-Clause
//! Memory that the Host shares with a Realm.

use super::exit::{
    DATA_ABORT, DATA_ABORT_SAME, MIB_2, TRANSLATION_3, abort_record, check_exception, running,
    syndrome,
};
use super::instruct::{Register, run};
use super::{Test, needs};
use crate::check::{Check, ensure_eq};
use crate::dialect;
use crate::pool::{self, GRANULE};
use crate::realm::ATTRIBUTES;
use crate::rec::{check_exit, enter_with};
use alloc::format;
use rmm_abi::rmi::RecEnterFlags;
use tests_fvp::protocol::{Access, Op};

pub const TESTS: &[Test] = &[
    ("shared.memory", shared_memory),
    ("shared.attributes", shared_attributes),
    ("shared.range", shared_range),
    ("shared.delegated", shared_delegated),
];

/// Memory of the Host that the Realm reads and writes, until it is unmapped.
// Conformance: Exceptions and accesses that do not exit unprotected
// Conformance: RMI_RTT_MAP_UNPROTECTED any_state
// Conformance: RMI_RTT_UNMAP_UNPROTECTED tlb
fn shared_memory() -> Check {
    let mut realm = running()?;
    let ipa = realm.config.unprotected() + 5 * GRANULE;
    let memory = realm.share(ipa, ATTRIBUTES)?;
    let rec = &realm.recs[0];
    pool::write(memory + 0x10, 0xABCD);
    ensure_eq!(rec.load(ipa + 0x10)?, 0xABCD, "what the Host wrote");
    rec.store(ipa + 0x18, 0xEF01)?;
    ensure_eq!(pool::read(memory + 0x18), 0xEF01, "what the Realm wrote");
    dialect::spoken().unmap_unprotected(realm.rd, ipa, 3)?;
    let exit = rec.exit_of(Op::Read, &[ipa, Access::Double as u64])?;
    let mut wanted = abort_record(DATA_ABORT, 0, ipa);
    wanted.esr = syndrome(3, true, false, TRANSLATION_3);
    check_exit(&exit, &wanted)?;
    rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
    pool::give(memory, 1);
    realm.finish()
}

/// The memory type that the Host chooses applies to the Realm: an unaligned access to Device memory
/// faults, in pages and in blocks, also after folding and unfolding.
// Conformance: Memory attributes and caches unprotected
fn shared_attributes() -> Check {
    /// Device-nGnRnE, Normal Non-cacheable, Normal Write-Back.
    const DEVICE: u64 = 0;
    const NON_CACHEABLE: u64 = 5;
    const WRITE_BACK: u64 = 6;
    /// Alignment fault.
    const ALIGNMENT: u64 = 0x21;
    needs::device_alignment()?;
    let mut realm = running()?;
    let rec = realm.recs[0].clone();
    let memory = pool::take(512, MIB_2)?;
    pool::fill(memory, 1, 0x0101_0101_0101_0101);
    // Stage 1 asks for Normal Write-Back with both of its attributes. Then `tlbi vmalle1`.
    Register(3, 0, 10, 2, 0).write(&rec, 0xFFFF)?;
    run(&rec, 0xD508_871F, 0, 0)?;
    let half = realm.config.unprotected();
    realm.add_tables(half, 3)?;
    for (level, memory_type) in [
        (3, WRITE_BACK),
        (3, DEVICE),
        (3, NON_CACHEABLE),
        (2, DEVICE),
        (2, WRITE_BACK),
    ] {
        if level == 2 && realm.table(3, half).is_some() {
            realm.remove_table(half, 3)?;
        }
        let desc = memory | 3 << 6 | memory_type << 2;
        dialect::spoken().map_unprotected(realm.rd, half, level, desc)?;
        ensure_eq!(rec.load(half)?, 0x0101_0101_0101_0101, "aligned");
        let reply = rec.reply_of(Op::Read, &[half + 1, Access::Double as u64])?;
        let what = format!("level {level} type {memory_type}: esr {:#x}", reply.esr);
        if memory_type == DEVICE {
            ensure_eq!(reply.esr >> 26, DATA_ABORT_SAME, "{what}: EC");
            ensure_eq!(reply.esr & 0x3F, ALIGNMENT, "{what}: fault status");
        } else {
            ensure_eq!(reply.esr, 0, "{what}: exception");
        }
        dialect::spoken().unmap_unprotected(realm.rd, half, level)?;
    }
    pool::give(memory, 512);
    realm.finish()
}

/// A table of shared pages, or a block, is unmapped by one call: the Realm can reach no page of it.
// Conformance: RMI_RTT_DESTROY tlb
// Conformance: RMI_RTT_UNMAP_UNPROTECTED tlb
// Conformance: Bugs others fixed tlbi_range
fn shared_range() -> Check {
    let mut realm = running()?;
    let rec = realm.recs[0].clone();
    let memory = pool::take(512, MIB_2)?;
    let half = realm.config.unprotected();
    realm.add_tables(half, 3)?;
    let touched = [0, 1, 100, 511].map(|n| n * GRANULE);
    for offset in touched {
        let desc = (memory + offset) | ATTRIBUTES;
        dialect::spoken().map_unprotected(realm.rd, half + offset, 3, desc)?;
        rec.load(half + offset)?;
    }
    realm.remove_table(half, 3)?;
    let gone = |what: &str| {
        for offset in touched {
            let ipa = half + offset;
            let exit = rec.exit_of(Op::Read, &[ipa, Access::Double as u64])?;
            let mut wanted = abort_record(DATA_ABORT, 0, ipa);
            wanted.esr = syndrome(3, true, false, 6);
            check_exit(&exit, &wanted).map_err(|why| format!("{what}: {why}"))?;
            rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
        }
        Check::Ok(())
    };
    gone("table destroyed")?;
    dialect::spoken().map_unprotected(realm.rd, half, 2, memory | ATTRIBUTES)?;
    for offset in touched {
        rec.load(half + offset)?;
    }
    dialect::spoken().unmap_unprotected(realm.rd, half, 2)?;
    gone("block unmapped")?;
    pool::give(memory, 512);
    realm.finish()
}

/// Memory that is not Non-secure any more: the Realm gets the fault, not the content.
// Conformance: Exceptions and accesses that do not exit granule_protection
fn shared_delegated() -> Check {
    let mut realm = running()?;
    let ipa = realm.config.unprotected();
    let memory = realm.share(ipa, ATTRIBUTES)?;
    let rec = &realm.recs[0];
    rec.load(ipa)?;
    dialect::spoken().delegate(memory, 1)?;
    // Granule protection fault, not on a walk.
    check_exception(rec, Op::Read, &[ipa, 3], DATA_ABORT_SAME, 0x28, ipa)?;
    check_exception(rec, Op::Write, &[ipa, 3, 1], DATA_ABORT_SAME, 0x28, ipa)?;
    dialect::spoken().undelegate(memory, 1)?;
    ensure_eq!(rec.load(ipa)?, 0, "wiped memory");
    pool::give(memory, 1);
    realm.finish()
}
