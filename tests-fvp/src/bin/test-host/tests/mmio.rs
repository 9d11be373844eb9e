// SPDX-License-Identifier: BSD-3-Clause
//! Accesses to the Unprotected half: emulated by the Host, or to memory that it shares.

use super::Test;
use super::exit::{
    DATA_ABORT, DATA_ABORT_SAME, EA, EXTERNAL, MIB_2, TRANSLATION_3, abort_record, check_exception,
    check_pstate, running, syndrome,
};
use super::instruct::{Register, run};
use super::needs;
use crate::check::{Check, ensure_eq};
use crate::pool::{self, GRANULE};
use crate::rec::{check_exit, enter, enter_with};
use crate::rmi;
use alloc::format;
use rmm_abi::rmi::RecEnterFlags;
use tests_fvp::protocol::{Access, Op};

pub const TESTS: &[Test] = &[
    ("mmio.read", mmio_read),
    ("mmio.write", mmio_write),
    ("mmio.retry", mmio_retry),
    ("mmio.inject_sea", mmio_inject_sea),
    ("mmio.not_emulatable", mmio_not_emulatable),
    ("mmio.read_only", mmio_read_only),
    ("shared.memory", shared_memory),
    ("shared.range", shared_range),
    ("shared.attributes", shared_attributes),
    ("shared.delegated", shared_delegated),
];

// Conformance: REC exits emulatable_read
// Conformance: RMI_REC_ENTER emul_mmio_read
fn mmio_read() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = realm.config.unprotected() + 0x1_0000;
    let data = 0xFEDC_BA98_8765_43A1;
    for (access, offset, size, sf, result) in [
        (Access::Byte, 0xFFF, 0, false, 0xA1),
        (Access::Half, 2, 1, false, 0x43A1),
        (Access::Word, 4, 2, false, 0x8765_43A1),
        (Access::Double, 8, 3, true, data),
        (Access::SignedByte, 1, 0, true, 0xFFFF_FFFF_FFFF_FFA1),
        (Access::SignedHalfToWord, 0x10, 1, false, 0x43A1),
        (Access::SignedWord, 0x20, 2, true, 0xFFFF_FFFF_8765_43A1),
        // Its register is none; the address stays in X0.
        (Access::Zero, 0x30, 3, true, ipa + 0x30),
    ] {
        let address = ipa + offset;
        let exit = rec.exit_of(Op::Read, &[address, access as u64])?;
        let mut wanted = abort_record(DATA_ABORT, 0, ipa);
        // The walk ends in the start level table.
        wanted.esr = syndrome(size, sf, false, 4);
        wanted.far = offset;
        check_exit(&exit, &wanted).map_err(|why| format!("{access:?}: {why}"))?;
        let mut enter = enter_with(RecEnterFlags::EMUL_MMIO);
        enter.gprs[0] = data;
        enter.gprs[1..].fill(u64::MAX);
        let reply = rec.finish_with(&enter)?;
        ensure_eq!(reply.esr, 0, "{access:?}: exception");
        ensure_eq!(reply.values[0], result, "{access:?}: value read");
    }
    // Negative as a half word, and the upper half of the register is cleared.
    rec.exit_of(Op::Read, &[ipa, Access::SignedHalfToWord as u64])?;
    let mut enter = enter_with(RecEnterFlags::EMUL_MMIO);
    enter.gprs[0] = 0x8001;
    let reply = rec.finish_with(&enter)?;
    ensure_eq!(reply.values[0], 0xFFFF_8001, "negative half word");
    realm.finish()
}

// Conformance: REC exits emulatable_write
// Conformance: RMI_REC_ENTER emul_mmio_write
fn mmio_write() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = realm.config.unprotected() + 0x2_0000;
    let value = 0xFEDC_BA98_8765_43A1;
    for (access, offset, size, sf, seen) in [
        (Access::Byte, 0xFFF, 0, false, 0xA1),
        (Access::Half, 0xFFE, 1, false, 0x43A1),
        (Access::Word, 0xFFC, 2, false, 0x8765_43A1),
        (Access::Double, 0xFF8, 3, true, value),
        (Access::Zero, 0, 3, true, 0),
    ] {
        let exit = rec.exit_of(Op::Write, &[ipa + offset, access as u64, value])?;
        let mut wanted = abort_record(DATA_ABORT, 0, ipa);
        wanted.esr = syndrome(size, sf, true, 4);
        wanted.far = offset;
        wanted.gprs[0] = seen;
        check_exit(&exit, &wanted).map_err(|why| format!("{access:?}: {why}"))?;
        let reply = rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
        ensure_eq!(reply.esr, 0, "{access:?}: exception");
    }
    realm.finish()
}

