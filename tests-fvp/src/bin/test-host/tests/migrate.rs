// SPDX-License-Identifier: BSD-3-Clause
//! A REC that moves from CPU to CPU, where the Host and another Realm have run in between.

use super::exit::running;
use super::instruct::{self, AUTIA, PACIA, Register};
use super::smp::{on_second, result};
use super::spin::{SharedPage, until_irq};
use super::timer::told;
use super::{Test, needs};
use crate::arch::{self, isb, mrs, msr, ticks};
use crate::check::{Check, ensure, ensure_eq};
use crate::realm::{Config, Realm};
use crate::rec::{Rec, Step, command, enter};
use rmm_abi::rmi::{RealmFlags, RecExit, RecExitReason};
use tests_fvp::protocol::{MODE_COMMANDS, Op, SysReg, pattern};
use tests_fvp::registers;

pub const TESTS: &[Test] = &[
    ("migrate.vectors", vectors),
    ("migrate.sve", sve),
    ("migrate.registers", registers_of_el1),
    ("migrate.timers", timers),
    ("migrate.timer_fires", timer_fires),
    ("migrate.pauth", pauth),
];

/// Moves of a REC in one test.
const MOVES: u64 = 6;

/// Runs `work` with the RECs of two Realms, on each CPU in turn.
fn each_cpu(
    rec: &Rec,
    other: &Rec,
    work: impl Fn(&Rec, &Rec, u64) -> Check + Copy + Send + 'static,
) -> Check {
    for n in 0..MOVES {
        if n % 2 == 0 {
            work(rec, other, n)?;
        } else {
            let other = other.clone();
            let there = on_second(rec, move |rec| work(rec, &other, n))?;
            result(&there)??;
        }
    }
    Ok(())
}

/// Seeds of the Host and of the other Realm; the REC that moves uses smaller ones.
const HOST: u64 = 100;
const OTHER: u64 = 200;

fn vectors() -> Check {
    needs::second_cpu()?;
    let (realm, other) = (running()?, running()?);
    realm.recs[0].value_of(Op::FpSet, &[0])?;
    each_cpu(&realm.recs[0], &other.recs[0], |rec, other, n| {
        // SAFETY: the Host is built without floating point, which CPTR_EL2 does not trap.
        unsafe { registers::vectors_set(HOST + n) };
        other.value_of(Op::FpSet, &[OTHER + n])?;
        let different = rec.value_of(Op::FpCheck, &[n])?;
        ensure_eq!(different, 0, "the Realm's vector registers, move {n}");
        rec.value_of(Op::FpSet, &[n + 1])?;
        let different = other.value_of(Op::FpCheck, &[OTHER + n])?;
        ensure_eq!(different, 0, "the other Realm's vector registers, move {n}");
        // SAFETY: as above.
        let different = unsafe { registers::vectors_check(HOST + n) };
        ensure_eq!(different, 0, "the Host's vector registers, move {n}");
        Ok(())
    })?;
    other.finish()?;
    realm.finish()
}

fn sve() -> Check {
    needs::second_cpu()?;
    needs::host_sve()?;
    let features = needs::sve()?;
    let config = Config {
        flags: RealmFlags::SVE.bits(),
        sve_vl: features.sve_vl() as u8,
        ..Config::default()
    };
    let (realm, other) = (Realm::running(&config, 1, MODE_COMMANDS)?, running()?);
    let rec = realm.boot()?;
    // ZCR_EL1: the longest vectors.
    rec.value_of(Op::Msr, &[SysReg::Zcr as u64, 0xF])?;
    rec.value_of(Op::SveSet, &[0])?;
    each_cpu(rec, &other.recs[0], |rec, other, n| {
        // ZCR_EL2: the longest vectors of the Host on this CPU.
        msr!("s3_4_c1_c2_0", 0xF);
        isb();
        // SAFETY: the Host is built without vectors, which CPTR_EL2 does not trap.
        unsafe { registers::sve_set(HOST + n) };
        other.value_of(Op::FpSet, &[OTHER + n])?;
        let different = rec.value_of(Op::SveCheck, &[n])?;
        ensure_eq!(different, 0, "the Realm's SVE registers, move {n}");
        rec.value_of(Op::SveSet, &[n + 1])?;
        let different = other.value_of(Op::FpCheck, &[OTHER + n])?;
        ensure_eq!(different, 0, "the other Realm's vector registers, move {n}");
        // SAFETY: as above.
        let different = unsafe { registers::sve_check(HOST + n) };
        ensure_eq!(different, 0, "the Host's SVE registers, move {n}");
        Ok(())
    })?;
    other.finish()?;
    realm.finish()
}

