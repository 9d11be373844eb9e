// SPDX-License-Identifier: BSD-3-Clause
//! A REC: entries, exits, and commands for the test Realm.

use crate::check::{Check, ensure, ensure_eq, fail};
use crate::console::line;
use crate::dialect;
use crate::pool::{self, GRANULE};
use crate::rmi::{self, Answer};
use crate::virtual_gic::{EN, VirtualGic};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::rmi::{RecEnter, RecEnterFlags, RecExit, RecExitReason, v2};
use spin::Mutex;
use tests_fvp::protocol::{Access, IMM_NEXT, IMM_PANIC, IMM_PRINT, Op, PRINT_BYTES, Reply};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Bytes of each half of RmiRecRun.
const HALF: u64 = GRANULE / 2;

/// Exits so far, by reason.
static EXITS: [AtomicU64; 7] = [const { AtomicU64::new(0) }; 7];

/// How many exits of a reason there were.
pub fn exits(reason: RecExitReason) -> u64 {
    EXITS[reason as usize].load(Ordering::Relaxed)
}

/// A REC and the Host's granule for RmiRecRun.
#[derive(Clone)]
pub struct Rec {
    /// The REC.
    pub pa: u64,
    /// RmiRecRun.
    pub run: u64,
    /// Auxiliary granules; none with RMI 2.0.
    pub aux: Vec<u64>,
    /// What it has in the virtual CPU interface between two entries, with RMI 2.0.
    pub gic: Arc<Mutex<VirtualGic>>,
}

/// What an entry led to.
// One at a time, on a stack that has room.
#[allow(clippy::large_enum_variant)]
pub enum Step {
    /// The Realm has finished its command and asks for the next.
    Done(Reply),
    /// An exit that the Host has to handle.
    Exit(RecExit),
}

/// An entry with every field zero.
pub fn enter() -> RecEnter {
    RecEnter::new_zeroed()
}

/// An entry with flags.
pub fn enter_with(flags: RecEnterFlags) -> RecEnter {
    let mut enter = enter();
    enter.flags = flags.bits();
    enter
}

/// An entry that answers [`IMM_NEXT`] by a command.
pub fn command(op: Op, arguments: &[u64]) -> RecEnter {
    let mut enter = enter();
    enter.gprs[0] = op as u64;
    enter.gprs[1..=arguments.len()].copy_from_slice(arguments);
    enter
}

impl Rec {
    /// RMI_REC_ENTER.
    pub fn try_enter(&self, enter: &RecEnter) -> Answer {
        self.enter_by(enter, rmi::rec_enter)
    }

    /// RMI_REC_ENTER with the SVE hint.
    pub fn try_enter_without_sve(&self, enter: &RecEnter) -> Answer {
        self.enter_by(enter, rmi::rec_enter_without_sve)
    }

    /// RMI_REC_ENTER. With RMI 2.0, the fields of the GIC are in registers.
    fn enter_by(&self, enter: &RecEnter, command: fn(u64, u64) -> Answer) -> Answer {
        if !dialect::is_v2() {
            self.prepare(enter);
            return command(self.pa, self.run);
        }
        let mut without = *enter;
        (without.gicv3_hcr, without.gicv3_lrs) = (0, Default::default());
        self.prepare(&without);
        let mut gic = self.gic.lock();
        gic.load(&enter.gicv3_lrs, enter.gicv3_hcr);
        let answer = command(self.pa, self.run);
        *gic = VirtualGic::save();
        answer
    }

    /// Writes RmiRecRun.
    fn prepare(&self, enter: &RecEnter) {
        pool::write_bytes(self.run, enter.as_bytes());
        // Shows what the monitor does not write.
        for word in (self.run + HALF..self.run + GRANULE).step_by(8) {
            pool::write(word, u64::MAX);
        }
    }

    /// The exit half of RmiRecRun. With RMI 2.0, the fields of the GIC are what the registers held after the
    /// exit.
    pub fn last_exit(&self) -> RecExit {
        let mut exit: RecExit = read_structure(self.run + HALF);
        if dialect::is_v2() {
            let gic = self.gic.lock();
            exit.gicv3_hcr = gic.hcr;
            exit.gicv3_lrs = gic.lrs;
            exit.gicv3_misr = gic.misr;
            exit.gicv3_vmcr = gic.vmcr;
        }
        exit
    }