/// Without an answer the access is made again; with one it is not.
// Conformance: RMI_REC_ENTER neither_flag
// Conformance: Bugs others fixed stale_isv
fn mmio_retry() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = realm.config.unprotected();
    let first = rec.exit_of(Op::Read, &[ipa, Access::Double as u64])?;
    for _ in 0..3 {
        let again = rec.exit_of_entry(&enter())?;
        check_exit(&again, &first)?;
    }
    let mut answer = enter_with(RecEnterFlags::EMUL_MMIO);
    answer.gprs[0] = 5;
    ensure_eq!(rec.finish_with(&answer)?.values[0], 5, "value read");
    // The answer cannot be given twice.
    rec.try_enter(&answer).rec("emul_mmio once more")?;
    realm.finish()
}

// Conformance: RMI_REC_ENTER inject_sea, inject_sea_first
// Conformance: Bugs others fixed emul_and_sea, pstate_after_injection
fn mmio_inject_sea() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = realm.config.unprotected() + 0x3_0000;
    for flags in [
        RecEnterFlags::INJECT_SEA,
        RecEnterFlags::INJECT_SEA | RecEnterFlags::EMUL_MMIO,
    ] {
        for (op, access) in [(Op::Read, Access::Word), (Op::Write, Access::Double)] {
            rec.exit_of(op, &[ipa + 8, access as u64, 0])?;
            let mut answer = enter_with(flags);
            answer.gprs[0] = 77;
            let reply = rec.finish_with(&answer)?;
            ensure_eq!(reply.esr >> 26, DATA_ABORT_SAME, "EC, esr {:#x}", reply.esr);
            ensure_eq!(
                reply.esr & 0x3F,
                EXTERNAL,
                "fault status, esr {:#x}",
                reply.esr
            );
            ensure_eq!(reply.esr & EA, EA, "EA, esr {:#x}", reply.esr);
            ensure_eq!(reply.esr & 1 << 24, 0, "ISV, esr {:#x}", reply.esr);
            ensure_eq!(reply.far, ipa + 8, "FAR_EL1");
            check_pstate(&reply)?;
        }
    }
    realm.finish()
}

/// An access without syndrome: the Host learns where, not how; it can only inject an abort.
// Conformance: REC exits non_emulatable_unprotected
// Conformance: RMI_REC_ENTER inject_sea, rec_mmio, rec_mmio_both
fn mmio_not_emulatable() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = realm.config.unprotected() + 0x4_0000;
    let exit = rec.exit_of(Op::Read, &[ipa + 0x18, Access::Exclusive as u64])?;
    check_exit(&exit, &abort_record(DATA_ABORT, 4, ipa))?;
    let emulate = enter_with(RecEnterFlags::EMUL_MMIO);
    rec.try_enter(&emulate).rec("emul_mmio without syndrome")?;
    let both = enter_with(RecEnterFlags::EMUL_MMIO | RecEnterFlags::INJECT_SEA);
    rec.try_enter(&both).rec("both flags without syndrome")?;
    let reply = rec.finish_with(&enter_with(RecEnterFlags::INJECT_SEA))?;
    ensure_eq!(reply.esr >> 26, DATA_ABORT_SAME, "EC, esr {:#x}", reply.esr);
    ensure_eq!(
        reply.esr & (EA | 0x3F),
        EA | EXTERNAL,
        "esr {:#x}",
        reply.esr
    );
    ensure_eq!(reply.far, ipa + 0x18, "FAR_EL1");
    realm.finish()
}