fn registers_of_el1() -> Check {
    needs::second_cpu()?;
    let (realm, other) = (running()?, running()?);
    realm.recs[0].value_of(Op::SysSet, &[0])?;
    each_cpu(&realm.recs[0], &other.recs[0], |rec, other, n| {
        registers::el1_set(HOST + n);
        other.value_of(Op::SysSet, &[OTHER + n])?;
        let different = rec.value_of(Op::SysCheck, &[n])?;
        ensure_eq!(different, 0, "the Realm's registers, move {n}");
        rec.value_of(Op::SysSet, &[n + 1])?;
        let different = other.value_of(Op::SysCheck, &[OTHER + n])?;
        ensure_eq!(different, 0, "the other Realm's registers, move {n}");
        ensure_eq!(
            registers::el1_check(HOST + n),
            0,
            "the Host's registers, move {n}"
        );
        Ok(())
    })?;
    other.finish()?;
    realm.finish()
}

const TIMERS: [SysReg; 4] = [
    SysReg::CntvCval,
    SysReg::CntvCtl,
    SysReg::CntpCval,
    SysReg::CntpCtl,
];

/// Compare values and controls: enabled or masked, for a time that does not come.
fn timer_values(seed: u64) -> [u64; 4] {
    let time = |n| 1 << 62 | pattern(seed, n) >> 4;
    [time(0), 1 + (seed & 2), time(1), 3 - (seed & 2)]
}

pub fn set_timers(rec: &Rec, seed: u64) -> Check {
    for (register, value) in TIMERS.into_iter().zip(timer_values(seed)) {
        rec.value_of(Op::Msr, &[register as u64, value])?;
    }
    Ok(())
}

pub fn check_timers(rec: &Rec, seed: u64, whose: &str) -> Check {
    for (register, value) in TIMERS.into_iter().zip(timer_values(seed)) {
        let found = rec.value_of(Op::Mrs, &[register as u64])?;
        ensure_eq!(found, value, "{whose} {register:?}");
    }
    let exit = rec.last_exit();
    let told = [exit.cntv_cval, exit.cntv_ctl, exit.cntp_cval, exit.cntp_ctl];
    ensure!(
        told == timer_values(seed),
        "{whose} timers in the exit record: {told:x?}"
    );
    Ok(())
}

// Conformance: Exceptions and accesses that do not exit timers
fn timers() -> Check {
    needs::second_cpu()?;
    let (realm, other) = (running()?, running()?);
    set_timers(&realm.recs[0], 0)?;
    each_cpu(&realm.recs[0], &other.recs[0], |rec, other, n| {
        let mine = timer_values(HOST + n);
        msr!("cntv_cval_el0", mine[0]);
        msr!("cntp_cval_el0", mine[2]);
        set_timers(other, OTHER + n)?;
        check_timers(rec, n, "the Realm's")?;
        set_timers(rec, n + 1)?;
        check_timers(other, OTHER + n, "the other Realm's")?;
        ensure_eq!(mrs!("cntv_cval_el0"), mine[0], "the Host's CNTV_CVAL_EL0");
        ensure_eq!(mrs!("cntp_cval_el0"), mine[2], "the Host's CNTP_CVAL_EL0");
        ensure_eq!(mrs!("cntv_ctl_el0") & 1, 0, "the Host's CNTV_CTL_EL0");
        ensure_eq!(mrs!("cntp_ctl_el0") & 1, 0, "the Host's CNTP_CTL_EL0");
        Ok(())
    })?;
    other.finish()?;
    realm.finish()
}

/// Control and compare registers of the timers.
pub const PAIRS: [(SysReg, SysReg); 2] = [
    (SysReg::CntvCtl, SysReg::CntvCval),
    (SysReg::CntpCtl, SysReg::CntpCval),
];