    /// Checks that no byte of the exit record is set where RMI 1.0 has fields of the GIC.
    fn check_no_gic(&self) -> Check {
        let exit: v2::RecExit = read_structure(self.run + HALF);
        ensure!(
            exit._reserved2.iter().all(|byte| *byte == 0),
            "reserved bytes of the exit record are set"
        );
        Ok(())
    }

    /// Enters, and returns the exit.
    pub fn enter(&self, enter: &RecEnter) -> Check<RecExit> {
        self.try_enter(enter).ok("RMI_REC_ENTER")?;
        let exit = self.last_exit();
        if dialect::is_v2() {
            self.check_no_gic()?;
            ensure_eq!(exit.gicv3_hcr & EN, 0, "ICH_HCR_EL2.En after the exit");
        }
        match EXITS.get(usize::from(exit.exit_reason)) {
            Some(count) => count.fetch_add(1, Ordering::Relaxed),
            None => fail!("exit reason {}", exit.exit_reason),
        };
        Ok(exit)
    }

    /// Enters until a command is finished or the Host has to handle an exit; prints what the Realm
    /// prints.
    pub fn step(&self, with: &RecEnter) -> Check<Step> {
        let mut exit = self.enter(with)?;
        loop {
            if exit.exit_reason != RecExitReason::HostCall as u8 {
                return Ok(Step::Exit(exit));
            }
            match exit.imm {
                IMM_NEXT => return Ok(Step::Done(Reply::from_gprs(&exit.gprs))),
                IMM_PRINT => line!("realm: {}", text(&exit.gprs, &mut [0; PRINT_BYTES])),
                IMM_PANIC => fail!("the Realm: {}", text(&exit.gprs, &mut [0; PRINT_BYTES])),
                imm => fail!("host call {imm:#x}"),
            }
            exit = self.enter(&enter())?;
        }
    }

    /// First entry: the Realm asks for a command. Returns what it found in its registers.
    pub fn boot(&self) -> Check<Reply> {
        self.finish_with(&enter())
    }

    /// Sends a command that exits before its end. Returns that exit.
    pub fn exit_of(&self, op: Op, arguments: &[u64]) -> Check<RecExit> {
        self.exit_of_entry(&command(op, arguments))
    }

    /// Enters. Returns the exit, which must not be a finished command.
    pub fn exit_of_entry(&self, enter: &RecEnter) -> Check<RecExit> {
        match self.step(enter)? {
            Step::Exit(exit) => Ok(exit),
            Step::Done(reply) => fail!("no exit, but {reply:x?}"),
        }
    }

    /// Continues a command after an exit, to its end.
    pub fn finish_with(&self, enter: &RecEnter) -> Check<Reply> {
        match self.step(enter)? {
            Step::Done(reply) => Ok(reply),
            Step::Exit(exit) => fail!("{}", describe(&exit)),
        }
    }

    /// Sends a command that does not exit. Returns the reply, with the exception if it took one.
    pub fn reply_of(&self, op: Op, arguments: &[u64]) -> Check<Reply> {
        self.finish_with(&command(op, arguments))
    }

    /// Sends a command that neither exits nor takes an exception. Returns its results.
    pub fn values_of(&self, op: Op, arguments: &[u64]) -> Check<[u64; 10]> {
        let reply = self.reply_of(op, arguments)?;
        ensure_eq!(reply.esr, 0, "{op:?} {arguments:x?}: exception");
        Ok(reply.values)
    }

    /// As [`Self::values_of`], only the first result.
    pub fn value_of(&self, op: Op, arguments: &[u64]) -> Check<u64> {
        Ok(self.values_of(op, arguments)?[0])
    }

    /// An RSI or PSCI call that does not exit. Returns X0 to X8.
    pub fn call(&self, arguments: &[u64]) -> Check<[u64; 10]> {
        let values = self.values_of(Op::Smc, arguments)?;
        check_call(arguments, &values)?;
        Ok(values)
    }