/// Host memory that the Realm may read but not write: the write can be emulated.
// Conformance: REC exits emulatable_permission
// Conformance: Exceptions and accesses that do not exit unprotected
fn mmio_read_only() -> Check {
    let mut realm = running()?;
    let ipa = realm.config.unprotected();
    let memory = pool::take_one()?;
    pool::write(memory + 8, 0x1234);
    realm.add_tables(ipa, 3)?;
    let desc = memory | 1 << 6 | 6 << 2;
    rmi::rtt_map_unprotected(realm.rd, ipa, 3, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    let rec = &realm.recs[0];
    ensure_eq!(rec.load(ipa + 8)?, 0x1234, "value read");
    let exit = rec.exit_of(Op::Write, &[ipa + 8, Access::Word as u64, 0x77])?;
    let mut wanted = abort_record(DATA_ABORT, 0, ipa);
    // Permission fault at level 3.
    wanted.esr = syndrome(2, false, true, 0xF);
    wanted.far = 8;
    wanted.gprs[0] = 0x77;
    check_exit(&exit, &wanted)?;
    rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
    ensure_eq!(pool::read(memory + 8), 0x1234, "read-only memory");
    pool::give(memory, 1);
    realm.finish()
}

/// Memory of the Host that the Realm reads and writes, until it is unmapped.
// Conformance: Exceptions and accesses that do not exit unprotected
// Conformance: RMI_RTT_MAP_UNPROTECTED any_state
// Conformance: RMI_RTT_UNMAP_UNPROTECTED tlb
fn shared_memory() -> Check {
    let mut realm = running()?;
    let ipa = realm.config.unprotected() + 5 * GRANULE;
    let memory = pool::take_one()?;
    realm.add_tables(ipa, 3)?;
    let desc = memory | 3 << 6 | 6 << 2;
    rmi::rtt_map_unprotected(realm.rd, ipa, 3, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    let rec = &realm.recs[0];
    pool::write(memory + 0x10, 0xABCD);
    ensure_eq!(rec.load(ipa + 0x10)?, 0xABCD, "what the Host wrote");
    rec.store(ipa + 0x18, 0xEF01)?;
    ensure_eq!(pool::read(memory + 0x18), 0xEF01, "what the Realm wrote");
    rmi::rtt_unmap_unprotected(realm.rd, ipa, 3).ok("RMI_RTT_UNMAP_UNPROTECTED")?;
    let exit = rec.exit_of(Op::Read, &[ipa, Access::Double as u64])?;
    let mut wanted = abort_record(DATA_ABORT, 0, ipa);
    wanted.esr = syndrome(3, true, false, TRANSLATION_3);
    check_exit(&exit, &wanted)?;
    rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
    pool::give(memory, 1);
    realm.finish()
}

/// The type of memory that the Host chooses is the Realm's: Device memory takes no access that is
/// not aligned, of pages and of blocks, also after they were folded and unfolded.
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
    // The Realm's own wish, for both of its types: Normal Write-Back. Then `tlbi vmalle1`.
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
        rmi::rtt_map_unprotected(realm.rd, half, level, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
        ensure_eq!(rec.load(half)?, 0x0101_0101_0101_0101, "aligned");
        let reply = rec.reply_of(Op::Read, &[half + 1, Access::Double as u64])?;
        let what = format!("level {level} type {memory_type}: esr {:#x}", reply.esr);
        if memory_type == DEVICE {
            ensure_eq!(reply.esr >> 26, DATA_ABORT_SAME, "{what}: EC");
            ensure_eq!(reply.esr & 0x3F, ALIGNMENT, "{what}: fault status");
        } else {
            ensure_eq!(reply.esr, 0, "{what}: exception");
        }
        rmi::rtt_unmap_unprotected(realm.rd, half, level).ok("RMI_RTT_UNMAP_UNPROTECTED")?;
    }
    pool::give(memory, 512);
    realm.finish()
}

/// A table of shared pages, or a block, that is taken away in one call: no page of it is left to
/// the Realm.
// Conformance: RMI_RTT_DESTROY tlb
// Conformance: RMI_RTT_UNMAP_UNPROTECTED tlb
// Conformance: Bugs others fixed tlbi_range
fn shared_range() -> Check {
    let mut realm = running()?;
    let rec = realm.recs[0].clone();
    let memory = pool::take(512, MIB_2)?;
    let half = realm.config.unprotected();
    realm.add_tables(half, 3)?;
    let attributes = 3 << 6 | 6 << 2;
    let touched = [0, 1, 100, 511].map(|n| n * GRANULE);
    for offset in touched {
        let desc = (memory + offset) | attributes;
        rmi::rtt_map_unprotected(realm.rd, half + offset, 3, desc).ok("map of a page")?;
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
    rmi::rtt_map_unprotected(realm.rd, half, 2, memory | attributes).ok("map of a block")?;
    for offset in touched {
        rec.load(half + offset)?;
    }
    rmi::rtt_unmap_unprotected(realm.rd, half, 2).ok("unmap of a block")?;
    gone("block unmapped")?;
    pool::give(memory, 512);
    realm.finish()
}

/// Memory that is not Non-secure any more: the Realm gets the fault, not the content.
// Conformance: Exceptions and accesses that do not exit granule_protection
fn shared_delegated() -> Check {
    let mut realm = running()?;
    let ipa = realm.config.unprotected();
    let memory = pool::take_one()?;
    realm.add_tables(ipa, 3)?;
    let desc = memory | 3 << 6 | 6 << 2;
    rmi::rtt_map_unprotected(realm.rd, ipa, 3, desc).ok("RMI_RTT_MAP_UNPROTECTED")?;
    let rec = &realm.recs[0];
    rec.load(ipa)?;
    rmi::delegate(memory).ok("RMI_GRANULE_DELEGATE")?;
    // Granule protection fault, not on a walk.
    check_exception(rec, Op::Read, &[ipa, 3], DATA_ABORT_SAME, 0x28, ipa)?;
    check_exception(rec, Op::Write, &[ipa, 3, 1], DATA_ABORT_SAME, 0x28, ipa)?;
    rmi::undelegate(memory).ok("RMI_GRANULE_UNDELEGATE")?;
    ensure_eq!(rec.load(ipa)?, 0, "wiped memory");
    pool::give(memory, 1);
    realm.finish()
}