/// Checks that a timer has ended the run of a command that spins, ends the command, and stops the timer.
pub fn check_fired(
    rec: &Rec,
    page: &SharedPage,
    (control, compare): (SysReg, SysReg),
    deadline: u64,
    exit: &RecExit,
) -> Check {
    ensure_eq!(exit.exit_reason, RecExitReason::Irq as u8, "exit reason");
    let (ctl, cval) = told(exit, control);
    ensure_eq!(ctl, 5, "{control:?} at the exit");
    ensure_eq!(cval, deadline, "{compare:?} at the exit");
    // The command ends here. The timer is still asserted, which the Host knows.
    page.release();
    rec.finish_with(&enter())?;
    let exit = rec.enter(&command(Op::Msr, &[control as u64, 0]))?;
    if exit.exit_reason == RecExitReason::Irq as u8 {
        rec.finish_with(&enter())?;
    }
    Ok(())
}

/// A timer that is set on one CPU ends the run on the other.
fn timer_fires() -> Check {
    needs::second_cpu()?;
    let mut realm = running()?;
    let page = SharedPage::new(&mut realm)?;
    let rec = &realm.recs[0];
    for (control, compare) in PAIRS {
        let deadline = arch::now() + ticks(20);
        rec.value_of(Op::Msr, &[compare as u64, deadline])?;
        // On a slow machine the timer fires before the REC can move.
        let exit = match rec.step(&command(Op::Msr, &[control as u64, 1]))? {
            Step::Exit(exit) => exit,
            Step::Done(_) => {
                let spin = page.spin();
                let there = on_second(rec, move |rec| until_irq(rec, &spin))?;
                result(&there)??
            }
        };
        check_fired(rec, &page, (control, compare), deadline, &exit)?;
    }
    page.finish()?;
    realm.finish()
}

const SCTLR: Register = Register(3, 0, 1, 0, 0);
const SCTLR_ENIA: u64 = 1 << 31;
const APIA_LOW: Register = Register(3, 0, 2, 1, 0);
const APIA_HIGH: Register = Register(3, 0, 2, 1, 1);
/// What is signed, and for what.
const POINTER: u64 = 0x4000_1238;
const MODIFIER: u64 = 0x1234_5678_9ABC_DEF0;

fn set_key(rec: &Rec, seed: u64) -> Check {
    APIA_LOW.write(rec, pattern(seed, 0))?;
    APIA_HIGH.write(rec, pattern(seed, 1))?;
    let sctlr = SCTLR.read(rec)?;
    SCTLR.write(rec, sctlr | SCTLR_ENIA)
}

fn sign(rec: &Rec) -> Check<u64> {
    let reply = instruct::run(rec, PACIA, POINTER, MODIFIER)?;
    ensure_eq!(reply.esr, 0, "PACIA: exception");
    Ok(reply.values[0])
}

/// What is signed on one CPU is authentic on the other, and in this Realm alone.
fn pauth() -> Check {
    needs::second_cpu()?;
    needs::pauth()?;
    let (realm, other) = (running()?, running()?);
    let rec = &realm.recs[0];
    set_key(rec, 1)?;
    set_key(&other.recs[0], OTHER)?;
    let signed = sign(rec)?;
    ensure!(signed != POINTER, "the pointer is not signed");
    each_cpu(rec, &other.recs[0], move |rec, other, n| {
        let host = (pattern(HOST + n, 0), pattern(HOST + n, 1));
        msr!("s3_0_c2_c1_0", host.0);
        msr!("s3_0_c2_c1_1", host.1);
        isb();
        let others = sign(other)?;
        ensure!(others != signed, "another key, the same signature");
        let reply = instruct::run(rec, AUTIA, signed, MODIFIER)?;
        ensure_eq!(reply.esr, 0, "AUTIA, move {n}: exception");
        ensure_eq!(reply.values[0], POINTER, "authenticated pointer, move {n}");
        ensure_eq!(sign(rec)?, signed, "signed again, move {n}");
        // With FEAT_FPAC an exception of its own class, else a pointer that faults.
        let reply = instruct::run(other, AUTIA, signed, MODIFIER)?;
        ensure!(
            reply.esr >> 26 == 0x1C || reply.esr == 0 && reply.values[0] != POINTER,
            "the other Realm authenticates: {reply:x?}"
        );
        ensure_eq!(mrs!("s3_0_c2_c1_0"), host.0, "the Host's APIAKeyLo_EL1");
        ensure_eq!(mrs!("s3_0_c2_c1_1"), host.1, "the Host's APIAKeyHi_EL1");
        Ok(())
    })?;
    other.finish()?;
    realm.finish()
}