    /// A load by the Realm that neither exits nor faults.
    pub fn load(&self, ipa: u64) -> Check<u64> {
        self.value_of(Op::Read, &[ipa, Access::Double as u64])
    }

    /// A store by the Realm that neither exits nor faults.
    pub fn store(&self, ipa: u64, value: u64) -> Check {
        self.value_of(Op::Write, &[ipa, Access::Double as u64, value])
            .map(drop)
    }

    /// RMI_REC_DESTROY; undelegates every granule.
    pub fn destroy(self) -> Check {
        rmi::rec_destroy(self.pa).ok("RMI_REC_DESTROY")?;
        pool::give(self.run, 1);
        pool::give_delegated(self.pa)?;
        self.aux.into_iter().try_for_each(pool::give_delegated)
    }
}

/// Checks that a call of the Realm has changed registers from X4 only if they are results.
fn check_call(arguments: &[u64], values: &[u64; 10]) -> Check {
    let results = match arguments.first() {
        Some(&rmm_abi::rsi::fid::RSI_MEASUREMENT_READ) if values[0] == 0 => 0x1F0,
        _ => 0,
    };
    ensure_eq!(
        values[9] & !results,
        0,
        "call {arguments:x?} changed registers"
    );
    Ok(())
}

/// Text in the GPRs of a host call.
fn text<'a>(gprs: &[u64; 31], buffer: &'a mut [u8; PRINT_BYTES]) -> &'a str {
    for (bytes, word) in buffer.chunks_mut(8).zip(&gprs[1..]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let len = usize::try_from(gprs[0])
        .unwrap_or(PRINT_BYTES)
        .min(PRINT_BYTES);
    core::str::from_utf8(&buffer[..len]).unwrap_or("(no text)")
}

/// An exit in words.
pub fn describe(exit: &RecExit) -> alloc::string::String {
    alloc::format!(
        "exit {:?} esr {:#x} far {:#x} hpfar {:#x} gprs {:#x} {:#x} imm {:#x}",
        RecExitReason::try_from(exit.exit_reason),
        exit.esr,
        exit.far,
        exit.hpfar,
        exit.gprs[0],
        exit.gprs[1],
        exit.imm
    )
}

/// Compares an exit record with the expected one, except for the fields of GIC and timers, which every
/// exit fills.
pub fn check_exit(exit: &RecExit, expected: &RecExit) -> Check {
    let mut expected = *expected;
    expected.gicv3_hcr = exit.gicv3_hcr;
    expected.gicv3_lrs = exit.gicv3_lrs;
    expected.gicv3_misr = exit.gicv3_misr;
    expected.gicv3_vmcr = exit.gicv3_vmcr;
    expected.cntp_ctl = exit.cntp_ctl;
    expected.cntp_cval = exit.cntp_cval;
    expected.cntv_ctl = exit.cntv_ctl;
    expected.cntv_cval = exit.cntv_cval;
    let pairs = exit.as_bytes().chunks(8).zip(expected.as_bytes().chunks(8));
    for (n, (found, wanted)) in pairs.enumerate() {
        ensure!(
            found == wanted,
            "exit record at {:#x}: {found:x?}, wanted {wanted:x?}; {}",
            8 * n,
            describe(exit)
        );
    }
    Ok(())
}

/// An exit record with a reason alone.
pub fn exit_record(reason: RecExitReason) -> RecExit {
    let mut exit = RecExit::new_zeroed();
    exit.exit_reason = reason as u8;
    exit
}

/// Reads a structure that the monitor has written to the pool. Its size is a multiple of 8.
pub fn read_structure<T: FromBytes + FromZeros + IntoBytes>(address: u64) -> T {
    let mut structure = T::new_zeroed();
    let words = (address..).step_by(8);
    for (bytes, word) in structure.as_mut_bytes().chunks_mut(8).zip(words) {
        bytes.copy_from_slice(&pool::read(word).to_le_bytes());
    }
    structure
}
