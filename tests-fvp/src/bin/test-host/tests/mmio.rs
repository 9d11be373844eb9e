// SPDX-License-Identifier: BSD-3-Clause
//! MMIO that the Host emulates.

use super::Test;
use super::exit::{
    DATA_ABORT, DATA_ABORT_SAME, EA, EXTERNAL, abort_record, check_pstate, running, syndrome,
};
use super::instruct::Register;
use crate::check::{Check, ensure_eq};
use crate::pool;
use crate::realm::READ_ONLY;
use crate::rec::{check_exit, enter, enter_with};
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
        // It loads to no register; the address stays in X0.
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
    // The access cannot be emulated twice.
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

const PAR: Register = Register(3, 0, 7, 4, 0);
/// A translation to an address that is none of the Realm's.
const PAR_VALUE: u64 = 0x7654_3000;

/// Host memory that the Realm may read but not write: the write can be emulated.
// Conformance: REC exits emulatable_permission
// Conformance: Exceptions and accesses that do not exit unprotected
fn mmio_read_only() -> Check {
    let mut realm = running()?;
    let ipa = realm.config.unprotected();
    let memory = realm.share(ipa, READ_ONLY)?;
    pool::write(memory + 8, 0x1234);
    let rec = &realm.recs[0];
    ensure_eq!(rec.load(ipa + 8)?, 0x1234, "value read");
    // The monitor translates the Realm's VA, and that is not to be seen.
    PAR.write(rec, PAR_VALUE)?;
    let exit = rec.exit_of(Op::Write, &[ipa + 8, Access::Word as u64, 0x77])?;
    let mut wanted = abort_record(DATA_ABORT, 0, ipa);
    // Permission fault at level 3.
    wanted.esr = syndrome(2, false, true, 0xF);
    wanted.far = 8;
    wanted.gprs[0] = 0x77;
    check_exit(&exit, &wanted)?;
    rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))?;
    ensure_eq!(pool::read(memory + 8), 0x1234, "read-only memory");
    ensure_eq!(PAR.read(rec)?, PAR_VALUE, "PAR_EL1");
    pool::give(memory, 1);
    realm.finish()
}
